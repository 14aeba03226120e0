"""What the tables in ClickHouse have as columns, in the types that both lines of servers take inserts in.

The statements that make them are in `migrations`; a current server has some of them in narrower types, and casts.
"""

from __future__ import annotations

from typing import NamedTuple


class TableColumn(NamedTuple):
    """A column as an insert gives it."""

    name: str
    kind: str


EVENTS = (
    TableColumn("agent", "String"),
    TableColumn("seq", "Int64"),
    TableColumn("ver", "UInt64"),
    TableColumn("gone", "UInt8"),
    TableColumn("timestamp", "Int64"),
    TableColumn("observed_timestamp", "Int64"),
    TableColumn("severity_number", "UInt8"),
    TableColumn("source", "String"),
    TableColumn("path", "String"),
    TableColumn("offset", "Int64"),
    TableColumn("service", "String"),
    TableColumn("logger", "String"),
    TableColumn("message", "String"),
    TableColumn("trace_id", "String"),
    TableColumn("span_id", "String"),
    TableColumn("group", "UInt64"),
    TableColumn("record", "String"),
    TableColumn("raw", "String"),
    TableColumn("parse_error", "String"),
    TableColumn("resource", "String"),
    TableColumn("profile", "String"),
)
GROUPS = (
    TableColumn("agent", "String"),
    TableColumn("group", "UInt64"),
    TableColumn("id", "Int64"),
    TableColumn("fingerprint", "String"),
    TableColumn("fingerprint_version", "UInt32"),
    TableColumn("title", "String"),
    TableColumn("culprit", "String"),
    TableColumn("exception_type", "String"),
    TableColumn("severity_number", "UInt8"),
    TableColumn("category", "String"),
    TableColumn("service", "String"),
    TableColumn("state", "String"),
    TableColumn("state_changed", "Int64"),
    TableColumn("first_seen", "Int64"),
    TableColumn("last_seen", "Int64"),
    TableColumn("count", "UInt64"),
    TableColumn("ignored_until", "Int64"),
    TableColumn("ignored_until_count", "Int64"),
    TableColumn("ver", "UInt64"),
)
AGENTS = (
    TableColumn("agent", "String"),
    TableColumn("host", "String"),
    TableColumn("version", "String"),
    TableColumn("started", "Int64"),
    TableColumn("seen", "Int64"),
    TableColumn("forwarded", "Int64"),
    TableColumn("pending", "UInt64"),
    TableColumn("ver", "UInt64"),
)
LEASES = (
    TableColumn("name", "String"),
    TableColumn("holder", "String"),
    TableColumn("until", "Int64"),
    TableColumn("ver", "UInt64"),
)
ALERTS = (
    TableColumn("name", "String"),
    TableColumn("kind", "String"),
    TableColumn("key", "String"),
    TableColumn("document", "String"),
    TableColumn("ver", "UInt64"),
)
SCHEMA = (
    TableColumn("name", "String"),
    TableColumn("version", "UInt32"),
    TableColumn("ver", "UInt64"),
)
TABLES = {
    "events": EVENTS,
    "groups": GROUPS,
    "agents": AGENTS,
    "leases": LEASES,
    "alerts": ALERTS,
    "schema": SCHEMA,
}


def names(columns: tuple[TableColumn, ...]) -> tuple[str, ...]:
    """Their names, for an INSERT."""
    return tuple(column.name for column in columns)
