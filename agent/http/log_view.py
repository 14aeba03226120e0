"""What the page of logs shows around its events: its address, filters as links, columns, the same on the command line.

All of it works as links; JavaScript follows them without drawing the page anew.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import orjson

from agent.answers.parameters import MOST_ROWS
from agent.core.errors import UsageError
from agent.core.text import escape
from agent.http import spans
from agent.query.syntax import read_names, read_text
from agent.query.terms import Term, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.http.event_view import ShownEvent
    from agent.http.spans import TimeSpan
    from agent.query.terms import Parentheses

VIEWS = (("", "lines"), ("text", "wide text"), ("json", "JSON"))
ROWS = 100  # of a page; more come by scrolling
VALUES = 6  # of a field
_MOST_FIELDS = 16
_MOST_COLUMNS = 12
_MOST_VALUE_CHARS = 200  # a longer one, such as a stack trace, is no filter
_FIRST = ("severity", "service", "source")
_LEFT_OUT = frozenset(("group", "path", "message"))
_NO_COLUMNS = frozenset(("severity", "message", "category", "state"))  # shown anyway, or not part of an event


class Facet(NamedTuple):
    """A value of a field: its share of the events that have the field, in percent, and where its links lead."""

    text: str
    events: int
    share: float
    filter: str
    exclude: str
    active: bool


class FacetField(NamedTuple):
    """A field with its commonest values, and the link that shows it as a column, or no more; empty where it is none."""

    name: str
    facets: list[Facet]
    column: str
    shown: bool


class LogSearch(NamedTuple):
    """What the address of the page says. `since` and `until` are texts as the API takes them."""

    q: str
    since: str
    until: str
    order: str
    view: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, given: Mapping[str, str]) -> LogSearch:
        """Of the parameters of an address; what the page does not know is nothing."""
        view = given.get("view", "")
        return cls(
            given.get("q", ""),
            given.get("since", ""),
            given.get("until", ""),
            given.get("order", "") or "newest",
            view if view in dict(VIEWS) else "",
            _columns(given.get("columns", "")),
        )

    @property
    def is_zoomed(self) -> bool:
        """Whether it shows another time than one of those to choose from."""
        return bool(self.until) or (bool(self.since) and self.since not in dict(spans.CHOICES))

    @property
    def columns_text(self) -> str:
        """The columns as the address has them."""
        return ",".join(name if re.fullmatch(r"[\w.@/:-]+", name) else quoted(name) for name in self.columns)

    def address(self, **changed: Any) -> str:
        """The address of the page with some of it changed."""
        there = self._replace(**changed)
        return _address(
            "/logs",
            q=there.q,
            since=there.since,
            until=there.until,
            order="" if there.order == "newest" else there.order,
            view=there.view,
            columns=there.columns_text,
        )

    def command(self, searcher: str, total: int = 0) -> str:
        """What to type for the same events, of so many that match: `-n` counts from the newest.

        Args:
            searcher: what searches the same store.
            total: so many match.
        """
        words = [_argument(part) for part in read_text(self.q)]
        words += ["-S", self.since or spans.DEFAULT]
        words += ["-U", self.until] if self.until else []
        is_cut = self.order != "newest" and total > ROWS
        words += ["-n", "all" if is_cut else str(ROWS)] + (["-r"] if self.order == "newest" else [])
        return " ".join([escape(searcher), *map(_shell_word, words)]) + (f" | head -n {ROWS}" if is_cut else "")


class LogAnswer:
    """What was found, and the links that it offers.

    Args:
        search: what was asked for.
        span: of time.
        rows: the first ones.
        total: how many match.
        fields: of the newest of them, as the API gives them.
    """

    def __init__(
        self,
        search: LogSearch,
        span: TimeSpan,
        rows: Sequence[ShownEvent],
        total: int,
        fields: Iterable[dict[str, Any]],
    ) -> None:
        self.rows = rows
        self.total = total
        self.fields = _facet_fields(search, fields)
        fixed = {"since": spans.address_time(span.since), "until": spans.address_time(span.until)}
        self.permalink = search.address(**fixed)
        asked = {"q": search.q, **fixed, "order": search.order, "limit": str(MOST_ROWS)}
        self.ndjson = _address("/api/v1/query", **asked)
        self.csv = _address("/logs.csv", **asked, fields=search.columns_text and _csv_fields(search))
        self.wider = search.address(**_wider(span))
        self.more = _more(search, rows) if len(rows) == ROWS < total else ""
        self.span = fixed


def _argument(part: Term | Parentheses) -> str:
    """A part of a query as an argument of the command line that it takes for no option."""
    text = str(part)
    if not text.startswith("-"):
        return text
    name = part.field if isinstance(part, Term) and part.field else text
    return quoted(name) + text[len(name) :]


def _shell_word(text: str) -> str:
    """A text as bash and zsh take it for one word, all of it to be seen."""
    if text.isprintable():
        return shlex.quote(text)
    shown = (c if c.isprintable() and c not in "'\\" else "".join(f"\\x{b:02x}" for b in c.encode()) for c in text)
    return f"$'{''.join(shown)}'"


def _columns(text: str) -> tuple[str, ...]:
    try:
        names = read_names(text) if text else ()
    except UsageError:
        return ()
    return tuple(dict.fromkeys(name for name in names if name))[:_MOST_COLUMNS]


def _csv_fields(search: LogSearch) -> str:
    return f"timestamp,severity,source,{search.columns_text},message"


def _address(path: str, **given: str) -> str:
    kept = {name: value for name, value in given.items() if value}
    return f"{path}?{urlencode(kept, errors='replace')}" if kept else path


def _wider(span: TimeSpan) -> dict[str, str]:
    """Three times as long around its middle, but not into the future."""
    length = span.until - span.since
    since = max(0, span.since - length)
    if not span.until_text:
        return {"since": spans.address_time(since), "until": ""}
    return {"since": spans.address_time(since), "until": spans.address_time(span.until + length)}


def _more(search: LogSearch, rows: Sequence[ShownEvent]) -> str:
    """Where the rows go on: it begins with those of the last one's instant, for there may be more of it."""
    first, last = rows[0].instant, rows[-1].instant
    if search.order == "newest":
        return search.address(until=spans.address_time(last if last == first else last + 1))
    return search.address(since=spans.address_time(last + 1 if last == first else last))


