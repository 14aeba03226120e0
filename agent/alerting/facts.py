"""What a page says about a rule: kept in the store, so that a rule can be spoken of after it has left the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.config.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.alert.rules import Rule
    from agent.config import RuleConfig

Facts = dict[str, Any]


def facts_of(config: RuleConfig, rule: Rule) -> Facts:
    """The facts of a rule."""
    return {
        "name": config.name,
        "form": rule.form,
        "match": config.match,
        "per": list(config.per),
        "threshold": rule.threshold,
        "minimum": rule.minimum,
        "window": config.window,
        "severity": config.severity,
        "labels": dict(config.labels),
        "hooks": list(config.hooks),
        "keyless": rule.keyless,
        "counter": rule.counter,
    }


def shown_key(key: Mapping[str, str | None]) -> str:
    """A state's key for people: `service=shop, host=a`; empty without `per`."""
    return ", ".join(f"{name}={value}" for name, value in key.items())


def shown_value(form: str, value: float) -> str:
    """A value as the configuration writes its threshold: `50`, `1.5/s`, `5%`, `4x`."""
    if form == "rate":
        return f"{value:.3g}/s"
    if form == "ratio":
        return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"  # noqa: PLR2004  1.5% but 27%
    return f"{value:.3g}x" if form == "spike" else f"{value:g}"


def condition(facts: Mapping[str, Any], value: float) -> str:
    """What was found, in words."""
    form, window = facts["form"], format_duration(facts["window"])
    shown, limit = shown_value(form, value), shown_value(form, facts["threshold"])
    if form == "absent":
        return f"no event for {window}"
    if form == "new_group":
        return "an error that was never seen before"
    if form == "regressed":
        return "an error that was resolved or ignored has come back"
    if form == "count":
        return f"{shown} events in {window} (threshold {limit})"
    what = {"rate": "events", "ratio": "of all events", "spike": "the usual number of events"}[form]
    return f"{shown} {what} in {window} (threshold {limit})"
