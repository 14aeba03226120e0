"""A query over store and archives gives the same events, wherever they lie: compared with a store that has all."""

import contextlib
import io
import json
import random
import uuid

import pytest

from agent.cli.main import run_command_line
from agent.store.maintenance import Retention
from agent.store.opening import open_store
from tests.integration.archiving import age, archives, configure, run
from tests.integration.harness import Box

LINES = 1000
LEVELS = ("debug", "info", "info", "info", "warning", "error")


def line(choice: random.Random, number: int) -> bytes:
    """A line like those of real applications, now and then an odd one; times rise."""
    seconds, millis = divmod(number * 137, 1000)
    time = f"2026-11-22T{3 + seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{millis:03d}"
    kind = choice.random()
    if kind < 0.05:
        return f"{time}Z ERROR shop.text: größer {number}\nTraceback (most recent call last):\n  File \"a.py\", line 3, in f\n    f()\nKeyError: 'x{number}'\n".encode()  # noqa: E501
    if kind < 0.08:
        return b"plain \xff line %d without a time\n" % number
    row = {"timestamp": f"{time}Z", "level": choice.choice(LEVELS), "logger": choice.choice(("shop.cart", "shop.mail"))}
    row |= {"message": f"Handled {number}", "trace_id": f"{choice.getrandbits(128):032x}", "n": number}
    row["request_id"] = str(uuid.UUID(int=choice.getrandbits(128)))
    if kind < 0.15:
        row["note"] = choice.choice(['a "quoted" path/to', "Köln", "tab\there", "Timeout", "TIMEOUT"])
    return json.dumps(row, ensure_ascii=choice.random() < 0.5).encode() + b"\n"


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """One with everything in the store, and one with part of it there, part in both, and most in archives alone."""
    choice = random.Random(5)
    parts = [b"".join(line(choice, part * LINES + number) for number in range(LINES)) for part in range(3)]
    # Of JSON objects alone, of which a search parses only the lines that hold what it looks for.
    objects = (line(choice, 20_000 + number) for number in range(220))
    stranger = b"".join(data for data in objects if data.startswith(b"{"))
    hot, cold = (Box(tmp_path_factory.mktemp(name)) for name in ("hot", "cold"))
    for number, data in enumerate([*parts, stranger]):
        (hot.logs / f"app{number}.log").write_bytes(data)
    hot.once()
    configure(cold)
    for data in parts:
        cold.log.write_bytes(data)
        cold.once()
        cold.log.rename(cold.logs / "app.log.1")
        run(cold)
    (cold.logs / "app.log.2").write_bytes(stranger)
    age(cold.logs / "app.log.2")
    cold.log.write_bytes(b"")
    run(cold)
    assert len(archives(cold)) == 4
    opened = open_store(cold.store, min_free_bytes=0)
    retention = Retention(opened.writer, age_ns=None, size_bytes=None)
    [[gone]] = cold.sql("SELECT max(id) * 2 / 3 FROM events")
    with opened.writer.connection:
        retention._delete_through(gone)
    opened.close()
    return hot, cold


@pytest.fixture(autouse=True)
def _one_process(monkeypatch):
    """What runs in the test's own process is not to be forked, and opens one archive at a time."""
    monkeypatch.setattr("agent.query.archives.search._ALONE_S", 99)
    monkeypatch.setattr("agent.query.archives.opened._MOST", 1)


