"""How long a hook that fails is left in peace: the pauses between retries, and a circuit breaker."""

from __future__ import annotations

import random

import msgspec

OPENS_AFTER = 5  # failures in a row, of whichever deliveries
_JITTER = 0.2  # so that hooks that failed together do not come back together


class Backoff(msgspec.Struct, frozen=True):
    """How long a failed delivery and an open circuit wait, in ns; each doubles up to its longest."""

    first_retry_ns: int = 10**9
    longest_retry_ns: int = 300 * 10**9
    first_pause_ns: int = 30 * 10**9
    longest_pause_ns: int = 300 * 10**9

    def retry_after_ns(self, attempts: int) -> int:
        """How long to wait after so many failed attempts, a fifth more or less."""
        pause = min(self.first_retry_ns << min(attempts - 1, 20), self.longest_retry_ns)
        return round(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  no secret


class CircuitBreaker(msgspec.Struct):
    """`closed`: runs go through. `open`: none do until the pause is over, then one at a time (`half-open`) decides."""

    failures: int = 0  # in a row
    opened: int = 0  # times in a row that it was opened
    until: int = 0  # Unix ns
    backoff: Backoff = Backoff()

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return self.opened > 0

    def blocks(self, now: int) -> int:
        """How long nothing may run, in ns; a clock that was set back does not make it longer than its pause."""
        return min(max(0, self.until - now), self.backoff.longest_pause_ns) if self.is_open else 0

    def failed(self, now: int) -> bool:
        """Note a failure; whether it opened the circuit."""
        self.failures += 1
        if self.failures < OPENS_AFTER:
            return False
        pause = min(self.backoff.first_pause_ns << min(self.opened, 10), self.backoff.longest_pause_ns)
        self.opened += 1
        self.until = now + pause
        return True

    def succeeded(self) -> bool:
        """Note a success; whether anything was wrong before."""
        was = self.failures > 0
        self.failures = self.opened = self.until = 0
        return was
