"""The engine of a fleet: the events of many agents in one ClickHouse."""

# ruff: noqa: S608 - statements are built from this package's own words; every value is a literal of `sql`

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.clickhouse import schema
from agent.clickhouse.client import ClickHouseClient, literal
from agent.query.clickhouse.groups import FleetGroups, history_of, list_groups
from agent.query.clickhouse.positions import FleetPosition
from agent.query.clickhouse.scan import FleetScan
from agent.query.clickhouse.table import QUESTION_S, FleetTable
from agent.query.engine import SAMPLED_EVENTS, newest_events
from agent.query.language import Selection, all_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from agent.clickhouse.address import ClickHouseAddress
    from agent.core.errors import SidelogError
    from agent.core.groups import ErrorGroup, GroupFilter, GroupHistory
    from agent.core.stored import StoredEvent
    from agent.query.clickhouse.agents import FleetAgent
    from agent.query.engine import Counts, EventKey, FieldSummary, LogName, Position, Span
    from agent.query.language import Grouping

_POLL_S = 0.5  # between looks at what has come: the agents send once a second
_PATIENCE_S = QUESTION_S + 10.0  # for an answer: the server ends a question before


class ClickHouseEngine:
    """As `agent.query.engine.Engine`, whose docstrings say what its methods give. An event's id is its number in the
    store of its agent; two agents may have events of one number. A group's number is the same for all agents.

    Args:
        address: of the ClickHouse.
        sleep: waits so many seconds between looks at what is followed.

    Raises:
        ClickHouseError: from every method, where it cannot be asked; SL652, SL655, it has no tables of this version.
    """

    can_follow = True
    errors: Sequence[SidelogError] = ()

    def __init__(self, address: ClickHouseAddress, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = ClickHouseClient(address, _PATIENCE_S)
        self._sleep = sleep
        self.categories = FleetGroups()
        self._table = FleetTable(self._client, self.categories)
        self.categories.use(self._table)
        try:
            schema.check(self._client)
        except BaseException:
            self._client.close()
            raise

    @property
    def store_id(self) -> str:
        """As `Engine.store_id`: the database; its servers may be replicas of one another."""
        return f"clickhouse:{self._client.address.database}"

    def logs(self) -> set[LogName]:
        """As `Engine.logs`."""
        return self._table.logs()

    def _scan(self, selection: Selection, upto: Position | None = None, observed: Span | None = None) -> FleetScan:
        return FleetScan(self._table, selection, None if upto is None else FleetPosition.read(upto), observed)

    def events(
        self,
        selection: Selection,
        lines: int | None = None,
        *,
        newest_first: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent]:
        """As `Engine.events`; of one instant by agent and number."""

        def by_time(asked: Selection, descending: bool, wanted: int | None) -> Generator[StoredEvent]:  # noqa: FBT001
            return self._scan(asked, upto, observed).by_time(descending=descending, wanted=wanted)

        return newest_events(by_time, selection, lines, newest_first=newest_first)

    def event(self, number: int, agent: str | None = None) -> StoredEvent | None:
        """As `Engine.event`; of anybody: that of the first agent which has one of the number."""
        whose = "" if agent is None else f" AND agent = {literal(agent)}"
        found = list(self._table.events(f"WHERE gone = 0 AND seq = {number}{whose} ORDER BY agent LIMIT 1"))
        return found[0] if found else None

    def steps(
        self,
        selection: Selection,
        wanted: int | None = None,
        *,
        descending: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent | int]:
        """As `Engine.steps`: the events alone."""
        yield from self._scan(selection, upto, observed).by_time(descending=descending, wanted=wanted)

    def keys(self, selection: Selection) -> Iterator[EventKey]:
        """As `Engine.keys`."""
        return self._scan(selection).keys()

    def counts(self, selection: Selection, grouping: Grouping) -> Iterator[Counts]:
        """As `Engine.counts`, in one part."""
        from agent.query.clickhouse.counts import fleet_counts  # noqa: PLC0415 - most questions count nothing

        return fleet_counts(self._scan(selection), self._table, selection, grouping)

    def fields(self, selection: Selection, *, sample: int = SAMPLED_EVENTS, values: int = 10) -> list[FieldSummary]:
        """As `Engine.fields`."""
        from agent.query.aggregate import sampled_fields  # noqa: PLC0415 - as for `counts`

        return sampled_fields(self.events(selection, sample, newest_first=True), self.categories, values)

    def groups(
        self,
        wanted: GroupFilter,
        now: int,
        *,
        sort: str = "last-seen",
        reverse: bool = False,
        limit: int | None = None,
        trends: bool = True,
    ) -> list[ErrorGroup]:
        """As `Engine.groups`."""
        return list_groups(self._table, now, wanted, sort=sort, reverse=reverse, limit=limit, trends=trends)

    def group_history(self, group: int, instants: Sequence[int]) -> GroupHistory:
        """As `Engine.group_history`, of the events that there are."""
        return history_of(self._table, group, instants)

    def group_events(
        self, group: int, start: int | None = None, *, newest_first: bool = False
    ) -> Generator[StoredEvent]:
        """As `Engine.group_events`: all of them."""
        return self._scan(Selection(all_equal("group", [str(group)]), start)).by_time(descending=newest_first)

    def near(self, event: StoredEvent, span: Span) -> Span:  # noqa: ARG002
        """As `Engine.near`: the index of instants says where to look."""
        return span

    def agents(self) -> tuple[Sequence[int], list[FleetAgent]]:
        """The server's version, and the agents."""
        from agent.query.clickhouse.agents import list_agents  # noqa: PLC0415 - as for `counts`

        return self._client.version, list_agents(self._table)

    # ------------------------------------------------------------ the order of storage

    def position(self) -> str:
        """As `Engine.position`: the number of the last event of each agent."""
        return str(self._newest(FleetPosition(self._table.forwarded())))

    def _newest(self, known: FleetPosition) -> FleetPosition:
        sql = f"SELECT agent, max(seq) FROM {self._table.name} WHERE {known.behind_sql} GROUP BY agent"
        return known.joined({agent.decode(): seq for agent, seq in self._table.rows(sql)})

    def passed(self, position: Position, event: StoredEvent) -> str:
        """As `Engine.passed`."""
        return str(FleetPosition.read(position).after(event.agent or "", event.id))

    def has_passed(self, position: Position, event: StoredEvent) -> bool:
        """As `Engine.has_passed`."""
        return event.id <= FleetPosition.read(position).agents.get(event.agent or "", 0)

    def follow(self, selection: Selection, after: Position, *, wait: bool = True) -> Iterator[StoredEvent | Position]:
        """As `Engine.follow`: of each agent in the order of its store, those of several by their instants."""
        place = FleetPosition.read(after)
        if not wait:
            yield from self._arrived(selection, place)
            return
        from agent.query.clickhouse.follow import FleetFollower  # noqa: PLC0415 - as for `counts`

        for item in FleetFollower(self._table, selection, place, self._table.forwarded):
            yield item
            if isinstance(item, str):
                self.categories.read_again()  # states change until the next events come
                self._sleep(_POLL_S)

    def _arrived(self, selection: Selection, place: FleetPosition) -> Iterator[StoredEvent | str]:
        """What has come of each agent up to where all of it is here: who reads on there later misses nothing."""
        whole = FleetPosition(self._table.forwarded())
        end = self._newest(whole)
        end = FleetPosition({agent: whole.agents.get(agent, seq) for agent, seq in end.agents.items()})
        yield from self._scan(selection).by_storage(place, end.before_sql)
        yield str(place.joined(end.agents))

    def close(self) -> None:
        """As `Engine.close`."""
        self._client.close()
