"""What only the query language can say about a configuration: whether the matches of its rules can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.alerting.matching import Plan
from agent.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config import Config


def unusable(config: Config, file: Path | None = None) -> list[ConfigError]:
    """One SL705 per rule whose match cannot be read.

    Args:
        config: otherwise valid.
        file: where it came from, for the messages.
    """
    found = []
    for index, rule in enumerate(config.alerts):
        place = f"alerts[{index}].match"
        if file is not None:
            place = f"{file}: {place}"
        try:
            Plan.of(rule.match)
        except UsageError as error:
            sentence = f"{place}: rule {rule.name}: {error.message}"
            found.append(ConfigError("SL705", "read the rule", place, sentence, hint=error.hint))
    return found
