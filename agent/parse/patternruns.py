"""Lines in a row that the patterns of a source fit: a third of the price of one by one.

Where a person has said what begins an event, a line that fits begins one, and so does the line behind it: nothing needs
to be held open between them. So their rows are made of what the groups have found, many lines at once.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from agent.core.event import ERROR, RAW_MESSAGE
from agent.core.model import ErrorEvent
from agent.parse import multiline
from agent.parse.patterns import columns_of
from agent.parse.textrows import EventRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.model import EventBatch
    from agent.parse.patterncolumns import PatternParts
    from agent.parse.patterns import LinePatterns
    from agent.parse.settings import Compiled

_ODD = (b"\r", b"\0", b"\xef\xbb\xbf")  # what is taken off a line, or says what is wrong with it
_FEWEST_LINES, _MOST_LINES = 4, 500  # at once


class _Block(NamedTuple):
    """Lines from `begin` to `end` that each fit, and what they hold; none of it where they are too few."""

    begin: int
    end: int
    columns: PatternParts | None = None
    odd: tuple[int, ...] = ()  # those of them that need a closer look, in order


class PatternRuns:
    """The runs of lines that lie together.

    Args:
        compiled: settings, of which `textevent.takes` says that lines may be looked at by themselves.
        observed: when the lines were read (ns).
    """

    def __init__(self, compiled: Compiled, observed: int) -> None:
        self._compiled = compiled
        self._patterns = compiled.settings.line_patterns
        self._observed = observed
        self._texts: list[str] = []  # none where lines need a closer look
        self._blanks: list[int] = []
        self._longest = 0  # characters of a line
        self._may_open = False  # one of them may open a trace in its middle
        self._block = _Block(0, 0)

    def begin(self, data: bytes) -> PatternRuns | None:
        """Look at the lines of some data as a whole, at a tenth of the price of a look at each; itself, to take runs of
        them, or None where they need a closer look.
        """
        self._texts, self._block = [], _Block(0, 0)
        if self._patterns is not None and len(data) <= self._compiled.max_line and not any(odd in data for odd in _ODD):
            with contextlib.suppress(UnicodeDecodeError):
                self._texts = data.decode().split("\n")
                self._blanks = [at for at, text in enumerate(self._texts) if not text]
                self._longest = max(map(len, self._texts))
                self._may_open = multiline.may_open_traces(data, ())
        return self if self._texts else None

    def take(
        self, out: EventBatch, lines: list[bytes], begin: int, offset: int, begin_rows: Callable[[], None]
    ) -> tuple[int, int]:
        """Append the rows of the lines from `begin` on of which each fits, as does the line behind it.

        Args:
            out: takes the rows.
            lines: without their newlines.
            begin: the first one that is looked at.
            offset: of that one in its file.
            begin_rows: ends what is open; called before the first row. Not kept, for it is of the owner of this: what a
                batch holds would go no sooner than the next collection of garbage.

        Returns:
            How many lines were taken, never the last of all, and their bytes with their newlines.
        """
        block = self._block
        if begin >= block.end and self._patterns is not None:
            block = self._block = self._fitting(begin, self._patterns)
        if block.columns is None:
            return 0, 0
        odd = bisect_left(block.odd, begin)
        end = block.odd[odd] if odd < len(block.odd) else block.end - 1  # what is behind that may go on with it
        if end - begin < _FEWEST_LINES:
            return 0, 0
        begin_rows()
        ends = list(accumulate([len(line) + 1 for line in lines[begin:end]], initial=offset))
        out.offsets += ends[:-1]
        self._append(out, lines[begin:end], slice(begin - block.begin, end - block.begin), block.columns)
        return end - begin, ends[-1] - offset

    def _append(self, out: EventBatch, lines: list[bytes], rows: slice, columns: PatternParts) -> None:
        first = len(out.records)
        made = EventRows(self._compiled, out, self._observed)
        instants = made.instants(columns.timestamps[rows])
        out.parse_errors.update((first + at, why) for at, why in made.missing.items())
        severities, starts = columns.severities[rows], columns.starts[rows]
        out.timestamps += instants
        out.severities += severities
        out.loggers += columns.loggers[rows]
        out.records += columns.records[rows]
        kept = lines if all(starts) else [line if at else RAW_MESSAGE for line, at in zip(lines, starts, strict=True)]
        out.raws.update(zip(range(first, first + len(lines)), kept, strict=True))
        if max(severities) >= ERROR:
            messages, services = columns.messages[rows], columns.services[rows]
            for at, severity in enumerate(severities):
                if severity >= ERROR:
                    out.errors.append(
                        ErrorEvent(
                            *(first + at, instants[at], severity, messages[at], columns.loggers[rows.start + at]),
                            services[at] or None,
                        )
                    )

    def _fitting(self, begin: int, patterns: LinePatterns) -> _Block:
        """The lines from the first to the last of which it is certain that they fit."""
        blank = bisect_left(self._blanks, begin)
        end = self._blanks[blank] if blank < len(self._blanks) else len(self._texts)
        texts = self._texts[begin : min(end, begin + _MOST_LINES)]
        fitted, matches = patterns.fitting(texts, self._longest)
        end = begin + len(matches)
        if len(matches) <= _FEWEST_LINES:
            return _Block(begin, end)
        del texts[len(matches) :]
        columns = columns_of(fitted, texts, matches)
        return _Block(begin, end, columns, tuple(begin + at for at in self._odd(texts, columns)))

    def _odd(self, texts: list[str], columns: PatternParts) -> list[int]:
        """The lines with an object at the end of their message, or a trace that may begin in it."""
        odd = {at for at, text in enumerate(columns.messages) if (text or texts[at])[-1:] == "}"}
        if self._compiled.traces:
            may_open = multiline.may_open_trace if self._may_open else multiline.may_begin_trace
            odd |= {at for at, begin in enumerate(columns.starts) if begin and may_open(texts[at][begin:])}
        return sorted(odd)
