"""The pages of errors: the groups, one of them, and what an operator does about them."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from starlette.routing import Route

from agent.core.errors import HttpError, SidelogError
from agent.core.groups import STATES
from agent.core.times import DAY_NS, MINUTE_NS, parse_time, recent_midnights
from agent.core.values import whole_number
from agent.group.folding import folded
from agent.http import charts, spans
from agent.http.drawing import Frame, back, is_renewal, with_query
from agent.http.event_view import ShownEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup
    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response

    from agent.http.forms import Form

_OPEN = ("new", "ongoing", "regressed")
_ROWS = 100  # groups of a page
_MOST_PAGES = 99_999
_MOST_CHOSEN = 9_999
_SORTS = {
    "last-seen": "last seen",
    "first-seen": "first seen",
    "count": "most events",
    "trend": "rising most",
}
_LENGTHS = (("", "ever"), ("1h", "1 hour"), ("1d", "1 day"), ("7d", "7 days"), ("30d", "30 days"))
_STATES_AFTER = {"resolved": ("resolved",), "ignored": ("ignored",), "reopened": ("new", "ongoing")}
_SAMPLES = 20
_ORIGIN_S = 8.0
_ARCHIVED_S = 3.0
_HOUR_NS = 60 * MINUTE_NS


class ErrorPages(Frame):
    """`/errors` and `/errors/ID`."""

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/errors", self.groups, methods=["GET"]),
            Route("/errors", self.change_groups, methods=["POST"]),
            Route("/errors/{id:int}", self.group, methods=["GET"]),
            Route("/errors/{id:int}", self.change_group, methods=["POST"]),
        ]

    async def groups(self, request: Request) -> Response:
        """All groups that the filters let through."""
        asked = _filters(request.query_params)
        state = asked["state"] or "open"
        page = _page(request.query_params.get("page", ""))
        table = await self._ask(
            "error_table",
            state=list(_OPEN) if state == "open" else [] if state == "all" else [state],
            category=asked["category"],
            service=asked["service"],
            grep=asked["grep"],
            sort=asked["sort"] or "last-seen",
            limit=_ROWS,
            offset=(page - 1) * _ROWS,
        )
        return self._draw(
            request,
            "errors.html",
            table=table,
            asked=asked | {"state": state, "sort": asked["sort"] or "last-seen"},
            page=page,
            pages=max(1, -(-table["matching"] // _ROWS)),
            states=("open", *STATES, "all"),
            sorts=_SORTS,
            lengths=_LENGTHS,
            said=_said(request.query_params),
            here=with_query("/errors", asked, page=str(page) if page > 1 else None),
        )

    async def change_groups(self, request: Request) -> Response:
        """Give the chosen groups a state."""
        form = await self._form(request)
        chosen = form.texts("id")
        if not chosen:
            raise HttpError.of("SL904.nothing", "/errors")
        numbers = [number for text in chosen if (number := whole_number(text)) is not None]
        await self._change(request, "change_groups", "", _wanted(form) | {"ids": numbers})
        given = {name: form.text(f"of-{name}") for name in ("state", "category", "service", "grep", "sort", "page")}
        return back("/errors", given | {"n": str(len(numbers))}, form.text("state"))

    async def group(self, request: Request) -> Response:
        """One group with all that there is to say of it."""
        number = request.path_params["id"]
        at = request.query_params.get("at", "")
        span = spans.read_span(at, request.query_params.get("to", "")) if at else None
        of_time = (
            {} if span is None else {"since": spans.address_time(span.since), "until": spans.address_time(span.until)}
        )
        is_short = is_renewal(request)
        group, origin, archived, history, samples = await asyncio.gather(
            self._ask("error", id=number),
            _nothing() if is_short else self._soon("origin", _ORIGIN_S, id=number),
            _nothing() if is_short else self._archived(number),
            self._ask("group_history", id=number),
            self._ask("samples", id=number, limit=_SAMPLES, **of_time),
        )
        related = [ShownEvent.of(orjson.dumps(one)) for one in group["trace_events"]]
        return self._draw(
            request,
            "error.html",
            group=group,
            origin=origin,
            history=history,
            trace=folded(group["stacktrace"]) if group["stacktrace"] else [],
            bars=_bars(number, group),
            archived=archived,
            samples=[(ShownEvent.of(orjson.dumps(one["event"])), one["differs"]) for one in samples],
            most_samples=_SAMPLES,
            related=related,
            span=span,
            lengths=_LENGTHS,
            said=_said(request.query_params, group["state"]),
        )

    async def _soon(self, name: str, seconds: float, **texts: Any) -> Any:
        """An answer; None where it cannot be had so soon: the page has enough without it."""
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(name, **texts)
        except (TimeoutError, SidelogError):
            return None

    async def _archived(self, number: int) -> dict[str, Any]:
        """How many events of a group archives have, and the hour of the first one; None for both where that would take
        too long to find.
        """
        asked = {"q": f"group={number}", "tier": "archives", "every": "1h"}
        rows = await self._soon("counts", _ARCHIVED_S, **asked)
        if rows is None:
            return {"count": None, "first": None}
        first = min((row["time"] for row in rows if row["count"]), default=None)
        return {"count": sum(row["count"] for row in rows), "first": first}

    async def change_group(self, request: Request) -> Response:
        """Give it a state."""
        form = await self._form(request)
        number = str(request.path_params["id"])
        await self._change(request, "change_groups", number, _wanted(form))
        return back(f"/errors/{number}", {}, form.text("state"))


async def _nothing() -> None:
    """What is not asked for."""


def _filters(given: QueryParams) -> dict[str, str]:
    return {name: given.get(name, "") for name in ("state", "category", "service", "grep", "sort")}


def _page(text: str) -> int:
    return whole_number(text, _MOST_PAGES) or 1


def _wanted(form: Form) -> dict[str, Any]:
    """The body of a change, as the API takes it."""
    state = form.text("state")
    wanted: dict[str, Any] = {"state": state}
    if state == "ignored":
        wanted |= {"until_count": form.number("until_count"), "for": form.text("for") or None}
    return wanted


def _said(given: Mapping[str, str], state: str = "") -> str:
    """What was just done, in words; of the address nothing is taken but what is known.

    Args:
        given: what the address says.
        state: of the one group; where that is another by now nothing is said. Empty: of many.
    """
    done, count = given.get("done", ""), given.get("n", "1")
    if done not in _STATES_AFTER or (state and state not in _STATES_AFTER[done]):
        return ""
    many = whole_number(count, _MOST_CHOSEN) or 1
    return f"{many} groups were {done}." if many > 1 else f"The group was {done}."


class _Bars(NamedTuple):
    """The events of a group over time, each bar with the samples of its time, and what stands below the chart."""

    chart: Markup
    unit: str
    length: str


def _bars(number: int, group: Mapping[str, Any]) -> _Bars:
    """By hours where all of it is of the last day, else by days."""
    now = time.time_ns()
    if parse_time(group["first_seen"], 0) >= now - DAY_NS + _HOUR_NS:
        counts, step = group["trend"], _HOUR_NS
        first = now // step - len(counts) + 1
        edges = [hour * step for hour in range(first, first + len(counts) + 1)]
        unit = "hour"
    else:
        counts, step = group["trend_days"], DAY_NS
        edges = recent_midnights(now, len(counts))
        unit = "day"
    bars = []
    for (start, end), count in zip(pairwise(edges), counts, strict=True):
        span = {"at": spans.address_time(start), "to": spans.address_time(end)}
        bars.append(
            charts.LinkedBar(spans.bucket_words(start, step), count, with_query(f"/errors/{number}", span) + "#samples")
        )
    length = f"{len(counts)} {unit}s"
    return _Bars(charts.linked_bars(bars, f"events of each of the last {length}, {sum(counts):,} in all"), unit, length)
