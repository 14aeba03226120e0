"""What the conformance suite is run against: the engines, each with the same logs, and the slow twin of them all.

To hold another engine to it, add one line to ENGINES: a function that gives an engine with these logs in it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING

from agent.clickhouse import schema
from agent.clickhouse.address import ClickHouseAddress
from agent.core.event import severity_text
from agent.core.fields import Profile
from agent.core.groups import ErrorGroup, GroupHistory, GroupTraits, state_at
from agent.core.model import FileGeneration
from agent.core.stored import FileInfo, StoredEvent
from agent.group.grouper import Grouper
from agent.query.aggregate import NAMED, value_of
from agent.query.clickhouse.engine import ClickHouseEngine
from agent.query.engine import EventKey, FieldSummary, LogName
from agent.query.fragments import flattened_fragments
from agent.store.groups import SORTS
from tests.query.fleets import fill
from tests.query.tiers import OBSERVED, RESOURCE, Tiers, parsed
from tests.sources import parsing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from agent.query.engine import Engine

MINUTE = 60 * 10**9
SETTINGS = parsing(max_line_bytes=300, redact=("password",))
Logs = dict[str, bytes]  # name -> content


@dataclass
class Made:
    """An engine to be tested."""

    engine: Engine
    gone: int = 0  # so many of the events, those stored first, are not in the order of storage any more
    keeps_groups: bool = True  # it lists error groups
    sees_labels: bool = (
        False  # of a group's services it counts those that labels name, which these logs' parsers know not
    )
    add: Callable[[str, bytes], None] | None = None  # stores one more log, where it can be done
    decide: Callable[[int, str], None] = lambda group, state: None  # gives an error group another state


class ListEngine:
    """The slow twin: a list of events in the order in which they were stored, each looked at by the predicate."""

    can_follow = True
    store_id = None
    errors = ()

    def __init__(self, logs: Logs) -> None:
        self.stored: list[StoredEvent] = []
        self.known: dict[int, ErrorGroup] = {}
        self.minutes: dict[int, Counter[int]] = {}
        self.services: dict[int, Counter[str]] = {}
        self._grouper = Grouper()
        self._files = 0
        for name, data in logs.items():
            self.add(name, data)

    @property
    def categories(self):
        now = time.time_ns()
        return {
            group.id: GroupTraits(group.category, state_at(group.state, group.first_seen, now))
            for group in self.known.values()
        }

    def add(self, name: str, data: bytes) -> None:
        self._files += 1
        log = FileGeneration(self._files, "app", f"/var/log/{name}", 1, self._files, 0)
        batch, groups, found = parsed(log, data, SETTINGS, self._grouper)
        profile = Profile.from_json(found) if found else None
        file = FileInfo(log.id, log.source, log.path, dict(RESOURCE), profile)
        for row, offset in enumerate(batch.offsets):
            number, group = len(self.stored) + 1, groups.get(row)
            stored = batch.row(row, file.id, offset, number=number, observed=OBSERVED, group=group)
            self.stored.append(StoredEvent(stored, file))
        for update in self._grouper.take_updates():
            self._note(update)

    def decide(self, group: int, state: str) -> None:
        self.known[group].state = state

    def _note(self, update) -> None:
        known = self.known.setdefault(
            update.id,
            ErrorGroup(
                *(update.id, update.title, update.culprit, "", update.category, "new", 0, update.first_seen),
                *(update.last_seen, 0, update.service, update.exception_type, None, None),
            ),
        )
        known.first_seen = min(known.first_seen, update.first_seen)
        known.last_seen = max(known.last_seen, update.last_seen)
        known.count += update.count
        known.severity = max(severity_text(update.severity_number), known.severity, key=["", "ERROR", "FATAL"].index)
        self.minutes.setdefault(update.id, Counter()).update(update.minutes)
        self.services.setdefault(update.id, Counter()).update(update.services)

    def logs(self):
        return {LogName(event.source, event.path) for event in self.stored}

    def _matching(self, selection) -> list[StoredEvent]:
        since = -(2**63) if selection.since is None else selection.since
        until = 2**63 if selection.until is None else selection.until
        return [
            event
            for event in self.stored
            if since <= event.timestamp < until and selection.query.matches(event, self.categories)
        ]

    def events(self, selection, lines=None, *, newest_first=False, upto=None, observed=None):
        found = [event for event in self._matching(selection) if upto is None or event.id <= upto]
        if observed is not None:
            found = [event for event in found if observed[0] <= event.observed_timestamp < observed[1]]
        found.sort(key=lambda event: event.timestamp)
        found = found if lines is None else found[len(found) - min(lines, len(found)) :]
        yield from reversed(found) if newest_first else found

    def steps(self, selection, wanted=None, *, descending=False, upto=None, observed=None):
        yield from self.events(selection, wanted, newest_first=descending, upto=upto, observed=observed)

    def keys(self, selection):
        yield from (EventKey(event.timestamp, event.id, event.group) for event in self.events(selection))

    def counts(self, selection, grouping):
        for event in self._matching(selection):
            bucket = None if grouping.every_ns is None else event.timestamp // grouping.every_ns
            yield Counter([(bucket, tuple(value_of(event, name, self.categories) for name in grouping.by))])

    def fields(self, selection, *, sample=1_000, values=10):
        found: dict[str, list[bytes]] = {}
        for event in self.events(selection, sample):
            own = {name: value for name in NAMED if (value := value_of(event, name, self.categories)) is not None}
            for name, value in [*own.items(), *flattened_fragments(event)]:
                if name not in own or own[name] is value:
                    found.setdefault(name, []).append(value)
                own.setdefault(name, value)
        summaries = []
        for name, seen in found.items():
            commonest = sorted({value for value in seen if len(value) <= 256}, key=lambda one: (-seen.count(one), one))
            summaries.append(
                FieldSummary(name, len(seen), [(value, seen.count(value)) for value in commonest[:values]])
            )
        return sorted(summaries, key=lambda one: (-one.count, one.name))

    def groups(self, wanted, now, *, sort="last-seen", reverse=False, limit=None, trends=True):
        found = [group for group in self.known.values() if self._is_wanted(group, wanted)]
        for group in found:
            hours = [now // (60 * MINUTE) - back for back in reversed(range(24))]
            counts = self.minutes[group.id]
            group.trend = [sum(n for minute, n in counts.items() if minute // 60 == hour) for hour in hours]
        found.sort(key=lambda group: group.id)
        found.sort(key=lambda group: SORTS[sort](group) * (1 if reverse else -1))
        return found[:limit]

    def _is_wanted(self, group, wanted) -> bool:
        services = {group.service, *self.services[group.id]}
        first = None if wanted.since is None else wanted.since // MINUTE
        last = None if wanted.until is None else (wanted.until - 1) // MINUTE
        return (
            (wanted.group in (None, group.id))
            and (not wanted.states or group.state in wanted.states)
            and (not wanted.categories or group.category in wanted.categories)
            and (not wanted.services or services & {*wanted.services})
            and (wanted.title is None or bool(wanted.title.search(group.title)))
            and (wanted.since is None or group.last_seen >= wanted.since)
            and (wanted.until is None or group.first_seen < wanted.until)
            and any(
                (first is None or minute >= first) and (last is None or minute <= last)
                for minute in self.minutes[group.id]
            )
        )

    def group_history(self, group, instants):
        minutes = self.minutes.get(group, {})
        counts = [
            sum(n for minute, n in minutes.items() if start // MINUTE <= minute < end // MINUTE)
            for start, end in pairwise(instants)
        ]
        return GroupHistory(counts, sorted(self.services.get(group, {}).items(), key=lambda pair: (-pair[1], pair[0])))

    def group_events(self, group, start=None, *, newest_first=False):
        found = [event for event in self.stored if event.group == group and (start is None or event.timestamp >= start)]
        found.sort(key=lambda event: event.timestamp)
        yield from reversed(found) if newest_first else found

    def near(self, event, span):
        return span

    def position(self) -> int:
        return len(self.stored)

    def passed(self, position, event):
        return event.id

    def has_passed(self, position, event):
        return event.id <= position

    def follow(self, selection, after, *, wait=True):
        yield from (event for event in self._matching(selection) if event.id > after)
        yield max(after, len(self.stored))

    def close(self) -> None:
        pass


# ---------------------------------------------------------------- engines with logs in them


@contextlib.contextmanager
def listed(root: Path, logs: Logs) -> Iterator[Made]:
    twin = ListEngine(logs)
    yield Made(twin, add=twin.add, decide=twin.decide)


@contextlib.contextmanager
def _tiers(root: Path, logs: Logs, *, archived: bool) -> Iterator[Tiers]:
    empty = root.parent / "empty.db"  # it is copied: making a store takes longer than all that is asked of it
    if not empty.exists():
        with Tiers(root.parent / "empty"):
            pass
        shutil.copy(root.parent / "empty" / "s.db", empty)
    root.mkdir()
    shutil.copy(empty, root / "s.db")
    with Tiers(root, SETTINGS) as tiers:
        for name, data in logs.items():
            tiers.store(name, data)
        for name, data in logs.items() if archived else ():
            tiers.archive(name, data)
        yield tiers
    shutil.rmtree(root)


@contextlib.contextmanager
def sqlite(root: Path, logs: Logs) -> Iterator[Made]:
    """Everything in the store."""
    with _tiers(root, logs, archived=False) as tiers:
        yield Made(tiers.engine(archived=False), add=tiers.store, decide=tiers.decide)


@contextlib.contextmanager
def archives(root: Path, logs: Logs) -> Iterator[Made]:
    """Everything in archives; the store has still all of it."""
    with _tiers(root, logs, archived=True) as tiers:
        yield Made(tiers.engine(stored=False), keeps_groups=False, decide=tiers.decide)


def union(share: float) -> Callable[[Path, Logs], contextlib.AbstractContextManager[Made]]:
    """Everything in archives, and all but a share of it, the oldest stored, in the store too."""

    @contextlib.contextmanager
    def made(root: Path, logs: Logs) -> Iterator[Made]:
        with _tiers(root, logs, archived=True) as tiers:
            tiers.expire(share)
            yield Made(tiers.engine(), gone=tiers.gone, add=tiers.store, decide=tiers.decide)

    return made


def fleet(database) -> Callable[[Path, Logs], contextlib.AbstractContextManager[Made]]:
    """Everything in a store, and forwarded to a database of a ClickHouse; groups have the numbers of the store."""
    address = ClickHouseAddress((database.url,), database.name)

    @contextlib.contextmanager
    def made(root: Path, logs: Logs) -> Iterator[Made]:
        if not database.rows("EXISTS TABLE events")[0][0]:
            schema.make(address, None, replicated=False, ttl_days=None)
        for table in ("events", "groups", "agents"):
            database.ask(f"TRUNCATE TABLE {table}")
        with _tiers(root, logs, archived=False) as tiers:
            last = fill(address, tiers.path)
            versions = count(2)

            def again() -> None:
                nonlocal last
                last = fill(address, tiers.path, after=last, version=next(versions))

            def add(name: str, data: bytes) -> None:
                tiers.store(name, data)
                again()

            def decide(group: int, state: str) -> None:
                tiers.decide(group, state)
                again()

            with contextlib.closing(ClickHouseEngine(address)) as engine:
                yield Made(engine, add=add, decide=decide, sees_labels=True)

    return made


# By the fixtures of tests.fleet that give a database: what they need.
FLEETS = {"modern": ("clickhouse",), "replicas": ("clickhouse-18", "zookeeper")}


def made_by(
    kind: str, request: pytest.FixtureRequest
) -> Callable[[Path, Logs], contextlib.AbstractContextManager[Made]]:
    """What makes an engine of a kind."""
    return fleet(request.getfixturevalue(kind)) if kind in FLEETS else ENGINES[kind]


ENGINES = {
    "list": listed,
    "sqlite": sqlite,
    "archives": archives,
    "union, nothing gone": union(0.0),
    "union, half gone": union(0.5),
    "union, all gone": union(1.0),
}
