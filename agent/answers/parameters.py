"""The parameters of the API: what each is called, how it is read, and what OpenAPI says of it.

Names are checked by the server; texts are read by the worker that answers, for a hostile one may take its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agent.core.errors import HttpError, UsageError
from agent.core.groups import STATES
from agent.core.times import parse_length, parse_past_time, parse_time
from agent.core.units import parse_factor, parse_rate, parse_share
from agent.core.values import whole_number
from agent.query.syntax import read_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MOST_ROWS = 100_000
MOST_CHARACTERS = 8_192  # of one value
_MOST_VALUES = 100  # of one that may be repeated
_MOST_LINES = 1_000
_MOST_THRESHOLD = 1e15
_HOUR_NS = 3_600 * 10**9


class Parameter(NamedTuple):
    """One parameter. `read` gets its text and the instant of the request (Unix ns)."""

    name: str
    description: str
    read: Callable[[str, int], Any]
    schema: dict[str, Any]
    default: Any = None
    repeated: bool = False
    required: bool = False


def _text(text: str, _now: int) -> str:
    return text


def _length(refusal: str) -> Callable[[str, int], int]:
    return lambda text, _now: parse_length(text, refusal)


def _names(text: str, _now: int) -> list[str]:
    names = read_names(text) if text else ()
    if not all(names):
        raise UsageError.of("SL518.names", text, option="by")
    return list(names)


def _number(low: int, high: int) -> Callable[[str, int], int]:
    def read(text: str, _now: int) -> int:
        found = whole_number(text, high)
        if found is None or found < low:
            raise HttpError.of("SL904.number", text, low=low, high=high)
        return found

    return read


def _threshold(text: str, _now: int) -> float:
    """A number, or a threshold as the configuration writes it: `5%`, `10/m`, `4x`."""
    number = 0.0
    for read in (float, parse_share, parse_rate, parse_factor):
        try:
            number = read(text)
        except ValueError:
            continue
        break
    if not 0 < number < _MOST_THRESHOLD:
        raise HttpError.of("SL904.number", text, low="above 0", high=f"{_MOST_THRESHOLD:g}")
    return number


def _choice(words: Sequence[str]) -> Callable[[str, int], str]:
    def read(text: str, _now: int) -> str:
        if text not in words:
            raise HttpError.of("SL904.choice", text, words=", ".join(words))
        return text

    return read


def _flag(text: str, _now: int) -> bool:
    if text not in _FLAGS:
        raise HttpError.of("SL904.choice", text, words=", ".join(_FLAGS))
    return text == "true"


_FLAGS = ("true", "false")
_FLAG = {"type": "boolean", "default": False}
_TEXT = {"type": "string"}
_ORDERS = ("newest", "oldest")
_TIERS = ("all", "hot", "archives")
_SORTS = ("last-seen", "first-seen", "count", "trend")


def _integer(low: int, high: int, default: int | None = None) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high} | ({} if default is None else {"default": default})


Q = Parameter("q", "What events must satisfy, in the query language.", _text, _TEXT, "")
SINCE = Parameter("since", "From this time on: RFC 3339, `15m`, `today`, `@EPOCH`.", parse_time, _TEXT)
UNTIL = Parameter("until", "Before this time.", parse_time, _TEXT)
SEVERITY = Parameter("severity", "This level and above; `warn..error` for a range.", _text, _TEXT)
SOURCE = Parameter("source", "Only of these sources.", _text, _TEXT, (), repeated=True)
REGEX = Parameter(
    "grep", "Only messages that match this regular expression; case counts if it has a capital.", _text, _TEXT
)
TIER = Parameter(
    "tier", "Only of the store (`hot`) or of the archives.", _choice(_TIERS),
    {"type": "string", "enum": list(_TIERS), "default": _TIERS[0]}, _TIERS[0],
)  # fmt: skip
EVENTS = (Q, SINCE, UNTIL, SEVERITY, SOURCE, REGEX, TIER)
TAILED = (Q, SEVERITY, SOURCE, REGEX)
LIMIT = Parameter("limit", "So many events at the most.", _number(0, MOST_ROWS), _integer(0, MOST_ROWS, 100), 100)
ORDER = Parameter(
    "order", "Which come first; with `limit` the first of these.", _choice(_ORDERS),
    {"type": "string", "enum": list(_ORDERS), "default": "newest"}, "newest",
)  # fmt: skip
FIELDS = Parameter("fields", "The columns, with commas between.", _names, _TEXT, ())
BY = Parameter("by", "Fields to count by, with commas between.", _names, _TEXT, ())
EVERY = Parameter("every", "Length of time buckets: `1m`.", _length("SL518.every"), _TEXT)
AGG = Parameter("agg", "Aggregates beside the counts: `avg:size,p95:duration_ms`.", _text, _TEXT, "")
TOP = Parameter("top", "The largest only.", _number(1, MOST_ROWS), _integer(1, MOST_ROWS))
VALUES = Parameter("values", "Of each field so many values.", _number(1, 100), _integer(1, 100, 10), 10)
SAMPLE = Parameter(
    "sample", "So many of the newest events are looked at.", _number(1, 10_000), _integer(1, 10_000, 1_000), 1_000
)
ID = Parameter("id", "The event's id.", _text, {"type": "string", "minLength": 1}, required=True)
LINES = Parameter("lines", "So many on either side.", _number(0, _MOST_LINES), _integer(0, _MOST_LINES, 10), 10)
STATE = Parameter(
    "state", "Only in these states.", _choice(STATES), {"type": "string", "enum": list(STATES)}, (), repeated=True
)
CATEGORY = Parameter("category", "Only of these categories.", _text, _TEXT, (), repeated=True)
SERVICE = Parameter("service", "Only seen in these services.", _text, _TEXT, (), repeated=True)
GREP = Parameter("grep", "Only titles that match this regular expression.", _text, _TEXT)
SORT = Parameter(
    "sort", "The largest first.", _choice(_SORTS), {"type": "string", "enum": list(_SORTS), "default": _SORTS[0]},
    _SORTS[0],
)  # fmt: skip
REVERSE = Parameter("reverse", "The smallest first.", _flag, _FLAG, default=False)
_GROUPS = Parameter("limit", "So many groups at the most.", _number(0, MOST_ROWS), _integer(0, MOST_ROWS, 1_000), 1_000)
GROUPS = (STATE, SEVERITY, CATEGORY, SERVICE, GREP, SINCE, UNTIL, SORT, REVERSE, _GROUPS)
AT = Parameter("at", "Before and after this time are compared; without it, `after` ago.", parse_past_time, _TEXT)
BEFORE = Parameter(
    "before", "How long before it.", _length("SL541.length"), {"type": "string", "default": "1h"}, _HOUR_NS
)
AFTER = Parameter("after", "How long after it.", _length("SL541.length"), {"type": "string", "default": "1h"}, _HOUR_NS)
LABEL = Parameter("label", "`FIELD=VALUE`: events with it are compared with all others of the time.", _text, _TEXT, "")
AGAINST = Parameter("against", "With `label`: only with those that have this value.", _text, _TEXT)
SIDES = (AT, BEFORE, AFTER, LABEL, AGAINST)
COMPARE = Parameter(
    "compare", "Read what still exists of the files again, and compare it with the store.", _flag, _FLAG, default=False
)

RULE = Parameter("rule", "The name of an alert rule.", _text, _TEXT, required=True)
THRESHOLD = Parameter("threshold", "In place of the rule's own: a number, `5%`, `10/m` or `4x`.", _threshold, _TEXT)
STEPS = Parameter("steps", "The values of its windows at so many moments.", _number(0, 500), _integer(0, 500, 0), 0)
MOST = Parameter("limit", "So many rows at the most.", _number(1, 1_000), _integer(1, 1_000, 100), 100)
OFFSET = Parameter("offset", "After so many others.", _number(0, 1_000_000), _integer(0, 1_000_000, 0), 0)


def check_names(known: Iterable[Parameter], given: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The texts of parameters by name.

    Raises:
        HttpError: SL904, one is not known, given twice, or too long, or one that must be given is not.
    """
    by_name = {one.name: one for one in known}
    found: dict[str, list[str]] = {}
    for name, text in given:
        parameter = by_name.get(name)
        if parameter is None:
            raise HttpError.of("SL904", name, known=", ".join(by_name) or "none")
        texts = found.setdefault(name, [])
        if len(text) > MOST_CHARACTERS or len(texts) >= (_MOST_VALUES if parameter.repeated else 1):
            raise HttpError.of("SL904.much", name)
        texts.append(text)
    for parameter in by_name.values():
        if parameter.required and not any(found.get(parameter.name, ())):
            raise HttpError.of("SL904.missing", parameter.name)
    return found


def read_texts(known: Iterable[Parameter], texts: Mapping[str, list[str]], now: int) -> dict[str, Any]:
    """The values of all parameters by name, those that are not given with their defaults.

    Raises:
        SidelogError: a text cannot be read.
    """
    values: dict[str, Any] = {}
    for one in known:
        read = [one.read(text, now) for text in texts.get(one.name, ())]
        if one.repeated:
            values[one.name] = read
        else:
            values[one.name] = read[0] if read and texts[one.name][0] != "" else one.default
    return values
