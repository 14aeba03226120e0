"""What makes two errors the same: an explicit fingerprint, else exception type and frames, else a message template.

Of a stack trace count the type of the reported exception, the types of its causes, and the innermost frames of each
link of that chain; its messages do not. Of the others count the type or the logger, and what the message has in common
with others (`agent.group.template`, `agent.group.miner`).

What a frame is, `agent.group.frames` says. Where there is no type, as of Go's errors and panics, what is said takes its
place: the template of the message.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from agent.core.patterns import lazy
from agent.group.frames import begins_with_frame, chain, has_python_frames, type_name
from agent.group.template import mask

if TYPE_CHECKING:
    from agent.core.model import ErrorEvent

VERSION = 3  # stored with each group: a later algorithm can tell its own groups from these
_FRAMES = 12  # innermost frames of each link that count
_LINKS = 5  # of a chain of causes
_TRACE_CHARS = 65_536  # around the innermost frames; all of a trace of 1 MiB would take a second
OF_FRAMES = "frames"
_NO_TYPES = frozenset({"panic", "fatal error", "Fatal error"})  # what languages call all of their errors
_PYTHON_STARTS = ("Traceback", '  File "')


def innermost(stacktrace: str) -> str | None:
    """The frame in which the reported exception happened, the application's where there is one."""
    return next((names[0] for _, names in chain(_decisive(stacktrace)) if names), None)


def shape(error: ErrorEvent) -> str:
    """The text whose hash is the fingerprint."""
    if error.fingerprint:
        return f"explicit\n{error.fingerprint}"
    frames = frames_shape(error)
    if frames is not None:
        return frames if has_type(error) else f"{OF_FRAMES}\n{fingerprint(frames)}\n{mask(said(error))}"
    if error.exception_type:
        return f"type\n{error.exception_type}\n{mask(error.exception_message or error.message)}"
    return f"message\n{error.logger or ''}\n{mask(error.message)}"


def frames_shape(error: ErrorEvent) -> str | None:
    """Its type and the frames of its trace as a text; None where it has no frames."""
    links = chain(_decisive(error.stacktrace)) if error.stacktrace else []
    if not links:
        return None
    lines = [OF_FRAMES, type_name(error.exception_type or "")]
    for index, (kind, names) in enumerate(links[:_LINKS]):
        lines += [f"cause {kind}"] * bool(index) + names[:_FRAMES]
    return "\n".join(lines)


def older_shapes(frames: str, stacktrace: str) -> list[str]:
    """By what versions up to 2 knew an error that has frames but no type; `frames` is its `frames_shape`.

    Its frames alone decided, together with what looked like a type in the first lines of its trace: a function of Go,
    or what stands before a colon.
    """
    begin, kind, rest = frames.split("\n", 2)
    lines = stacktrace.strip("\r\n").split("\n", 12)[:12]
    found = (match for line in lines if (match := _OLDER_TYPE.match(line.rstrip("\r"))) is not None)
    taken = next((match[1] for match in found if "." in match[1] or match[2] is not None), None)
    return [frames, *([f"{begin}\n{type_name(taken)}\n{rest}"] if taken and not kind else [])]


_OLDER_TYPE = lazy(r"([A-Za-z_$][\w$.]*)(: .*)?$")


def has_type(error: ErrorEvent) -> bool:
    """Whether its exception has a type that tells it from others: Go's errors, panics of Go and Rust have none."""
    return bool(error.exception_type) and error.exception_type not in _NO_TYPES


def said(error: ErrorEvent) -> str:
    """What an error without a type says: a panic its message, another that of the event and its own if it has one."""
    message, why = error.message, error.exception_message
    if error.exception_type:
        return why or message
    return message if not why or why in message else f"{message}: {why}"


def frames_part(stacktrace: str) -> tuple[str, bool] | None:
    """The part of a trace that its frames lie in, without what its exception says: equal parts have equal frames.

    Of Python, whose exception comes last, that is all up to the line with the last `File "`, where no frame can
    follow; the answer holds only if `has_python_frames` of the part. The others' exception is the first line.

    Returns:
        The part, and whether it is Python's; None where the first line may be a frame itself, as Ruby's is.
    """
    if stacktrace.startswith(_PYTHON_STARTS):
        at = stacktrace.rfind('File "')
        end = stacktrace.find("\n", at)
        return (stacktrace if end < 0 else stacktrace[:end], True) if at >= 0 else None
    part = stacktrace.partition("\n")[2]
    if not part or begins_with_frame(stacktrace):
        return None
    return part, False


def _decisive(stacktrace: str) -> str:
    """What of a trace is looked at: its `frames_part` where it has one that holds."""
    found = frames_part(stacktrace)
    if found is None or (found[1] and not has_python_frames(found[0])):
        return stacktrace[:_TRACE_CHARS]
    part, is_python = found
    return part[-_TRACE_CHARS:] if is_python else part[:_TRACE_CHARS]


def fingerprint(text: str) -> str:
    """32 hexadecimal digits that name a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