def _facet_fields(search: LogSearch, fields: Iterable[dict[str, Any]]) -> list[FacetField]:
    found = []
    for field in fields:
        name = field["field"]
        facets = [one for value in field["values"] if (one := _facet(search, name, value, field["count"]))]
        if facets and name not in _LEFT_OUT:
            shown = name in search.columns
            column = "" if name in _NO_COLUMNS else search.address(columns=_toggled(search.columns, name))
            found.append(FacetField(escape(name) or "(empty)", facets, column, shown))
    found.sort(key=_usefulness)
    return found[:_MOST_FIELDS]


def _usefulness(field: FacetField) -> tuple[int, int]:
    """Those that everybody asks for first, then those of few values; the order of the rest stays as it was."""
    if field.name in _FIRST:
        return 0, _FIRST.index(field.name)
    return (1 if sum(facet.share for facet in field.facets) > 25 else 2), 0  # noqa: PLR2004 - a quarter


def _facet(search: LogSearch, name: str, value: dict[str, Any], count: int) -> Facet | None:
    known = value["value"]
    if known is None or isinstance(known, (dict, list)):
        return None
    text = known if isinstance(known, str) else orjson.dumps(known).decode()
    if len(text) > _MOST_VALUE_CHARS:
        return None
    term, counter = str(Term(name, "=", text)), str(Term(name, "!=", text))
    return Facet(
        escape(text) or "(empty)",
        value["count"],
        100 * value["count"] / max(1, count),
        search.address(q=_with_term(search.q, term, counter)),
        search.address(q=_with_term(search.q, counter, term)),
        _has(search.q, term) or _has(search.q, counter),
    )


def _with_term(q: str, term: str, opposite: str) -> str:
    """A query with one more term; where it has it, without; the opposite goes."""
    for gone in (term, opposite):
        if _has(q, gone):
            q = f" {q} ".replace(f" {gone} ", " ", 1).strip()
            if gone == term:
                return q
    if re.search(r"(?:^|\s)OR\s", q):
        q = f"({q})"
    return f"{q} {term}".strip()


def _has(q: str, term: str) -> bool:
    return f" {term} " in f" {q} "


def _toggled(columns: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(one for one in columns if one != name) if name in columns else (*columns, name)
