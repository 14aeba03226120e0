"""Sends batches, groups and the agent's own row to a ClickHouse.

A batch is one insert for each month, which is a partition: a server takes no more than 100 at once. Each insert is all
or nothing, and again without harm: by its token on servers that know such, by its bytes on replicated tables, and in
the end by the key of its rows.
"""

from __future__ import annotations

import random
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from agent.clickhouse import columns, native, schema
from agent.clickhouse.address import ClickHouseAddress
from agent.clickhouse.client import ClickHouseClient
from agent.clickhouse.faults import ClickHouseError
from agent.forward.rows import fleet_group
from agent.store import outgoing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agent.config import ForwardConfig
    from agent.forward.reading import Batch, BatchReader
    from agent.forward.rows import EncodedPart

    Settings = Mapping[str, str | int]
    TokenedPart = tuple[EncodedPart, str]

# What a server says of rows that it will never take, however often they are sent: they cannot be parsed or converted,
# or break a constraint. https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_OF_DATA = frozenset((6, 26, 27, 32, 33, 38, 41, 43, 53, 69, 70, 72, 117, 128, 130, 131, 190, 321, 349, 407, 469, 636))
_TOO_LARGE = 413  # of HTTP: by a proxy in between
_DOUBTFUL = 50  # single events refused in a row: it is the server, not these events; they are held then

_COUNT = 13  # its place among the columns

_TRIES = 3
_QUICK_S = 2.0  # a connection that breaks later was not cut, it hung
_SOON_S = 0.2
_T = TypeVar("_T")


class PatientClient(ClickHouseClient):
    """A client that asks again at once where a connection was cut: all that is sent here may be sent twice. What hangs,
    or is not there, is left to whoever waits longer.
    """

    def execute(self, sql: str, settings: Settings | None = None, *, plain: bool = False) -> bytes:
        """As `ClickHouseClient.execute`."""
        return self._again(lambda: super(PatientClient, self).execute(sql, settings, plain=plain))

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        body: bytes,
        *,
        token: str = "",
        form: str = "Native",
        settings: Settings | None = None,
    ) -> None:
        """As `ClickHouseClient.insert`."""
        insert = super().insert
        self._again(lambda: insert(table, columns, body, token=token, form=form, settings=settings))

    def _again(self, ask: Callable[[], _T]) -> _T:
        for left in range(_TRIES - 1, -1, -1):
            began = time.monotonic()
            try:
                return ask()
            except ClickHouseError as error:
                if error.code != "SL650" or not left or time.monotonic() - began > _QUICK_S:
                    raise
                time.sleep(random.uniform(0.0, _SOON_S))  # noqa: S311 - no secret
        raise AssertionError


class Refused(NamedTuple):
    """An event that a server takes never, and what it says."""

    event: int
    why: str


class ClickHouseSender:
    """Sends to one target. Used from one thread.

    Args:
        target: with `clickhouse`.
        agent: the agent's id.

    Raises:
        ConfigError: SL110, the password cannot be had.
    """

    def __init__(self, target: ForwardConfig, agent: str) -> None:
        self.agent = agent
        self.client = PatientClient(ClickHouseAddress.of(target))
        self._checked = False
        self._in_a_row = 0  # single events that were refused since it took something
        self._groups: dict[int, tuple[str | int, ...]] = {}  # as they were sent last
        self._names = columns.names(columns.EVENTS)

    def close(self) -> None:
        """Give back the connections."""
        self.client.close()

    def check(self) -> None:
        """See that the tables are there; once.

        Raises:
            ClickHouseError: they are not, or it cannot be asked.
        """
        if not self._checked:
            schema.check(self.client)
            self._checked = True

    def send(self, batch: Batch) -> list[TokenedPart]:
        """Send a batch, from any thread; what of it was refused as data.

        Raises:
            ClickHouseError: it did not take it, or not all.
        """
        self.check()
        refused = []
        for part in batch.parts:
            token = f"{batch.pending.token}-{part.month}"
            try:
                self._insert(part.body, token)
            except ClickHouseError as error:
                if not _is_of_data(error):
                    raise
                refused.append((part, token))
            else:
                self._in_a_row = 0
        return refused

    def sort_out(self, parts: list[TokenedPart], batch: Batch, reader: BatchReader, position: int) -> list[Refused]:
        """Send what was refused as data in ever smaller parts; the events that the server takes never.

        Raises:
            ClickHouseError: it did not take the others, or refuses all.
        """
        refused: list[Refused] = []
        waiting = deque(parts)
        while waiting:
            part, token = waiting.popleft()
            try:
                self._insert(part.body, token)
            except ClickHouseError as error:
                if not _is_of_data(error):
                    raise
                if len(part.ids) > 1:
                    waiting += self._halves(part, token, batch, reader, position)
                    continue
                self._in_a_row += 1
                if self._in_a_row >= _DOUBTFUL:
                    raise
                refused.append(Refused(part.ids[0], error.message))
            else:
                self._in_a_row = 0
        return refused

    def _halves(
        self, part: EncodedPart, token: str, batch: Batch, reader: BatchReader, position: int
    ) -> Iterator[TokenedPart]:
        """What is refused as data, in two: until the events are found that are refused whatever they come with."""
        middle = len(part.ids) // 2
        for number, half in enumerate((part.ids[:middle], part.ids[middle:])):
            for made in reader.only(half, batch.pending, position):
                yield made, f"{token}.{number}"

    def _insert(self, body: bytes, token: str) -> None:
        self.client.insert("events", self._names, body, token=token)

    # ------------------------------------------------------------ groups, and the agent

    def send_groups(self, connection: sqlite3.Connection) -> None:
        """Send the error groups that are otherwise than they were sent; one that has lost its only event has none.

        Raises:
            ClickHouseError: it did not take them.
        """
        now = time.time_ns()
        rows: dict[int, tuple[str | int, ...]] = {int(row[0]): row for row in outgoing.group_rows(connection)}
        changed = [row for number, row in rows.items() if self._groups.get(number) != row]
        gone = [
            (*row[:13], 0, *row[14:]) for number, row in self._groups.items() if number not in rows and row[13] == 1
        ]
        if changed or gone:
            made = [(self.agent, fleet_group(str(row[1]), int(row[2])), *row, now) for row in (*changed, *gone)]
            self.client.insert("groups", columns.names(columns.GROUPS), native.rows_block(columns.GROUPS, made))
        self._groups = rows

    def send_agent(self, row: AgentState) -> None:
        """Say how this agent is.

        Raises:
            ClickHouseError: it did not take it.
        """
        values = (self.agent, *msgspec.structs.astuple(row), row.seen)
        self.client.insert("agents", columns.names(columns.AGENTS), native.rows_block(columns.AGENTS, [values]))


class AgentState(msgspec.Struct, frozen=True):
    """An agent as others see it in the table `agents`. Instants are Unix ns."""

    host: str
    version: str
    started: int
    seen: int
    forwarded: int  # up to this event all is settled
    pending: int  # events that are not forwarded yet


def _is_of_data(error: ClickHouseError) -> bool:
    return error.number in _OF_DATA or (error.number == 0 and f"HTTP {_TOO_LARGE}" in error.message)
