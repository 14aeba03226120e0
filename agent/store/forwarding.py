"""How far each target of `forward` is, as the store keeps it; what grew since; what it never got; and the agent's id.

A target's position is an event id: of all events up to it is settled that the target has them, that its filter leaves
them out, or that they are in `forward_gaps`. What is about to be sent is noted before it is (`begin`), so that whoever
comes after a crash sends the same again. Functions that change something are called inside a transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from agent.store import unsent
from agent.store.reader import highest_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_AGENT_ID_BYTES = 16
_FORGET_NS = 30 * 86_400 * 10**9  # a target that the configuration has no more may come back within
_ONE_GAP_NS = 600 * 10**9
HELD, REFUSED = "hold", "refused"  # reasons of a gap: retention went first; the target takes the event never


# ---------------------------------------------------------------- who this agent is


class AgentRow(msgspec.Struct, frozen=True):
    """An id under which events are forwarded, from an event on. `place` is what tells this store from its copy."""

    id: str
    since_seq: int
    reason: str
    time: int
    place: str = ""


def agents(connection: sqlite3.Connection) -> list[AgentRow]:
    """All ids that this store's agent had, the one of now last."""
    rows = connection.execute("SELECT id, since_seq, reason, time, place FROM agents ORDER BY number")
    return [AgentRow(*row) for row in rows]


