"""How tables lie on servers: on one, on replicas, or on a cluster's shards; and what the server can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_WINDOW = 10_000  # inserts by whose tokens a table that is not replicated knows one that comes again


class TableLayout(msgspec.Struct, frozen=True):
    """Where and how tables are made."""

    database: str
    is_current: bool
    has_words: bool = False  # whether the server has the index for words
    cluster: str | None = None
    replicated: bool = False

    @property
    def everywhere(self) -> str:
        """The words by which a statement is for all servers of the cluster."""
        return f" ON CLUSTER `{self.cluster}`" if self.cluster else ""

    def local(self, name: str) -> str:
        """The table that holds rows itself."""
        return f"{self.database}.{name}_local" if self.cluster else f"{self.database}.{name}"

    def table(self, name: str, columns: str, order: str, *, shard: str, partition: str = "") -> Iterator[str]:
        """The statements that make a table of rows that replace each other.

        Args:
            name: of the table that is asked.
            columns: between its brackets.
            order: the key by which a row replaces another.
            shard: the column by whose value rows are spread over a cluster.
            partition: by what it is partitioned.
        """
        by = f"\nPARTITION BY {partition}" if partition else ""
        window = f"\nSETTINGS non_replicated_deduplication_window = {_WINDOW}"
        settings = window if self.is_current and not self.replicated else ""
        local = self.local(name)
        yield (
            f"CREATE TABLE IF NOT EXISTS {local}{self.everywhere}\n(\n{columns}\n)\n"
            f"ENGINE = {self._engine(name)}{by}\nORDER BY {order}{settings}"
        )
        if self.cluster:
            engine = f"Distributed(`{self.cluster}`, `{self.database}`, `{name}_local`, cityHash64(`{shard}`))"
            yield f"CREATE TABLE IF NOT EXISTS {self.database}.{name}{self.everywhere} AS {local}\nENGINE = {engine}"

    def _engine(self, name: str) -> str:
        if not self.replicated:
            return "ReplacingMergeTree(ver)"
        return (
            f"ReplicatedReplacingMergeTree('/clickhouse/tables/{{shard}}/{self.database}/{name}', '{{replica}}', ver)"
        )
