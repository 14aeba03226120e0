"""What a line says of its instant and its level, read a second way: plainly, slowly, and by nothing of `agent.parse`.

The benchmark of formats holds sidelog's reading against this one. It knows fewer layouts than sidelog does, asks of no
line what is its message, and so is no parser; but what it finds stands in the line.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 160  # characters of a line in which its instant and its level are looked for
_MONTHS = {
    name: at
    for at, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}  # fmt: skip
_ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "EST": -300, "EDT": -240, "CEST": 120, "CET": 60, "PST": -480, "PDT": -420,
}  # fmt: skip
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Said(NamedTuple):
    """An instant as far as it is written: a whole one, or the parts of one without a year or a date."""

    instant: int | None  # Unix ns
    month: int | None
    day: int | None
    clock: int  # ns of the day

    def agrees(self, instant: int) -> bool:
        """Whether an instant (Unix ns) is this one; of what is not written any will do."""
        if self.instant is not None:
            return self.instant == instant
        moment = datetime.fromtimestamp(instant // 10**9, UTC)
        same_day = self.month is None or (moment.month, moment.day) == (self.month, self.day)
        return same_day and instant % (86_400 * 10**9) == self.clock


# ---------------------------------------------------------------- instants

_MONTH = r"(?P<name>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK = r"(?P<h>\d\d?):(?P<m>\d\d)(?::(?P<s>\d\d)(?:[.,:](?P<f>\d+))?)?(?: ?(?P<half>[AP]M))?"
_ZONE = r"(?: ?(?P<zone>Z|[+-]\d\d:?\d\d|UTC|GMT|[ECP][DES]?[SD]T|CES?T)(?!\w))?(?![A-Z])"  # none unknown here
_LAYOUTS = [
    re.compile(rf"(?<![\w.:]){text}")
    for text in (
        rf"(?P<year>\d{{4}})[-/.](?P<month>\d\d?)[-/.](?P<day>\d\d?)(?:[T ]|, | {{2}}){_CLOCK}{_ZONE}",
        rf"(?P<day>\d\d?)[/ -]{_MONTH}[/ -](?P<year>\d{{4}})[: ]{_CLOCK}{_ZONE}",
        rf"{_MONTH} +(?P<day>\d\d?),? (?P<year>\d{{4}}),? {_CLOCK}{_ZONE}",
        rf"{_MONTH} +(?P<day>\d\d?) {_CLOCK}{_ZONE} (?P<year>\d{{4}})",
        rf"{_MONTH} +(?P<day>\d\d?) {_CLOCK}",
        rf"(?P<day>\d\d?) {_MONTH} {_CLOCK}",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)-(?P<h>\d\d?):(?P<m>\d\d?):(?P<s>\d\d?)(?:[.:](?P<f>\d+))?",
        rf"(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)[.T ]{_CLOCK}",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)\.(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?:,(?P<f>\d+))?",
        rf"(?P<year>\d\d)/(?P<month>\d\d)/(?P<day>\d\d) {_CLOCK}",
        r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d) (?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?!\d)",
        rf"(?P<month>\d\d)[-.](?P<day>\d\d) {_CLOCK}",
        rf"[IWEF](?P<month>\d\d)(?P<day>\d\d) {_CLOCK}",
        r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)-(?P<h>\d\d)\.(?P<m>\d\d)\.(?P<s>\d\d)\.(?P<f>\d+)",
        rf"(?P<year>\d{{4}})-(?P<yearday>\d{{3}})T{_CLOCK}",
        r"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d+))?(?![\d:])",
    )
]
_NUMBER = re.compile(r"(?<![\w.:=])(1\d{9}(?:\.\d{1,9})?|1\d{12}|1\d{15}|1\d{18})(?![\w.])")
_TAI64N = re.compile(r"@4([0-9a-f]{15})([0-9a-f]{8})")


def instants(line: str) -> list[Said]:
    """All instants that stand in the head of a line; of a JSON object those under keys that could mean one."""
    found = _object(line)
    if found is not None:
        return [said for key, value in _pairs(found) if _TIME_KEY.search(key) for said in _of_value(value)]
    return [said for _, said in sorted(_written(_COLOUR.sub("", line)[:HEAD]), key=lambda one: one[0])]


_TIME_KEY = re.compile(r"(?i)^t$|^ts$|time|date|instant|_at$|asctime")


def _written(text: str) -> Iterator[tuple[int, Said]]:
    """Where instants begin in a text, and what they say. Of two at a place the one that says more comes first."""
    for layout in _LAYOUTS:
        for match in layout.finditer(text):
            said = _said(match)
            if said is not None:
                yield match.start(), said
    for match in _NUMBER.finditer(text):
        yield match.start(), _of_number(match[1])
    for match in _TAI64N.finditer(text):
        yield match.start(), Said((int(match[1], 16) - 10) * 10**9 + int(match[2], 16), None, None, 0)


def _said(match: re.Match[str]) -> Said | None:
    parts = match.groupdict()
    hour = int(parts["h"])
    if half := parts.get("half"):
        hour = hour % 12 + 12 * (half == "PM")
    second, fraction = int(parts["s"] or 0), int(((parts.get("f") or "") + "0" * 9)[:9])
    clock = ((hour * 60 + int(parts["m"])) * 60 + second) * 10**9 + fraction
    if clock >= 86_400 * 10**9:
        return None
    name, number = parts.get("name"), parts.get("month")
    month = _MONTHS[name[:3].lower()] if name else int(number) if number else None
    day = int(parts["day"]) if parts.get("day") else None
    if not parts.get("year"):
        return Said(None, month, day, clock)
    year = int(parts["year"]) + (2000 if len(parts["year"]) == 2 else 0)
    try:
        if yearday := parts.get("yearday"):
            moment = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=int(yearday) - 1)
        else:
            moment = datetime(year, month or 0, day or 0, tzinfo=_zone(parts.get("zone")))
    except ValueError:
        return None
    return Said(int(moment.timestamp()) * 10**9 + clock, month, day, clock)


def _zone(written: str | None) -> timezone:
    if not written or written[0] not in "+-":
        return timezone(timedelta(minutes=_ZONES.get(written or "Z", 0)))
    digits = written[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if written[0] == "-" else minutes))


def _of_number(text: str) -> Said:
    whole, _, rest = text.partition(".")
    return Said(int(whole) * 10 ** (19 - len(whole)) + int((rest + "0" * 9)[:9]), None, None, 0)


def _of_value(value: Any) -> list[Said]:
    if isinstance(value, dict) and "epochSecond" in value:
        return [Said(value["epochSecond"] * 10**9 + value.get("nanoOfSecond", 0), None, None, 0)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = repr(value).removesuffix(".0")
    if not isinstance(value, str):
        return []
    return [said for _, said in _written(value)]


# ---------------------------------------------------------------- JSON


def _object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is, or ends with behind the name of a container."""
    text = _COLOUR.sub("", line)
    text = text[text.find("{") :] if re.match(r"(?:[\w.-]+ +\| +)?\{", text) else ""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _pairs(value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """All keys of an object and of those in it, with their values; of a list its values under its own key."""
    yield key, value
    if isinstance(value, dict) and depth < 9:
        for name, inner in value.items():
            yield from _pairs(inner, key if name.startswith("$") else str(name), depth + 1)
    elif isinstance(value, list) and depth < 9:
        for inner in value:
            yield from _pairs(inner, key, depth + 1)


# ---------------------------------------------------------------- levels

# The six that there are: what a name means, and what may be said beside it.
_TRACE, _DEBUG, _INFO, _WARN, _ERROR, _FATAL = range(6)
_NAMES = {
    **dict.fromkeys(("trace", "finest", "finer"), _TRACE),
    **dict.fromkeys(("debug", "debug1", "debug2", "debug3", "debug4", "debug5", "fine", "config"), _DEBUG),
    **dict.fromkeys(("info", "information", "notice", "note", "success", "log"), _INFO),
    **dict.fromkeys(("warn", "warning"), _WARN),
    **dict.fromkeys(("error", "err", "severe", "failure"), _ERROR),
    **dict.fromkeys(("fatal", "critical", "crit", "alert", "panic", "emerg", "emergency"), _FATAL),
}  # fmt: skip
_LETTERS = {"V": _TRACE, "D": _DEBUG, "I": _INFO, "W": _WARN, "E": _ERROR, "F": _FATAL}
_SYSLOG = (_FATAL, _FATAL, _FATAL, _ERROR, _WARN, _INFO, _INFO, _DEBUG)
_LEVEL_KEY = re.compile(r"(?i)^(?:log\.?level|levelname|level|lvl|severity|severitytext|l|s)$")
_PAIR = re.compile(r'(?:^| )(?:level|lvl|severity)="?([A-Za-z]+)"?(?: |$)')
_PRIORITY = re.compile(r"<(\d{1,3})>")
_STATUS = re.compile(r'"(?:[A-Z]{3,8} [^"]*)?" (?P<status>[1-5]\d\d) ')
_KLOG = re.compile(r"([IWEF])\d{4} \d\d:")
_LOGCAT = re.compile(r"\d\d-\d\d [\d:.]+ +\d+ +\d+ ([VDIWEF]) ")
_CAPITALS = re.compile(r"(?:^|[ \t\[(<|:/.,])([A-Z]{3,9}[1-5]?)(?=[\])>|:,/ \t-]|$)(?! (?:is|in|of|to|and|the) )")
_BRACKETED = re.compile(r"[\[<|] ?([A-Za-z]{3,9}) *[\]>|]|\t([a-z]{4,5})\t|^\S+ ([a-z]{4,7}) \S+\[\d+\]")


def level_of(name: str) -> int | None:
    """Which of the six a name means, 0 to 5; None where it is no level's."""
    return _NAMES.get(name.lower(), _LETTERS.get(name))


def level(line: str) -> int | None:
    """Which of the six levels a line has, 0 to 5, the highest of several records in it; None where none is seen."""
    found = _object(line)
    if found is not None:
        names = [value for key, value in _pairs(found) if _LEVEL_KEY.match(key) and isinstance(value, str)]
        known = [one for name in names if (one := level_of(name)) is not None]
        return max(known) if "resourceLogs" in found and known else next(iter(known), None)
    text = _COLOUR.sub("", line)
    if match := _PRIORITY.match(text):
        return _SYSLOG[int(match[1]) % 8]
    if match := _STATUS.search(text):
        return _ERROR if match["status"] >= "500" else _WARN if match["status"] >= "400" else _INFO
    head = text[:HEAD]
    if match := _KLOG.match(head) or _LOGCAT.match(head):
        return _LETTERS[match[1]]
    words = [match for pattern in (_PAIR, _CAPITALS, _BRACKETED) for match in pattern.finditer(head)]
    words.sort(key=lambda one: one.start(one.lastindex or 0))
    return next((known for one in words if (known := level_of(one[one.lastindex or 0])) is not None), None)
