"""What is said where an address gives no answer of its own: there is none, not to this method, it cannot be given, or
something unexpected happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.answers.worker import UNEXPECTED
from agent.core.errors import HttpError, SidelogError
from agent.http.api import refusal, status_of
from agent.http.negotiation import takes_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    Draw = Callable[[Request, SidelogError, int], Response]
    Handler = Callable[[Request, Exception], Awaitable[Response]]

_MISSING, _METHOD, _UNEXPECTED = 404, 405, 500


def handlers(draw: Draw) -> Mapping[int | type[Exception], Handler]:
    """What Starlette calls, by status and kind of exception.

    Args:
        draw: makes a page of an error, for browsers; programs and the API get JSON.
    """

    def answer(request: Request, error: SidelogError, status: int) -> Response:
        is_browser = takes_page(request.headers, request.url.path)
        return draw(request, error, status) if is_browser else refusal(error, status)

    async def missing(request: Request, _: Exception) -> Response:
        return answer(request, HttpError.of("SL913", request.url.path), _MISSING)

    async def refused(request: Request, error: Exception) -> Response:
        said = answer(request, HttpError.of("SL913.method", request.url.path), _METHOD)
        said.headers.update(getattr(error, "headers", None) or {})
        return said

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, SidelogError)
        return answer(request, error, status_of(error))

    async def unexpected(request: Request, _: Exception) -> Response:  # uvicorn writes it into the journal
        return answer(request, HttpError("SL999", "serve a request", request.url.path, UNEXPECTED), _UNEXPECTED)

    return {_MISSING: missing, _METHOD: refused, SidelogError: failed, Exception: unexpected}
