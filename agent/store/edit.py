"""Small changes that a person makes to a store, beside a running agent: the states of error groups."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote

from agent.core.errors import SidelogError, StoreError
from agent.core.text import enumerated
from agent.core.times import instant_after, parse_duration
from agent.store import access, faults, team
from agent.store.reader import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_BUSY_TIMEOUT_S = 10.0  # the agent's transactions take milliseconds


@contextlib.contextmanager
def editing(path: Path) -> Iterator[sqlite3.Connection]:
    """A writing connection inside one transaction, committed at the end of the block and rolled back on an error.

    Raises:
        StoreError: as `open_reader`; SL408 the store stays locked; SL412 it cannot be written, by a member of the group
            of `store.group` for example.
    """
    open_reader(path).close()  # says what is wrong with the store, if anything
    if (others := faults.other_owner(path)) is not None:
        owner, user = others
        raise StoreError.of("SL412.reader", path, owner=owner, user=user)
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S
    )
    try:
        with faults.translated(path):
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # checkpoints are the agent's alone
        with faults.changing(connection, path):
            yield connection
    finally:
        team.close(connection, path)


def change_groups(
    path: Path,
    groups: Sequence[int],
    state: str,
    *,
    now: int,
    who: str,
    duration: str | None = None,
    until_count: int | None = None,
) -> int | None:
    """Give error groups a state, all of them or none, and keep in the log who did; the end of an `ignored`, Unix ns.

    Args:
        path: of the store.
        groups: their ids, of which one may stand twice.
        state: the new one.
        now: Unix ns.
        who: for the log.
        duration: how long they are ignored, as a person writes it. None: no time ends it.
        until_count: so many more events end it. None: no number does.

    Raises:
        UsageError: SL515, the duration is none.
        SidelogError: SL540, there is no such group.
        StoreError: as `editing`.
    """
    numbers = list(dict.fromkeys(groups))
    until = None if duration is None else instant_after(now, parse_duration(duration))
    limits = [f"until {until_count} more"] if until_count else []
    limits += [f"for {duration}"] if duration else []
    with editing(path) as connection:
        unknown = []
        for number in numbers:
            if not set_group_state(connection, number, state, now, until=until, until_count=until_count):
                unknown.append(number)
            action = "reopened" if state == "ongoing" else state
            access.note(connection, now, who, action, f"group {number}", ", ".join(limits))
        if unknown:  # takes the others back, too
            variant = "" if len(numbers) == 1 else ".one" if len(unknown) == 1 else ".several"
            raise SidelogError.of(f"SL540{variant}", enumerated(unknown))
    return until


def set_group_state(
    connection: sqlite3.Connection,
    group: int,
    state: str,
    now: int,
    *,
    until: int | None = None,
    until_count: int | None = None,
) -> bool:
    """Give an error group a state; whether there is such a group.

    Args:
        connection: inside a transaction.
        group: its id.
        state: the new one.
        now: Unix ns.
        until: Unix ns; an event of then or later ends an `ignored`. None: no time does.
        until_count: so many more events end it. None: no number does.
    """
    changed = connection.execute(
        "UPDATE error_groups SET state = ?, state_changed = ?, ignored_until = ?, ignored_until_count = count + ?"
        " WHERE id = ?",
        (state, now, until, until_count, group),
    )
    return changed.rowcount > 0


# ---------------------------------------------------------------- changes by others than the writer


_T = TypeVar("_T")


class Change(Protocol):
    """Runs a function on the writing connection, in a transaction of its own."""

    def __call__(self, function: Callable[[sqlite3.Connection], _T], /, *, durable: bool) -> _T:
        """What the function gives; with `durable` the transaction is on the disk by then."""
        ...
