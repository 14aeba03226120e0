"""Answers in gzip, for clients that take it (RFC 9110, 12.5.3).

A page shows what is secret beside what its address asks for. Compressed, its length tells a little of both to somebody
who lets a visitor's browser ask for chosen addresses and sees how long the answers are (BREACH). So a session's answer
is compressed only where its browser says that no other site has asked for it (`Sec-Fetch-Site`), and the token of its
forms is another text each time (`forms.masked`). A token is sent by its program alone.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from agent.http.negotiation import takes_gzip

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST = 1_000  # bytes: a shorter answer fits a packet anyway
_LEVEL = 4
_WINDOW = 31  # of zlib: 32 KiB, as gzip
_KINDS = frozenset(
    (
        "text/html",
        "text/css",
        "text/csv",
        "text/javascript",
        "text/plain",
        "image/svg+xml",
        "application/json",
        "application/openmetrics-text",
        "application/x-ndjson",
    )
)  # not text/event-stream: an event is to be there at once, and is short
_BODILESS = frozenset((204, 206, 304))  # or a part of one
_OWN = frozenset(("same-origin", "none"))  # asked for by our own page, or by the person


class Compression:
    """ASGI middleware within the guard, which says who asks.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and compress what it says."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            is_wanted = takes_gzip(headers.get("accept-encoding", "")) and _tells_nobody(scope, headers)
            send = _Answer(send, is_wanted=is_wanted)
        await self._app(scope, receive, send)


class _Answer:
    """What is sent of one answer. Its start waits until it is known whether its body is short."""

    def __init__(self, send: Send, *, is_wanted: bool) -> None:
        self._send = send
        self._is_wanted = is_wanted
        self._start: Message | None = None
        self._held = b""
        self._compressor: zlib._Compress | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _can_be_compressed(message) and self._is_wanted:
            self._start = message
            return
        if message["type"] == "http.response.body" and (self._start or self._compressor):
            body, more = self._held + message.get("body", b""), message.get("more_body", False)
            if self._start is not None:
                if more and len(body) < LEAST:
                    self._held = body
                    return
                await self._begin(self._start, len(body))
            message = {**message, "body": self._compressed(body, more=more)}
        await self._send(message)

    async def _begin(self, start: Message, length: int) -> None:
        self._start, self._held = None, b""
        if length >= LEAST:
            headers = MutableHeaders(scope=start)
            headers["Content-Encoding"] = "gzip"
            del headers["content-length"]  # the answer goes in chunks
            self._compressor = zlib.compressobj(_LEVEL, wbits=_WINDOW)
        await self._send(start)

    def _compressed(self, body: bytes, *, more: bool) -> bytes:
        if self._compressor is None:
            return body
        # What a worker has found so far is to be read now, not when a buffer is full.
        return self._compressor.compress(body) + self._compressor.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)


def _can_be_compressed(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    kind = headers.get("content-type", "").partition(";")[0]
    if kind not in _KINDS or start["status"] in _BODILESS or "content-encoding" in headers:
        return False
    headers.add_vary_header("Accept-Encoding")
    return True


def _tells_nobody(scope: Scope, headers: Headers) -> bool:
    """Whether nobody learns something of the length of an answer who may not read it."""
    if scope["path"].startswith("/static/") or not scope["visitor"].form_token:
        return True
    return headers.get("sec-fetch-site") in _OWN
