"""What the store has lost and the archives hold is found as if it were still stored."""

import json
from collections import Counter

import pytest

from agent.query.aggregate import buckets
from agent.query.archives.engine import ArchiveEngine
from agent.query.groups import group_samples, trace_events
from agent.query.language import Grouping, Selection, parse_query, parse_terms
from agent.query.sqlite.scan import EventScan
from tests.query.tiers import OBSERVED, Tiers, small_frames
from tests.sources import parsing

MINUTE = 60 * 10**9
TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 7, in add\n    x\nValueError: no item\n'


@pytest.fixture(autouse=True)
def _small_frames(monkeypatch):
    small_frames(monkeypatch, 600)


def line(minutes_ago: float, message: str, level="error", **fields) -> bytes:
    at = OBSERVED - round(minutes_ago * MINUTE)
    return (
        json.dumps({"timestamp": at, "level": level, "message": message, "logger": "shop", **fields}).encode() + b"\n"
    )


def failures(count: int) -> bytes:
    """One error in each of so many minutes, between other events, each in a trace of its own."""
    parts = []
    for number in reversed(range(count)):
        trace = f"{number:032x}"
        parts.append(line(number + 0.5, f"request {number}", "info", trace_id=trace))
        parts.append(line(number, f"order {number} failed", trace_id=trace, stack_trace=TRACE, n=number))
        parts.append(line(number - 0.1, f"other {number} trouble", exception="x"))
    return b"".join(parts)


def numbers(events) -> list[int]:
    return [event.fields["n"] for event in events]


def archives_of(tiers: Tiers) -> ArchiveEngine:
    return ArchiveEngine(tiers.reader, tiers.path, tiers.path.parent / "archive", beside_store=True)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99, 1.0])
def test_samples_are_the_same_wherever_the_events_of_a_group_lie(tmp_path, share):
    with Tiers(tmp_path) as tiers:
        data = failures(41)
        tiers.store("app.log", data)
        [group] = {row[0] for row in tiers.reader.execute("SELECT group_id FROM events WHERE record LIKE '%failed%'")}
        store = tiers.engine(archived=False)
        wanted = group_samples(store, group)
        traced = trace_events(store, wanted[0])
        assert (numbers(wanted), len(traced)) == ([0, 10, 20, 30, 40], 2)
        tiers.archive("app.log", data)
        tiers.expire(share)
        engine = tiers.engine()
        found = group_samples(engine, group)
        assert numbers(found) == numbers(wanted)
        assert {event.group for event in found} == {group}
        assert [event.record for event in trace_events(engine, found[0])] == [event.record for event in traced]
        assert trace_events(engine, found[0])[0].trace_id == found[0].trace_id
        assert engine.errors == []


def test_a_group_without_archived_events_has_the_stored_ones_and_no_other(tmp_path):
    with Tiers(tmp_path) as tiers:
        tiers.archive("old.log", line(50, "somebody else") + line(2, "something else", "info"))
        tiers.store("app.log", line(50, "order 1 failed", n=1) + line(1, "order 2 failed", n=2))
        engine = tiers.engine()
        found = group_samples(engine, 1)
        assert numbers(found) == [2, 1]
        assert trace_events(engine, found[0]) == []


def test_a_damaged_archive_is_named_and_the_other_samples_are_shown(tmp_path):
    with Tiers(tmp_path) as tiers:
        for number in (1, 2):
            data = line(10 * number, f"order {number} failed", n=number)
            tiers.store(f"{number}.log", data)
            row = tiers.archive(f"{number}.log", data)
        tiers.expire()
        (tmp_path / row.path).write_bytes(b"")
        engine = tiers.engine()
        assert numbers(group_samples(engine, 1)) == [1]
        assert [error.code for error in engine.errors] == ["SL803"]


def query(tiers: Tiers, text: str) -> list:
    return list(archives_of(tiers).events(Selection(parse_query(text))))


def test_archived_errors_have_the_group_and_category_that_they_had(tmp_path):
    with Tiers(tmp_path) as tiers:
        data = failures(6)
        tiers.store("app.log", data)
        rows = tiers.reader.execute("SELECT offset, group_id FROM events ORDER BY timestamp").fetchall()
        groups = dict(rows)
        categories = dict(tiers.reader.execute("SELECT id, category FROM error_groups"))
        tiers.archive("app.log", data)
        tiers.archive("never.log", line(3, "never stored at all") + line(3, "order 77 failed", stack_trace=TRACE))
        tiers.expire()
        found = query(tiers, "path=/var/log/app.log")
        assert {event.offset: event.group for event in found} == groups
        never = query(tiers, "path=/var/log/never.log")
        assert [event.group for event in never] == [None, groups[found[1].offset]], "what was never stored has no group"
        for group in set(groups.values()) - {None}:
            same = [event.offset for event in query(tiers, f"group={group} path~app")]
            assert sorted(same) == sorted(offset for offset, one in rows if one == group)
        for category in set(categories.values()):
            members = {group for group, one in categories.items() if one == category}
            assert {event.group for event in query(tiers, f"category={category}")} == members
        assert query(tiers, "group=99") == []
        others = [event for event in found if event.group != 1]
        assert len(query(tiers, "group!=1 path~app")) == len(others)
        assert tiers.reader.execute("SELECT count(*) FROM error_groups").fetchone() == (len(categories),)


def archived_hours(tiers: Tiers) -> list:
    """Three archives, the oldest first, of an event each."""
    return [tiers.archive(f"{hour}.log", line(60 * hour, f"hour {hour}", "info")) for hour in (3, 2, 1)]


