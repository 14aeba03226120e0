"""Real stores for the query tests: files, events, groups and rollups put in without an agent."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.core.fields import Profile, load_record, read_fields
from agent.store.reader import highest_id
from agent.store.schema import migrate, prepare_file

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
BASE = 1_790_000_000 * SECOND  # 2026-09-21
NUMBERS = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}


@dataclass
class FileRow:
    """A log file of the store."""

    source: str = "app"
    path: str = "/var/log/app/app.log"
    resource: dict[str, Any] = field(default_factory=dict)
    profile: Profile | None = None
    inode: int = 0
    offset: int = 0


@dataclass
class EventRow:
    """An event; `record` is an object or the line itself."""

    record: dict[str, Any] | str
    timestamp: int = BASE
    severity: int = 9
    file: int = 1
    offset: int = 0
    group: int | None = None
    raw: bytes | int | None = None
    parse_error: str | None = None


def make_store(
    path: Path, rows: list[EventRow] | None = None, files: list[FileRow] | None = None
) -> sqlite3.Connection:
    """A new store with these; the connection may write."""
    connection = sqlite3.connect(path, isolation_level=None)
    prepare_file(connection)
    migrate(connection)
    for number, file in enumerate(files or [FileRow()], 1):
        add_file(connection, file, number)
    add_events(connection, rows or [])
    return connection


def add_file(connection: sqlite3.Connection, file: FileRow, number: int) -> None:
    connection.execute(
        'INSERT INTO files (id, source, path, current_path, device, inode, generation, start_offset, "offset",'
        " head_length, head_hash, marker_length, marker_hash, state, profile, first_seen, last_read, resource)"
        " VALUES (?, ?, ?, ?, 1, ?, 0, 0, ?, 0, x'', 0, x'', 'active', ?, 0, 0, ?)",
        (
            number,
            file.source,
            file.path,
            file.path,
            file.inode or number,
            file.offset,
            None if file.profile is None else file.profile.to_json(),
            json.dumps(file.resource),
        ),
    )


def add_group(connection: sqlite3.Connection, number: int, category: str) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO error_groups (id, fingerprint, fingerprint_version, title, severity_number, category,"
        " state_changed, first_seen, last_seen) VALUES (?, ?, 1, 'title', 17, ?, 0, 0, 0)",
        (number, str(number), category),
    )


def add_events(connection: sqlite3.Connection, rows: list[EventRow]) -> None:
    """Store events and count them in the rollups, in one transaction."""
    sources = dict(connection.execute("SELECT id, source FROM files"))
    counts: Counter[tuple[int, str, int, str]] = Counter()
    connection.execute("BEGIN IMMEDIATE")
    for number, row in enumerate(rows, highest_id(connection) + 1):
        record = row.record if isinstance(row.record, str) else json.dumps(row.record)
        if row.group is not None:
            add_group(connection, row.group, f"category{row.group % 3}")
            connection.execute(
                "UPDATE error_groups SET last_seen = max(last_seen, ?) WHERE id = ?", (row.timestamp, row.group)
            )
        connection.execute(
            'INSERT INTO events (id, timestamp, observed_timestamp, severity_number, file_id, "offset", group_id,'
            " record, raw, parse_error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                row.timestamp,
                BASE,
                row.severity,
                row.file,
                row.offset,
                row.group,
                record,
                row.raw,
                row.parse_error,
            ),
        )
        logger = (read_fields(load_record(record)).logger or "").encode(errors="backslashreplace").decode()
        counts[row.timestamp // (60 * SECOND), sources[row.file], row.severity, logger] += 1
    connection.executemany(
        "INSERT INTO rollups (minute, source, severity_number, logger, count) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(*key, count) for key, count in counts.items()],
    )
    connection.execute("COMMIT")
