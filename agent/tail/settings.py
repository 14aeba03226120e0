"""What the tailer is told: the sources, and the durations by which it waits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import msgspec

from agent.core.stored import resource_json

if TYPE_CHECKING:
    from agent.config import Config, SourceConfig
    from agent.core.model import FileGeneration


class SourceSettings(msgspec.Struct, frozen=True):
    """One source: which files it takes and how. Patterns are globs (`*`, `?`, `[…]`, `**`); `exclude` matches the
    whole path or the base name; `max_line` is in bytes without the newline.
    """

    name: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    start: Literal["beginning", "end"]
    max_line: int
    resource: str = ""  # JSON object: the resource attributes of its events

    def owns(self, file: FileGeneration) -> bool:
        """Whether what is read of the file from now on has the same source and resource as what was read before."""
        if self.name != file.source:
            return False
        known, own = file.resource, self.resource
        return known == own or json.loads(known or "{}") == json.loads(own or "{}")  # labels in another order

    @staticmethod
    def from_source(source: SourceConfig) -> SourceSettings:
        """What the configuration says of a source's files."""
        return SourceSettings(
            name=source.name,
            include=tuple(source.include),
            exclude=tuple(source.exclude),
            start=source.start,
            max_line=source.max_line,
            resource=resource_json(source.labels),
        )


def tail_settings(config: Config) -> list[SourceSettings]:
    """Which files each source takes, in the order of the configuration: the first that matches a file has it."""
    return [SourceSettings.from_source(source) for source in config.sources]


class Timing(msgspec.Struct, frozen=True):
    """Durations in seconds, all measured on the monotonic clock."""

    busy_interval_s: float = 0.05  # a file that grows is looked at this often; half of the 100 ms latency goal
    calm_after_s: float = 0.15  # quiet for so long: wake by inotify again instead of polling
    idle_interval_s: float = 1.0  # polling of a quiet file where there is no inotify
    rescan_s: float = 10.0  # the net under all events
    rescan_polling_s: float = 1.0  # the same where no inotify tells of new files
    debounce_s: float = 0.01  # directory events come in bunches
    rotated_grace_s: float = 60.0  # a renamed file without new bytes for so long has come to its end
    deleted_grace_s: float = 5.0  # the same for a deleted one, which keeps its blocks allocated as long as it is open
    copy_grace_s: float = 5.0  # how long a file that looks like a growing copy of another is left alone
    retry_s: float = 1.0  # after a read error; doubles
    retry_limit_s: float = 60.0
