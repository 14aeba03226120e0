"""What goes, in which order, and what stays; and that the disk gets its space back."""

import pytest
from msgspec.structs import replace

from agent.core.errors import StoreError
from agent.core.model import OwnError
from agent.store import tables
from agent.store.maintenance import Maintenance, Retention
from agent.store.migrations import v004_archives
from tests.store.stores import (
    DAY,
    MINUTE,
    NOW,
    another,
    balance,
    changes,
    events,
    gap,
    rows,
    stored,
    tailed,
    transaction,
    update,
    write,
)

YEAR = 365 * DAY


def retention(opened, **bounds):
    return Retention(opened.writer, **{"age_ns": None, "size_bytes": None, **bounds})


class Elapsed:
    """A clock that only counts, and only when it is told to; from 0 on, as on a machine that was just started."""

    def __init__(self, now=0.0):
        self.now = now

    def __call__(self):
        return self.now


def care_of(opened, bounds, said=None, clock=lambda: NOW, elapsed=None):
    report = (lambda *one: said.append(one)) if said is not None else (lambda *_: None)
    return Maintenance(opened.writer, bounds, report=report, clock=clock, elapsed=elapsed or Elapsed())


def numbers(opened):
    return [row[0] for row in rows(opened.writer.connection, "SELECT id FROM events ORDER BY id")]


def test_age_counts_from_the_storing_and_not_from_the_events_own_time(opened):
    """A backfill of old logs stays."""
    file = tailed()
    for observed, timestamp in ((NOW - 8 * DAY, NOW), (NOW - 6 * DAY, NOW - YEAR), (NOW, NOW - 9 * YEAR)):
        batch = events(file.offset, count=2, timestamp=timestamp)
        write(opened, transaction(stored(file, batch, observed=observed)))
    bounds = retention(opened, age_ns=7 * DAY)
    assert bounds.step(NOW) == 2
    assert numbers(opened) == [3, 4, 5, 6]
    assert bounds.step(NOW) == 0
    assert numbers(opened) == [3, 4, 5, 6]


def test_events_stored_by_a_wrong_clock_go_with_their_neighbours(opened):
    """Behind: not before those that were stored earlier. Ahead: no obstacle for those that were stored later."""
    file = tailed()
    for observed in (NOW - 9 * DAY, NOW + YEAR, NOW - 8 * DAY, NOW - 6 * DAY, NOW - YEAR, NOW + YEAR, NOW):
        write(opened, transaction(stored(file, events(file.offset, count=1), observed=observed)))
    bounds = retention(opened, age_ns=7 * DAY)
    assert bounds.step(NOW) == 3
    assert bounds.step(NOW) == 0
    assert numbers(opened) == [4, 5, 6, 7]
    assert bounds.step(NOW + 2 * DAY) == 5
    assert numbers(opened) == [6, 7]


def test_while_the_time_is_doubted_only_the_size_counts(opened):
    file = tailed()
    for observed in (NOW - YEAR, NOW):
        write(opened, transaction(stored(file, events(file.offset, count=1), observed=observed)))
    bounds = retention(opened, age_ns=7 * DAY)
    care = care_of(opened, bounds, clock=lambda: None)
    care.step()
    assert numbers(opened) == [1, 2]
    bounds.size_bytes = 1
    care.run_retention()
    assert numbers(opened) == []


def test_without_bounds_nothing_ever_goes(opened):
    write(opened, transaction(stored(tailed(), events(count=3), observed=1)))
    bounds = retention(opened)
    assert bounds.step(NOW) == 0
    assert numbers(opened) == [1, 2, 3]


def test_an_age_beyond_what_sqlite_holds_keeps_everything(opened):
    """A configuration may say 2,000 years to mean for ever."""
    write(opened, transaction(stored(tailed(), events(0, count=2), observed=NOW - 9 * YEAR)))
    assert retention(opened, age_ns=2_000 * YEAR).step(NOW) == 0


def test_an_empty_store_is_within_any_bounds(opened):
    assert retention(opened, age_ns=1, size_bytes=1).step(NOW) == 0


def test_much_goes_in_portions(opened):
    file = tailed()
    for _ in range(5):
        write(opened, transaction(stored(file, events(file.offset, count=1_000), observed=NOW - 8 * DAY)))
    bounds = retention(opened, age_ns=7 * DAY)
    assert [bounds.step(NOW), bounds.step(NOW), bounds.step(NOW), bounds.step(NOW)] == [2_000, 4_000, 5_000, 0]


