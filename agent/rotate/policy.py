"""When a log is due: by size, by age, by the time of day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from agent.core.times import time_of_day
from agent.core.units import format_duration, format_size

if TYPE_CHECKING:
    from datetime import tzinfo

    from agent.config import Config, RotateConfig

_DAY_S = 86_400.0
_LOOK_BACK_DAYS = 3  # a wall clock is never set back by more than some hours


class RotationPolicy(msgspec.Struct, frozen=True):
    """What makes a log due, any of these: bytes, seconds, hour and minute of the day; None: not that."""

    size: int | None = None
    every_s: float | None = None
    at: tuple[int, int] | None = None

    def due(self, size: int, since_ns: int, now_ns: int, zone: tzinfo | None = None) -> str:
        """Why a log is to be rotated now, in words; empty where it is not.

        Args:
            size: of the log, bytes. An empty one is never due.
            since_ns: when it was begun (the last rotation, or its being seen first), Unix ns.
            now_ns: Unix ns.
            zone: of the time of day; None: local time.
        """
        if not size:
            return ""
        if self.size is not None and size >= self.size:
            return f"it has {format_size(size)}, the bound is {format_size(self.size)}"
        if self.every_s is not None and now_ns - since_ns >= self.every_s * 1e9:
            return f"it is older than {format_duration(self.every_s)}"
        if self.at is not None and since_ns < last_time_of_day(*self.at, now_ns, zone):
            return f"{_clock(self.at)} has passed"
        return self._why_ahead(since_ns - now_ns)

    def _why_ahead(self, ahead_ns: int) -> str:
        """Why a log from the future is due: the clock has been set back since, and by then it would have grown on."""
        period_s = self.every_s if self.at is None else _DAY_S
        if period_s is not None and ahead_ns >= period_s * 1e9:
            return "it is from a time that has not come yet"
        return ""

    def outlook(self, size: int, since_ns: int, now_ns: int) -> str:
        """Why a log is not due, in words."""
        if not size:
            return "it is empty"
        parts = []
        if self.size is not None:
            parts.append(f"{format_size(size)} of {format_size(self.size)}")
        if self.every_s is not None:
            age_s = max(0, now_ns - since_ns) // 10**9
            parts.append(f"{format_duration(age_s)} of {format_duration(self.every_s)}")
        if self.at is not None:
            parts.append(f"rotated at {_clock(self.at)}")
        return ", ".join(parts)


def last_time_of_day(hour: int, minute: int, now_ns: int, zone: tzinfo | None = None) -> int:
    """The last instant, not after `now_ns`, at which the clock came to a time of day. Unix ns.

    A time that a day skips (daylight saving time begins) comes as much later as was skipped; of one that a day has
    twice the first counts.
    """
    today = datetime.fromtimestamp(now_ns // 10**9, zone).replace(hour=hour, minute=minute, second=0, microsecond=0)
    for days in range(_LOOK_BACK_DAYS):
        day = (today - timedelta(days=days)).replace(fold=0)
        instant = int(day.timestamp()) * 10**9
        if instant <= now_ns:
            return instant
    return 0


def _clock(at: tuple[int, int]) -> str:
    return f"{at[0]:02}:{at[1]:02}"


class RotationRule(msgspec.Struct, frozen=True):
    """How the logs of one source are rotated."""

    policy: RotationPolicy
    config: RotateConfig


def rules(config: Config) -> dict[str, RotationRule]:
    """How the logs of each source are rotated, of those that have `rotate`."""
    return {
        source.name: RotationRule(_policy(source.rotate), source.rotate)
        for source in config.sources
        if source.rotate is not None
    }


def _policy(rotate: RotateConfig) -> RotationPolicy:
    return RotationPolicy(rotate.size, rotate.every, time_of_day(rotate.at) if rotate.at is not None else None)
