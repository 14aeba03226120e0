"""Exceptions wherever a library puts them: type, message and stack trace of a record or of a trace's text."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from agent.core.fields import Path, find, json_text
from agent.core.patterns import lazy
from agent.parse import runtimes


class ExceptionInfo(NamedTuple):
    """What is known of an exception; all None where a record has none."""

    type: str | None = None
    message: str | None = None
    stacktrace: str | None = None

    def __bool__(self) -> bool:
        return any(self)


NONE = ExceptionInfo()
_TEXT_KEYS = (
    "stack_trace", "exc_info", "exception", "stacktrace", "stack", "errorVerbose", "@x", "exc_text", "throwable",
    "stackTrace", "Exception", "full_message", "trace", "backtrace",
)  # fmt: skip
_OBJECT_KEYS = ("err", "error", "thrown", "exception", "throwable", "exc_info", "cause", "Exception")
_TYPE_KEYS = ("type", "name", "class", "className", "exception_class", "exc_type", "kind", "ClassName")
_MESSAGE_KEYS = ("message", "msg", "value", "exc_value", "localizedMessage", "exception_message", "Message")
_STACK_KEYS = (
    "stack_trace", "stack", "stacktrace", "extendedStackTrace", "traceback", "stackTrace", "backtrace",
    "exc_traceback", "StackTraceString",
)  # fmt: skip
_RECORD_EXCEPTION: Path = ("record", "exception")
_MONOLOG_EXCEPTION: Path = ("context", "exception")
_LAST_PYTHON = lazy(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.DOTALL)
_FIRST_LINE = lazy(
    r"(?:Exception in thread \"[^\"]*\" |Unhandled exception\. |Uncaught |Caused by: )?"
    r"([A-Za-z_$][\w$.]*(?:::[\w:]+)?(?:`\d+)?)(?: \[[\w-]+\])?(?:: (.*))?$"
)
_GO_STACK = lazy(r"^[ \t]+\S+\.go:\d", re.MULTILINE)
_GO_FIRST = lazy(r"[\w./~-]+\.(?:\(\*?[\w\[\].]+\)\.)?[\w.\[\]-]+(?:\(.*\))?$|goroutine \d")
_RAILS = lazy(r"([A-Z]\w*(?:::[A-Z]\w*)+|[A-Z]\w*(?:Error|Exception)) \((.*)\):$")
_FRAME_FIRST = lazy(r"#\d+ |[Ss]tack (?:back)?trace|stack traceback:|\s*\d+: |\s+\(")
_GROUP = lazy(r"^[ |]*\| (?!Exception Group)([A-Za-z_][\w.]*)(?:: (.*))?$", re.MULTILINE)
_GO_PANIC = lazy(r"(?:panic|fatal error): (.*)")
_RUBY_FIRST = lazy(r"\S+:\d+:in [`'][^']*': (.*) \(([A-Z][\w:]*)\)")
_EXC_INFO_LENGTH = 3  # type, "type: message", frames
_PYTHON_TRACE = "Traceback (most recent call last):"
_MOST_CAUSES = 10
_MOST_NAMES = 1_024
_LONGEST_NAME = 100
_names_met: set[str] = set()  # what Python's last line was found to begin with


class Places(NamedTuple):
    """Which of the known keys a record has, per kind, in the order in which they count."""

    flat: bool
    objects: tuple[str, ...]
    texts: tuple[str, ...]
    one_line: tuple[str, ...]
    loguru: bool
    monolog: bool
    only: str | None  # the one key of all that the record has, as nearly always


def places(record: dict[str, Any]) -> Places | None:
    """Where a record with these keys can hold an exception, None for nowhere."""
    keys = ALL_KEYS.intersection(record)
    if not keys:
        return None
    only = next(iter(keys)) if len(keys) == 1 and keys <= TEXT_KEYS else None
    return Places(
        only=only,
        flat=not _FLAT_PLACES.isdisjoint(keys),
        objects=tuple(key for key in _OBJECT_KEYS if key in keys),
        texts=tuple(key for key in _TEXT_KEYS if key in keys),
        one_line=tuple(key for key in _ONE_LINE_KEYS if key in keys),
        loguru="record" in keys,
        monolog="context" in keys,
    )


def of_record(record: dict[str, Any]) -> ExceptionInfo:
    """Find an exception in a decoded record: flat keys first, then objects, then a stack trace as text."""
    where = places(record)
    return NONE if where is None else at(record, where)


def unsaid(found: ExceptionInfo, text: str) -> str:
    """Type and the first line of the message of an exception, as far as a text does not say them; empty without a type,
    where what it says is another field's text or the first line of a trace.
    """
    if found.type is None:
        return ""
    said = (found.message or "").strip().partition("\n")[0]
    parts = ("" if found.type.rpartition(".")[2] in text else found.type, "" if said in text else said)
    return ": ".join(part for part in parts if part)


def at(record: dict[str, Any], where: Places) -> ExceptionInfo:
    """`of_record` for a record whose places are known."""
    if where.only is not None and type(text := record[where.only]) is str and "\n" in text:
        return of_text(text)
    found = _flat(record) if where.flat else NONE
    if not found and (where.objects or where.loguru or where.monolog):
        found = _of_object(record, where)
    kind, message, stack = found
    if stack is None:
        stack = _stack_text(record, where, named=kind is not None)
    if stack is None:
        if kind is not None or message is not None:
            return found
        text = record.get("error") or record.get("err")
        return ExceptionInfo(None, text, None) if type(text) is str and text else NONE
    if kind is None:
        derived = of_text(stack)
        if message is None and derived.type is None:  # as zap's, whose error stands beside the stack
            message = _text(record.get("error")) or _text(record.get("err"))
        return derived if message is None else ExceptionInfo(derived.type, message, stack)
    return ExceptionInfo(kind, message, stack)


def _of_object(record: dict[str, Any], where: Places) -> ExceptionInfo:
    for key in where.objects:
        value = record[key]
        if type(value) is dict or type(value) is list:
            found = _structured(value)
            if found:
                return found
    if where.monolog:
        inner = find(record, _MONOLOG_EXCEPTION)
        if type(inner) is dict:
            return _structured(inner)
    if where.loguru:
        inner = find(record, _RECORD_EXCEPTION)
        if type(inner) is dict:
            return _loguru(record, inner)
    return NONE


def _stack_text(record: dict[str, Any], where: Places, *, named: bool) -> str | None:
    """A stack trace as a text of several lines; where nothing else is known, an exception in one line."""
    for key in where.texts:
        if type(value := _joined(record[key])) is str and "\n" in value:
            return value
    if not named:
        for key in where.one_line:
            if type(value := record[key]) is str and value:
                return value
    return None


def _flat(record: dict[str, Any]) -> ExceptionInfo:
    """`exception.type` and so on as literal keys (OpenTelemetry), or `error.type` (ECS); also below `attributes`."""
    for place in (record, record.get("attributes"), record.get("Attributes")):
        if type(place) is dict and not _FLAT_KEYS.isdisjoint(place):
            for names in _FLAT_NAMES:
                values = [_text(place.get(name)) for name in names]
                if any(values):
                    return ExceptionInfo(values[0], values[1], values[2] or values[3])
    return NONE


_FLAT_NAMES = tuple(
    tuple(f"{prefix}.{name}" for name in ("type", "message", "stacktrace", "stack_trace"))
    for prefix in ("exception", "error")
)
_FLAT_KEYS = frozenset(name for names in _FLAT_NAMES for name in names)
_FLAT_PLACES = _FLAT_KEYS | {"attributes", "Attributes"}
_ONE_LINE_KEYS = ("@x", "exc_info", "exception", "stack_trace")
TEXT_KEYS = frozenset(_TEXT_KEYS)
ALL_KEYS = _FLAT_PLACES.union(_TEXT_KEYS, _OBJECT_KEYS, _ONE_LINE_KEYS, ("record", "context"))


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None


def _pick(value: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((v for key in keys if type(v := _joined(value.get(key))) is str and v), None)


def _joined(value: Any) -> Any:
    """A trace as a list of its lines (Elasticsearch 7, semantic_logger) as one text; any other value as it is."""
    if type(value) is list and value and all(type(line) is str for line in value):
        return "\n".join(value)
    return value


def _structured(value: Any) -> ExceptionInfo:
    """An exception as an object, or a list of them with the outermost first (structlog's dict_tracebacks)."""
    if type(value) is list:
        if len(value) == _EXC_INFO_LENGTH and all(type(item) is str for item in value):  # python-json-logger
            kind, last, frames = value
            return ExceptionInfo(kind, last.removeprefix(f"{kind}: "), f"{_PYTHON_TRACE}\n  {frames}\n{last}")
        outer = next((item for item in value if type(item) is dict), None)
        if outer is None or "exc_type" not in outer:
            return NONE
        return ExceptionInfo(_text(outer.get("exc_type")), _text(outer.get("exc_value")), _frames(value))
    kind, message, stack = _pick(value, _TYPE_KEYS), _pick(value, _MESSAGE_KEYS), _pick(value, _STACK_KEYS)
    if stack is None:
        steps = (
            value.get("extendedStackTrace") or value.get("stepArray") or value.get("stackTrace") or value.get("frames")
        )
        stack = _java_frames(kind, message, steps) if type(steps) is list else None
    if stack is None and type(value.get("trace")) is list:
        stack = _php_frames(kind, message, value)
    if kind is None and stack is not None:
        kind = of_text(stack).type
    return ExceptionInfo(kind, message, stack) if kind or stack or message else NONE


def _frames(chain: list[Any]) -> str:
    """Structlog's list as a traceback in Python's order: the cause first."""
    parts = []
    for item in reversed([item for item in chain if type(item) is dict]):
        lines = [_PYTHON_TRACE]
        frames = item.get("frames")
        lines += [
            f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
            for frame in (frames if type(frames) is list else ())
            if type(frame) is dict
        ]
        lines.append(f"{item.get('exc_type')}: {item.get('exc_value')}")
        parts.append("\n".join(lines))
    return "\n\nDuring handling of the above exception, another exception occurred:\n\n".join(parts)


def _java_frames(kind: str | None, message: str | None, steps: list[Any]) -> str | None:
    lines = []
    for step in steps:
        if type(step) is not dict:
            continue
        name = step.get("class") or step.get("className")
        lines.append(
            f"\tat {name}.{step.get('method') or step.get('methodName')}"
            f"({step.get('file') or step.get('fileName')}:{step.get('line') or step.get('lineNumber')})"
        )
    return "\n".join([f"{kind}: {message}" if message else str(kind), *lines]) if lines else None


def _php_frames(kind: str | None, message: str | None, value: dict[str, Any]) -> str | None:
    """Monolog's `file` and `trace`, each `path:line`, as PHP writes a trace: the cause above it."""
    parts: list[str] = []
    one: Any = value
    while type(one) is dict and len(parts) < _MOST_CAUSES:
        trace = one.get("trace")
        lines = [f"{_pick(one, _TYPE_KEYS) or kind}: {_pick(one, _MESSAGE_KEYS) or message} in {one.get('file')}"]
        for number, step in enumerate(trace if type(trace) is list else ()):
            path, _, line = step.rpartition(":") if type(step) is str else ("", "", "")
            lines.append(f"#{number} {path}({line})")
        parts.append("\n".join(lines))
        one = one.get("previous")
    return "\n\nNext ".join(reversed(parts)) if "\n" in "".join(parts) else None


def _loguru(record: dict[str, Any], inner: dict[str, Any]) -> ExceptionInfo:
    text = record.get("text")
    begin = text.find(_PYTHON_TRACE) if type(text) is str else -1
    value = inner.get("value")
    return ExceptionInfo(
        _text(inner.get("type")),
        value if value is None or type(value) is str else json_text(value),
        text[begin:].rstrip("\n") if type(text) is str and begin >= 0 else None,
    )


def parts_of_text(trace: str) -> tuple[str | None, str | None, str | None]:
    """`of_text` as a plain tuple: in half the time (0.8 µs) for a Python exception whose name was met before."""
    if trace.startswith(_PYTHON_TRACE):
        end = trace.rfind("\n")
        kind, colon, message = trace[end + 1 :].partition(": ")
        if kind in _names_met and trace[trace.rfind("\n", 0, end) + 1] == " ":
            return kind, message if colon else None, trace
    return of_text(trace)


def of_text(trace: str) -> ExceptionInfo:
    """Type and message out of a stack trace: Python's last line, the first line of most others."""
    if trace.startswith((_PYTHON_TRACE, '  File "')) or _PYTHON_TRACE in trace:
        return _of_python(trace)
    lines = trace.strip("\r\n").split("\n", 12)[:12]  # Node prints the place and the source line before the error
    first = lines[0].rstrip("\r")
    panic = _GO_PANIC.search(first)
    if panic is not None:
        return ExceptionInfo("panic" if first.startswith("panic") else "fatal error", panic[1], trace)
    if ".go:" in trace and _GO_STACK.search(trace):  # Go's errors have no type
        return ExceptionInfo(None, None if _GO_FIRST.match(first) else first, trace)
    language = runtimes.opened(first) or (runtimes.opened_below(lines[1]) if len(lines) > 1 else "")
    if not language and "ack backtrace:\n" in trace:  # below the causes of Rust's anyhow, whose errors are all `Error`
        language = "rust"
    if language:
        return of_trace(language, trace)
    return ExceptionInfo(*_of_first_lines(first, lines), trace)


def _of_first_lines(first: str, lines: list[str]) -> tuple[str | None, str | None]:
    ruby = _RUBY_FIRST.match(first)
    if ruby is not None:
        return ruby[2], ruby[1]
    rails = _RAILS.match(first)
    if rails is not None:
        return rails[1], rails[2]
    for line in lines:
        match = _FIRST_LINE.match(line.rstrip("\r"))
        if match is not None and ("." in match[1] or match[1].endswith(("Error", "Exception")) or match[2] is not None):
            return match[1], match[2]
    return None, None if _FRAME_FIRST.match(first) else first or None


def of_trace(language: str, trace: str) -> ExceptionInfo:
    """`of_text` of a trace whose language is known, as `OpenText.trace` names it."""
    return ExceptionInfo(*runtimes.said(language, trace), trace) if language in runtimes.RUNTIMES else of_text(trace)


def _of_python(trace: str) -> ExceptionInfo:
    """The first line without indent after the last frames; a message may span lines."""
    last = trace[trace.rfind("\n") + 1 :]
    kind, _, message = last.partition(": ")
    before = trace.rfind("\n", 0, len(trace) - len(last) - 1) + 1
    if trace[before : before + 1] == " " and kind.replace(".", "_").isidentifier():  # nearly always; 1 µs less
        if len(_names_met) < _MOST_NAMES and len(kind) <= _LONGEST_NAME:
            _names_met.add(kind)
        return ExceptionInfo(kind, message if message or last.endswith(": ") else None, trace)
    end = len(trace)
    while end > 0:  # from the last line upwards: usually it is the one
        begin = trace.rfind("\n", 0, end) + 1
        if trace.startswith((" ", "\t", "> ", _PYTHON_TRACE), begin):
            break
        end = begin - 1
    last = trace[max(end, 0) :].strip("\r\n").replace("\r", "")
    match = _LAST_PYTHON.match(last) or _GROUP.search(trace)
    return ExceptionInfo(match[1], match[2], trace) if match is not None else ExceptionInfo(None, None, trace)
