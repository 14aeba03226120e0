"""Severities by all their names: what a library writes and what a person asks for, as OpenTelemetry numbers 1 to 24.

One vocabulary for both, so that an event is found under the name with which it was written. Names in any case and
colour, slog's with an offset (`ERROR+2`), OpenTelemetry's short ones (`INFO2`). A number means what its scale says:
syslog's 0 to 7, .NET's and Nextcloud's from 0 upwards, the tens of pino and bunyan or Python's, the hundreds of Monolog
or Google, logback's thousands, OpenTelemetry's own. `scale_in` tells it by the number's key and the keys beside it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.core.errors import UsageError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.core.fields import Path

HIGHEST = 24
ERRORS_FROM = 17  # the store's partial index and its error groups begin here
UNREADABLE = -1  # what the tables give for a value that is no severity; an event's 0 means "unknown"
NUMBER = -2  # what MarkedTable begins to count down from
_MOST_LEARNED = 4096  # values that a table remembers; a field that is no level must not fill the memory
_RANGE = 4  # numbers of each of OpenTelemetry's six levels

NAMES = {
    **dict.fromkeys(("trace", "finest", "silly", "all", "trc", "vrb", "t"), 1),
    "finer": 2,
    **dict.fromkeys(("debug", "fine", "dbg", "d", "verbose", "config", "debug5"), 5),
    "http": 8,  # npm's levels: below info, above verbose
    **dict.fromkeys(("info", "information", "informational", "inf", "i", "log", "default", "ok"), 9),
    **dict.fromkeys(("notice", "success", "note", "n"), 10),
    **dict.fromkeys(("warn", "warning", "wrn", "w"), 13),
    **dict.fromkeys(("error", "err", "e", "eror", "severe", "failure", "exception"), 17),
    "dpanic": 20,
    **dict.fromkeys(("fatal", "critical", "crit", "ftl", "c", "f", "crt", "off"), 21),
    **dict.fromkeys(("alert", "panic", "a"), 22),
    **dict.fromkeys(("emergency", "emerg"), 24),
}
_SYSLOG = (24, 22, 21, 17, 13, 10, 9, 5)
_STEPS = {  # scale -> (threshold, severity), highest first
    "tens": ((60, 21), (50, 17), (40, 13), (30, 9), (20, 5), (0, 1)),
    "hundreds": ((600, 24), (550, 22), (500, 21), (400, 17), (300, 13), (250, 10), (200, 9), (100, 5)),
    "google": ((800, 24), (700, 22), (600, 21), (500, 17), (400, 13), (300, 10), (200, 9), (100, 5)),
    "java": ((1_000, 17), (900, 13), (800, 9), (700, 5), (500, 5), (400, 2), (0, 1)),
    "python": ((50, 21), (40, 17), (30, 13), (25, 10), (20, 9), (10, 5), (0, 1)),
    "thousands": ((50_000, 21), (40_000, 17), (30_000, 13), (20_000, 9), (10_000, 5), (0, 1)),
}
_WITHIN = {"python": range(8, 100), "google": range(100, 801)}  # another number is on no such scale
_FROM_ZERO = {  # scale -> severities of 0, 1, 2, …
    "syslog": _SYSLOG,
    "dotnet": (1, 5, 9, 13, 17, 21),
    "up": (5, 9, 13, 17, 21),  # Nextcloud's, and those of Application Insights
    "windows": (9, 21, 17, 13, 9, 5),
    "google": (9,),  # DEFAULT
}
_VERBOSE = (1, 8)  # Serilog's lowest level, and one between debug and http elsewhere
# What a bare number above OpenTelemetry's can mean in a question, where no field tells whose it is.
_PLAIN_NUMBERS = {60: 21, 5_000: 1, 10_000: 5, 20_000: 9, 30_000: 13, 40_000: 17}
_TWO_MEANINGS = {
    25: "success to loguru",
    30: "info to pino and warning to Python",
    40: "warn to pino and error to Python",
    50: "error to pino and critical to Python",
}
_WITH_OFFSET = lazy(r"(debug|info|warn|error)([+-]\d{1,2})", re.ASCII | re.IGNORECASE)
_COLOUR = lazy(r"\x1b\[[\d;:]*m")
_MONGO_DEBUG = lazy(r"[Dd][1-5]?")
_WITH_STEP = lazy(r"(trace|debug|info|warn|error|fatal)([1-4])", re.ASCII | re.IGNORECASE)
_SCALES = {  # the last key of a path -> its scale, whatever stands beside it
    "levelno": "python",
    "level_number": "python",
    "no": "python",
    "@l": "clef",
    "level_value": "thousands",
    "severity_number": "otel",
    "severityNumber": "otel",
    "SeverityNumber": "otel",
    "PRIORITY": "syslog",
    "syslog.severity": "syslog",
    "severityLevel": "up",
    "LogLevel": "dotnet",
    "s": "mongodb",
}
_USUAL_SCALES = ("auto", "severity")  # those that a key beside the number can change
# Keys beside a number that tell its scale, the first that a record has.
_BESIDE: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"reqId"}), "up"),  # Nextcloud
    (frozenset({"short_message"}), "syslog"),  # GELF
    (frozenset({"logName", "insertId", "textPayload", "jsonPayload", "httpRequest"}), "google"),
    (frozenset({"EventID", "EventRecordID", "ProviderName"}), "windows"),
    (frozenset({"MessageTemplate", "RenderedMessage", "SourceContext", "Category", "EventId"}), "dotnet"),
    (
        frozenset({
            "lineno", "funcName", "func_name", "pathname", "asctime", "processName", "relativeCreated", "msecs",
            "exc_info", "exc_text", "stack_info",
        }),
        "python",
    ),
)  # fmt: skip
# A number means the usual thing for its key where a record has none of these.
_TELLING = frozenset().union(*(keys for keys, _ in _BESIDE))


class SeverityTable(dict[Any, int]):
    """Value as written to severity number, filled as values appear: one dict lookup per event (0.03 µs)."""

    def __init__(self, scale: str) -> None:
        super().__init__()
        self._scale = scale

    def __missing__(self, value: Any) -> int:
        number = read(value, self._scale)
        if len(self) < _MOST_LEARNED:
            self[value] = number
        return number


class MarkedTable(SeverityTable):
    """The same with each number's severity as `NUMBER` less it, for what stands beside a number may give it another."""

    def __missing__(self, value: Any) -> int:
        number = read(value, self._scale)
        if number >= 0 and is_number(value):
            number = NUMBER - number
        if len(self) < _MOST_LEARNED:
            self[value] = number
        return number


