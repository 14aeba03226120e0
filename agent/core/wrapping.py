"""The codec between lines of container runtimes and what is kept of them beside the record, which holds the rest.

Such a line is the application's text, its stream, its time and what always stands between them. The record has the text
and the stream. So a code of 13 characters is kept instead of a line of 400 bytes: what form the line has, where the
record has the text, and the time with its number of digits and its offset. Lines that come back other than they were
have no code, and are kept as they are.

    code    = source and form, time                        of one whole line
            | source and form, time, text                  where the record does not have the text as it was
            | "+", lengths, ":", (form, time)…, source, text    of several lines
    lengths = the bytes of each line's text, with a `p` where the next line goes on with it
"""

from __future__ import annotations

import re
import sys
from array import array
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime
from functools import lru_cache
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

import orjson

from agent.core.patterns import lazy
from agent.core.units import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCKER, DOCKER_PLAIN, DOCKER_SPACED, CRI = range(4)  # as Docker escapes, as other JSON does, with blanks; of Kubernetes
RECORD, MESSAGE, TEXT = range(3)  # the text is the record without its stream, its `message`, or in the code
FIRST, _FORMS = ord("A"), 4  # the character of the first source and form; forms of a source
_TIME_CHARS = 12
_CODE_CHARS = 1 + _TIME_CHARS
_SEVERAL = "+"
_TIME = lazy(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|(?!-00:00)[+-]\d\d:[03]0)", re.ASCII)
_HALF_HOUR_S = 1800
_ZONE_ZERO = 32  # what stands for `+00:00`; 0 is `Z`, and any other one half an hour more or less
_MOST_NS = 1 << 62
_LOW_DIGITS = [(digits & 3) << 62 for digits in range(16)]
_ENDS = {stream: f'"log.iostream":"{stream}"}}' for stream in ("stdout", "stderr")}
_END_CHARS = len(_ENDS["stdout"])
NOT_AS_JSON = re.compile("[<>&\u2028\u2029\t\b\f]")  # what Docker escapes, and others do not or in another way


class Wrapped(NamedTuple):
    """What one line of a runtime holds."""

    body: bytes  # that the application wrote, without its newline
    stream: str  # stdout | stderr
    time: str  # as it is written
    partial: bool  # the application's line goes on in the next one


# ---------------------------------------------------------------- lines into a code


def code_of(raw: bytes, record: str, parts: Sequence[Wrapped]) -> str | None:
    """The code of an event's lines; None where there is none, or they would come back other than they are.

    Args:
        raw: the lines, without the last newline.
        record: of the event.
        parts: what each line holds.
    """
    stream, form = parts[0].stream, _form(raw)
    if not record.endswith(_ENDS[stream]):
        return None
    if len(parts) == 1 and not parts[0].partial:
        text, time = parts[0].body, _time_code(parts[0].time)
        if time is None or _wrapped(parts[0], form) != raw:
            form = DOCKER_PLAIN
            if time is None or raw[:1] != b"{" or _wrapped(parts[0], form) != raw:
                return None
        source, rest = _source(record, text)
        return None if rest is None else f"{chr(FIRST + source * _FORMS + form)}{time}{rest}"
    return _code_of_several(raw, record, parts)


def _code_of_several(raw: bytes, record: str, parts: Sequence[Wrapped]) -> str | None:
    lengths, codes, pieces = [], [], []
    for number, part in enumerate(parts, 1):
        pieces.append(part.body if part.partial or number == len(parts) else part.body + b"\n")
        lengths.append(f"{len(part.body)}{'p' if part.partial else ''}")
    lines = raw.split(b"\n")
    if len(lines) != len(parts):
        return None
    for line, part in zip(lines, parts, strict=True):
        time = _time_code(part.time)
        form = next((form for form in {_form(line), DOCKER_PLAIN} if _wrapped(part, form) == line), None)
        if form is None or time is None or part.stream != parts[0].stream:
            return None
        codes.append(f"{chr(FIRST + form)}{time}")
    source, rest = _source(record, b"".join(pieces))
    return None if rest is None else f"{_SEVERAL}{','.join(lengths)}:{''.join(codes)}{chr(FIRST + source)}{rest}"


def _source(record: str, text: bytes) -> tuple[int, str | None]:
    """Where the record has a text; the text itself where it does not."""
    try:
        wanted = text.decode()
    except UnicodeDecodeError:
        return TEXT, None
    if without_stream(record) == wanted:
        return RECORD, ""
    return (MESSAGE, "") if _message(record) == wanted else (TEXT, wanted)


def _form(raw: bytes) -> int:
    if raw[:1] != b"{":
        return CRI
    return DOCKER_SPACED if raw[7:8] == b" " else DOCKER


@lru_cache(maxsize=256)
def _seconds(text: str) -> int | None:
    try:
        found = datetime.fromisoformat(text)
        return int(found.replace(tzinfo=UTC).timestamp()) if found.isoformat() == text else None
    except ValueError:
        return None


