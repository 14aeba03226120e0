"""What of an event fits one line: what went wrong beside the message, and the fields that are worth a glance.

Everything of an event stands in `-o verbose` and `-o json`. Left out here is what says nothing, such as nulls, and what
logging libraries wrap around each line: loguru alone adds some twenty fields of its own to one of the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent.core.severity import ERRORS_FROM
from agent.core.stored import resource_service
from agent.core.text import counted, escape
from agent.query.fragments import flattened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.core.stored import StoredEvent
    from agent.parse.exceptions import ExceptionInfo

_ATTRIBUTES = 12  # so many follow a message
_FAILURE = 300  # characters of what an exception says
_NOTHING = frozenset({"", "null", "[]", "{}"})
# Each is of a library's format, the same in every line or a twin of what the line shows already.
_WRAPPING = frozenset(
    (
        "@version", "level_value", "levelno", "level_number", "level_index", "level_name", "endOfBatch", "loggerFqcn",
        "threadPriority", "threadId", "relativeCreated", "msecs", "processName", "ecs.version", "taskName",
        "sequenceNumber", "nanoseconds", "context.birthdate", "@mt", "@r", "@i", "MessageTemplate", "Renderings",
        "State.{OriginalFormat}", "errorVerbose",
    )
)  # fmt: skip
# Frames and their number, inside whatever a library calls an exception; type and message are shown beside the body.
_EXCEPTIONS = ("exception", "exc_info", "error", "err")
_FRAMES = frozenset(("extendedStackTrace", "stepArray", "trace", "frames", "backtrace"))
_FRAME_COUNTS = (".commonElementCount", ".commonFramesCount")
_REASONS = ("error", "err")  # what an error says that has no type, as Go's
_TWINS = (".repr", ".icon")  # of a field that has another form beside it


class _Library(NamedTuple):
    """What a library adds to each line by itself, where the line has `marks`: all of them."""

    marks: frozenset[str]
    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    own: str = "\0"  # begins a field that the application added in spite of its prefix

    def adds(self, name: str) -> bool:
        """Whether a field is none of the application's."""
        return name in self.names or (name.startswith(self.prefixes) and not name.startswith(self.own))


_LOGURU = _Library(frozenset({"record.elapsed.repr"}), prefixes=("record.",), own="record.extra.")
_PINO = _Library(frozenset({"pid", "hostname"}), frozenset({"pid", "hostname", "v"}))  # bunyan too
_ECS = _Library(frozenset({"ecs.version"}), prefixes=("process.", "log.origin.", "log.original"))
_TRACING = _Library(frozenset({"filename", "line_number"}), frozenset({"filename", "line_number"}))
_LOGBACK = _Library(
    frozenset({"sequenceNumber", "context.name"}), frozenset({"context.name", "threadName", "arguments"})
)
_LOG_RECORD = _Library(  # Python's, dumped whole
    frozenset({"relativeCreated"}),
    frozenset(
        (
            "args", "created", "module", "pathname", "process", "thread", "threadName", "lineno", "funcName",
            "filename", "msg",
        )
    ),
)  # fmt: skip
_LIBRARIES = (_LOGURU, _PINO, _ECS, _TRACING, _LOGBACK, _LOG_RECORD)


def glance(event: StoredEvent) -> tuple[str, list[tuple[str, str]]]:
    """What one line shows: the headline, and the fields that are worth it with their texts."""
    found = _exception(event)
    said = set() if found is None else {found.type or "", (found.message or "").strip().partition("\n")[0]}
    return _headline(event, found), _pairs(event, said)


def headline(event: StoredEvent) -> str:
    """What an event says, in one printable line: its message, then type and message of its exception, as far as the
    message does not say them.
    """
    return _headline(event, _exception(event))


def _headline(event: StoredEvent, found: ExceptionInfo | None) -> str:
    message, failed = escape(first_line(event.body)), ""
    if found is not None:
        from agent.parse.exceptions import unsaid  # noqa: PLC0415 - as `_exception`

        failed = unsaid(found, event.body)
    if len(failed) > _FAILURE:
        failed = failed[: _FAILURE - 1] + "…"
    return ": ".join(part for part in (message, escape(failed)) if part)


def first_line(text: str) -> str:
    """The first line of a message that is not blank, and how many follow."""
    lines = text.strip("\n").split("\n")
    return text if len(lines) == 1 else f"{lines[0]} (+{counted(len(lines) - 1, 'line')})"


def _exception(event: StoredEvent) -> ExceptionInfo | None:
    """The exception of an error that has one with a type."""
    if event.severity_number < ERRORS_FROM:
        return None
    from agent.parse.exceptions import of_record  # noqa: PLC0415 - 10 ms, for those alone who see an error

    found = of_record(event.fields)
    return None if found.type is None else found


def _pairs(event: StoredEvent, said: set[str]) -> list[tuple[str, str]]:
    """Logger, service and attributes, without what was said and texts of several lines: these are for `verbose`."""
    own = flattened(event)
    names = {name for name, _ in own}
    pairs = [] if not event.logger or "logger" in names else [("logger", event.logger)]
    service = event.own_service
    if service and service != resource_service(event.file.resource) and "service" not in names:
        pairs.append(("service", service))
    shown = {value for _, value in pairs} | said | {event.body}
    around = [library for library in _LIBRARIES if library.marks <= names]
    for name, value in own:
        if "\n" in value or value in shown or _is_noise(name, value, names, around):
            continue
        if any(said) and value.startswith("[{") and name in _EXCEPTIONS:  # structlog's, as a list with all frames
            continue
        pairs.append((name, value))
    if event.severity_number >= ERRORS_FROM:  # what went wrong before where it did, and however many fields there are
        pairs.sort(key=lambda pair: pair[0].rpartition(".")[2] not in _REASONS)
    return pairs[:_ATTRIBUTES]


def _is_noise(name: str, value: str, names: set[str], around: Sequence[_Library]) -> bool:
    if value in _NOTHING or name in _WRAPPING or any(library.adds(name) for library in around):
        return True
    before, _, last = name.rpartition(".")
    if (last in _FRAMES and value.startswith("[")) or name.endswith(_FRAME_COUNTS):
        return True
    if name == "spans" and any(other.startswith("span.") for other in names):  # tracing's: the last one stands beside
        return True
    return name.endswith(_TWINS) and any(other.startswith(f"{before}.") and other != name for other in names)
