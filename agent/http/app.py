"""The application: which address leads where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from agent.http import api
from agent.http.api import document
from agent.http.compression import Compression
from agent.http.exposition import AgentCollector, exposition
from agent.http.faults import handlers
from agent.http.guard import Guard, Identities
from agent.http.pages import Pages

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from agent.answers.pool import WorkerPool
    from agent.core.metrics import Vitals
    from agent.http.live import LiveAgent
    from agent.http.tails import Tails
    from agent.serving import ServerSettings


def make_app(settings: ServerSettings, agent: LiveAgent, pool: WorkerPool, tails: Tails) -> ASGIApp:
    """The ASGI application.

    Args:
        settings: what is served.
        agent: how the agent is.
        pool: answers questions.
        tails: who watches what comes.
    """
    probes = Probes(settings, agent)
    identities = Identities(Path(settings.store))
    pages = Pages(settings, agent, pool, identities)
    app = Starlette(
        routes=[
            Route("/health", probes.health),
            Route("/ready", probes.ready),
            Route("/metrics", probes.metrics),
            *api.routes(pool),
            Route(f"{api.PREFIX}/tail", tails.endpoint),
            Route(f"{api.PREFIX}/openapi.json", _describe),
            *pages.routes(),
        ],
        exception_handlers=handlers(pages.failed),
    )
    app.router.redirect_slashes = False  # an address is another one, or none
    return Guard(Compression(app), settings, identities, pages.refused)


async def _describe(_: Request) -> Response:
    from agent.http.openapi import document as description  # noqa: PLC0415 - one request of a million

    return document(description())


class Probes:
    """What monitoring asks: from what the agent has said, without a look at its events."""

    def __init__(self, settings: ServerSettings, agent: LiveAgent) -> None:
        self._settings = settings
        self._agent = agent

    async def health(self, _: Request) -> Response:
        """200 while the agent is well, else 503 with the reasons."""
        problems = self._agent.problems()
        found = [{"code": one.code, "message": one.message} for one in problems]
        if found:
            return document({"status": "unhealthy", "problems": found}, 503)
        vitals = self._agent.vitals
        return document({"status": "ok", "problems": [], "version": vitals.version if vitals else None})

    async def ready(self, _: Request) -> Response:
        """200 while files are followed and stored, else 503."""
        is_ready = self._agent.is_ready
        return document({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """The numbers, for Prometheus; 503 where there are none of an agent that runs now, so that a scrape fails."""
        vitals = self._agent.vitals
        why = self._agent.untold()
        if vitals is None or why:
            return document({"code": "SL903", "message": why, "hint": ""}, 503)
        return await run_in_threadpool(self._scrape, vitals, request.headers.get("accept", ""))

    def _scrape(self, vitals: Vitals, accept: str) -> Response:
        """Of 10,000 sources they are megabytes: what else is asked does not wait for them."""
        text, kind = exposition(AgentCollector(vitals, _store_bytes(Path(self._settings.store))), accept)
        return Response(text, headers={"Content-Type": kind, "Vary": "Accept"})


def _store_bytes(store: Path) -> int:
    """The size of a store with its write-ahead log."""
    total = 0
    for path in (store, store.with_name(store.name + "-wal")):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
