"""Small changes that a person makes to a store, beside a running agent: the state of an error group."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote

from agent.core.errors import StoreError
from agent.store import faults, team
from agent.store.reader import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
