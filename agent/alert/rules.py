"""A rule as the engine needs it: numbers in one unit, nothing to look up. Instants and durations are nanoseconds."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import msgspec

from agent.alert.window import BUCKETS
from agent.core.times import DAY_NS
from agent.core.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import RuleConfig


GROUP_FORMS = {"new_group": "new", "regressed": "regressed"}  # form of `when` -> what became of the group
COUNTER = "#"  # what a counter's name begins with, and no rule's
DAY_GRAIN_NS = DAY_NS // BUCKETS  # 675 s: a bucket of the day that a spike is also measured against
DEFAULT_MINIMUM = 10  # events that a ratio or a spike is judged on when `min` says nothing: 1 of 1 is no error rate
_NS = 1_000_000_000


class AlertRule(msgspec.Struct, frozen=True):
    """What decides when a rule fires. `shape` names everything that decides what it counts: while that stays the
    same, a reload and a restart keep its states.
    """

    name: str
    form: str  # count | rate | ratio | spike | new_group | regressed | absent
    threshold: float
    resolve_below: float
    minimum: int
    window_ns: int
    for_ns: int
    repeat_ns: int
    group_wait_ns: int
    inhibited_by: tuple[str, ...]
    keyless: bool  # it has one state only
    shape: str
    counter: str = ""  # what it shares with rules that count the same; empty: nothing

    @property
    def grain_ns(self) -> int:
        """The length of a bucket of its windows."""
        return self.window_ns // BUCKETS

    @property
    def about_groups(self) -> bool:
        """Whether it tells news of error groups: that is no condition which lasts, and so is never over."""
        return self.form in GROUP_FORMS

    @property
    def has_day(self) -> bool:
        """Whether its value is also measured against the last day: a spike whose windows are small beside that."""
        return self.form == "spike" and knows_day(self.window_ns)

    @property
    def needed(self) -> float:
        """Fewer events than this in the window cannot fire."""
        if self.form == "rate":
            return math.ceil(round(self.threshold * self.window_ns / _NS, 6))
        return self.minimum if self.form in ("ratio", "spike") else self.threshold

    def with_threshold(self, threshold: float) -> AlertRule:
        """The same rule with another threshold, and its hysteresis in proportion."""
        factor = threshold / self.threshold
        return msgspec.structs.replace(self, threshold=threshold, resolve_below=self.resolve_below * factor)


def whole_window_ns(window_s: float) -> int:
    """A window in ns, as a multiple of its grain: every instant at which it can change is the end of a bucket."""
    return max(1, round(window_s * _NS / BUCKETS)) * BUCKETS


def knows_day(window_ns: int) -> bool:
    """Whether a spike over such a window has the last day as a second baseline."""
    return 2 * window_ns < DAY_NS


def spike_value(count: int, before: int, day: int, window_ns: int) -> float:
    """How many times as many events as usual: the more usual of what the window before had and what a window of the
    last day has had on average.

    Args:
        count: events in the window.
        before: events in the window before.
        day: events of the last day, those in the window included; 0 where they are not known.
        window_ns: length of the window.
    """
    share = max(0, day - count) * window_ns / (DAY_NS - window_ns) if knows_day(window_ns) else 0.0
    return count / max(before, share, 1)


def value_of(form: str, minimum: int, window_ns: int, count: int, *, total: int, before: int, day: int) -> float:
    """The value of a rule, in the unit of its threshold.

    Args:
        form: of its `when`.
        minimum: events that a ratio or a spike is judged on.
        window_ns: length of the window.
        count: matching events in the window.
        total: for a ratio, all events in it.
        before: for a spike, those in the window before.
        day: for a spike, those of the last day.
    """
    if form == "rate":
        return count * _NS / window_ns
    if form == "ratio":
        return count / max(total, count) if count and total >= minimum else 0.0
    if form == "spike":
        return spike_value(count, before, day, window_ns) if count >= minimum else 0.0
    return float(count)


def compile_rule(config: RuleConfig) -> AlertRule:
    """The rule of a valid configuration."""
    form = config.when.form
    given = getattr(config.when, form)
    threshold = 1.0 if given is True else float(given)
    resolve_below = threshold if config.resolve_below is None else config.resolve_below
    window_ns = whole_window_ns(config.window)
    return AlertRule(
        name=config.name,
        form=form,
        threshold=threshold,
        resolve_below=resolve_below,
        minimum=DEFAULT_MINIMUM if config.when.min is None else config.when.min,
        window_ns=window_ns,
        for_ns=round(config.for_ * _NS),
        repeat_ns=round(config.repeat * _NS),
        group_wait_ns=round(config.group_wait * _NS),
        inhibited_by=tuple(config.inhibited_by),
        keyless=not config.per and form not in GROUP_FORMS,
        shape=_digest(config.match, form, config.window, config.per),
        # Rules that others inhibit are judged after those: they do not share with them.
        counter=""
        if form not in ("count", "rate")
        else COUNTER + _digest(config.match, config.window, config.per, len(config.inhibited_by)),
    )


def _digest(*parts: object) -> str:
    import hashlib  # noqa: PLC0415 - 3 ms, which who only shows states need not pay

    said = json.dumps(parts)
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


# ---------------------------------------------------------------- what is kept of a rule


Facts = dict[str, Any]


def facts_of(config: RuleConfig, rule: AlertRule) -> Facts:
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
        return f"{shown} {'event' if shown == '1' else 'events'} in {window} (threshold {limit})"
    what = {"rate": "events", "ratio": "of all events", "spike": "the usual number of events"}[form]
    return f"{shown} {what} in {window} (threshold {limit})"
