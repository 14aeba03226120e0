"""What grouping needs of the errors of a chunk, without decoding their records whole."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.core.fields import load_record
from agent.core.model import ErrorEvent
from agent.parse import exceptions, fields
from agent.parse.decoders import COMBINATIONS, is_field_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.parse.fields import Shapes

_MOST_PLANS = 16  # of a file whose errors look different all the time
_SAMPLE = 8  # errors that a plan is made after
_TEMPLATE_KEY = "@mt"  # Serilog's, which the rest of the record fills in
_FINGERPRINT = "fingerprint"
_MOST_MISSES = 16  # chunks that do not fit at once, until their errors go one by one
_MOST_HARMLESS = 64  # keys that are remembered
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Plan(NamedTuple):
    """The keys of message, stack trace and service; every other one that matters is `absent`."""

    message: str | None
    trace: str | None
    service: str | None
    absent: frozenset[str]


class ErrorDecoder:
    """The errors of a chunk, for grouping, without decoding their records whole: a storm of them costs a third.

    Nearly all errors of a file have their message under one key and their stack trace, if any, under another. Three
    ways give the same:

    - All at once, by a struct of those two, the service, and the other keys that the file's errors were seen to have
      and that say nothing of an error; it takes no further key. 0.7 µs a record.
    - One by one, by a struct in which every other key that could say something about an error is a field of type None,
      which a record may not have unless it is null, and null counts as absent everywhere. 2 µs.
    - What does not fit that is decoded whole. 3 µs.

    Args:
        shapes: of the file's records.
    """

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._decoder: msgspec.json.Decoder[Any] | None = None
        self._known: _Plan | None = None  # of the decoder
        self._harmless: tuple[str, ...] = ()
        self._misses = 0
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
        parts_of_text = exceptions.parts_of_text
        lines = self._at_once(rows, records) or (_fitting(decoder, records[row]) for row in rows)
        for row, line in zip(rows, lines, strict=True):
            trace = None if line is None else line.trace
            if line is None or (trace is not None and "\n" not in trace):
                misfits += 1
                found.append(self._whole(row, records, begin, instants, levels, loggers))
                continue
            kind, why, stack = exceptions.NONE if trace is None else parts_of_text(trace)
            message = line.message or why or kind or ""
            if not message or "\x1b" in message:
                misfits += 1
                found.append(self._whole(row, records, begin, instants, levels, loggers))
                continue
            found.append(
                ErrorEvent(
                    begin + row,
                    instants[row],
                    levels[row],
                    message,
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

    def _at_once(self, rows: Sequence[int], records: list[str]) -> list[Any] | None:
        """The errors as structs; None where not all of them fit."""
        if self._known is None or self._misses >= _MOST_MISSES:
            return None
        try:
            return _of_known_keys(self._known, self._harmless).decode_lines("\n".join([records[row] for row in rows]))
        except (msgspec.MsgspecError, RecursionError):
            self._misses += 1
            self._learn([records[row] for row in rows])
            return None

    def _learn(self, records: Iterable[str]) -> None:
        """Remember the keys that these errors have and that do not matter."""
        plan = self._known
        assert plan is not None
        used = plan.absent.union(_members(plan)[1].values())
        found = dict.fromkeys(self._harmless)
        for record in records:
            found |= dict.fromkeys(key for key in _KEYS.decode(record) if key not in used and is_field_name(key))
        self._harmless = tuple(found)[:_MOST_HARMLESS]

    def _plan(self, rows: Sequence[int], records: list[str]) -> msgspec.json.Decoder[Any] | None:
        """A decoder for errors such as the first ones; None where they are not that simple."""
        if self._plans >= _MOST_PLANS:
            return None
        self._plans += 1
        plan = _plan_for([load_record(records[row]) for row in rows[:_SAMPLE]], self._shapes)
        self._decoder = None if plan is None else _compiled(plan)
        if plan is not None and plan != self._known:
            self._known, self._harmless, self._misses = plan, (), 0
            self._learn([records[row] for row in rows[:_SAMPLE]])
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


def _fitting(decoder: msgspec.json.Decoder[Any], record: str) -> Any:
    """A record as a struct; None where it does not fit."""
    try:
        return decoder.decode(record)
    except (msgspec.MsgspecError, RecursionError):
        return None


@lru_cache(maxsize=COMBINATIONS)
def _compiled(plan: _Plan) -> msgspec.json.Decoder[Any]:
    """A decoder of records that have none of the keys that are to be absent."""
    members, names = _members(plan)
    for number, key in enumerate(sorted(plan.absent)):
        members.append((f"f{number}", None, None))
        names[f"f{number}"] = key
    return msgspec.json.Decoder(msgspec.defstruct("Error", members, rename=names, gc=False))


@lru_cache(maxsize=COMBINATIONS)
def _of_known_keys(plan: _Plan, harmless: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """A decoder of records that have no other keys than these."""
    members, names = _members(plan)
    for number, key in enumerate(harmless):
        members.append((f"f{number}", msgspec.Raw, None))
        names[f"f{number}"] = key
    kind = msgspec.defstruct("KnownError", members, rename=names, gc=False, forbid_unknown_fields=True)
    return msgspec.json.Decoder(kind)


def _members(plan: _Plan) -> tuple[list[tuple[str, Any, Any]], dict[str, str]]:
    """The fields of message, trace and service, and their keys."""
    members: list[tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    for role, key in (("message", plan.message), ("trace", plan.trace), ("service", plan.service)):
        members.append((role, None if key is None else str | None, None))
        names[role] = f"({role})" if key is None else key  # a name for nothing
    return members, names
