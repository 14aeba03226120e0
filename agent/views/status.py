"""What `status` knows: read from the store, the lock and the followed files, without asking the agent."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import orjson

from agent.core.paths import from_text
from agent.core.times import format_utc
from agent.store import alerts as alert_tables
from agent.store.lock import Owner, owner
from agent.views.alerts import evictions, list_states

_STUCK_S = 120.0  # lines that have waited for so long while the agent runs are a fault
_LINE_BYTES = 2**20
_MAX_GAPS = 50
_RATE_MINUTES = 5


def collect(
    connection: sqlite3.Connection, path: Path, now: int | None = None, *, second_look_s: float = 3.0
) -> dict[str, Any]:
    """The document of `status --json`.

    Args:
        connection: read-only.
        path: of the store.
        now: Unix ns.
        second_look_s: how long a file that seems stuck is looked at again; an agent that is well reads a line within
            two seconds.
    """
    now = time.time_ns() if now is None else now
    running = owner(path)
    agent = _agent(connection, running)
    files = _files(connection, now)
    errors = _own_errors(connection)
    if running is not None and running.fault is not None:
        errors.insert(0, _unstored_error(running.fault, path, now))
    stuck = _stuck_files(connection, files, running.started_at, now, second_look_s) if running else []
    problems = _problems(agent, stuck, errors)
    return {
        "healthy": not problems,
        "problems": problems,
        "agent": agent,
        "files": files,
        "events": _events(connection, now),
        "gaps": _gaps(connection),
        "store": _store(connection, path),
        "archive": _archive(connection),
        "alerts": _alerts(connection, now),
        "hooks": alert_tables.hook_rows(connection),
        "errors": errors,
    }


def _agent(connection: sqlite3.Connection, running: Owner | None) -> dict[str, Any]:
    row = connection.execute("SELECT value FROM meta WHERE \"key\" = 'run'").fetchone()
    run = orjson.loads(row[0]) if row else {}
    died = running is None and bool(run) and run.get("stopped_at") is None
    return {
        "running": running is not None,
        "died": died,
        "pid": (running.pid if running else 0) or run.get("pid"),
        "started_at": iso(run.get("started_at")),
        "stopped_at": iso(run.get("stopped_at")),
        "version": run.get("version"),
    }


def _files(connection: sqlite3.Connection, now: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        'SELECT id, path, current_path, source, state, "offset", device, inode, last_read, events FROM files'
        " WHERE state != 'finished' ORDER BY source, path, id"
    )
    return [_file(row, now) for row in rows]


def _file(row: tuple[Any, ...], now: int) -> dict[str, Any]:
    number, path, current, source, state, offset, device, inode, last_read, events = row
    size, changed = offset, last_read
    try:
        status = Path(from_text(current)).stat()
        if (status.st_dev, status.st_ino) == (device, inode):
            size, changed = max(status.st_size, offset), status.st_mtime_ns
    except OSError:
        pass  # deleted or out of reach: the tailer says so itself
    lag = size - offset
    waiting_since = max(last_read, min(changed, now))
    return {
        "id": number,
        "path": path,
        "current_path": current,
        "source": source,
        "state": state,
        "offset": offset,
        "size": size,
        "lag_bytes": lag,
        "lag_seconds": round(max(0, now - waiting_since) / 1e9, 3) if lag else 0.0,
        "events": events,
    }


def _stuck_files(
    connection: sqlite3.Connection, files: list[dict[str, Any]], started_at: int, now: int, second_look_s: float
) -> list[dict[str, Any]]:
    """Followed files from which nothing was read for too long although a whole line waits.

    A line that has just been written to an idle file looks the same as one of many that are written to a file which
    is no longer read; so such files are looked at for a few seconds more.
    """
    suspects = []
    for file in files:
        if file["lag_bytes"] and file["state"] == "active":
            read_at = connection.execute("SELECT last_read FROM files WHERE id = ?", (file["id"],)).fetchone()[0]
            if now - max(read_at, started_at) > _STUCK_S * 1e9 and _holds_line(file):
                suspects.append(file)
    end = time.monotonic() + second_look_s
    while any(file["lag_seconds"] <= _STUCK_S for file in suspects) and time.monotonic() < end:
        time.sleep(0.1)
        suspects = [file for file in suspects if _offset(connection, file) == file["offset"]]
    return suspects


def _offset(connection: sqlite3.Connection, file: dict[str, Any]) -> int | None:
    row = connection.execute('SELECT "offset" FROM files WHERE id = ?', (file["id"],)).fetchone()
    return row[0] if row else None


def _holds_line(file: dict[str, Any]) -> bool:
    """Whether a line among the unread bytes has ended; one that is still being written is nobody's fault."""
    try:
        with Path(from_text(file["current_path"])).open("rb") as unread:
            unread.seek(file["offset"])
            data = unread.read(_LINE_BYTES)
    except OSError:
        return True
    return b"\n" in data or len(data) == _LINE_BYTES


