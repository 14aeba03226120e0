"""What `status` knows: read from the store, the lock and the followed files, without asking the agent.

Whether a file is stuck takes two looks: a line that has just been written to an idle file looks the same as one of many
that are written to a file which is no longer read. A face looks, waits as it can, and looks again.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

from agent.core.text import counted, from_text
from agent.core.times import MINUTE_NS
from agent.store import alerts as alert_tables
from agent.store import statistics
from agent.store.lock import Owner, owner
from agent.store.reader import get_meta
from agent.tail import holes
from agent.tail.files import is_file_as
from agent.tail.identity import FileKey
from agent.views import iso
from agent.views.alerts import evictions, list_states
from agent.views.forward import problem_of, target_documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.store.statistics import FindingRow, FollowedFile, OwnErrorRow

SECOND_LOOK_S = 3.0  # an agent that is well reads a line within two
_STUCK_S = 120.0  # lines that have waited for so long while the agent runs are a fault
_LINE_BYTES = 2**20
_MAX_GAPS = 50
_MAX_ERRORS = 50
_RATE_MINUTES = 5
_LEAST_RATE_NS = 10**9  # of less time a rate says nothing
_WARNINGS = frozenset({"SL807"})  # what costs space alone: all is read, stored and archived, and the log stays
_BRIEF = 5  # problems of one kind that people are shown


class Snapshot(msgspec.Struct):
    """The agent as one look shows it."""

    agent: dict[str, Any]
    parts: dict[str, Any]  # of the document
    suspects: list[dict[str, Any]]  # files that seem stuck

    @property
    def is_doubtful(self) -> bool:
        """Whether another look, after a moment, could clear a file: one that was changed only just now."""
        return any(file["lag_seconds"] <= _STUCK_S for file in self.suspects)

    def look_again(self, connection: sqlite3.Connection) -> None:
        """Clear the files from which something was read since the first look."""
        offsets = statistics.file_offsets(connection, [file["id"] for file in self.suspects])
        self.clear_moved(offsets)

    def clear_moved(self, offsets: Mapping[int, int]) -> None:
        """Clear the files that have another offset by now, or none: they are no longer followed.

        Args:
            offsets: of file ids.
        """
        self.suspects = [file for file in self.suspects if offsets.get(file["id"]) == file["offset"]]

    def document(self) -> dict[str, Any]:
        """The document of `status --json`; a file that is still suspected is called stuck."""
        problems = _problems(self.agent, self.suspects, self.parts["errors"])
        if self.agent["running"] and not any(one["code"] == "SL659" and one["active"] for one in self.parts["errors"]):
            problems += filter(None, map(problem_of, self.parts["forward"]))
        return {"healthy": not problems, "problems": problems, "agent": self.agent, **self.parts}


def brief_problems(document: Mapping[str, Any]) -> list[str]:
    """The problems of a document for people: of many own errors of one code the newest with their number."""
    running = document["agent"]["running"]
    own = {_sentence(error) for error in document["errors"]}
    findings = [one for one in document["findings"] if one["active"] and one["code"] not in _WARNINGS]
    others = [problem for problem in document["problems"] if problem not in own]
    brief = others if len(others) <= _BRIEF else [*others[:_BRIEF], f"… and {len(others) - _BRIEF:,} more of this kind"]
    return [*brief, *map(brief_finding, findings if running else [])]


def brief_finding(finding: Mapping[str, Any]) -> str:
    """One sentence for all own errors of one code."""
    if finding["subjects"] == 1:
        return _sentence(finding)
    return f"{finding['code']}: {finding['subjects']:,} findings, the newest: {finding['message']}"


def is_warning(finding: Mapping[str, Any]) -> bool:
    """Whether a finding lasts that leaves the agent healthy."""
    return bool(finding["active"]) and finding["code"] in _WARNINGS


def _sentence(error: Mapping[str, Any]) -> str:
    return f"{error['code']}: {error['message']}"


def look(connection: sqlite3.Connection, path: Path, now: int | None = None) -> Snapshot:
    """Look at the agent once, without waiting.

    Args:
        connection: read-only.
        path: of the store.
        now: Unix ns.
    """
    now = time.time_ns() if now is None else now
    running = owner(path)
    followed = statistics.followed_files(connection)
    files = [_file(row, now) for row in followed]
    errors = [_own_error(row) for row in statistics.own_errors(connection, _MAX_ERRORS)]
    findings = [{**asdict(row), **_finding_facts(row)} for row in statistics.own_findings(connection, _MAX_ERRORS)]
    if running is not None and running.fault is not None:
        errors.insert(0, _unstored_error(running.fault, path, now))
        findings.insert(0, {**errors[0], "subjects": 1})
    run = get_meta(connection, "run")
    started_at = run.get("started_at")
    return Snapshot(
        _agent(run, running),
        {
            "files": files,
            "events": _events(connection, started_at if isinstance(started_at, int) else None, now),
            "gaps": _gaps(connection),
            "store": _store(connection, path),
            "archive": _archive(connection),
            "alerts": _alerts(connection, now),
            "hooks": alert_tables.hook_rows(connection),
            "forward": target_documents(connection, now),
            "errors": errors,
            "findings": findings,
        },
        _suspects(followed, files, running.started_at, now) if running else [],
    )


def _agent(run: dict[str, Any], running: Owner | None) -> dict[str, Any]:
    died = running is None and bool(run) and run.get("stopped_at") is None
    return {
        "running": running is not None,
        "died": died,
        "pid": (running.pid if running else 0) or run.get("pid"),
        "started_at": iso(run.get("started_at")),
        "stopped_at": iso(run.get("stopped_at")),
        "version": run.get("version"),
    }


def _file(row: FollowedFile, now: int) -> dict[str, Any]:
    size, changed = row.offset, row.last_read
    if not row.path.startswith("/"):  # a stream: what is still to come of it nobody knows
        return _entry(row, size, now, changed)
    try:
        status = Path(from_text(row.current_path)).stat()
        if is_file_as(status, FileKey(row.device, row.inode)):
            size, changed = max(_data_end(row, status.st_size), row.offset), status.st_mtime_ns
    except OSError:
        pass  # deleted or out of reach: the tailer says so itself
    return _entry(row, size, now, changed)


def _entry(row: FollowedFile, size: int, now: int, changed: int) -> dict[str, Any]:
    lag = size - row.offset
    waiting_since = max(row.last_read, min(changed, now))
    return {
        "id": row.id,
        "path": row.path,
        "current_path": row.current_path,
        "source": row.source,
        "state": row.state,
        "offset": row.offset,
        "size": size,
        "lag_bytes": lag,
        "lag_seconds": round(max(0, now - waiting_since) / 1e9, 3) if lag else 0.0,
        "events": row.events,
    }


def _data_end(row: FollowedFile, size: int) -> int:
    """Up to where there is something to read: NULs that nobody has filled yet are not waited for."""
    if size <= row.offset:
        return size
    with Path(from_text(row.current_path)).open("rb", buffering=0) as file:
        end, has_data = holes.skip(file.fileno(), row.offset, size)
    return size if has_data or end == row.offset else row.offset


def _suspects(
    followed: list[FollowedFile], files: list[dict[str, Any]], started_at: int, now: int
) -> list[dict[str, Any]]:
    """Followed files from which nothing was read for too long although a whole line waits."""
    return [
        file
        for row, file in zip(followed, files, strict=True)
        if file["lag_bytes"]
        and row.state == "active"
        and now - max(row.last_read, started_at) > _STUCK_S * 1e9
        and _holds_line(file)
    ]


def _holds_line(file: dict[str, Any]) -> bool:
    """Whether a line among the unread bytes has ended; one that is still being written is nobody's fault."""
    try:
        with Path(from_text(file["current_path"])).open("rb") as unread:
            unread.seek(file["offset"])
            data = unread.read(_LINE_BYTES)
    except OSError:
        return True
    return b"\n" in data or len(data) == _LINE_BYTES