def test_no_archive_is_opened_while_the_store_has_later_events_enough(tmp_path):
    with Tiers(tmp_path) as tiers:
        rows = archived_hours(tiers)
        tiers.store("app.log", line(90, "now 90") + line(2, "now 2") + line(1, "now 1"))
        for row in rows:
            (tmp_path / row.path).unlink()
        engine = tiers.engine()
        for text, lines in (("now", 2), ("", 2)):
            found = list(engine.events(Selection(parse_query(text)), lines))
            assert ([event.body for event in found], engine.errors) == (["now 2", "now 1"], [])
        found = list(engine.events(Selection(parse_query("now")), 3, newest_first=True))
        assert [event.body for event in found] == ["now 1", "now 2", "now 90"]
        assert len(engine.errors) == 1, "of the archive of an hour ago alone"


@pytest.mark.parametrize("counting", [False, True])
def test_an_archive_that_retention_removes_during_a_search_is_not_missed(tmp_path, counting):
    with Tiers(tmp_path) as tiers:
        rows = archived_hours(tiers)
        archives = archives_of(tiers)
        selection = Selection(parse_query("hour"))
        if counting:
            parts = archives.counts(selection, Grouping())
            assert next(parts).total() == 0, "what is counted is settled"
        else:
            plan = archives.plan(selection)
        tiers.remove(rows[1])
        (tmp_path / rows[1].path).unlink()
        if counting:
            assert sum(part.total() for part in parts) == 2
        else:
            assert [event.body for event in archives.search(plan, selection)] == ["hour 3", "hour 1"]
        assert archives.errors == []


def test_an_archive_that_somebody_else_removes_during_a_search_is_missed(tmp_path):
    with Tiers(tmp_path) as tiers:
        rows = archived_hours(tiers)
        archives = archives_of(tiers)
        found = archives.events(Selection(parse_query("hour")), newest_first=True)
        assert next(found).body == "hour 1"
        (tmp_path / rows[0].path).unlink()
        assert [event.body for event in found] == ["hour 2"]
        assert [error.code for error in archives.errors] == ["SL802"]
        assert rows[0].path in archives.errors[0].message


def test_a_search_sees_the_archives_of_one_moment(tmp_path):
    """Also where its connection is in a transaction already."""
    with Tiers(tmp_path) as tiers:
        archived_hours(tiers)
        archives = archives_of(tiers)
        tiers.reader.execute("BEGIN")
        assert len(archives.plan(Selection(parse_query(""))).frames) == 3
        assert tiers.reader.in_transaction
        tiers.reader.execute("COMMIT")
        assert len(archives.plan(Selection(parse_query(""))).frames) == 3
        assert not tiers.reader.in_transaction


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (b'{"message":"hello","password":"hunter2"}\n', "redacted"),
        (b'{"message":"hello password=hunter2 you"}\n', "[redacted] you"),
        (b'{"@t":"2026-11-18T10:00:00Z","@mt":"order {n} for {x}","n":17,"x":"ann"}\n', "message=order 17 for ann"),
        (b'{"message":"hello", "a": [1, 2], "a": [1, 2]}\n', "1,2"),
        (b'{"message":"hello", "a": 1e2, "a": 1e2}\n', "100.0"),
    ],
)
def test_what_stands_in_the_record_but_not_in_the_line_is_found(tmp_path, log, text):
    with Tiers(tmp_path, parsing(redact=("password",))) as tiers:
        tiers.store("app.log", log)
        selection = Selection(parse_terms([text]))
        wanted = [event.record for event in EventScan(tiers.reader, selection).by_time()]
        assert len(wanted) == 1
        tiers.archive("app.log", log)
        tiers.expire()
        assert [event.record for event in archives_of(tiers).events(selection)] == wanted


def test_processes_that_search_know_the_groups_too(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.query.archives.search._ALONE_S", 0.0)
    with Tiers(tmp_path) as tiers:
        data = failures(41)
        tiers.store("app.log", data)
        counts = dict(tiers.reader.execute("SELECT group_id, count(*) FROM events GROUP BY 1"))
        tiers.archive("app.log", data)
        tiers.expire()
        archives = archives_of(tiers)
        assert {event.group for event in archives.events(Selection(parse_query("group=1")))} == {1}
        assert Counter(event.group for event in archives.events(Selection(parse_query("")))) == counts
        grouping = Grouping(("group",))
        found = buckets(archives.counts(Selection(parse_query("")), grouping), grouping)
        assert {row.values[0] and int(row.values[0]): row.count for row in found} == counts


def test_events_of_one_instant_come_in_the_order_of_the_archives_and_their_lines_and_then_what_is_stored(tmp_path):
    logs = {name: line(1, f"{name} 1", "info") + line(1, f"{name} 2", "info") for name in ("a", "b")}
    everything = Selection(parse_query(""))

    def bodies(engine, **options) -> list[str]:
        return [event.body for event in engine.events(everything, **options)]

    with Tiers(tmp_path) as tiers:
        for name in ("a", "b"):
            tiers.store(name, logs[name])
        for name in ("b", "a"):
            tiers.archive(name, logs[name])
        assert bodies(tiers.engine(stored=False)) == ["b 1", "b 2", "a 1", "a 2"]
        assert bodies(tiers.engine(stored=False), newest_first=True) == ["a 2", "a 1", "b 2", "b 1"]
        tiers.expire(0.75)
        assert bodies(tiers.engine()) == ["b 1", "a 1", "a 2", "b 2"]
        assert bodies(tiers.engine(), lines=3, newest_first=True) == ["b 2", "a 2", "a 1"]
