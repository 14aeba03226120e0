"""Statements on the small tables: files, groups, own errors, notes. Always inside the writer's transaction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from msgspec.structs import replace

from agent.core.fields import Profile
from agent.core.model import FileChange, FileRow, GroupUpdate, OwnError, StoredBatch
from agent.core.text import from_text, to_text
from agent.core.times import MINUTE_NS
from agent.store import faults, field_counts
from agent.store.reader import get_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

_STORE_ID = "store"  # the key in `meta`
_STORE_ID_BYTES = 8
_SAVE_FILE = """
INSERT INTO files (id, source, path, current_path, device, inode, generation, "offset", start_offset, head_length,
                   head_hash, marker_length, marker_hash, state, profile, first_seen, last_read, resource,
                   message_path, logger_path, service_path, trace_path)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
  source = excluded.source, current_path = excluded.current_path, device = excluded.device, inode = excluded.inode,
  generation = excluded.generation, head_length = excluded.head_length, head_hash = excluded.head_hash,
  state = excluded.state, profile = coalesce(excluded.profile, profile), resource = excluded.resource,
  message_path = coalesce(excluded.message_path, message_path),
  logger_path = coalesce(excluded.logger_path, logger_path),
  service_path = coalesce(excluded.service_path, service_path),
  trace_path = coalesce(excluded.trace_path, trace_path)
"""
_ADVANCE_FILE = """
UPDATE files SET "offset" = ?, marker_length = ?, marker_hash = ?, last_read = ?,
  tail_event_id = iif(?, tail_event_id, ?), events = events + ?, event_bytes = event_bytes + ?,
  blank_bytes = blank_bytes + ?, gap_bytes = gap_bytes + ?, parse_errors = parse_errors + ?
WHERE id = ?
"""
_LOAD_FILES = """
SELECT id, source, path, device, inode, generation, head_length, head_hash, current_path, state, first_seen, last_read,
       resource, "offset", marker_length, marker_hash, profile, tail_event_id, start_offset
FROM files ORDER BY id
"""
# Whether this transaction's events bring a group back. What was resolved, by an event later than all before; one from
# the future must not hide those that come, so the instant of resolving will do too. What was ignored, by the event that
# makes the count full, or by one that happened after the time; one from the future happened when it arrived.
_RETURNS = """CASE state
    WHEN 'resolved' THEN excluded.last_seen >= min(last_seen, state_changed)
    WHEN 'ignored' THEN count + excluded.count >= ignored_until_count OR min(excluded.last_seen, ?) >= ignored_until
  END"""
_SAVE_GROUP = f"""
INSERT INTO error_groups (id, fingerprint, fingerprint_version, title, culprit, exception_type, severity_number,
                          category, service, state, state_changed, first_seen, last_seen, count, template)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'new', ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
  count = count + excluded.count,
  template = coalesce(excluded.template, template),
  fingerprint_version = excluded.fingerprint_version,
  first_seen = min(first_seen, excluded.first_seen),
  last_seen = max(last_seen, excluded.last_seen),
  severity_number = max(severity_number, excluded.severity_number),
  (state, state_changed, ignored_until, ignored_until_count) = (
    SELECT iif(returns, 'regressed', state), iif(returns, excluded.last_seen, state_changed),
           iif(returns, NULL, ignored_until), iif(returns, NULL, ignored_until_count)
    FROM (SELECT {_RETURNS} AS returns))
"""  # noqa: S608  constants only
# The same for a group that is there and cannot come back: a third of the time.
_MAY_RETURN = frozenset({"resolved", "ignored"})
_ADD_TO_GROUP = """
UPDATE error_groups SET
  count = count + ?,
  template = coalesce(?, template),
  fingerprint_version = ?,
  first_seen = min(first_seen, ?),
  last_seen = max(last_seen, ?),
  severity_number = max(severity_number, ?)
WHERE id = ?
"""
_SAVE_GROUP_MINUTE = """
INSERT INTO group_minutes (group_id, minute, count) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count
"""
_MOST_SERVICES = 100  # of one group; the events of further ones count for ''
_SAVE_GROUP_SERVICE = f"""
INSERT INTO group_services (group_id, service, count)
VALUES (?1, iif(EXISTS (SELECT 1 FROM group_services WHERE group_id = ?1 AND service = ?2)
                OR (SELECT count(*) FROM group_services WHERE group_id = ?1) < {_MOST_SERVICES}, ?2, ''), ?3)
ON CONFLICT DO UPDATE SET count = count + excluded.count
"""  # noqa: S608  constants only
_SAVE_OWN_ERROR = """
INSERT INTO own_errors (code, subject, message, hint, first_seen, last_seen, count, active)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET message = iif(excluded.active, excluded.message, message),
  hint = iif(excluded.active, excluded.hint, hint), last_seen = excluded.last_seen,
  count = count + excluded.count, active = excluded.active