def _events(connection: sqlite3.Connection, started_at: int | None, now: int) -> dict[str, Any]:
    totals = statistics.event_totals(connection)
    events, errors = statistics.recent_counts(connection, now, _RATE_MINUTES)
    seconds = _counted_seconds(connection, started_at, now)
    return {
        "total": totals.events,
        "parse_errors": totals.parse_errors,
        "gap_bytes": totals.gap_bytes,
        "blank_bytes": totals.blank_bytes,
        "per_second": round(events / seconds, 3),
        "errors_per_second": round(errors / seconds, 3),
    }


def _counted_seconds(connection: sqlite3.Connection, started_at: int | None, now: int) -> float:
    """The time in which the recent events came: less than the minutes looked at where the agent has just begun and
    nothing is stored from before.
    """
    begin = (now // MINUTE_NS - _RATE_MINUTES + 1) * MINUTE_NS
    if started_at is not None and started_at > begin:
        first = statistics.first_event_since(connection, begin)
        begin = min(started_at, now if first is None else first)
    return max(now - begin, _LEAST_RATE_NS) / 1e9


def _gaps(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    return [
        {
            "path": gap.path,
            "from": gap.start,
            "to": gap.end,
            "bytes": gap.end - gap.start,
            "reason": gap.reason,
            "time": iso(gap.time),
        }
        for gap in statistics.newest_gaps(connection, _MAX_GAPS)
    ]


def _store(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    def size(suffix: str) -> int:
        part = path.with_name(path.name + suffix)
        return part.stat().st_size if part.exists() else 0

    return {
        "path": str(path),
        "bytes": size(""),
        "wal_bytes": size("-wal"),
        "schema": statistics.schema_version(connection),
        "sqlite": sqlite3.sqlite_version,
    }


def _archive(connection: sqlite3.Connection) -> dict[str, Any]:
    """Size and oldest event of the archives, and the share of the events that have left the store that can be searched
    there.
    """
    totals = statistics.archive_totals(connection)
    expired = totals.expired_events
    return {
        **asdict(totals),
        "oldest_event": iso(totals.oldest_event),
        "searchable_share": round(totals.searchable_events / expired, 4) if expired else None,
    }


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


def _finding_facts(row: FindingRow) -> dict[str, Any]:
    return {"last_seen": iso(row.last_seen), "active": bool(row.active)}


def _own_error(row: OwnErrorRow) -> dict[str, Any]:
    times = {"first_seen": iso(row.first_seen), "last_seen": iso(row.last_seen)}
    return {**asdict(row), **times, "active": bool(row.active)}


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
        problems += [_sentence(error) for error in errors if error["active"] and error["code"] not in _WARNINGS]
        problems += [
            f"{file['path']}: {counted(file['lag_bytes'], 'byte waits', 'bytes wait')} and nothing was read for"
            f" {_STUCK_S:.0f} s or longer"
            for file in stuck
        ]
    return problems
