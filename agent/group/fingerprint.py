"""What makes two errors the same: an explicit fingerprint, else exception type and frames, else a message template.

Line numbers, addresses and generated names are left out, so that a release does not split a group; values in
messages (numbers, ids, paths, quoted text) are masked, so that one trouble with a thousand users is one group.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.model import ErrorEvent

VERSION = 1  # stored with each group: a later algorithm can tell its own groups from these
_MESSAGE_CHARS = 2_000  # masking is linear; a longer message adds nothing to its identity
_FRAMES = 12  # innermost frames that count

# One alternation, longest shapes first; every part is linear (no nested quantifier).
_VALUES = re.compile(
    r"""
      (?P<url>\b[a-z][a-z0-9+.-]{1,20}://[^\s"'<>]+)
    | (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
    | (?P<email>\b[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}\b)
    | (?P<date>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?\b)
    | (?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b)
    | (?P<quoted>"[^"\n]{0,500}"|'[^'\n]{0,500}'|`[^`\n]{0,500}`)
    | (?P<path>(?:(?<=\s)|^|(?<=[=(:,]))(?:/[\w.@%+-]+){2,})
    | (?P<hex>\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b)
    | (?P<number>(?<![a-z])[+-]?\d+(?:[.,:]\d+)*(?:%|\b|(?=[a-z]{1,2}\b)))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PYTHON_FRAME = re.compile(r'^\s*File "([^"\n]+)", line \d+, in (.+)$', re.MULTILINE)
_JAVA_FRAME = re.compile(r"^\s*at ([\w.$<>]+)\(", re.MULTILINE)
_NODE_FRAME = re.compile(
    r"^\s+at (?:async )?(?:([^\s(][^(\n]{0,200}?) \()?(?:file://)?([^():\n]+):\d+:\d+\)?$", re.MULTILINE
)
_GO_FRAME = re.compile(r"^([\w./*()-]+\.[\w.*()-]+)\([^\n]*\)$", re.MULTILINE)
_GENERATED = re.compile(r"\$\$[\w$]+|\$\d+|0x[0-9a-f]+|<lambda_\w+>|\d+", re.IGNORECASE)


def mask(message: str) -> str:
    """The message with its values replaced by `<kind>`: the template that equal troubles share."""
    return _VALUES.sub(lambda found: f"<{found.lastgroup}>", message[:_MESSAGE_CHARS])


def frames(stacktrace: str) -> list[str]:
    """`module:function` of each frame, outermost first as written, without line numbers and generated parts."""
    python = _PYTHON_FRAME.findall(stacktrace)
    if python:
        return [f"{_module(path)}:{function.strip()}" for path, function in python]
    node = _NODE_FRAME.findall(stacktrace)
    if node:
        return [f"{_module(path)}:{function.strip()}" for function, path in node]
    java = _JAVA_FRAME.findall(stacktrace)
    return [_GENERATED.sub("", name) for name in java or _GO_FRAME.findall(stacktrace)]


def _module(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def shape(error: ErrorEvent) -> str:
    """The text whose hash is the fingerprint."""
    if error.fingerprint:
        return f"explicit\n{error.fingerprint}"
    if error.stacktrace:
        found = frames(error.stacktrace)
        if found:
            kept = found[-_FRAMES:] if 'File "' in error.stacktrace else found[:_FRAMES]
            return "\n".join(["frames", error.exception_type or "", *kept])
    if error.exception_type:
        return f"type\n{error.exception_type}\n{mask(error.exception_message or error.message)}"
    return f"message\n{error.logger or ''}\n{mask(error.message)}"


def fingerprint(text: str) -> str:
    """32 hexadecimal digits that name a shape."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
