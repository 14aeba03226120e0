"""Lines in a row that the patterns of a source fit: half the price of one by one.

Where a person has said what begins an event, a line that fits begins one, and so does the line behind it: nothing needs
to be held open between them. So their rows are made of what the groups have found, and their instants in bulk.
"""

from __future__ import annotations

import contextlib
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import orjson

from agent.core.event import ERROR, RAW_MESSAGE
from agent.core.model import ErrorEvent
from agent.parse import multiline
from agent.parse.fields import NO_TIMESTAMP
from agent.parse.textevent import written_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.model import EventBatch
    from agent.parse.patterns import Parts
    from agent.parse.settings import Compiled

_ODD = (b"\r", b"\0", b"\xef\xbb\xbf")  # what is taken off a line, or says what is wrong with it
_MOST_LINES = 500  # at once


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

    def begin(self, data: bytes) -> PatternRuns | None:
        """Look at the lines of some data as a whole, at a tenth of the price of a look at each; itself, to take runs of
        them, or None where they need a closer look.
        """
        self._texts = []
        if self._patterns is not None and len(data) <= self._compiled.max_line and not any(odd in data for odd in _ODD):
            with contextlib.suppress(UnicodeDecodeError):
                self._texts = data.decode().split("\n")
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
        found = self._fitting(begin)
        taken = len(found) - 1
        if taken <= 0:
            return 0, 0
        begin_rows()
        run = found[:taken]
        first = len(out.records)
        instants = self._instants(out, [parts[0] for parts in run])
        texts, taken_lines = self._texts[begin : begin + taken], lines[begin : begin + taken]
        ends = list(accumulate([len(line) + 1 for line in taken_lines], initial=offset))
        out.offsets += ends[:-1]
        out.timestamps += instants
        out.severities += [parts[2] for parts in run]
        out.loggers += [parts[3] for parts in run]
        out.records += map(_record, texts, run)
        kept = [line if parts[4] else RAW_MESSAGE for line, parts in zip(taken_lines, run, strict=True)]
        out.raws.update(zip(range(first, first + taken), kept, strict=True))
        for row, parts in enumerate(run):
            if parts[2] >= ERROR:
                out.errors.append(_error(first + row, instants[row], texts[row], parts))
        return taken, ends[-1] - offset

    def _fitting(self, begin: int) -> list[Parts]:
        """What the lines hold from the first to the last of which that is certain; the last one may go on."""
        found: list[Parts] = []
        if self._patterns is None:
            return found
        read, traces = self._patterns.read, self._compiled.traces
        for text in islice(self._texts, begin, begin + _MOST_LINES):
            parts = read(text) if text else None
            if parts is None:
                break
            found.append(parts)
            if (parts[5] or text)[-1:] == "}":
                break  # an object may end its message
            if traces and parts[4] and multiline.may_open_trace(text[parts[4] :]):
                break  # a trace may begin in its message
        return found

    def _instants(self, out: EventBatch, written: list[str | None]) -> list[int]:
        observed, compiled = self._observed, self._compiled
        if None not in written:
            found = compiled.bulk_instants.convert(written)
            if found is not None and max(found) <= observed:
                return found
        instants = []
        for row, text in enumerate(written):
            compiled.instants.further = row
            instant, missing = (observed, NO_TIMESTAMP) if text is None else written_instant(text, compiled, observed)
            instants.append(instant)
            if missing:
                out.parse_errors[len(out.records) + row] = missing
        compiled.instants.further = 0
        return instants


def _record(text: str, parts: Parts) -> str:
    timestamp, level, _, logger, start, message, record = parts
    if timestamp is not None:
        record["timestamp"] = timestamp
    if level is not None:
        record["level"] = level
    if logger is not None:
        record["logger"] = logger
    record["message"] = text[start:] if message is None else message
    return orjson.dumps(record).decode()


def _error(row: int, instant: int, text: str, parts: Parts) -> ErrorEvent:
    _, _, severity, logger, start, message, record = parts
    return ErrorEvent(
        row, instant, severity, text[start:] if message is None else message, logger, record.get("service") or None
    )
