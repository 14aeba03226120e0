"""A small store for the commands that only read, written by the real writer."""

from __future__ import annotations

import json
import time

from agent.core.model import ErrorEvent, EventBatch, FileRow, StoredBatch, Transaction
from agent.group.grouper import Grouper
from agent.store import tables
from agent.store.opening import open_store
from tests.store.stores import changes

HOSTILE = "\x1b]0;gone\x07 \x1b[2J \u202eevil\u202c \x9b31m \x7f\r"
MINUTE = 60 * 10**9


def make(path, *, run=True, batches=(), files=(), own_errors=(), groups=()):
    """A closed store; `run` says that an agent ran on it and stopped as it should."""
    opened = open_store(path, min_free_bytes=0)
    try:
        if run:
            facts = {"pid": 4242, "started_at": time.time_ns(), "version": "1.2.3", "once": False}
            tables.begin_run(opened.writer.connection, facts)
        transaction = Transaction(
            batches=list(batches),
            files=changes(*(batch.file for batch in batches), *files),
            groups=list(groups),
            own_errors=list(own_errors),
        )
        opened.writer.write(transaction, None, None)
        if run:
            tables.end_run(opened.writer.connection, time.time_ns())
    finally:
        opened.close()


def error_batch(lines, *, file=None, now=None, grouper=None):
    """Records (dicts) of severity ERROR as a stored batch, and the updates of their groups."""
    now = time.time_ns() if now is None else now
    grouper = grouper or Grouper()
    batch, offset, groups = EventBatch(), 0, {}
    for row, record in enumerate(lines):
        text = json.dumps(record)
        batch.records.append(text)
        batch.timestamps.append(now - (len(lines) - row) * 1_000_000)
        batch.severities.append(17)
        batch.loggers.append(record.get("logger"))
        batch.offsets.append(offset)
        offset += len(text) + 1
        groups[row] = grouper.assign(
            ErrorEvent(
                row,
                batch.timestamps[-1],
                17,
                record["message"],
                record.get("logger"),
                exception_type=record.get("exc_type"),
                stacktrace=record.get("stack_trace"),
                service=record.get("service"),
            )
        )
    batch.end = offset
    stored = StoredBatch(file or tailed(), batch, 0, b"", now, groups)
    return stored, grouper.take_updates()


def tailed(number=1, path=None, **facts):
    facts = {"resource": '{"service.name": "shop"}', **facts}
    return FileRow(number, "app", path or f"/var/log/app-{number}.log", 1, number, 0, **facts)
