"""What alerts over a fleet remember, in the table `alerts` of a ClickHouse: rows by kind and key, each a JSON document.

    rule       the facts of a rule, as of the last time that it was judged
    state      a state that is not `ok`
    news       of a rule about error groups: which it has told
    delivery   one that waits, or was given up; empty once it is delivered
    history    a change of a state
    silence    of a rule

A turn's rows are one insert of one block into one partition: all of it is there, or nothing.
"""
# ruff: noqa: S608 - names have been checked, values are escaped

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from agent.clickhouse import columns
from agent.clickhouse.client import literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.clickhouse.client import ClickHouseClient

_HISTORY_ROWS = 1_000  # shown


class AlertRow(msgspec.Struct, frozen=True):
    """A row; an empty `document` is none."""

    kind: str
    key: str
    document: str


class FleetAlertTable:
    """The rows of one name: of those that share a lease, a set of rules and its states.

    Args:
        client: of the ClickHouse.
        name: whose.
    """

    def __init__(self, client: ClickHouseClient, name: str) -> None:
        self._client, self._name = client, name
        self._table = client.address.table("alerts")

    def load(self, *kinds: str) -> dict[str, dict[str, Any]]:
        """The rows of these kinds: kind to key to document, in the order of keys.

        Raises:
            ClickHouseError: it cannot be asked.
        """
        named = ", ".join(map(literal, kinds))
        found: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
        for row in self._read(f"kind IN ({named})"):
            found[row["kind"]][row["key"]] = orjson.loads(row["document"])
        return found

    def history(self) -> list[dict[str, Any]]:
        """The newest changes, the oldest of them first.

        Raises:
            ClickHouseError: it cannot be asked.
        """
        rows = self._read("kind = 'history'", f"ORDER BY key DESC LIMIT {_HISTORY_ROWS}")
        return [orjson.loads(row["document"]) for row in reversed(rows)]

    def server_seconds(self) -> int:
        """What the server's clock says, in seconds since 1970.

        Raises:
            ClickHouseError: it cannot be asked.
        """
        return int(self._client.execute("SELECT toUnixTimestamp(now())"))

    def newest(self) -> int:
        """The highest version of any row; 0 where there is none.

        Raises:
            ClickHouseError: it cannot be asked.
        """
        return int(self._client.execute(f"SELECT max(ver) FROM {self._table} WHERE name = {literal(self._name)}"))

    def save(self, rows: Sequence[AlertRow], ver: int) -> None:
        """Write rows, all or none of them.

        Raises:
            ClickHouseError: it cannot be done, or it is not known whether it was.
        """
        lines = [
            {"name": self._name, "kind": row.kind, "key": row.key, "document": row.document, "ver": ver} for row in rows
        ]
        body = b"\n".join(map(orjson.dumps, lines))
        self._client.insert("alerts", columns.names(columns.ALERTS), body, form="JSONEachRow")

    def _read(self, where: str, order: str = "ORDER BY kind, key") -> list[dict[str, str]]:
        sql = (
            f"SELECT kind, key, document FROM {self._table} FINAL"
            f" WHERE name = {literal(self._name)} AND document != '' AND {where} {order} FORMAT JSONEachRow"
        )
        return [orjson.loads(line) for line in self._client.execute(sql).splitlines() if line]
