"""What makes two errors the same: an explicit fingerprint, else exception type and frames, else a message template.

Line numbers, addresses and generated names are left out, so that a release does not split a group; values in
messages (numbers, ids, paths, quoted text) are masked, so that one trouble with a thousand users is one group.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING

from agent.group.template import mask

if TYPE_CHECKING:
    from agent.model import ErrorEvent

VERSION = 2  # stored with each group: a later algorithm can tell its own groups from these
_FRAMES = 12  # innermost frames that count

# Each is anchored at a line's beginning and cannot leave the line, so that a hostile trace takes linear time too.
_PYTHON_FRAME = re.compile(r'^[ \t]*File "([^"\n]{1,1000})", line \d+, in (.+)$', re.MULTILINE)
_NODE_FRAME = re.compile(
    r"^[ \t]+at (?:async )?(?:([^\s(][^(\n]{0,200}?) \()?(?:file:///?)?((?:[a-z]:)?[^():\n]{1,300}):\d+:\d+\)?$",
    re.MULTILINE | re.IGNORECASE,
)
_JAVA_FRAME = re.compile(r"^[ \t]*at ([\w.$<>]{1,300})\(", re.MULTILINE)  # and .NET's
_RUBY_FRAME = re.compile(r"^[ \t]*(?:\d+: )?(?:from )?([^\s:]{1,300}\.rb):\d+:in [`']([^'\n]{1,200})'", re.MULTILINE)
_GO_FRAME = re.compile(r"^([^\s(]\S{0,300}?)\([^()\n]*\)$", re.MULTILINE)
_GENERATED = re.compile(r"\$\$[\w$]+|\$\d+|0x[0-9a-f]+|<lambda_\w+>|\d+", re.IGNORECASE)
_CONTENT_HASH = re.compile(r"[.-](?=[a-f]{0,64}\d)[0-9a-f]{1,64}(?=\.)", re.IGNORECASE)  # `main.8f3a2b1c.js`


def frames(stacktrace: str) -> list[str]:
    """`module:function` of each frame, outermost first as written, without line numbers and generated parts."""
    if python := _PYTHON_FRAME.findall(stacktrace):
        return [f"{_module(path)}:{function.strip()}" for path, function in python]
    if node := _NODE_FRAME.findall(stacktrace):
        return [f"{_module(path)}:{function.strip()}" for function, path in node]
    if java := _JAVA_FRAME.findall(stacktrace):
        return [_GENERATED.sub("", name) for name in java]
    if ruby := _RUBY_FRAME.findall(stacktrace):
        return [f"{_module(path)}:{function}" for path, function in ruby]
    return [_GENERATED.sub("", name) for name in _GO_FRAME.findall(stacktrace) if "." in name]


@functools.lru_cache(1_024)  # the same few files fail over and over
def _module(path: str) -> str:
    """Directory and name of a source file, without what changes with a release: versions, dates, content hashes."""
    directory, _, name = "/".join(path.replace("\\", "/").split("/")[-2:]).rpartition("/")
    return f"{re.sub('[0-9]+', '', directory)}/{_CONTENT_HASH.sub('', name)}"


def innermost(stacktrace: str) -> str | None:
    """The frame in which it happened: the last one of Python, the first one of all others."""
    found = frames(stacktrace)
    if not found:
        return None
    return found[-1 if has_python_frames(stacktrace) else 0]


def shape(error: ErrorEvent) -> str:
    """The text whose hash is the fingerprint."""
    if error.fingerprint:
        return f"explicit\n{error.fingerprint}"
    if error.stacktrace:
        found = frames(error.stacktrace)
        if found:
            kept = found[-_FRAMES:] if has_python_frames(error.stacktrace) else found[:_FRAMES]
            return "\n".join([_OF_FRAMES, error.exception_type or "", *kept])
    if error.exception_type:
        return f"type\n{error.exception_type}\n{mask(error.exception_message or error.message)}"
    return f"message\n{error.logger or ''}\n{mask(error.message)}"


def is_of_frames(text: str) -> bool:
    """Whether a shape was made of frames and the exception's type alone."""
    return text.startswith(_OF_FRAMES)


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
    line, _, part = stacktrace.partition("\n")
    if not part or line.startswith(_FRAME_STARTS) or ".rb:" in line or _GO_FRAME.match(line) is not None:
        return None
    return part, False


def has_python_frames(stacktrace: str) -> bool:
    """Whether any of its lines is a frame as Python writes it."""
    return _PYTHON_FRAME.search(stacktrace) is not None


_OF_FRAMES = "frames"
_PYTHON_STARTS = ("Traceback", '  File "')
_FRAME_STARTS = (" ", "\t", 'File "', "at ")


def fingerprint(text: str) -> str:
    """32 hexadecimal digits that name a shape."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
