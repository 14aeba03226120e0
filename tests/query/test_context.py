"""`-A`, `-B`, `-C`: the lines around what was found, over store and archives alike."""

import json
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.query import open_engine
from agent.query.context import Surroundings, in_context
from agent.query.language import Selection, parse_query
from tests.query.stores import BASE, SECOND, EventRow, FileRow, make_store

FILES = [FileRow("shop", "/var/log/shop.log"), FileRow("pay", "/var/log/pay.log")]


def grep(lines, wanted, before, after):
    """What `grep -n` of one log prints, as stretches of line numbers: those that touch are one."""
    return sorted(
        {
            near
            for at, text in enumerate(lines)
            if text == wanted
            for near in range(max(0, at - before), min(len(lines), at + after + 1))
        }
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["hit", "miss"]), st.integers(0, 1)), max_size=25),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_around_each_match_stand_the_lines_of_its_log_once(tmp_path_factory, events, before, after):
    path = tmp_path_factory.mktemp("context") / "s.db"
    instant, rows, lines = BASE, [], {"a": [], "b": []}
    for log, text, seconds in events:
        instant += seconds * SECOND
        rows.append(EventRow({"message": text, "at": len(lines[log])}, instant, file=1 + (log == "b")))
        lines[log].append(text)
    make_store(path, rows, FILES).close()
    with closing(open_engine(path, path.parent / "archive")) as engine:
        upto = engine.position()
        matches = engine.events(Selection(parse_query("message=hit")), upto=upto)
        stretches = list(in_context(engine, matches, Surroundings(before, after), upto))
    for stretch in stretches:
        assert len({event.path for event in stretch}) == 1
        numbers = [event.fields["at"] for event in stretch]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for log, name in (("a", "/var/log/shop.log"), ("b", "/var/log/pay.log")):
        found = [event.fields["at"] for stretch in stretches for event in stretch if event.path == name]
        assert found == grep(lines[log], "hit", before, after)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.db"
    rows = [EventRow({"message": text, "n": n}, BASE + n * SECOND) for n, text in enumerate("abcdefgh")]
    make_store(path, [*rows, EventRow({"message": "other"}, BASE + 3 * SECOND, file=2)], FILES).close()
    return path


def query(capfdbinary, store, *arguments):
    from agent.cli.main import run_command_line

    code = run_command_line(["query", "--store", str(store), *arguments])
    out, err = capfdbinary.readouterr()
    return code, out.decode(), err.decode()


def test_stretches_are_parted_for_people_and_rows_for_machines(store, capfdbinary):
    code, out, _ = query(capfdbinary, store, "-C", "1", "message=b OR message=g", "-o", "raw")
    lines = [line if line == "--" else json.loads(line)["message"] for line in out.splitlines()]
    assert (code, lines) == (0, ["a", "b", "c", "--", "f", "g", "h"])
    _, out, _ = query(capfdbinary, store, "-A", "1", "message=b", "-o", "json")
    assert [json.loads(line)["body"] for line in out.splitlines()] == ["b", "c"]
    _, out, _ = query(capfdbinary, store, "-B", "2", "-C", "1", "message=d", "-o", "json")
    assert [json.loads(line)["body"] for line in out.splitlines()] == ["b", "c", "d", "e"]


@pytest.mark.parametrize("more", [["-f"], ["--count"], ["--by", "severity"], ["-r"], ["--cursor-file", "c"]])
def test_it_goes_with_nothing_that_counts_follows_or_turns_round(store, capfdbinary, more):
    code, _, err = query(capfdbinary, store, "-C", "1", *more)
    assert (code, "SL518" in err) == (2, True)


def test_aggregates_stand_beside_the_counts(store, capfdbinary):
    _, out, _ = query(capfdbinary, store, "--by", "source", "--agg", "sum:n,p50:n,avg:n", "-o", "json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"source": "shop", "count": 8, "sum:n": 28, "p50:n": 3, "avg:n": 3.5},
        {"source": "pay", "count": 1, "sum:n": None, "p50:n": None, "avg:n": None},
    ]
    _, out, _ = query(capfdbinary, store, "--agg", "max:n")
    assert out.split() == ["count", "max:n", "9", "7"]
    _, out, _ = query(capfdbinary, store, "--every", "4s", "--agg", "min:n", "-o", "csv")
    assert out.splitlines()[0] == "time,count,min:n"
    for wrong in (["--agg", "mean:n"], ["--agg", ""], ["--by", ""], ["--every", ""]):
        assert query(capfdbinary, store, *wrong)[0] == 2


def test_times_for_people_are_local_or_in_utc(store, capfdbinary, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        local = query(capfdbinary, store, "-n", "1")[1]
        buckets = query(capfdbinary, store, "--every", "1h", "--utc")[1]
        utc = query(capfdbinary, store, "-n", "1", "--utc")[1]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert int(local[11:13]) == (int(utc[11:13]) + 9) % 24
    assert buckets.splitlines()[1].split()[1] == f"{utc[11:13]}:00:00"
