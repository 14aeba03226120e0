"""The JSON that a hook gets: the contract of alert hooks, built inside the transaction that changes the state."""

from __future__ import annotations

import hashlib
import json
import secrets
import shlex
import socket
import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agent.alert.rules import GROUP_FORMS, condition, shown_key
from agent.alert.state import SAMPLES
from agent.core.event import severity_text
from agent.core.outbox import Delivery
from agent.core.times import MINUTE_NS, format_utc
from agent.core.units import format_duration
from agent.query.fragments import encode
from agent.query.language import parse_query
from agent.query.render import document as event_document
from agent.query.terms import Parentheses, Term
from agent.store.events import Files, load_events
from agent.store.groups import group_facts, history_of, newest_event_ids

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from agent.alert.rules import Facts
    from agent.alert.state import StateChange
    from agent.core.stored import StoredEvent

VERSION = 1
_TOP_GROUPS = 5
_FAR_NS = 2**63 - 1
_TITLE_CHARS = 200
_KEYS_NAMED = 100  # of those that share one page
_SAMPLE_BYTES = 16_384  # a longer event is cut: a page is no place for a megabyte
_CUT_CHARS = 4_096
_KEY_CHARS = 200  # of each of a key's values in a sentence; the document has it whole beside that
_NS = 1_000_000_000


