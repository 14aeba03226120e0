"""Version 1: the tables events, groups, agents, leases and schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.clickhouse.layout import TableLayout

# The month is of a day that does not wrap round: what is before 1970 goes to its first day.
_DAY = "toDate(toDateTime(intDiv(greatest(timestamp, 0), 1000000000), 'UTC'))"

# In what other form than as it is a text may be in an event: 1, as numbers of characters in its record; 4, with any
# escape of JSON there; 2, in the line beside the record.
_HIDING = (
    "(position(record, '\\\\u') > 0) + 2 * (substring(raw, 1, 1) IN ('b', 't')) + 4 * (position(record, '\\\\') > 0)"
)

_EVENTS = f"""\
    `agent` String,
    `seq` Int64,
    `ver` UInt64,
    `gone` UInt8,
    `timestamp` Int64,
    `observed_timestamp` Int64,
    `day` Date DEFAULT {_DAY},
    `severity_number` UInt8,
    `source` String,
    `path` String,
    `offset` Int64,
    `service` String,
    `logger` String,
    `message` String,
    `trace_id` String,
    `span_id` String,
    `group` UInt64,
    `record` String,
    `raw` String,
    `parse_error` String,
    `resource` String,
    `profile` String"""

_EVENTS_CURRENT = f"""\
    `agent` LowCardinality(String),
    `seq` Int64 CODEC(Delta(8), ZSTD(1)),
    `ver` UInt64 CODEC(ZSTD(1)),
    `gone` UInt8 CODEC(ZSTD(1)),
    `timestamp` Int64 CODEC(Delta(8), ZSTD(1)),
    `observed_timestamp` Int64 CODEC(Delta(8), ZSTD(1)),
    `day` Date DEFAULT {_DAY} CODEC(ZSTD(1)),
    `severity_number` UInt8 CODEC(ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `path` LowCardinality(String) CODEC(ZSTD(1)),
    `offset` Int64 CODEC(Delta(8), ZSTD(1)),
    `service` LowCardinality(String) CODEC(ZSTD(1)),
    `logger` LowCardinality(String) CODEC(ZSTD(1)),
    `message` String CODEC(ZSTD(3)),
    `trace_id` String CODEC(ZSTD(1)),
    `span_id` String CODEC(ZSTD(1)),
    `group` UInt64 CODEC(ZSTD(1)),
    `record` String CODEC(ZSTD(6)),
    `raw` String CODEC(ZSTD(1)),
    `parse_error` String CODEC(ZSTD(1)),
    `resource` LowCardinality(String) CODEC(ZSTD(1)),
    `profile` LowCardinality(String) CODEC(ZSTD(1)),
    `hiding` UInt8 MATERIALIZED {_HIDING} CODEC(ZSTD(1)),
    INDEX `of_hiding` `hiding` TYPE minmax GRANULARITY 1,
    INDEX `of_time` `timestamp` TYPE minmax GRANULARITY 1,
    INDEX `of_trace` `trace_id` TYPE bloom_filter(0.01) GRANULARITY 1"""

# Runs of four letters or more, of which one at least is no digit of a hexadecimal number: with numbers and ids it would
# be larger than all the rest. 3 to 4 bytes an event, and a word that is rare among ten million is found in some 20 ms.
_RUNS = "[g-z][a-z]{3,}|[a-f][g-z][a-z]{2,}|[a-f]{2}[g-z][a-z]+|[a-f]{3,}[g-z][a-z]*"
_WORDS = f"arrayStringConcat(extractAll(lower(`record`), '{_RUNS}'), ' ')"
_WORDS_INDEX = f",\n    INDEX `words` {_WORDS} TYPE text(tokenizer = 'splitByNonAlpha')"

_GROUPS = """\
    `agent` String,
    `group` UInt64,
    `id` Int64,
    `fingerprint` String,
    `fingerprint_version` UInt32,
    `title` String,
    `culprit` String,
    `exception_type` String,
    `severity_number` UInt8,
    `category` String,
    `service` String,
    `state` String,
    `state_changed` Int64,
    `first_seen` Int64,
    `last_seen` Int64,
    `count` UInt64,
    `ignored_until` Int64,
    `ignored_until_count` Int64,
    `ver` UInt64"""

_AGENTS = """\
    `agent` String,
    `host` String,
    `version` String,
    `started` Int64,
    `seen` Int64,
    `forwarded` Int64,
    `pending` UInt64,
    `ver` UInt64"""

_LEASES = """\
    `name` String,
    `holder` String,
    `until` Int64,
    `ver` UInt64"""

_SCHEMA = """\
    `name` String,
    `version` UInt32,
    `ver` UInt64"""


def statements(layout: TableLayout) -> Iterator[str]:
    """What makes the tables, each if it is not there."""
    events = _EVENTS_CURRENT if layout.is_current else _EVENTS
    if layout.has_words:
        events += _WORDS_INDEX
    yield from layout.table("events", events, "(agent, seq)", shard="agent", partition="toYYYYMM(day)")
    yield from layout.table("groups", _GROUPS, "(agent, group)", shard="agent")
    yield from layout.table("agents", _AGENTS, "agent", shard="agent")
    yield from layout.table("leases", _LEASES, "name", shard="name")
    yield from layout.table("schema", _SCHEMA, "name", shard="name")
