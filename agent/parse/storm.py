"""The errors of a chunk, for grouping, without decoding their records whole: a storm of them costs half as much.

Nearly all errors of a file have their message under one key and their stack trace, if any, under another. A struct of
those two and the service takes 1.5 µs a record, all of it as objects 3. Every other key that could say something about
an error is a field of type None, which a record may not have unless it is null, and null counts as absent everywhere:
what does not fit is decoded whole. Both ways give the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.core.fields import load_record
from agent.core.model import ErrorEvent
from agent.parse import exceptions, fields
from agent.parse.columns import is_field_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.fields import Shapes

_MOST_PLANS = 16  # of a file whose errors look different all the time
_SAMPLE = 8  # errors that a plan is made after
_COMBINATIONS = 64
_TEMPLATE_KEY = "@mt"  # Serilog's, which the rest of the record fills in
_FINGERPRINT = "fingerprint"


class _Plan(NamedTuple):
    """The keys of message, stack trace and service; every other one that matters is `absent`."""

    message: str | None
    trace: str | None
    service: str | None
    absent: frozenset[str]


class Storm:
    """The errors of one file."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._decoder: msgspec.json.Decoder[Any] | None = None
        self._plans = 0

    def events(  # noqa: PLR0917 - the columns of a chunk
        self,
        rows: Sequence[int],
        records: list[str],
        begin: int,
        instants: list[int],
        levels: list[int],
        loggers: list[str | None],
    ) -> list[ErrorEvent]:
        """What grouping needs of these rows of a chunk; `begin` is the first row's place in its EventBatch."""
        decoder = self._decoder or self._plan(rows, records)
        if decoder is None:
            return [self._whole(row, records, begin, instants, levels, loggers) for row in rows]
        found = []
        misfits = 0
        decode, parts_of_text = decoder.decode, exceptions.parts_of_text
        for row in rows:
            try:
                line = decode(records[row])
            except (msgspec.MsgspecError, RecursionError):
                line = None
            trace = None if line is None else line.trace
            if line is None or (trace is not None and "\n" not in trace):
                misfits += 1
                found.append(self._whole(row, records, begin, instants, levels, loggers))
                continue
            kind, why, stack = exceptions.NONE if trace is None else parts_of_text(trace)
            found.append(
                ErrorEvent(
                    begin + row,
                    instants[row],
                    levels[row],
                    line.message or why or kind or "",
                    loggers[row],
                    line.service or None,
                    kind,
                    why,
                    stack,
                )
            )
        if misfits * 2 > len(rows):
            self._decoder = None
        return found

    def _whole(  # noqa: PLR0917 - called for every error that does not fit
        self,
        row: int,
        records: list[str],
        begin: int,
        instants: list[int],
        levels: list[int],
        loggers: list[str | None],
    ) -> ErrorEvent:
        record = load_record(records[row])
        return fields.error_event(
            begin + row, record, self._shapes.of(record), instants[row], levels[row], loggers[row]
        )

    def _plan(self, rows: Sequence[int], records: list[str]) -> msgspec.json.Decoder[Any] | None:
        """A decoder for errors such as the first ones; None where they are not that simple."""
        if self._plans >= _MOST_PLANS:
            return None
        self._plans += 1
        plan = _plan_for([load_record(records[row]) for row in rows[:_SAMPLE]], self._shapes)
        self._decoder = None if plan is None else _compiled(plan)
        return self._decoder


def _plan_for(sample: list[dict[str, Any]], shapes: Shapes) -> _Plan | None:
    """The keys that these records have of those that matter; None where one role has several, or a nested one."""
    present = {key for record in sample for key, value in record.items() if value is not None}
    message, service = ({path for path in shapes.paths[role] if path[0] in present} for role in ("message", "service"))
    traces = present & exceptions.ALL_KEYS
    if len({path[0] for path in message}) > 1 or len({path[0] for path in service}) > 1 or len(traces) > 1:
        return None
    if not all((path[0],) in found for found in (message, service) for path in found):
        return None
    keys = [next(iter(found))[0] if found else None for found in (message, service)]
    trace = next(iter(traces), None)
    if trace is not None and trace not in exceptions.TEXT_KEYS:
        return None
    used = [key for key in (*keys, trace) if key is not None]
    matter = {path[0] for role in ("message", "service") for path in shapes.paths[role]}
    if not all(map(is_field_name, matter)):
        return None
    if _FINGERPRINT in present or _TEMPLATE_KEY in used or len(set(used)) != len(used):
        return None
    absent = frozenset(matter.union(exceptions.ALL_KEYS, {_FINGERPRINT}).difference(used))
    return _Plan(keys[0], trace, keys[1], absent)


@lru_cache(maxsize=_COMBINATIONS)
def _compiled(plan: _Plan) -> msgspec.json.Decoder[Any]:
    members: list[tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    for role, key in (("message", plan.message), ("trace", plan.trace), ("service", plan.service)):
        members.append((role, None if key is None else str | None, None))
        names[role] = f"({role})" if key is None else key  # a name for nothing
    for number, key in enumerate(sorted(plan.absent)):
        members.append((f"f{number}", None, None))
        names[f"f{number}"] = key
    return msgspec.json.Decoder(msgspec.defstruct("Error", members, rename=names, gc=False))
