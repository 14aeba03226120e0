"""`FileParser`: the LineBatches of one file into EventBatches. The room's only entrance.

A chunk of JSON lines that all fit goes the fast path (`fast`), lines of text that stand alone one of their own
(`textpath`), everything else line by line (`assemble`); all give the same events. A text event that later lines may
continue is held back at the end of a batch, in memory only: the committed offset lies before it, so that a crash reads
it again.
"""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import orjson
from msgspec.structs import replace

from agent.core.event import ERROR, original_of
from agent.core.fields import ROLES, Profile
from agent.core.holes import split_holes
from agent.core.model import Continuation, ErrorEvent, EventBatch, Gap, LineBatch
from agent.parse import careful
from agent.parse.assemble import Assembler
from agent.parse.containers import ContainerPath, unwrap_cri, unwrap_docker
from agent.parse.fast import FastPath
from agent.parse.formats import Head, line_rules
from agent.parse.instants.calendar import Calendar
from agent.parse.multiline import OpenText, add, begin, continues
from agent.parse.patterns import patterns_of
from agent.parse.runs import CRI, DOCKER, MIN_LINES, OBJECT, OTHER, Runs
from agent.parse.settings import PLAIN, Compiled, ParseSettings
from agent.parse.textevent import build, text_error
from agent.parse.textpath import TextPath

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.parse.fast import Survey
    from agent.parse.runs import BulkPath

__all__ = ["FileParser", "ParseSettings", "join"]

_MANY_LINES = 32  # whose shape stands for the file's: a profile is replaced only by so many
_SMALLEST_REGION_BYTES = 2048  # of whose lines `bytes.count` costs less than 0.3 µs a line
_MOST_LOOKS = 100  # small batches that are searched for fields not seen yet: 30 µs each
_MOST_REVISIONS = 16  # of a file's profile: one that mixes shapes would be detected anew for ever
_UNKNOWN_SEVERITY = ERROR  # of the stored event before a restart: take what can only be a trace's continuation


