"""What all pages have in common: they ask workers, are drawn of templates, and say errors in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import jinja2
import orjson
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agent.answers.worker import ChangeRequest, QuestionRequest
from agent.core.text import counted, escape
from agent.core.times import format_local, parse_time
from agent.core.units import format_duration, format_size
from agent.http import charts, prose
from agent.http.api import read_body
from agent.http.event_view import ShownEvent
from agent.http.forms import Form, masked
from agent.http.guard import opener
from agent.query.terms import Term
from agent.serving import TypedCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from agent.answers.pool import WorkerPool
    from agent.core.errors import SidelogError
    from agent.http.guard import Visitor
    from agent.http.live import LiveAgent
    from agent.serving import ServerSettings

_TEMPLATES = Path(__file__).parent / "templates"
TITLES = {
    400: "That cannot be read",
    401: "A session is needed",
    403: "Not allowed",
    404: "There is no such thing",
    405: "Not allowed",
    413: "That is too much",
    429: "Too many requests",
    500: "Something went wrong",
    503: "No answer now",
}
LEFT_OUT = b'{"error":'  # a line of an answer that says what of it could not be read


def make_templates(asset: Callable[[str], str]) -> jinja2.Environment:
    """The templates with what they may call.

    Args:
        asset: the address of a static file.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "asset": asset,
        "counted": counted,
        "trend": charts.trend,
        "with_query": with_query,
        "term": term,
        "when": when,
        "size": format_size,
        "prose": prose.html,
        "sentence": sentence,
    }
    made.filters |= {
        "thousands": lambda number: f"{number:,}",
        "percent": percent,
        "seen": escape,
        "part": lambda text: quote(str(text), safe=""),
        "duration": lambda seconds: format_duration(max(1, round(seconds))),
    }
    return made


class Frame:
    """Draws pages; each kind of them is a class of its own upon this.

    Args:
        settings: of the server.
        agent: how the agent is.
        pool: answers questions.
        templates: as `make_templates` gives them.
    """

    def __init__(
        self, settings: ServerSettings, agent: LiveAgent, pool: WorkerPool, templates: jinja2.Environment
    ) -> None:
        self._settings = settings
        self._agent = agent
        self._pool = pool
        self._templates = templates

    # ------------------------------------------------------------ asking

    async def _ask(self, name: str, **texts: Any) -> Any:
        return orjson.loads(await self._answer(name, texts))

    async def _rows(self, **texts: Any) -> list[ShownEvent]:
        return [ShownEvent.of(line) for line in await self._lines(**texts) if not line.startswith(LEFT_OUT)]

    async def _lines(self, **texts: Any) -> list[bytes]:
        return (await self._answer("query", texts)).split(b"\n")[:-1]

    async def _answer(self, name: str, texts: Mapping[str, Any]) -> bytes:
        given = {
            key: value if isinstance(value, list) else [str(value)]
            for key, value in texts.items()
            if value not in (None, "")
        }
        return await self._pool.answer(QuestionRequest(name, given))

    async def _form(self, request: Request) -> Form:
        """What a page's form has sent.

        Raises:
            HttpError: SL904, it is too large or no form; SL905, the page is not one of this session.
        """
        return Form(await read_body(request), request.scope["visitor"].form_token, request.url.path)

    async def _change(self, request: Request, name: str, subject: str, document: Any = None) -> Any:
        who = request.scope["visitor"].name
        body = "" if document is None else orjson.dumps(document).decode()
        return orjson.loads(await self._pool.answer(ChangeRequest(name, who, body, subject)))

    # ------------------------------------------------------------ answering

    def _draw(self, request: Request, name: str, code: int = 200, **facts: Any) -> Response:
        visitor: Visitor = request.scope["visitor"]
        shown = {
            "path": request.url.path,
            "visitor": visitor._replace(form_token=masked(visitor.form_token)),
            "problems": self._agent.problems(),
            "is_live": self._agent.is_ready,
            "host": self._settings.http.listen,
            "operator_opener": f"{opener(request.scope, self._settings) or TypedCommands().opener} --role operator",
        }
        return HTMLResponse(self._templates.get_template(name).render(**shown, **facts), code)

    def failed(self, request: Request, error: SidelogError, status: int = 400, typed: str = "") -> Response:
        """The page of a request that an error has ended; `typed` is the command that opens a session."""
        title = TITLES.get(status, "That did not work")
        return self._draw(request, "message.html", status, title=title, error=error, opener=typed)


def is_renewal(request: Request) -> bool:
    """Whether a page that is open asks for its parts that change: what takes long, and does not, is left out."""
    return "fresh" in request.query_params


def back(address: str, given: Mapping[str, str | None], done: str, fragment: str = "") -> Response:
    """Lead a browser from a form to the page that shows what it did; to reload that does nothing again.

    Args:
        address: of the page.
        given: its parameters.
        done: what was done, a word that the page has a sentence for.
        fragment: where on the page.
    """
    return RedirectResponse(with_query(address, {}, **{**given, "done": done}) + fragment, 303)


def with_query(address: str, given: Mapping[str, str], **changed: str | None) -> str:
    """An address with these parameters, some of them changed (None: without)."""
    merged = {**given, **changed}
    kept = {name: value for name, value in merged.items() if value not in (None, "")}
    return f"{address}?{urlencode(kept)}" if kept else address


# ---------------------------------------------------------------- what templates call


def term(field: str, value: str) -> str:
    """The search for events with a value of a field."""
    return str(Term(field, "=", value))


def when(instant: str | None, *, brief: bool = False) -> Markup:
    """A time for people: local, to the second, or to the minute; JavaScript makes it the reader's own."""
    if not instant:
        return Markup("–")
    shown = format_local(parse_time(instant, 0), 0)
    return Markup('<time class="when{}" datetime="{}">{}</time>').format(
        " brief" if brief else "", instant, shown[:16] if brief else shown
    )


def sentence(text: str) -> Markup:
    """A message or a hint as a sentence of its own; what is in backticks is code."""
    return prose.inline(escape(text[:1].upper() + text[1:].rstrip(".")))


def percent(share: float) -> str:
    """A share for people."""
    if 0 < share < 0.001:  # noqa: PLR2004
        return "<\xa00.1\xa0%"
    return f"{share * 100:.1f}\xa0%" if share < 0.1 else f"{share * 100:.0f}\xa0%"  # noqa: PLR2004