def _events(connection: sqlite3.Connection, now: int) -> dict[str, Any]:
    # Ids are given out without holes and deleted from the low end only: no count over millions of rows.
    total = connection.execute("SELECT coalesce(max(id) - min(id) + 1, 0) FROM events").fetchone()[0]
    minute = now // 60_000_000_000
    by_severity = connection.execute(
        "SELECT coalesce(sum(count), 0), coalesce(sum(iif(severity_number >= 17, count, 0)), 0) FROM rollups"
        " WHERE minute > ? AND minute <= ?",
        (minute - _RATE_MINUTES, minute),
    ).fetchone()
    seconds = (_RATE_MINUTES - 1) * 60 + (now % 60_000_000_000) / 1e9
    books = connection.execute(
        "SELECT coalesce(sum(parse_errors), 0), coalesce(sum(gap_bytes), 0), coalesce(sum(blank_bytes), 0) FROM files"
    ).fetchone()
    return {
        "total": total,
        "parse_errors": books[0],
        "gap_bytes": books[1],
        "blank_bytes": books[2],
        "per_second": round(by_severity[0] / seconds, 3),
        "errors_per_second": round(by_severity[1] / seconds, 3),
    }


def _gaps(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute(
        'SELECT f.path, g."from", g."to", g.reason, g.time FROM gaps g JOIN files f ON f.id = g.file_id'
        " ORDER BY g.id DESC LIMIT ?",
        (_MAX_GAPS,),
    )
    return [
        {"path": path, "from": start, "to": end, "bytes": end - start, "reason": reason, "time": iso(at)}
        for path, start, end, reason, at in rows
    ]


def _store(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    def size(suffix: str) -> int:
        part = path.with_name(path.name + suffix)
        return part.stat().st_size if part.exists() else 0

    return {
        "path": str(path),
        "bytes": size(""),
        "wal_bytes": size("-wal"),
        "schema": connection.execute("PRAGMA user_version").fetchone()[0],
        "sqlite": sqlite3.sqlite_version,
    }


def _archive(connection: sqlite3.Connection) -> dict[str, Any]:
    """Size of the archives, and of the events that have left the store the share that can still be searched there."""
    files, size, raw = connection.execute(
        "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(raw_bytes), 0) FROM archives"
    ).fetchone()
    # Ids are given out without holes and deleted from the low end only.
    row = connection.execute("SELECT min(id) - 1 FROM events").fetchone()
    expired = row[0] if row[0] is not None else _last_id(connection)
    kept = connection.execute(
        "SELECT coalesce(sum(expired_events), 0) FROM files WHERE id IN (SELECT file_id FROM archives)"
    ).fetchone()[0]
    return {
        "files": files,
        "bytes": size,
        "raw_bytes": raw,
        "expired_events": expired,
        "searchable_events": kept,
        "searchable_share": round(kept / expired, 4) if expired else None,
    }


def _last_id(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def _alerts(connection: sqlite3.Connection, now: int) -> list[dict[str, Any]]:
    """Every state that is not ok, and every rule that had to give up states."""
    gone = evictions(connection)
    rows = [{**row, "evicted": gone.get(row["rule"], 0)} for row in list_states(connection, now)]
    told: set[str] = set()
    found = []
    for row in rows:
        if row["state"] != "ok" or (row["evicted"] and row["rule"] not in told):
            told.add(row["rule"])
            found.append(row)
    return found


def _own_errors(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT code, subject, message, hint, first_seen, last_seen, count, active FROM own_errors"
        " ORDER BY active DESC, last_seen DESC LIMIT 50"
    )
    return [
        {
            "code": code,
            "subject": subject,
            "message": message,
            "hint": hint,
            "first_seen": iso(first),
            "last_seen": iso(last),
            "count": count,
            "active": bool(active),
        }
        for code, subject, message, hint, first, last, count, active in rows
    ]


def _unstored_error(fault: dict[str, str], path: Path, now: int) -> dict[str, Any]:
    """What keeps the agent from writing the store, and therefore does not stand in it."""
    seen = {"first_seen": None, "last_seen": iso(now), "count": 1, "active": True}
    return {"code": fault["code"], "subject": str(path), "message": fault["message"], "hint": fault["hint"], **seen}


def _problems(agent: dict[str, Any], stuck: list[dict[str, Any]], errors: list[dict[str, Any]]) -> list[str]:
    """One sentence for each reason to call the agent unhealthy."""
    problems = []
    if agent["died"]:
        problems.append(f"the agent (process {agent['pid']}) has ended without stopping as it should")
    if agent["running"]:
        problems += [f"{error['code']}: {error['message']}" for error in errors if error["active"]]
        problems += [
            f"{file['path']}: {file['lag_bytes']} bytes wait and nothing was read for {_STUCK_S:.0f} s or longer"
            for file in stuck
        ]
    return problems


def iso(instant: int | None) -> str | None:
    """RFC 3339 with nanoseconds, `Z`."""
    return None if instant is None else format_utc(instant)
