"""The bulk path of text: lines in a row of which each is an event alone, at half the price of one by one.

What makes a line stand alone is `textevent.append`'s to say. Here nearly all of it is asked of many lines at once: a
word that no line has is in none, and lines whose first characters are all digits open no trace. What those answers
leave over is looked at line by line, and a line that does not stand alone goes by itself, with the bulk on either side.
Instants are converted as whole columns, or once for each text that several lines have.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import orjson

from agent.core.event import ERROR, RAW_MESSAGE, WARN
from agent.core.model import ErrorEvent, EventBatch
from agent.parse import additions, careful, multiline, runtimes, textevent
from agent.parse.fields import NO_TIMESTAMP
from agent.parse.multijson import may_begin
from agent.parse.runs import MIN_LINES, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.parse.assemble import Assembler
    from agent.parse.formats import Head
    from agent.parse.settings import Compiled

_VISIBLE = frozenset(map(chr, range(ord("!"), ord("~") + 1))) - {"{"}  # with which a line that stands alone begins
_MOST_LINES = 256  # whose heads are there at once: 1 KB each
_ODD = (b"\r", b"\0", b"\n{")


class TextPath:
    """The bulk path of one file's text lines."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._rules, self._traces = compiled.rules, compiled.traces

    def add(self, data: bytes, offset: int, work: Assembler) -> bool:
        """Append the rows of whole lines to `work`.

        Args:
            data: lines, each with its newline.
            offset: of the first byte in the file.
            work: takes the rows. Of a `Rows` the lines do not lie side by side: each is between two objects.

        Returns:
            Whether they could be taken: a `Rows` only takes them where all fit.
        """
        texts = self._texts(data)
        if texts is None:
            return False
        lines = data.split(b"\n")
        lines.pop()
        look = _Look(texts, data, self._compiled)
        odd = look.odd | {at for at, line in enumerate(lines) if self._is_odd(line)} if look.is_close else look.odd
        if isinstance(work, Rows):
            return not odd and self._apart(texts, lines, offset, work)
        self._in_runs(texts, lines, look, odd, offset, work)
        return True

    def _texts(self, data: bytes) -> list[str] | None:
        """The lines, decoded; None where they are no text or there is something about them that needs a closer look."""
        if data[:1] == b"{" or any(odd in data for odd in _ODD) or not textevent.takes(self._compiled, data)[0]:
            return None
        try:
            texts = data.decode().split("\n")
        except UnicodeDecodeError:
            return None
        texts.pop()
        return texts

    def _is_odd(self, line: bytes) -> bool:
        return len(line) > self._compiled.max_line or self._rules.unwrap(line) is not None

    # --- which lines stand alone

    def _apart(self, texts: list[str], lines: list[bytes], offset: int, work: Rows) -> bool:
        heads = list(map(self._rules.find_head, texts))
        if any(map(self._needs_look, texts, lines, heads)):
            return False
        rows = EventRows(self._compiled, work.out, work.observed)
        rows.append(texts, lines, heads, rows.instants(heads), offset)
        return True

    def _in_runs(  # noqa: PLR0917 - of a region
        self, texts: list[str], lines: list[bytes], look: _Look, odd: set[int], offset: int, work: Assembler
    ) -> None:
        """Take what stands alone in bulk, and the rest line by line."""
        count, begin = len(lines), 0
        slow = 0  # where the lines begin that go one by one, all of a stack trace together
        ends = [*sorted({*odd, *(at - 1 for at in look.unseen if at)} - {count - 1}), count - 1]
        for end in ends:  # lines of which the last one is odd
            if end - begin >= MIN_LINES:
                offset, slow = _by_line(lines, slow, begin, offset, work), end
                for first in range(begin, end, _MOST_LINES):
                    last = min(first + _MOST_LINES, end)
                    offset = self._run(texts[first:last], lines[first : last + 1], look.below, first, offset, work)
            begin = end + 1
        _by_line(lines, slow, count, offset, work)

    def _run(  # noqa: PLR0917 - of a region
        self, texts: list[str], lines: list[bytes], below: set[int], first: int, offset: int, work: Assembler
    ) -> int:
        """Take the lines but for the last; the offset of that."""
        count, begin = len(texts), 0
        if count < MIN_LINES:
            return _by_line(lines, 0, count, offset, work)
        heads = list(map(self._rules.find_head, texts))
        odd = {at for at in range(count) if self._needs_look(texts[at], lines[at], heads[at])}
        if below:
            odd.update(at for at in range(count) if first + at + 1 in below and _may_go_on(heads[at]))
        for end in [*sorted(odd), count]:
            while begin < end and not work.nothing_open(lines[begin]):
                offset = _by_line(lines, begin, begin + 1, offset, work)
                begin += 1
            if end - begin >= MIN_LINES:
                work.begin_rows()
                rows = EventRows(self._compiled, work.out, work.observed)
                run = heads[begin:end]
                work.text_lines += end - begin
                offset = rows.append(texts[begin:end], lines[begin:end], run, rows.instants(run), offset)
                begin = end
            offset = _by_line(lines, begin, min(end + 1, count), offset, work)
            begin = end + 1
        return offset

    def _needs_look(self, text: str, line: bytes, head: Head) -> bool:
        """Whether a line that opens no trace itself may still be JSON, a part of it, or have an object at its end or
        a message that opens a trace.
        """
        if text.endswith("}") or (text[0] in "[]," and may_begin(line)):
            return True
        if head.timestamp is None and self._rules.json and text[0] in textevent.OTHER_JSON:
            return not careful.surely_text(line)
        return self._traces and head.end > 0 and multiline.may_begin_trace(text[head.end :])


