"""Severity levels as a person writes them, and the ranges of OpenTelemetry's numbers they stand for."""

from __future__ import annotations

from agent.core.errors import UsageError
from agent.core.event import SEVERITY_TEXTS

RANGE = 4  # each named level has four numbers
HIGHEST = 24
ERRORS_FROM = 17  # the store's partial index and its error groups begin here

_ALIASES = {"WARNING": "WARN", "ERR": "ERROR", "CRITICAL": "FATAL", "CRIT": "FATAL", "INFORMATION": "INFO"}
_LEVELS = {text: (1 + RANGE * index, RANGE * (index + 1)) for index, text in enumerate(SEVERITY_TEXTS)}


def level_range(text: str) -> tuple[int, int]:
    """The numbers (lowest, highest) of a level's name; a number 0 to 24 stands for itself.

    Raises:
        UsageError: SL512, there is no such level.
    """
    name = text.strip().upper()
    if name.isascii() and name.isdigit() and len(name) <= len(str(HIGHEST)) and int(name) <= HIGHEST:
        return int(name), int(name)
    found = _LEVELS.get(_ALIASES.get(name, name))
    if found is None:
        raise UsageError(
            "SL512",
            "read severity",
            text,
            f"there is no severity {text!r}",
            hint=f"use one of {', '.join(_LEVELS).lower()}, or a number 1 to {HIGHEST}",
        )
    return found


def number_range(text: str) -> tuple[int, int]:
    """The numbers (lowest, highest) that `-p` means: `warn` is warn and above, `warn..error` a range with both ends,
    `..info` up to info.

    Raises:
        UsageError: SL512, a level is unknown or the range is empty.
    """
    low, dots, high = text.partition("..")
    lowest = level_range(low)[0] if low or not dots else 0
    highest = level_range(high)[1] if high else HIGHEST
    if not (low or high) or lowest > highest:
        raise UsageError(
            "SL512",
            "read severity",
            text,
            f"the range of severities {text!r} is empty",
            hint="write the lower level first: warn..error",
        )
    return lowest, highest
