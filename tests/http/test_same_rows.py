"""Whatever is asked, the API answers with the rows of the command line, out of a store and its archives."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli.main import run_command_line
from agent.core.errors import SidelogError
from agent.core.times import format_utc
from agent.query.language import Query, parse_query
from tests.http.alone import lone
from tests.query.test_conformance import HOSTILE, SELECTIONS, TERMS_OF_EVERY_KIND, TRACE_IDS
from tests.query.tiers import OBSERVED, Tiers
from tests.sources import parsing

SECOND = 10**9
WORDS = ["order 17 failed", "Order 18 failed", "größer", "\u212a", "\ud800", 'say "x"', "a\\b", "%_*", "\u2028", "\0"]
NUMBERS = [0, 1, 1.0, -1.5, 1e30, 2**53 + 1, 2**70, True, None, [1, "a, b"], 10**4000]
LONG = json.dumps({"timestamp": OBSERVED - 200 * SECOND, "message": "long", "x": "ö" * (1 << 17)}).encode() + b"\n"


def a_log(seed: int, count: int = 60) -> bytes:
    """Lines of the minutes that questions ask for."""
    chance = random.Random(seed)
    lines = []
    for number in range(count):
        record = {
            "timestamp": OBSERVED - chance.randint(60, 65) * 60 * SECOND,
            "level": chance.choice(["info", "warn", "error", "FATAL", "debug", "odd"]),
            "message": chance.choice(WORDS),
            "service": chance.choice(["shop", "Shop", ""]),
            "n": chance.choice(NUMBERS),
            "http": {"status": chance.choice([200, 404, 500]), "path": f"/orders/{number % 3}"},
            "trace_id": chance.choice(TRACE_IDS),
            chance.choice(["x", "ü", "a b", "\ud800"]): chance.choice([*WORDS, *NUMBERS]),
        }
        lines.append(json.dumps(record, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass") + b"\n")
    return b"".join(lines)


@pytest.fixture(scope="module")
def tiers(tmp_path_factory):
    """A store that has lost half of its events to its archives, one log that was never stored, and hostile ones."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    with Tiers(tmp_path_factory.mktemp("tiers") / "t", parsing(max_line_bytes=1 << 20)) as made:
        for number in range(3):
            made.store(f"log{number}", a_log(number))
            made.archive(f"log{number}", a_log(number))
        made.store("hostile", b"".join(HOSTILE) + LONG)
        made.expire(0.4)
        made.archive("unread", a_log(9), source="other")
        yield made
    sys.set_int_max_str_digits(before)


@pytest.fixture(scope="module")
def server(tiers):
    with lone(tiers.path) as made:
        yield made


@pytest.fixture(scope="module")
def client(server):
    with server.client() as made:
        yield made


def printed(server, *arguments: str) -> list[bytes]:
    """The lines that a command prints."""
    out = io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        run_command_line(["query", "-c", str(server.config), "-o", "json", *arguments])
        out.flush()
        return out.buffer.getvalue().splitlines()


def is_refused(client, q: str) -> bool:
    """Whether a question cannot be asked; the API says then what the command line would."""
    said = None
    try:
        parse_query(q)
    except SidelogError as error:
        said = error.message
    if said is not None:
        answer = client.get("/api/v1/query", params={"q": q})
        assert (answer.status_code, answer.json()["message"]) == (400, said)
    return said is not None


def arguments(q: str) -> list[str]:
    """A question as arguments: each is one term."""
    return ["--", *map(str, parse_query(q).terms)]


def same(server, client, q: str, *, order: str = "oldest", **more: str) -> int:
    options = {"since": "-S", "until": "-U", "severity": "-p", "grep": "-g", "source": "-s"}
    words = [word for name, text in more.items() for word in (options[name], text)]
    wanted = printed(server, "-n", "all", *(["-r"] if order == "newest" else []), *words, *arguments(q))
    answer = client.get("/api/v1/query", params={"q": q, "limit": "99999", "order": order, **more})
    assert answer.status_code == 200, answer.text
    assert answer.content.splitlines() == wanted
    assert all(isinstance(json.loads(line), dict) for line in wanted)
    return len(wanted)


