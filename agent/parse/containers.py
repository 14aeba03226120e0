"""Lines of container runtimes in bulk: their wrappers are taken off together, and what is inside goes its bulk path.

Docker's lines are JSON, of which msgspec decodes the texts as one column; those of CRI are split at their blanks. A
chunk is taken only where each line holds a whole one that is a JSON object, and comes back from its code
(`core.wrapping`): then the rows are those of the careful path, at 2 µs a line more than those of the lines inside.
"""

from __future__ import annotations

from datetime import UTC
from functools import cached_property
from io import BytesIO
from itertools import accumulate, count, repeat
from operator import add, attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import orjson

from agent.core import wrapping
from agent.core.patterns import lazy
from agent.parse.fast import FastPath, split_lines
from agent.parse.instants.bulk import BulkTimestamps
from agent.parse.runs import MIN_LINES, Rows, append_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent.core.fields import Profile
    from agent.core.model import EventBatch
    from agent.parse.assemble import Assembler
    from agent.parse.settings import Compiled

_TIME = lazy(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
_WHOLE = 30  # characters of a time with nine digits behind the second
_DIGITS = {20: 0, **{21 + digits: digits for digits in range(1, 10)}}  # how many there are in a time, by its characters
STREAM = "log.iostream"  # the key under which the stream is
_ENDS = {stream: f',"{STREAM}":"{stream}"}}' for stream in ("stdout", "stderr")}
_CRI_COLUMNS = 4
_ODD_ENDS = frozenset("{ \t")  # before the last brace of objects whose stream cannot be taken off again as it was put
_LAST = itemgetter(-1)
_FIRSTS = [chr(wrapping.FIRST + form) for form in range(4)]


class _DockerLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    log: str
    stream: str
    time: str


class Unwrapped(NamedTuple):
    """What a chunk of lines holds, column by column."""

    texts: list[str]  # the application's lines
    newline: int  # how many characters of each are its newline
    content: bytes  # all of them, with newlines between them
    streams: Sequence[str]
    times: list[str]
    lengths: list[int]  # of the container's lines in bytes, with their newlines
    forms: Iterable[int]  # of `core.wrapping`


class ContainerPath:
    """The bulk path of one runtime's lines.

    Args:
        compiled: the settings.
        unwrap: takes the wrappers off a chunk; None where it cannot.
        profile: where the fields of the JSON objects inside are.
    """

    def __init__(self, compiled: Compiled, unwrap: Callable[[bytes], Unwrapped | None], profile: Profile) -> None:
        self._compiled = compiled
        self._unwrap = unwrap
        self._profile = profile
        self._times = BulkTimestamps(UTC)

    @cached_property
    def _inside(self) -> FastPath:
        """The bulk path of the objects inside, none of which may have the key by which the stream is put into them."""
        return FastPath(self._compiled, self._profile, STREAM)

    def add(self, data: bytes, offset: int, work: Assembler) -> bool:
        """Append the rows of lines, as `runs.BulkPath` says."""
        redactor = self._compiled.redactor
        if redactor is not None and redactor.may_apply(data):
            return False
        found = None if b"\r" in data or not self._inside.usable else self._unwrap(data)
        if found is None or len(found.streams) < MIN_LINES or max(found.lengths) > self._compiled.max_line:
            return False
        records, timed, rows = _with_streams(found), self._timed(found.times), Rows(work.observed)
        if timed is None or records is None or (redactor is not None and redactor.may_apply(found.content)):
            return False
        # A record is shorter than its line, which has a time besides the stream.
        fits = self._inside.add_records(records, found.content, max(found.lengths), rows)
        if not (fits and work.streams.are_over(work, set(found.streams))):
            return False
        if work.open is not None or work.tail is not None:
            work.begin_rows()
        work.last_text, work.object_rows = None, -1
        self._append(rows.out, found, timed, offset, work.out)
        return True

    def _timed(self, times: list[str]) -> tuple[list[int], list[str]] | None:
        """The instants of the runtime's times, and their codes."""
        lengths = list(map(len, times))
        digits = [9] * len(times)
        if set(lengths) != {_WHOLE}:  # Docker writes no zeros at the end
            if not _DIGITS.keys() >= set(lengths):
                return None
            digits = list(map(_DIGITS.__getitem__, lengths))
            times = [time if count == 9 else _padded(time) for time, count in zip(times, digits, strict=True)]  # noqa: PLR2004
        if _TIME.fullmatch(times[0]) is None or ":60." in "\n".join(times):
            return None
        instants = self._times.convert(times)
        if instants is None or max(instants) >= 1 << 62:
            return None
        return instants, wrapping.time_codes(instants, digits)

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
        begin = len(out.records)
        append_rows(rows, out)
        out.raws.update(zip(count(begin), map(add, map(_FIRSTS.__getitem__, found.forms), codes), strict=False))


def _with_streams(found: Unwrapped) -> list[str] | None:
    """The application's lines with their streams, as `formats.with_stream` puts them into objects; None where they are
    none for sure, or it could not be taken off again.
    """
    texts, newline = found.texts, found.newline
    try:
        ends = set(map(itemgetter(-1 - newline), texts)), set(map(itemgetter(-2 - newline), texts))
    except IndexError:
        return None
    if ends[0] != {"}"} or not ends[1].isdisjoint(_ODD_ENDS):
        return None
    cut = -1 - newline
    return [text[:cut] + end for text, end in zip(texts, map(_ENDS.__getitem__, found.streams), strict=True)]


def _padded(time: str) -> str:
    """A time with nine digits behind the second; another text is none then either."""
    return f"{time[:-1]}{'' if time[19:20] == '.' else '.'}".ljust(_WHOLE - 1, "0") + time[-1:]


# ---------------------------------------------------------------- Docker

_docker_lines = msgspec.json.Decoder(_DockerLine)
_encoder = msgspec.json.Encoder()
_log, _stream, _time = attrgetter("log"), attrgetter("stream"), attrgetter("time")
_ESCAPES = tuple((character.encode(), b"\\u%04x" % ord(character)) for character in "<>&\u2028\u2029")
_ASCII_ESCAPED = (b"<", b">", b"&")
_CONTROLS = (b"\t", b"\b", b"\f", b"\r")  # which are written in several ways, or are taken off with the newline


def unwrap_docker(data: bytes) -> Unwrapped | None:
    """The wrappers of Docker's json-file driver off whole lines."""
    lengths = list(map(len, BytesIO(data)))  # of lines that are gone at once: a third of the price of `split`
    try:
        found = _docker_lines.decode_lines(data)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None
    texts, streams, times = list(map(_log, found)), list(map(_stream, found)), list(map(_time, found))
    try:
        inside = b"".join(map(str.encode, texts))  # one by one: most are ASCII, which all together are not
        is_whole = set(map(_LAST, texts)) == {"\n"} and set(streams) <= _ENDS.keys()
    except (IndexError, UnicodeEncodeError):
        return None
    # As many documents as lines, newlines and texts, each with one at its end: each line is one whole line.
    if not len(found) == len(lengths) == inside.count(b"\n") or any(control in inside for control in _CONTROLS):
        return None
    form = _docker_form(data, found) if is_whole else None
    if form is None:
        return None
    forms: Iterable[int] = repeat(form, len(found))
    if form == wrapping.DOCKER_PLAIN:  # which a text that is written in one way only says nothing of
        is_odd = any(plain in inside for plain in _ASCII_ESCAPED)
        odd = wrapping.NOT_AS_JSON.search if is_odd else _has_separator
        forms = [form if odd(text) else wrapping.DOCKER for text in texts]
    return Unwrapped(texts, 1, inside, streams, times, lengths, forms)


def _has_separator(text: str) -> bool:
    return not text.isascii() and ("\u2028" in text or "\u2029" in text)


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
    try:
        texts = split_lines(b"\n".join((*bodies, b"")))[0]
    except UnicodeDecodeError:
        return None
    written = b"\n".join(times).decode("ascii", "replace").split("\n")
    names, content = b"\n".join(streams).decode().split("\n"), b"\n".join(bodies)
    return Unwrapped(
        texts, 0, content, names, written, [len(line) + 1 for line in lines], repeat(wrapping.CRI, len(lines))
    )