def ask(box: Box, *arguments: str) -> bytes:
    """What `query` prints, in the test's own process: a start of Python takes longer than most questions."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out):
        assert run_command_line(["query", "-c", str(box.config), *arguments]) == 0
    out.flush()
    return out.buffer.getvalue()


def answer(box: Box, *arguments: str) -> list[dict]:
    rows = [json.loads(text) for text in ask(box, "-o", "json", *arguments).splitlines()]
    for row in rows:
        for name in ("id", "path", "observed_timestamp", "group"):
            del row[name]
        if "parse_error" in row:
            del row["timestamp"]  # the time of reading
    return rows


QUERIES = [
    [], ["Handled"], ["handled", "7"], ["timeout"], ["Timeout"], ["severity>=error"], ["-p", "warn..error"],
    ["Köln"], ["köln"], ["quoted"], ['a "quoted"'], ["path/to"], ["größer"], ["KeyError"], ['level":"error'],
    ["logger=shop.mail"], ["n>2500"], ["n=20100"], ["message~ndled 1.5"], ["!Handled"], ["logger!=shop.mail"],
    ["exception.type=KeyError"], ["-S", "2026-11-22T03:05:00", "-U", "2026-11-22T03:07:00"], ["xff"], ["line 1"],
    ["stacktrace"], ["error", "level=warning"], ["source=app"], ["source=other"],
    ["logger=shop.mail", "logger=shop.text"],
    ["logger=shop.m*"], ["note=*"], ["note!=K*"], ["request_id=a*", "n<900"], ["severity=err*"], ["group=*"],
    ["attributes.note=Köln"], ["attributes.message~ndled 1.5"], ["Köln", "OR", "n=20100"],
    ["(timeout OR KeyError) shop"],
    ["(", "level=error", "OR", "note=tab*", ")", "!Handled 1"], ["!(Handled OR größer)"], ["group=* OR n>20190"],
    ["(source=app n<20) OR (severity>=error n>20000)"], ["severity=warn* OR source=none"],
]  # fmt: skip


def key(row: dict) -> str:
    return json.dumps(row, sort_keys=True)


def test_every_query_has_the_same_answer(boxes):
    for query in QUERIES:
        wanted, found = (answer(box, "-n", "all", *query) for box in boxes)
        assert sorted(map(key, found)) == sorted(map(key, wanted)), query
        times = [row["timestamp"] for row in found if "timestamp" in row]
        assert times == sorted(times), query
        assert int(ask(boxes[1], "--count", *query)) == len(wanted), query


def test_an_id_is_found_by_its_field_and_alone_wherever_it_is(boxes):
    hot, cold = boxes
    rows = [row for row in answer(hot, "-n", "all") if row["trace_id"]]
    for row in random.Random(1).sample(rows, 3):
        for term in (row["trace_id"], f"trace_id={row['trace_id']}", row["attributes"]["request_id"][9:]):
            assert answer(cold, term) == [row], term
        assert answer(cold, f"request_id={row['attributes']['request_id']}") == [row]
        assert answer(cold, row["trace_id"][3:20].upper()) == answer(hot, row["trace_id"][3:20].upper())
    assert answer(cold, "00000000000000000000000000000000") == []


def test_the_newest_come_in_the_order_that_is_asked_for(boxes):
    for options in (["-n", "7"], ["-n", "7", "-r"], ["-r", "-n", "all"], ["-n", "6000"]):
        wanted, found = (answer(box, *options, "logger~shop") for box in boxes)
        assert found == wanted, options


def test_more_than_are_held_in_memory_come_in_the_same_order(boxes, monkeypatch):
    """They are found twice then; the number that is held is made small."""
    wanted = answer(boxes[0], "-n", "300", "logger~shop")
    monkeypatch.setattr("agent.query.engine.HELD_EVENTS", 50)
    assert answer(boxes[1], "-n", "300", "logger~shop") == wanted
    assert answer(boxes[1], "-n", "300", "no such text") == []


def test_several_processes_find_and_count_what_one_does(boxes):
    """What the index can tell, and what it cannot."""
    several = boxes[1]
    for query in (["Handled", "7"], ["köln"], ["group=1"]):
        wanted = ask(several, "-o", "json", "--archives", "-n", "all", *query)
        assert several.run("query", "-o", "json", "--archives", "-n", "all", *query).stdout == wanted, query
        [counted] = map(json.loads, ask(several, "-o", "json", "--archives", "--by", "source", *query).splitlines())
        assert counted["count"] == len(wanted.splitlines()), query
    for grouping in (["severity>=error", "--by", "source"], ["--by", "n"]):
        done = several.run("query", "-o", "json", "--archives", *grouping)
        assert done.stdout == ask(several, "-o", "json", "--archives", *grouping), grouping


def test_counts_are_the_same(boxes):
    until = ["-U", "2026-11-22T06:00:00"]  # without the times of reading
    groupings = (["--by", "severity"], ["--by", "logger,severity"], ["--by", "source", "--every", "1m"])
    for grouping in (*groupings, ["--by", "n", "--top", "3"]):
        wanted, found = (ask(box, "-o", "json", *until, *grouping) for box in boxes)
        assert found == wanted, grouping
        assert len(found.splitlines()) > 0


def test_status_says_how_much_of_what_has_left_the_store_can_still_be_searched(boxes):
    _, cold = boxes
    archive = cold.status()["archive"]
    assert archive["expired_events"] == archive["searchable_events"] > 1300
    assert archive["searchable_share"] == 1.0
    assert b"100% can still be searched" in cold.run("status").stdout


@pytest.mark.measured
def test_a_header_is_printed_once_although_processes_are_started(boxes):
    _, cold = boxes
    table = cold.run("query", "-n", "all", "-o", "csv", "--fields", "timestamp,n").stdout.splitlines()
    assert table.count(b"timestamp,n") == 1


def test_each_tier_can_be_asked_alone(boxes):
    hot, cold = boxes
    total = int(ask(hot, "--count"))
    in_store = int(ask(cold, "--count", "--hot"))
    archived = int(ask(cold, "--count", "--archives"))
    assert in_store == cold.count() < total
    assert archived == total, "what is in both is in the archives too"


def test_raw_is_byte_for_byte(boxes):
    wanted, found = (sorted(box.raw("Handled").splitlines()) for box in boxes)
    assert found == wanted


def test_a_damaged_archive_is_named_and_hides_nothing_else(boxes):
    _, cold = boxes
    victim = archives(cold)[1]
    whole = victim.read_bytes()
    everything = answer(cold, "-n", "all")
    try:
        victim.write_bytes(whole[:2000] + b"\0\0\0\0" + whole[2004:])
        done = cold.run("query", "-n", "all", "-o", "json")
        assert done.returncode == 1
        assert done.stderr.count(b"error[SL803]") == 1
        assert str(victim).encode() in done.stderr
        lines = done.stdout.splitlines()
        assert len(everything) - 1200 < len(lines) < len(everything)
        victim.unlink()
        done = cold.run("query", "--count", "Handled")
        assert done.returncode == 1
        assert b"error[SL802]" in done.stderr
        assert int(done.stdout) > 0
        assert cold.run("query", "--hot", "--count").returncode == 0
    finally:
        victim.write_bytes(whole)
    assert answer(cold, "-n", "all") == everything
