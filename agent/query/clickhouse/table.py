"""The table of events as a fleet's engine asks it: bounded questions, rows as events, and what is there at all."""

# ruff: noqa: S608 - statements are built from this package's own words; every value is a literal of `sql`

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent.clickhouse.answers import blocks
from agent.clickhouse.client import WORDS, literal
from agent.clickhouse.native import read_raw, read_text
from agent.core.fields import Profile
from agent.core.stored import FileInfo, StoredEvent
from agent.query.engine import LogName

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from agent.clickhouse.answers import AnswerBlock
    from agent.clickhouse.client import ClickHouseClient
    from agent.core.groups import GroupTraits
    from agent.query.engine import Span

QUESTION_S = 60  # after which the server ends a question
_MOST_ROWS = 20_000_000  # of an answer
_MOST_BYTES = 2_000_000_000  # of memory for one question, on the server
_BLOCK_ROWS = 8_192  # that come at once
_SQL_BYTES = 4_000_000  # of a statement, which may list groups or logs
SETTINGS: Mapping[str, int] = {
    "max_execution_time": QUESTION_S,
    "max_result_rows": _MOST_ROWS,
    "max_memory_usage": _MOST_BYTES,
    "max_query_size": _SQL_BYTES,
    "max_block_size": _BLOCK_ROWS,
}
_OF_CURRENT: Mapping[str, int] = {"cancel_http_readonly_queries_on_client_close": 1}

_COLUMNS = (
    *("agent", "seq", "timestamp", "observed_timestamp", "severity_number", "source", "path", "`offset`", "`group`"),
    *("record", "raw", "parse_error", "resource", "profile"),
)
SELECTED = ", ".join(_COLUMNS)
_LAST_EVENTS = 1_000  # of an agent
_MOST_KEYS = 1_000  # of events that are asked for by their keys at once

EventId = tuple[str, int]  # agent, number


