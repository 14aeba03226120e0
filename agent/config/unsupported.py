"""Keys that are accepted and validated but whose feature this version lacks, so that they would silently do nothing.

Each row of the tables goes when its feature comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.config.schema import Config

SECTIONS = {
    "archive": "archiving rotated files",
    "alerts": "alert rules",
    "hooks": "hooks",
    "http": "the HTTP server",
}
FORMATS = ("logfmt", "syslog", "combined")


def unsupported(config: Config) -> list[ConfigError]:
    """One SL109 per section or key that this version would ignore; an empty list when it does all that is asked."""
    found = [
        _error(
            section, f"{what} is not in this version" if not what.endswith("s") else f"{what} are not in this version"
        )
        for section, what in SECTIONS.items()
        if getattr(config, section) not in (None, [], {})
    ]
    for index, source in enumerate(config.sources):
        place = f"sources[{index}]"
        if source.format in FORMATS:
            found.append(
                _error(f"{place}.format", f"the format {source.format} (source {source.name}) is not in this version")
            )
        if source.rotate is not None:
            found.append(_error(f"{place}.rotate", f"rotating files (source {source.name}) is not in this version"))
    return found


def _error(place: str, sentence: str) -> ConfigError:
    hint = "take it out of the configuration; it would do nothing"
    return ConfigError("SL109", "use the configuration", place, f"{place}: {sentence}", hint=hint)
