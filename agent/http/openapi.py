"""`/api/v1/openapi.json`: what the API takes and gives, made of the tables by which it answers.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.answers.parameters import TAILED
from agent.answers.questions import QUESTIONS
from agent.http.api import CHANGED, INCOMPLETE, PLACES, PREFIX
from agent.http.schemas import ANSWERS, BODIES, COMPONENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.answers.parameters import Parameter

_IN_PATH = re.compile(r"\{(\w+)\}")
TEXTS = {  # by question or change
    "query": "Events that match, a JSON object a line, as `sidelog query -o json` prints them.",
    "counts": "How many events match, by fields and buckets of time.",
    "fields": "The fields of the newest matching events, with their commonest values.",
    "context": "The lines of the same log around an event.",
    "reasons": "Why nothing matches: names in the question that exist nowhere.",
    "errors": "Groups of errors.",
    "diff": "Which errors are new, gone or changed since a moment, or with a version.",
    "error": "One group, with samples, stack trace and trend.",
    "alerts": "The rules with their live state.",
    "history": "When alerts fired and resolved, newest last.",
    "alert_test": "When a rule would have fired, with a threshold of one's choice.",
    "deliveries": "What hooks were told, and what came of it.",
    "redeliver": "Let a dead delivery be tried anew, by its id; `all`: every dead one.",
    "status": "The health of the agent, as `sidelog status --json`.",
    "archives": "The archives.",
    "audit": "Whether the bytes read of each file are its events, blank lines and gaps, as `sidelog audit --json`.",
    "change_groups": "Resolve, ignore or reopen groups.",
    "silence": "Tell nobody that a rule fires, for a while.",
    "unsilence": "End a rule's silence.",
    "tail": "Events as they are stored: server-sent events, whose id is the event's; `skipped` counts others.",
}
EXAMPLES = {  # by address: a query string that is worth trying
    "/query": "q=severity>=warn&since=1h&limit=20",
    "/tail": "q=severity>=error",
    "/counts": "by=severity&every=5m&since=1h",
    "/fields": "q=severity>=error&values=5",
    "/context": "id=1&lines=5",
    "/reasons": "q=source=shpo",
    "/errors": "state=new&state=regressed&sort=count",
    "/errors/diff": "after=1h&before=24h",
    "/alerts/test": "rule=many-errors&since=1d",
    "/audit": "compare=true",
}
_REFUSALS = {
    "400": "A parameter or the body cannot be read.",
    "401": "A token or a session is needed.",
    "403": "The role does not allow it, or another page has asked.",
    "404": "There is no such thing.",
    "405": "The address does not answer to this method; `Allow` says to which.",
    "429": "Too many requests; `Retry-After` says when.",
    "503": "The store, the agent or the time that a question may take is the reason.",
}
_TOO_LARGE = {"413": "The body is too large."}
_HEADERS = {"405": "Allow", "429": "Retry-After"}
_ERROR = {"$ref": "#/components/schemas/Error"}


def document() -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for place, name in PLACES.items():
        paths.setdefault(PREFIX + place, {})["get"] = _operation(name, place, QUESTIONS[name].parameters)
    paths[f"{PREFIX}/tail"] = {"get": _operation("tail", "/tail", TAILED)}
    for place, method, name in CHANGED:
        paths.setdefault(PREFIX + place, {})[method.lower()] = _change(name, place)
    paths[f"{PREFIX}/openapi.json"] = {"get": _description()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sidelog",
            "version": __version__,
            "summary": "Questions about logs and their errors.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sidelog_session"},
            },
            "schemas": COMPONENTS,
        },
        "security": [{"token": []}, {"session": []}],
    }


def _operation(name: str, place: str, known: Iterable[Parameter]) -> dict[str, Any]:
    in_path = _IN_PATH.findall(place)
    listed = [_parameter(one, in_path=one.name in in_path) for one in known]
    described = {one["name"] for one in listed}
    listed += [
        {"name": word, "in": "path", "required": True, "schema": {"type": "string"}}
        for word in in_path
        if word not in described
    ]
    if name == "tail":
        text = "Go on after the event with this id."
        listed.append({"name": "Last-Event-ID", "in": "header", "description": text, "schema": {"type": "string"}})
    refusals = {status: _refused(status, text) for status, text in _REFUSALS.items()}
    return {
        "operationId": "_".join((name, *place.strip("/").translate(str.maketrans("", "", "{}")).split("/"))),
        "summary": TEXTS[name],
        "parameters": listed,
        "responses": {"200": _answer(name, TEXTS[name]), **refusals},
    }


def _answer(name: str, text: str) -> dict[str, Any]:
    if name == "tail":
        return {"description": text, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    if name == "query":  # a line each; 3.1 has no word for that
        media = {"schema": {"type": "string"}, "x-item-schema": {"$ref": "#/components/schemas/Event"}}
        return {"description": f"{text} {_LAST_LINE}", "content": {"application/x-ndjson": media}}
    answer = _json(text, ANSWERS.get(name, {"type": "object"}))
    if name in QUESTIONS:
        about = "What could not be read, such as a damaged archive: a JSON array of errors."
        answer["headers"] = {INCOMPLETE: {"description": about, "schema": {"type": "string"}}}
    return answer


_LAST_LINE = 'What could not be read, and what ended the answer early, is in lines of `{"error": …}` at its end.'


def _change(name: str, place: str) -> dict[str, Any]:
    operation = _operation(name, place, ())
    if place in BODIES:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": BODIES[place]}}}
    operation["responses"] |= {status: _refused(status, text) for status, text in _TOO_LARGE.items()}
    operation["description"] = "Needs the role operator; a session sends its page's token in `X-CSRF-Token`."
    return operation


def _description() -> dict[str, Any]:
    text = "This description."
    refusals = {status: _refused(status, _REFUSALS[status]) for status in ("401", "403", "405", "429")}
    answer = {"200": _json(text, {"type": "object"}), **refusals}
    return {"operationId": "openapi", "summary": text, "responses": answer}


def _parameter(one: Parameter, *, in_path: bool) -> dict[str, Any]:
    schema = {"type": "array", "items": one.schema} if one.repeated else one.schema
    return {
        "name": one.name,
        "in": "path" if in_path else "query",
        "required": in_path or one.required,
        "description": one.description,
        "schema": schema,
    }


def _refused(status: str, text: str) -> dict[str, Any]:
    refused = _json(text, _ERROR)
    if status in _HEADERS:
        refused["headers"] = {_HEADERS[status]: {"schema": {"type": "string"}}}
    return refused


def _json(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
