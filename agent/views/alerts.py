"""Alert rules with their live state, their history, and when one would have fired; without asking the agent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agent.alert.rules import DAY_GRAIN_NS, DEFAULT_MINIMUM, compile_rule, facts_of, value_of, whole_window_ns
from agent.alert.window import BUCKETS
from agent.core.outbox import SavedState
from agent.store import alerts as tables
from agent.views import iso

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from agent.alert.replay import Firing, Moment, Replay
    from agent.config import RuleConfig
    from agent.query.engine import Engine

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
        "since": iso(state.since) if live and state.since else None,
        "silenced": silence and {**silence, "until": iso(silence["until"]), "created": iso(silence["created"])},
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


def history(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The rows of `alerts history --json`: when alerts fired and resolved, newest last."""
    return [
        {"rule": rule, "key": key, "state": state, "time": iso(at), "value": value, "threshold": threshold}
        for rule, key, state, at, value, threshold in tables.load_history(connection)
    ]


# ---------------------------------------------------------------- when a rule would have fired


def replay_document(rule: str, since: int, until: int, found: Replay, *, with_values: bool) -> dict[str, Any]:
    """The document of `alerts test --json`.

    Args:
        rule: its name.
        since: Unix ns.
        until: Unix ns.
        found: what the replay has shown.
        with_values: with the window's values at the moments that were asked for.
    """
    document = {"rule": rule, "from": iso(since), "to": iso(until), "firing": firing_rows(found.firings)}
    if with_values:
        document["values"] = moment_rows(found.moments)
    return document


def firing_rows(firings: Iterable[Firing]) -> list[dict[str, Any]]:
    """Each time that a rule would have fired."""
    return [
        {
            "key": json.loads(one.key),
            "started_at": iso(one.started_at),
            "ended_at": iso(one.ended_at),
            "value": one.value,
        }
        for one in firings
    ]


def moment_rows(moments: Iterable[Moment]) -> list[dict[str, Any]]:
    """The values of a rule's windows at some moments."""
    return [
        {"time": iso(moment.at), "key": json.loads(key), "value": value, "state": phase}
        for moment in moments
        for key, value, phase in moment.values
    ]


def back_test(
    engine: Engine, config: RuleConfig, since: int, until: int, *, threshold: float | None = None, steps: int = 0
) -> dict[str, Any]:
    """When a rule would have fired with a threshold of one's choice: the document of `alerts test --json` with more.

    Args:
        engine: has the events.
        config: the rule.
        since: Unix ns.
        until: Unix ns.
        threshold: in place of the rule's own; rules of a form without one keep what they have.
        steps: at so many moments, evenly spread, the highest values of its windows are told.

    Returns:
        besides those of `replay_document`: `threshold`, `events` (that matched), `by_threshold` (rows of `threshold,
        firings`).
    """
    from agent.alert.replay import has_threshold, replay  # noqa: PLC0415 - 20 ms that only tests need

    moments = sorted({since + (until - since) * step // steps for step in range(1, steps + 1)}) if steps else []
    movable = has_threshold(rule := compile_rule(config))
    found = replay(engine, config, since, until, nearby=True, moments=moments, threshold=threshold)
    return {
        **replay_document(config.name, since, until, found, with_values=bool(steps)),
        "threshold": threshold if movable and threshold is not None else rule.threshold,
        "events": found.events,
        "by_threshold": [{"threshold": limit, "firings": count} for limit, count in found.nearby],
    }


# ---------------------------------------------------------------- deliveries


def deliveries(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """What hooks were told and what came of it: rows of `delivery_id, rule, hook, state, created, attempts, finished,
    result, output`; what waits or was given up first, then the newest first.
    """
    rows = tables.recent_deliveries(connection, limit)
    return [row | {"created": iso(row["created"]), "finished": iso(row["finished"])} for row in rows]
