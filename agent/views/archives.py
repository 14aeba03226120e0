"""The archives, what a round of archiving has done, and what it would do now, for faces. Nothing is changed."""

from __future__ import annotations

import os
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from agent.archive.directory import load
from agent.config.schema import ArchiveRetentionConfig
from agent.core.errors import RotateError, SidelogError
from agent.core.text import counted
from agent.core.units import format_duration
from agent.store.reader import open_reader
from agent.views import iso
from agent.views.diagnostic import Diagnostic, warning

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from agent.archive.archiver import Archiver
    from agent.archive.planner import ArchivingSummary
    from agent.archive.verify import ArchiveFinding
    from agent.config import Config
    from agent.rotate.rotator import Rotator


def list_archives(connection: sqlite3.Connection, directory: Path) -> list[dict[str, Any]]:
    """The rows of `archive list --json`, oldest first.

    Args:
        connection: read-only.
        directory: of all archives.
    """
    return [
        {
            "path": row.path,
            "source": row.source,
            "log": row.log_path,
            "bytes": row.bytes,
            "raw_bytes": row.raw_bytes,
            "lines": row.lines,
            "events": row.events,
            "first": iso(row.min_timestamp),
            "last": iso(row.max_timestamp),
            "sha256": row.sha256,
        }
        for row in load(connection, directory)
    ]


def round_document(summary: ArchivingSummary, rotated: int) -> dict[str, Any]:
    """The document of `archive run --json`.

    Args:
        summary: of the archives.
        rotated: how many logs were.
    """
    return {
        "rotated": rotated,
        "archived": summary.archived,
        "bytes": summary.bytes,
        "raw_bytes": summary.raw_bytes,
        "known": summary.known,
        "deleted": summary.deleted,
        "removed": summary.removed,
        "waiting": summary.waiting,
        "failed": summary.failed,
    }


def verify_document(checked: int, findings: Sequence[ArchiveFinding]) -> dict[str, Any]:
    """The document of `archive verify --json`.

    Args:
        checked: how many archives were read.
        findings: what is wrong.
    """
    return {"archives": checked, "findings": [finding.document() for finding in findings]}


def reindex_document(indexed: int, findings: Sequence[ArchiveFinding]) -> dict[str, Any]:
    """The document of `archive run --reindex --json`.

    Args:
        indexed: how many archives are known now.
        findings: files that could not be read.
    """
    return {"indexed": indexed, "findings": [finding.document() for finding in findings]}


def redact_document(redacted: int, findings: Sequence[ArchiveFinding]) -> dict[str, Any]:
    """The document of `archive run --redact --json`.

    Args:
        redacted: how many archives were made anew.
        findings: archives that could not be.
    """
    return {"redacted": redacted, "findings": [finding.document() for finding in findings]}


def expiring_archives(config: Config) -> Iterator[Diagnostic]:
    """Whether archives are about to go for the age of their events: somebody who has just named it sees what it does.

    Args:
        config: validated.
    """
    keep = config.archive.retention if config.archive else None
    if keep is None or keep.event_age is None or not config.store.path.exists():
        return
    from agent.archive.removal import expired  # noqa: PLC0415 - for who has set it alone

    try:
        connection = open_reader(config.store.path)
    except SidelogError:  # that of the store is said elsewhere
        return
    with closing(connection):
        bound = ArchiveRetentionConfig(age=None, event_age=keep.event_age, size=None)
        found = expired(load(connection, config.archive_directory), bound, time.time_ns())
    if found:
        age = format_duration(keep.event_age)
        yield warning(
            "SL815",
            "archive.retention.event_age",
            archives=counted(len(found), "archive has", "archives have"),
            path=found[0][0].path,
            age=age,
        )


# ---------------------------------------------------------------- what `archive run` would do now, to each file


class PlannedAction(msgspec.Struct, frozen=True):
    """What would be done to one file: `rotate`, `archive`, `delete`, `remove` (an archive), or `leave`; and why."""

    action: str
    path: str
    why: str

    def document(self) -> dict[str, str]:
        """For JSON."""
        return {"action": self.action, "path": self.path, "why": self.why}


def planned_actions(config: Config, connection: sqlite3.Connection) -> list[PlannedAction]:
    """What a round would do.

    Args:
        config: validated.
        connection: read-only.
    """
    from agent.archive.archiver import Archiver  # noqa: PLC0415 - 0.1 s with the next one, for a list of archives
    from agent.rotate.rotator import Rotator, known_files  # noqa: PLC0415

    change = partial(_ask, connection)
    rows: list[PlannedAction] = []
    archived = list(_archives(Archiver(config, change, _unsaid))) if config.archive else []
    if any(source.rotate is not None for source in config.sources):
        files = known_files(config, connection)
        rotated = _rotations(Rotator(config, lambda: files, change, _unsaid))
        said = {row.path for row in archived}
        rows = [row for row in rotated if row.path not in said]
    return rows + archived


def _ask(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], Any], *, durable: bool) -> Any:  # noqa: ARG001
    return function(connection)


def _unsaid(*_: object) -> None:
    pass


def _rotations(rotator: Rotator) -> Iterator[PlannedAction]:
    for source, candidates in rotator.candidates().items():
        untellable = _untellable(source, rotator) if any(log.why for log in candidates) else ""
        for log in candidates:
            path = log.file.path
            if not log.why:
                yield PlannedAction("leave", path, f"not due: {log.outlook}")
            elif obstacle := rotator.obstacle(log) or untellable:
                yield PlannedAction("leave", path, f"{log.why}, but {obstacle}")
            else:
                yield PlannedAction("rotate", path, log.why)
    for path, several in rotator.find_excess().items():
        keep = f"it is beyond `keep` of {path}"
        for one in several:
            action, why = ("leave", f"{keep}, but {one.why}") if one.why else ("delete", keep)
            yield PlannedAction(action, one.path, why)


def _untellable(source: str, rotator: Rotator) -> str:
    """Why the application of a source could not be told of a rotation; empty where it could."""
    from agent.rotate.postrotate import prepare  # noqa: PLC0415 - as above

    try:
        prepare(source, rotator.rules[source].config).close()
    except RotateError as error:
        return error.message
    return ""


def _archives(archiver: Archiver) -> Iterator[PlannedAction]:
    plan = archiver.plan()
    for job in plan.jobs:
        path = os.fsdecode(job.path)
        known = "all of it is stored" if job.followed or job.candidates else "it was never followed"
        yield PlannedAction("archive", path, f"{known}, and it has not changed for {_idle(path)}")
    for log in plan.present:
        yield PlannedAction("delete" if archiver.config.delete_source else "leave", log.path, "it is archived")
    for path in plan.waiting:
        why = f"it changed {_idle(path)} ago, quiet is {format_duration(archiver.config.quiet)}, or is not stored yet"
        yield PlannedAction("leave", path, why)
    for error in plan.errors:
        yield PlannedAction("leave", error.subject, error.message)
    for archive, why in archiver.expired():
        yield PlannedAction("remove", archive.path, why)


def _idle(path: str) -> str:
    """How long ago a file was written."""
    try:
        changed = os.stat(path).st_mtime  # noqa: PTH116 - the path is a str
    except OSError:
        return "0s"
    return format_duration(max(0, int(time.time() - changed)))
