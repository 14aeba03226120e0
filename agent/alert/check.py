"""What `sidelog check` says of rules: a match that cannot be read, and one that can match nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.alert.matching import RuleMatch
from agent.config import InvalidConfigError
from agent.core.errors import ConfigError, SidelogError, UsageError
from agent.query.language import parse_query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.config import Config
    from agent.query.engine import Engine
    from agent.tail.discover import DirectoryScan


def unusable(config: Config, file: Path | None = None) -> list[ConfigError]:
    """One SL705 per rule or target of `forward` whose match cannot be read.

    Args:
        config: otherwise valid.
        file: where it came from, for the messages.
    """
    found = []
    for index, rule in enumerate(config.alerts):
        place = f"alerts[{index}].match"
        if file is not None:
            place = f"{file}: {place}"
        found += _problem(place, rule.name, rule.match)
    for index, target in enumerate(config.forward):
        place = f"forward[{index}].match"
        if file is not None:
            place = f"{file}: {place}"
        try:
            parse_query(target.match)
        except UsageError as error:
            found.append(ConfigError.of("SL705.target", place, hint=error.hint, target=target.name, why=error.message))
    return found


def with_unusable(error: InvalidConfigError) -> InvalidConfigError:
    """What is wrong with a configuration, and with the `match` of its rules: all is told at once."""
    more = [problem for place, name, match in error.matches for problem in _problem(place, name, match)]
    return InvalidConfigError([*error.findings, *more])


def _problem(place: str, rule: str, match: str) -> list[ConfigError]:
    try:
        RuleMatch.of(match)
    except UsageError as error:
        return [ConfigError.of("SL705", place, hint=error.hint, rule=rule, why=error.message)]
    return []


def names_nowhere(config: Config, scan: DirectoryScan, engine: Engine | None) -> Iterator[tuple[str, SidelogError]]:
    """What rules ask for that exists nowhere, each with its place in the configuration.

    Args:
        config: valid; its sources are those that there are.
        scan: the files that they match now.
        engine: has the events whose fields there are; None: nothing is said of fields.

    Raises:
        SidelogError: the engine cannot be read.
    """
    from agent.query.engine import LogName  # noqa: PLC0415 - an agent needs none of it
    from agent.query.language import Query, Selection, parse_query  # noqa: PLC0415
    from agent.query.reasons import reasons, unknown_fields  # noqa: PLC0415

    logs = {LogName(source.name, "") for source in config.sources}
    logs |= {LogName(found.source.name, found.path) for found in scan.files}
    for index, rule in enumerate(config.alerts):
        place = f"alerts[{index}]"
        try:
            selection = Selection(parse_query(rule.match))
        except UsageError:  # `unusable` says so
            continue
        for reason in reasons(engine, selection, logs):
            yield f"{place}.match {rule.name}", reason
        for reason in [] if engine is None else unknown_fields(engine, Query(), rule.per):
            yield f"{place}.per {rule.name}", reason
