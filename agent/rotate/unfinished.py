"""Rotations whose applications are still to be told: kept in the store, told again until that has succeeded."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import orjson

from agent.core.errors import RotateError
from agent.core.text import to_text
from agent.rotate import copytruncate
from agent.rotate.postrotate import prepare
from agent.store import tables
from agent.tail.files import is_file_as
from agent.tail.identity import FileKey
from agent.tail.rotated_names import newest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from agent.config import RotateConfig
    from agent.core.conditions import Conditions
    from agent.rotate.postrotate import Postrotate
    from agent.store.edit import Change
    from agent.store.tables import BegunRotation


class UnfinishedRotations:
    """Notes of rotations, and the telling.

    Args:
        change: runs a function in a transaction.
        conditions: SL821 and SL822 are its own.
        backoff: by source.
        stop: whether the agent ends.
    """

    def __init__(self, change: Change, conditions: Conditions, backoff: RetryBackoff, stop: Callable[[], bool]) -> None:
        self._change = change
        self._conditions = conditions
        self._backoff = backoff
        self._stop = stop
        self._untold: dict[str, str] = {}  # path -> source
        self._unclear: list[BegunRotation] = []  # that an earlier process has begun and this one could not look at yet
        self._loaded = False  # whether that is what the store holds

    def load(self, sources: Collection[str]) -> None:
        """Take up what the store holds, once: what an earlier process has begun, or this one before a failure of the
        store. Copies whose logs were not truncated are removed, as soon as their directories are there.
        """
        if not self._loaded:
            rows = self._change(tables.begun_rotations, durable=False)
            self._untold = {row.path: row.source for row in rows if row.source in sources and _is_renamed(row)}
            self._unclear = [row for row in rows if row.path not in self._untold]
            self._loaded = True
        if self._unclear:
            cleared = copytruncate.clear(self._unclear)
            self._end(cleared)
            self._unclear = [row for row in self._unclear if row.path not in cleared]

    def begin(self, notes: list[BegunRotation]) -> None:
        """Note rotations before they begin. What the store said of their logs is on the disk by then: without it,
        nobody would find what was not read yet.
        """
        self._loaded = False  # until they are over, the store knows best
        self._change(partial(tables.begin_rotations, rows=notes), durable=True)

    def over(self, finished: Iterable[str], untold: Iterable[str], source: str) -> None:
        """Rotations at these paths are finished, others remain to be told."""
        self._end(finished)
        self._untold |= dict.fromkeys(untold, source)
        self._loaded = True

    def tell_again(self, source: str, config: RotateConfig) -> bool:
        """Tell the application what it was not told; whether its logs may be rotated now."""
        untold = [path for path, name in self._untold.items() if name == source]
        if not untold:
            return True
        postrotate = self.prepare(source, config)
        if postrotate is None:
            return False
        try:
            return self.tell(source, [(path, newest(path)) for path in untold], postrotate)
        finally:
            postrotate.close()

    def prepare(self, source: str, config: RotateConfig) -> Postrotate | None:
        """What tells the application; None, and a condition, where it cannot be told now."""
        if not self._backoff.is_due(source):
            return None
        try:
            return prepare(source, config)
        except RotateError as error:
            self._failed(source, error)
            return None

    def tell(self, source: str, logs: list[tuple[str, str]], postrotate: Postrotate) -> bool:
        """Tell the application which logs were renamed to what; whether that has succeeded."""
        rows = [{"path": to_text(path), "rotated": to_text(to)} for path, to in logs]
        try:
            if not postrotate.run(orjson.dumps({"source": source, "logs": rows}), self._stop):
                return False
        except RotateError as error:
            self._failed(source, error)
            return False
        self.succeeded(source)
        told = [path for path, _ in logs]
        self._end(told)
        for path in told:
            self._untold.pop(path, None)
        return True

    def succeeded(self, source: str) -> None:
        """There is nothing that the application would have to be told and cannot."""
        self._conditions.end(source, "SL821", "SL822")
        self._backoff.succeeded(source)

    def _failed(self, source: str, error: RotateError) -> None:
        self._conditions.begin(error)
        self._backoff.failed(source)

    def _end(self, paths: Iterable[str]) -> None:
        if gone := list(paths):
            self._change(partial(tables.end_rotations, paths=gone), durable=False)


def _is_renamed(row: BegunRotation) -> bool:
    """Whether the file lies elsewhere than under the log's name."""
    if row.copy:
        return False
    try:
        return not is_file_as(os.lstat(row.path), FileKey(row.device, row.inode))
    except OSError:
        return True


# ---------------------------------------------------------------- retries


class _Retry(msgspec.Struct):
    pause_s: float
    at: float = 0.0


class RetryBackoff:
    """What waits for another try, by name.

    Args:
        first_s: the first pause, in seconds; doubles.
        longest_s: the longest pause.
        clock: monotonic, seconds.
    """

    def __init__(
        self, first_s: float = 5.0, longest_s: float = 300.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._clock = clock
        self._waiting: dict[str, _Retry] = {}

    def is_due(self, name: str) -> bool:
        """Whether to try now; what has not failed always is."""
        waiting = self._waiting.get(name)
        return waiting is None or self._clock() >= waiting.at

    def failed(self, name: str) -> None:
        """Wait, longer than the last time."""
        waiting = self._waiting.setdefault(name, _Retry(self._first_s))
        waiting.at = self._clock() + waiting.pause_s
        waiting.pause_s = min(waiting.pause_s * 2, self._longest_s)

    def succeeded(self, name: str) -> None:
        """Wait for nothing."""
        self._waiting.pop(name, None)

    def keep(self, names: set[str]) -> None:
        """Forget all others."""
        self._waiting = {name: retry for name, retry in self._waiting.items() if name in names}