def scale_of(path: Path) -> str:
    """How numbers and names at this path are meant, where nothing beside them tells more: a key of the tables above."""
    last = path[-1]
    return _SCALES.get(last) or ("severity" if last in ("severity", "Severity") else "auto")


def scale_in(record: dict[str, Any], path: Path) -> str:
    """The scale of a number at this path of a record; it is told by the keys beside it."""
    scale = scale_of(path)
    if scale not in _USUAL_SCALES or _TELLING.isdisjoint(record):
        return scale
    return next(told for keys, told in _BESIDE if not keys.isdisjoint(record))


def telling_keys(numbers: Iterable[Any], path: Path) -> frozenset[str]:
    """The keys beside which one of these numbers at this path may have another severity than it has without them."""
    usual, numbers = scale_of(path), list(numbers)
    if usual not in _USUAL_SCALES:
        return frozenset()
    found = (keys for keys, told in _BESIDE if any(read(one, told) != read(one, usual) for one in numbers))
    return frozenset().union(*found)


def is_number(value: Any) -> bool:
    """Whether a level is written as a number, also in quotes: a readable name beside it counts before it."""
    return type(value) is not str or value.strip().isdigit()


def uncoloured(text: str) -> str:
    """The text without the colours of a terminal (ECMA-48's SGR)."""
    return _COLOUR.sub("", text)


def look_up(value: Any, path: Path) -> int:
    """`read` at the scale of the path, remembered for texts."""
    scale = scale_of(path)
    return _TABLES[scale][value] if type(value) is str else read(value, scale)


def read(value: Any, scale: str = "auto") -> int:
    """A severity number 1 to 24, or UNREADABLE. `value` is what JSON held: a string, a number or something else."""
    if type(value) is str:
        return _read_name(value.strip(), scale)
    if type(value) is int:
        return _read_number(value, scale)
    if type(value) is float and value.is_integer():
        return _read_number(int(value), scale)
    return UNREADABLE


