"""What a group of errors has to do with: values that its events have more often than others, and what was new when it
began, such as a version or a host.

All of it is asked of samples, so that a group of a million events costs no more than one of a thousand.
"""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from agent.query.aggregate import sampled_fields
from agent.query.language import Query, Selection
from agent.query.terms import Term

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.core.groups import ErrorGroup
    from agent.core.stored import StoredEvent
    from agent.query.engine import Engine, FieldSummary

_GROUP_EVENTS = 300  # of the group are looked at
_OTHER_EVENTS = 1_000  # of others in the same time, and of those before it began
_VALUES = 1_000  # of a field: all that a sample has
_BEFORE_NS = 3_600 * 10**9  # an hour of events …
_SHORTLY_NS = 600 * 10**9  # … up to so long before the group began: what is new may take a while to break something
_LEAST_GROUP, _LEAST_OTHERS = 3, 10  # of fewer events a share says nothing
_LEAST_SHARE = 0.25  # of the group's events
_LEAST_EXCESS = 0.2  # by which the share is above that of others
_EARLY_SHARE = 0.5  # of the first events, for a value that was new when the group began
_MOST = 12
# What every error has, or what makes it this one.
_OF_ITSELF = frozenset(
    (
        "severity", "message", "group", "category", "state", "path", "trace_id", "span_id", "severity_text", "body",
        "level", "stack", "stacktrace", "stack_trace", "traceback", "exc_info", "error", "exception", "err",
    )
)  # fmt: skip
_PREFIXES = ("exception.", "error.", "err.", "code.", "log.")
# What says where and of what an event is: names of fields without their packages, and their last parts.
_LABELS = (
    "version", "release", "build", "commit", "revision", "sha", "image", "tag", "environment", "env", "host",
    "hostname", "node", "pod", "container", "instance", "region", "zone", "cluster", "namespace", "deployment",
    "service", "host.name", "k8s.pod.name",
)  # fmt: skip


def origin_document(engine: Engine, group: ErrorGroup) -> dict[str, Any]:
    """What the events of a group have more often than others of the same time, and what was new when it began.

    Args:
        engine: has the events.
        group: the group.

    Returns:
        `new`: rows of `field, value, share`, values of the first events that none of the hour before had, but for the
        last ten minutes of it;
        `more_often`: rows of `field, value, share, others`, the largest difference first. Shares are of the `events`
        and `others` that were looked at.
    """
    with closing(engine.group_events(group.id, newest_first=True)) as found:
        newest = list(islice(found, _GROUP_EVENTS))
    others = _others(engine, group, newest)
    return {
        "events": len(newest),
        "others": len(others),
        "new": _new(engine, group),
        "more_often": _more_often(engine, newest, others),
    }


def _others(engine: Engine, group: ErrorGroup, events: list[StoredEvent]) -> list[StoredEvent]:
    """The newest events of the same time that are not of the group."""
    if not events:
        return []
    instants = [event.timestamp for event in events]
    query = Query((Term("group", "!=", str(group.id)),))
    selection = Selection(query, min(instants), max(instants) + 1)
    with closing(engine.events(selection, _OTHER_EVENTS, newest_first=True)) as found:
        return list(found)


def _more_often(engine: Engine, events: list[StoredEvent], others: list[StoredEvent]) -> list[dict[str, Any]]:
    if len(events) < _LEAST_GROUP or len(others) < _LEAST_OTHERS:
        return []
    usual = _shares(_fields(engine, others), len(others))
    rows: list[dict[str, Any]] = []
    for (field, value), share in _shares(_fields(engine, events), len(events)).items():
        other = usual.get((field, value), 0.0)
        if share >= _LEAST_SHARE and share - other >= _LEAST_EXCESS and not _is_of_itself(field):
            rows.append({"field": field, "value": _text(value), "share": round(share, 4), "others": round(other, 4)})
    rows.sort(key=lambda row: (row["others"] - row["share"], row["field"], row["value"]))
    return rows[:_MOST]


def _new(engine: Engine, group: ErrorGroup) -> list[dict[str, Any]]:
    """Values of labels that most of the group's first events have, and that came up shortly before. A field that is
    itself new tells nothing.
    """
    with closing(engine.group_events(group.id, group.first_seen)) as found:
        first = list(islice(found, _GROUP_EVENTS))
    end = group.first_seen - _SHORTLY_NS
    selection = Selection(Query(), end - _BEFORE_NS, end)
    with closing(engine.events(selection, _OTHER_EVENTS, newest_first=True)) as found:
        before = list(found)
    if not first or len(before) < _LEAST_OTHERS:
        return []
    known = {field.name: {value for value, _ in field.values} for field in _fields(engine, before)}
    rows: list[dict[str, Any]] = [
        {"field": field, "value": _text(value), "share": round(share, 4)}
        for (field, value), share in _shares(_fields(engine, first), len(first)).items()
        if share >= _EARLY_SHARE and _is_label(field) and field in known and value not in known[field]
    ]
    rows.sort(key=lambda row: (-row["share"], row["field"], row["value"]))
    return rows[:_MOST]


def _fields(engine: Engine, events: Iterable[StoredEvent]) -> list[FieldSummary]:
    return sampled_fields(events, engine.categories, _VALUES)


def _shares(fields: Iterable[FieldSummary], count: int) -> dict[tuple[str, bytes], float]:
    return {(field.name, value): number / count for field in fields for value, number in field.values}


def _is_of_itself(field: str) -> bool:
    plain = field.lower()
    return plain in _OF_ITSELF or plain.startswith(_PREFIXES)


def _is_label(field: str) -> bool:
    plain = field.lower().replace("-", "_")
    return plain in _LABELS or plain.replace("_", ".").rpartition(".")[2] in _LABELS


def _text(value: bytes) -> str:
    """A value as the query language writes it."""
    found = orjson.loads(value)
    return found if isinstance(found, str) else value.decode()
