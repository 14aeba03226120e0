"""Makes good what `forward.verify` has found: sends events again, and marks as gone what is there twice.

Each row gets a higher `ver` than any that was seen, from the numbers that changes of events get, so that a change that
comes later counts more. What is sent again goes under the store's id of now; no row of another store is touched.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

import orjson

from agent.clickhouse.columns import EVENTS, names
from agent.forward.backfill import ArchivedEncoder, ArchivedLogs
from agent.forward.rows import EventEncoder, month_of
from agent.query.archives.search import ID_BITS, Searcher
from agent.query.language import Query, Selection
from agent.store import forwarding, outgoing
from agent.store.edit import editing
from agent.store.reader import open_reader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from agent.clickhouse.client import ClickHouseClient
    from agent.forward.settings import TargetPlace
    from agent.forward.verify import Discrepancies, RemoteRow

_PORTION = 4_000
_COLUMNS = names(EVENTS)
_GONE = ("agent", "seq", "ver", "gone", "timestamp")


def repair(place: TargetPlace, found: Discrepancies) -> dict[str, int]:
    """Make it good; how many events were sent again, and how many marked as gone.

    Args:
        place: the store, and the target that is to have what it has.
        found: what differs.

    Raises:
        ClickHouseError: the target cannot be sent to. To be begun again without harm.
        StoreError: the store cannot be read or written.
    """
    version = _version(place.store, found.highest)
    for rows in _portions(found.out):
        body = b"\n".join(
            orjson.dumps({"agent": r.agent, "seq": r.seq, "ver": version, "gone": 1, "timestamp": r.timestamp})
            for r in rows
        )
        place.client.insert("events", _GONE, body, token=_token(body), form="JSONEachRow")
    sent = 0
    with closing(open_reader(place.store)) as connection:
        stored = sorted(event.seq for event in found.again if event.seq > 0)
        agent = forwarding.current_agent(connection) or ""
        encoder = EventEncoder(connection, agent)
        for rows_ in _rows(connection, stored):
            sent += _send(place.client, encoder, rows_, version)
        archived = {event.seq for event in found.again if event.seq < 0}
        if archived:
            logs = ArchivedLogs(connection, place.directory, place.target)
            archive_encoder = ArchivedEncoder(connection, agent, logs)
            for rows_ in _archived_rows(logs, archive_encoder, archived):
                sent += _send(place.client, archive_encoder, rows_, version)
    return {"sent": sent, "removed": len(found.out)}


def _version(store: Path, highest: int) -> int:
    """A number that no change has and all later ones are above."""
    with editing(store) as connection:
        kept = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'forward_changes'").fetchone()
        number = max(highest, kept[0] if kept else 0) + 1
        connection.execute("INSERT INTO forward_changes (id, event_id) VALUES (?, 0)", (number,))
        connection.execute("DELETE FROM forward_changes WHERE id = ?", (number,))
    return number


def _portions(rows: Sequence[RemoteRow]) -> Iterator[list[RemoteRow]]:
    """Rows to be sent at once: of one partition."""
    months: dict[int, list[RemoteRow]] = defaultdict(list)
    for row in rows:
        months[month_of(row.timestamp)].append(row)
    for _, several in sorted(months.items()):
        for at in range(0, len(several), _PORTION):
            yield several[at : at + _PORTION]


def _rows(connection: sqlite3.Connection, ids: Sequence[int]) -> Iterator[list[Any]]:
    for at in range(0, len(ids), _PORTION):
        yield outgoing.events_of(connection, ids[at : at + _PORTION])


def _send(client: ClickHouseClient, encoder: EventEncoder, rows: Sequence[Any], version: int) -> int:
    for part in encoder.encode([rows], {row[0]: version for row in rows}):
        client.insert("events", _COLUMNS, part.body, token=_token(part.body))
    return len(rows)


def _archived_rows(logs: ArchivedLogs, encoder: ArchivedEncoder, wanted: set[int]) -> Iterator[list[Any]]:
    with closing(Searcher(logs.plan, Selection(Query()))) as searcher:
        for archive in logs.plan.files:
            base = logs.log(archive)[1].base
            if not any(-number >> ID_BITS == base for number in wanted):
                continue
            for ref in logs.frames(archive):
                rows = [encoder.row(event, base) for event in logs.events(searcher, ref)]
                yield [row for row in rows if row[0] in wanted]


def _token(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]
