"""What is to be said of archives that a search could not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import ArchiveError
from agent.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAMED = 5  # archives that could not be read; further ones are counted


class ArchiveFailure(msgspec.Struct):
    """What is wrong with an archive, and the events of each frame that could not be read therefore."""

    error: ArchiveError
    frames: dict[int, int] = {}


def said_failures(directory: Path, failures: Iterable[ArchiveFailure]) -> list[ArchiveError]:
    """What is to be said of archives that could not be read, the first few by name: how many events an answer lacks.

    Args:
        directory: of all archives.
        failures: of an answer.
    """
    found = sorted(failures, key=lambda failure: failure.error.subject)
    named = found if len(found) <= _NAMED + 1 else found[:_NAMED]
    errors = []
    for failure in named:
        error, count = failure.error, sum(failure.frames.values())
        lacking = (
            f"{error.message}; {counted(count, 'event is', 'events are')} in the part of it that this answer lacks"
            if failure.frames
            else f"{error.message}; its events were found all the same, for the store knows where they are"
        )
        errors.append(ArchiveError(error.code, error.operation, error.subject, lacking, hint=error.hint))
    if others := found[len(named) :]:
        count = sum(sum(failure.frames.values()) for failure in others)
        errors.append(
            ArchiveError.of(
                "SL802.others", directory, archives=counted(len(others), "more archive"), events=counted(count, "event")
            )
        )
    return errors