"""
_INSERT_ORPHAN = """
INSERT INTO events (timestamp, observed_timestamp, severity_number, file_id, "offset", record, raw, parse_error)
VALUES (?, ?, 0, ?, ?, ?, ?, ?)
"""


def save_file(connection: sqlite3.Connection, change: FileChange) -> None:
    """Insert a file's row, or update everything but its position. Its source and resource are other ones only where
    nothing of it is stored yet (`tail.registry`).

    Args:
        connection: inside a transaction.
        change: the generation; its profile says where the view `logs` finds message, logger, service and trace id.
    """
    file = change.file
    paths = Profile.from_json(change.profile).sql_paths() if change.profile else {}
    connection.execute(
        _SAVE_FILE,
        (
            file.id,
            file.source,
            to_text(file.path),
            to_text(file.current_path or file.path),
            file.device,
            file.inode,
            file.generation,
            change.offset,
            change.offset,
            file.head_length,
            file.head_hash,
            change.marker_length,
            change.marker_hash,
            file.state,
            change.profile,
            file.first_seen,
            file.last_read,
            file.resource,
            paths.get("message"),
            paths.get("logger"),
            paths.get("service"),
            paths.get("trace_id"),
        ),
    )


def advance_file(
    connection: sqlite3.Connection,
    batch: StoredBatch,
    *,
    tail_event_id: int | None,
    keep_tail: bool,
    events: int,
    event_bytes: int,
    gap_bytes: int,
) -> None:
    """Move a file's position to the end of a batch that was just inserted."""
    connection.execute(
        _ADVANCE_FILE,
        (
            batch.events.end,
            batch.marker_length,
            batch.marker_hash,
            batch.observed_timestamp,
            keep_tail,
            tail_event_id,
            events,
            event_bytes,
            batch.events.blank_bytes,
            gap_bytes,
            len(batch.events.parse_errors),
            batch.file.id,
        ),
    )


def load_files(connection: sqlite3.Connection) -> list[FileRow]:
    """All file generations that the store remembers, finished ones included, by id."""
    rows = [FileRow(*row) for row in connection.execute(_LOAD_FILES)]
    return [replace(row, path=from_text(row.path), current_path=from_text(row.current_path)) for row in rows]


def insert_orphan(connection: sqlite3.Connection, batch: StoredBatch, offset: int, raw: bytes) -> None:
    """Store lines at `offset` that continue an event which is no longer there."""
    record = orjson.dumps({"message": raw.decode(errors="backslashreplace")}).decode()
    connection.execute(
        _INSERT_ORPHAN,
        (
            batch.observed_timestamp,
            batch.observed_timestamp,
            batch.file.id,
            offset,
            record,
            bytearray(raw),
            "continues an event that was deleted",
        ),
    )


def keep_ids(connection: sqlite3.Connection, last: int) -> None:
    """Note the highest id that an event had, as a trigger does where that leaves the store: no id is given twice."""
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (last,))


def hold_place(connection: sqlite3.Connection, last: int) -> bool:
    """Where the event that had the highest id has left the store, put a row in its place until others have ids behind
    it (`remove_event`); whether that was so.
    """
    newest = connection.execute("SELECT max(id) FROM events").fetchone()[0] or 0
    if newest >= last:
        return False
    connection.execute(
        'INSERT INTO events (id, timestamp, observed_timestamp, severity_number, file_id, "offset", record)'
        " VALUES (?, 0, 0, 0, 0, 0, '')",
        (last,),
    )
    return True


def remove_event(connection: sqlite3.Connection, number: int) -> None:
    """Delete the event with this id."""
    connection.execute("DELETE FROM events WHERE id = ?", (number,))
    field_counts.forget(connection, number)


def save_groups(connection: sqlite3.Connection, groups: Iterable[GroupUpdate], now: int) -> None:
    """Add a transaction's errors to their groups; those that come back with it become `regressed`.

    Args:
        connection: inside a transaction.
        groups: what to add.
        now: Unix ns; when these errors were read: nothing has happened later.
    """
    groups = list(groups)
    if not groups:
        return
    states = group_states(connection, groups)
    steady = {number for number, state in states.items() if state not in _MAY_RETURN}
    connection.executemany(
        _ADD_TO_GROUP,
        [
            (g.count, g.template, g.fingerprint_version, g.first_seen, g.last_seen, g.severity_number, g.id)
            for g in groups
            if g.id in steady
        ],
    )
    connection.executemany(
        _SAVE_GROUP,
        [
            (
                g.id, g.fingerprint, g.fingerprint_version, g.title, g.culprit, g.exception_type, g.severity_number,
                g.category, g.service, g.last_seen, g.first_seen, g.last_seen, g.count, g.template, now,
            )
            for g in groups
            if g.id not in steady
        ],
    )  # fmt: skip
    minutes = [(group.id, minute, count) for group in groups for minute, count in group.minutes.items()]
    connection.executemany(_SAVE_GROUP_MINUTE, minutes)
    services = [(group.id, service, count) for group in groups for service, count in group.services.items()]
    connection.executemany(_SAVE_GROUP_SERVICE, services)


