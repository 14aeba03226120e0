"""Whether the wall clock may be believed when by it something is old enough to be deleted.

A clock that is wrongly set a year ahead makes all that is stored a year old. So after a jump ahead nothing is deleted
by its age for an hour: a wrong clock is mostly put right sooner, by NTP or by whoever has set it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

DOUBT_S = 3_600.0
_JUMP_S = 3_600.0  # ahead of the clock that only counts; NTP slews or steps less, and summer time is not in it


def elapsed_s() -> float:
    """Seconds since the machine was started, time asleep included: a laptop that was asleep is no jump."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WallClock:
    """Gives the time, or None while it is doubted.

    Args:
        known_ns: the latest Unix ns that the store has seen; 0 where there is none.
        gap_s: a first time that is later than this after `known_ns` is doubted.
        warn: called with the seconds of a jump ahead when doubt begins.
        wall_ns: Unix ns.
        elapsed_s: seconds that nobody can set.
    """

    def __init__(
        self,
        known_ns: int,
        gap_s: float,
        warn: Callable[[float], None],
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        elapsed_s: Callable[[], float] = elapsed_s,
    ) -> None:
        self._warn = warn
        self._wall_ns = wall_ns
        self._elapsed_s = elapsed_s
        self._doubted_until_s = 0.0
        self._difference_s = wall_ns() / 1e9 - elapsed_s()
        ahead_s = (wall_ns() - known_ns) / 1e9
        if known_ns and ahead_s > gap_s:
            self._doubt(ahead_s)

    def __call__(self) -> int | None:
        """Unix ns; None where it is not to be believed."""
        now_ns = self._wall_ns()
        difference_s = now_ns / 1e9 - self._elapsed_s()
        ahead_s = difference_s - self._difference_s
        self._difference_s = difference_s
        if ahead_s > _JUMP_S:
            self._doubt(ahead_s)
        elif ahead_s < -_JUMP_S:
            self._doubted_until_s = 0.0  # put right
        return now_ns if self._elapsed_s() >= self._doubted_until_s else None

    def _doubt(self, ahead_s: float) -> None:
        self._doubted_until_s = self._elapsed_s() + DOUBT_S
        self._warn(ahead_s)


def known_ns(connection: sqlite3.Connection) -> int:
    """The latest Unix ns at which the store took something; 0 for an empty one."""
    row = connection.execute(
        "SELECT max(coalesce((SELECT observed_timestamp FROM events ORDER BY id DESC LIMIT 1), 0),"
        " coalesce((SELECT max(last_read) FROM files), 0))"
    ).fetchone()
    return int(row[0])
