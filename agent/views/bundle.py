"""All that there is to say of one error group or one trace, to be attached to an issue.

The values of the keys that the configuration redacts are replaced, also in what was stored before it named them.
"""

from __future__ import annotations

from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from agent.core.severity import ERRORS_FROM
from agent.core.stored import StoredEvent
from agent.core.text import counted
from agent.core.times import format_local
from agent.query.context import Surroundings, in_context
from agent.query.language import Selection, all_equal
from agent.views.errors import GroupView, view_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.config import Config
    from agent.query.engine import Engine

_AROUND = 15  # lines on either side of the event
_TRACE_EVENTS = 500
_BARS = 60  # of a trace's timeline


class Bundle(msgspec.Struct):
    """What a file is about: its heading, a sentence for each fact, and what stands below."""

    title: str
    facts: list[str]
    timelines: list[tuple[str, Sequence[int], str, str]]  # heading, counts, first and last label
    traces: list[str]  # stack traces
    around: list[StoredEvent]  # the lines around the event
    here: int | None  # the id of the event
    samples: list[StoredEvent]
    request: list[StoredEvent]  # what else happened in the trace


def group_bundle(engine: Engine, number: int, now: int) -> Bundle:
    """What there is to say of an error group.

    Args:
        engine: is asked, of the archives too.
        number: the group's id.
        now: Unix ns.

    Raises:
        SidelogError: SL540, there is none; others as the engine has them.
    """
    view = view_group(engine, number, now)
    detail = view.detail
    group, samples = detail.group, detail.samples
    services = ", ".join(f"{name or '(none)'} {count:,}" for name, count in detail.history.services)
    facts = [
        f"error group {group.id}, {group.state}, {group.severity}, category {group.category}",
        f"{counted(group.count, 'event')}, first {utc_text(group.first_seen)}, last {utc_text(group.last_seen)}",
        *([f"culprit {group.culprit}"] if group.culprit else []),
        *([f"services {services}"] if services else []),
        view.suggestion,
    ]
    timelines: list[tuple[str, Sequence[int], str, str]] = [
        ("Last 24 hours", group.trend, "24 hours ago", "now"),
        ("Last 30 days", detail.history.counts, "30 days ago", "today"),
    ]
    return Bundle(
        group.title,
        facts,
        timelines,
        _stack_traces(view),
        _around(engine, samples[0]) if samples else [],
        samples[0].id if samples else None,
        samples,
        detail.trace,
    )


def trace_bundle(engine: Engine, trace: str, since: int | None, until: int | None) -> Bundle | None:
    """What happened in a trace, None where nothing is stored of it.

    Args:
        engine: is asked, of the archives too.
        trace: its id.
        since: Unix ns.
        until: Unix ns.
    """
    events = list(islice(engine.events(Selection(all_equal("trace_id", [trace]), since, until)), _TRACE_EVENTS))
    if not events:
        return None
    errors = [event for event in events if event.severity_number >= ERRORS_FROM]
    chosen = (errors or events)[0]
    first, last = events[0].timestamp, events[-1].timestamp
    services = sorted({event.service for event in events if event.service})
    facts = [
        f"trace {trace}, {counted(len(events), 'event')}, {counted(len(errors), 'error')}",
        f"from {utc_text(first)} to {utc_text(last)}",
        *([f"services {', '.join(services)}"] if services else []),
    ]
    width = (last - first) // _BARS + 1
    counts = [0] * _BARS
    for event in events:
        counts[(event.timestamp - first) // width] += 1
    return Bundle(
        f"trace {trace}" if not errors else errors[0].body.partition("\n")[0],
        facts,
        [("Events over the trace", counts, utc_text(first), utc_text(last))],
        list(dict.fromkeys(_traces_of(errors))),
        _around(engine, chosen),
        chosen.id,
        errors[:5],
        events,
    )


def _stack_traces(view: GroupView) -> list[str]:
    return list(dict.fromkeys([*([view.stacktrace] if view.stacktrace else []), *_traces_of(view.detail.samples)]))[:1]


def _traces_of(events: Iterable[StoredEvent]) -> list[str]:
    from agent.parse.exceptions import of_record  # noqa: PLC0415 - as `views.errors`

    return [trace for event in events if (trace := of_record(event.fields).stacktrace)]


def _around(engine: Engine, event: StoredEvent) -> list[StoredEvent]:
    return next(in_context(engine, [event], Surroundings(_AROUND, _AROUND), engine.position()), [event])


def utc_text(instant: int) -> str:
    """An instant (Unix ns) for people anywhere."""
    return f"{format_local(instant, 3, UTC)} UTC"


# ---------------------------------------------------------------- redaction


def redacted(bundle: Bundle, config: Config) -> Bundle:
    """The same with the values of all keys replaced that any source of the configuration redacts."""
    keys = sorted({key for source in config.sources for key in source.redact})
    if not keys:
        return bundle
    from agent.parse.careful import dump  # noqa: PLC0415 - for who redacts alone
    from agent.parse.redact import Redactor  # noqa: PLC0415

    redactor = Redactor(keys)

    def events(found: Iterable[StoredEvent]) -> list[StoredEvent]:
        return [event(one) for one in found]

    def event(found: StoredEvent) -> StoredEvent:
        record, hidden = redactor.value(found.fields)
        if not hidden:
            return found
        columns = (found.id, found.timestamp, found.observed_timestamp, found.severity_number, 0, found.offset)
        return StoredEvent((*columns, found.group, dump(record), None, found.parse_error), found.file)

    return msgspec.structs.replace(
        bundle,
        title=redactor.text(bundle.title),
        facts=[redactor.text(fact) for fact in bundle.facts],
        traces=[redactor.text(trace) for trace in bundle.traces],
        around=events(bundle.around),
        samples=events(bundle.samples),
        request=events(bundle.request),
    )
