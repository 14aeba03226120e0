"""The care of the store between transactions: retention, checkpoints, and a look at the file itself."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from agent.store import faults
from agent.store.writer import WAL_ALARM_BYTES, WAL_CHECKPOINT_BYTES, StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.errors import StoreError
    from agent.store.retention import Retention

_CHECK_FILE_S = 1.0
_RETENTION_S = 10.0
_TIDY_S = 3_600.0
_IDLE_CHECKPOINT_S = 5.0  # after this much quiet the WAL is copied, so that little is replayed after a power cut


class Maintenance:
    """Does what is due, in portions short enough for a waiting batch.

    Args:
        writer: the open store.
        retention: its bounds.
        report: notes that a condition began (True) or ended (False).
        clock: Unix ns, for ages; None when it is not to be believed: then nothing goes by its age.
        elapsed: monotonic seconds since any instant, for what is due.
    """

    def __init__(
        self,
        writer: StoreWriter,
        retention: Retention,
        *,
        report: Callable[[StoreError, bool], None],
        clock: Callable[[], int | None] = time.time_ns,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self.retention = retention
        self._report = report
        self._clock = clock
        self._elapsed = elapsed
        self._due_file = self._due_retention = self._due_tidy = -math.inf
        self._last_commit: float | None = None
        self._alarmed = False
        self.pending = False  # more to delete or to give back at once

    def after_commit(self) -> None:
        """Keep the WAL short."""
        self._last_commit = self._elapsed()
        if self._writer.wal_bytes() > WAL_CHECKPOINT_BYTES:
            self._checkpoint()

    def step(self) -> None:
        """Do one portion of what is due.

        Raises:
            StoreError: as `StoreWriter.write`.
        """
        now = self._elapsed()
        if now >= self._due_file:
            self._due_file = now + _CHECK_FILE_S
            self._writer.check_file()
        if self.pending or now >= self._due_retention:
            self._due_retention = now + _RETENTION_S
            self._expire()
        if now >= self._due_tidy and (wall := self._clock()) is not None:
            self._due_tidy = now + _TIDY_S
            self.retention.tidy(wall)
        if self._last_commit is not None and now - self._last_commit >= _IDLE_CHECKPOINT_S:
            self._last_commit = None
            self._checkpoint()

    def run_retention(self) -> None:
        """Bring the store within its bounds now, however long it takes."""
        self._expire()
        while self.pending:
            self._expire()

    def _expire(self) -> None:
        free_before = self.retention.free_pages()
        last = self.retention.step(self._clock())
        self.pending = bool(last) or self.retention.free_pages() < free_before
        if self.pending:  # the file itself shrinks when the WAL is copied
            self.after_commit()

    def _checkpoint(self) -> None:
        self._writer.checkpoint()
        size = self._writer.wal_bytes()
        if (size > WAL_ALARM_BYTES) != self._alarmed:
            self._alarmed = not self._alarmed
            self._report(faults.wal_error(self._writer.path, size), self._alarmed)
