"""Where what is asked for lies."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from agent.query import open_engine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.clickhouse.address import ClickHouseAddress
    from agent.config import RuleConfig
    from agent.query.engine import Engine


class Place(NamedTuple):
    """Where what is asked for lies, and when it is asked (Unix ns)."""

    store: Path
    archives: Path
    rules: Sequence[RuleConfig] = ()
    now: int = 0
    fleet: ClickHouseAddress | None = None  # whose events are asked for in place of the store's

    def engine(self, tier: str = "all") -> closing[Engine]:
        """What answers questions about events, of one tier or of both."""
        stored, archived = tier != "archives", tier != "hot"
        return closing(open_engine(self.store, self.archives, stored=stored, archived=archived, fleet=self.fleet))
