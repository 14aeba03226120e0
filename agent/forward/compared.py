"""The events of a store that a target ought to have, for `forward.verify`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from agent.core.errors import ArchiveError
from agent.core.intervals import holds
from agent.core.stored import StoredEvent
from agent.forward.backfill import ArchivedLogs
from agent.query.archives.search import ID_BITS, Searcher
from agent.query.language import Query, Selection, parse_query
from agent.store import forwarding, identity
from agent.store.events import Categories, Files, count_after, events_between, oldest_id
from agent.store.reader import has_archives

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

HOUR_NS = 3_600 * 10**9


class LocalEvent(NamedTuple):
    """An event as the store has it, or an archive."""

    agent: str  # under which it was sent
    seq: int
    timestamp: int
    severity: int
    identity: bytes  # source, path, offset, instant, record
    is_changing: bool = False  # a newer form of it is not sent yet


class SentRange(NamedTuple):
    """Events from `first` to `last` that went under an id."""

    agent: str
    first: int
    last: int


class LocalEvents:
    """What of a store can be compared, as of one moment.

    Args:
        connection: a reader's, to nothing else.
        directory: of the archives.
        target: the name.
        match: its filter.
        since: the first instant; None: all.
    """

    def __init__(
        self, connection: sqlite3.Connection, directory: Path, target: str, match: str, since: int | None
    ) -> None:
        self._connection, self._directory, self._name, self._since = connection, directory, target, since
        self._query = parse_query(match) if match else None
        row = forwarding.read_target(connection, target)
        known = forwarding.agents(connection)
        self.position = row.position if row is not None else 0
        self.agents = [one.id for one in known]
        self.own = [one.id for one in reversed(known) if not identity.is_of_another(one)]  # that of now first
        self.agent = self.agents[-1] if known else ""
        self.unreadable: list[str] = []
        self._first = oldest_id(connection) or self.position + 1
        self.pending = count_after(connection, self.position)
        changed = row.changed if row is not None else 0
        self._changing = {
            number for (number,) in connection.execute("SELECT event_id FROM forward_changes WHERE id > ?", (changed,))
        }
        gaps = forwarding.gaps(connection, target)
        self.gaps = sum(gap.events for gap in gaps)
        self._refused = {gap.first for gap in gaps if gap.reason == forwarding.REFUSED}
        self._sent = self._sent_ranges(known)
        self.ranges = [one._replace(first=max(one.first, self._first)) for one in self._sent if one.last >= self._first]
        self._logs = ArchivedLogs(connection, directory, target) if has_archives(connection) else None
        self._archived = self._archived_ranges()
        self.ranges += self._archived

    def _sent_ranges(self, known: list[forwarding.AgentRow]) -> list[SentRange]:
        """Which events went under which id."""
        own = [one for one in known if not identity.is_of_another(one)]
        starts = [identity.sent_until(one, self._name) + 1 for one in own]
        ends = [start - 1 for start in starts[1:]] + [self.position]
        return [
            SentRange(one.id, start, min(end, self.position))
            for one, start, end in zip(own, starts, ends, strict=True)
            if start <= end
        ]

    def _archived_ranges(self) -> list[SentRange]:
        """The numbers of what was sent from archives that are here."""
        found = []
        for archive in self._logs.plan.files if self._logs is not None else ():
            _, log = self._logs.log(archive)  # type: ignore[union-attr]
            found += [
                SentRange(agent, -((log.base << ID_BITS) + end - 1), -((log.base << ID_BITS) + start))
                for agent, spans in log.sent.items()
                for start, end in spans
            ]
        return found

    def where(self) -> str:
        """The condition by which a target finds what ought to be here, too."""
        by_agent: dict[str, list[str]] = {}
        for agent, first, last in self.ranges:
            by_agent.setdefault(agent, []).append(f"(seq >= {first} AND seq <= {last})")
        return " OR ".join(f"(agent = '{agent}' AND ({' OR '.join(parts)}))" for agent, parts in by_agent.items())

    def where_expired(self) -> str:
        """The condition by which it finds what was here once."""
        parts = [f"(agent = '{one.agent}' AND seq > 0 AND seq >= {one.first} AND seq < {self._first})"
                 for one in self._sent]  # fmt: skip
        return " OR ".join(parts) or "0"

    def ought_to_have(self, agent: str, seq: int) -> bool:
        """Whether an event of this number would be here."""
        return any(one.agent == agent and one.first <= seq <= one.last for one in self.ranges)

    def events(self) -> Iterator[LocalEvent]:
        """All of them: stored ones by id, then those of archives."""
        yield from self._stored()
        if self._logs is not None and self._archived:
            yield from self._from_archives(self._logs)

    def _stored(self) -> Iterator[LocalEvent]:
        files, categories = Files(self._connection), Categories(self._connection)
        for agent, first, last in self._sent:
            for row in events_between(self._connection, first, last, self._since):
                file = files[row.file_id]
                if row.id in self._refused:
                    continue
                if self._query is not None and not self._query.matches(StoredEvent(row, file), categories):
                    continue
                identity_ = _identity(file.source, file.path, row.offset, row.timestamp, row.record)
                changing = row.id in self._changing
                yield LocalEvent(agent, row.id, row.timestamp, row.severity_number, identity_, changing)

    def _from_archives(self, logs: ArchivedLogs) -> Iterator[LocalEvent]:
        with closing(Searcher(logs.plan, Selection(Query()))) as searcher:
            for archive, file in logs.plan.files.items():
                _, log = logs.log(archive)
                if not log.sent:
                    continue
                for ref in logs.frames(archive):
                    try:
                        found = list(logs.events(searcher, ref))
                    except ArchiveError as error:
                        if error.subject not in self.unreadable:
                            self.unreadable.append(error.subject)
                        continue
                    for event in found:
                        agent = next((a for a, spans in log.sent.items() if holds(spans, event.offset)), None)
                        if agent is None or (self._since is not None and event.timestamp < self._since):
                            continue
                        if self._query is not None and not self._query.matches(event, logs.plan.groups.categories):
                            continue
                        identity_ = _identity(event.source, file.file.path, event.offset, event.timestamp, event.record)
                        number = -((log.base << ID_BITS) + event.offset)
                        yield LocalEvent(agent, number, event.timestamp, event.severity_number, identity_)


def _identity(source: str, path: str, offset: int, timestamp: int, record: str) -> bytes:
    return f"{source}\t{path}\t{offset}\t{timestamp}\t{record}".encode()
