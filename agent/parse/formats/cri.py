"""CRI, the format of Kubernetes: `<RFC 3339 with nanoseconds> stdout|stderr P|F <text>`.

P is a part that the next line goes on with.
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/logs/logs.go
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.core.patterns import lazy
from agent.core.wrapping import Wrapped
from agent.parse.formats import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.parse.redact import Redactor

_LINE = lazy(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF])(?::\S*)? ?(.*)",
    re.DOTALL,
)
_PARTS = 4
_STREAMS = {b"stdout": "stdout", b"stderr": "stderr"}


def _may_wrap(lines: bytes) -> bool:
    return b" stdout " in lines or b" stderr " in lines


def _unwrap(line: bytes) -> Wrapped | None:
    match = _LINE.match(line)
    if match is None:
        return None
    return Wrapped(match[4], match[2].decode(), match[1].decode(), match[3] == b"P")


def _redact(line: bytes, content: Callable[[bytes], bytes], _: Redactor) -> bytes:
    match = _LINE.match(line.removesuffix(b"\r"))
    assert match is not None, "it was unwrapped"
    hidden = content(match[4])
    if hidden == match[4]:
        return line
    return line[: match.start(4)] + hidden.replace(b"\n", b"\\n")  # Docker's part of a line may have had one


def _plain_stream(line: bytes) -> str | None:
    parts = line.split(b" ", 3)
    if len(parts) != _PARTS or parts[2] != b"F" or not b"!" <= parts[3][:1] <= b"~":
        return None
    return _STREAMS.get(parts[1])


FORMAT = Wrapper(b"0123456789", _may_wrap, _unwrap, _redact, _plain_stream)
