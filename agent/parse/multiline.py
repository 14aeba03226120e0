"""Which text lines belong together: stack traces of Python, Java, Node, Go, Ruby and .NET, those of `parse.runtimes`,
or an own pattern.

A line is judged by the lines before it alone, never by the next one, so that events do not depend on where a chunk
ends. Blank lines inside a trace belong to it once it goes on.
"""

from __future__ import annotations

from itertools import islice
from string import ascii_uppercase
from typing import TYPE_CHECKING

import msgspec

from agent.core.event import WARN
from agent.core.patterns import lazy
from agent.parse import additions, runtimes
from agent.parse.formats import Head

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from agent.parse.formats import FindHead

MAX_LINES = 1000  # of one event; what follows is a new event
INDENTS = frozenset({b" ", b"\t"})
_MAX_BLANKS = 3  # in a row inside a trace: loguru writes two

_TRACEBACK = "Traceback (most recent call last):"
_CHAIN = lazy(
    r"During handling of the above exception, another exception occurred:|"
    r"The above exception was the direct cause of the following exception:"
)
_EXCEPTION_GROUP = lazy(r"\s*\+ Exception Group Traceback")
_DOTTED = lazy(r"(?:[A-Za-z_$][\w$]*\.)+[\w$]*(?:Exception|Error|Throwable|Failure|Fault)\b(?::|$|\s*$)")
_JS_ERROR = lazy(r"(?:Uncaught )?(?:\w*(?:Error|Exception))(?: \[\w+\])?(?::|$)")
_NODE_PLACE = lazy(r"(?:/|file://|node:|[A-Z]:\\)\S*:\d+$")
_GO_PANIC = lazy(r"(?:panic|fatal error): ")
_GOROUTINE = lazy(r"goroutine \d+(?: gp=\S+ m=\S+(?: mp=\S+)?)? \[")
_GO_LINE = lazy(
    r"\[signal |[\w./*()\[\]{}~%·,-][\w./*)\[\]{}~%·,-]*\(.*\)$|"  # up to the first bracket alone: linear
    r"created by |exit status \d+|\.\.\.additional frames|\w{2,6} +0x"
)
# A function as zap and pkg/errors write it, alone in its line: `main.(*Cart).Add`, `example.com/shop/cart.Map[...]`.
_GO_FUNCTION = lazy(r"(?:[\w.~-]+/)*[\w-]+\.(?:\(\*?[\w\[\].]+\)\.)?[A-Za-z_][\w.\[\]-]*$")
_RAILS = lazy(r"(?:[A-Z]\w*(?:::[A-Z]\w*)+|[A-Z]\w*(?:Error|Exception)) \(.*\):$")
_RUBY_FRAME = lazy(r"(?:from )?\S+:\d+:in [`']")
_JAVA_THREAD = lazy(r'Exception in thread "|Unhandled exception\. ')
_JAVA_MORE = lazy(
    r"Caused by: |Suppressed: |Wrapped by: |\.\.\. \d+ (?:more|common frames)|--- End of |---> |\[CIRCULAR REFERENCE"
)
MORE_STARTS = (
    *("Caused by: ", "Suppressed: ", "Wrapped by: ", "... ", "--- End of ", "---> ", "[CIRCULAR REFERENCE"),
)  # how what `_JAVA_MORE` fits begins
_FRAME = lazy(
    r"\s+(?:at |File \"|from \S+:\d+:in |\.\.\. \d+ |---> |--- End of |Caused by: |\| |\+ Exception Group "
    r"|\(\w+ [^\s)]+\) \S+:\d+: |\S.* called at \S+ line \d)"
)
_OF_PYTHON = ("File ", "+ Exception Group ")


class OpenText(msgspec.Struct):
    """A text event that later lines may continue. `lines` are the bytes as in the file, `texts` their decoded form."""

    start: int
    end: int  # after its last line's newline, pending blanks not counted
    head: Head
    read_head: FindHead  # of the format of its lines
    lines: list[bytes] = []
    texts: list[str] = []
    size: int = 0
    blanks: list[bytes] = []
    trace: str = ""  # language of the trace that it holds, empty before one begins
    trace_at: int = -1  # index in lines of the trace's first line
    closed: bool = False  # Python: the line with the exception has come
    error: str | None = None
    extra: dict[str, str] = {}
    explicit: bool = False  # as LineRules says

    def may_go_on(self) -> bool:
        """Whether it is worth waiting for another line before this event is released."""
        if len(self.lines) > 1 or self.trace != "" or self.head.severity >= WARN:
            return True
        return additions.lacks_level(self.head, self.texts[0]) or additions.begins_block(self.texts[0])


