"""What the tables in ClickHouse have as columns, in the types that both lines of servers take inserts in.

The statements that make them are in `migrations`; a current server has some of them in narrower types, and casts.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column as an insert gives it."""

    name: str
    kind: str


EVENTS = (
    Column("agent", "String"),
    Column("seq", "Int64"),
    Column("ver", "UInt64"),
    Column("gone", "UInt8"),
    Column("timestamp", "Int64"),
    Column("observed_timestamp", "Int64"),
    Column("severity_number", "UInt8"),
    Column("source", "String"),
    Column("path", "String"),
    Column("offset", "Int64"),
    Column("service", "String"),
    Column("logger", "String"),
    Column("message", "String"),
    Column("trace_id", "String"),
    Column("span_id", "String"),
    Column("group", "UInt64"),
    Column("record", "String"),
    Column("raw", "String"),
    Column("parse_error", "String"),
    Column("resource", "String"),
    Column("profile", "String"),
)
GROUPS = (
    Column("agent", "String"),
    Column("group", "UInt64"),
    Column("id", "Int64"),
    Column("fingerprint", "String"),
    Column("fingerprint_version", "UInt32"),
    Column("title", "String"),
    Column("culprit", "String"),
    Column("exception_type", "String"),
    Column("severity_number", "UInt8"),
    Column("category", "String"),
    Column("service", "String"),
    Column("state", "String"),
    Column("state_changed", "Int64"),
    Column("first_seen", "Int64"),
    Column("last_seen", "Int64"),
    Column("count", "UInt64"),
    Column("ignored_until", "Int64"),
    Column("ignored_until_count", "Int64"),
    Column("ver", "UInt64"),
)
AGENTS = (
    Column("agent", "String"),
    Column("host", "String"),
    Column("version", "String"),
    Column("started", "Int64"),
    Column("seen", "Int64"),
    Column("forwarded", "Int64"),
    Column("pending", "UInt64"),
    Column("ver", "UInt64"),
)
LEASES = (
    Column("name", "String"),
    Column("holder", "String"),
    Column("until", "Int64"),
    Column("ver", "UInt64"),
)
SCHEMA = (
    Column("name", "String"),
    Column("version", "UInt32"),
    Column("ver", "UInt64"),
)
TABLES = {"events": EVENTS, "groups": GROUPS, "agents": AGENTS, "leases": LEASES, "schema": SCHEMA}


def names(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Their names, for an INSERT."""
    return tuple(column.name for column in columns)