class Evidence(Protocol):
    """What is known of the events and error groups that a change is about."""

    def events(self, ids: Sequence[int]) -> list[StoredEvent]:
        """Events by their ids; those that are gone are left out."""

    def groups(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Facts of error groups, by id: those of `store.groups.group_facts`."""

    def since(self, group: int, began: int, samples: int) -> tuple[int, list[int]]:
        """How many events a group has had since an instant (Unix ns, a whole minute), and the ids of its newest."""


class StoreEvidence:
    """That of a store.

    Args:
        connection: sees the transaction's events and groups.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._files: Files | None = None

    def events(self, ids: Sequence[int]) -> list[StoredEvent]:
        """As `Evidence.events`."""
        if self._files is None:
            self._files = Files(self._connection)
        return load_events(self._connection, ids, self._files)

    def groups(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """As `Evidence.groups`."""
        return group_facts(self._connection, ids)

    def since(self, group: int, began: int, samples: int) -> tuple[int, list[int]]:
        """As `Evidence.since`."""
        count = history_of(self._connection, group, [began, _FAR_NS]).counts[0]
        return count, newest_event_ids(self._connection, group, began, samples) if samples else []


class DeliveryBuilder:
    """Writes deliveries out of changes.

    Args:
        evidence: of the events and groups.
        host: this machine's name.
        engine: what `--engine` of the command that shows the events is; empty: the store of this machine.
    """

    def __init__(self, evidence: Evidence, host: str, engine: str = "") -> None:
        self._evidence = evidence
        self._host = host
        self._engine = engine

    def deliveries(
        self, facts: Facts, change: StateChange, hooks: Sequence[str], now: int, more: Sequence[StateChange] = ()
    ) -> list[Delivery]:
        """One delivery per hook.

        Args:
            facts: of the rule.
            change: what happened; the first of several where `more` share the page.
            hooks: that are to be told.
            now: Unix ns.
            more: further keys of the same rule to which the same happened.
        """
        common = self.document(facts, change, more)
        found = []
        for hook in hooks:
            number = delivery_id(change, hook, merged=bool(more))
            text = encode({"version": VERSION, "delivery_id": number, **common}).decode()
            key = None if more else change.key
            found.append(Delivery(number, change.rule, hook, key, change.state, now, text))
        return found

    def document(self, facts: Facts, change: StateChange, more: Sequence[StateChange] = ()) -> dict[str, Any]:
        """Everything but `version` and `delivery_id`."""
        key = json.loads(change.key)
        over = change.at if change.state == "resolved" else None
        if facts["form"] in GROUP_FORMS:
            counts, samples = self._news((change, *more))
        else:
            counts = _merged_groups((change, *more))
            samples = [sample for one in (change, *more) for sample in one.samples][-SAMPLES:]
        events = self._events(samples)
        groups = self._groups(counts, events)
        found: dict[str, Any] = {
            "rule": change.rule,
            "state": change.state,
            "severity": facts["severity"],
            "key": key,
            "value": _plain(change.value),
            "threshold": _plain(facts["threshold"]),
            "window": format_duration(facts["window"]),
            "started_at": format_utc(change.started_at),
            "ended_at": None if over is None else format_utc(over),
            "summary": summary(facts, change, len(more), self._title(facts, key), groups),
            "groups": groups,
            "events": [_shortened(event) for event in events],
            "host": self._host,
            "query": query_command(facts, {} if more else key, change.started_at, over, self._engine),
        }
        if facts["labels"]:
            found["labels"] = facts["labels"]
        if more:
            found["more"] = len(more)
            found["keys"] = [json.loads(one.key) for one in (change, *more)[:_KEYS_NAMED]]
        return found

    def _news(self, changes: Sequence[StateChange]) -> tuple[dict[int, int], list[int]]:
        """Of a rule about error groups: how many events each has had since it is news, and the ids of the last ones."""
        counts: dict[int, int] = {}
        samples: list[int] = []
        for change in changes:
            group = int(json.loads(change.key)["group"])
            began = change.started_at // MINUTE_NS * MINUTE_NS
            room = max(0, SAMPLES - len(samples))
            count, found = self._evidence.since(group, began, room)
            counts[group] = max(1, count)
            if room:
                samples += found or change.samples[-1:]
        return counts, sorted(samples)

    def _title(self, facts: Facts, key: Mapping[str, str]) -> str:
        """What the group of a rule about error groups is called; empty for other rules."""
        if facts["form"] not in GROUP_FORMS:
            return ""
        known = self._evidence.groups([int(key["group"])])
        return next((str(one["title"]) for one in known.values()), "")

    def _events(self, ids: Sequence[int]) -> list[StoredEvent]:
        return self._evidence.events(ids) if ids else []

    def _groups(self, counts: dict[int, int], events: Sequence[StoredEvent]) -> list[dict[str, Any]]:
        for event in events if not counts else ():
            if event.group is not None:
                counts[event.group] = counts.get(event.group, 0) + 1
        top = sorted(counts, key=lambda group: (-counts[group], group))[:_TOP_GROUPS]
        found = self._evidence.groups(top)
        return [_group(found[group], counts[group]) for group in top if group in found]


def _group(facts: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {
        "id": facts["id"],
        "title": facts["title"],
        "culprit": facts["culprit"],
        "severity": severity_text(facts["severity_number"]),
        "category": facts["category"],
        "state": facts["state"],
        "first_seen": format_utc(facts["first_seen"]),
        "last_seen": format_utc(facts["last_seen"]),
        "count": count,
    }


def delivery_id(change: StateChange, hook: str, *, merged: bool = False) -> str:
    """The same for the same change whenever it is made: after a power cut took back a commit, the events that are
    read again lead to the page that was sent already, not to another one.
    """
    at = change.at if change.state == "repeat" else 0
    said = json.dumps([change.rule, change.key, change.state, change.started_at, at, hook, merged])
    return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


def summary(
    facts: Facts, change: StateChange, more: int = 0, title: str = "", groups: Sequence[Mapping[str, Any]] = ()
) -> str:
    """One sentence for people.

    Args:
        facts: of the rule.
        change: what happened.
        more: further keys to which it happened.
        title: of the error group that it is about, where there is one.
        groups: of the events, those with most of them first: the first says what broke.
    """
    where = shown_key({name: value and _cut(value, _KEY_CHARS) for name, value in json.loads(change.key).items()})
    subject = f"{change.rule} ({where})" if where else change.rule
    others = f", and {more} more" if more else ""
    if change.state == "resolved":
        lasted = format_duration(max(1, round((change.at - change.started_at) / _NS)))
        return f"{subject}{others}: resolved after {lasted}"
    still = "still " if change.state == "repeat" else ""
    named = f": {_cut(title, _TITLE_CHARS)}" if title else ""
    if groups and not title:
        named = f", {'mostly ' * (len(groups) > 1)}{_cut(str(groups[0]['title']), _TITLE_CHARS)}"
    return f"{subject}{others}: {still}{condition(facts, change.value)}{named}"


def query_command(
    facts: Facts, key: dict[str, str | None], started_at: int, ended_at: int | None, engine: str = ""
) -> str:
    """The command that shows the events."""
    since = started_at - round(facts["window"] * _NS) * (2 if facts["form"] == "absent" else 1)
    words = ["sidelog", "query", *(["--engine", engine] if engine else []), "--since", format_utc(since)]
    if ended_at is not None:
        words += ["--until", format_utc(ended_at + 1)]
    parts: tuple[Term | Parentheses, ...] = parse_query(facts["match"]).terms
    keys = [Term(name, "=", value) for name, value in key.items() if value is not None]
    if not {term.field for term in keys}.isdisjoint(part.field for part in parts if isinstance(part, Term)):
        parts = (Parentheses((parts,)),)  # else the key would be one more alternative of `service=a service=b`
    return shlex.join([*words, *map(str, parts), *map(str, keys)])


def _merged_groups(changes: Sequence[StateChange]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for change in changes:
        for group, count in change.groups.items():
            counts[group] = counts.get(group, 0) + count
    return counts


def _plain(value: float) -> float:
    """A whole number without a fraction."""
    return int(value) if value == int(value) else round(value, 6)


def _shortened(event: StoredEvent) -> dict[str, Any] | msgspec.Raw:
    whole = event_document(event)
    text = encode(whole)
    if len(text) <= _SAMPLE_BYTES:
        return msgspec.Raw(text)
    body = whole["body"]
    return {**whole, "body": _cut(body, _CUT_CHARS), "attributes": {}}


def _cut(text: str, most: int) -> str:
    return text[:most] + "…" if len(text) > most else text


# ---------------------------------------------------------------- an example for `send-test`


def example(hook: str) -> str:
    """A whole document with made-up content, as JSON text; its delivery id is used once."""
    now = time.time_ns()
    event: dict[str, Any] = {
        "id": 1,
        "timestamp": format_utc(now),
        "observed_timestamp": format_utc(now),
        "severity_number": 17,
        "severity_text": "ERROR",
        "body": f"this is a test of the hook {hook}",
        "attributes": {},
        "resource": {"host.name": socket.gethostname()},
        "trace_id": None,
        "span_id": None,
        "source": "test",
        "path": "/var/log/test.log",
        "offset": 0,
        "group": 1,
    }
    group = {
        "id": 1,
        "title": event["body"],
        "culprit": None,
        "severity": "ERROR",
        "category": "unknown",
        "state": "new",
        "first_seen": format_utc(now),
        "last_seen": format_utc(now),
        "count": 1,
    }
    return encode(
        {
            "version": VERSION,
            "delivery_id": f"test-{secrets.token_hex(8)}",
            "rule": "test",
            "state": "firing",
            "severity": "info",
            "key": {},
            "value": 1,
            "threshold": 1,
            "window": "5m",
            "started_at": format_utc(now),
            "ended_at": None,
            "summary": f"test: this is a test of the hook {hook}",
            "groups": [group],
            "events": [event],
            "host": socket.gethostname(),
            "query": f"sidelog query --since {format_utc(now - 300 * _NS)}",
        }
    ).decode()
