"""The page of a trace: one request over all services, in the order of time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import Route

from agent.core.times import MINUTE_NS, parse_time
from agent.http import charts, spans
from agent.http.drawing import Frame, term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from agent.http.event_view import ShownEvent

_ROWS = 1_000
_LANES = 8  # colours; more services begin again
_AROUND_NS = 60 * MINUTE_NS  # of the event that led here
_RECENT = "24h"
_MS = 10**6


class Step(NamedTuple):
    """A row of the page: the time since the row before in words, the number of its lane, and the event."""

    gap: str
    is_long: bool
    lane: int
    event: ShownEvent


class TracePages(Frame):
    """`/trace/ID`."""

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/trace/{id:path}", self.trace)]

    async def trace(self, request: Request) -> Response:
        """The events with a trace id.

        Nothing indexes trace ids: they are looked for around the event that has led here (`at`), or in the last day,
        and only where nothing is found, or everything is asked for (`all`), in all of the time that is stored.
        """
        trace, given = request.path_params["id"], request.query_params
        q = term("trace_id", trace)
        since = until = ""
        searched = "all"
        if at := given.get("at"):
            instant = parse_time(at, 0)
            since, until = (spans.address_time(instant + way * _AROUND_NS) for way in (-1, 1))
            searched = "an hour before and after the event that led here"
        elif "all" not in given:
            since, searched = _RECENT, "the last 24 hours"
        rows = await self._rows(q=q, since=since, until=until, limit=_ROWS, order="oldest")
        if not rows and searched != "all":
            rows, searched = await self._rows(q=q, limit=_ROWS, order="oldest"), "all"
        lanes = _lanes(rows)
        return self._draw(
            request,
            "trace.html",
            trace=trace,
            q=q,
            steps=_steps(rows, lanes),
            lanes=_shares(rows, lanes),
            chart=charts.lanes([_mark(row, lanes) for row in rows], list(lanes), f"the events of trace {trace}"),
            length=_length(rows[-1].instant - rows[0].instant) if rows else "",
            errors=sum(row.band in ("error", "fatal") for row in rows),
            searched=searched,
            is_cut=len(rows) == _ROWS,
        )


def _origin(row: ShownEvent) -> str:
    return row.service or row.source


def _lanes(rows: Sequence[ShownEvent]) -> dict[str, int]:
    """A lane for each service, in the order in which they appear."""
    return {name: number for number, name in enumerate(dict.fromkeys(map(_origin, rows)))}


def _shares(rows: Sequence[ShownEvent], lanes: dict[str, int]) -> list[tuple[int, str, int]]:
    """Colour, name and number of events of each lane."""
    counts = dict.fromkeys(lanes, 0)
    for row in rows:
        counts[_origin(row)] += 1
    return [(lanes[name] % _LANES, name, count) for name, count in counts.items()]


def _mark(row: ShownEvent, lanes: dict[str, int]) -> charts.Mark:
    lane = lanes[_origin(row)]
    return charts.Mark(row.instant, lane, lane % _LANES, row.band, f"{row.time} {row.severity} {row.message[:120]}")


def _steps(rows: Sequence[ShownEvent], lanes: dict[str, int]) -> list[Step]:
    """The rows with the gaps between them; a gap of a fifth of all the time, or more, is a long one."""
    if not rows:
        return []
    whole = rows[-1].instant - rows[0].instant
    found = [Step("", False, lanes[_origin(rows[0])] % _LANES, rows[0])]  # noqa: FBT003
    for before, row in pairwise(rows):
        gap = row.instant - before.instant
        words = f"+{_length(gap)}" if gap >= _MS else ""
        found.append(Step(words, gap * 5 >= whole > 0 and gap >= _MS, lanes[_origin(row)] % _LANES, row))
    return found


def _length(length_ns: int) -> str:
    """A duration as one compares it with others."""
    if length_ns < 10 * _MS:
        return f"{length_ns / _MS:.1f} ms"
    if length_ns < 10_000 * _MS:
        return f"{length_ns / _MS:,.0f} ms"
    return f"{length_ns / (1_000 * _MS):,.0f} s"
