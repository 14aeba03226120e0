"""Sees at the server that nobody else forwards under this store's agent id, before anything is forwarded.

Two stores with one content, such as two machines started from one image, or a virtual machine that was rolled back
with all of its files, cannot know of each other; what they forward to does. So at each start the store notes a claim,
a number and a word made by chance, writes it to the server's table `leases`, and only then reads what claims are there:

- A claim of the same number or a higher one that this store has not made is of another store with this id. Of two that
  start at the same time the second to read sees both, whatever the order of the rest, so that no two go on.
- Events of this id behind all that this store has sent: it is older than what has been forwarded.

Then it gets a new id (`store.identity`), and claims that. The claim is looked at again while the forwarder runs, for
replicas may tell late of what another one was told.
"""

# ruff: noqa: S608 - statements are built from our own words and ids

from __future__ import annotations

import os
import secrets
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson

from agent.core.errors import SidelogError
from agent.core.model import OwnError
from agent.store import forwarding, identity, tables
from agent.store.edit import editing
from agent.store.reader import get_meta, open_reader

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from agent.clickhouse.client import ClickHouseClient

_META = "claims"  # the key in `meta`
_KNOWN = 64  # own words that are remembered: of each start one a target
_COLUMNS = ("name", "holder", "until", "ver")
CLAIMED = "another store has claimed it"
AHEAD = "there are events of it that this store has not sent"


class AgentClaim:
    """The claim of a store on its agent id at one target; used from one thread.

    Args:
        store: its path; an agent owns it.
        target: the name of the target.
        client: of it.
    """

    def __init__(self, store: Path, target: str, client: ClickHouseClient) -> None:
        self._store, self._target = store, target
        self.client = client
        self.agent = ""  # that is claimed

    def take(self) -> SidelogError | None:
        """Claim the id that the store has, or a new one where another store has that: before the first batch.

        Returns:
            SL661 where it is a new one.

        Raises:
            ClickHouseError: the server cannot be asked.
            StoreError: the store cannot be written.
        """
        renewed: SidelogError | None = None
        while True:
            self._note()
            self._write()
            why = self._conflict()
            if why is None:
                self._confirm()
                return renewed
            renewed = self._renew(why) or renewed

    def check(self) -> SidelogError | None:
        """As `take`, between batches: nothing is written where all is well."""
        with closing(open_reader(self._store)) as connection:
            if forwarding.current_agent(connection) != self.agent:  # through another target
                return self.take()
        why = self._conflict()
        if why is None:
            return None
        renewed = self._renew(why)
        return self.take() or renewed

    # ------------------------------------------------------------ steps

    def _note(self) -> None:
        """Note a claim in the store before the server has it. One that nobody has looked behind yet is taken up."""
        with editing(self._store) as connection:
            self.agent = forwarding.ensure_agent(connection, time.time_ns())
            noted = get_meta(connection, _META)
            claims: dict[str, Any] = dict(noted.get("targets", {}))  # type: ignore[call-overload]
            words: list[str] = list(noted.get("words", []))  # type: ignore[call-overload]
            claim = claims.get(self._target)
            if claim is None or claim["confirmed"] or claim["agent"] != self.agent:
                number = claim["number"] + 1 if claim is not None else 1
                word = secrets.token_hex(8)
                claim = {"agent": self.agent, "number": number, "word": word, "confirmed": False}
                claims[self._target] = claim
                words = [*words, word][-_KNOWN:]
                tables.set_meta(connection, _META, {"targets": claims, "words": words})
            self._number, self._word = claim["number"], claim["word"]

    def _write(self) -> None:
        row = {
            "name": f"{self._prefix}{self._number}/{self._word}",
            "holder": os.uname().nodename,
            "until": 0,
            "ver": time.time_ns(),
        }
        self.client.insert("leases", _COLUMNS, orjson.dumps(row), form="JSONEachRow")

    def _confirm(self) -> None:
        with editing(self._store) as connection:
            noted = get_meta(connection, _META)
            noted["targets"][self._target]["confirmed"] = True  # type: ignore[index]
            tables.set_meta(connection, _META, noted)

    def _renew(self, why: str) -> SidelogError | None:
        """Give the store a new id, unless another target has done that meanwhile."""
        with editing(self._store) as connection:
            if forwarding.current_agent(connection) != self.agent:
                return None
            new = identity.renew(connection, why)
            error = SidelogError.of("SL661.server", self._store, agent=new, target=self._target, why=why)
            own = OwnError(error.code, error.subject, error.message, error.hint, time.time_ns())
            tables.save_own_errors(connection, [own])
        return error

    @property
    def _prefix(self) -> str:
        return f"agent/{self.agent}/"

    def _conflict(self) -> str | None:
        """Why the store must have a new id. The store is read last: another target may send meanwhile."""
        table = self.client.address.table
        length = len(self._prefix)
        sql = f"SELECT name FROM {table('leases')} WHERE substring(name, 1, {length}) = '{self._prefix}' FORMAT TSV"
        claims = [name[length:].partition("/") for name in self.client.execute(sql).decode().split()]
        _, before = self._known()
        sql = f"SELECT max(seq) FROM {table('events')} WHERE agent = '{self.agent}' AND seq > {before} FORMAT TSV"
        highest = int(self.client.execute(sql))
        own, sent = self._known()
        for number, _, word in claims:
            if number.isdigit() and int(number) >= self._number and word not in own:
                return CLAIMED
        return AHEAD if highest > sent else None

    def _known(self) -> tuple[set[str], int]:
        """The words of this store's claims, and the last event that any target may have."""
        with closing(open_reader(self._store)) as connection:
            return set(get_meta(connection, _META).get("words", [])), _sent(connection)  # type: ignore[call-overload]


def _sent(connection: sqlite3.Connection) -> int:
    """The last event that any target may have."""
    found = 0
    for target in forwarding.targets(connection, removed=True):
        pending = target.pending.end if target.pending is not None and target.pending.kind == "events" else 0
        found = max(found, target.position, pending)
    return found
