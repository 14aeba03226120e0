"""An event as a page shows it: what is seen at once, and what unfolds."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from agent.core.text import escape, escape_json
from agent.core.times import format_local, format_utc, parse_time
from agent.http.charts import band_of

_MESSAGE_CHARS = 2_000
_VALUE_CHARS = 4_000  # of what unfolds: a stack trace
_SHORT_CHARS = 300  # in a line
_MOST_FIELDS = 200


class ShownEvent(NamedTuple):
    """One event for a template. `fields` are names as the query language has them, and texts."""

    id: str  # with the agent behind it, where the events of several are together: `17@4f1c…`
    instant: int
    time: str
    utc: str
    band: str
    severity: str
    source: str
    service: str
    message: str
    trace_id: str
    group: int | None
    path: str
    fields: list[tuple[str, str]]
    json: str

    @classmethod
    def of(cls, line: bytes) -> ShownEvent:
        """Of a row as the API gives it."""
        document: dict[str, Any] = orjson.loads(line)
        instant = parse_time(document["timestamp"], 0)
        text = str(document["severity_text"] or "")
        resource = document["resource"] or {}
        fields: list[tuple[str, str]] = []
        _flatten("", document["attributes"] or {}, fields)
        return cls(
            id="@".join(str(document[name]) for name in ("id", "agent") if name in document),
            instant=instant,
            time=format_local(instant, 3),
            utc=document["timestamp"],
            band=band_of(text),
            severity=text or "–",
            source=document["source"],
            service=str(resource.get("service.name") or ""),
            message=_cut(_seen(_text(document["body"])), _MESSAGE_CHARS),
            trace_id=str(document["trace_id"] or ""),
            group=document["group"],
            path=document["path"],
            fields=[(_seen(name), _cut(_seen(value), _VALUE_CHARS)) for name, value in fields[:_MOST_FIELDS]],
            json=escape_json(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()),
        )

    @property
    def hour_before(self) -> str:
        """An hour before it, as addresses have it."""
        return format_utc(self.instant - 3_600 * 10**9)

    def cell(self, name: str) -> str:
        """The value of a field as a column shows it; empty where there is none."""
        own = {
            "service": self.service,
            "source": self.source,
            "path": self.path,
            "trace_id": self.trace_id,
            "group": str(self.group or ""),
        }
        if name in own:
            return own[name]
        return _cut(dict(self.fields).get(_seen(name.removeprefix("attributes.")), ""), _SHORT_CHARS)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The fields as a line has them, shorter."""
        return [(name, _cut(value, _SHORT_CHARS)) for name, value in self.fields]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode() if value is not None else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _flatten(prefix: str, value: Any, found: list[tuple[str, str]]) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _flatten(f"{prefix}.{name}" if prefix else name, inner, found)
    elif prefix:
        found.append((prefix, _text(value)))


def _seen(text: str, keep: str = "\n\t") -> str:
    """A text with its control characters, and those that turn the direction of writing, as pictures."""
    return escape(text, keep)
