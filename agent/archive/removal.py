"""Taking archives away: which ones are too old or too many, and deleting the files of those that are none any more."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.archive import files
from agent.core.errors import ArchiveError
from agent.core.units import format_duration, format_size
from agent.store import archives

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config.schema import ArchiveRetentionConfig
    from agent.store.archives import ArchiveRow
    from agent.store.edit import Change


class UndeletedLogs:
    """Archived logs that could not be deleted: one error for each directory and reason, however many there are."""

    def __init__(self) -> None:
        self._paths: dict[tuple[Path, str], list[str]] = {}
        self._reasons: dict[tuple[Path, str], OSError] = {}

    def add(self, path: str, why: OSError) -> None:
        """Note one."""
        key = Path(path).parent, str(why.strerror)
        self._paths.setdefault(key, []).append(path)
        self._reasons[key] = why

    def take(self) -> Iterator[ArchiveError]:
        """The errors of those noted since the last call."""
        for key, paths in self._paths.items():
            if len(paths) == 1:
                yield ArchiveError.of("SL807", paths[0], why=self._reasons[key])
            else:
                count, why = f"{len(paths):,}", self._reasons[key]
                yield ArchiveError.of("SL807.several", key[0], count=count, path=paths[0], why=why)
        self._paths, self._reasons = {}, {}


def expired(rows: list[ArchiveRow], keep: ArchiveRetentionConfig, now_ns: int) -> list[tuple[ArchiveRow, str]]:
    """The archives that are too old, counted from their making or from their newest event, or too many; oldest first,
    each with the reason.

    Args:
        rows: all archives, oldest first.
        keep: how long, and how many.
        now_ns: Unix ns.
    """
    reasons = {row.id: why for row in rows if (why := _too_old(row, keep, now_ns))}
    size = sum(row.bytes for row in rows if row.id not in reasons)
    for row in rows:
        if keep.size is None or size <= keep.size:
            break
        if row.id not in reasons:
            reasons[row.id] = f"all archives have {format_size(size)}, more than {format_size(keep.size)}"
            size -= row.bytes
    return [(row, reasons[row.id]) for row in rows if row.id in reasons]


def _too_old(row: ArchiveRow, keep: ArchiveRetentionConfig, now_ns: int) -> str:
    """Why an archive is too old; empty where it is not."""
    if keep.age is not None and row.created < now_ns - int(keep.age * 1e9):
        return f"it is older than {format_duration(keep.age)}"
    # Without any event it is as old as its log was when it was last written.
    newest = row.modified if row.max_timestamp is None else row.max_timestamp
    newest = min(newest, row.created)  # a clock that was wrong: nothing happened after it was archived
    if keep.event_age is not None and newest < now_ns - int(keep.event_age * 1e9):
        return f"its newest event is older than {format_duration(keep.event_age)}"
    return ""


def delete_removed(change: Change) -> list[tuple[str, OSError]]:
    """Delete the files of archives that are no longer any. What cannot be deleted, and why; it is tried again when this
    is called again.

    Args:
        change: runs a function in a transaction.

    Raises:
        StoreError: the store cannot be written.
    """
    gone, failed = [], []
    for archive_id, path in change(archives.removed_files, durable=False):
        try:
            files.delete(Path(path))
        except OSError as error:
            failed.append((path, error))
        else:
            gone.append(archive_id)
    if gone:
        change(partial(archives.note_deleted, ids=gone), durable=False)
    return failed