def begin(start: int, line: bytes, text: str, read_head: FindHead, *, traces: bool, explicit: bool = False) -> OpenText:
    """A new event with its first line. `traces`: look for a trace that begins in this very line; `explicit` is as
    LineRules says.
    """
    head = read_head(text) if explicit else None
    # Before the head, for "panic: x" and "Error: x" look like levels.
    trace = opened_trace(text) if traces and not head else ""
    if head is None:
        head = Head() if trace and trace != "erlang" else read_head(text)  # Erlang's reports begin with an instant
    event = OpenText(start, start + len(line) + 1, head, read_head, [line], [text], len(line) + 1)
    event.explicit = explicit
    event.trace = trace or (opened_trace(text[head.end :]) if traces and head.end else "")
    if event.trace:
        event.trace_at = 0
    return event


# What every line that opens a trace begins with or contains: a cheap look before the patterns (0.5 µs instead of 4).
_TRACE_STARTS = (
    _TRACEBACK, 'Exception in thread "', "Unhandled exception. ", "panic: ", "fatal error: ", "goroutine ", "/", "file://",
    "node:", *(f"{drive}:\\" for drive in ascii_uppercase), *runtimes.BEGINNINGS,
)  # fmt: skip
# The same by their first character: one look-up instead of fifty comparisons.
_STARTS = {
    first: tuple(start for start in _TRACE_STARTS if start[0] == first)
    for first in {start[0] for start in _TRACE_STARTS}
}
BEGINNING = 4  # characters
_BEGINNINGS = frozenset(start[:BEGINNING] for start in _TRACE_STARTS)
_SHORT_STARTS = tuple(start for start in _TRACE_STARTS if len(start) < BEGINNING)


_TRACE_WORDS = (b"Error", b"Exception", b":in ", b"Throwable", b"):\n")  # each costs 0.1 µs a line of text
_FAULTS = (b"Failure", b"Fault", b"Fatal error: ")


def may_open_trace(line: str) -> bool:
    """Whether `opened_trace` could find one in this line, or in an end of it that does not `may_begin_trace`."""
    return (
        "Error" in line
        or "Exception" in line
        or ":in " in line
        or line.startswith(_STARTS.get(line[:1], "\0"))
        or "Throwable" in line
        or ("Fa" in line and ("Failure" in line or "Fault" in line or "Fatal error: " in line))
        or line.endswith("):")
    )


def may_open_traces(lines: bytes, beginnings: Collection[str]) -> bool:
    """The same for any of many lines, which begin with these (`BEGINNING`); False is for sure."""
    if any(word in lines for word in _TRACE_WORDS) or may_begin_traces(beginnings):
        return True
    return b"Fa" in lines and any(word in lines for word in _FAULTS)


def may_begin_traces(beginnings: Collection[str]) -> bool:
    """`may_begin_trace` for any of many messages, which begin with these (`BEGINNING`); False is for sure."""
    if not _BEGINNINGS.isdisjoint(beginnings):
        return True
    return any(beginning.startswith(_SHORT_STARTS) for beginning in beginnings)


def may_begin_trace(message: str) -> bool:
    """Whether a message begins as the first line of a trace may."""
    return message.startswith(_STARTS.get(message[:1], "\0"))


def may_open_below(line: str) -> bool:
    """Whether a line without an indent could open a trace of the event before it, which `_opens_trace` decides."""
    return may_open_trace(line) or (" " not in line and _GO_FUNCTION.match(line) is not None)


def opened_trace(message: str) -> str:
    """The language of the trace that begins with this line, empty for none."""
    found = runtimes.opened(message) if may_open_trace(message) else ""
    if found or not may_open_trace(message):  # before Node, whose errors can be `Uncaught` as well
        return found
    if message.startswith(_TRACEBACK) or _EXCEPTION_GROUP.match(message):
        return "python"
    if _JAVA_THREAD.match(message) or _DOTTED.match(message):
        return "java"
    if _GO_PANIC.match(message) or _GOROUTINE.match(message):
        return "go"
    if _NODE_PLACE.match(message) or _JS_ERROR.match(message):
        return "node"
    return "ruby" if _RUBY_FRAME.match(message) or _RAILS.match(message) else ""


