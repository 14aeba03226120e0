"""One transaction: events, offsets, gaps, groups, rollups and own errors, or nothing of it."""

import contextlib
import copy
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import force_setattr, replace

from agent.core.errors import StoreError
from agent.core.event import RAW_CARRIAGE_RETURN, RAW_MESSAGE
from agent.core.fields import Profile
from agent.core.model import Continuation, ErrorEvent, Gap, OwnError, Transaction
from agent.core.text import to_text
from agent.store import tables
from agent.store.groups import known_groups
from agent.store.reader import highest_id
from agent.store.rollups import OTHER_LOGGERS
from agent.store.schema import PAGE_SIZE_BYTES
from tests.store.stores import (
    MINUTE,
    NOW,
    another,
    balance,
    changes,
    content,
    events,
    gap,
    rows,
    store_at,
    stored,
    tailed,
    transaction,
    update,
    write,
)

# ------------------------------------------------------------ rows


@pytest.mark.parametrize("sparse", [False, True])
def test_blocks_of_every_size_keep_order_and_values(opened, sparse):
    """One statement stores up to 64 rows, the rest powers of two; a row with raw bytes changes the way for all."""
    connection = opened.writer.connection
    start = 0
    for size in range(1, 201):
        batch = events(start, count=size, step_ns=1, severity=size % 25, logger=None)
        if sparse:
            batch.raws[size - 1] = b"\xff\x00"
        groups = {size // 2: 7}
        write(opened, transaction(stored(tailed(), batch, observed=NOW + size, groups=groups)))
        found = rows(
            connection,
            'SELECT timestamp, observed_timestamp, severity_number, file_id, "offset", group_id, record, raw,'
            ' parse_error FROM events WHERE "offset" >= ? ORDER BY id',
            start,
        )
        assert found == [
            (
                NOW + row,
                NOW + size,
                size % 25,
                1,
                batch.offsets[row],
                groups.get(row),
                batch.records[row],
                batch.raws.get(row),
                None,
            )
            for row in range(size)
        ]
        start = batch.end
    assert rows(connection, "SELECT max(id) - min(id) + 1, count(*) FROM events") == [(20_100, 20_100)]


def test_raw_forms_and_reasons_are_kept_as_they_are(opened):
    raws = {0: b"\xff\xfe\x00", 1: RAW_CARRIAGE_RETURN, 2: RAW_MESSAGE, 3: b""}
    batch = events(count=6, raws=raws, parse_errors={4: "not JSON"})
    write(opened, transaction(stored(tailed(), batch)))
    found = rows(opened.writer.connection, "SELECT raw, parse_error, typeof(raw) FROM events ORDER BY id")
    assert found == [
        (b"\xff\xfe\x00", None, "blob"),
        (1, None, "integer"),
        (2, None, "integer"),
        (b"", None, "blob"),
        (None, "not JSON", "null"),
        (None, None, "null"),
    ]


def test_text_of_every_kind_comes_back(opened):
    records = ['{"message": "a\\u0000b"}', '{"m": "ö 日本 😀"}', "{}", '{"message": "' + "x" * 3_000_000 + '"}']
    write(opened, transaction(stored(tailed(), events(records=records))))
    assert [row[0] for row in rows(opened.writer.connection, "SELECT record FROM events ORDER BY id")] == records


def test_a_files_row_says_where_it_stands_and_what_it_is(opened):
    profile = Profile(format="json", message=("log", "text"), logger=("logger",), trace_id=("a.b",))
    file = tailed(
        3,
        head_length=10,
        head_hash=b"headhead",
        first_seen=NOW - 5,
        profile=profile.to_json(),
        resource='{"service.name":"shop"}',
    )
    write(opened, transaction(stored(file, events(count=2), observed=NOW)))
    [found] = tables.load_files(opened.writer.connection)
    assert (found.id, found.offset, found.marker_length, found.marker_hash) == (3, events(count=2).end, 5, b"marker..")
    assert (found.head_length, found.head_hash, found.first_seen, found.last_read) == (10, b"headhead", NOW - 5, NOW)
    assert (found.current_path, found.state, found.profile) == (file.path, "active", file.profile)
    assert tables.last_file_id(opened.writer.connection) == 3
    assert rows(
        opened.writer.connection, "SELECT resource, message_path, logger_path, service_path, trace_path FROM files"
    ) == [('{"service.name":"shop"}', '$."log"."text"', '$."logger"', None, '$."a.b"')]


def test_saving_a_file_again_changes_all_but_its_position(opened):
    file = tailed(profile=Profile(message=("m",)).to_json())
    write(opened, transaction(stored(file, events(count=2))))
    renamed = tailed(current_path="/var/log/app.1", state="rotated", offset=9_999, head_length=4)
    write(opened, transaction(files=changes(renamed)))
    [found] = tables.load_files(opened.writer.connection)
    assert (found.offset, found.current_path, found.state) == (events(count=2).end, "/var/log/app.1", "rotated")
    assert (found.path, found.head_length) == (file.path, 4)
    assert rows(opened.writer.connection, "SELECT message_path, start_offset FROM files") == [('$."m"', 0)]


def test_a_new_file_without_lines_is_remembered_with_its_start(opened):
    write(opened, transaction(files=changes(tailed(4, offset=500))))
    assert rows(opened.writer.connection, 'SELECT id, "offset", start_offset FROM files') == [(4, 500, 500)]
    assert tables.last_file_id(opened.writer.connection) == 4


def test_a_transaction_is_something_only_with_content():
    assert not transaction()
    assert transaction(own_errors=[OwnError("SL201", "a", "b", "c", NOW)])
    assert transaction(files=changes(tailed()))


# ------------------------------------------------------------ the books


def test_every_byte_is_an_events_a_blank_lines_or_a_gaps(opened):
    file = tailed(offset=100)
    batch = events(100, count=3, blank_bytes=7)
    batch.gaps = [gap(batch.end, batch.end + 50), gap(batch.end + 50, batch.end + 60, "hole")]
    batch.end += 60
    write(opened, transaction(stored(file, batch, observed=NOW)))
    connection = opened.writer.connection
    [row] = balance(connection)
    assert row.complete
    assert row.difference == 0
    assert (row.start_offset, row.offset, row.events, len(row.gaps)) == (100, batch.end, 3, 2)
    assert (row.event_bytes, row.blank_bytes, row.gap_bytes) == (batch.end - 100 - 67, 7, 60)
    assert rows(connection, 'SELECT "from", "to", reason, time, sample FROM gaps ORDER BY id') == [
        (batch.end - 60, batch.end - 10, "over_long", NOW, b"sample"),
        (batch.end - 10, batch.end, "hole", NOW, b"sample"),
    ]


@pytest.mark.parametrize(
    "spoil",
    ["UPDATE files SET event_bytes = event_bytes - 1", "DELETE FROM gaps", 'UPDATE gaps SET "to" = "to" + 1'],
)
def test_books_that_do_not_balance_are_found(opened, spoil):
    batch = events(count=3)
    batch.gaps = [gap(batch.end, batch.end + 5)]
    batch.end += 5
    write(opened, transaction(stored(tailed(), batch)))
    opened.writer.connection.execute(spoil)
    [row] = balance(opened.writer.connection)
    assert not row.complete


# ------------------------------------------------------------ groups and own errors


def test_groups_gather_what_transactions_add(opened):
    first = update(1, count=2, timestamp=NOW, severity=17)
    later = update(1, count=3, timestamp=NOW + MINUTE, severity=21)
    earlier = update(1, count=1, timestamp=NOW - MINUTE, severity=17)
    for one in (first, later, earlier):
        write(opened, transaction(stored(tailed(), events(tailed().offset)), groups=[one]))
    connection = opened.writer.connection
    assert rows(connection, "SELECT count, first_seen, last_seen, severity_number, state FROM error_groups") == [
        (6, NOW - MINUTE, NOW + MINUTE, 21, "new")
    ]
    assert rows(connection, "SELECT minute, count FROM group_minutes ORDER BY minute") == [
        (NOW // MINUTE - 1, 1),
        (NOW // MINUTE, 2),
        (NOW // MINUTE + 1, 3),
    ]


def test_groups_keep_their_template_and_grouping_gets_it_back(opened):
    """The last seen first, no more than asked for, each with the version of the rules that made it."""
    groups = [
        update(1, template="message\na\nx y"),
        update(2, timestamp=NOW + 1, template="message\na\n<*>"),
        update(3),
        update(4, timestamp=NOW + 2, template="old", fingerprint_version=0),
        update(5, timestamp=NOW + 1, template="type\nE\n<word>"),
    ]
    for some in (groups, [update(2, timestamp=NOW + 1), update(1, timestamp=NOW - 1, template="message\na\nx <word>")]):
        write(opened, transaction(stored(tailed(), events(tailed().offset)), groups=some))
    known, templates = known_groups(opened.writer.connection, 10)
    assert sorted(known) == [(f"print{number}", number, int(number != 4)) for number in range(1, 6)]
    assert templates == [
        ("print4", "old", NOW + 2, 0),
        ("print5", "type\nE\n<word>", NOW + 1, 1),
        ("print2", "message\na\n<*>", NOW + 1, 1),
        ("print1", "message\na\nx <word>", NOW, 1),
    ]
    assert known_groups(opened.writer.connection, 2)[1] == templates[:2]


@pytest.mark.parametrize(
    ("state", "after", "becomes"),
    [
        ("resolved", MINUTE, "regressed"),
        ("resolved", -MINUTE, "resolved"),  # a backfill of old logs
        ("ignored", MINUTE, "ignored"),
        ("ongoing", MINUTE, "ongoing"),
        ("regressed", MINUTE, "regressed"),
    ],
)
def test_only_a_resolved_group_regresses_and_only_by_a_later_event(opened, state, after, becomes):
    write(opened, transaction(own_errors=[OwnError("SL201", "", "", "", 1)], groups=[update(1)]))
    connection = opened.writer.connection
    connection.execute("UPDATE error_groups SET state = ?, state_changed = ?", (state, NOW + 1))
    write(opened, transaction(own_errors=[OwnError("SL201", "", "", "", 1)], groups=[update(1, timestamp=NOW + after)]))
    changed = NOW + after if becomes != state else NOW + 1
    assert rows(connection, "SELECT state, state_changed, count FROM error_groups") == [(becomes, changed, 2)]


def test_own_errors_are_counted_and_end(opened):
    def said(*errors):
        write(opened, transaction(own_errors=list(errors)))
        return rows(
            opened.writer.connection, "SELECT message, hint, first_seen, last_seen, count, active FROM own_errors"
        )

    assert said(OwnError("SL410", "s", "low", "free it", 10)) == [("low", "free it", 10, 10, 1, 1)]
    assert said(OwnError("SL410", "s", "lower", "free it", 20, count=4)) == [("lower", "free it", 10, 20, 5, 1)]
    assert said(OwnError("SL410", "s", "", "", 30, active=False)) == [("lower", "free it", 10, 30, 5, 0)]
    assert said(OwnError("SL410", "s", "again", "free it", 40)) == [("again", "free it", 10, 40, 6, 1)]


def test_an_own_error_may_be_about_a_name_that_is_not_utf8(opened):
    """It was the end of the agent: whoever could make a named pipe in a directory of logs could bring it about."""
    path = os.fsdecode(b"/logs/caf\xe9.log")
    write(opened, transaction(own_errors=[OwnError("SL202", path, f"{path} is a named pipe", f"exclude {path}", 10)]))
    found = rows(opened.writer.connection, "SELECT subject, message, hint FROM own_errors")
    assert found == [(to_text(path), f"{to_text(path)} is a named pipe", f"exclude {to_text(path)}")]


# ------------------------------------------------------------ continued events


def joined(record, raw, continuation):
    """Stands for the parser's: appends the lines and says which error it is now."""
    error = ErrorEvent(0, 0, 17, "boom", exception_type="ValueError")
    return record[:-2] + "+" + continuation.raw.decode() + '"}', bytearray(b"whole"), error


def plain(record, raw, continuation):
    return record[:-2] + "+" + continuation.raw.decode() + '"}', None, None


def open_event(opened, *, severity=17, groups=None, group_ids=None):
    file = tailed()
    batch = events(count=2, severity=severity, tail_open=True)
    write(opened, transaction(stored(file, batch, groups=group_ids), groups=groups or []))
    return file


def continued(start, more=0, **facts):
    batch = events(start + 6, count=more, continuation=Continuation(b"  at x"), **facts)
    batch.end = batch.end if more else start + 7
    return batch


def test_later_lines_join_the_last_event_and_move_it_to_its_new_group(opened):
    file = open_event(opened, groups=[update(1, count=2, services={"": 1, "till": 1})], group_ids={0: 1, 1: 1})
    file = replace(file, resource='{"service.name": "till"}')
    asked = []

    def describe(error):
        asked.append(error.timestamp)
        return update(2, timestamp=error.timestamp, services={error.service: 1})

    write(opened, transaction(stored(file, continued(file.offset, tail_open=True))), join=joined, describe=describe)
    connection = opened.writer.connection
    assert asked == [NOW]
    assert rows(connection, "SELECT group_id, record, raw FROM events ORDER BY id")[1] == (
        2,
        '{"message": "m1+  at x"}',
        b"whole",
    )
    assert rows(connection, "SELECT id, count FROM error_groups ORDER BY id") == [(1, 1), (2, 1)]
    assert rows(connection, "SELECT group_id, count FROM group_minutes ORDER BY 1") == [(1, 1), (2, 1)]
    assert rows(connection, "SELECT * FROM group_services ORDER BY 1, 2") == [(1, "", 1), (2, "till", 1)]
    assert balance(connection)[0].complete
    assert tables.load_files(connection)[0].tail_event_id == 2, "more lines may follow"


def test_an_event_that_stays_in_its_group_is_counted_once(opened):
    file = open_event(opened, groups=[update(1, count=2)], group_ids={0: 1, 1: 1})
    for _ in range(3):
        tx = transaction(stored(file, continued(file.offset, tail_open=True)))
        write(opened, tx, join=joined, describe=lambda _: update(1))
    assert rows(opened.writer.connection, "SELECT count FROM error_groups") == [(2,)]


def test_a_group_that_loses_its_only_event_goes(opened):
    file = open_event(opened, groups=[update(1)], group_ids={1: 1})
    write(opened, transaction(stored(file, continued(file.offset))), join=joined, describe=lambda _: update(2))
    connection = opened.writer.connection
    assert rows(connection, "SELECT id FROM error_groups") == [(2,)]
    assert rows(connection, "SELECT group_id FROM group_minutes") == [(2,)]


def test_an_event_and_its_continuation_in_one_transaction_are_counted_once(opened):
    file = tailed()
    first = stored(file, events(count=1, severity=17, tail_open=True), groups={0: 1})
    second = stored(file, continued(first.events.end))
    tx = transaction(first, second, groups=[update(1)])
    write(opened, tx, join=joined, describe=lambda _: update(2))
    assert rows(opened.writer.connection, "SELECT id, count FROM error_groups") == [(2, 1)]
    assert rows(opened.writer.connection, "SELECT group_id FROM events") == [(2,)]


def test_an_event_that_only_its_trace_makes_an_error_is_found_as_one(opened):
    """Its minute's counts are no longer to be trusted: readers scan it."""
    file = open_event(opened, severity=9)
    write(opened, transaction(stored(file, continued(file.offset))), join=joined, describe=lambda _: update(1))
    connection = opened.writer.connection
    assert rows(connection, "SELECT severity_number, group_id FROM events ORDER BY id") == [(9, None), (17, 1)]
    assert rows(connection, "SELECT minute, expired FROM rollups") == [(NOW // MINUTE, 1)]


def test_lines_that_make_no_error_only_lengthen_the_event(opened):
    file = open_event(opened, severity=9)
    write(opened, transaction(stored(file, continued(file.offset, 2))), join=plain)
    connection = opened.writer.connection
    assert rows(connection, "SELECT record, raw, group_id, severity_number FROM events ORDER BY id")[1] == (
        '{"message": "m1+  at x"}',
        None,
        None,
        9,
    )
    assert rows(connection, "SELECT count(*) FROM events") == [(4,)]
    assert tables.load_files(connection)[0].tail_event_id is None


def test_lines_whose_event_was_deleted_are_stored_as_their_own(opened):
    file = open_event(opened)
    connection = opened.writer.connection
    connection.execute("DELETE FROM events")
    start = file.offset
    batch = events(start + 8, count=1, continuation=Continuation(b"  at \xff"))
    write(opened, transaction(stored(file, batch, observed=NOW + MINUTE)))
    found = rows(connection, 'SELECT timestamp, severity_number, "offset", record, raw, parse_error FROM events')
    assert found[0] == (
        NOW + MINUTE,
        0,
        start,
        '{"message":"  at \\\\xff"}',
        b"  at \xff",
        "continues an event that was deleted",
    )
    [books] = balance(connection)
    assert books.complete
    assert books.events == 4
    assert rows(connection, "SELECT sum(count) FROM rollups WHERE minute = ?", NOW // MINUTE + 1) == [(1,)]


def test_no_later_event_is_taken_for_the_continued_one(opened):
    """The tail moves with each batch: here the second event is no longer open."""
    file = open_event(opened)
    write(opened, transaction(stored(file, events(file.offset, count=1))))
    assert tables.load_files(opened.writer.connection)[0].tail_event_id is None


# ------------------------------------------------------------ all or nothing

PARTS = {
    "events": "BEFORE INSERT ON events WHEN NEW.record LIKE '%m1%'",
    "offset": 'BEFORE UPDATE OF "offset" ON files',
    "gap": "BEFORE INSERT ON gaps",
    "group": "BEFORE INSERT ON error_groups",
    "minute": "BEFORE INSERT ON group_minutes",
    "rollup": "BEFORE INSERT ON rollups",
    "own error": "BEFORE INSERT ON own_errors",
    "other file": "BEFORE INSERT ON files WHEN NEW.id = 2",
}


def everything():
    batch = events(count=4)
    batch.gaps = [gap(batch.end, batch.end + 5)]
    batch.end += 5
    return transaction(
        stored(tailed(), batch, groups={0: 1}),
        files=changes(tailed(2)),
        groups=[update(1)],
        own_errors=[OwnError("SL201", "a", "gone", "look", NOW)],
    )


@pytest.mark.parametrize("part", PARTS)
def test_a_failure_anywhere_leaves_nothing_and_the_same_transaction_works_later(tmp_path, part):
    with store_at(tmp_path / "a" / "s.db") as good, store_at(tmp_path / "b" / "s.db") as bad:
        tx = everything()
        unharmed = copy.deepcopy(tx)
        connection = bad.writer.connection
        before = content(connection)
        connection.execute(f"CREATE TEMP TRIGGER fails {PARTS[part]} BEGIN SELECT raise(ABORT, 'injected'); END")
        for _ in range(2):
            with pytest.raises(StoreError, match="injected") as caught:
                bad.writer.write(tx, joined, update)
            assert caught.value.retryable
            assert content(connection) == before
            assert tx == unharmed
        connection.execute("DROP TRIGGER fails")
        write(bad, tx)
        write(good, everything())
        assert content(connection) == content(good.writer.connection)


def test_a_failure_that_is_not_the_stores_rolls_back_too(opened):
    file = open_event(opened)
    before = content(opened.writer.connection)
    with pytest.raises(ZeroDivisionError):
        write(opened, transaction(stored(file, continued(file.offset))), join=lambda *_: 1 / 0)
    assert not opened.writer.connection.in_transaction
    assert content(opened.writer.connection) == before


def test_a_value_that_sqlite_cannot_hold_leaves_nothing(opened):
    before = content(opened.writer.connection)
    with pytest.raises(OverflowError):
        write(opened, transaction(stored(tailed(), events(count=2, timestamp=2**63))))
    assert content(opened.writer.connection) == before
    write(opened, transaction(stored(tailed(), events(count=2))))


def draw_plan(random):
    """Transactions as (batches, failures before success); a batch is (file, events, blank bytes, gap bytes, raw)."""

    def one_event():
        instant = random.choice([random.randrange(-(10**18), 4 * 10**18), NOW + random.randrange(3 * MINUTE)])
        return instant, random.choice([0, 5, 9, 17, 21]), random.choice([None, "", "a", "b", "ö"])

    def one_batch():
        drawn = [one_event() for _ in range(random.choice([0, 1, 5, 63, 64, 70]))]
        return random.randint(1, 3), drawn, random.randint(0, 30), random.choice([0, 0, 12]), random.random() < 0.3

    return [
        ([one_batch() for _ in range(random.randint(1, 4))], random.choice([0, 1, 8]))
        for _ in range(random.randint(1, 5))
    ]


def build(parts, files, ends):
    """A transaction from drawn values."""
    batches = []
    for number, drawn, blank, gap_bytes, raw in parts:
        file = files.setdefault(number, tailed(number, source=f"s{number % 2}"))
        batch = events(ends.get(number, 0), count=len(drawn), blank_bytes=blank)
        batch.timestamps = [one[0] for one in drawn]
        batch.severities = [one[1] for one in drawn]
        batch.loggers = [one[2] for one in drawn]
        if gap_bytes:
            batch.gaps = [Gap(batch.end, batch.end + gap_bytes, "hole")]
            batch.end += gap_bytes
        if raw and drawn:
            batch.raws[0] = b"raw"
        ends[number] = batch.end
        batches.append(stored(file, batch))
    return transaction(*batches)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_rows_offsets_books_and_rollups_agree_whatever_fails_when(tmp_path_factory, seed):
    """Random batches; before a commit goes through, it is interrupted at ever later steps of its statements."""
    plan = draw_plan(random.Random(seed))
    path = tmp_path_factory.mktemp("store") / "s.db"
    with store_at(path) as opened:
        connection = opened.writer.connection
        files, ends = {}, {}
        for parts, fails in plan:
            tx = build(parts, files, ends)
            for attempt in range(fails):
                before = content(connection)
                left = [attempt * attempt]

                def tick(left=left):
                    left[0] -= 1
                    return left[0] == -1  # once: a rollback must go through

                connection.set_progress_handler(tick, 40)
                try:
                    opened.writer.write(tx, joined, update)
                except StoreError:
                    connection.set_progress_handler(None, 0)
                    assert content(connection) == before
                else:
                    break
                finally:
                    connection.set_progress_handler(None, 0)
            else:
                opened.writer.write(tx, joined, update)
            for batch in tx.batches:
                force_setattr(batch.file, "offset", batch.events.end)
        assert {file.id: file.offset for file in tables.load_files(connection)} == ends
        assert all(row.complete for row in balance(connection))
        assert rows(connection, "SELECT file_id, count(*) FROM events GROUP BY 1") == rows(
            connection, "SELECT id, events FROM files WHERE events ORDER BY id"
        )
        for offset, following in rows(
            connection, 'SELECT "offset", lead("offset") OVER (PARTITION BY file_id ORDER BY id) FROM events'
        ):
            assert following is None or offset < following
        assert counted(connection) == scanned(plan)


def counted(connection):
    return {
        tuple(row[:4]): row[4]
        for row in rows(connection, "SELECT minute, source, severity_number, logger, count FROM rollups")
    }


def scanned(plan):
    found = {}
    for parts, _ in plan:
        for number, drawn, *_ in parts:
            for timestamp, severity, logger in drawn:
                key = (timestamp // MINUTE, f"s{number % 2}", severity, logger or "")
                found[key] = found.get(key, 0) + 1
    return found


# ------------------------------------------------------------ rollups


def test_loggers_beyond_the_bound_share_one_row_and_the_empty_one_never_does(path):
    many = events(count=1_500)
    many.loggers = [f"request-{number}" for number in range(1_500)]
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), many)))
    with store_at(path) as opened:  # the bound is known again after a restart
        more = events(many.end, count=5)
        more.loggers = ["late", None, "request-3", "", "x" * 300]
        write(opened, transaction(stored(tailed(offset=many.end), more)))
        other = events(count=1)
        other.loggers = ["late"]
        write(opened, transaction(stored(tailed(2, source="quiet"), other)))
        connection = opened.writer.connection
        assert rows(connection, "SELECT count(*) FROM rollups WHERE source = 'app'") == [(1_002,)]
        by_name = "SELECT sum(count) FROM rollups WHERE source = ? AND logger = ?"
        assert rows(connection, by_name, "app", OTHER_LOGGERS) == [(502,)]
        assert rows(connection, by_name, "app", "") == [(2,)]
        assert rows(connection, by_name, "app", "request-3") == [(2,)]
        assert rows(connection, by_name, "quiet", "late") == [(1,)], "each source has its own bound"


def test_a_name_that_is_no_name_is_not_kept(opened):
    batch = events(count=2)
    batch.loggers = ["x" * 300, "bad\ud800name"]
    write(opened, transaction(stored(tailed(), batch)))
    found = rows(opened.writer.connection, "SELECT logger FROM rollups ORDER BY 1")
    assert found == [(OTHER_LOGGERS,), ("bad\\ud800name",)]


def test_a_batch_over_several_minutes_is_counted_by_minute(opened):
    write(opened, transaction(stored(tailed(), events(count=7, step_ns=MINUTE // 2))))
    first = NOW // MINUTE
    found = rows(opened.writer.connection, "SELECT minute, count FROM rollups ORDER BY 1")
    assert found == [(first, 1), (first + 1, 2), (first + 2, 2), (first + 3, 2)]  # NOW lies in a minute's second half


def test_a_batch_without_events_counts_nothing(opened):
    write(opened, transaction(stored(tailed(), events(count=0, blank_bytes=5))))
    assert rows(opened.writer.connection, "SELECT * FROM rollups") == []


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("gone", ["id > 0", "id > 15"])
def test_no_id_is_given_twice(path, gone, reopened):
    """Whoever deletes the newest events; nor does their place stay taken."""
    file = tailed()
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(store_at(path))
        write(opened, transaction(stored(file, events(file.offset, count=20))))
        with contextlib.closing(another(path)) as connection:
            connection.execute(f"DELETE FROM events WHERE {gone}")
        if reopened:
            stack.close()
            opened = stack.enter_context(store_at(path))
        assert highest_id(opened.writer.connection) == 20
        write(opened, transaction(stored(file, events(file.offset, count=3)), stored(file, events(file.offset))))
        ids = rows(opened.writer.connection, "SELECT id FROM events ORDER BY id DESC")
        assert ids[:4] == [(24,), (23,), (22,), (21,)]
        assert len(ids) == 4 + (15 if gone == "id > 15" else 0)
        assert rows(opened.writer.connection, "PRAGMA integrity_check") == [("ok",)]


def test_a_commit_of_one_line_writes_four_pages(opened):
    """The event's, its index's, its file's and the rollups'."""
    file = tailed()
    write(opened, transaction(stored(file, events(file.offset))))
    before = opened.writer.wal_bytes()
    write(opened, Transaction(batches=[stored(file, events(file.offset))]))
    assert opened.writer.wal_bytes() - before == 4 * (PAGE_SIZE_BYTES + 24)
