"""Stores and batches for tests: real files, written by the real writer."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

from msgspec.structs import force_setattr

from agent.core.model import EventBatch, FileChange, FileRow, Gap, GroupUpdate, StoredBatch, Transaction
from agent.store.audit import Audit
from agent.store.opening import open_store

ROOT = Path(__file__).parents[2]
SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
NOW = 1_795_000_000 * SECOND  # 2026-11-18T11:06:40Z


@contextlib.contextmanager
def store_at(path, *, min_free_bytes=0, **settings):
    """An open store, closed at the end."""
    opened = open_store(path, min_free_bytes=min_free_bytes, **settings)
    try:
        yield opened
    finally:
        opened.close()


def tailed(number=1, *, source="app", path=None, offset=0, **facts):
    path = path or f"/var/log/{source}-{number}.log"
    return FileRow(number, source, path, 7, 100 + number, 0, offset=offset, **facts)


def events(start=0, *, count=1, timestamp=NOW, severity=9, logger="shop", records=None, step_ns=0, **facts):
    """A batch of events whose lines are their records with a newline, from offset `start` on."""
    records = records if records is not None else [json.dumps({"message": f"m{start + n}"}) for n in range(count)]
    batch = EventBatch(records=list(records), **facts)
    offset = start
    for number, record in enumerate(records):
        batch.offsets.append(offset)
        batch.timestamps.append(timestamp + number * step_ns)
        batch.severities.append(severity)
        batch.loggers.append(logger)
        offset += len(record.encode()) + 1
    batch.end = offset + batch.blank_bytes
    if batch.gaps:
        batch.end = batch.gaps[-1].end
    return batch


def stored(file, batch, *, observed=NOW, groups=None):
    return StoredBatch(file, batch, 5, b"marker..", observed, groups or {}, file.profile)


def transaction(*batches, files=(), **parts):
    """What stores these batches, and their files as the writer thread lets them be saved."""
    return Transaction(
        batches=list(batches), files={**changes(*(batch.file for batch in batches)), **dict(files)}, **parts
    )


def changes(*files):
    return {file.id: FileChange(file, file.offset, file.profile) for file in reversed(files)}


def update(number=1, *, count=1, timestamp=NOW, severity=17, **facts):
    group = GroupUpdate(
        id=number,
        fingerprint=f"print{number}",
        fingerprint_version=1,
        title=f"ValueError: bad {number}",
        culprit="shop/cart.py:add",
        exception_type="ValueError",
        category="validation",
        service="shop",
        severity_number=severity,
        first_seen=timestamp,
        last_seen=timestamp,
        count=count,
        minutes={timestamp // MINUTE: count},
    )
    for name, value in facts.items():
        setattr(group, name, value)
    return group


def gap(start, end, reason="over_long"):
    return Gap(start, end, reason, b"sample")


def no_join(*_):
    raise AssertionError("nothing to join")


def write(opened, tx, *, join=no_join, describe=no_join):
    """Write as the pipeline does, and move the test's files on: what is made of them next goes on there."""
    opened.writer.write(tx, join, describe)
    for batch in tx.batches:
        force_setattr(batch.file, "offset", batch.events.end)


def rows(connection, statement, *values):
    return connection.execute(statement, values).fetchall()


def content(connection):
    """Everything that a transaction can change, table by table."""
    tables = ("files", "events", "error_groups", "group_minutes", "gaps", "rollups", "own_errors", "meta")
    found = {table: rows(connection, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}
    found["meta"] = [row for row in found["meta"] if row[0] not in {"store", "agent"}]  # every store's own
    return found


def balance(connection):
    """The books of every file, judged by themselves."""
    return Audit(connection, Path()).judge_books()


def another(path, **settings):
    """A connection as another program would open it."""
    return sqlite3.connect(path, isolation_level=None, **settings)


def python(code, *arguments, **popen):
    """Run Python code in another process; its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        **popen,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def program(code, *arguments, **popen):
    """A running Python program; it has printed its first line when the block begins. Killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **popen,
    )
    try:
        process.first_line = process.stdout.readline().strip()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
