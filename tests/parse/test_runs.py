"""Lines of several kinds in one region, and of containers, in bulk: the same rows as line by line."""

from __future__ import annotations

import gc
import json
import random
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.fields import Profile
from agent.core.model import LineBatch
from agent.parse import assemble, careful, decode, fast, runs
from agent.parse.decode import FileParser, ParseSettings
from agent.parse.settings import Compiled
from tests.core.test_wrapping import FORMS
from tests.parse.effort import examples
from tests.parse.test_streams import OBJECT, TRACE
from tests.parse.test_twin import OBSERVED, WRITTEN, columns, encode, parse_once, tailed
from tests.sources import parsing

TIME = "2026-11-22T05:39:26.123456789Z"
TIMES = [*[TIME] * 8, f"{TIME[:20]}5Z", f"{TIME[:19]}Z"]
ODD_TIMES = [*TIMES, f"{TIME[:17]}60.000000000Z", f"{TIME[:-1]}+01:00"]
ODD = [
    b"{}", b'{"a":1 }', b'{"log.iostream":null}', b'{"log\\u002eiostream":"x","level":"info"}', b'{"a":"\\u003c"}',
    b'{"a":"<&>\xe2\x80\xa8"}', b'{"a":1}\r', b"{broken", b"plain", b"  {}", b"ERROR: x",
]  # fmt: skip
TEXTS = [
    b"2026-11-22 05:39:26 INFO a.b: x", b"2026-11-22 05:39:26 ERROR a.b: x", b"  indented", b"", b"\r", b"\0\0\0",
    b"42", b"Traceback (most recent call last):", b"ValueError: x", b"plain", b"x" * 400,
    *(b"{", b"[", b"]", b",", b"}", b'{"a":', b'{"a":[', b"]}", b"  {"),
]  # fmt: skip
CONFIGS = [
    parsing(), parsing(format="docker"), parsing(format="cri"), parsing(redact=["user"]), parsing(max_line_bytes=300),
    parsing(multiline="start", multiline_start=r"^\S"), parsing(format="json"),
]  # fmt: skip


def wrapped_in(form: str, stream: str, time: str, body: bytes) -> bytes:
    text = body.decode("utf-8", "replace")
    return FORMS[form](text, time, "F").replace("stderr", stream, 1).encode("utf-8", "replace")


class Lines:
    """Lines by chance: hypothesis would take a second for as many."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def region(self) -> bytes:
        """Lines of several kinds, in runs."""
        found = [line for _ in range(self.chance.randrange(1, 6)) for line in self.run()]
        newline = b"\r\n" if self.chance.random() < 0.1 else b"\n"
        return b"".join(line.replace(b"\n", b" ") + newline for line in found)

    def run(self) -> list[bytes]:
        """Lines of one kind, or of two that alternate."""
        chance, count = self.chance, self.chance.randrange(1, 20)
        kind = chance.randrange(7)
        if kind < 3:
            form, odd = chance.choice(sorted(FORMS)), chance.choice([0, 0, 0.05, 0.3])
            return [self.wrapped(form, odd) for _ in range(count)]
        if kind == 3:
            return [self.body(chance.choice([0, 0.1])) for _ in range(count)]
        if kind == 4:
            return chance.choices(TEXTS, k=3)
        if kind == 5:
            name = chance.choice(["stdout", "stderr"])
            return [
                wrapped_in("cri", name, TIME, line.encode())
                for line in chance.choice([TRACE, OBJECT])[: chance.randrange(1, 6)]
            ]
        parts = [[*[self.object() for _ in range(chance.randrange(6))], chance.choice(TEXTS)] for _ in range(8)]
        return [line for part in parts for line in part]

    def wrapped(self, form: str, odd: float) -> bytes:
        """A line of a container."""
        time = self.chance.choice(ODD_TIMES if odd else TIMES)
        return wrapped_in(form, self.chance.choice(["stdout", "stdout", "stderr"]), time, self.body(odd))

    def body(self, odd: float) -> bytes:
        """A line of an application."""
        return self.chance.choice(ODD) if self.chance.random() < odd else self.object()

    def object(self) -> bytes:
        """A usual object, with something missing now and then."""
        chance = self.chance
        row = {
            "timestamp": f"2026-11-22T05:39:26.{chance.randrange(10**6):06d}Z",
            "level": chance.choice(["info", "error", "warn", 30, None, "x"]),
            "message": chance.choice(["m", "\u00f6", "<b>", "a\tb", 'pa"th\\']),
            "user": 1,
            "exc_info": "Traceback (most recent call last):\nValueError: x",
            "stream": chance.choice(["x", None]),
        }
        rare = {key for key in ("exc_info", "stream") if chance.random() < 0.9}
        rare |= {"timestamp"} if chance.random() < 0.15 else set()
        row["timestamp"] = "none" if chance.random() < 0.1 else row["timestamp"]
        return encode({key: value for key, value in row.items() if key not in rare}, chance.random() < 0.5,
                      chance.choice(["", " "]))  # fmt: skip


def both(data: bytes, config: ParseSettings, *, final: bool):
    """What a parser gives that knows the file's profile, in bulk and line by line."""
    first = FileParser(config)
    first._look_ahead(data * 9)
    found = []
    for in_bulk in (True, False):
        parser = FileParser(config, first.profile)
        if not in_bulk:
            parser._bulk = parser._bulk_paths()._replace(runs=None)
        out = parser.feed(LineBatch(tailed(), 0, data, OBSERVED, final=final))
        held = parser.flush()
        found.append((columns(out), columns(held), out.tail_open, held.tail_open))
    return found


