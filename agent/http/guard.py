"""Who asks, from where, and how often: before anything is answered, and what every answer says to browsers."""

from __future__ import annotations

import ipaddress
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser

from agent.answers.pool import ASKING
from agent.core.errors import HttpError, SidelogError
from agent.http.api import PREFIX, refusal
from agent.http.forms import is_token
from agent.http.limits import BY_ADDRESS, BY_TOKEN, FAILED, RateLimit, network_of
from agent.http.negotiation import takes_page
from agent.store import access as stored
from agent.store.grants import SESSION_S, Grant, form_token, verify
from agent.store.reader import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from agent.serving import ServerSettings
    from agent.store.access import Role, SigningKeys

COOKIE = "sidelog_session"
_REMEMBERED_S = 1.0  # tokens and keys: a revoked one opens nothing a second later
_MOST_REMEMBERED = 1_000
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
_PUBLIC = {"health": "/health", "ready": "/ready", "metrics": "/metrics"}
_OPEN = ("/link/", "/static/", "/favicon.ico")
_SAFE = frozenset(("GET", "HEAD"))
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


_BEARER = {"WWW-Authenticate": 'Bearer realm="sidelog"'}


class RefusedError(Exception):
    """A request that is not answered: with which status, why, and which headers."""

    def __init__(self, status: int, error: HttpError, headers: dict[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = headers or {}


def _too_often(subject: str, wait_s: int) -> RefusedError:
    return RefusedError(429, HttpError.of("SL906", subject, wait_s=wait_s), {"Retry-After": str(wait_s)})


class Visitor(NamedTuple):
    """Who asks. `form_token` is that of a session; requests with a token carry none."""

    name: str
    role: Role | None
    form_token: str = ""

    @property
    def may_change(self) -> bool:
        """Whether what is stored may be changed."""
        return self.role == "operator"


NOBODY = Visitor("", None)
_NO_SESSION = 401


class Guard:
    """ASGI middleware; `scope["visitor"]` is who asks. `scope["wrong_link"]` is called for a link that opens nothing;
    it tells for how many seconds no other may be tried.

    Args:
        app: what answers.
        settings: of the server.
        identities: who asks.
        draw: a page that says why nothing is answered, and which command opens a session.
        limits: what each may do.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        identities: Identities,
        draw: Callable[[HttpError, int, dict[str, str], str], Response],
        limits: RateLimit | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._limits = limits or RateLimit()
        self._identities = identities
        self._draw = draw
        self._public = frozenset(_PUBLIC[name] for name in settings.http.public)
        self._names = _LOOPBACK_NAMES | {_host_of(settings.http.listen), *map(str.lower, settings.http.hosts)} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not path.startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            scope["visitor"] = visitor = await self._admit(scope, path)
            ASKING.set(visitor.name)
            if path.startswith("/link/"):
                scope["wrong_link"] = partial(self._limits.take, FAILED, self._address(scope, Headers(scope=scope)))
        except RefusedError as refused:
            given = (refused.error, refused.status, refused.headers)
            is_browser = takes_page(Headers(scope=scope), path)
            said = self._draw(*given, self._opener(scope, refused)) if is_browser else refusal(*given)
            await said(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    def _opener(self, scope: Scope, refused: RefusedError) -> str:
        is_missing = refused.status == _NO_SESSION  # not where the name is foreign: a page elsewhere could read it
        return opener(scope, self._settings) if is_missing else ""

    async def _admit(self, scope: Scope, path: str) -> Visitor:
        headers = Headers(scope=scope)
        host = self._host(headers)
        if _host_of(host) not in self._names:
            raise RefusedError(403, HttpError.of("SL905.host", host))
        address = self._address(scope, headers)
        visitor = await self._identify(headers, address)
        wait_s = self._limits.take(BY_TOKEN, visitor.name) if visitor.role else self._limits.take(BY_ADDRESS, address)
        if wait_s:
            raise _too_often(path, wait_s)
        if visitor.role is None and path not in self._public and not path.startswith(_OPEN):
            raise RefusedError(401, HttpError.of("SL905", path), _BEARER)
        if scope["method"] not in _SAFE:
            self._may_change(visitor, headers, scope)
        return visitor

    def _may_change(self, visitor: Visitor, headers: Headers, scope: Scope) -> None:
        if not visitor.may_change:
            raise RefusedError(403, HttpError.of("SL905.role", scope["path"]))
        if visitor.form_token:  # a session: its browser would send its cookie for any page
            origin = urlsplit(headers.get("origin", ""))
            if origin.netloc != self._host(headers) or (origin.hostname or "") not in self._names:
                raise RefusedError(403, HttpError.of("SL905.origin", headers.get("origin", "")))
            given = headers.get("x-csrf-token", "")  # a form of a page has it in a field, which the page checks
            if scope["path"].startswith(PREFIX) and not is_token(given, visitor.form_token):
                raise RefusedError(403, HttpError.of("SL905.form", scope["path"]))

    async def _identify(self, headers: Headers, address: str) -> Visitor:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme:
            token = token.strip() if scheme.lower() == "bearer" else ""
            # Who came with this one before is let in: another user of the machine has the same address.
            if not self._identities.has_known(token) and (wait_s := self._limits.wait_s(FAILED, address)):
                raise _too_often(address, wait_s)
            visitor = await self._identities.of_token(token) if token else None
            if visitor is None:
                self._limits.take(FAILED, address)
                raise RefusedError(401, HttpError.of("SL905.token", "Authorization"), _BEARER)
            return visitor
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        return NOBODY if not cookie else await self._identities.of_session(cookie)

    def _host(self, headers: Headers) -> str:
        """The name by which the client knows this server: a proxy may have asked under another one."""
        if self._settings.http.behind_proxy and (named := headers.get("x-forwarded-host")):
            return named.rpartition(",")[2].strip()
        return headers.get("host", "")

    def _address(self, scope: Scope, headers: Headers) -> str:
        """Where a request comes from: of a proxy, what it says of its client (the last entry, which is its own)."""
        if self._settings.http.behind_proxy and (named := headers.get("x-forwarded-for")):
            return network_of(named.rpartition(",")[2].strip())
        client = scope.get("client")
        return network_of(client[0]) if client else "local"


class Identities:
    """What tokens and sessions stand for, asked of the store once a second at most.

    Args:
        store: its path.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._tokens: dict[str, tuple[float, Visitor | None]] = {}
        self._keys: tuple[float, SigningKeys | None] = (-_REMEMBERED_S, None)

    def has_known(self, token: str) -> bool:
        """Whether it has opened something, and was not refused since."""
        return self._tokens.get(token, (0.0, None))[1] is not None

    async def of_token(self, token: str) -> Visitor | None:
        """Whose token it is; None where it opens nothing."""
        now = time.monotonic()
        known = self._tokens.get(token)
        if known is None or now - known[0] >= _REMEMBERED_S:
            if len(self._tokens) >= _MOST_REMEMBERED:
                self._tokens.clear()
            known = self._tokens[token] = (now, await run_in_threadpool(self._look_up, token))
        return known[1]

    def _look_up(self, token: str) -> Visitor | None:
        try:
            with closing(open_reader(self._store)) as connection:
                found = stored.find_token(connection, token, time.time_ns())
        except SidelogError:
            return None
        return None if found is None else Visitor(f"token {found.name}", found.role)

    async def of_session(self, cookie: str) -> Visitor:
        """Whose session it is; nobody's where it is over."""
        keys = await self.keys()
        grant: Grant | None = None if keys is None else verify(keys, "session", cookie, int(time.time()))
        if keys is None or grant is None:
            return NOBODY
        return Visitor(f"session {grant.id[:8]}", grant.role, form_token(keys, grant))

    async def keys(self) -> SigningKeys | None:
        """The keys of the store."""
        if time.monotonic() - self._keys[0] >= _REMEMBERED_S:
            self._keys = (time.monotonic(), await run_in_threadpool(self._read_keys))
        return self._keys[1]

    def _read_keys(self) -> SigningKeys | None:
        try:
            with closing(open_reader(self._store)) as connection:
                return stored.read_keys(connection, self._store)
        except SidelogError:
            return None


def opener(scope: Scope, settings: ServerSettings) -> str:
    """The command that prints a link, with its paths, for who asks from this machine alone."""
    host = scope["client"][0] if scope.get("client") else ""
    is_proxied = settings.http.behind_proxy or "x-forwarded-for" in Headers(scope=scope)
    return settings.typed.opener if _is_loopback(host) and not is_proxied else ""


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def session_cookie(text: str, *, secure: bool) -> str:
    """The value of Set-Cookie for a session."""
    return f"{COOKIE}={text}; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"


def _host_of(text: str) -> str:
    """The host of `HOST:PORT`, in lower case and without brackets."""
    host = text.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