def _time_code(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    seconds = None if match is None else _seconds(match[1])
    if match is None or seconds is None:
        return None
    fraction, offset = match[2] or "", match[3]
    zone = 0
    if offset != "Z":
        minutes = int(offset[1:3]) * 60 + int(offset[4:])
        zone = _ZONE_ZERO + (minutes if offset[0] == "+" else -minutes) * 60 // _HALF_HOUR_S
        if not 0 < zone < 2 * _ZONE_ZERO:
            return None
    instant = seconds * SECOND_NS + int(fraction.ljust(9, "0"))
    return time_codes([instant], [len(fraction)], zone)[0] if 0 <= instant < _MOST_NS else None


def time_codes(instants: Sequence[int], digits: Sequence[int], zone: int = 0) -> list[str]:
    """The code of each time as it is written.

    Args:
        instants: nanoseconds since 1970 of the digits as they stand, not negative, below 2^62.
        digits: after the second of each.
        zone: 0 for `Z`.
    """
    # Nine bytes each: 0.15 µs by slices of all of them, 0.3 by `to_bytes`.
    low = array("Q", map(or_, map(_LOW_DIGITS.__getitem__, digits), instants))
    if sys.byteorder == "little":
        low.byteswap()
    eight, whole = low.tobytes(), bytearray(9 * len(instants))
    whole[::9] = bytes(digits).translate(bytes([zone << 2 | count >> 2 for count in range(16)]).ljust(256))
    for at in range(8):
        whole[at + 1 :: 9] = eight[at::8]
    found = b2a_base64(whole, newline=False).decode()
    return [found[at : at + _TIME_CHARS] for at in range(0, len(found), _TIME_CHARS)]


# ---------------------------------------------------------------- a code into lines


def lines_of(code: str, record: str) -> bytes:
    """The lines of an event, without the last newline."""
    stream = "stderr" if record.endswith(_ENDS["stderr"]) else "stdout"
    if not code.startswith(_SEVERAL):
        source, form = divmod(ord(code[0]) - FIRST, _FORMS)
        text = _text_of(source, code[_CODE_CHARS:], record)
        return _wrapped(Wrapped(text, stream, _time_of(code[1:_CODE_CHARS]), partial=False), form)
    head, _, rest = code[len(_SEVERAL) :].partition(":")
    lengths = head.split(",")
    at = len(lengths) * _CODE_CHARS
    text = _text_of(ord(rest[at]) - FIRST, rest[at + 1 :], record)
    lines = []
    for number, length in enumerate(lengths):
        own, partial, size = rest[number * _CODE_CHARS :], length.endswith("p"), int(length.rstrip("p"))
        part = Wrapped(text[:size], stream, _time_of(own[1:_CODE_CHARS]), partial)
        lines.append(_wrapped(part, ord(own[0]) - FIRST))
        text = text[size + (not partial) :]
    return b"\n".join(lines)


def text_in(code: str) -> str:
    """The application's text that a code has; empty where the record has it."""
    if not code.startswith(_SEVERAL):
        return code[_CODE_CHARS:]
    head, _, rest = code[len(_SEVERAL) :].partition(":")
    return rest[(head.count(",") + 1) * _CODE_CHARS + 1 :]


def _text_of(source: int, rest: str, record: str) -> bytes:
    if source == TEXT:
        return rest.encode()
    return (without_stream(record) if source == RECORD else _message(record)).encode("utf-8", "surrogatepass")


def without_stream(record: str) -> str:
    """A record as it was before the stream was put at its end."""
    inner = record[:-_END_CHARS]
    return (inner.removesuffix(",")) + "}"


def _message(record: str) -> str:
    from agent.core.fields import load_record  # noqa: PLC0415 - most lines have an object inside

    return str(load_record(record).get("message", ""))


def _time_of(code: str) -> str:
    number = int.from_bytes(a2b_base64(code), "big")
    zone, digits, instant = number >> 66, number >> 62 & 15, number & (_MOST_NS - 1)
    seconds, nanos = divmod(instant, SECOND_NS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanos:09d}"[: digits + 1] if digits else ""
    if not zone:
        return f"{text}{fraction}Z"
    minutes = (zone - _ZONE_ZERO) * _HALF_HOUR_S // 60
    return f"{text}{fraction}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


# ---------------------------------------------------------------- forms of lines


def _wrapped(part: Wrapped, form: int) -> bytes:
    """A line as a runtime writes it; another one than that of the part where its text is no UTF-8."""
    text, stream, time, partial = part
    if form == CRI:
        return f"{time} {stream} {'P' if partial else 'F'} ".encode() + text
    try:
        inner = escaped(text.decode(), form)
    except UnicodeDecodeError:
        return b""
    end = b"" if partial else b"\\n"
    if form == DOCKER_SPACED:
        return b'{"log": "%b%b", "stream": "%b", "time": "%b"}' % (inner, end, stream.encode(), time.encode())
    return b'{"log":"%b%b","stream":"%b","time":"%b"}' % (inner, end, stream.encode(), time.encode())


def escaped(text: str, form: int) -> bytes:
    """A text inside of quotes, as Docker writes it or as other JSON has it.

    https://github.com/moby/moby/blob/master/daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go
    """
    if form == DOCKER and (found := NOT_AS_JSON.search(text)) is not None:
        pieces, at = [], 0
        while found is not None:
            pieces += [orjson.dumps(text[at : found.start()])[1:-1], b"\\u%04x" % ord(found[0])]
            at = found.end()
            found = NOT_AS_JSON.search(text, at)
        return b"".join([*pieces, orjson.dumps(text[at:])[1:-1]])
    return orjson.dumps(text)[1:-1]