@pytest.mark.parametrize("q", TERMS_OF_EVERY_KIND)
def test_terms_of_every_kind(server, client, q):
    same(server, client, q)


def test_everything_byte_for_byte(server, client):
    assert same(server, client, "") > 200
    assert same(server, client, "message=long", order="newest") == 1
    assert same(server, client, "", severity="warn..error", source="other", grep="Order") > 0


@given(SELECTIONS, st.sampled_from(["newest", "oldest"]))
@settings(max_examples=30, deadline=None)
def test_drawn_questions(server, client, selection, order):
    q = str(selection.query)
    if is_refused(client, q):
        return
    bounds = {"since": selection.since, "until": selection.until}
    same(server, client, q, order=order, **{name: format_utc(at) for name, at in bounds.items() if at is not None})


@given(
    SELECTIONS,
    st.lists(st.sampled_from(["severity", "source", "service", "http.status", "n", "group", "state"]), max_size=2),
    st.sampled_from([None, "1m", "7s", "1h"]),
    st.sampled_from([None, "1", "2"]),
    st.sampled_from([None, "avg:n,p95:http.status", "sum:n,min:n,max:n"]),
)
@settings(max_examples=25, deadline=None)
def test_drawn_counts(server, client, selection, by, every, top, agg):  # noqa: PLR0917 - hypothesis names them
    if is_refused(client, str(selection.query)):
        return
    given = {"by": ",".join(by), "every": every, "top": top if by else None, "agg": agg}
    given = {name: text for name, text in given.items() if text}
    words = [word for name, text in given.items() for word in (f"--{name}", text)]
    wanted = printed(server, *(words if set(given) - {"top"} else ["--count"]), *arguments(str(selection.query)))
    answer = client.get("/api/v1/counts", params={"q": str(selection.query), **given})
    assert answer.status_code == 200, answer.text
    assert answer.content == b"[" + b",".join(wanted) + b"]"


@pytest.mark.parametrize("tier", ["hot", "archives"])
def test_one_tier_alone(server, client, tier):
    wanted = printed(server, "-n", "all", f"--{tier}")
    answer = client.get("/api/v1/query", params={"tier": tier, "limit": "9999", "order": "oldest"})
    assert answer.content.splitlines() == wanted
    [row] = client.get("/api/v1/counts", params={"tier": tier}).json()
    assert row["count"] == len(wanted) > 0


def test_documents_over_hostile_events_are_json(client):
    names = {one["field"] for one in client.get("/api/v1/fields", params={"values": "100"}).json()}
    assert {"n", "ü", "a b"} <= names
    some = {"q": "source=app", "limit": "40", "order": "oldest"}
    for line in client.get("/api/v1/query", params=some).content.splitlines():
        number = json.loads(line)["id"]
        around = client.get("/api/v1/context", params={"id": str(number), "lines": "1"})
        assert around.status_code == 200
        assert number in [one["id"] for one in around.json()]


@pytest.mark.parametrize("q", ["source=shpo", "nosuch=1", "severity=error severity=debug", "state=new state!=new"])
def test_the_reasons_of_an_empty_answer(server, client, q):
    err = io.StringIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(err):
        run_command_line(["query", "-c", str(server.config), *arguments(q)])
    found = client.get("/api/v1/reasons", params={"q": q}).json()
    assert [one["message"] for one in found if one["message"] not in err.getvalue()] == []
    assert len(found) == err.getvalue().count("hint:")
    assert found or "SL" not in err.getvalue()


def test_a_question_of_no_words(server, client):
    assert str(Query()) == ""
    assert same(server, client, "") == same(server, client, "   ")
