"""Rows for ClickHouse made in columns are those that `StoredEvent` says, event by event."""

import contextlib
import datetime as dt
import json

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.clickhouse.address import ClickHouseAddress
from agent.clickhouse.answers import blocks
from agent.clickhouse.columns import EVENTS
from agent.clickhouse.native import raw_text
from agent.core.event import event_row
from agent.core.fields import Profile
from agent.core.stored import StoredEvent
from agent.forward.rows import EventEncoder, fleet_group, month_of
from agent.store import outgoing
from agent.store.events import EVENT_COLUMNS, Files
from tests.query.dialects import _records
from tests.query.stores import BASE, EventRow, FileRow, make_store

AGENT = "5e" * 16
PROFILES = [
    None,
    Profile("json", message=("message",), logger=("logger",), trace_id=("trace_id",)),
    Profile("json", message=("msg",), logger=("name",), service=("service",)),
    Profile("json", message=("event",), logger=("log", "name")),
    Profile("json", message=("message",), overrides={"logger": ("meta.logger",)}),
]
FILES = [
    FileRow(source=f"s{number}", path=f"/log/{number}", resource={"host.name": "h", **labels}, profile=profile)
    for number, (profile, labels) in enumerate(
        (profile, labels) for profile in PROFILES for labels in ({}, {"service.name": "größe"})
    )
]
_TEXT = st.text(max_size=40) | st.sampled_from(["", "x" * 130, "x" * 20_000, "ö" * 100, "projects/p/traces/abc"])
_VALUE = (
    _TEXT | st.none() | st.integers(-5, 5) | st.lists(_TEXT, max_size=2) | st.dictionaries(_TEXT, _TEXT, max_size=1)
)
_NAMES = st.sampled_from(
    [
        "message",
        "msg",
        "event",
        "text",
        "logger",
        "name",
        "log",
        "service",
        "trace_id",
        "traceId",
        "span_id",
        "meta",
        "@mt",
    ]
)
RECORDS = (
    st.dictionaries(_NAMES, _VALUE, max_size=6)
    | st.fixed_dictionaries({"message": _TEXT}, optional={"logger": _TEXT, "trace_id": _TEXT, "name": _TEXT})
    | st.tuples(_TEXT, st.integers(0, 500)).flatmap(lambda one: st.sampled_from(_records(*one)))
)
EVENT_ROWS = st.builds(
    EventRow,
    record=RECORDS,
    timestamp=st.sampled_from([BASE, BASE + 1, -5, 0, 86_400 * 10**9 * 40, 2**62]),
    severity=st.sampled_from([0, 9, 17]),
    file=st.integers(1, len(FILES)),
    offset=st.integers(0, 2**40),
    group=st.sampled_from([None, None, 7]),
    raw=st.none() | st.sampled_from([1, 2]) | st.binary(max_size=8),
    parse_error=st.none() | _TEXT,
)


def twin(event, resource, profile):
    """The row of an event, by the class that says what it is."""
    text = lambda value: (value or "").encode("utf-8", "replace")  # noqa: E731
    return {
        "agent": AGENT.encode(), "seq": event.id, "ver": 0, "gone": 0, "timestamp": event.timestamp,
        "observed_timestamp": event.observed_timestamp, "severity_number": event.severity_number,
        "source": text(event.source), "path": text(event.path), "offset": event.offset, "service": text(event.service),
        "logger": text(event.logger), "message": text(event.body), "trace_id": text(event.trace_id),
        "span_id": text(event.span_id), "group": fleet_group("f", 3) if event.group else 0,
        "record": text(event.record),
        "raw": text(raw_text(event.raw)), "parse_error": text(event.parse_error), "resource": text(resource),
        "profile": text(profile),
    }  # fmt: skip


def decoded(parts):
    """The rows that a server would read."""
    found = []
    for part in parts:
        ids = []
        for block in blocks(ClickHouseAddress(("http://x",)), iter([part.body])):
            assert block.names == [column.name for column in EVENTS]
            rows = [dict(zip(block.names, values, strict=True)) for values in zip(*block.columns, strict=True)]
            assert len(rows) == block.rows
            ids += [row["seq"] for row in rows]
            assert {month_of(row["timestamp"]) for row in rows} == {part.month}
            found += rows
        assert sorted(ids) == sorted(part.ids)
    return sorted(found, key=lambda row: row["seq"])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(EVENT_ROWS, min_size=1, max_size=12))
def test_rows_in_columns_are_those_of_events(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("store") / "s.db"
    with contextlib.closing(make_store(path, [], FILES)) as connection:
        connection.execute(
            "INSERT INTO error_groups (id, fingerprint, fingerprint_version, title, severity_number, category,"
            " state_changed, first_seen, last_seen) VALUES (7, 'f', 3, 't', 17, 'c', 0, 0, 0)"
        )
        for row in rows:
            with contextlib.suppress(UnicodeEncodeError):
                record = json.dumps(row.record, ensure_ascii=row.offset % 2 == 0)
                connection.execute(
                    'INSERT INTO events (timestamp, observed_timestamp, severity_number, file_id, "offset", group_id,'
                    " record, raw, parse_error) VALUES (?, 5, ?, ?, ?, ?, ?, ?, ?)",
                    (row.timestamp, row.severity, row.file, row.offset, row.group, record, row.raw, row.parse_error),
                )
        files = Files(connection)
        raw = dict(connection.execute("SELECT id, resource FROM files"))
        profiles = dict(connection.execute("SELECT id, coalesce(profile, '') FROM files"))
        wanted = [
            twin(StoredEvent(row, files[row.file_id]), raw[row.file_id], profiles[row.file_id])
            for row in map(event_row, connection.execute(f"SELECT {EVENT_COLUMNS} FROM events e ORDER BY id"))
        ]
        encoder = EventEncoder(connection, AGENT)
        stored = outgoing.events_after(connection, 0, 1 << 40, 1 << 20)
        assert decoded(encoder.encode([stored])) == wanted
        assert decoded(encoder.encode([stored[:5], stored[5:]])) == wanted
        assert encoder.encode([stored]) == EventEncoder(connection, AGENT).encode([stored])  # the same bytes


@given(st.integers(0, 2**63 - 1))
def test_the_partition_is_the_month_in_utc(timestamp):
    day = dt.date(1970, 1, 1) + dt.timedelta(days=timestamp // (86_400 * 10**9))
    assert month_of(timestamp) == day.year * 100 + day.month


def test_what_was_before_1970_lies_in_its_first_month():
    assert month_of(-1) == 197001
    assert msgspec.json.encode(month_of(BASE)) == b"202609"
