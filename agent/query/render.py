"""Events as bytes: for machines (json, csv, raw), and for people (short, verbose, logfmt).

What is for machines goes into a pipe untouched, and on a terminal with control characters escaped. What is for
people is always escaped: a message must never start a line of its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from msgspec import Raw

from agent.core.event import severity_text
from agent.core.patterns import lazy
from agent.core.stored import StoredEvent
from agent.core.text import escape, escape_json, paint
from agent.core.times import format_local, format_utc
from agent.query.fragments import as_text, attributes, encode, flattened, severity_name
from agent.query.fragments import field as field_of
from agent.query.glance import first_line, glance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from agent.query.predicate import Categories

FORMS = ("short", "verbose", "json", "csv", "logfmt", "raw")
CSV_FIELDS = (
    "timestamp", "severity", "source", "service", "logger", "message", "trace_id", "group", "path", "offset",
)  # fmt: skip
_LOGFMT_FIELDS = ("timestamp", "severity", "source", "logger", "message")
_WRITE_BYTES = 65_536  # output is collected to this before it is written
_SHORT_VALUE = 100  # characters of an attribute in `short`
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # cells that spreadsheets would compute
_LEVEL_COLORS = {"ERROR": ("red",), "FATAL": ("red", "bold"), "WARN": ("yellow",), "INFO": ("green",)}
_PLAIN = lazy(r'[^\s"=\\]+')
_NOT_IN_KEYS = lazy(r'[\s"=]')

Render = Callable[[StoredEvent], bytes]


class Output(msgspec.Struct):
    """How to print: the form, the fields of `--fields`, and where it goes."""

    form: str = "short"
    fields: Sequence[str] = ()
    color: bool = False
    terminal: bool = False
    width: int = 80  # columns of the terminal
    zone: tzinfo | None = None  # of the times that people see; None: local ones
    csv_safe: bool = False  # a quote before text that a spreadsheet would take for a formula
    categories: Categories = {}  # of error groups
    missing: set[str] = set()  # of `fields`, those that no event that was printed has

    def __post_init__(self) -> None:
        self.missing = set(self.fields)

    def time(self, timestamp_ns: int, digits: int = 3) -> str:
        """An instant for people, with so many digits of the second."""
        return format_local(timestamp_ns, digits, self.zone)

    def header(self) -> bytes:
        """What precedes the first event."""
        return self.finish(csv_row(self.fields or CSV_FIELDS)) if self.form == "csv" else b""

    def renderer(self) -> Render:
        """The function that gives an event's bytes, its newline included; chosen once."""
        make: dict[str, Callable[[], Callable[[StoredEvent], str | bytes]]] = {
            "json": self._json, "csv": self._csv, "raw": self._raw,
            "logfmt": self._logfmt, "verbose": self._verbose, "short": self._short,
        }  # fmt: skip
        render = make[self.form]()
        return lambda event: self.finish(render(event))

    def finish(self, text: str | bytes) -> bytes:
        """Encode; on a terminal escape what machines would have got as it is."""
        if not self.terminal or self.form in ("short", "verbose", "logfmt"):
            return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        if isinstance(text, bytes):
            text = text.decode("utf-8", "backslashreplace")
        text = escape_json(text) if self.form == "json" else escape(text, "\n\t")
        return text.encode("utf-8", "backslashreplace")

    def write(self, out: BinaryIO, events: Iterable[StoredEvent]) -> bool:
        """Print events, and tell whether there were any."""
        render = self.renderer()
        parts: list[bytes] = []
        size, event = 0, None
        for event in events:
            part = render(event)
            parts.append(part)
            size += len(part)
            if size >= _WRITE_BYTES:
                out.write(b"".join(parts))
                parts, size = [], 0
        out.write(b"".join(parts))
        out.flush()
        return event is not None

    # ------------------------------------------------------------ for machines

    def _json(self) -> Callable[[StoredEvent], bytes]:
        if not self.fields:
            return lambda event: encode(document(event)) + b"\n"
        return lambda event: encode(self._chosen(event)) + b"\n"

    def _values(self, event: StoredEvent, names: Sequence[str]) -> list[tuple[str, bytes | None]]:
        found = [(name, field_of(event, name, self.categories)) for name in names]
        if self.missing:
            self.missing.difference_update(name for name, fragment in found if fragment is not None)
        return found

    def _chosen(self, event: StoredEvent) -> dict[str, Any]:
        found = self._values(event, self.fields)
        return {name: None if fragment is None else Raw(fragment) for name, fragment in found}

    def _csv(self) -> Callable[[StoredEvent], str]:
        names = self.fields or CSV_FIELDS
        return lambda event: csv_row([self._cell(fragment) for _, fragment in self._values(event, names)])

    def _cell(self, fragment: bytes | None) -> str:
        text = as_text(fragment)
        if self.csv_safe and text.startswith(_FORMULA) and fragment is not None and fragment.startswith(b'"'):
            return f"'{text}"
        return text

    def _raw(self) -> Callable[[StoredEvent], bytes]:
        return lambda event: event.original() + b"\n"

    # ------------------------------------------------------------ for people

    def _logfmt(self) -> Callable[[StoredEvent], str]:
        names = self.fields or _LOGFMT_FIELDS

        def render(event: StoredEvent) -> str:
            found = self._values(event, names)
            pairs = [(name, as_text(fragment)) for name, fragment in found if fragment is not None]
            if not self.fields:
                pairs += flattened(event)
            return " ".join(logfmt_pair(name, value) for name, value in pairs) + "\n"

        return render

    def _short(self) -> Callable[[StoredEvent], str]:
        if self.fields:
            return self._short_fields

        def render(event: StoredEvent) -> str:
            level = severity_name(event)
            message, pairs = glance(event)
            rest = " ".join(logfmt_pair(name, _cut(value)) for name, value in pairs)
            parts = (
                self._paint(self.time(event.timestamp), "dim"),
                self._paint(f"{level or '-':5}", *_LEVEL_COLORS.get(level, ("dim",))),
                self._paint(escape(event.source), "cyan") + ("" if not rest and not message else ":"),
                message,
                self._paint(rest, "dim"),
            )
            return " ".join(part for part in parts if part) + "\n"

        return render

    def _short_fields(self, event: StoredEvent) -> str:
        """The fields of `--fields` that an event has, and nothing else; what needs no name has none."""
        parts = []
        for name, fragment in self._values(event, self.fields):
            if name == "timestamp":
                parts.append(self._paint(self.time(event.timestamp), "dim"))
            elif name == "severity" and fragment is not None:
                level = escape(as_text(fragment))
                parts.append(self._paint(f"{level:5}", *_LEVEL_COLORS.get(level, ("dim",))))
            elif name == "message":
                parts.append(escape(first_line(event.body)))
            elif fragment is not None:
                parts.append(logfmt_pair(name, as_text(fragment)))
        return (" ".join(part for part in parts if part).rstrip() or "-") + "\n"

    def _verbose(self) -> Callable[[StoredEvent], str]:
        def render(event: StoredEvent) -> str:
            level = severity_name(event)
            head = (
                f"{self._paint(self.time(event.timestamp), 'dim')}"
                f" {self._paint(level or '-', *_LEVEL_COLORS.get(level, ('dim',)))}"
                f" {self._paint(escape(event.source), 'cyan')}"
            )
            lines = [head, *self._indented("message", event.body)]
            for name, value in self._details(event):
                lines += self._indented(name, value)
            return "\n".join(lines) + "\n\n"

        return render

    def _details(self, event: StoredEvent) -> list[tuple[str, str]]:
        if self.fields:
            found = self._values(event, self.fields)
            return [(name, as_text(fragment)) for name, fragment in found if fragment is not None]
        traits = None if event.group is None else self.categories.get(event.group)
        known = (
            ("logger", event.logger),
            ("service", event.service),
            ("trace_id", event.trace_id),
            ("span_id", event.span_id),
            ("group", None if event.group is None else str(event.group)),
            ("category", None if traits is None else traits.category),
        )
        own = flattened(event)
        names = {name for name, _ in own}
        pairs = [(name, value) for name, value in known if value and name not in names] + own
        pairs += [(name, str(value)) for name, value in event.resource.items() if name not in names]
        pairs += [("timestamp", format_utc(event.timestamp)), ("place", f"{event.path}, byte {event.offset}")]
        if event.parse_error:
            pairs.append(("parse_error", event.parse_error))
        if event.agent is not None:
            pairs.append(("agent", event.agent))
        return [*pairs, ("id", str(event.id))]

    def _indented(self, name: str, value: str) -> list[str]:
        """`name: value`, or the name and each line of the value below it."""
        label = self._paint(f"{escape(name)}:", "dim")
        lines = [escape(line, "\t") for line in value.rstrip("\n").split("\n")]
        if len(lines) == 1:
            return [f"    {label} {lines[0]}"]
        return [f"    {label}", *(f"      | {line}" for line in lines)]

    def _paint(self, text: str, *colors: str) -> str:
        return paint(text, *colors) if self.color and text else text


