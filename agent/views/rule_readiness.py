"""Would the rules and expressions of a configuration do what they say: do their names exist, can they be tried in time?

Every function gives findings and changes nothing.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from agent.alert.check import names_nowhere
from agent.core.errors import SidelogError, UsageError
from agent.core.expression_cost import safe_length
from agent.core.expression_trial import hard_text
from agent.core.expressions import wrong_with
from agent.query.language import parse_query
from agent.query.terms import terms_of
from agent.views.diagnostic import Diagnostic, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config import Config
    from agent.tail.discover import DirectoryScan


def rules(config: Config, scan: DirectoryScan) -> Iterator[Diagnostic]:
    """What alert rules ask for that exists nowhere, as far as the store, if there is one, knows."""
    if not config.alerts:
        return
    from agent.query import open_engine  # noqa: PLC0415 - many have no rules

    with ExitStack() as stack:
        engine = None
        with suppress(SidelogError):  # it is not there yet, or `store` says what is wrong with it
            engine = open_engine(config.store.path, config.archive_directory, archived=False)
            stack.callback(engine.close)
        with suppress(SidelogError):
            for place, problem in names_nowhere(config, scan, engine):
                yield Diagnostic.at(place, problem)


def expressions(config: Config) -> Iterator[Diagnostic]:
    """The regular expressions that can be tried in more ways than there is time for."""
    for index, source in enumerate(config.sources):
        if source.multiline_start is not None and (text := _hard_text(source.multiline_start)) is not None:
            place = f"sources[{index}].multiline.start"
            yield warning("SL301.check", place, value=source.multiline_start, text=text)
    for index, rule in enumerate(config.alerts):
        try:
            terms = list(terms_of(parse_query(rule.match).conditions))
        except UsageError:
            continue  # said already
        for term in terms:
            if term.operator == "~" and (text := _hard_text(term.value)) is not None:
                yield warning("SL708.check", f"alerts[{index}].match", rule=rule.name, value=term.value, text=text)


def _hard_text(expression: str) -> str | None:
    if wrong_with(expression) or safe_length(expression) == float("inf"):
        return None
    return hard_text(expression)
