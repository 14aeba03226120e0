"""A lease: of several processes that want to do something, one does it.

ClickHouse has no statement that compares and sets, so that two may write themselves into the table `leases` at the same
time; the row with the highest `ver` is the one that is read. What makes it one holder all the same is who waits for
whom. With T, how long the lease is good for:

- Who holds it renews it every T/3, and looks whether it still holds it. It acts on a look for 2T/3, and no longer.
- Who finds it run out writes itself into it, waits for 2T/3, and acts only if it is still its own then.

Whoever held it has looked by then, and seen the other, or acts no more. All instants in the table are the server's, and
durations are measured by clocks that never jump: no two clocks are ever compared. It takes for granted that a row that
one has written is read by the other within T/3: of replicas that lag further behind, two may hold it for a moment.
"""
# ruff: noqa: S608 - names are checked, values are escaped

from __future__ import annotations

import os
import secrets
import socket
import time
from typing import TYPE_CHECKING

from agent.clickhouse.client import literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.clickhouse.client import ClickHouseClient

LENGTH_S = 15.0
_NS = 1_000_000_000
_RENEWALS = 3  # in the time of a lease
_RANDOM = 999_999_999  # of `ver`, beside the seconds of the server: in what makes one row win over another
_NOW = "toInt64(toUnixTimestamp(now()))"  # in whole seconds: what old servers know, too
_WRITE = """
INSERT INTO {table} (name, holder, until, ver)
SELECT {name}, {holder}, ({now} + {length}) * 1000000000, toUInt64({now}) * 1000000000 + {chance}
FROM system.one
WHERE (SELECT count() FROM {table} FINAL WHERE name = {name} AND holder != {holder} AND until > {now} * 1000000000) = 0
"""
_READ = "SELECT holder, until - {now} * 1000000000, ver FROM {table} FINAL WHERE name = {name} FORMAT TabSeparatedRaw"


class Lease:
    """One process's part in a lease; used from one thread.

    Args:
        client: of the ClickHouse that has the table.
        name: of what is leased.
        length_s: how long it is good for, in seconds; at least 3.
        clock: seconds since any fixed moment, time of sleep included.
    """

    def __init__(
        self,
        client: ClickHouseClient,
        name: str,
        length_s: float = LENGTH_S,
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._client, self._name, self._clock = client, name, clock
        self.length_s = length_s
        # Names the process for people, and is no other process's, on whatever machine.
        self.holder = f"{socket.gethostname().replace(chr(9), ' ')}/{os.getpid()}/{secrets.token_hex(4)}"
        self.held_by = ""  # by whom, as far as is known
        self.epoch = 0  # since this process holds it: higher than with all who have held it before
        self._looked = -1e9  # when the last look began that found it to be our own
        self._claimed: float | None = None  # when it was written that it is ours, and not yet waited for
        self._is_held = False

    @property
    def step_s(self) -> float:
        """How often `turn` is to be called."""
        return self.length_s / _RENEWALS

    @property
    def left_s(self) -> float:
        """For how long this process may still act without another look; 0 where it may not."""
        left = self._looked + self.length_s * (_RENEWALS - 1) / _RENEWALS - self._clock()
        return max(left, 0.0) if self._is_held else 0.0

    def turn(self) -> bool:
        """Renew the lease, or try to get it; whether this process holds it.

        Raises:
            ClickHouseError: the server cannot be asked; it is held for `left_s` all the same.
        """
        began = self._clock()
        if self._is_held and self.left_s == 0:
            self._lost()
        found = self._read()
        if found is not None and found[0] != self.holder and found[1] > 0:
            self.held_by = found[0]
            self._lost()
            return False
        self._write()
        found = self._read()
        if found is None or found[0] != self.holder:
            self._lost()
            return False
        self.held_by = self.holder
        if not self._is_held:
            if self._claimed is None:
                self._claimed = self._clock()
            self._is_held = self._clock() - self._claimed >= self.length_s * (_RENEWALS - 1) / _RENEWALS
            self.epoch = found[2]
        self._looked = began
        return self._is_held

    def release(self) -> None:
        """Let another have it at once, if it is ours."""
        held, claimed = self._is_held, self._claimed
        self._lost()
        if held or claimed is not None:
            row = (literal(self._name), literal(self.holder), 0, f"toUInt64({_NOW}) * 1000000000 + {_RANDOM}")
            table = self._client.address.table("leases")
            columns = ", ".join(map(str, row))
            self._execute(
                f"INSERT INTO {table} (name, holder, until, ver) SELECT {columns} FROM system.one WHERE"
                f" (SELECT count() FROM {table} FINAL WHERE name = {row[0]} AND holder != {row[1]}) = 0"
            )

    def _lost(self) -> None:
        self._is_held, self._claimed = False, None

    def _read(self) -> tuple[str, int, int] | None:
        """Who has it, for how many ns still, and the number of that row."""
        sql = _READ.format(now=_NOW, table=self._client.address.table("leases"), name=literal(self._name))
        text = self._client.execute(sql).decode("utf-8", "replace").rstrip("\n")
        if not text:
            return None
        holder, left, ver = text.rsplit("\t", 2)
        return holder, int(left), int(ver)

    def _write(self) -> None:
        sql = _WRITE.format(
            table=self._client.address.table("leases"),
            name=literal(self._name),
            holder=literal(self.holder),
            now=_NOW,
            length=max(1, round(self.length_s)),
            chance=secrets.randbelow(_RANDOM),
        )
        self._execute(sql)

    def _execute(self, sql: str) -> None:
        self._client.execute(sql, {"insert_distributed_sync": 1})
