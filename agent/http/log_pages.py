"""The pages of logs: the search, and the lines around one event."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from starlette.routing import Route

from agent.core.errors import SidelogError
from agent.core.values import whole_number
from agent.http import spans
from agent.http.drawing import LEFT_OUT, Frame, is_renewal
from agent.http.event_view import ShownEvent
from agent.http.histogram import severity_histogram
from agent.http.log_view import ROWS, VALUES, VIEWS, LogAnswer, LogSearch
from agent.query.engine import SAMPLED_EVENTS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_REASONS_S = 5.0
_LINES, _MOST_LINES = 20, 500  # of context on either side


class LogPages(Frame):
    """`/logs` and `/context/ID`."""

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [Route("/logs", self.logs), Route("/context/{id}", self.context)]

    async def logs(self, request: Request) -> Response:
        """Search."""
        search = LogSearch.of(request.query_params)
        facts: dict[str, Any] = {"search": search, "choices": spans.CHOICES, "views": VIEWS}
        try:
            span = spans.read_span(search.since, search.until)
            asked = {
                "q": search.q,
                "since": spans.address_time(span.since),
                "until": spans.address_time(span.until),
            }
            is_count = is_renewal(request)  # of a live tail, which has the rows
            lines, chart, fields = await asyncio.gather(
                self._lines(**asked, limit=0 if is_count else ROWS, order=search.order),
                severity_histogram(self._ask, search.q, span),
                self._ask("fields", **asked, values=VALUES),
            )
            newest = [] if lines or is_count else await self._rows(limit=1)
            reasons = await self._reasons(asked) if newest and not lines and search.q else []
        except SidelogError as error:
            return self._draw(request, "logs.html", 400, error=error, found=None, **facts)
        rows = [ShownEvent.of(line) for line in lines if not line.startswith(LEFT_OUT)]
        return self._draw(
            request,
            "logs.html",
            error=None,
            found=LogAnswer(search, span, rows, chart.total, fields),
            chart=chart,
            command=search.command(self._settings.typed.searcher, chart.total),
            reasons=reasons,
            sampled=SAMPLED_EVENTS,
            newest=newest[0] if newest else None,
            left_out=[orjson.loads(line)["error"] for line in lines if line.startswith(LEFT_OUT)],
            **facts,
        )

    async def _reasons(self, asked: dict[str, str]) -> list[dict[str, str]]:
        """Why nothing was found; none where that is not known soon: the answer stands without."""
        with suppress(SidelogError, TimeoutError):
            async with asyncio.timeout(_REASONS_S):
                found: list[dict[str, str]] = await self._ask("reasons", **asked)
                return found
        return []

    async def context(self, request: Request) -> Response:
        """The lines around one event."""
        given, wanted = request.path_params["id"], whole_number(request.query_params.get("lines", ""))
        lines = _LINES if wanted is None else min(wanted, _MOST_LINES)
        try:
            found = await self._ask("context", id=given, lines=lines)
        except SidelogError as error:
            return self.failed(request, error, 404)
        rows = [ShownEvent.of(orjson.dumps(one)) for one in found]
        return self._draw(request, "context.html", rows=rows, id=given, lines=lines)