@settings(max_examples=examples(300), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CONFIGS), st.booleans())
def test_lines_in_bulk_give_the_rows_of_those_one_by_one(seed, config, final):
    in_bulk, by_line = both(Lines(seed).region(), config, final=final)
    assert in_bulk == by_line


@pytest.mark.parametrize("form", ["cri", "go", "compact", "spaced"])
def test_a_usual_chunk_of_containers_goes_in_bulk(form, monkeypatch):
    """Otherwise the twin would prove nothing. Docker writes fewer digits where the last are zeros."""
    lines = [
        wrapped_in(form, ("stdout", "stderr")[n % 3 > 1], TIME if n % 10 else f"{TIME[:25]}Z",
                   encode({"timestamp": WRITTEN, "level": "info", "message": "ö <b>", "n": n}))
        for n in range(100)
    ]  # fmt: skip
    data = b"".join(line + b"\n" for line in lines)
    parser = FileParser(parsing())
    monkeypatch.setattr(careful, "read_object", lambda _: pytest.fail("careful path taken"))
    if form == "spaced":  # Python's writes no others than ASCII
        data = data.replace(b"\\u00f6", b"oe")
    out = parse_once(data, parser)
    assert len(out) == 100
    assert {len(raw) for raw in out.raws.values()} == {13}
    assert b"".join(original_of(r, out.raws[n]) + b"\n" for n, r in enumerate(out.records)) == data


@pytest.mark.parametrize("form", ["cri", "go"])
def test_the_time_of_the_container_is_that_of_lines_without_one(form):
    line = wrapped_in(form, "stdout", TIME, b'{"level":"error","message":"m"}') + b"\n"
    with_time = (
        wrapped_in(form, "stdout", TIME, b'{"time":"2026-11-22T05:00:00Z","level":"error","message":"m"}') + b"\n"
    )
    data = line * 10 + with_time * 50
    out = parse_once(data)
    assert out.timestamps[:10] == [1795325966123456789] * 10
    assert out.timestamps[10:] == [1795323600 * 10**9] * 50
    assert out.parse_errors == {}
    assert [error.timestamp for error in out.errors] == out.timestamps


def test_what_stands_between_objects_does_not_keep_them_from_their_path(monkeypatch):
    """JSON with every seventh line text: a whole chunk takes two batches at the most, one in vain."""
    rows = [
        b"2026-11-22 05:39:26 INFO a.b: x" if n % 7 == 6 else encode({"timestamp": WRITTEN, "level": "info", "n": n})
        for n in range(700)
    ]
    taken = []
    real = fast.FastPath.add

    def add(self, data, offset, work):
        done = real(self, data, offset, work)
        taken.append(data.count(b"\n") if done else 0)
        return done

    monkeypatch.setattr(fast.FastPath, "add", add)
    data = b"\n".join(rows) + b"\n"
    out = parse_once(data)
    assert sum(taken) == 600
    assert len(taken) <= 2
    assert out.offsets == [data.index(row, at) for row, at in zip(rows, out.offsets, strict=True)]
    assert out.loggers.count("a.b") == 100