def group_states(connection: sqlite3.Connection, groups: Iterable[GroupUpdate]) -> dict[int, str]:
    """The state of each of these groups that is stored."""
    ids = orjson.dumps([group.id for group in groups]).decode()
    rows = connection.execute("SELECT id, state FROM error_groups WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    return dict(rows.fetchall())


def leave_group(connection: sqlite3.Connection, group: int, timestamp: int, service: str | None) -> None:
    """Take one event out of its group, which goes when it was the only one."""
    connection.execute("UPDATE error_groups SET count = count - 1 WHERE id = ?", (group,))
    connection.execute(
        "UPDATE group_minutes SET count = count - 1 WHERE group_id = ? AND minute = ?",
        (group, timestamp // MINUTE_NS),
    )
    connection.execute("DELETE FROM group_minutes WHERE group_id = ? AND count <= 0", (group,))
    connection.execute(
        "UPDATE group_services SET count = count - 1 WHERE group_id = ? AND service = ?", (group, service or "")
    )
    connection.execute("DELETE FROM group_services WHERE group_id = ? AND count <= 0", (group,))
    connection.execute("DELETE FROM error_groups WHERE id = ? AND count <= 0 AND state = 'new'", (group,))


def save_own_errors(connection: sqlite3.Connection, errors: Iterable[OwnError]) -> None:
    """Remember the agent's own errors; one row per code and subject, with a count."""
    connection.executemany(
        _SAVE_OWN_ERROR,
        [
            (e.code, *map(to_text, (e.subject, e.message, e.hint)), e.time, e.time, e.count * e.active, e.active)
            for e in errors  # often about a file, whose name may be anything
        ],
    )


def last_file_id(connection: sqlite3.Connection) -> int:
    """The highest id that a file generation has, or had when it was archived; 0 where there is none."""
    sql = "SELECT max((SELECT coalesce(max(id), 0) FROM files), (SELECT coalesce(max(file_id), 0) FROM archives))"
    return int(connection.execute(sql).fetchone()[0])


def begin_run(connection: sqlite3.Connection, facts: Mapping[str, object]) -> None:
    """Note that an agent runs on this store, and end the conditions that its predecessor left open.

    Raises:
        StoreError: as `faults.changing`.
    """
    with faults.changing(connection):
        set_meta(connection, "run", {**facts, "stopped_at": None})
        connection.execute("UPDATE own_errors SET active = 0")


def end_run(connection: sqlite3.Connection, now: int) -> None:
    """Note that the agent has stopped as it should; without this note it has died.

    Raises:
        StoreError: as `faults.changing`.
    """
    with faults.changing(connection):
        set_meta(connection, "run", {**get_meta(connection, "run"), "stopped_at": now})


def forget_run(connection: sqlite3.Connection) -> None:
    """Forget the agent that ran on a store, for a copy on which none has run; inside a transaction."""
    connection.execute("DELETE FROM meta WHERE \"key\" = 'run'")
    connection.execute("UPDATE own_errors SET active = 0")


def store_id(connection: sqlite3.Connection) -> str | None:
    """What tells this store from any other, also from one that was restored from its backup: ids of events mean the
    same in stores of one id alone. None: no agent that makes such ids has opened it yet.
    """
    found = get_meta(connection, _STORE_ID).get("id")
    return found if isinstance(found, str) else None


def renew_store_id(connection: sqlite3.Connection) -> None:
    """Give a store an id of its own; inside a transaction."""
    set_meta(connection, _STORE_ID, {"id": os.urandom(_STORE_ID_BYTES).hex()})


def set_meta(connection: sqlite3.Connection, key: str, value: Mapping[str, object]) -> None:
    """Keep a JSON object in `meta`; inside a transaction."""
    connection.execute(
        'INSERT INTO meta ("key", value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
        (key, orjson.dumps(value).decode()),
    )


# ---------------------------------------------------------------- rotations


_ROTATIONS = "rotations"


class BegunRotation(NamedTuple):
    """A rotation: of which log, and of which file. `copy` is the inode of copytruncate's copy, 0 while it has no name
    that lasts, and with other methods.
    """

    path: str
    source: str
    device: int
    inode: int
    copy: int = 0


def begun_rotations(connection: sqlite3.Connection) -> list[BegunRotation]:
    """The rotations that have begun and are not finished: what a crash in the middle of one leaves to be done."""
    rows: dict[str, Any] = get_meta(connection, _ROTATIONS)
    return [BegunRotation(from_text(path), *row) for path, row in rows.items()]


def begin_rotations(connection: sqlite3.Connection, rows: Iterable[BegunRotation]) -> None:
    """Note rotations, in place of earlier ones of the same logs; inside a transaction."""
    noted = get_meta(connection, _ROTATIONS)
    set_meta(connection, _ROTATIONS, {**noted, **{to_text(row.path): row[1:] for row in rows}})


def end_rotations(connection: sqlite3.Connection, paths: Iterable[str]) -> None:
    """Rotations are finished; inside a transaction."""
    noted = get_meta(connection, _ROTATIONS)
    for path in paths:
        noted.pop(to_text(path), None)
    set_meta(connection, _ROTATIONS, noted)


def note_flush(connection: sqlite3.Connection, now_ns: int) -> None:
    """Write something, so that a durable transaction brings to the disk what was committed before."""
    set_meta(connection, "flushed", {"time": now_ns})
