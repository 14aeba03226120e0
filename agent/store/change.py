"""How those who do not own the writing connection change the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

_T = TypeVar("_T")


class Change(Protocol):
    """Runs a function on the writing connection, in a transaction of its own."""

    def __call__(self, function: Callable[[sqlite3.Connection], _T], /, *, durable: bool) -> _T:
        """What the function gives; with `durable` the transaction is on the disk by then."""
        ...
