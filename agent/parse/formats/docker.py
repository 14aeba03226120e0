r"""Docker's json-file driver: `{"log":"line\\n","stream":"stdout","time":"…"}`.

A line of more than 16 KiB comes in parts, of which only the last ends with a newline.
https://docs.docker.com/engine/logging/drivers/json-file/
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson

from agent.core.wrapping import Wrapped
from agent.parse.formats import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.parse.redact import Redactor

STREAM = "stream"  # no other lines of JSON that are one event have all its keys, and few this one
_KEYS = {"log", STREAM, "time", "attrs"}
_BEGIN = b'{"log":"'  # eight bytes
_STREAM = b'\\n","stream":"'  # between a whole text, which cannot hold it, and the stream
_STREAMS = {b"stdout": "stdout", b"stderr": "stderr"}
_KEY_BYTES = 12  # in which the first key ends


def _may_wrap(lines: bytes) -> bool:
    return b'"stream"' in lines


def _unwrap(line: bytes) -> Wrapped | None:
    if b'"stream"' not in line or not line.startswith(b'{"'):
        return None
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(record) is not dict or not record.keys() <= _KEYS:
        return None
    text, stream, time = record.get("log"), record.get(STREAM), record.get("time")
    if type(text) is not str or stream not in ("stdout", "stderr") or type(time) is not str:
        return None
    return Wrapped(text.removesuffix("\n").encode(), stream, time, not text.endswith("\n"))


def _redact(line: bytes, content: Callable[[bytes], bytes], redactor: Redactor) -> bytes:
    record = orjson.loads(line)
    text = record["log"]
    body = text.removesuffix("\n")
    hidden = content(body.encode()).decode("utf-8", "backslashreplace")  # of another wrapper's part it may be anything
    around, touched = redactor.value({key: value for key, value in record.items() if key != "log"})
    if hidden == body and not touched:
        return line
    changed = {**record, **around, "log": hidden + text[len(body) :]}  # in the order of the line
    separators = (", ", ": ") if b'": ' in line[:_KEY_BYTES] else (",", ":")
    return json.dumps(changed, ensure_ascii=line.isascii(), separators=separators).encode()


def _plain_stream(line: bytes) -> str | None:
    first = line[8:9]
    if not (line.startswith(_BEGIN) and b"!" <= first <= b"~" and first not in (b'"', b"\\")):
        return None
    if line.count(_STREAM) != 1 or b'"attrs"' in line:  # another one may be in these
        return None
    place = line.index(_STREAM) + len(_STREAM)
    return _STREAMS.get(line[place : place + 6])


FORMAT = Wrapper(b"{", _may_wrap, _unwrap, _redact, _plain_stream)