def document(event: StoredEvent) -> dict[str, Any]:
    """An event as `-o json` has it, in OpenTelemetry's names; values that must stay as written are `msgspec.Raw`."""
    rest = attributes(event)  # first: it reads all that the others would look for one by one
    found = {
        "id": event.id,
        "timestamp": format_utc(event.timestamp),
        "observed_timestamp": format_utc(event.observed_timestamp),
        "severity_number": event.severity_number,
        "severity_text": severity_text(event.severity_number),
        "body": event.body,
        "attributes": rest,
        "resource": event.resource,
        "trace_id": event.trace_id,
        "span_id": event.span_id,
        "source": event.source,
        "path": event.path,
        "offset": event.offset,
        "group": event.group,
    }
    if event.agent is not None:
        found["agent"] = event.agent
    if event.parse_error is not None:
        found["parse_error"] = event.parse_error
    return found


def csv_row(cells: Sequence[str]) -> str:
    """One line of CSV (RFC 4180 quoting, ended by a newline)."""
    import csv  # noqa: PLC0415 - one form of six

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def logfmt_pair(name: str, value: str) -> str:
    """`name=value`, quoted where it must be; control characters as escapes."""
    key = _NOT_IN_KEYS.sub("_", escape(name)) or "_"
    if value and value.isprintable() and _PLAIN.fullmatch(value):
        return f"{key}={value}"
    quoted = escape(value.replace("\\", "\\\\").replace('"', '\\"'))
    return f'{key}="{quoted}"'


def _cut(text: str) -> str:
    return text if len(text) <= _SHORT_VALUE else text[: _SHORT_VALUE - 1] + "…"
