"""Proves that a target has what the store has: per agent id and hour a count and a checksum, here and there.

Compared are the events that are stored here, are behind the target's position and pass its filter, and what was sent
from archives that are there. Where an hour is not the same, its rows are compared one by one. An event may be there
under any id that this store had. What is there under two of them is a twin: the same source, path, offset, instant and
record. The one of the earliest id counts, for whoever shares these ids draws the same conclusion.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.clickhouse import answers
from agent.core.times import format_utc
from agent.forward.compared import HOUR_NS, LocalEvent, LocalEvents
from agent.store.reader import open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.forward.settings import TargetPlace

_SHOWN_IDS = 20  # of each kind and hour, in the document
_KINDS = ("missing", "different", "extra", "twice")
_TWIN = "source, '\\t', path, '\\t', toString(offset), '\\t', toString(timestamp), '\\t', record"


def _hash(text: str) -> str:
    return f"reinterpretAsUInt64(substring(MD5({text}), 1, 8))"


_SAME = _hash(f"concat(toString(seq), '\\t', toString(severity_number), '\\t', {_TWIN})")
_AS_TWIN = _hash(f"concat({_TWIN})")
_HOUR = f"intDiv(timestamp - if(timestamp < 0, {HOUR_NS - 1}, 0), {HOUR_NS})"


class RemoteRow(NamedTuple):
    """An event as a target has it."""

    agent: str
    seq: int
    ver: int
    gone: int
    timestamp: int
    same: int
    twin: int


class HourDifference(msgspec.Struct):
    """An hour in which a target differs. Ids are those of the store, negative ones of archives."""

    hour: str
    agent: str
    local: int
    central: int
    missing: list[int] = []
    different: list[int] = []
    extra: list[int] = []
    twice: list[int] = []
    counts: dict[str, int] = {}


class VerifyReport(msgspec.Struct):
    """What a comparison with one target found."""

    target: str
    agent: str = ""
    hours: int = 0
    events: int = 0  # that are the same here and there
    pending: int = 0  # not forwarded yet
    gaps: int = 0  # that retention or a refusal has kept from the target for ever
    expired: int = 0  # there, and no more here: cannot be compared
    lost: int = 0  # there under an earlier id, and not here: nothing is missing there
    differences: list[HourDifference] = []
    unreadable: list[str] = []  # archives
    repaired: dict[str, int] = {}

    @property
    def is_whole(self) -> bool:
        """Whether all is there, as far as it can be compared."""
        return not self.differences

    def total(self, kind: str) -> int:
        """How many events differ in this way."""
        return sum(one.counts.get(kind, 0) for one in self.differences)


class Discrepancies(NamedTuple):
    """What is to be repaired."""

    again: list[LocalEvent]  # to be sent once more
    out: list[RemoteRow]  # to be marked as gone
    highest: int  # `ver` of any row that was seen


class Comparison:
    """One comparison of a store with a target.

    Args:
        place: what with what.
        since: the first instant to compare; None: all.
    """

    def __init__(self, place: TargetPlace, since: int | None = None) -> None:
        self._place = place
        self._since = None if since is None else since // HOUR_NS * HOUR_NS
        self.found = Discrepancies([], [], 0)

    def run(self) -> VerifyReport:
        """Compare.

        Raises:
            ClickHouseError: the target cannot be asked.
            StoreError: the store cannot be read.
        """
        with closing(open_reader(self._place.store)) as connection:
            connection.execute("BEGIN")  # all of one moment; it ends with the connection
            local = LocalEvents(connection, self._place.directory, self._place.target, self._place.match, self._since)
            here: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
            for event in local.events():
                known = here[event.agent, event.timestamp // HOUR_NS]
                known[0] += 1
                known[1] ^= _same(event)
            report = VerifyReport(
                self._place.target, local.agent, pending=local.pending, gaps=local.gaps, unreadable=local.unreadable
            )
            there = self._hours(local)
            shared = self._shared_hours(local)
            odd = {hour for key in here.keys() | there.keys() if here.get(key) != there.get(key) for hour in (key[1],)}
            report.hours = len({hour for _, hour in here.keys() | there.keys()})
            report.events = sum(count for (_, hour), (count, _) in here.items() if hour not in odd | shared)
            wanted = sorted(odd | shared)
            by_hour: dict[int, list[LocalEvent]] = defaultdict(list)
            if wanted:
                for event in local.events():
                    if (hour := event.timestamp // HOUR_NS) in odd or hour in shared:
                        by_hour[hour].append(event)
            for hour in wanted:
                self._compare(hour, by_hour[hour], local, report)
            report.expired = self._expired(local)
        return report

    # ------------------------------------------------------------ what is there

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        for block in answers.blocks(self._place.client.address, self._place.client.query(f"{sql} FORMAT Native")):
            yield from zip(*block.columns, strict=True)

    def _from(self, where: str) -> str:
        time = "" if self._since is None else f" AND timestamp >= {self._since}"
        return f"FROM {self._place.client.address.table('events')} FINAL WHERE {where}{time}"

    def _hours(self, local: LocalEvents) -> dict[tuple[str, int], list[int]]:
        """Count and checksum by id and hour of what ought to be here, too."""
        if not local.ranges:
            return {}
        sql = (
            f"SELECT CAST(agent AS String), toInt64({_HOUR}) AS hour, count(), groupBitXor({_SAME})"
            f" {self._from(f'gone = 0 AND ({local.where()})')} GROUP BY agent, hour"
        )
        return {(agent.decode(), hour): [count, checksum] for agent, hour, count, checksum in self._rows(sql)}

    def _shared_hours(self, local: LocalEvents) -> set[int]:
        """Hours of which more than one id has events, so that there may be twins."""
        if len(local.agents) < 2:  # noqa: PLR2004 - an id and another
            return set()
        names = ", ".join(f"'{agent}'" for agent in local.agents)
        sql = (
            f"SELECT toInt64({_HOUR}) AS hour {self._from(f'gone = 0 AND agent IN ({names})')}"
            " GROUP BY hour HAVING uniqExact(agent) > 1"
        )
        return {int(hour) for (hour,) in self._rows(sql)}

    def _expired(self, local: LocalEvents) -> int:
        sql = f"SELECT count() {self._from(f'gone = 0 AND ({local.where_expired()})')}"
        return int(self._place.client.execute(sql))

    def _of_hour(self, hour: int, local: LocalEvents) -> list[RemoteRow]:
        names = ", ".join(f"'{agent}'" for agent in local.agents)
        where = f"agent IN ({names}) AND timestamp >= {hour * HOUR_NS} AND timestamp < {(hour + 1) * HOUR_NS}"
        sql = f"SELECT CAST(agent AS String), seq, ver, gone, timestamp, {_SAME}, {_AS_TWIN} {self._from(where)}"
        return [RemoteRow(row[0].decode(), *row[1:]) for row in self._rows(sql)]

    # ------------------------------------------------------------ an hour that is not the same

    def _compare(self, hour: int, here: list[LocalEvent], local: LocalEvents, report: VerifyReport) -> None:
        rows = self._of_hour(hour, local)
        order = {agent: number for number, agent in enumerate(sorted(local.agents, key=local.own.__contains__))}
        there = _Hour(rows, here, order)
        differences: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for event in here:
            kind = None if event.is_changing else there.difference(event, local.own)
            if kind is None:
                report.events += not event.is_changing
            else:
                differences[event.agent][kind].append(event.seq)
                self.found.again.append(event)
        out = [row for row in there.twins() if row.agent in local.own]
        for row in out:
            differences[row.agent]["twice"].append(row.seq)
        for row in there.unknown(local, out):
            if row.agent != local.agent:
                report.lost += 1
                continue
            differences[row.agent]["extra"].append(row.seq)
            out.append(row)
        self.found.out.extend(out)
        self.found = self.found._replace(highest=max([self.found.highest, *(row.ver for row in rows)]))
        for agent in sorted(differences, key=order.__getitem__):
            report.differences.append(there.document(hour, agent, differences[agent]))


class _Hour:
    """The rows of an hour, there and here."""

    def __init__(self, rows: list[RemoteRow], here: list[LocalEvent], order: dict[str, int]) -> None:
        self._here, self._order = here, order
        self._live = {(row.agent, row.seq): row for row in rows if not row.gone}
        self._alike: dict[int, list[RemoteRow]] = defaultdict(list)
        for row in self._live.values():
            self._alike[row.twin].append(row)
        self._expected = Counter(_twin(event) for event in here)

    def difference(self, event: LocalEvent, own: list[str]) -> str | None:
        """How a target differs about an event; None: it has it.

        Args:
            event: the event.
            own: the ids under which it may be there.
        """
        same, found = _same(event), False
        for agent in own:
            row = self._live.get((agent, event.seq))
            if row is not None and row.same == same:
                return None
            found = found or row is not None
        twin = _twin(event)
        if len(self._alike.get(twin, ())) >= self._expected[twin]:  # under another number, of an earlier id
            return None
        return "different" if found else "missing"

    def twins(self) -> list[RemoteRow]:
        """What is there once more. Under one id all events of a store are different ones, however alike."""
        found = []
        for rows in self._alike.values():
            if len(rows) == 1:
                continue
            kept = 0
            by_id: dict[tuple[int, bool], list[RemoteRow]] = defaultdict(list)
            for row in sorted(rows, key=lambda row: abs(row.seq)):
                by_id[self._order[row.agent], row.seq < 0].append(row)
            for _, alike in sorted(by_id.items()):
                found += alike[:kept]
                kept = max(kept, len(alike))
        return found

    def unknown(self, local: LocalEvents, twins: list[RemoteRow]) -> list[RemoteRow]:
        """What is there, and ought to be here, and is not."""
        known = {(agent, event.seq) for event in self._here for agent in local.own}
        known |= {(row.agent, row.seq) for row in twins}
        return [row for key, row in self._live.items() if key not in known and local.ought_to_have(*key)]

    def document(self, hour: int, agent: str, kinds: dict[str, list[int]]) -> HourDifference:
        """What differs of one id."""
        found = HourDifference(
            f"{format_utc(hour * HOUR_NS)[:13]}Z",
            agent,
            sum(event.agent == agent for event in self._here),
            sum(row.agent == agent for row in self._live.values()),
            counts={kind: len(ids) for kind, ids in kinds.items()},
        )
        for kind in _KINDS:
            setattr(found, kind, sorted(kinds.get(kind, []))[:_SHOWN_IDS])
        return found


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:8], "little")


def _same(event: LocalEvent) -> int:
    return _digest(b"%d\t%d\t%b" % (event.seq, event.severity, event.identity))


def _twin(event: LocalEvent) -> int:
    return _digest(event.identity)