class FileParser:
    """Parses the lines of one file generation in order.

    Args:
        settings: of the file's source.
        profile: what was found out about the file earlier, None for a new one.
        clock: monotonic seconds, for `deadline_s`.
        read_by: Unix ns; the lines were read by then, whatever their batches say. 0: when those say.
        recorded: the lines were read before: what the profile says of their years and dates stands.
    """

    def __init__(
        self,
        settings: ParseSettings,
        profile: Profile | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        read_by: int = 0,
        recorded: bool = False,
    ) -> None:
        self._compiled = Compiled(settings)
        self._compiled.instants.read_by = read_by
        known = profile.calendar if profile is not None else ()
        self._calendar = Calendar(self._compiled.instants, known, recorded=recorded)
        self.profile = Profile()
        self._bulk: _BulkPaths | None = None  # of the profile, once many lines come at once: most files write few
        self._revisions = 0
        self._looks = 0
        self._clock = clock
        self._held = b""
        self._held_at = 0
        self._waiting: dict[tuple[int, int], float] = {}  # what is held back: from, to -> until when
        self._tail: OpenText | None = None  # the last released event, if a later line may continue it
        self._end = -1
        self.after_object = True  # whether the last line before what is held was an object, or may have been one
        self._observed = 0
        self._settled = 0  # rows at the head of a batch whose instants are final
        self.deadline_s: float | None = None
        self.profile_changed = False  # set when detection has learnt something; the owner resets it
        if profile is not None:
            self._set_profile(profile)
            self.profile_changed = False

    def feed(
        self,
        batch: LineBatch,
        *,
        tail_open: bool = False,
        in_log: Callable[[int], int] | None = None,
        place: Callable[[int], int] | None = None,
    ) -> EventBatch:
        """Parse a batch. Never raises for what the lines hold.

        Args:
            batch: of the file; it begins where the one before ended, or before that.
            tail_open: whether the event stored last of the file may be continued by lines of this batch.
            in_log: of a redacted log, where an offset is in the log itself.
            place: of lines that were taken out of their log, where an offset is in it.

        Returns:
            The events, without those held back; `end` is the offset up to which the file is accounted for,
            `tail_open` whether the last event may be continued by a later batch, `continuation` the lines at the
            head that continue the event stored last.
        """
        released = self._take_held(batch)
        data, offset = (self._held + batch.data, self._held_at) if self._held else (batch.data, batch.offset)
        self._calendar.begin(batch, place or in_log)
        if offset != self._end and not self._held:
            self.after_object = not batch.before or batch.before.rstrip(b" \t\r\n,")[-1:] == b"}"
        work = Assembler(self._compiled, self.profile, batch.observed_timestamp, in_log)
        if released is not None:
            work.out, self._settled = released, len(released)
        else:
            work.tail = self._known_tail(batch, offset) if tail_open else None
        self._compiled.instants.out = work.out
        work.object_rows = len(work.out.records) if self.after_object else -1
        self._held, self.deadline_s = b"", None
        self._observed = batch.observed_timestamp
        if self.profile.format == "":
            self._look_ahead(data)
        at = offset
        for text, hole in split_holes(data):
            self._region(work, text, at)
            at += len(text)
            if hole:
                _cut_off(work, text, at, hole)
                at += hole
        return self._finish(work, batch, data, offset)

    def flush(self) -> EventBatch:
        """Release what is held back; the batch is empty where nothing is."""
        if not self._held:
            return EventBatch(end=max(self._end, 0))
        work = Assembler(self._compiled, self.profile, self._observed)
        self._compiled.instants.out = work.out
        work.object_rows = 0 if self.after_object else -1
        data, offset = self._held, self._held_at
        self._held, self.deadline_s = b"", None
        work.lines(data, offset)
        work.finish()
        return self._released(work, offset + len(data))

    def survey(self, data: bytes, longest: int, observed: int) -> Survey | None:
        """What the events are that `feed` would make of a file's only batch, where that is easy to tell; None where it
        is not. Nothing is learnt or held back, and each line is an event.

        Args:
            data: lines, each with its newline; UTF-8, and each begins with `{` and ends with `}`.
            longest: the bytes of the longest line, without the newline.
            observed: when they were read, Unix ns.
        """
        fast = self._bulk_paths().fast
        return None if fast is None else fast.survey(data, longest, self._compiled.instants.latest(observed))

    # --- the paths

    def _region(self, work: Assembler, data: bytes, offset: int) -> None:
        """Lines in bulk where they fit."""
        few = len(data) < _SMALLEST_REGION_BYTES and data.count(b"\n") < MIN_LINES
        runs = None if few or not data.endswith(b"\n") else self._bulk_paths().runs
        if runs is None:
            work.lines(data, offset)
        else:
            runs.take(data, offset, work)

    def _look_ahead(self, data: bytes) -> None:
        """Detect the format from the first lines of a first batch, so that it can go the fast path at once."""
        if data.count(b"\n", 0, 1 << 16) < _MANY_LINES or not self._compiled.rules.json:
            return
        unwrap = self._compiled.rules.unwrap
        records = []
        for line in data[: 1 << 16].split(b"\n", _MANY_LINES)[:_MANY_LINES]:
            wrapped = unwrap(line)
            with contextlib.suppress(orjson.JSONDecodeError):
                records.append(orjson.loads(line if wrapped is None else wrapped.body))
        records = [record for record in records if type(record) is dict]
        if records:
            self._set_profile(self._compiled.detect(records))

    def _set_profile(self, profile: Profile) -> None:
        profile = replace(profile, calendar=tuple(self._calendar.entries))
        if profile != self.profile:
            self.profile_changed = True
            self.profile, self._bulk = profile, None

    def _bulk_paths(self) -> _BulkPaths:
        """Those of the kinds of lines that the file can have."""
        if self._bulk is None:
            self._bulk = _paths_of(self._compiled, self.profile)
        return self._bulk

    # --- holding back

    def _take_held(self, batch: LineBatch) -> EventBatch | None:
        """Whether what is held still goes before this batch: dropped where it is read again, released at a jump."""
        if not self._held or batch.offset == self._held_at + len(self._held):
            return None
        if batch.offset < self._held_at + len(self._held):
            self._held = b""
            return None
        return self.flush()

    def _known_tail(self, batch: LineBatch, offset: int) -> OpenText | None:
        """The event stored last, if the lines from `offset` on may continue it; after a restart little is known."""
        if batch.before and not batch.before.endswith(b"\n"):  # stored without its newline: these bytes end its line
            return None
        if self._end == offset:
            return self._tail
        if self._end >= 0:
            return None
        rules = self._compiled.rules
        head = Head(level="", severity=_UNKNOWN_SEVERITY)
        return OpenText(0, 0, head, rules.read_head, [b""], [""], explicit=rules.explicit)

    def _finish(self, work: Assembler, batch: LineBatch, data: bytes, offset: int) -> EventBatch:
        end = offset + len(data)
        event = work.open
        if batch.final or batch.gaps:
            work.finish()
        elif waiting := work.streams.waiting():
            self._hold(work, data, work.streams.begin, offset, waiting)
            work.streams.forget(work.out)
            end = self._held_at
        elif work.several.lines:
            self._hold(work, data, work.several.offset, offset, [(work.several.offset, end)])
            end = self._held_at
        elif event is not None and (self._compiled.start is not None or event.may_go_on()):
            self._hold(work, data, event.start, offset, [(event.start, event.end)])
            work.open, end = None, self._held_at
        elif work.tail is not None and work.tail.blanks:  # they belong to it if it goes on
            start = end - sum(len(blank) + 1 for blank in work.tail.blanks)
            self._hold(work, data, start, offset, [(start, end)])
            work.tail.blanks.clear()
            end = self._held_at
        else:
            work.finish()
        out = self._released(work, end)
        if batch.final or batch.gaps:
            _note_unterminated(work, data, offset)
        if batch.gaps:
            out.gaps.extend(replace(gap, sample=work.sample(gap.sample)) for gap in batch.gaps)
            out.end = self._end = batch.end
            out.tail_open, self._tail = False, None
        return out

    def _hold(self, work: Assembler, data: bytes, start: int, offset: int, waiting: list[tuple[int, int]]) -> None:
        """Hold back what lies behind `start`; `waiting` are the events, from and to, that lines may continue."""
        self._held, self._held_at = data[start - offset :], start
        deadline_s = self._clock() + self._compiled.settings.multiline_timeout_s
        # Lines of another stream make nobody wait longer for those of an event.
        self._waiting = {event: self._waiting.get(event, deadline_s) for event in waiting}
        self.deadline_s = min(self._waiting.values())
        work.last_text = None

    def _released(self, work: Assembler, end: int) -> EventBatch:
        out = work.out
        self.after_object = work.after_object
        tail = work.tail
        continued = tail is not None
        if work.tail_lines:
            settings = self._compiled.settings
            lines = b"\n".join(work.tail_lines)
            out.continuation = Continuation(lines, self._compiled.traces, settings.format, tuple(settings.patterns))
        if tail is not None and tail.blanks:  # they are counted as blank lines now: nothing joins it behind them
            tail = None
        if self._calendar.settle(out, self._settled):
            self.profile = replace(self.profile, calendar=tuple(self._calendar.entries))
            self.profile_changed = True
        self._settled, self._compiled.instants.out = 0, None
        work.end_tail()
        last = tail if continued else work.last_text
        if last is not None and not last.extra and self._compiled.settings.multiline != "off":
            self._tail = _slim(last)
        else:
            self._tail = None
        out.tail_open = self._tail is not None
        out.end = self._end = end
        if work.seen or work.text_lines:
            self._learn(work)
        return out

    def _learn(self, work: Assembler) -> None:
        """Note where the fields are, as long as nothing is known or what is known has stopped fitting."""
        if self._revisions >= _MOST_REVISIONS:
            return
        if not work.seen:
            if self.profile.format == "" and work.text_lines:
                self._set_profile(self._compiled.text_profile())
            return
        many = work.json_lines >= _MANY_LINES
        known = self.profile.format == "json"
        if known and not many:
            if self._looks >= _MOST_LOOKS or all(self.profile.path(role) is not None for role in ROLES):
                return
            self._looks += 1
        found = self._compiled.detect(work.seen)
        if known:
            found = _merged(self.profile, found, replace=many)
        if replace(found, calendar=self.profile.calendar) != self.profile:
            self._revisions += 1
            self._set_profile(found)