def test_every_minute_that_lost_an_event_is_marked_and_no_other(opened):
    file = tailed()
    times = [-1, -MINUTE, 0, NOW, NOW + MINUTE]  # before and after 1970, and now
    for number, timestamp in enumerate(times):
        observed = NOW - 8 * DAY if number < 4 else NOW
        batch = events(file.offset, count=2, timestamp=timestamp, logger=f"l{number}")
        write(opened, transaction(stored(file, batch, observed=observed)))
    batch = events(file.offset, count=1, timestamp=NOW + 1)  # stays, in a minute that loses others
    write(opened, transaction(stored(file, batch)))
    assert retention(opened, age_ns=7 * DAY).step(NOW) == 8
    marked = {
        (minute, bool(expired))
        for minute, expired in rows(opened.writer.connection, "SELECT minute, expired FROM rollups")
    }
    assert marked == {(-1, True), (0, True), (NOW // MINUTE, True), (NOW // MINUTE + 1, False)}


def test_a_tail_that_goes_is_no_tail(opened):
    file, other = tailed(), tailed(2)
    write(opened, transaction(stored(file, events(tail_open=True), observed=NOW - 8 * DAY)))
    write(opened, transaction(stored(other, events(tail_open=True))))
    assert [found.tail_event_id for found in tables.load_files(opened.writer.connection)] == [1, 2]
    retention(opened, age_ns=7 * DAY).step(NOW)
    assert [found.tail_event_id for found in tables.load_files(opened.writer.connection)] == [None, 2]


def test_above_its_size_the_store_shrinks_and_keeps_the_newest(opened, path):
    file = tailed()
    record = '{"message": "' + "x" * 500 + '"}'
    for _ in range(20):
        write(opened, transaction(stored(file, events(file.offset, records=[record] * 1_000))))
    opened.writer.checkpoint()
    before = path.stat().st_size
    limit = before // 3
    bounds = retention(opened, size_bytes=limit)
    care = care_of(opened, bounds)
    care.run_retention()
    opened.writer.checkpoint()
    assert bounds.used_bytes() <= limit
    assert bounds.free_pages() == 0
    assert path.stat().st_size <= limit
    kept = numbers(opened)
    assert kept == list(range(kept[0], 20_001))
    assert len(kept) > 4_000, "and no more than it must"
    assert rows(opened.writer.connection, "PRAGMA integrity_check") == [("ok",)]


def test_few_long_events_go_one_by_one(opened):
    """A portion is bounded by what it frees, not only by its rows."""
    file = tailed()
    record = '{"message": "' + "x" * 1_000_000 + '"}'
    for _ in range(10):
        batch = events(file.offset, records=[record])
        batch.raws[0] = b"y" * 1_000_000
        write(opened, transaction(stored(file, batch)))
    bounds = retention(opened)
    bounds.size_bytes = bounds.used_bytes() - 3_000_000
    care_of(opened, bounds).run_retention()
    assert numbers(opened) == [3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("start", [0.0, 1e9])
def test_the_file_shrinks_on_an_idle_agent_too(opened, path, start):
    """No commit follows that would copy the WAL."""
    file = tailed()
    for _ in range(10):
        write(opened, transaction(stored(file, events(file.offset, count=1_000), observed=NOW - 8 * DAY)))
    opened.writer.checkpoint()
    before = path.stat().st_size
    elapsed = Elapsed(start)
    care = care_of(opened, retention(opened, age_ns=7 * DAY), elapsed=elapsed)
    care.step()
    while care.pending:
        care.step()
    assert numbers(opened) == []
    assert path.stat().st_size == before
    elapsed.now += 5
    care.step()
    assert path.stat().st_size < before / 2
    assert care._last_commit is None, "an idle store is copied once"


@pytest.mark.parametrize("start", [0.0, 100.0])
def test_what_is_due_is_done_when_it_is_due(opened, path, start):
    """The file is looked at every second, retention every ten, the rest every hour."""
    write(opened, transaction(stored(tailed(), events(), observed=NOW - 8 * DAY)))
    elapsed = Elapsed(start)
    care = care_of(opened, retention(opened, age_ns=None), elapsed=elapsed)
    care.step()
    care.retention = retention(opened, age_ns=7 * DAY)
    elapsed.now = start + 9
    care.step()
    assert numbers(opened) == [1]
    elapsed.now = start + 10
    care.step()
    assert numbers(opened) == []
    path.unlink()
    elapsed.now = start + 10.5
    care.step()
    elapsed.now = start + 11
    with pytest.raises(StoreError, match="deleted"):
        care.step()


def test_a_locked_store_keeps_its_old_events_for_now(opened, path):
    write(opened, transaction(stored(tailed(), events(count=3), observed=NOW - 8 * DAY)))
    opened.writer.connection.execute("PRAGMA busy_timeout = 10")
    other = another(path)
    other.execute("BEGIN IMMEDIATE")
    bounds = retention(opened, age_ns=7 * DAY)
    for attempt in (bounds.step, bounds.tidy):
        with pytest.raises(StoreError) as caught:
            attempt(NOW)
        assert caught.value.code == "SL408"
    other.close()
    assert bounds.step(NOW) == 3


# ------------------------------------------------------------ the longer retentions


def test_counts_and_trends_stay_for_more_than_a_year(opened):
    file = tailed()
    for timestamp in (NOW - 401 * DAY, NOW - 399 * DAY):
        batch = events(file.offset, timestamp=timestamp)
        group = update(1, timestamp=timestamp)
        write(opened, transaction(stored(file, batch), groups=[group]))
    retention(opened).tidy(NOW)
    kept = [((NOW - 399 * DAY) // MINUTE,)]
    assert rows(opened.writer.connection, "SELECT minute FROM rollups") == kept
    assert rows(opened.writer.connection, "SELECT minute FROM group_minutes") == kept


def test_groups_go_when_they_were_not_seen_for_long_and_have_no_events_left(opened):
    file = tailed()
    old = update(1, timestamp=NOW - 500 * DAY, services={"shop": 1})
    new = update(2, timestamp=NOW - DAY, services={"shop": 1})
    batch = events(timestamp=NOW - 500 * DAY)
    write(opened, transaction(stored(file, batch, groups={0: 1}), groups=[old, new]))
    retention(opened).tidy(NOW)
    assert rows(opened.writer.connection, "SELECT id FROM error_groups") == [(1,), (2,)]
    opened.writer.connection.execute("DELETE FROM events")
    retention(opened).tidy(NOW)
    assert rows(opened.writer.connection, "SELECT id FROM error_groups") == [(2,)]
    assert rows(opened.writer.connection, "SELECT group_id FROM group_services") == [(2,)]


def test_a_finished_file_goes_with_its_last_event_and_some_time(opened):
    def finished(number, observed, batch):
        file = tailed(number)
        write(opened, transaction(stored(file, batch, observed=observed)))
        write(opened, transaction(files=changes(replace(file, state="finished"))))

    broken = events(count=1)
    broken.gaps = [gap(broken.end, broken.end + 9)]
    broken.end += 9
    older = events(count=1)
    older.gaps = [gap(older.end, older.end + 9)]
    older.end += 9
    finished(1, NOW - 500 * DAY, older)  # its gaps are no longer interesting
    finished(2, NOW - 40 * DAY, events())
    finished(3, NOW - 40 * DAY, broken)  # its gaps are
    finished(4, NOW - 10 * DAY, events())
    write(opened, transaction(stored(tailed(5), events(), observed=NOW - 50 * DAY)))  # still followed
    bounds = retention(opened, age_ns=45 * DAY)
    bounds.tidy(NOW)
    connection = opened.writer.connection
    assert rows(connection, "SELECT count(*) FROM files") == [(5,)], "events of all of them are there"
    connection.execute("DELETE FROM events WHERE file_id <> 4")
    bounds.tidy(NOW)
    assert [file.id for file in tables.load_files(connection)] == [3, 4, 5]
    assert all(row.complete for row in balance(connection))
    assert rows(connection, "SELECT file_id FROM gaps") == [(3,)]


def test_gaps_of_a_followed_file_stay_so_that_its_books_balance(opened):
    batch = events(count=1)
    batch.gaps = [gap(batch.end, batch.end + 9)]
    batch.end += 9
    write(opened, transaction(stored(tailed(), batch, observed=NOW - 500 * DAY)))
    retention(opened).tidy(NOW)
    assert balance(opened.writer.connection)[0].complete


def test_own_errors_that_are_over_go_after_a_month(opened):
    def own(code, at, *, active):
        return OwnError(code, "s", "m", "h", at, active)

    errors = [
        own("SL1", NOW - 40 * DAY, active=True),
        own("SL2", NOW - 40 * DAY, active=False),
        own("SL3", NOW - DAY, active=False),
    ]
    write(opened, transaction(own_errors=errors))
    retention(opened).tidy(NOW)
    assert rows(opened.writer.connection, "SELECT code FROM own_errors ORDER BY 1") == [("SL1",), ("SL3",)]


def test_a_file_remembers_up_to_where_its_events_have_left_the_store(opened):
    """And a store that did not note it finds it out."""
    first, second = tailed(1), tailed(2)
    connection = opened.writer.connection
    for file in (first, second):
        for _ in range(3):
            write(opened, transaction(stored(file, events(file.offset, count=2), observed=NOW - 8 * DAY)))
    last = rows(connection, 'SELECT max("offset") FROM events WHERE file_id = 1')[0][0]
    opened.writer.change(lambda _: retention(opened)._delete_through(8))
    noted = rows(connection, "SELECT id, expired_offset, expired_events FROM files")
    third = rows(connection, 'SELECT min("offset") FROM events')[0][0]
    assert [(number, count) for number, _, count in noted] == [(1, 6), (2, 2)]
    assert noted[0][1] == last
    assert noted[1][1] < third
    connection.execute("UPDATE files SET expired_offset = -1")
    v004_archives.note_expired(connection)
    assert rows(connection, "SELECT expired_offset FROM files") == [(first.offset,), (third - 1,)]


def test_what_a_target_holds_back_is_looked_at_once_and_not_for_ever(opened):
    write(opened, transaction(stored(tailed(), events(count=5))))
    opened.writer.connection.execute(
        "INSERT INTO forward_targets (name, kind, url, hold_age, position, added)"
        " VALUES ('t', 'clickhouse', '', ?, 0, 0)",
        (10 * DAY,),
    )
    assert retention(opened, age_ns=DAY).step(NOW + 2 * DAY) == 0
    assert retention(opened, age_ns=DAY).step(NOW + 11 * DAY) == 5
