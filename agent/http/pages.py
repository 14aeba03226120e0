"""The pages, drawn here of what workers answer; JavaScript makes them quicker to use and is not needed to read them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.answers.worker import ChangeRequest
from agent.core.errors import HttpError, SidelogError
from agent.http.agent_pages import AgentPages
from agent.http.alert_pages import AlertPages
from agent.http.assets import Assets
from agent.http.drawing import TITLES, Frame, make_templates
from agent.http.error_pages import ErrorPages
from agent.http.guard import NOBODY, opener, session_cookie
from agent.http.log_pages import LogPages
from agent.http.trace_pages import TracePages
from agent.store.grants import SESSION_S, sign, verify

if TYPE_CHECKING:
    from starlette.requests import Request

    from agent.answers.pool import WorkerPool
    from agent.http.guard import Identities
    from agent.http.live import LiveAgent
    from agent.serving import ServerSettings

_HERE = Path(__file__).parent


class Pages(Frame):
    """All of them, and what opens a session.

    Args:
        settings: of the server.
        agent: how the agent is.
        pool: answers questions.
        identities: who asks.
    """

    def __init__(self, settings: ServerSettings, agent: LiveAgent, pool: WorkerPool, identities: Identities) -> None:
        self._assets = Assets(_HERE / "static")
        super().__init__(settings, agent, pool, make_templates(self._assets.address))
        self._identities = identities

    def routes(self) -> list[Route]:
        """Their addresses."""
        parts = (self._settings, self._agent, self._pool, self._templates)
        kinds = (AgentPages, LogPages, ErrorPages, AlertPages, TracePages)
        return [
            *(route for kind in kinds for route in kind(*parts).routes()),
            Route("/link/{link}", self.link),
            *self._assets.routes(),
        ]

    def refused(self, error: SidelogError, code: int, headers: dict[str, str], typed: str) -> Response:
        """The page of a request that is not answered; `typed` is the command that opens a session."""
        facts = {"path": "", "visitor": NOBODY, "problems": [], "is_live": False, "host": ""}
        facts["again"] = code == 401  # noqa: PLR2004 - perhaps there is a session that was not sent
        title = TITLES.get(code, "Not allowed")
        text = self._templates.get_template("message.html").render(**facts, title=title, error=error, opener=typed)
        return HTMLResponse(text, code, headers)

    # ------------------------------------------------------------ pages

    async def link(self, request: Request) -> Response:
        """Open a session, once."""
        keys = await self._identities.keys()
        grant = None if keys is None else verify(keys, "link", request.path_params["link"], int(time.time()))
        if keys is None or grant is None:
            return self._wrong_link(request)
        opened = orjson.loads(await self._pool.answer(ChangeRequest("open_link", grant.id, str(grant.expires))))
        session = sign(keys, "session", grant.role, int(time.time()), SESSION_S) if opened["first"] else None
        if session is None:
            return self._wrong_link(request)
        response = RedirectResponse("/", 303)
        http = self._settings.http
        proxied = http.behind_proxy and request.headers.get("x-forwarded-proto", "").strip().lower() == "https"
        secure = http.tls is not None or proxied
        response.headers["Set-Cookie"] = session_cookie(session, secure=secure)
        return response

    def _wrong_link(self, request: Request) -> Response:
        """What a link that opens nothing leads to: the command that prints another, or, too often, a pause."""
        wait_s: int = request.scope["wrong_link"]()
        if wait_s:
            return self.refused(HttpError.of("SL906", "link", wait_s=wait_s), 429, {"Retry-After": str(wait_s)}, "")
        typed = opener(request.scope, self._settings)
        return self.failed(request, SidelogError.of("SL905.link", "link"), 403, typed)
