"""Error groups as documents: the rows of `errors list`, and all that `errors show` says of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.errors import SidelogError
from agent.core.text import cut
from agent.views import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.core.groups import ErrorGroup
    from agent.core.stored import StoredEvent
    from agent.query.engine import Engine
    from agent.query.groups import GroupDetail


_REQUEST_IDS = ("requestid", "reqid", "correlationid")
_REQUEST_PATHS = frozenset(
    (
        "path", "url", "uri", "route", "endpoint", "urlpath", "urlfull", "requestpath", "requesturl", "requesturi",
        "httppath", "httpurl", "httpuri", "httproute", "httptarget", "httprequesturl", "httprequestpath", "reqpath",
        "requrl",
    )
)  # fmt: skip
_WRAPPERS = ("record.extra.", "mdc.", "Properties.", "State.", "fields.", "context.", "extra.", "attributes.")
_FACT_CHARS = 100  # of a path or an id
_MOST_FACTS = 5


class GroupView(msgspec.Struct):
    """One group, what helps against it, and the stack trace of the newest sample that has one."""

    detail: GroupDetail
    suggestion: str
    stacktrace: str | None


def view_group(engine: Engine, number: int, now: int) -> GroupView:
    """All about one group. What of it has left the store comes out of the archives, where the engine has them.

    Args:
        engine: is asked.
        number: the group's id.
        now: Unix ns.

    Raises:
        SidelogError: SL540, there is none; others as the engine has them.
    """
    from agent.group.classify import suggestion  # noqa: PLC0415 - the list needs none of these: 10 ms
    from agent.parse.exceptions import of_record  # noqa: PLC0415
    from agent.query.groups import describe_group  # noqa: PLC0415

    detail = describe_group(engine, number, now)
    if detail is None:
        raise SidelogError.of("SL540", number)
    kind = detail.group.exception_type
    traces = (of_record(event.fields).stacktrace for event in detail.samples)
    return GroupView(
        detail, suggestion(kind, detail.group.title.removeprefix(f"{kind}: ")), next(filter(None, traces), None)
    )


def request_facts(event: StoredEvent) -> list[tuple[str, str]]:
    """Which request an event is of, by the names in its line: trace, request id and path, as far as it says them."""
    from agent.query.fragments import flattened  # noqa: PLC0415 - as above

    found = [("trace_id", event.trace_id)] if event.trace_id else []
    for name, value in flattened(event):
        plain = _plain_name(next((name.removeprefix(one) for one in _WRAPPERS if name.startswith(one)), name))
        if plain.endswith(_REQUEST_IDS) or (plain in _REQUEST_PATHS and value.startswith(("/", "http"))):
            found.append((name, cut(value, _FACT_CHARS)))
    return [(name, value) for name, value in found if value not in ("", "null")][:_MOST_FACTS]


def _plain_name(name: str) -> str:
    """A field's name as libraries agree on it: `http.request_id`, `X-Request-Id` and `httpRequestId` are alike."""
    return "".join(character for character in name.lower() if character.isalnum())


# ---------------------------------------------------------------- documents


def group_document(group: ErrorGroup) -> dict[str, Any]:
    """A group as `errors list --json` has it."""
    return {
        "id": group.id,
        "title": group.title,
        "culprit": group.culprit,
        "severity": group.severity,
        "category": group.category,
        "state": group.state,
        "first_seen": iso(group.first_seen),
        "last_seen": iso(group.last_seen),
        "count": group.count,
        "trend": group.trend,
        "service": group.service,
        "exception_type": group.exception_type,
        "ignored_until": iso(group.ignored_until),
        "ignored_events_left": group.ignored_events_left,
    }


def view_document(view: GroupView) -> dict[str, Any]:
    """A group as `errors show --json` has it; events are JSON already (`orjson.Fragment`)."""
    import orjson  # noqa: PLC0415 - for this alone

    from agent.query.fragments import encode  # noqa: PLC0415
    from agent.query.render import document as event_document  # noqa: PLC0415

    def events(found: Sequence[StoredEvent]) -> list[Any]:
        return [orjson.Fragment(encode(event_document(event))) for event in found]

    detail = view.detail
    return {
        **group_document(detail.group),
        "suggestion": view.suggestion,
        "stacktrace": _sayable(view.stacktrace),
        "samples": events(detail.samples),
        "trend_days": detail.history.counts,
        "services": [{"service": _sayable(name) or None, "count": count} for name, count in detail.history.services],
        "trace_id": _sayable(detail.samples[0].trace_id) if detail.samples else None,
        "trace_events": events(detail.trace),
    }


def _sayable(text: str | None) -> str | None:
    """Without lone surrogates, which JSON's UTF-8 has no form for."""
    return text and text.encode("utf-8", "backslashreplace").decode()