def _read_name(name: str, scale: str) -> int:
    if "\x1b" in name:
        name = uncoloured(name).strip()
    known = NAMES.get(name.lower())
    if scale == "clef" and name.lower() == "verbose":
        known = 1  # Serilog's lowest; elsewhere (npm) verbose lies between http and debug
    elif scale == "mongodb" and _MONGO_DEBUG.fullmatch(name):
        known = 5
    if known is not None:
        return known
    offset = _WITH_OFFSET.fullmatch(name)
    if offset is not None:  # log/slog: levels are four apart, as OpenTelemetry's are
        return min(HIGHEST, max(1, NAMES[offset[1].lower()] + int(offset[2])))
    step = _WITH_STEP.fullmatch(name)
    if step is not None:  # OpenTelemetry's short names: INFO2 is the second of INFO's four numbers
        return NAMES[step[1].lower()] + int(step[2]) - 1
    if name.isascii() and name.isdigit() and len(name) <= 6:  # noqa: PLR2004 - more digits than any scale has
        return _read_number(int(name), scale)
    return UNREADABLE


def _read_number(number: int, scale: str) -> int:
    if scale == "otel":
        return number if 1 <= number <= HIGHEST else UNREADABLE
    steps = _FROM_ZERO.get(scale)
    if steps is not None and 0 <= number < len(steps):
        return steps[number]
    if scale not in _STEPS or (scale in _WITHIN and number not in _WITHIN[scale]):
        if 0 <= number < len(_SYSLOG):
            return _SYSLOG[number]
        scale = _usual_scale(number, scale)
    if number < 0 or number > 1_000_000 or not scale:  # noqa: PLR2004
        return UNREADABLE
    return next((severity for threshold, severity in _STEPS[scale] if number >= threshold), UNREADABLE)


def _usual_scale(number: int, scale: str) -> str:
    """The scale of a number that only its size tells anything about, empty where it is on none."""
    if number < 100:  # noqa: PLR2004
        return "tens"
    if number <= 800:  # noqa: PLR2004 - Monolog has a `level`, Google a `severity`, whose highest is 800
        return "google" if scale == "severity" or number > 600 else "hundreds"  # noqa: PLR2004
    if number <= 1_000:  # noqa: PLR2004 - java.util.logging's SEVERE
        return "java"
    return "thousands" if number >= 5_000 else ""  # noqa: PLR2004 - logback's TRACE is 5000


_TABLES = {scale: SeverityTable(scale) for scale in ("auto", "severity", *_SCALES.values())}


# ---------------------------------------------------------------- what a person asks for


def level_range(text: str) -> tuple[int, int]:
    """The numbers (lowest, highest) that a level's name stands for: the four of a level's own name and its synonyms
    (`warn`, `err`, `critical`), one alone for a name between them (`notice`, `alert`, `ERROR+2`). A number 0 to 24
    stands for itself.

    Raises:
        UsageError: SL512, there is no such level.
    """
    name = text.strip().lower()
    if name.isascii() and name.isdigit() and len(name) <= 6:  # noqa: PLR2004 - more digits than any scale has
        number = int(name)
        if number in _PLAIN_NUMBERS:
            return _whole(_PLAIN_NUMBERS[number])
        if number > HIGHEST:
            raise _unknown(text, _TWO_MEANINGS.get(number))
        return number, number
    if name == "verbose":
        return _VERBOSE
    number = _read_name(name, "auto")
    if number == UNREADABLE:
        raise _unknown(text)
    return _whole(number) if name in NAMES else (number, number)


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
        raise UsageError.of("SL512.empty", text)
    return lowest, highest


def _whole(number: int) -> tuple[int, int]:
    """The four numbers of a level that begins with this one; the number alone where it is between two."""
    return (number, number + _RANGE - 1) if number % _RANGE == 1 else (number, number)


def _unknown(text: str, meanings: str | None = None) -> UsageError:
    if meanings is not None:
        return UsageError.of("SL512.number", text, number=text.strip(), meanings=meanings)
    return UsageError.of("SL512", text)
