"""Lines of container runtimes in bulk: their wrappers are taken off together, and what is inside goes its bulk path.

Docker's lines are JSON, of which msgspec decodes the texts as one column; those of CRI are split at their blanks. A
chunk is taken only where each line holds a whole one that is a JSON object, and comes back from its code
(`core.wrapping`): then the rows are those of the careful path, at 2 µs a line more than those of the lines inside.
"""

from __future__ import annotations

from datetime import UTC
from itertools import accumulate, repeat
from operator import add, attrgetter, itemgetter
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import orjson

from agent.core import wrapping
from agent.core.patterns import lazy
from agent.parse.bulk import BulkTimestamps
from agent.parse.runs import MIN_LINES, Rows, append_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent.core.model import EventBatch
    from agent.parse.assemble import Assembler
    from agent.parse.fast import FastPath
    from agent.parse.settings import Compiled

_TIME = lazy(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
_WHOLE, _SHORTEST, _NO_FRACTION = 30, 22, 20  # characters of a time with nine digits behind the second, with one, none
_ENDS = {stream: f',"log.iostream":"{stream}"}}\n'.encode() for stream in ("stdout", "stderr")}
_CRI_COLUMNS = 4
_BRACE = ord("}")
_ODD_ENDS = frozenset(b"{ \t")  # before the last brace of objects whose stream cannot be taken off again as it was put
_FIRSTS = [chr(wrapping.FIRST + form) for form in range(4)]


class _DockerLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    log: str
    stream: str
    time: str


class _Key(msgspec.Struct, gc=False, rename={"found": "log.iostream"}):
    """Refuses a line that has the key by which the stream is put into records, whatever its value."""

    found: Annotated[int, msgspec.Meta(ge=1, le=0)] = 0


class Unwrapped(NamedTuple):
    """What a chunk of lines holds, column by column."""

    bodies: Sequence[bytes]  # the application's lines
    newline: int  # how many bytes of each are its newline
    streams: Sequence[str]
    times: list[str]
    lengths: list[int]  # of the lines with their newlines
    forms: Iterable[int]  # of `core.wrapping`


class ContainerPath:
    """The bulk path of one runtime's lines.

    Args:
        compiled: the settings.
        unwrap: takes the wrappers off a chunk; None where it cannot.
        inside: the bulk path of the JSON objects inside.
    """

    def __init__(self, compiled: Compiled, unwrap: Callable[[bytes], Unwrapped | None], inside: FastPath) -> None:
        self._compiled = compiled
        self._unwrap = unwrap
        self._inside = inside
        self._times = BulkTimestamps(UTC)
        self._keys = msgspec.json.Decoder(_Key)

    def add(self, data: bytes, offset: int, work: Assembler) -> bool:
        """Append the rows of lines, as `runs.BulkPath` says."""
        redactor = self._compiled.redactor
        if redactor is not None and redactor.may_apply(data):
            return False
        found = None if b"\r" in data else self._unwrap(data)
        if found is None or len(found.streams) < MIN_LINES or max(found.lengths) > self._compiled.max_line:
            return False
        inside, timed = self._with_streams(found, data), self._timed(found.times)
        rows = Rows(work.observed)
        if (
            timed is None
            or inside is None
            or not self._inside.add(inside, 0, rows)
            or len(rows.out.records) != len(found.streams)
            or not work.streams.are_over(work, set(found.streams))
        ):
            return False
        if work.open is not None or work.tail is not None:
            work.begin_rows()
        work.last_text, work.object_rows = None, -1
        self._append(rows.out, found, timed, offset, work.out)
        return True

    def _timed(self, times: list[str]) -> tuple[list[int], list[str]] | None:
        """The instants of the runtime's times, and their codes."""
        digits = [9] * len(times)
        if set(map(len, times)) != {_WHOLE}:  # Docker writes no zeros at the end
            digits = [max(len(time) - _WHOLE + 9, 0) for time in times]
            if not all(len(time) == _NO_FRACTION or _SHORTEST <= len(time) <= _WHOLE for time in times):
                return None
            times = [time if len(time) == _WHOLE else _padded(time) for time in times]
        if _TIME.fullmatch(times[0]) is None or ":60." in "\n".join(times):
            return None
        instants = self._times.convert(times)
        if instants is None or max(instants) >= 1 << 62:
            return None
        return instants, wrapping.time_codes(instants, digits)

    def _with_streams(self, found: Unwrapped, data: bytes) -> bytes | None:
        """The application's lines with their streams, as `formats.with_stream` puts them into objects; None where they
        are none for sure, or have the key already, or it could not be taken off again. `data` is what holds them.
        """
        newline, bodies = found.newline, found.bodies
        try:
            ends = set(map(itemgetter(-1 - newline), bodies)), set(map(itemgetter(-2 - newline), bodies))
        except IndexError:
            return None
        if ends[0] != {_BRACE} or not ends[1].isdisjoint(_ODD_ENDS) or b"iostream" in data:
            return None
        if b"\\u00" in data:  # it may be written with escapes
            try:
                self._keys.decode_lines((b"" if newline else b"\n").join(bodies))
            except (ValueError, msgspec.MsgspecError, RecursionError):
                return None
        cut, streams = -1 - newline, map(_ENDS.__getitem__, found.streams)
        return b"".join([body[:cut] + end for body, end in zip(bodies, streams, strict=True)])

    @staticmethod
    def _append(
        rows: EventBatch, found: Unwrapped, timed: tuple[list[int], list[str]], offset: int, out: EventBatch
    ) -> None:
        """Append the rows of what is inside with their offsets, their codes and, where they have none, the times."""
        instants, codes = timed
        for row in rows.parse_errors:  # there are no others than of instants
            rows.timestamps[row] = instants[row]
        for error in rows.errors:
            if error.index in rows.parse_errors:
                error.timestamp = instants[error.index]
        rows.parse_errors = {}
        rows.offsets = list(accumulate(found.lengths[:-1], initial=offset))
        rows.raws = dict(enumerate(map(add, map(_FIRSTS.__getitem__, found.forms), codes)))
        append_rows(rows, out)


def _padded(time: str) -> str:
    """A time with nine digits behind the second; another text is none then either."""
    return f"{time[:-1]}{'' if time[19:20] == '.' else '.'}".ljust(_WHOLE - 1, "0") + time[-1:]


# ---------------------------------------------------------------- Docker

_docker_lines = msgspec.json.Decoder(_DockerLine)
_encoder = msgspec.json.Encoder()
_log, _stream, _time = attrgetter("log"), attrgetter("stream"), attrgetter("time")
_ESCAPES = tuple((character.encode(), b"\\u%04x" % ord(character)) for character in "<>&\u2028\u2029")
_LAST_BYTES = [plain[-1:] for plain, _ in _ESCAPES]  # looked for at a twentieth of the price of several
_CONTROLS = (b"\t", b"\b", b"\f", b"\r")  # which are written in several ways, or are taken off with the newline
_NEWLINE = ord("\n")
_last = itemgetter(-1)


def unwrap_docker(data: bytes) -> Unwrapped | None:
    """The wrappers of Docker's json-file driver off whole lines."""
    lines = data.split(b"\n")
    lines.pop()
    try:
        found = _docker_lines.decode_lines(data)
        texts = list(map(str.encode, map(_log, found)))  # one by one: most are ASCII, which all together are not
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None
    streams, times, inside = list(map(_stream, found)), list(map(_time, found)), b"".join(texts)
    # As many documents as lines, newlines and texts, each with one at its end: each line is one whole line.
    if not len(found) == len(lines) == inside.count(b"\n") or set(map(_last, texts)) != {_NEWLINE}:
        return None
    if not set(streams) <= _ENDS.keys() or any(control in inside for control in _CONTROLS):
        return None
    form = _docker_form(data, found)
    if form is None:
        return None
    forms: Iterable[int] = repeat(form, len(found))
    if form == wrapping.DOCKER_PLAIN:  # which a text that is written in one way only says nothing of
        is_odd = any(plain in inside for plain in _LAST_BYTES)
        odd = wrapping.NOT_AS_JSON.search
        forms = [form if is_odd and odd(text.decode()) else wrapping.DOCKER for text in texts]
    return Unwrapped(texts, 1, streams, times, [len(line) + 1 for line in lines], forms)


def _docker_form(data: bytes, found: list[_DockerLine]) -> int | None:
    """In which of the forms the lines are; None where they are in none."""
    if data[7:8] == b" ":
        rows = [
            b'{"log": %b, "stream": "%b", "time": %b}\n' % (orjson.dumps(text), stream.encode(), orjson.dumps(time))
            for text, stream, time in map(msgspec.structs.astuple, found)
        ]
        return wrapping.DOCKER_SPACED if b"".join(rows) == data else None
    again = _encoder.encode_lines(found)
    if again == data:
        return wrapping.DOCKER_PLAIN
    for plain, escape in _ESCAPES:
        again = again.replace(plain, escape)
    return wrapping.DOCKER if again == data else None


# ---------------------------------------------------------------- CRI


def unwrap_cri(data: bytes) -> Unwrapped | None:
    """The wrappers of CRI off whole lines."""
    lines = data.split(b"\n")
    lines.pop()
    columns = list(zip(*[line.split(b" ", 3) for line in lines], strict=False))  # as short as the shortest
    if len(columns) != _CRI_COLUMNS:
        return None
    times, streams, tags, bodies = columns
    if set(tags) != {b"F"} or not set(streams) <= {b"stdout", b"stderr"}:
        return None
    texts = b"\n".join(times).decode("ascii", "replace").split("\n")
    names = b"\n".join(streams).decode().split("\n")
    return Unwrapped(bodies, 0, names, texts, [len(line) + 1 for line in lines], repeat(wrapping.CRI, len(lines)))
