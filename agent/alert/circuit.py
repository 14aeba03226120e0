"""A hook's circuit breaker, and how long a failed delivery waits. Written here: both must outlive the process, and the
libraries for retries keep their state in a call that waits.
"""

from __future__ import annotations

import random

import msgspec

OPENS_AFTER = 5  # failures in a row, of whichever deliveries
_FIRST_PAUSE_NS = 30 * 10**9
_LONGEST_PAUSE_NS = 300 * 10**9
_FIRST_RETRY_NS = 10**9
_LONGEST_RETRY_NS = 300 * 10**9
_JITTER = 0.2  # so that hooks that failed together do not come back together


def retry_after_ns(attempts: int) -> int:
    """How long to wait after so many failed attempts: 1 s doubling to 5 min, a fifth more or less."""
    pause = min(_FIRST_RETRY_NS << min(attempts - 1, 20), _LONGEST_RETRY_NS)
    return round(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  no secret


class Circuit(msgspec.Struct):
    """`closed`: runs go through. `open`: none do until the pause is over, then one at a time (`half-open`) decides."""

    failures: int = 0  # in a row
    opened: int = 0  # times in a row that it was opened
    until: int = 0  # Unix ns

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return self.opened > 0

    def blocks(self, now: int) -> int:
        """How long nothing may run, in ns; a clock that was set back does not make it longer than its pause."""
        return min(max(0, self.until - now), _LONGEST_PAUSE_NS) if self.is_open else 0

    def failed(self, now: int) -> bool:
        """Note a failure; whether it opened the circuit."""
        self.failures += 1
        if self.failures < OPENS_AFTER:
            return False
        pause = min(_FIRST_PAUSE_NS << min(self.opened, 10), _LONGEST_PAUSE_NS)
        self.opened += 1
        self.until = now + pause
        return True

    def succeeded(self) -> bool:
        """Note a success; whether anything was wrong before."""
        was = self.failures > 0
        self.failures = self.opened = self.until = 0
        return was
