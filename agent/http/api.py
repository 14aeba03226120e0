"""`/api/v1`: each address is a question, answered by a worker.

What is wrong with a question is known before the first part of its answer, and is the answer then. What befalls it
later stands in the last line of NDJSON, `{"error": …}`; of a document what could not be read stands in the header
`Sidelog-Incomplete`, an array of errors.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from agent.answers.parameters import check_names
from agent.answers.questions import QUESTIONS
from agent.answers.worker import NOTE, ChangeRequest, QuestionRequest
from agent.core.errors import HttpError, SidelogError, TooLargeError
from agent.query.fragments import encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from starlette.requests import Request

    from agent.answers.pool import WorkerPool

    Endpoint = Callable[[Request], Awaitable[Response]]

PREFIX = "/api/v1"
INCOMPLETE = "Sidelog-Incomplete"
_MOST_HEADER = 4_096  # bytes; proxies refuse headers of more than 8 KiB in all
_JSON = "application/json"
_MEDIA = {"query": "application/x-ndjson", "table": "text/csv; charset=utf-8"}  # the others: one JSON document
PLACES = {  # address -> question
    "/query": "query",
    "/counts": "counts",
    "/fields": "fields",
    "/context": "context",
    "/reasons": "reasons",
    "/errors": "errors",
    "/errors/diff": "diff",  # no id
    "/errors/{id}": "error",
    "/alerts": "alerts",
    "/alerts/history": "history",
    "/alerts/test": "alert_test",
    "/deliveries": "deliveries",
    "/status": "status",
    "/archives": "archives",
    "/audit": "audit",
}
CHANGED = (  # address, method, change
    ("/errors/{id}", "POST", "change_groups"),
    ("/errors", "POST", "change_groups"),
    ("/silences", "POST", "silence"),
    ("/silences/{subject}", "DELETE", "unsilence"),
    ("/deliveries/{subject}", "POST", "redeliver"),
)
_MOST_BODY_BYTES = 65_536
_STATUS = {
    "SL540": 404,
    "SL912": 404,
    "SL710": 404,
    "SL712": 404,
    "SL905": 403,
    "SL901": 503,
    "SL903": 503,
    "SL907": 503,
    "SL908": 503,
    "SL909": 503,
    "SL999": 500,
}


def routes(pool: WorkerPool) -> list[Route]:
    """The routes of the API: one an address, so that all of its methods are known where another one is asked for."""
    answering: dict[str, dict[str, Endpoint]] = {}
    for place, name in PLACES.items():
        answering.setdefault(place, {})["GET"] = answering.setdefault(place, {})["HEAD"] = _endpoint(pool, name)
    for place, method, name in CHANGED:
        answering.setdefault(place, {})[method] = _changing(pool, name)
    api = [Route(PREFIX + place, _by_method(found), methods=list(found)) for place, found in answering.items()]
    table = Route("/logs.csv", _endpoint(pool, "table"), methods=["GET"])  # what the page of logs gives to download
    return [*api, table]


def _by_method(answering: Mapping[str, Endpoint]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await answering[request.method](request)

    return endpoint


def document(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """One JSON document."""
    return Response(encode(content), status, headers, media_type=_JSON)


def refusal(error: SidelogError, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """An error as the API says it."""
    return document(error.document(), status_of(error) if status is None else status, headers)


def status_of(error: SidelogError) -> int:
    """The status of an answer that is an error."""
    if isinstance(error, TooLargeError):
        return 413
    return _STATUS.get(error.code, 503 if error.code.startswith("SL4") else 400)


def _endpoint(pool: WorkerPool, name: str) -> Endpoint:
    question = QUESTIONS[name]
    lines = name == "query"
    media_type = _MEDIA.get(name, _JSON)

    async def endpoint(request: Request) -> Response:
        try:
            given = [*request.query_params.multi_items(), *request.path_params.items()]
            asked = QuestionRequest(name, check_names(question.parameters, given), noted=True)
        except SidelogError as error:
            return refusal(error)
        parts = pool.ask(asked)
        headers = {"Content-Disposition": 'attachment; filename="events.csv"'} if name == "table" else {}
        try:
            first = await anext(parts, b"")
            if first.startswith(NOTE):
                headers[INCOMPLETE] = _header(first)
                first = await anext(parts, b"")
        except SidelogError as error:
            return refusal(error)
        if request.method == "HEAD":
            await parts.aclose()
            return Response(None, headers=headers, media_type=media_type)
        return StreamingResponse(_rest(first, parts, lines=lines), headers=headers, media_type=media_type)

    return endpoint


def _header(note: bytes) -> str:
    """Errors as a header has them: ASCII, and so many of them as are sure to pass."""
    listed = json.loads(note.removeprefix(NOTE))
    while len(text := json.dumps(listed)) > _MOST_HEADER and len(listed) > 1:
        listed = listed[: len(listed) // 2]
    return text if len(text) <= _MOST_HEADER else json.dumps([{"code": one["code"]} for one in listed])


def _changing(pool: WorkerPool, name: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            check_names((), request.query_params.multi_items())
            body = await read_body(request)
            who, subject = request.scope["visitor"].name, "".join(request.path_params.values())
            done = await pool.answer(ChangeRequest(name, who, _text(body), subject))
        except SidelogError as error:
            return refusal(error)
        return Response(done, media_type=_JSON)

    return endpoint


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise HttpError.of("SL904.body", "body", why=error) from None


async def read_body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        TooLargeError: SL904.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY_BYTES:
            raise TooLargeError.of("SL904.large", "body", limit=f"{_MOST_BODY_BYTES:,}")
    return body


async def _rest(first: bytes, parts: AsyncGenerator[bytes, None], *, lines: bool) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        yield first
        try:
            async for part in parts:
                yield part
        except SidelogError as error:
            if not lines:  # half a document is none: the connection ends without its end
                raise
            yield encode({"error": error.document()}) + b"\n"