def _by_line(lines: list[bytes], begin: int, end: int, offset: int, work: Assembler) -> int:
    """Take lines one by one; the offset of what is behind them."""
    if begin >= end:
        return offset
    data = b"\n".join(lines[begin:end]) + b"\n"
    work.lines(data, offset, lines[end] if end < len(lines) else b"")
    return offset + len(data)


def _may_go_on(head: Head) -> bool:
    """Whether a line without an indent may belong to an event with this head: `multiline.continues`."""
    return bool(head) and not 0 < head.severity < WARN


class _Look:
    """A look at many lines at once.

    Attributes:
        is_close: a line may be too long, or a container's.
        odd: lines that need a closer look.
        unseen: lines that do not begin with a visible character: those before them may go on.
        below: lines that may belong to the one before.
    """

    def __init__(self, texts: list[str], data: bytes, compiled: Compiled) -> None:
        self.is_close = len(data) > compiled.max_line or compiled.rules.may_wrap(data)
        firsts = {text[:1] for text in texts}
        self.unseen: set[int] = set()
        if not firsts <= _VISIBLE:
            self.unseen = {at for at, text in enumerate(texts) if text[:1] not in _VISIBLE}
        self.odd, self.below = self.unseen.copy(), set[int]()
        if not compiled.traces:
            return
        if multiline.may_open_traces(data, firsts):
            self.odd.update(at for at, text in enumerate(texts) if multiline.may_open_trace(text))
        if not textevent.MORE_FIRST.isdisjoint(firsts):
            self.below = {at for at, text in enumerate(texts) if text.startswith(textevent.MORE)}
        self.below |= self.odd
        self.below.update(at for at, text in enumerate(texts) if " " not in text)
        if runtimes.OBJECT.encode() in data:
            self.odd.update(at for at, text in enumerate(texts) if runtimes.OBJECT in text)
        if additions.may_add_any(data):
            self.odd.update(at - 1 for at, text in enumerate(texts) if at and additions.may_add(text.encode()))
        if "#" in firsts:
            self.odd.update(at for at, text in enumerate(texts) if additions.begins_block(text))
        if not additions.LEVEL_FIRSTS.isdisjoint(firsts):
            levels = additions.LEVELS
            self.odd.update(at - 1 for at, text in enumerate(texts) if at and text.startswith(levels))


