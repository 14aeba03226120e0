"""Bugs that a log shipper could have, to be switched on in a forked agent: the harness must find each of them.

They are made here, by replacing functions of the product in the process that is to have the bug; the product itself
knows nothing of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agent import transaction
from agent.archive import directory
from agent.cli import store
from agent.parse import decode
from agent.store import alerts, backup, faults, maintenance, tables, writer
from agent.tail import discover, harvester, locate, registry
from agent.tail.identity import Match, same_generation

if TYPE_CHECKING:
    from agent.core.model import EventBatch, FileRow, LineBatch
    from agent.core.outbox import AlertWrites, Delivery


def switch_on(name: str) -> None:
    """Give this process the bug of this name."""
    (MUTANTS | CHANGES | TUNING)[name]()


def _offset_after_events() -> None:
    """The offset is stored in a transaction of its own, after the events: a crash in between doubles them."""
    write, advance = writer.StoreWriter.write, tables.advance_file
    deferred: list[tuple] = []

    def mutated(self: writer.StoreWriter, *arguments: object) -> object:
        deferred.clear()
        done = write(self, *arguments)
        with faults.changing(self.connection, self.path):
            for connection, batch, facts in deferred:
                advance(connection, batch, **facts)
        return done

    writer.StoreWriter.write = mutated
    tables.advance_file = lambda connection, batch, **facts: deferred.append((connection, batch, facts))


def _offset_before_events() -> None:
    """The offset is stored in a transaction of its own, before the events: a crash in between loses them."""
    write, advance, stored = writer.StoreWriter.write, tables.advance_file, writer._stored_offset
    places: dict[int, int] = {}

    def mutated(self: writer.StoreWriter, transaction: object, *arguments: object) -> object:
        places.clear()
        with faults.changing(self.connection, self.path):
            for batch in transaction.batches:
                if (change := transaction.files.get(batch.file.id)) is not None:
                    tables.save_file(self.connection, change)
                places.setdefault(batch.file.id, stored(self.connection, batch.file.id))
                end = (batch.events.end, batch.marker_length, batch.marker_hash, batch.file.id)
                self.connection.execute(
                    'UPDATE files SET "offset" = ?, marker_length = ?, marker_hash = ? WHERE id = ?', end
                )
        return write(self, transaction, *arguments)

    def advance_too(connection: object, batch: object, **facts: object) -> None:
        places[batch.file.id] = batch.events.end
        advance(connection, batch, **facts)

    writer.StoreWriter.write = mutated
    writer._stored_offset = lambda _, file_id: places[file_id]
    tables.advance_file = advance_too


def _truncation_by_size() -> None:
    """A file was truncated if it is shorter than what was read, and only then."""

    def by_size(fd: int, file: FileRow) -> Match:
        same = same_generation(file.generation, locate.files.generation(fd))
        return Match.SAME if same and os.fstat(fd).st_size >= file.offset else Match.DIFFERENT

    harvester._holds = lambda *_: True
    locate.compare = by_size


def _identity_by_inode() -> None:
    """A file with a known inode, long enough, is the known file."""
    locate.compare = lambda fd, file: Match.SAME if os.fstat(fd).st_size >= file.offset else Match.DIFFERENT


def _bytes_splitlines() -> None:
    """Lines end wherever bytes.splitlines and str.splitlines think so."""
    feed = decode.FileParser.feed

    def mutated(self: decode.FileParser, batch: LineBatch, **facts: bool) -> EventBatch:
        text = batch.data.decode("utf-8", "surrogateescape")
        batch.data = b"".join(line.encode("utf-8", "surrogateescape") + b"\n" for line in text.splitlines())
        return feed(self, batch, **facts)

    decode.FileParser.feed = mutated


def _pages_after_states() -> None:
    """Who is to be told of an alert is stored with the transaction that follows the one with the alert's state."""
    save = alerts.save
    waiting: list[Delivery] = []

    def mutated(connection: object, writes: AlertWrites) -> None:
        late = list(waiting)
        waiting[:] = writes.deliveries
        writes.deliveries = late
        save(connection, writes)

    alerts.save = mutated


MUTANTS = {
    "offset after events": _offset_after_events,
    "offset before events": _offset_before_events,
    "truncation by size": _truncation_by_size,
    "identity by inode": _identity_by_inode,
    "splitlines": _bytes_splitlines,
    "pages after states": _pages_after_states,
}


def _sources_stay() -> None:
    """A file belongs for ever to the source by which it was first read."""
    discover.SourceSettings.owns = lambda *_: True


def _labels_rewrite_history() -> None:
    """What was stored gets the present source and labels."""
    registry.Registry.go_on = lambda self, file, source: replace(file, source=source.name, resource=source.resource)


def _settings_stay() -> None:
    """A reload changes who has a file, but not how it is parsed and what is redacted."""
    builder = transaction.TransactionBuilder
    builder.reload = lambda self, settings: self.settings.update({**settings, **self.settings})


def _orphans_stay() -> None:
    """What a store that is gone has left becomes the next one's."""
    backup.set_aside_orphans = lambda _: []


def _archives_unnamed() -> None:
    """A restore says nothing of archives that are younger than the backup."""
    store._unknown_archives = lambda *_: []


def _links_not_followed() -> None:
    """What becomes of a log is looked for beside its link alone."""
    locate.directories_of = lambda file: {str(Path(file.path).parent)}


def _archives_stay() -> None:
    """An archive lies where it was made, and nowhere else."""
    directory._place = lambda path, *_: path


CHANGES = {
    "links not followed": _links_not_followed,
    "archives stay": _archives_stay,
    "sources stay": _sources_stay,
    "labels rewrite history": _labels_rewrite_history,
    "settings stay": _settings_stay,
    "orphans stay": _orphans_stay,
    "archives unnamed": _archives_unnamed,
}


def _frequent_checkpoints() -> None:
    """No bug: the WAL is copied into the store after 128 KiB instead of 16 MiB, so that short runs come to it."""
    maintenance.WAL_CHECKPOINT_BYTES = 128 * 1024


TUNING = {"frequent checkpoints": _frequent_checkpoints}
