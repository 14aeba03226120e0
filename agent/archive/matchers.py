"""What a log is that is being archived: which file generation, and which archives hold it already, or its beginning."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from agent.core.model import MARKER_BYTES
from agent.parse.logredactor import LogRedactor
from agent.tail.identity import marker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.archive.protocol import StoredGeneration
    from agent.parse.settings import ParseSettings
    from agent.store.archives import ChainEntry, EarlierArchive


class GenerationMatcher:
    """Sees a log's bytes go by.

    Args:
        followed: the generation that it is for sure; None where only its bytes can tell.
        candidates: those that it may be: they begin alike.
    """

    def __init__(self, followed: StoredGeneration | None, candidates: tuple[StoredGeneration, ...]) -> None:
        self._followed = followed
        self._waiting = sorted(candidates, key=lambda one: one.offset)
        self._found: StoredGeneration | None = None
        self._partly = False  # it goes on behind what is stored of a file that is still being read
        self._position = 0
        self._recent = b""

    @property
    def profile(self) -> str | None:
        """Where the fields of its lines are, if that is known before the log is read."""
        profiles = {place.profile for place in (*filter(None, [self._followed]), *self._waiting)}
        return profiles.pop() if len(profiles) == 1 else None

    def see(self, data: bytes) -> None:
        """The next bytes."""
        end = self._position + len(data)
        while self._waiting and self._waiting[0].offset <= end:
            place = self._waiting.pop(0)
            known = place.offset - self._position
            before = (self._recent + data[:known])[-place.marker_length :] if place.marker_length else b""
            if marker(before) == (place.marker_length, place.marker_hash):
                self._found = place
                self._partly = not place.finished
        self._recent = (self._recent + data[-MARKER_BYTES:])[-MARKER_BYTES:]
        self._position = end

    @property
    def undecided(self) -> bool:
        """Whether, now that all was seen, this may be a file that is still being read, and not all of it is stored."""
        if self._partly and self._found is not None and self._found.offset != self._position:
            return True
        return any(not place.finished for place in self._waiting)

    def generation(self) -> StoredGeneration | None:
        """The generation, once all was seen; None for a log that was never followed."""
        return self._followed or self._found


class PrefixMatcher:
    """Sees a log's bytes go by, and which archives they begin like. The content of an archive is the log as it was
    redacted when it was made: the log is redacted in the same way, as often as there are ways.

    Args:
        earlier: the archives.
        ways: the keys that archives of the source are redacted by; none: an archive is the log itself.
        settings: of the source, with the keys that this archive is redacted by.
    """

    def __init__(
        self, earlier: tuple[EarlierArchive, ...], ways: Iterable[tuple[str, ...]], settings: ParseSettings
    ) -> None:
        own = tuple(settings.redact)
        others = {way for way in ways if way != own}
        self._hashed = [
            _HashedLog(
                [one for one in earlier if one.redacted == way],
                msgspec.structs.replace(settings, redact=way),
                whole=way in others,
            )
            for way in {*(one.redacted for one in earlier), *others}
        ]

    def see(self, data: bytes) -> None:
        """The next bytes."""
        for log in self._hashed:
            log.see(data)

    def contents(self) -> list[str]:
        """The hashes of what the whole log would be in other archives of the source, once all was seen."""
        return [log.hexdigest() for log in self._hashed if log.whole]

    def outgrown(self, generation: StoredGeneration | None) -> tuple[ChainEntry, ...]:
        """The archives that this log has outgrown, once all was seen.

        Args:
            generation: that it is; an archive of another one is another log's.
        """
        file_id = None if generation is None else generation.file_id
        found = [one for log in self._hashed for one in log.outgrown() if one.file_id in (None, file_id)]
        return tuple(entry for one in found for entry in one.entries)


class _HashedLog:
    """Hashes a log as it is, or redacted, and compares it with archives at the places where these end.

    Args:
        earlier: the archives.
        settings: with the keys that they are redacted by.
        whole: whether the log is hashed to its end, and not only as far as an archive may go.
    """

    def __init__(self, earlier: list[EarlierArchive], settings: ParseSettings, *, whole: bool) -> None:
        self.whole = whole
        self._waiting = sorted(earlier, key=lambda one: one.raw_bytes)
        self._found: list[EarlierArchive] = []
        self._redactor = LogRedactor(settings, located=False) if settings.redact else None
        self._hash = hashlib.sha256()
        self._position = 0

    def see(self, data: bytes) -> None:
        start = 0
        while self._waiting and (end := self._waiting[0].raw_bytes - self._position) <= len(data):
            self._update(data[start:end])
            start = end
            one = self._waiting.pop(0)
            if self.hexdigest() == one.sha256:
                self._found.append(one)
        if self._waiting or self.whole:
            self._update(data[start:])
        self._position += len(data)

    def _update(self, data: bytes) -> None:
        self._hash.update(data if self._redactor is None else self._redactor.feed(data))

    def hexdigest(self) -> str:
        """Of the log so far."""
        if self._redactor is None:
            return self._hash.hexdigest()
        found = self._hash.copy()
        found.update(self._redactor.preview())
        return found.hexdigest()

    def outgrown(self) -> list[EarlierArchive]:
        return [one for one in self._found if one.raw_bytes < self._position]