class FleetTable:
    """What there is to ask of one ClickHouse.

    Args:
        client: to it; closed by its owner.
        categories: of error groups.
    """

    def __init__(self, client: ClickHouseClient, categories: Mapping[int, GroupTraits]) -> None:
        self.client = client
        self.categories = categories
        self.name = client.address.table("events")
        self._files: dict[tuple[bytes, ...], FileInfo] = {}

    @property
    def is_current(self) -> bool:
        """Whether the server is of the current line."""
        return self.client.is_current

    @cached_property
    def has_words(self) -> bool:
        """Whether the table has the index of words."""
        if self.client.version < WORDS:
            return False
        database = literal(self.client.address.database)
        sql = f"SELECT count() FROM system.data_skipping_indices WHERE database = {database} AND name = 'words'"
        return bool(self.row(sql)[0])

    def blocks(self, sql: str) -> Generator[AnswerBlock]:
        """The answer to a question, without its FORMAT, block by block."""
        settings = {**SETTINGS, **_OF_CURRENT} if self.is_current else SETTINGS
        yield from blocks(self.client.address, self.client.query(f"{sql} FORMAT Native", settings))

    def rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of an answer; texts are bytes."""
        for block in self.blocks(sql):
            yield from zip(*block.columns, strict=True)

    def row(self, sql: str) -> tuple[Any, ...]:
        """The only row of an answer."""
        [found] = self.rows(sql)
        return found

    def events(self, rest: str) -> Iterator[StoredEvent]:
        """Events, by what stands behind the FROM."""
        for block in self.blocks(f"SELECT {SELECTED} FROM {self.name} FINAL {rest}"):
            yield from self._made(block)

    def load(self, keys: list[EventId]) -> Iterator[StoredEvent]:
        """The events with these keys that are there, in no order."""
        for start in range(0, len(keys), _MOST_KEYS):
            listed = ", ".join(f"({literal(agent)}, {seq})" for agent, seq in keys[start : start + _MOST_KEYS])
            yield from self.events(f"WHERE gone = 0 AND (agent, seq) IN ({listed})")

    # ------------------------------------------------------------ rows as events

    def _made(self, block: AnswerBlock) -> Iterator[StoredEvent]:
        agents, seqs, instants, observed, severities, sources, paths, offsets, groups, *texts = block.columns
        records, raws, parse_errors, resources, profiles = texts
        known = self._files
        for at, place in enumerate(zip(agents, sources, paths, resources, profiles, strict=True)):
            file = known.get(place) or self._file(place)
            row = (
                *(seqs[at], instants[at], observed[at], severities[at], file.id, offsets[at], groups[at] or None),
                *(read_text(records[at]), read_raw(raws[at]), read_text(parse_errors[at]) or None),
            )
            yield StoredEvent(row, file)

    def _file(self, place: tuple[bytes, ...]) -> FileInfo:
        agent, source, path, resource, profile = map(read_text, place)
        found = FileInfo(len(self._files) + 1, source, path, *read_kind(resource, profile), agent=agent)
        self._files[place] = found
        return found

    # ------------------------------------------------------------ what is there

    def logs(self) -> set[LogName]:
        """The logs that there are events of."""
        return {LogName(read_text(source), read_text(path)) for source, path in self._pairs("source", "path")}

    def _pairs(self, one: str, other: str) -> list[tuple[bytes, bytes]]:
        """The values that two columns have together. A server knows those of one column by its dictionaries, in a
        twentieth of the time.
        """
        firsts, seconds = ([row[0] for row in self.rows(f"SELECT DISTINCT {c} FROM {self.name}")] for c in (one, other))
        if len(firsts) == 1 or len(seconds) == 1:
            return [(first, second) for first in firsts for second in seconds]
        return list(self.rows(f"SELECT {one}, {other} FROM {self.name} GROUP BY {one}, {other}"))

    def resources(self) -> dict[str, dict[str, object]]:
        """The resources of events, by their texts."""
        texts = (read_text(text) for (text,) in self.rows(f"SELECT DISTINCT resource FROM {self.name}"))
        return {text: json.loads(text or "{}") for text in texts}

    def kinds(self) -> dict[tuple[bytes, ...], FileInfo]:
        """The files that there are, as far as they matter to what is read of a record: resource and profile."""
        found: dict[tuple[bytes, ...], FileInfo] = {}
        for number, (resource, profile) in enumerate(self._pairs("resource", "profile")):
            found[resource, profile] = FileInfo(number, "", "", *read_kind(read_text(resource), read_text(profile)))
        return found

    def extent(self, span: Span) -> Span | None:
        """The instants of the first and the last event in a span."""
        where = f"WHERE gone = 0 AND {in_time(*span)}"
        count, first, last = self.row(f"SELECT count(), min(timestamp), max(timestamp) FROM {self.name} {where}")
        return (first, last) if count else None

    def forwarded(self) -> dict[str, int]:
        """Up to which number all events of an agent are here."""
        sql = f"SELECT agent, forwarded FROM {self.client.address.table('agents')} FINAL WHERE forwarded > 0"
        return {read_text(agent): seq for agent, seq in self.rows(sql)}

    def recent(self) -> int | None:
        """An instant at which there was something, near the newest: of the events that the agents have sent last. None
        where they have not said which these are.
        """
        last = [f"(agent = {literal(agent)} AND seq > {seq - _LAST_EVENTS})" for agent, seq in self.forwarded().items()]
        if not last:
            return None
        count, newest = self.row(f"SELECT count(), max(timestamp) FROM {self.name} WHERE {' OR '.join(last)}")
        return newest if count else None


def in_time(since: int, until: int) -> str:
    """What is true of events in [since, until)."""
    return f"timestamp >= {since} AND timestamp < {until}"


def read_kind(resource: str, profile: str) -> tuple[dict[str, Any], Profile | None]:
    """Resource and profile of a file, of their texts."""
    return json.loads(resource or "{}"), Profile.from_json(profile) if profile else None
