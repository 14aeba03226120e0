"""The audit: the books of every file, and what is left on disk of the files that the store knows, compared with it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from agent.core.errors import TailError
from agent.core.model import HEAD_BYTES, MARKER_BYTES
from agent.core.text import to_text
from agent.store.audit import Audit
from agent.tail import files, identity, locate
from agent.tail.identity import FileKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from agent.store.compare import FileAudit


def audit_books(connection: sqlite3.Connection, path: Path) -> list[FileAudit]:
    """Only add up the books: no event and no file is read.

    Args:
        connection: read-only, in autocommit mode.
        path: of the store, for messages.

    Raises:
        StoreError: the store is damaged or locked.
    """
    return Audit(connection, path).judge_books()


def audit_files(
    connection: sqlite3.Connection, path: Path, progress: Callable[[int, int, int], None] = lambda *_: None
) -> list[FileAudit]:
    """Compare all that is stored with the files that still exist, byte for byte.

    Args:
        connection: read-only, in autocommit mode.
        path: of the store, for messages.
        progress: called with the events looked at, the events to look at, and the bytes compared.

    Returns:
        All generations, by source and path.

    Raises:
        StoreError: the store is damaged or locked.
    """
    audit = Audit(connection, path)
    return audit.run(Survivors(audit.files.values()).open, progress)


def audit_document(file: FileAudit) -> dict[str, Any]:
    """A row of `audit --json`."""
    return {
        "file_id": file.id,
        "path": to_text(file.path),
        "current_path": to_text(file.current_path),
        "source": file.source,
        "state": file.state,
        "offset": file.offset,
        "start_offset": file.start_offset,
        "events": file.events,
        "event_bytes": file.event_bytes,
        "blank_bytes": file.blank_bytes,
        "gap_bytes": file.gap_bytes,
        "gaps": [{"from": gap.start, "to": gap.end, "reason": gap.reason} for gap in file.gaps],
        "difference": file.difference,
        "complete": file.complete,
        "compared": file.compared,
        "compared_bytes": file.compared_bytes,
        "expired_bytes": file.expired_bytes,
        "redacted_events": file.redacted_events,
        "differences": [{"offset": offset, "what": what} for offset, what in file.differences],
        "difference_count": file.difference_count,
    }


# ---------------------------------------------------------------- what is left on disk


class Survivors:
    """Finds the files of generations by inode, under the path where they were last seen or beside it.

    Args:
        generations: all that the store knows; the newest of an inode is the one that its bytes belong to.
    """

    def __init__(self, generations: Iterable[FileAudit]) -> None:
        self._newest: dict[tuple[int, int], int] = {}
        for file in generations:
            key = (file.identity["device"], file.identity["inode"])
            self._newest[key] = max(file.id, self._newest.get(key, 0))

    def open(self, file: FileAudit) -> tuple[int, str] | str:
        """Open the file of a generation, if it still is that generation's.

        Returns:
            The descriptor and `whole` or `partly` (its end is gone). Or why it cannot be compared: `gone`,
            `replaced` (another generation has its inode, or other content), `truncated`, `unreadable`; `no` where it
            never was one.
        """
        if not file.path.startswith("/"):
            return "no"
        key = FileKey(file.identity["device"], file.identity["inode"])
        verdict = "gone"
        for path in _paths(file, key):
            try:
                descriptor = files.open_checked(path)
            except TailError:
                continue
            except OSError as error:
                verdict = verdict if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE) else "unreadable"
                continue
            try:
                if files.file_key(os.fstat(descriptor)) != key:
                    verdict = "replaced" if verdict == "gone" else verdict
                    continue
                verdict = self._judge(descriptor, file)
                if verdict in ("whole", "partly"):
                    kept, descriptor = descriptor, -1
                    return kept, verdict
            except OSError:
                verdict = "unreadable"
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
        return verdict

    def _judge(self, descriptor: int, file: FileAudit) -> str:
        """Whether the content is what was read, as far as head and marker tell.

        A file that has its inode for itself and is not truncated is compared even where they do not fit: then its
        bytes have been changed, and that is to be shown.
        """
        facts = file.identity
        if not identity.same_generation(facts["generation"], own := identity.generation(descriptor)):
            return "replaced"
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, facts["head_length"], 0)
        head_fits = len(head) == facts["head_length"] and (not head or identity.head_hash(head) == facts["head_hash"])
        before = os.pread(descriptor, facts["marker_length"], max(0, file.offset - facts["marker_length"]))
        marker_fits = size >= file.offset and (not before or identity.marker(before)[1] == facts["marker_hash"])
        certain = self._newest[facts["device"], facts["inode"]] == file.id and (own != 0 or file.state != "finished")
        if size < file.offset:
            if head_fits and file.state != "active" and size:
                return "partly"
            return "truncated" if certain else "replaced"
        if head_fits and marker_fits:
            return "whole"
        rewritten = not head_fits and not marker_fits and size > HEAD_BYTES + MARKER_BYTES
        return "whole" if certain and not rewritten else "replaced"


def _paths(file: FileAudit, key: FileKey) -> Iterable[str]:
    """Where it may lie; directories are searched only when it is not where it was last seen."""
    yield file.current_path
    if file.path != file.current_path:
        yield file.path
    found = locate.find_inode(key, {os.path.dirname(file.current_path), os.path.dirname(file.path)})  # noqa: PTH120
    if found is not None:
        yield found
