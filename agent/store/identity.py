"""Who an agent is to those whom it forwards to: an id, made once and kept in the store.

A server knows an event by agent id and sequence, the event's id in the store. So a store whose content goes on twice,
as a copy beside the original, a restored backup or a snapshot that was rolled back, gets another id before anything is
forwarded: under the old one it would overwrite what is there. What tells that a store was copied:

- The store notes inode and machine: a copied file has another inode, a cloned machine another machine-id.
- The lock file beside the store, which copies of the store leave where it is, notes the number of the last start and
  the highest event id of the last stop: a store that is behind them is an older one that was put in its place.
- The server, for what keeps all that (`forward.claim`).

What was acknowledged under an earlier id is there and is not sent again, so that an id too many costs nothing.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from agent.core.errors import SidelogError
from agent.store import faults, forwarding, tables
from agent.store.reader import get_meta, highest_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from agent.store.forwarding import AgentRow
    from agent.store.lock import StoreLock

_META = "agent"  # the key in `meta`: the start's number, inode and machine
_ELSEWHERE = 1 << 62  # as `since_seq`: the id of another store, of which no event is here
_MACHINE_ID = Path("/etc/machine-id")
_REMEMBERED = 8  # ids that the lock file names: it has 4 KiB

# Why there is a new id, in the words of SL661.
RESTORED = "it was restored from a backup"
SALVAGED = "it was salvaged"
RENEWED = "it was begun anew in the place of another"
COPIED = "it is a copy of another file"
CLONED = "it lies on another machine than before"
ROLLED_BACK = "it is older than what ran here last"
_MADE = "made"


def sent_until(agent: AgentRow, target: str) -> int:
    """The last event that a target has under the ids before this one."""
    upto = orjson.loads(agent.place or "{}").get("upto", {})
    return int(upto.get(target, agent.since_seq - 1))


def is_of_another(agent: AgentRow) -> bool:
    """Whether an id is that of another store, so that what went under it is not here under the same numbers."""
    return agent.since_seq >= _ELSEWHERE


def renew(connection: sqlite3.Connection, reason: str) -> str:
    """Give a store a new id, under which goes what is not acknowledged yet; inside a transaction.

    Args:
        connection: a writing one.
        reason: why, in the words of SL661.
    """
    positions = dict(connection.execute("SELECT name, position FROM forward_targets").fetchall())
    since = min(positions.values(), default=0) + 1
    place = {"host": os.uname().nodename, "upto": positions}
    text = orjson.dumps(place).decode()
    return forwarding.begin_agent(connection, reason, time.time_ns(), since_seq=since, place=text)


def renew_copy(connection: sqlite3.Connection, reason: str) -> None:
    """As `renew` for a file that was made just now and gets a store's place, which is no reason for one more id; of an
    older version it gets its first id when it is opened.
    """
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'agents'").fetchone() is None:
        return
    if forwarding.current_agent(connection) is not None:
        renew(connection, reason)
    noted = get_meta(connection, _META)
    tables.set_meta(connection, _META, {key: value for key, value in noted.items() if key not in {"inode", "machine"}})


def settle(connection: sqlite3.Connection, path: Path, lock: StoreLock) -> SidelogError | None:
    """Give a store that is opened for writing its first id, or another where it is not what ran here last.

    Args:
        connection: the writer's.
        path: of the store.
        lock: which is held.

    Returns:
        SL661 where it has another id now than what was here.

    Raises:
        StoreError: as `faults.changing`.
    """
    seen, here = lock.witness, _here(path)
    with faults.changing(connection, path):
        noted, ids = get_meta(connection, _META), [known.id for known in forwarding.agents(connection)]
        reason = _reason(noted, here, seen, ids, highest_id(connection))
        known = {*ids}
        for former in seen.get("agents", []):
            if former not in known:
                _remember(connection, str(former))
        if reason is not None:
            renew(connection, reason)
        start = max(int(noted.get("start", 0)), int(seen.get("start", 0))) + 1  # type: ignore[call-overload]
        tables.set_meta(connection, _META, {**noted, **here, "start": start})
        ids = [known.id for known in forwarding.agents(connection)]
    lock.attest({"agents": ids[-_REMEMBERED:], "start": start})
    if reason in {None, _MADE}:
        return None
    return SidelogError.of("SL661", path, why=reason, agent=ids[-1])


def attest_end(connection: sqlite3.Connection, lock: StoreLock) -> None:
    """Note beside the store how far it has come."""
    if lock.witness:
        lock.attest({**lock.witness, "last": highest_id(connection)})


def _here(path: Path) -> dict[str, object]:
    """What a copy does not share. Device numbers are no part of it: they change from one boot to the next."""
    found = faults.identity(path)
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    # Only compared: the id itself is not to be shown to others (machine-id(5)).
    named = uuid.uuid5(uuid.NAMESPACE_OID, f"sidelog {machine}").hex if machine else ""
    return {"inode": found[1] if found else 0, "machine": named}


def _reason(
    noted: Mapping[str, Any], here: Mapping[str, object], seen: Mapping[str, Any], ids: list[str], last: int
) -> str | None:
    """Why a store needs a new id; None: it does not.

    Args:
        noted: what the store says of where it lay.
        here: where it lies.
        seen: what the lock file says of what ran here last.
        ids: those of the store.
        last: the highest id that an event of it had.
    """
    witnesses = seen.get("agents", [])
    if not ids:
        return RENEWED if witnesses else _MADE
    if "machine" in noted and noted["machine"] and here["machine"] and noted["machine"] != here["machine"]:
        return CLONED
    if "inode" in noted and noted["inode"] != here["inode"]:
        return COPIED
    if witnesses[-1:] != ids[-1:]:
        # Another one than ran here. That it knows that one says that it was renewed on purpose; or the lock is new.
        return COPIED if witnesses and "inode" in noted and witnesses[-1] not in ids else None
    behind = int(noted.get("start", 0)) < int(seen.get("start", 0)) or last < int(seen.get("last", 0))
    return ROLLED_BACK if behind else None


def _remember(connection: sqlite3.Connection, former: str) -> None:
    """Keep the id of another store that was here: this one may read the same logs again."""
    newest = connection.execute("SELECT max(number) FROM agents").fetchone()[0]
    if newest is not None:
        connection.execute("UPDATE agents SET number = number + 1 WHERE number = ?", (newest,))
    connection.execute(
        "INSERT INTO agents (number, id, since_seq, reason, time) VALUES (?, ?, ?, ?, ?)",
        (newest or 1, former, _ELSEWHERE, RENEWED, time.time_ns()),
    )
