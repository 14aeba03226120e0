"""Statements on the tables of alerts: states and windows, silences, the history, and deliveries as an outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from agent.core.outbox import AlertWrites, Delivery, DeliveryOutcome, SavedBucket, SavedState
from agent.store.reader import get_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

_SAVE_STATE = """
INSERT INTO alert_states (rule, "key", phase, since, started_at, value, notified, repeat_at, repeats, quiet)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET phase = excluded.phase, since = excluded.since, started_at = excluded.started_at,
  value = excluded.value, notified = excluded.notified, repeat_at = excluded.repeat_at, repeats = excluded.repeats,
  quiet = excluded.quiet
"""
_SAVE_WINDOW = """
INSERT INTO alert_windows (rule, "key", bucket, count, total, event_id) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = excluded.count, total = excluded.total,
  event_id = max(event_id, excluded.event_id)
"""
_SAVE_DELIVERY = """
INSERT INTO deliveries (delivery_id, rule, hook, state, created, document, "key", change)
VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id
"""
_SAVE_OUTCOME = """
UPDATE deliveries SET state = ?, attempts = ?, next_attempt = ?, finished = ?, result = ?, output = ? WHERE id = ?
"""
_LOAD_DELIVERIES = """
SELECT delivery_id, rule, hook, "key", change, created, document, id, attempts, next_attempt
FROM deliveries WHERE state = 'waiting' ORDER BY id
"""


def save(connection: sqlite3.Connection, writes: AlertWrites) -> None:
    """Store everything; inside a transaction. Deliveries get their `id`; one that was stored before keeps 0."""
    for rule, key in writes.gone:
        connection.execute('DELETE FROM alert_states WHERE rule = ? AND "key" = ?', (rule, key))
        connection.execute('DELETE FROM alert_windows WHERE rule = ? AND "key" = ?', (rule, key))
    connection.executemany("DELETE FROM alert_windows WHERE rule = ? AND bucket BETWEEN ? AND ?", writes.expired)
    _save_states(connection, writes.saved)
    connection.executemany(
        'INSERT INTO alert_history (rule, "key", state, time, value, threshold, quiet) VALUES (?, ?, ?, ?, ?, ?, ?)',
        writes.history,
    )
    for one in writes.deliveries:
        row = connection.execute(
            _SAVE_DELIVERY, (one.delivery_id, one.rule, one.hook, one.created, one.document, one.key, one.change)
        ).fetchone()
        one.id = 0 if row is None else row[0]
    connection.executemany(_SAVE_OUTCOME, [_outcome(one) for one in writes.outcomes])
    connection.executemany(
        "INSERT INTO hook_states (hook, facts) VALUES (?, ?) ON CONFLICT DO UPDATE SET facts = excluded.facts",
        list(writes.hooks.items()),
    )
    connection.executemany(
        "UPDATE alert_rules SET evicted = ? WHERE name = ?", [(n, name) for name, n in writes.evicted.items()]
    )


def _save_states(connection: sqlite3.Connection, states: Sequence[SavedState]) -> None:
    """Remember states and the buckets of their windows that have changed."""
    for one in states:
        if one.phase == "ok" and not one.since:  # it never left `ok`: its windows say all of it
            pass
        elif one.phase == "ok":
            connection.execute('DELETE FROM alert_states WHERE rule = ? AND "key" = ?', (one.rule, one.key))
        else:
            facts = (
                one.phase,
                one.since,
                one.started_at,
                one.value,
                one.notified,
                one.repeat_at,
                one.repeats,
                one.quiet,
            )
            connection.execute(_SAVE_STATE, (one.rule, one.key, *facts))
    moved = [(one.rule, one.key) for one in states if one.whole]
    connection.executemany('DELETE FROM alert_windows WHERE rule = ? AND "key" = ?', moved)
    connection.executemany(_SAVE_WINDOW, [(one.rule, one.key, *row) for one in states for row in one.rows])


def _outcome(one: DeliveryOutcome) -> tuple[object, ...]:
    finished = None if one.state == "waiting" else one.at
    return one.state, one.attempts, one.next_attempt, finished, one.result, one.output, one.id


def load_states(connection: sqlite3.Connection) -> list[SavedState]:
    """All states that are remembered, with their windows."""
    found: dict[tuple[str, str], SavedState] = {}
    for row in connection.execute(
        'SELECT rule, "key", phase, since, started_at, value, notified, repeat_at, repeats, quiet FROM alert_states'
    ):
        found[row[0], row[1]] = SavedState(*row)
    for rule, key, *rest in connection.execute(
        'SELECT rule, "key", bucket, count, total, event_id FROM alert_windows ORDER BY bucket'
    ):
        state = found.get((rule, key))
        if state is None:
            state = found[rule, key] = SavedState(rule, key)
        state.rows.append(SavedBucket(*rest))
    return list(found.values())


def load_rules(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """What the agent last said about each of its rules: shape, threshold, window and so on; and states evicted."""
    rows = connection.execute("SELECT name, shape, facts, evicted FROM alert_rules")
    return {name: {**orjson.loads(facts), "shape": shape, "evicted": evicted} for name, shape, facts, evicted in rows}


def save_rules(
    connection: sqlite3.Connection, rules: Mapping[str, tuple[str, Mapping[str, object]]], counters: Sequence[str] = ()
) -> None:
    """Note the rules that run from now on: name to shape and facts. States of others, and of those whose shape has
    changed, are forgotten, and so are the windows of other `counters` than these, whose names begin with `#`.
    """
    _keep_counted(connection, rules)
    connection.execute(
        "DELETE FROM alert_windows WHERE rule GLOB '#*' AND rule NOT IN (SELECT value FROM json_each(?))",
        (orjson.dumps(counters).decode(),),
    )
    known = dict(connection.execute("SELECT name, shape FROM alert_rules").fetchall())
    for name, shape in known.items():
        if name not in rules or rules[name][0] != shape:
            connection.execute("DELETE FROM alert_states WHERE rule = ?", (name,))
            connection.execute("DELETE FROM alert_windows WHERE rule = ?", (name,))
        if name not in rules:
            connection.execute("DELETE FROM alert_rules WHERE name = ?", (name,))
    connection.executemany(
        "INSERT INTO alert_rules (name, shape, facts) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET shape = excluded.shape, facts = excluded.facts",
        [(name, shape, orjson.dumps(facts).decode()) for name, (shape, facts) in rules.items()],
    )


def _keep_counted(connection: sqlite3.Connection, rules: Mapping[str, tuple[str, Mapping[str, object]]]) -> None:
    """Give rules that count the same as before, by another counter, the windows of the one that they had. One without
    a counter counts under its own name, as all did for an agent that noted none.
    """
    for name, before in load_rules(connection).items():
        shape, facts = rules.get(name, ("", {}))
        if shape != before["shape"]:
            continue
        had, has = before.get("counter") or name, facts["counter"] or name
        if had != has:
            connection.execute(
                'INSERT OR IGNORE INTO alert_windows (rule, "key", bucket, count, total, event_id)'
                ' SELECT ?, "key", bucket, count, total, event_id FROM alert_windows WHERE rule = ?',
                (has, had),
            )
            if had == name:
                connection.execute("DELETE FROM alert_windows WHERE rule = ?", (name,))


def judged_until(connection: sqlite3.Connection, now: int, booted: int) -> int:
    """When the last agent judged its rules for the last time, as far as is known (Unix ns; 0: never). One that stopped
    as it should has said so. One that died on a machine that is still up was started again at once, as services are;
    where it died with the machine, the store knows what it wrote last.

    Args:
        connection: any.
        now: Unix ns.
        booted: when the machine was started, Unix ns.
    """
    from agent.store.maintenance import known_ns  # noqa: PLC0415 - readers of alerts need no writer: 10 ms

    stopped = get_meta(connection, "run").get("stopped_at")
    if isinstance(stopped, int):
        return stopped
    (moved,) = connection.execute(
        "SELECT max(coalesce((SELECT max(since) FROM alert_states), 0),"
        " coalesce((SELECT time FROM alert_history ORDER BY id DESC LIMIT 1), 0))"
    ).fetchone()
    last = max(known_ns(connection), int(moved))
    return now if last > booted else last


def load_deliveries(connection: sqlite3.Connection) -> list[Delivery]:
    """The deliveries that wait, in the order in which they were made."""
    return [Delivery(*row) for row in connection.execute(_LOAD_DELIVERIES)]


# ------------------------------------------------------------ silences


def load_silences(connection: sqlite3.Connection, now: int) -> dict[str, dict[str, Any]]:
    """The silences that hold: rule to `until` and `created` (Unix ns), `author`, `comment`."""
    rows = connection.execute("SELECT rule, created, until, author, comment FROM silences WHERE until > ?", (now,))
    return {
        rule: {"until": until, "created": created, "author": author, "comment": comment}
        for rule, created, until, author, comment in rows
    }


def silence(connection: sqlite3.Connection, rule: str, *, created: int, until: int, author: str, comment: str) -> None:
    """Keep a rule quiet until an instant; a silence that it has is replaced."""
    connection.execute(
        "INSERT INTO silences (rule, created, until, author, comment) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " created = excluded.created, until = excluded.until, author = excluded.author, comment = excluded.comment",
        (rule, created, until, author, comment),
    )


def unsilence(connection: sqlite3.Connection, rule: str, now: int) -> bool:
    """End a rule's silence; whether there was one."""
    held = connection.execute("DELETE FROM silences WHERE rule = ? RETURNING until", (rule,)).fetchone()
    return held is not None and held[0] > now