def test_years_that_are_completed_are_those_of_their_rows():
    """The rows of the objects are there first, and are put into their places when those of the text follow."""
    lines = [encode({"timestamp": f"2024{WRITTEN[4:]}", "n": n}) for n in range(9)]
    lines[4:4] = [b"Nov 22 05:39:26 web1 shop[663]: x", b"Nov 22 05:39:26 web1 shop[663]: x"]
    in_bulk, by_line = both(b"\n".join(lines) + b"\n", parsing(), final=True)
    assert in_bulk == by_line
    assert {instant // 10**9 for instant in in_bulk[0][0]} == {1732253966}  # 2024-11-22T05:39:26Z


class LinesAlone:
    """A bulk path of text whose lines are all events by themselves."""

    def __init__(self) -> None:
        self.taken = []

    def add(self, data, offset, work):
        if b"ERROR" in data:
            return False
        self.taken.append(data.count(b"\n"))
        work.begin_rows()
        alone = assemble.Assembler(Compiled(parsing()), Profile(), work.observed)
        for line in data.splitlines(keepends=True):
            alone.lines(line, offset)
            alone.begin_rows()
            offset += len(line)
        runs.append_rows(alone.out, work.out)
        return True


@pytest.mark.parametrize(("odd", "taken"), [(b"INFO", 100), (b"ERROR", 96)])
def test_a_bulk_path_of_text_has_runs_of_it_and_lines_alone_between_objects(odd, taken, monkeypatch):
    """What it refuses is halved, and the rest goes line by line."""
    text = b"2026-11-22 05:39:26 INFO a.b: x"
    path = LinesAlone()
    monkeypatch.setattr(decode, "Runs", lambda rules, paths: runs.Runs(rules, {**paths, runs.OTHER: path}))
    rows = [text if n % 7 == 6 else encode({"timestamp": WRITTEN, "level": "info", "n": n}) for n in range(700)]
    rows[6] = text.replace(b"INFO", odd)
    data = b"\n".join(rows) + b"\n"
    out = parse_once(data)
    assert len(out) == 700
    assert out.offsets == sorted(out.offsets)
    assert taken - 4 <= sum(path.taken) <= taken


def test_a_chunk_is_freed_as_soon_as_it_is_parsed(monkeypatch):
    """Without a garbage collection, which the agent has rarely."""
    known = []
    real = assemble.Assembler.__init__

    def init(self, *arguments):
        real(self, *arguments)
        known.append(weakref.ref(self))

    monkeypatch.setattr(assemble.Assembler, "__init__", init)
    data = b"".join(wrapped_in("cri", "stdout", TIME, line.encode()) + b"\n" for line in [*TRACE, '{"a":1}'] * 20)
    gc.collect()
    gc.disable()
    try:
        parse_once(data)
        parse_once(json.dumps({"a": 1}).encode() + b"\n" + b"text\n" * 40)
        assert [one() for one in known] == [None] * len(known)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "parts", [['{"a":', '{"b":1}', "}"], ['{"a":[', '{"b":1}', ",", '{"c":2}', "]}"], ["{", '"a":', "", "{}}"]]
)
def test_an_object_inside_of_another_one_is_no_event_for_its_line_alone(parts):
    """Whatever stands around it is read in bulk."""
    usual = [encode({"timestamp": WRITTEN, "level": "info", "n": n}) for n in range(60)]
    data = b"\n".join([*usual[:30], *map(str.encode, parts), *usual[30:], b""])
    in_bulk, by_line = both(data, parsing(), final=True)
    assert in_bulk == by_line
    out = parse_once(data, FileParser(parsing()))
    assert len(out) == 61
    assert original_of(out.records[30], out.raws.get(30)) == "\n".join(parts).encode()
