"""The bulk path of text: lines in a row of which each is an event alone, at half the price of one by one.

What makes a line stand alone is `textevent.append`'s to say. Here nearly all of it is asked of many lines at once: a
word that no line has is in none, and lines whose first characters are all digits open no trace. What those answers
leave over is looked at line by line, and a line that does not stand alone goes by itself, with the bulk on either side.
Instants are converted as whole columns, or once for each text that several lines have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.event import WARN
from agent.parse import additions, careful, multiline, runtimes, textevent
from agent.parse.multijson import may_begin
from agent.parse.runs import MIN_LINES, Rows
from agent.parse.textrows import EventRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.assemble import Assembler
    from agent.parse.formats import Head
    from agent.parse.settings import Compiled

_VISIBLE = frozenset(map(chr, range(ord("!"), ord("~") + 1))) - {"{"}  # with which a line that stands alone begins
_MOST_LINES = 256  # whose heads are there at once: 1 KB each
_ODD = (b"\r", b"\0", b"\n{")
_PARTS = frozenset("[],")  # with which a part of an object over several lines may begin
_BEGINNING = multiline.BEGINNING
_OTHER_JSON = frozenset(textevent.OTHER_JSON)


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
            return not odd and self._apart(texts, lines, look, offset, work)
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

    def _apart(self, texts: list[str], lines: list[bytes], look: _Look, offset: int, work: Rows) -> bool:
        heads = list(map(self._rules.find_head, texts))
        if self._needing_look(texts, lines, heads, look):
            return False
        rows = EventRows(self._compiled, work.out, work.observed)
        rows.append(texts, lines, heads, rows.instants([head.timestamp for head in heads]), offset)
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
                    offset = self._run(texts[first:last], lines[first : last + 1], look, first, offset, work)
            begin = end + 1
        _by_line(lines, slow, count, offset, work)

    def _run(  # noqa: PLR0917 - of a region
        self, texts: list[str], lines: list[bytes], look: _Look, first: int, offset: int, work: Assembler
    ) -> int:
        """Take the lines but for the last; the offset of that."""
        count, begin = len(texts), 0
        if count < MIN_LINES:
            return _by_line(lines, 0, count, offset, work)
        heads = list(map(self._rules.find_head, texts))
        odd = self._needing_look(texts, lines, heads, look)
        if look.below:
            odd.update(at for at in range(count) if first + at + 1 in look.below and _may_go_on(heads[at]))
        for end in [*sorted(odd), count]:
            while begin < end and not work.nothing_open(lines[begin]):
                offset = _by_line(lines, begin, begin + 1, offset, work)
                begin += 1
            if end - begin >= MIN_LINES:
                work.begin_rows()
                rows = EventRows(self._compiled, work.out, work.observed)
                run = heads[begin:end]
                work.text_lines += end - begin
                instants = rows.instants([head.timestamp for head in run])
                offset = rows.append(texts[begin:end], lines[begin:end], run, instants, offset)
                begin = end
            offset = _by_line(lines, begin, min(end + 1, count), offset, work)
            begin = end + 1
        return offset

    def _needing_look(
        self, texts: Sequence[str], lines: Sequence[bytes], heads: Sequence[Head], look: _Look
    ) -> set[int]:
        """Of lines that open no trace themselves those that may still be JSON, a part of it, or have an object at their
        end or a message that opens a trace.
        """
        found = set()
        if look.may_have_objects:
            messages = [text if head.message is None else head.message for text, head in zip(texts, heads, strict=True)]
            found = {at for at, message in enumerate(messages) if message[-1:] == "}"}
            found.update(at for at, text in enumerate(texts) if text[0] in _PARTS and may_begin(lines[at]))
        if self._rules.json and not _OTHER_JSON.isdisjoint(look.firsts):
            bare = [at for at, head in enumerate(heads) if head.timestamp is None and texts[at][0] in _OTHER_JSON]
            found.update(at for at in bare if not careful.surely_text(lines[at]))
        if self._traces:
            begins = {text[head.end : head.end + _BEGINNING] for text, head in zip(texts, heads, strict=True)}
            if multiline.may_begin_traces(begins):
                headed = [at for at, head in enumerate(heads) if head.end]
                found.update(at for at in headed if multiline.may_begin_trace(texts[at][heads[at].end :]))
        return found


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
        firsts: the first characters of all lines.
        may_have_objects: a line may end with an object, or be a part of one.
        odd: lines that need a closer look.
        unseen: lines that do not begin with a visible character: those before them may go on.
        below: lines that may belong to the one before.
    """

    def __init__(self, texts: list[str], data: bytes, compiled: Compiled) -> None:
        self.is_close = len(data) > compiled.max_line or compiled.rules.may_wrap(data)
        self.firsts = firsts = {text[:1] for text in texts}
        self.may_have_objects = b"}" in data or not _PARTS.isdisjoint(firsts)
        self.unseen: set[int] = set()
        if not firsts <= _VISIBLE:
            self.unseen = {at for at, text in enumerate(texts) if text[:1] not in _VISIBLE}
        self.odd, self.below = self.unseen.copy(), set[int]()
        if not compiled.traces:
            return
        if multiline.may_open_traces(data, {text[:_BEGINNING] for text in texts}):
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
