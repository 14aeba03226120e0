"""The years and dates of a file's instants that do not say them: by the file's modification time, by the lines around
them, and the second time as they were the first.

What a line's reading gave depends on when it was read; what is archived is parsed again much later, frame by frame. So
a file's calendar keeps what was decided: from an offset on, an instant next to which those of the lines lie. A log of
syslog adds an entry to it twice a year, one whose lines have the time of day alone twice a day.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from agent.core.units import SECOND_NS
from agent.parse.instants.completion import DAY_NS, Reference, complete, dates
from agent.parse.instants.timestamps import read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.core.model import EventBatch, LineBatch
    from agent.parse.instants.timestamps import Instants

Entry = tuple[int, int]  # an offset in the log, and an instant (Unix ns)

_HOUR_NS = 3_600 * SECOND_NS
_SURELY_THIS_YEAR_NS = 180 * DAY_NS  # nearer than half a year: no other year's instant is
_SURELY_THIS_DAY_NS = 11 * _HOUR_NS
_LATE_NS = 2 * _HOUR_NS  # how far a line may lie before the one above it: threads, and the hour that autumn repeats
_MOST_ENTRIES = 4000  # 30 bytes each; five years of times of day, or a log that keeps no order


class Calendar:
    """Of one file, for all its batches in order.

    Args:
        instants: reads the instants, and notes those that it has completed.
        entries: what was decided earlier.
        recorded: the lines were read before, so that nothing is to be decided where there are entries.
    """

    def __init__(self, instants: Instants, entries: Sequence[Entry] = (), *, recorded: bool = False) -> None:
        self.entries = list(entries)
        self._instants = instants
        self._recorded = recorded and bool(entries)
        self._place: Callable[[int], int] = _same
        self._entry = 0  # in effect where the batch begins
        self._kept = len(self.entries)  # of the entries, at the beginning of the batch
        self._dropped: list[Entry] = []  # those that were behind them: of lines that are read once more
        self._modified = self._end = 0
        self._full: int | None = None  # of a line above, as long as nothing was written since it was read

    def begin(self, batch: LineBatch, place: Callable[[int], int] | None) -> None:
        """Lines follow.

        Args:
            batch: has them.
            place: where in the log an offset of the batch is, if it is another one there.
        """
        self._place = place or _same
        start = self._place(batch.offset)
        if self._recorded:
            self._entry = self._entry_at(start)
            reference = Reference(self.entries[self._entry][1], nearest=True)
        else:
            while self._kept and self.entries[self._kept - 1][0] >= start:
                self._kept -= 1
            self._dropped = self.entries[self._kept :]
            del self.entries[self._kept :]
            written = batch.modified or batch.observed_timestamp
            reference = Reference(min(written, batch.observed_timestamp))
            if batch.modified != self._modified or start != self._end:
                self._full = None
            self._modified, self._end = batch.modified, self._place(batch.end)
        self._instants.reference = reference

    def _entry_at(self, offset: int) -> int:
        return max(bisect_right(self.entries, (offset, 1 << 64)) - 1, 0)

    def settle(self, out: EventBatch, begin: int) -> bool:
        """Complete the rows of `out` from `begin` on as the lines around them say.

        Returns:
            Whether there are other entries than before.
        """
        self._settle(out, begin)
        changed = self.entries[self._kept :] != self._dropped
        self._kept, self._dropped = len(self.entries), []
        return changed

    def _settle(self, out: EventBatch, begin: int) -> None:
        texts = out.completed
        if not texts:
            if not self._recorded and len(out) > begin and len(out) - 1 not in out.parse_errors:
                self._full = out.timestamps[-1]
            return
        out.completed = {}
        if self._is_plain(out, begin, len(texts)):
            return
        changed = self._replay(out, texts) if self._recorded else self._repair(out, begin, texts)
        if not self._recorded:
            self._record(out, texts)
        if changed:
            for error in out.errors:
                error.timestamp = out.timestamps[error.index]

    def _is_plain(self, out: EventBatch, begin: int, noted: int) -> bool:
        """Whether it is plain to see that all rows are right and nothing is to be noted: in a log of syslog they nearly
        always are.
        """
        if self._recorded:
            return self._entry_at(self._place(out.offsets[-1])) == self._entry
        if self._instants.dateless or self._full is not None or noted != len(out) - begin or not self.entries:
            return False
        found, base = out.timestamps[begin:], self.entries[-1][1]
        low, high = min(found), max(found)
        return high - low < _SURELY_THIS_YEAR_NS and abs(low - base) < _SURELY_THIS_YEAR_NS > abs(high - base)

    # --- what was decided

    def _record(self, out: EventBatch, texts: dict[int, str]) -> None:
        """Add an entry where a row's instant is not the one next to that of the last entry."""
        base = self.entries[-1][1] if self.entries else None
        for row, text in texts.items():
            instant = out.timestamps[row]
            if base is not None and (
                abs(instant - base) < _sure_ns(text) or self._completed(text, Reference(base, nearest=True)) == instant
            ):
                continue
            if len(self.entries) >= _MOST_ENTRIES:
                break
            base = instant
            self.entries.append((self._place(out.offsets[row]), base))

    def _replay(self, out: EventBatch, texts: dict[int, str]) -> bool:
        """Complete the rows behind an entry within the batch by that."""
        for row, text in texts.items():
            at = self._entry_at(self._place(out.offsets[row]))
            if at != self._entry and (found := self._completed(text, Reference(self.entries[at][1], nearest=True))):
                out.timestamps[row] = found
        return True

    # --- the lines around

    def _repair(self, out: EventBatch, begin: int, texts: dict[int, str]) -> bool:
        """Let the rows be in order where they can: those behind an instant that says its year follow that, all others
        end at the reference. A row that cannot be in order is for itself: a clock was wrong.
        """
        timestamps, errors = out.timestamps, out.parse_errors
        before = timestamps[begin:]
        full = [row for row in range(begin, len(out)) if row not in texts and row not in errors]
        first = begin if self._full is not None else full[0] if full else len(out)
        following = timestamps[full[0]] if self._full is None and full else None
        for row in reversed(range(begin, first)):
            if row in texts and (found := self._before(texts[row], timestamps[row], following)) is not None:
                timestamps[row] = following = found
        last = self._full
        for row in range(first, len(out)):
            if row not in texts or last is None:
                last = timestamps[row] if row not in errors else last
            elif (found := self._after(texts[row], timestamps[row], last)) is not None:
                timestamps[row] = last = found
        self._full = last
        return timestamps[begin:] != before

    def _before(self, text: str, instant: int, following: int | None) -> int | None:
        """What it is before a line with the instant `following`; None where it cannot be there."""
        if following is None:
            return instant
        if not _is_dateless(text):
            return self._next_to(text, instant, following)
        if following + _LATE_NS - DAY_NS + _HOUR_NS < instant <= following + _LATE_NS:
            return instant
        return max((one for one in self._dates(text, following) if one <= following + _LATE_NS), default=None)

    def _after(self, text: str, instant: int, last: int) -> int | None:
        """What it is behind a line with the instant `last`; None where it cannot be there."""
        if not _is_dateless(text):
            return self._next_to(text, instant, last)
        if last - _LATE_NS <= instant < last - _LATE_NS + DAY_NS - _HOUR_NS:
            return instant
        found = min((one for one in self._dates(text, last) if one >= last - _LATE_NS), default=None)
        return found if found is not None and found <= self._latest() else None

    def _next_to(self, text: str, instant: int, near: int) -> int | None:
        if abs(instant - near) < _SURELY_THIS_YEAR_NS:
            return instant
        found = self._completed(text, Reference(near, nearest=True))
        return found if found is not None and 0 <= found <= self._latest() else None

    def _latest(self) -> int:
        reference = self._instants.reference
        return reference.instant + DAY_NS if reference is not None else 0

    def _completed(self, text: str, reference: Reference) -> int | None:
        try:
            return complete(read(text), self._instants.zone, reference)
        except ValueError:  # the zone has another name in another year
            return None

    def _dates(self, text: str, near: int) -> list[int]:
        return [one for one in dates(read(text), self._instants.zone, near) if one >= 0]


def _same(offset: int) -> int:
    return offset


def _is_dateless(text: str) -> bool:
    return ":" in text[:4]


def _sure_ns(text: str) -> int:
    return _SURELY_THIS_DAY_NS if _is_dateless(text) else _SURELY_THIS_YEAR_NS
