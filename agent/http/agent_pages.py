"""The pages of the agent: the overview, the agent with all that it keeps, and what its codes mean."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from agent.core import catalogue
from agent.core.errors import HttpError, SidelogError
from agent.http import spans
from agent.http.alert_pages import rule_rows
from agent.http.api import document
from agent.http.drawing import Frame
from agent.http.histogram import severity_histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

_FILES, _ARCHIVES, _CHANGES = 500, 200, 50
_NEWEST = 8  # groups on the overview
_GAPS = {  # reason -> what it means
    "over_long": "a line was longer than max_line; its first 1 KiB is kept",
    "hole": "NUL bytes without data, as a writer that does not append leaves them",
    "vacuumed": "entries that the journal had deleted before they could be read; their number stands for bytes",
    "vanished": "bytes that were seen, and gone before they could be read",
    "truncated": "bytes that were seen, and cut off before they could be read",
    "damaged": "events that were stored, and lost with a damaged part of the store",
}
_FILE_STATES = {
    "active": "followed",
    "finished": "read to its end",
    "deleted": "read to its end, and deleted since",
}
_CIRCUITS = {  # circuit of a hook -> word, meaning
    "closed": ("works", ""),
    "open": ("paused", "has failed again and again: deliveries wait for a while"),
    "half-open": ("on trial", "one delivery is tried"),
}


class AgentPages(Frame):
    """`/`, `/agent` and `/explain/CODE`, and what open pages ask."""

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/", self.overview),
            Route("/agent", self.agent),
            Route("/explain/{code}", self.explain),
            Route("/pulse", self.pulse),
        ]

    async def pulse(self, _: Request) -> Response:
        """How the agent is, for pages that are open: /health with a status that is no fault of the question."""
        problems = self._agent.problems()
        return document({"problems": [{"code": one.code, "message": one.message} for one in problems]})

    async def overview(self, request: Request) -> Response:
        """Rates, newest errors, firing alerts, lag, store and archives."""
        span = spans.read_span(request.query_params.get("since", ""), "")
        status, table, alerts, chart = await asyncio.gather(
            self._ask("status"),
            self._ask("error_table", state=["new", "ongoing", "regressed"], limit=_NEWEST),
            self._ask("alerts"),
            severity_histogram(self._ask, "", span),
        )
        rules = rule_rows(self._settings.rules, alerts)
        return self._draw(
            request,
            "overview.html",
            status=status,
            table=table,
            firing=[rule for rule in rules if rule["state"] in ("firing", "pending")],
            rules=len(rules),
            lag=_lag(status["files"]),
            own=sum(1 for one in status["findings"] if one["active"]),
            chart=chart,
            span=span,
        )

    async def agent(self, request: Request) -> Response:
        """The agent itself."""
        status, archives, changes = await asyncio.gather(
            self._ask("status"), self._ask("archives"), self._ask("changes", limit=_CHANGES)
        )
        files = sorted(status["files"], key=lambda file: (-file["lag_bytes"], file["state"] != "active"))
        return self._draw(
            request,
            "agent.html",
            status=status,
            files=files[:_FILES],
            lag=_lag(status["files"]),
            archives=archives[: -_ARCHIVES - 1 : -1],
            changes=changes,
            gap_words=_GAPS,
            file_words=_FILE_STATES,
            circuits=_CIRCUITS,
        )

    async def explain(self, request: Request) -> Response:
        """What a code means and what to do about it."""
        code = request.path_params["code"].upper()
        text = catalogue.explain(code) if len(code) == 5 else None  # noqa: PLR2004 - SL and three digits
        if text is None:
            return self.failed(request, HttpError.of("SL913.code", code), 404)
        title = text.partition("\n")[0].removeprefix(f"# {code}:").strip()
        try:
            findings = (await self._ask("status"))["errors"]
        except SidelogError:  # a store that cannot be read may be why somebody looks here
            findings = []
        mine = [one for one in findings if one["code"] == code]
        return self._draw(request, "explain.html", which=code, title=title, text=text, findings=mine)


def _lag(files: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """How much waits to be read, in how many files, and for how long."""
    behind = [file for file in files if file["lag_bytes"]]
    return {
        "bytes": sum(file["lag_bytes"] for file in behind),
        "files": len(behind),
        "seconds": max((file["lag_seconds"] for file in behind), default=0),
    }