class _BulkPaths(NamedTuple):
    runs: Runs | None  # None: line by line
    fast: FastPath | None  # of lines that are objects


def _paths_of(compiled: Compiled, profile: Profile) -> _BulkPaths:
    rules = compiled.rules
    paths: dict[str, BulkPath] = {}
    if not (rules.wrapped or rules.only_json or rules.explicit):
        paths[OTHER] = TextPath(compiled)
    fast = FastPath(compiled, profile) if profile.format == "json" and rules.json else None
    if fast is not None and fast.usable:
        paths[DOCKER] = ContainerPath(compiled, unwrap_docker, profile)
        paths[CRI] = ContainerPath(compiled, unwrap_cri, profile)
        if rules.in_bulk:
            paths[OBJECT] = fast
    return _BulkPaths(Runs(rules, paths) if paths else None, fast if OBJECT in paths else None)


def _merged(old: Profile, new: Profile, *, replace: bool) -> Profile:
    """The newly found paths where there were none; with `replace` wherever something was found."""
    paths = {}
    for role in ROLES:
        before, after = old.path(role), new.path(role)
        paths[role] = (after or before) if replace else (before or after)
    return msgspec.structs.replace(new, **paths)


def join(
    record: str, raw: bytes | int | str | None, continuation: Continuation
) -> tuple[str, bytes | int | str | None, ErrorEvent | None]:
    """Append further lines to a stored text event; its instant does not change.

    Args:
        record: of the stored event.
        raw: of the stored event, as in EventBatch.raws.
        continuation: what `FileParser.feed` gave.

    Returns:
        Record and raw to store instead, and, if the event is an error, what grouping needs (its timestamp is 0).
    """
    lines = [*original_of(record, raw).split(b"\n"), *continuation.raw.split(b"\n")]
    texts = [careful.decode_text(line.removesuffix(b"\r"))[0] for line in lines]
    patterns = continuation.patterns
    rules = patterns_of(patterns).rules() if patterns else line_rules(continuation.format)
    first = texts[0].removeprefix("\ufeff")
    event = begin(0, lines[0], first, rules.read_head, traces=continuation.traces, explicit=rules.explicit)
    for line, text in zip(lines[1:], texts[1:], strict=True):
        if text:
            if continuation.traces:
                continues(event, text)
            add(event, line, text)
        else:
            event.blanks.append(line)
    built = build(event, _PLAIN, 0)  # nobody asks for its instant
    return built.record, built.raw, text_error(built, 0) if built.severity >= ERROR else None


_PLAIN = Compiled(PLAIN)


def _cut_off(work: Assembler, text: bytes, end: int, nuls: int) -> None:
    """The hole [end, end + nuls) follows `text`: a line that has no newline before it will never have one."""
    work.begin_rows()
    _note_unterminated(work, text, end - len(text))
    work.out.gaps.append(Gap(end, end + nuls, "hole"))


def _note_unterminated(work: Assembler, data: bytes, offset: int) -> None:
    """A last line whose newline never came is an event, which may be less than its writer meant to write."""
    out = work.out
    begin = data.rfind(b"\n") + 1
    is_gap = bool(out.gaps) and out.gaps[-1].end > offset + begin
    if len(out) and data[begin:].strip() and not is_gap:
        end, start = work.streams.latest
        row = bisect_left(out.offsets, start) if end == offset + len(data) else len(out) - 1
        known = out.parse_errors.get(row)
        out.parse_errors[row] = f"{known}; unterminated" if known else "unterminated"


def _slim(event: OpenText) -> OpenText:
    """What deciding about further lines needs of an event, without its bytes."""
    event.lines = [b""] * len(event.lines)
    event.texts = [event.texts[0], event.texts[-1]]
    return event
