"""Gives every error event its group, and collects what the next transaction adds to the groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.group import classify, fingerprint
from agent.model import ErrorEvent, GroupUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable

_CACHE_ENTRIES = 4_096  # raw shape -> fingerprint; an error storm repeats few shapes
_CACHE_CHARS = 4 * 2**20  # stack traces can be long
_TITLE_CHARS = 200
_MINUTE_NS = 60_000_000_000

_RawShape = tuple[str | None, str | None, str | None, str | None, str | None]  # no message: all that has these frames


class Grouper:
    """Groups of one store.

    Args:
        known: fingerprint and id of every group already stored.
    """

    def __init__(self, known: Iterable[tuple[str, int]] = ()) -> None:
        self._ids = dict(known)
        self._next_id = max(self._ids.values(), default=0) + 1
        self._cache: dict[_RawShape, str] = {}
        self._cache_chars = 0
        self._updates: dict[int, GroupUpdate] = {}

    def assign(self, error: ErrorEvent) -> int:
        """The id of the group that this error belongs to; counted in `take_updates`."""
        mark, group = self._find(error)
        update = self._updates.get(group)
        if update is None:
            update = self._updates[group] = _describe(group, mark, error)
        _count(update, error)
        return group

    def describe(self, error: ErrorEvent) -> GroupUpdate:
        """What this error alone adds to its group, not counted in `take_updates`: asking again adds nothing."""
        mark, group = self._find(error)
        update = _describe(group, mark, error)
        _count(update, error)
        return update

    def take_updates(self) -> list[GroupUpdate]:
        """What was assigned since the last call, to be stored in one transaction."""
        updates = list(self._updates.values())
        self._updates = {}
        return updates

    def _find(self, error: ErrorEvent) -> tuple[str, int]:
        mark = self._fingerprint(error)
        group = self._ids.get(mark)
        if group is None:
            group = self._ids[mark] = self._next_id
            self._next_id += 1
        return mark, group

    def _fingerprint(self, error: ErrorEvent) -> str:
        cache, stack = self._cache, error.stacktrace
        part = fingerprint.frames_part(stack) if stack and not error.fingerprint else None
        by_frames: _RawShape | None = None if part is None else (None, error.exception_type, part, None, None)
        if by_frames is not None and (mark := cache.get(by_frames)) is not None:
            return mark
        raw: _RawShape = (error.fingerprint, error.exception_type, stack, error.message, error.logger)
        mark = cache.get(raw)
        if mark is None:
            text = fingerprint.shape(error)
            mark = fingerprint.fingerprint(text)
            if by_frames is not None and fingerprint.is_of_frames(text):
                raw = by_frames
            self._remember(raw, mark)
        return mark

    def _remember(self, raw: _RawShape, mark: str) -> None:
        chars = len(raw[3] or "") + len(raw[2] or "")
        if len(self._cache) >= _CACHE_ENTRIES or self._cache_chars + chars > _CACHE_CHARS:
            self._cache.clear()
            self._cache_chars = 0
        self._cache_chars += chars
        self._cache[raw] = mark


def _count(update: GroupUpdate, error: ErrorEvent) -> None:
    update.count += 1
    instant, minutes = error.timestamp, update.minutes
    minute = instant // _MINUTE_NS
    minutes[minute] = minutes.get(minute, 0) + 1
    if not update.first_seen <= instant <= update.last_seen:  # min() and max() for each event cost 0.5 µs
        update.first_seen = min(update.first_seen, instant)
        update.last_seen = max(update.last_seen, instant)
    if error.severity_number != update.severity_number:
        update.severity_number = max(update.severity_number, error.severity_number)


def _describe(group: int, mark: str, error: ErrorEvent) -> GroupUpdate:
    """A group as its first event shows it."""
    kind, text = error.exception_type, error.exception_message or error.message
    title = f"{kind}: {text}" if kind else text
    inner = fingerprint.innermost(error.stacktrace) if error.stacktrace else None
    return GroupUpdate(
        id=group,
        fingerprint=mark,
        fingerprint_version=fingerprint.VERSION,
        title=_storable(" ".join(title.split())) or "(no message)",
        culprit=_storable(inner or error.logger),
        exception_type=_storable(kind),
        category=classify.classify(kind, text),
        service=_storable(error.service),
        severity_number=error.severity_number,
        first_seen=error.timestamp,
        last_seen=error.timestamp,
    )


def _storable(text: str | None) -> str | None:
    """Short, and without lone surrogates, which UTF-8 has no form for."""
    return text[:_TITLE_CHARS].encode("utf-8", "backslashreplace").decode() if text else None