# ------------------------------------------------------------ for readers


def redeliver(connection: sqlite3.Connection, which: str) -> int:
    """Let a dead delivery, by its id or its delivery_id (`all`: every dead one), be tried anew; how many there were."""
    done = connection.execute(
        "UPDATE deliveries SET state = 'waiting', attempts = 0, next_attempt = 0, finished = NULL"
        " WHERE state = 'dead' AND (? = 'all' OR delivery_id = ? OR CAST(id AS TEXT) = ?)",
        (which, which, which),
    )
    return done.rowcount


def recent_deliveries(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest deliveries, the newest first; those that wait or were given up before all others. `output` is what the
    hook has said; instants are Unix ns.
    """
    names = ("delivery_id", "rule", "hook", "state", "created", "attempts", "finished", "result", "output")
    rows = connection.execute(
        "SELECT delivery_id, rule, hook, state, created, attempts, finished, result, output FROM deliveries"
        " ORDER BY state = 'delivered', id DESC LIMIT ?",
        (limit,),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def load_history(connection: sqlite3.Connection) -> list[tuple[str, str, str, int, float, float]]:
    """Every change of a rule's state, oldest first: rule, key (JSON), state, Unix ns, value, threshold."""
    return connection.execute(
        'SELECT rule, "key", state, time, value, threshold FROM alert_history ORDER BY id'
    ).fetchall()


def hook_rows(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Per hook that ever had something to deliver or failed: counts of deliveries by state, circuit, last result."""
    hooks: dict[str, dict[str, Any]] = {}

    def row(hook: str) -> dict[str, Any]:
        empty = {"name": hook, "circuit": "closed", "failures": 0, "last_error": None}
        return hooks.setdefault(hook, {**empty, "waiting": 0, "delivered": 0, "dead": 0})

    for hook, facts in connection.execute("SELECT hook, facts FROM hook_states"):
        row(hook).update(orjson.loads(facts))
    for hook, state, count in connection.execute("SELECT hook, state, count(*) FROM deliveries GROUP BY hook, state"):
        row(hook)[state] = count
    return [hooks[name] for name in sorted(hooks)]