class EventRows:
    """Makes rows of lines that stand alone."""

    def __init__(self, compiled: Compiled, out: EventBatch, observed: int) -> None:
        self._compiled, self._out, self._observed = compiled, out, observed
        self._missing: dict[int, str] = {}  # which of the heads has no instant, and why

    def instants(self, heads: Sequence[Head]) -> list[int]:
        """Those of the heads, whose rows are the next ones."""
        written = [head.timestamp for head in heads]
        texts = set(written)
        if None in texts:
            self._missing = {at: NO_TIMESTAMP for at, text in enumerate(written) if text is None}
            texts.discard(None)
        elif len(texts) * 2 > len(written):
            latest = self._compiled.instants.latest(self._observed)
            found = self._compiled.bulk_instants.convert(written, latest)
            if found is not None:
                return found
        return self._by_text(written, {text for text in texts if text is not None})

    def _by_text(self, written: list[str | None], texts: Iterable[str]) -> list[int]:
        """Each text once. Those that are completed are noted for each row, as if they had been read there."""
        instants, observed = self._compiled.instants, self._observed
        noting, completed = instants.out, set()
        scratch = instants.out = None if noting is None else EventBatch()
        known: dict[str | None, int] = {None: observed}
        for text in texts:
            known[text], missing = textevent.written_instant(text, self._compiled, observed)
            if missing:
                self._missing.update((at, missing) for at, one in enumerate(written) if one == text)
            if scratch is not None and scratch.completed:
                scratch.completed.clear()
                completed.add(text)
        instants.out = noting
        if completed:
            first = len(self._out.timestamps)
            self._out.completed.update((at, text) for at, text in enumerate(written, first) if text in completed)
        return [known[text] for text in written]

    def append(self, texts: list[str], lines: list[bytes], heads: list[Head], instants: list[int], offset: int) -> int:
        """Append the rows; the offset of what is behind the lines."""
        out, first = self._out, len(self._out.records)
        ends = list(accumulate([len(line) + 1 for line in lines], initial=offset))
        severities = [head.severity for head in heads]
        if max(severities) >= ERROR:
            rows = [at for at, severity in enumerate(severities) if severity >= ERROR]
            out.errors += [_error(first + at, instants[at], texts[at], heads[at]) for at in rows]
        for at in {*self._missing, *(at for at, head in enumerate(heads) if head.error)}:
            out.parse_errors[first + at] = textevent.wrong(heads[at], self._missing.get(at, ""))
        kept = [line if head.end else RAW_MESSAGE for line, head in zip(lines, heads, strict=True)]
        out.raws.update(zip(range(first, first + len(lines)), kept, strict=True))
        out.offsets += ends[:-1]
        out.timestamps += instants
        out.severities += severities
        out.loggers += [head.logger for head in heads]
        out.records += map(_record, texts, heads)
        return ends[-1]


def _record(text: str, head: Head) -> str:
    """The record of a line. The attributes of its head become that: nobody else has them."""
    record = head.attributes if head.attributes is not None else {}
    timestamp_key, level_key, logger_key, message_key = head.keys
    if head.timestamp is not None:
        record[timestamp_key] = head.timestamp
    if head.level is not None:
        record[level_key] = head.level
    if head.logger is not None:
        record[logger_key] = head.logger
    record[message_key] = text[head.end :] if head.message is None else head.message
    return orjson.dumps(record).decode()


def _error(row: int, instant: int, text: str, head: Head) -> ErrorEvent:
    message = text[head.end :] if head.message is None else head.message
    return ErrorEvent(row, instant, head.severity, message, head.logger, textevent.service_of(head))
