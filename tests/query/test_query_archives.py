"""What the store has lost and the archives hold is found as if it were still stored."""

import json
from collections import Counter

import pytest

from agent.cli.errors import _trace
from agent.query.archives.engine import Cold, ColdGroup
from agent.query.language import Grouping, parse_query, parse_terms
from agent.query.selection import Selection
from agent.query.sqlite.samples import group_samples
from agent.query.sqlite.scan import Scan
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


def samples(tiers: Tiers, group: int) -> tuple[list, Cold]:
    cold = Cold(tiers.reader, with_hot=True)
    return group_samples(tiers.reader, group, ColdGroup(cold, group)), cold


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99, 1.0])
def test_samples_are_the_same_wherever_the_events_of_a_group_lie(tmp_path, share):
    with Tiers(tmp_path) as tiers:
        data = failures(41)
        tiers.store("app.log", data)
        [group] = {row[0] for row in tiers.reader.execute("SELECT group_id FROM events WHERE record LIKE '%failed%'")}
        wanted = group_samples(tiers.reader, group)
        traced = _trace(tiers.reader, wanted[0], None)
        assert (numbers(wanted), len(traced)) == ([0, 10, 20, 30, 40], 2)
        tiers.archive("app.log", data)
        tiers.expire(share)
        found, cold = samples(tiers, group)
        assert numbers(found) == numbers(wanted)
        assert {event.group for event in found} == {group}
        assert [event.record for event in _trace(tiers.reader, found[0], cold)] == [event.record for event in traced]
        assert _trace(tiers.reader, found[0], cold)[0].trace_id == found[0].trace_id
        assert cold.errors == []


def test_a_group_without_archived_events_has_the_stored_ones_and_no_other(tmp_path):
    with Tiers(tmp_path) as tiers:
        tiers.archive("old.log", line(50, "somebody else") + line(2, "something else", "info"))
        tiers.store("app.log", line(50, "order 1 failed", n=1) + line(1, "order 2 failed", n=2))
        found, cold = samples(tiers, 1)
        assert numbers(found) == [2, 1]
        assert _trace(tiers.reader, found[0], cold) == []


def test_a_damaged_archive_is_named_and_the_other_samples_are_shown(tmp_path):
    with Tiers(tmp_path) as tiers:
        for number in (1, 2):
            data = line(10 * number, f"order {number} failed", n=number)
            tiers.store(f"{number}.log", data)
            row = tiers.archive(f"{number}.log", data)
        tiers.expire()
        (tmp_path / row.path).write_bytes(b"")
        found, cold = samples(tiers, 1)
        assert numbers(found) == [1]
        assert [error.code for error in cold.errors] == ["SL803"]


def query(tiers: Tiers, text: str) -> list:
    return list(Cold(tiers.reader, with_hot=True).events(Selection(parse_query(text))))


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


@pytest.mark.parametrize("counting", [False, True])
def test_an_archive_that_retention_removes_during_a_search_is_not_missed(tmp_path, counting):
    with Tiers(tmp_path) as tiers:
        rows = archived_hours(tiers)
        cold = Cold(tiers.reader, with_hot=True)
        selection = Selection(parse_query("hour"))
        plan = cold.plan(selection)
        tiers.remove(rows[1])
        (tmp_path / rows[1].path).unlink()
        if counting:
            assert cold.counts(selection, Grouping(), plan).total() == 2
        else:
            assert [event.body for event in cold.search(plan, selection)] == ["hour 3", "hour 1"]
        assert cold.errors == []


def test_an_archive_that_somebody_else_removes_during_a_search_is_missed(tmp_path):
    with Tiers(tmp_path) as tiers:
        rows = archived_hours(tiers)
        cold = Cold(tiers.reader, with_hot=True)
        found = cold.events(Selection(parse_query("hour")), descending=True)
        assert next(found).body == "hour 1"
        (tmp_path / rows[0].path).unlink()
        assert [event.body for event in found] == ["hour 2"]
        assert [error.code for error in cold.errors] == ["SL802"]
        assert rows[0].path in cold.errors[0].message


def test_a_search_sees_the_archives_of_one_moment(tmp_path):
    """Also where its connection is in a transaction already."""
    with Tiers(tmp_path) as tiers:
        archived_hours(tiers)
        cold = Cold(tiers.reader, with_hot=True)
        tiers.reader.execute("BEGIN")
        assert len(cold.plan(Selection(parse_query(""))).frames) == 3
        assert tiers.reader.in_transaction
        tiers.reader.execute("COMMIT")
        assert len(cold.plan(Selection(parse_query(""))).frames) == 3
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
        wanted = [event.record for event in Scan(tiers.reader, selection).by_time()]
        assert len(wanted) == 1
        tiers.archive("app.log", log)
        tiers.expire()
        assert [event.record for event in Cold(tiers.reader, with_hot=True).events(selection)] == wanted


def test_processes_that_search_know_the_groups_too(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.query.archives.search._ALONE_S", 0.0)
    with Tiers(tmp_path) as tiers:
        data = failures(41)
        tiers.store("app.log", data)
        counts = dict(tiers.reader.execute("SELECT group_id, count(*) FROM events GROUP BY 1"))
        tiers.archive("app.log", data)
        tiers.expire()
        cold = Cold(tiers.reader, with_hot=True)
        assert {event.group for event in cold.events(Selection(parse_query("group=1")))} == {1}
        assert Counter(event.group for event in cold.events(Selection(parse_query("")))) == counts
        found = cold.counts(Selection(parse_query("")), Grouping(("group",)))
        assert {value and int(value): count for (_, (value,)), count in found.items()} == counts