def is_fatal(event: OpenText) -> bool:
    """Whether the trace is one after which a process is gone (a Go panic)."""
    return event.trace == "go" and _GO_PANIC.match(event.texts[event.trace_at][event.head.end :]) is not None


def continues(event: OpenText, text: str) -> bool:
    """Whether a line (not blank, without CR) belongs to the event; notes what the line says about the trace."""
    if len(event.lines) + len(event.blanks) >= MAX_LINES or (event.explicit and event.read_head(text)):
        return False
    if text[:1] in " \t":
        return _continues_indented(event, text)
    if event.trace == "":
        return not event.blanks and (_opens_trace(event, text) or _adds(event, text))
    if _FOLLOW.get(event.trace, _runtime)(event, text):
        return True
    # A message of several lines, as SQLAlchemy's, in a file whose events begin with an instant.
    return event.head.timestamp is not None and not event.blanks and not event.read_head(text)


def takes_only_indented(event: OpenText) -> bool:
    """Whether no other line than an indented one can belong to the event."""
    first = event.texts[0]
    if event.trace != "" or additions.may_follow(event.head, first) or additions.begins_block(first):
        return False
    return not event.head or 0 < event.head.severity < WARN


def _adds(event: OpenText, text: str) -> bool:
    if additions.begins_block(event.texts[0]):
        return not additions.begins_next_block(event.texts[: len(event.lines)], text) and not event.read_head(text)
    if not additions.may_follow(event.head, event.texts[0]):
        return False
    return additions.begins_at(text, event.read_head) > 0 or _completed(event, text) is not None


def _completed(event: OpenText, text: str) -> Head | None:
    """The head of an event whose level stands in its second line, with that line; None where this is none."""
    is_second = len(event.lines) == 1 and not event.blanks and event.head.level is None
    return additions.completed(event.head, event.texts[0], text) if is_second else None


def _continues_indented(event: OpenText, text: str) -> bool:
    if event.trace == "":
        if event.blanks or (not event.head and _EXCEPTION_GROUP.match(text)):
            return False
        if _FRAME.match(text):
            event.trace = "python" if text.lstrip().startswith(_OF_PYTHON) else "java"
            event.trace_at = len(event.lines)
            return True
        return bool(event.head)
    if event.closed and event.blanks and event.trace == "python":
        return False
    if not event.blanks or event.trace in ("python", "go", "node") or _FRAME.match(text) is not None:
        return True
    return event.trace in runtimes.RUNTIMES and runtimes.RUNTIMES[event.trace].after_blank and not event.closed


def _opens_trace(event: OpenText, text: str) -> bool:
    head = event.head
    if not head or 0 < head.severity < WARN:
        return False
    event.trace_at = len(event.lines) + len(event.blanks)
    trace = opened_trace(text) or ("java" if _JAVA_MORE.match(text) else "")
    if trace == "" and (trace := runtimes.opened_below(text)):
        event.trace_at = len(event.lines) - 1
    if trace == "" and runtimes.OBJECT in event.texts[-1] and _runtime_message(event, text):
        trace, event.trace_at = "php", len(event.lines) - 1
    if trace == "" and head.timestamp is not None and head.severity >= WARN and _GO_FUNCTION.match(text):
        trace = "go"
    event.trace = trace
    event.trace_at = event.trace_at if trace else -1
    return trace != ""


def _python(event: OpenText, text: str) -> bool:
    if text.startswith(_TRACEBACK):
        going_on = not event.closed or _CHAIN.match(event.texts[-1]) is not None
        event.closed = False if going_on else event.closed
        return going_on
    if _CHAIN.match(text):
        return True
    if (
        event.closed
        or _EXCEPTION_GROUP.match(next(_of_trace(event)))
        or (event.read_head(text) and not _DOTTED.match(text) and not _JS_ERROR.match(text))
    ):
        return False
    if not text.startswith("> File "):
        event.closed = True
    return True


def _java(event: OpenText, text: str) -> bool:
    return not event.blanks and _JAVA_MORE.match(text) is not None


def _go(_: OpenText, text: str) -> bool:
    return any(pattern.match(text) for pattern in (_GOROUTINE, _GO_LINE, _GO_FUNCTION))


_NODE_MORE = ("caused by: ", "[cause]", "Caused by:", "Stack backtrace:", "Location:")  # and of Rust's anyhow


