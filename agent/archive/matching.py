"""Which file generation is this log: the bytes before a known offset decide, as they do when reading is resumed.

And which archives were made of it before it grew: their content is its beginning.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from agent.core.model import MARKER_BYTES
from agent.tail.identity import marker

if TYPE_CHECKING:
    from agent.archive.protocol import StoredGeneration
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

    def file_id(self) -> int | None:
        """The generation's id, once all was seen; None for a log that was never followed."""
        place = self._followed or self._found
        return None if place is None else place.file_id


class PrefixMatcher:
    """Sees a log's bytes go by, and which archives they begin like.

    Args:
        earlier: the archives.
    """

    def __init__(self, earlier: tuple[EarlierArchive, ...]) -> None:
        self._waiting = sorted(earlier, key=lambda one: one.raw_bytes)
        self._found: list[EarlierArchive] = []
        self._hash = hashlib.sha256()
        self._position = 0

    def see(self, data: bytes) -> None:
        """The next bytes; they are hashed as far as an archive may go."""
        start = 0
        while self._waiting and (end := self._waiting[0].raw_bytes - self._position) <= len(data):
            self._hash.update(data[start:end])
            start = end
            one = self._waiting.pop(0)
            if self._hash.hexdigest() == one.sha256:
                self._found.append(one)
        if self._waiting:
            self._hash.update(data[start:])
        self._position += len(data)

    def outgrown(self, file_id: int | None) -> tuple[ChainEntry, ...]:
        """The archives that this log has outgrown, once all was seen.

        Args:
            file_id: of the generation that it is; an archive of another one is another log's.
        """
        found = [one for one in self._found if one.raw_bytes < self._position and one.file_id in (None, file_id)]
        return tuple(entry for one in found for entry in one.entries)
