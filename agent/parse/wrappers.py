r"""Container log lines around an application's: Docker's json-file driver and the CRI format of Kubernetes.

Docker: https://docs.docker.com/engine/logging/drivers/json-file/ - `{"log":"line\\n","stream":"stdout","time":"…"}`;
a line of more than 16 KiB comes in parts, of which only the last ends with a newline.
CRI: `<RFC 3339 with nanoseconds> stdout|stderr P|F <text>`; P is a part that the next line goes on with.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import orjson

from agent.core.patterns import lazy

_DOCKER_KEYS = {"log", "stream", "time", "attrs"}
_CRI = lazy(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF])(?::\S*)? ?(.*)",
    re.DOTALL,
)


class Wrapped(NamedTuple):
    """One unwrapped line: the bytes that the application wrote, without its newline."""

    body: bytes
    stream: str
    time: str
    partial: bool


class Partial:
    """Parts of one application line that a container runtime split; joined when the last part comes."""

    def __init__(self, offset: int, stream: str) -> None:
        self.offset = offset
        self.stream = stream
        self.raws: list[bytes] = []
        self.bodies: list[bytes] = []
        self.size = 0


def unwrap(line: bytes, file_format: str) -> Wrapped | None:
    """What a wrapper holds, None where the line is no wrapper. `file_format` is auto, docker or cri."""
    if line.startswith(b'{"') and file_format in ("auto", "docker"):
        return _docker(line)
    return _cri(line) if line[:2].isdigit() and file_format in ("auto", "cri") else None


def _docker(line: bytes) -> Wrapped | None:
    if b'"stream"' not in line:
        return None
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(record) is not dict or not record.keys() <= _DOCKER_KEYS:
        return None
    text, stream, time = record.get("log"), record.get("stream"), record.get("time")
    if type(text) is not str or stream not in ("stdout", "stderr") or type(time) is not str:
        return None
    return Wrapped(text.removesuffix("\n").encode(), stream, time, not text.endswith("\n"))


def _cri(line: bytes) -> Wrapped | None:
    match = _CRI.match(line)
    if match is None:
        return None
    return Wrapped(match[4], match[2].decode(), match[1].decode(), match[3] == b"P")


def begins_plainly(line: bytes) -> bool:
    """Whether what a wrapper holds begins with a visible character, so that it is neither blank nor indented."""
    if line.startswith(_DOCKER_BEGIN):
        first = line[8:9]
        return b"!" <= first <= b"~" and first not in (b'"', b"\\")
    parts = line.split(b" ", 3)
    return len(parts) == _CRI_PARTS and parts[1] in (b"stdout", b"stderr") and b"!" <= parts[3][:1] <= b"~"


_DOCKER_BEGIN = b'{"log":"'
_CRI_PARTS = 4


def splice(record: str, stream: str) -> str:
    """The inner object with the stream it came by as `log.iostream` (OpenTelemetry's name)."""
    inner = record.rstrip()[:-1].rstrip()
    return f'{inner}{"" if inner.endswith("{") else ","}"log.iostream":"{stream}"}}'