def _node(event: OpenText, text: str) -> bool:
    if text.startswith("Node.js v"):
        return True
    if event.closed:
        return False
    if text in ("}", "]") or text.startswith(_NODE_MORE):
        return True
    if _JS_ERROR.match(text):  # of a trace that no line of the log is above: the one below its place in the source
        return bool(event.head) or not any(_JS_ERROR.match(line) for line in _of_trace(event))
    return _NODE_PLACE.match(event.texts[0]) is not None and len(event.lines) == 1


def _ruby(event: OpenText, text: str) -> bool:
    """Rails leaves lines blank between the error and its frames."""
    if event.blanks and not _RAILS.match(next(_of_trace(event))):
        return False
    return _RUBY_FRAME.match(text) is not None


def _runtime(event: OpenText, text: str) -> bool:
    runtime = runtimes.RUNTIMES[event.trace]
    if event.closed or (event.blanks and not runtime.after_blank):
        return False
    if runtimes.opened(text) and any(line.startswith(text[:_ALIKE]) for line in _of_trace(event)):
        return False  # the next one
    below = runtime.message_below and len(event.lines) == event.trace_at + 1 and event.texts[-1].endswith(":")
    if event.trace == "php" and not event.blanks and _runtime_message(event, text):
        return True
    if runtime.goes_on is None or below:
        event.closed = text.startswith(_BOX_END)
        return event.read_head(text).timestamp is None
    return runtime.goes_on.match(text) is not None


def _runtime_message(event: OpenText, text: str) -> bool:
    """Whether a line is one more of the message of PHP's exception."""
    lines = event.texts[max(0, event.trace_at if event.trace else len(event.texts) - 1) :]
    return runtimes.message_goes_on(lines) and event.read_head(text).timestamp is None


def _of_trace(event: OpenText) -> Iterator[str]:
    """The lines of its trace, without the head of the first."""
    at = event.trace_at
    yield event.texts[at][event.head.end if at == 0 else 0 :]
    yield from event.texts[at + 1 :]


_ALIKE = 3  # characters that tell `=ERROR REPORT` from the `** Generic server` below it
_BOX_END = "═" * 20  # of what Flutter has caught
_FOLLOW = {"python": _python, "go": _go, "node": _node, "ruby": _ruby, "java": _java}


def add(event: OpenText, line: bytes, text: str) -> None:
    """Append a line to the event, with the blank lines before it. One that completes its head becomes one with it."""
    if text.startswith(additions.LEVELS) and (head := _completed(event, text)) is not None:
        event.head = head
        event.lines[0] += b"\n" + line
        event.texts[0] += "\n" + text
        event.size += len(line) + 1
        event.end += len(line) + 1
        return
    for blank in event.blanks:
        event.lines.append(blank)
        event.texts.append("")
        event.size += len(blank) + 1
        event.end += len(blank) + 1
    event.blanks.clear()
    event.lines.append(line)
    event.texts.append(text)
    event.size += len(line) + 1
    event.end += len(line) + 1


def take_indented(event: OpenText, parts: list[bytes], begin: int, end: int, max_bytes: int) -> int:
    """Add a run of indented lines to a trace at once: most lines of a stack trace, 0.6 µs a line instead of 8.

    Args:
        event: it holds a trace.
        parts: lines, each with a newline after it up to `end`.
        begin: where the run begins.
        end: where it ends at the latest.
        max_bytes: how large the event may become.

    Returns:
        How many lines were taken: all of the run, or none where they need a closer look.
    """
    stop = begin
    for line in islice(parts, begin, end):
        if line[:1] not in INDENTS or line.lstrip()[:1] in b"{":  # JSON is an event of its own
            break
        stop += 1
    lines = parts[begin:stop]
    joined = b"\n".join(lines)
    size = len(joined) + 1
    if not lines or event.blanks or event.size + size > max_bytes or len(event.lines) + len(lines) > MAX_LINES:
        return 0
    if b"\r" in joined or b"\0" in joined:
        return 0
    try:
        event.texts += joined.decode().split("\n")
    except UnicodeDecodeError:
        return 0
    event.lines += lines
    event.size += size
    event.end += size
    return len(lines)


def takes_blank(event: OpenText) -> bool:
    """Whether a blank line may lie inside the event: only in a trace, and few in a row."""
    return event.trace != "" and len(event.blanks) < _MAX_BLANKS


def drop_blanks(event: OpenText) -> int:
    """Blank lines behind the event do not belong to it: how many bytes they are."""
    size = sum(len(blank) + 1 for blank in event.blanks)
    event.blanks.clear()
    return size
