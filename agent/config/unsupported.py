"""Keys that are accepted and validated but whose feature this version lacks, so that they would silently do nothing.

Each row of the tables goes when its feature comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.errors import ConfigError
from agent.core.formats import PLANNED

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config.schema import Config

SECTIONS = {
    "http": "the HTTP server is",
}


def unsupported(config: Config, file: Path | None = None) -> list[ConfigError]:
    """One SL109 per section or key that this version would ignore; an empty list when it does all that is asked.

    Args:
        config: a valid configuration.
        file: where it came from, for the messages.
    """
    found = {section: what for section, what in SECTIONS.items() if getattr(config, section) not in (None, [], {})}
    for index, source in enumerate(config.sources):
        if source.format in PLANNED:
            found[f"sources[{index}].format"] = f"the format {source.format} (source {source.name}) is"
    return [_error(f"{file}: {place}" if file else place, what) for place, what in found.items()]


def _error(place: str, what: str) -> ConfigError:
    hint = "take it out of the configuration; it would do nothing"
    return ConfigError("SL109", "use the configuration", place, f"{place}: {what} not in this version", hint=hint)