def current_agent(connection: sqlite3.Connection) -> str | None:
    """The agent's id; None where it never had one."""
    row = connection.execute("SELECT id FROM agents ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def begin_agent(connection: sqlite3.Connection, reason: str, now: int, *, since_seq: int = 0, place: str = "") -> str:
    """A new id for this agent. What was about to be sent under another is not any more.

    Args:
        connection: inside a transaction.
        reason: why: `first`, `copied`, `restored` …
        now: Unix ns.
        since_seq: the first event that is forwarded under it.
        place: what tells this store from its copy.
    """
    made = os.urandom(_AGENT_ID_BYTES).hex()
    connection.execute(
        "INSERT INTO agents (id, since_seq, reason, time, place) VALUES (?, ?, ?, ?, ?)",
        (made, since_seq, reason, now, place),
    )
    connection.execute("UPDATE forward_targets SET agent = ?, pending = NULL", (made,))
    return made


def ensure_agent(connection: sqlite3.Connection, now: int) -> str:
    """The agent's id, made where it has none."""
    return current_agent(connection) or begin_agent(connection, "first", now)


# ---------------------------------------------------------------- targets


class TargetSettings(msgspec.Struct, frozen=True):
    """What the store is told of a target of the configuration."""

    name: str
    kind: str  # clickhouse | otlp
    url: str  # that may be shown
    match: str = ""
    hold_age_ns: int | None = None
    hold_bytes: int | None = None


class Pending(msgspec.Struct, frozen=True):
    """What is being sent: the events after `start` up to `end`, or those named by changes after `start` up to `end`.

    The token is made by chance with the range: should a power cut take back both events and range, others get these
    ids, and a server that knows the token would drop them.
    """

    kind: str  # events | changes
    start: int
    end: int
    token: str
    match: str = ""
    agent: str = ""


class Target(msgspec.Struct):
    """A row of `forward_targets`. Instants are Unix ns."""

    name: str
    agent: str
    kind: str
    url: str
    match: str
    position: int
    changed: int
    pending: Pending | None
    forwarded: int
    rejected: int
    last_success: int | None
    failing_since: int | None
    last_error: dict[str, Any] | None  # code, message, hint, time
    circuit: str
    removed: int | None


_COLUMNS = (
    'name, agent, kind, url, "match", position, changed, pending, forwarded, rejected, last_success, failing_since,'
    " last_error, circuit, removed"
)


def targets(connection: sqlite3.Connection, *, removed: bool = False) -> list[Target]:
    """Those of the configuration, by name; with `removed` those that it had, too."""
    where = "" if removed else " WHERE removed IS NULL"
    return [_target(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM forward_targets{where} ORDER BY name")]  # noqa: S608 - own words


def read_target(connection: sqlite3.Connection, name: str) -> Target | None:
    """The target of this name."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM forward_targets WHERE name = ?", (name,)).fetchone()  # noqa: S608 - own words
    return None if row is None else _target(row)


def read_pending(connection: sqlite3.Connection, name: str) -> Pending | None:
    """What is on its way to a target."""
    found = read_target(connection, name)
    return None if found is None else found.pending


def _target(row: tuple[Any, ...]) -> Target:
    values = list(row)
    values[7] = None if row[7] is None else msgspec.json.decode(row[7], type=Pending)
    values[12] = None if row[12] is None else msgspec.json.decode(row[12])
    return Target(*values)


def save_targets(connection: sqlite3.Connection, wanted: Iterable[TargetSettings], now: int) -> None:
    """Make the targets those of the configuration. One that is new begins before all events that are there; one that
    has gone keeps its place for a month, in which retention does not wait for it.

    Args:
        connection: inside a transaction.
        wanted: all of them.
        now: Unix ns.
    """
    wanted = list(wanted)
    agent = ensure_agent(connection, now) if wanted else ""
    known = {name for (name,) in connection.execute("SELECT name FROM forward_targets")}
    for one in wanted:
        if one.name not in known:
            unsent.note_left_before(connection, one.name)
    connection.executemany(
        'INSERT INTO forward_targets (name, agent, kind, url, "match", hold_age, hold_size, changed, added)'
        " VALUES (?, ?, ?, ?, ?, ?, ?, coalesce((SELECT max(id) FROM forward_changes), 0), ?)"
        ' ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, url = excluded.url, "match" = excluded."match",'
        " hold_age = excluded.hold_age, hold_size = excluded.hold_size, removed = NULL",
        [(one.name, agent, one.kind, one.url, one.match, one.hold_age_ns, one.hold_bytes, now) for one in wanted],
    )
    names = msgspec.json.encode([one.name for one in wanted]).decode()
    connection.execute(
        "UPDATE forward_targets SET removed = ?, failing_since = NULL, last_error = NULL, circuit = 'closed'"
        " WHERE removed IS NULL AND name NOT IN (SELECT value FROM json_each(?))",
        (now, names),
    )
    for (name,) in connection.execute("SELECT name FROM forward_targets WHERE removed < ?", (now - _FORGET_NS,)):
        forget(connection, name)


def forget(connection: sqlite3.Connection, name: str) -> bool:
    """Forget how far a target is, and what it never got; whether there was one."""
    unsent.forget(connection, name)
    connection.execute("DELETE FROM forward_gaps WHERE target = ?", (name,))
    return connection.execute("DELETE FROM forward_targets WHERE name = ?", (name,)).rowcount > 0


def begin(connection: sqlite3.Connection, name: str, pending: Pending) -> None:
    """Note what is about to be sent. Once that is on the disk, so are the events: no power cut lets others have their
    ids.
    """
    text = msgspec.json.encode(pending).decode()
    connection.execute("UPDATE forward_targets SET pending = ? WHERE name = ?", (text, name))


def acknowledge(
    connection: sqlite3.Connection, name: str, done: Pending, sent: Sequence[int], now: int, *, rejected: int = 0
) -> None:
    """A target has what was pending.

    Args:
        connection: inside a transaction.
        name: of the target.
        done: what was pending.
        sent: ids of the events that it took.
        now: Unix ns.
        rejected: how many it did not want.
    """
    column = "changed" if done.kind == "changes" else "position"
    connection.execute(
        f"UPDATE forward_targets SET {column} = max({column}, ?), pending = NULL, forwarded = forwarded + ?,"  # noqa: S608 - own words
        " rejected = rejected + ?, last_success = ?, failing_since = NULL, last_error = NULL, circuit = 'closed'"
        " WHERE name = ?",
        (done.end, len(sent), rejected, now, name),
    )
    if done.kind == "changes":
        connection.execute(
            "DELETE FROM forward_changes WHERE id <= (SELECT min(changed) FROM forward_targets WHERE removed IS NULL)"
        )
    elif sent:
        _fill_gaps(connection, name, done, sent)


def pass_over(connection: sqlite3.Connection, name: str, position: int, changed: int) -> None:
    """Of all up to here is settled that the target is not to have it."""
    connection.execute(
        "UPDATE forward_targets SET position = max(position, ?), changed = max(changed, ?) WHERE name = ?",
        (position, changed, name),
    )


def fail(connection: sqlite3.Connection, name: str, error: dict[str, Any], now: int, *, circuit: str) -> None:
    """A target could not be sent to.

    Args:
        connection: inside a transaction.
        name: of the target.
        error: code, message, hint.
        now: Unix ns.
        circuit: closed | open.
    """
    text = msgspec.json.encode({**error, "time": now}).decode()
    connection.execute(
        "UPDATE forward_targets SET failing_since = coalesce(failing_since, ?), last_error = ?, circuit = ?"
        " WHERE name = ?",
        (now, text, circuit, name),
    )


def recover(connection: sqlite3.Connection, name: str) -> None:
    """A target answers again, with nothing to be sent."""
    connection.execute(
        "UPDATE forward_targets SET failing_since = NULL, last_error = NULL, circuit = 'closed'"
        " WHERE name = ? AND failing_since IS NOT NULL",
        (name,),
    )


def lag(connection: sqlite3.Connection, position: int) -> tuple[int, int | None]:
    """How many events are stored after a position, and when the first of them was (Unix ns). Ids are given without
    holes, so that none need be counted.
    """
    row = connection.execute(
        "SELECT id, observed_timestamp FROM events WHERE id > ? ORDER BY id LIMIT 1", (position,)
    ).fetchone()
    if row is None:
        return 0, None
    return highest_id(connection) - max(position, row[0] - 1), row[1]


# ---------------------------------------------------------------- gaps


class ForwardGap(msgspec.Struct, frozen=True):
    """Events that a target never got: so many among the ids from `first` to `last`. Instants are Unix ns."""

    target: str
    first: int
    last: int
    events: int
    first_timestamp: int | None
    last_timestamp: int | None
    reason: str
    detail: str
    time: int


def gaps(connection: sqlite3.Connection, target: str | None = None) -> list[ForwardGap]:
    """Those of a target, or all; the newest last."""
    rows = connection.execute(
        "SELECT target, first, last, events, first_timestamp, last_timestamp, reason, detail, time FROM forward_gaps"
        " WHERE ?1 IS NULL OR target = ?1 ORDER BY id",
        (target,),
    )
    return [ForwardGap(*row) for row in rows]


def note_refused(
    connection: sqlite3.Connection, name: str, event: int, timestamp: int, *, detail: str, now: int
) -> None:
    """A target refuses an event, however it is sent."""
    connection.execute(
        "INSERT INTO forward_gaps (target, first, last, events, first_timestamp, last_timestamp, reason, detail, time)"
        " SELECT ?1, ?2, ?2, 1, ?3, ?3, ?4, ?5, ?6"
        " WHERE NOT EXISTS (SELECT 1 FROM forward_gaps WHERE target = ?1 AND first = ?2 AND reason = ?4)",
        (name, event, timestamp, REFUSED, detail, now),
    )


Wanted = Callable[["sqlite3.Connection", str, int, int], list[tuple[int, int]]]
# (connection, match, after, last) -> id and instant of the events in this span that a filter lets through, by id


def pass_deleted(connection: sqlite3.Connection, last: int, now: int, wanted: Wanted) -> list[ForwardGap]:
    """Before retention deletes the events up to `last`: what a target has not got of them is a gap; these.

    Args:
        connection: inside the transaction that deletes.
        last: the highest id that goes.
        now: Unix ns.
        wanted: what a target's filter lets through.
    """
    behind = connection.execute(
        'SELECT name, position, "match" FROM forward_targets WHERE position < ?', (last,)
    ).fetchall()
    found = []
    for name, position, match in behind:
        events = wanted(connection, match, position, last)
        if events:
            unsent.note_passed(connection, name, position, last)
            if (pending := read_pending(connection, name)) is not None and pending.kind == "events":
                unsent.note_in_doubt(connection, name, pending.start + 1, min(pending.end, last))
            at = [timestamp for _, timestamp in events]
            found.append(ForwardGap(name, events[0][0], events[-1][0], len(events), min(at), max(at), HELD, "", now))
            _add_gap(connection, found[-1], position)
        connection.execute("UPDATE forward_targets SET position = ? WHERE name = ?", (last, name))
    return found


def _add_gap(connection: sqlite3.Connection, gap: ForwardGap, position: int) -> None:
    """Retention goes on in portions: one gap, not one for each, as long as that goes on."""
    grown = connection.execute(
        "UPDATE forward_gaps SET last = ?, events = events + ?, first_timestamp = min(first_timestamp, ?),"
        " last_timestamp = max(last_timestamp, ?), time = ? WHERE reason = ? AND id ="
        " (SELECT max(id) FROM forward_gaps WHERE target = ? AND last <= ? AND time > ?)",
        (
            *(gap.last, gap.events, gap.first_timestamp, gap.last_timestamp, gap.time, HELD, gap.target, position),
            gap.time - _ONE_GAP_NS,
        ),
    )
    if not grown.rowcount:
        connection.execute(
            "INSERT INTO forward_gaps"
            " (target, first, last, events, first_timestamp, last_timestamp, reason, detail, time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(gap),
        )


def _fill_gaps(connection: sqlite3.Connection, name: str, done: Pending, sent: Sequence[int]) -> None:
    """What was on its way when retention went past it has arrived after all."""
    rows = connection.execute(
        "SELECT id, first, last, events FROM forward_gaps WHERE target = ? AND reason = ? AND first <= ? AND last > ?",
        (name, HELD, done.end, done.start),
    ).fetchall()
    for number, first, last, events in rows:
        left = events - sum(first <= one <= last for one in sent)
        if left <= 0:
            connection.execute("DELETE FROM forward_gaps WHERE id = ?", (number,))
        else:
            connection.execute(
                "UPDATE forward_gaps SET first = ?, events = ? WHERE id = ?", (max(first, done.end + 1), left, number)
            )


class Hold(msgspec.Struct, frozen=True):
    """Up to where a target is, and how far retention waits for the rest."""

    position: int
    age_ns: int | None
    size_bytes: int | None


def holds(connection: sqlite3.Connection) -> list[Hold]:
    """Those of all targets of the configuration."""
    rows = connection.execute("SELECT position, hold_age, hold_size FROM forward_targets WHERE removed IS NULL")
    return [Hold(*row) for row in rows]
