"""Formats of log lines: what a module of this package offers so that lines are read by it.

A format is one module here, with the name that `agent.config.schema` registers, and a constant FORMAT of one of two
kinds; `json` alone has no module, for JSON objects have a road of their own (`agent.parse`):

- a Wrapper takes off what a container runtime puts around a line (`docker`, `cri`);
- a TextFormat finds instant, level, logger, message and further fields in a line of text. `text` is the one of the
  layouts that applications write; under `auto`, and for what a wrapper holds, the others are tried before it.

`line_rules` gives what the name of a format in the configuration means.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from agent.config.schema import REGISTERED
from agent.core.wrapping import code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.core.wrapping import Wrapped
    from agent.parse.redact import Redactor

    FindHead = Callable[[str], "Head"]

Find = TypeVar("Find")

ROLE_KEYS = ("timestamp", "level", "logger", "message")  # under which the record of a text line has what its head says
_INNER = 0x80  # the first two bits of a byte of UTF-8 that begins no character


class Head(msgspec.Struct):
    """What a line says before its message, or around it. Absent parts are None or 0.

    Attributes:
        timestamp: as it is written.
        level: as it is written.
        severity: of the level, 1 to 24.
        logger: its name.
        end: where the message begins; 0 where the message is the whole line.
        message: where it is not the rest of the line from `end` on; `end` is not 0 then.
        attributes: further fields of the record; those above count before fields of their names.
        keys: under which the record has instant, level, logger and message, where a line has names for them itself.
        error: what is wrong with the line; empty where nothing is.
    """

    timestamp: str | None = None
    level: str | None = None
    severity: int = 0
    logger: str | None = None
    end: int = 0
    message: str | None = None
    attributes: dict[str, Any] | None = None
    keys: tuple[str, str, str, str] = ROLE_KEYS
    error: str = ""

    def __bool__(self) -> bool:
        return self.timestamp is not None or self.severity > 0


NOTHING = Head()  # shared: nobody changes a head


class TextFormat(NamedTuple):
    """A format of text lines.

    Attributes:
        starts: the characters with which its lines can begin, all of them where it is empty.
        find: the head of a line (without newline and carriage return, not blank); None where the line has another
            format. It takes time linear in the length of the line.
        find_surely: the same where the format is not declared: None also for a line that may have another one.
    """

    starts: str
    find: Callable[[str], Head | None]
    find_surely: Callable[[str], Head | None] | None = None


def with_stream(record: str, stream: str) -> str:
    """The JSON object of a wrapped line, with the stream it came by as `log.iostream` (OpenTelemetry's name)."""
    inner = record.rstrip()[:-1].rstrip()
    return f'{inner}{"" if inner.endswith("{") else ","}"log.iostream":"{stream}"}}'


class Wrapper(NamedTuple):
    """A format of lines that hold an application's line.

    Attributes:
        starts: the bytes with which its lines begin; of no other wrapper.
        may_wrap: a cheap look at one line or many: False where `unwrap` gives None for sure for each of them.
        unwrap: what a line (without newline and carriage return) holds, None where it is no wrapper.
        redact: such a line with its values replaced: what the application wrote by the first function, the rest by the
            Redactor; the same bytes where nothing had to be.
        plain_stream: the stream of a line that holds a whole one which begins with a visible character, so that it is
            neither blank nor indented; None says nothing.
    """

    starts: bytes
    may_wrap: Callable[[bytes], bool]
    unwrap: Callable[[bytes], Wrapped | None]
    redact: Callable[[bytes, Callable[[bytes], bytes], Redactor], bytes]
    plain_stream: Callable[[bytes], str | None]


class LineRules(msgspec.Struct, frozen=True):
    """What the lines of a source can be.

    Attributes:
        wrappers: by the first byte of their lines.
        wrapped: each line is expected in one.
        json: a line, or what a wrapper holds, may be a JSON object.
        only_json: and says why where it is none.
        find_head: of a line of text.
        read_head: the same, remembered for the last few lines: a line is looked at as a continuation of the event
            before it, and then as the beginning of one.
        explicit: a line that has a head begins an event, whatever it begins with: a person has said what begins one.
        looks: `may_wrap` of each wrapper.
    """

    wrappers: Mapping[bytes, Wrapper]
    wrapped: bool
    json: bool
    only_json: bool
    find_head: FindHead
    read_head: FindHead
    explicit: bool = False
    looks: tuple[Callable[[bytes], bool], ...] = ()

    @property
    def in_bulk(self) -> bool:
        """Whether lines that are JSON objects may be taken as they are, many at once."""
        return self.json and not self.wrapped

    def may_wrap(self, lines: bytes) -> bool:
        """A cheap look at many lines: False where none is a wrapper for sure."""
        for look in self.looks:  # noqa: SIM110 - any() takes twice as long, for each line that stands alone
            if look(lines):
                return True
        return False

    def unwrap(self, line: bytes) -> Wrapped | None:
        """What a line (without newline and carriage return) holds, None where it is no wrapper."""
        wrapper = self.wrappers.get(line[:1])
        return None if wrapper is None else wrapper.unwrap(line)

    def rewrap(
        self, lines: Sequence[bytes], body: bytes, redactor: Redactor, most_bytes: int, *, woven: bool = False
    ) -> list[bytes]:
        """The lines of which an application's line was read, with another body: one that holds all of it, or where
        that would be too long to be read, as many as there were.

        Args:
            lines: as a container runtime has written them, without newlines.
            body: what the application's line is now.
            redactor: of the rest of the lines.
            most_bytes: that a line may have.
            woven: other lines lie between them: there are to be as many as there were, of which the first holds all.
        """
        parts = [part for line in lines if (part := self.unwrap(line.removesuffix(b"\r"))) is not None]
        instant = lines[0] if parts[-1].partial or woven else lines[-1]
        whole = self._holding(instant, body, redactor)
        if len(whole) <= most_bytes or len(lines) == 1:
            return [whole, *(self._holding(line, b"", redactor) for line in lines[1:] if woven)]
        found = []
        for line, part in zip(lines[:-1], parts, strict=False):
            end = len(part.body)
            while body[end : end + 1] and body[end] & 0xC0 == _INNER:  # a character is not cut
                end -= 1
            found.append(self._holding(line, body[:end], redactor))
            body = body[end:]
        return [*found, self._holding(lines[-1], body, redactor)]

    def kept(self, raw: bytes, record: str) -> bytes | str:
        """What is kept of a container runtime's lines beside the record of their event."""
        parts = [self.unwrap(line) for line in raw.split(b"\n")]
        whole = [part for part in parts if part is not None]
        return code_of(raw, record, whole) or raw if len(whole) == len(parts) else raw

    def _holding(self, line: bytes, body: bytes, redactor: Redactor) -> bytes:
        return self.wrappers[line[:1]].redact(line, lambda _: body, redactor)


@cache
def line_rules(name: str) -> LineRules:
    """What the name of a format means. One that is not registered, as an archive of a later version may have, stands
    for JSON and text.
    """
    formats: dict[str, Wrapper | TextFormat] = {
        known: import_module(f"{__name__}.{known}").FORMAT for known in REGISTERED if known not in {"auto", "json"}
    }
    own, text = formats.get(name), formats.pop("text")
    assert isinstance(text, TextFormat)
    if isinstance(own, TextFormat) and own is not text:
        find_head = _declared(name, own, text)
    elif name == "auto" or isinstance(own, Wrapper):
        find_head = _first_found([*(one for one in formats.values() if isinstance(one, TextFormat)), text])
    else:
        find_head = cast("FindHead", text.find)
    tried = formats.values() if name == "auto" else (own,)
    wrappers = [one for one in tried if isinstance(one, Wrapper)]
    return LineRules(
        wrappers={bytes([first]): one for one in wrappers for first in one.starts},
        wrapped=isinstance(own, Wrapper),
        json=not isinstance(own, TextFormat),
        only_json=name == "json",
        find_head=find_head,
        read_head=lru_cache(maxsize=4)(find_head),
        looks=tuple(one.may_wrap for one in wrappers),
    )


def recognised(line: bytes, text: str, declared: str = "auto") -> str:
    """The name of the format by which a line is read; `text` also where it has no layout that is known.

    Args:
        line: without newline and carriage return.
        text: the same, decoded.
        declared: the format of its source.
    """
    own = None if declared in {"auto", "json", "text"} else import_module(f"{__name__}.{declared}").FORMAT
    if declared == "text" or isinstance(own, TextFormat):
        return declared if own is None or own.find(text) is not None else "text"
    for name in REGISTERED if declared != "json" else ():
        if name in {"auto", "json", "text"}:
            continue
        known = import_module(f"{__name__}.{name}").FORMAT
        first = line[:1] if isinstance(known, Wrapper) else text[:1]
        if known.starts and first not in known.starts:
            continue
        found = known.unwrap(line) if isinstance(known, Wrapper) else (known.find_surely or known.find)(text)
        if found is not None:
            return name
    return "json" if line.lstrip()[:1] == b"{" else "text"


def by_first(layouts: Iterable[tuple[str, Find]]) -> tuple[dict[str, tuple[Find, ...]], tuple[Find, ...]]:
    """A table of what to try for a text that begins with a character, in the order of the layouts, and what to try
    where the table has none.

    Args:
        layouts: the characters with which each begins, all where they are empty; and how to find it.
    """
    table = list(layouts)
    starts = {character for characters, _ in table for character in characters}
    found = {first: tuple(find for chars, find in table if not chars or first in chars) for first in starts}
    return found, tuple(find for chars, find in table if not chars)


def _declared(name: str, own: TextFormat, text: TextFormat) -> FindHead:
    """Of a format that all lines are to have. Another line is read as text, and says so."""
    error = f"not {name}"

    def find_head(line: str) -> Head:
        found = own.find(line)
        if found is None:
            found = msgspec.structs.replace(text.find(line) or NOTHING, error=error)
        return found

    return find_head


def _first_found(formats: list[TextFormat]) -> FindHead:
    """Of the first format that surely finds one; of the last, which always does."""
    table, rest = by_first([(one.starts, one.find_surely or one.find) for one in formats])

    def find_head(line: str) -> Head:
        for find in table.get(line[:1], rest):
            found = find(line)
            if found is not None:
                return found
        return NOTHING

    return find_head
