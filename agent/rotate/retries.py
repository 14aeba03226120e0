"""When something that failed is tried again: after growing pauses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class _Retry(msgspec.Struct):
    pause_s: float
    at: float = 0.0


class Retries:
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
