"""The archives, whether they are whole, and what a round of archiving has done, for faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.store import archives
from agent.views import iso

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from agent.archive.archiver import ArchivingSummary
    from agent.archive.verify import ArchiveFinding


def list_archives(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The rows of `archive list --json`, oldest first."""
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
        for row in archives.load(connection)
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
