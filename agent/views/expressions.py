"""The regular expressions of a configuration that can be tried on some text in more ways than there is time for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.errors import UsageError
from agent.core.expressions import MOST_CHARACTERS as LONGEST
from agent.core.expressions import wrong_with
from agent.core.expressions.cost import safe_length
from agent.core.expressions.trial import hard_text
from agent.core.line_patterns import MOST_CHARACTERS
from agent.query.language import parse_query
from agent.query.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config import Config, SourceConfig


def hard_expressions(config: Config) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Key of the catalogue, place in the configuration and facts for each of them, with such a text."""
    for index, source in enumerate(config.sources):
        if source.multiline_start is not None and (text := _hard_text(source.multiline_start)) is not None:
            yield "SL301.check", f"sources[{index}].multiline.start", {"value": source.multiline_start, "text": text}
        for where, pattern in _patterns(source):
            if (text := _hard_text(pattern, MOST_CHARACTERS)) is not None:
                yield "SL310.check", f"sources[{index}].{where}", {"value": pattern, "text": text}
    for index, rule in enumerate(config.alerts):
        for expression in _expressions(rule.match):
            if (text := _hard_text(expression)) is not None:
                facts = {"rule": rule.name, "value": expression, "text": text}
                yield "SL708.check", f"alerts[{index}].match", facts


def _patterns(source: SourceConfig) -> Iterator[tuple[str, str]]:
    """The places in a source where it has patterns of its own, and these."""
    if isinstance(source.format, str):
        return
    for index, one in enumerate(source.format):
        if one.pattern is not None:
            yield (f"format[{index}].pattern" if len(source.format) > 1 else "format.pattern"), one.pattern


def _expressions(match: str) -> list[str]:
    try:
        conditions = parse_query(match).conditions
    except UsageError:
        return []  # `alert.check.unusable` says why
    return list(dict.fromkeys(term.value for term in terms_of(conditions) if term.operator == "~"))


def _hard_text(expression: str, most: int = LONGEST) -> str | None:
    if wrong_with(expression, most) or safe_length(expression) == float("inf"):
        return None
    return hard_text(expression)
