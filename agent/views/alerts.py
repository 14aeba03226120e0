"""Rules with their live state, for `alerts list` and `status`: read from the store, without asking the agent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agent.alert.rules import DAY_GRAIN_NS, DEFAULT_MINIMUM, compile_rule, facts_of, value_of, whole_window_ns
from agent.alert.window import BUCKETS
from agent.core.outbox import SavedState
from agent.core.times import format_utc
from agent.store import alerts as tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from agent.config import RuleConfig

_KEYS_SHOWN = 100  # states of one rule that are ok; all others are always shown


def list_states(connection: sqlite3.Connection, now: int, configs: Sequence[RuleConfig] = ()) -> list[dict[str, Any]]:
    """One row per state of each rule, and one for a rule that has none: `rule, key, state, value, threshold, since,
    silenced, severity, quiet`.

    Args:
        connection: read-only.
        now: Unix ns.
        configs: the rules; none: those that the agent last ran with.
    """
    known = tables.load_rules(connection)
    facts = {config.name: facts_of(config, compile_rule(config)) for config in configs} or known
    silences = tables.load_silences(connection, now)
    saved: dict[str, dict[str, Any]] = {}
    for state in tables.load_states(connection):
        saved.setdefault(state.rule, {})[state.key] = state
    rows = []
    for name, rule in facts.items():
        states = _with_counted(name, saved.get(name, {}), saved.get(rule.get("counter", ""), {}))
        if not states:
            states = {"{}": None}
        loud = [key for key, state in states.items() if state is not None and state.phase != "ok"]
        calm = [key for key in states if key not in loud]
        shown = (*loud, *calm[-_KEYS_SHOWN:])
        rows += [_row(rule, key, states[key], silences.get(name), now) for key in shown]
    return rows


def _with_counted(name: str, own: Mapping[str, SavedState], counted: Mapping[str, SavedState]) -> dict[str, Any]:
    """The states of a rule; what it shares with others is stored once, for all of them."""
    states: dict[str, Any] = {key: SavedState(name, key, rows=one.rows) for key, one in counted.items()}
    for key, state in own.items():
        states[key] = replace(state, rows=states[key].rows) if key in states else state
    return states


def _row(rule: Mapping[str, Any], key: str, state: Any, silence: Mapping[str, Any] | None, now: int) -> dict[str, Any]:
    live = state is not None
    return {
        "rule": rule["name"],
        "key": json.loads(key),
        "state": state.phase if live else "ok",
        "value": round(current_value(rule, state.rows, now), 6) if live else 0,
        "threshold": rule["threshold"],
        "since": format_utc(state.since) if live and state.since else None,
        "silenced": silence
        and {**silence, "until": format_utc(silence["until"]), "created": format_utc(silence["created"])},
        "severity": rule["severity"],
        "quiet": (state.quiet or None) if live else None,
    }


def current_value(rule: Mapping[str, Any], rows: Iterable[Any], now: int) -> float:
    """The value of a rule's window at this moment, out of its stored buckets."""
    window_ns = whole_window_ns(rule["window"])
    edge = now * BUCKETS // window_ns - BUCKETS
    count = total = before = day = 0
    for row in rows:
        if row.bucket < 0:
            day += row.events if -1 - row.bucket > now // DAY_GRAIN_NS - BUCKETS else 0
        elif row.bucket > edge:
            count, total = count + row.events, total + row.total
        elif row.bucket > edge - BUCKETS:
            before += row.events
    minimum = rule.get("minimum", DEFAULT_MINIMUM)
    return value_of(rule["form"], minimum, window_ns, count, total=total, before=before, day=day)


def evictions(connection: sqlite3.Connection) -> dict[str, int]:
    """How many idle states each rule has given up since it exists; rules without any are left out."""
    return {name: rule["evicted"] for name, rule in tables.load_rules(connection).items() if rule["evicted"]}
