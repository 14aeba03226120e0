"""Parsing a frame as if there were no other: what the index says of it is what a search will find in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.model import LineBatch, TailedFile
from agent.parse.decode import FileParser, ParseSettings

if TYPE_CHECKING:
    from agent.model import EventBatch
    from agent.parse.fast import Survey
    from agent.profile import Profile


class Alone:
    """Parses frames, each as if there were no other.

    One parser serves many frames, for it keeps what it has compiled and the shapes of errors; a new one takes its place
    when it has learnt anything, or holds something back, that could tell in the next frame.

    Args:
        settings: of the source, as they were when the log was archived.
        profile: of the log.
        observed: Unix ns, for events that do not say when they happened.
    """

    def __init__(self, settings: ParseSettings, profile: Profile | None, observed: int) -> None:
        self._settings = settings
        self._profile = profile
        self._observed = observed
        self._parser: FileParser | None = None

    def parse(self, data: bytes, offset: int, *, final: bool = True) -> EventBatch:
        """The events of a frame.

        Args:
            data: its content.
            offset: of its first byte in the log.
            final: nothing is to be held back.
        """
        parser = self._parser or FileParser(self._settings, self._profile)
        events = parser.feed(LineBatch(TailedFile(0, "", "", 0, 0, 0), offset, data, self._observed, final=final))
        keep = self._profile is not None and parser.profile == self._profile and parser.deadline_s is None
        self._parser = parser if keep else None
        return events

    def survey(self, data: bytes, longest: int) -> Survey | None:
        """What its events are, if that is easy to tell: see FileParser.survey."""
        if self._profile is None:
            return None
        if self._parser is None:
            self._parser = FileParser(self._settings, self._profile)
        return self._parser.survey(data, longest)
