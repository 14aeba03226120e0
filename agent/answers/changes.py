"""What an operator changes, in a worker and in the way that the command line does it: small transactions beside the
agent's, each with its row in the log of what was done by whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
import orjson

from agent.alert.operations import refuse_unknown
from agent.answers.parameters import whole_number
from agent.core.errors import HttpError, SidelogError, UsageError
from agent.core.times import parse_duration
from agent.store import access
from agent.store import alerts as alert_tables
from agent.store.edit import editing, set_group_state
from agent.views import iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.answers.place import Place

_LAST_NS = 2**63 - 1  # the year 2262
_STORED = {"resolved": "resolved", "ignored": "ignored", "reopened": "ongoing"}
_MOST_GROUPS = 1_000
_GroupId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]  # what SQLite can hold
_T = TypeVar("_T", bound=msgspec.Struct)


class GroupDecision(msgspec.Struct, forbid_unknown_fields=True, rename={"for_": "for"}):
    """The body of `POST /errors/ID`; `ids` of one that is for several groups."""

    state: Literal["resolved", "ignored", "reopened"]
    until_count: int | None = None
    for_: str | None = None
    ids: Annotated[list[_GroupId], msgspec.Meta(max_length=_MOST_GROUPS)] = []


class SilenceChange(msgspec.Struct, forbid_unknown_fields=True, rename={"for_": "for"}):
    """The body of `POST /silences`."""

    rule: str
    for_: str
    comment: str = ""


def change_groups(place: Place, who: str, body: bytes, group: str) -> bytes:
    """Give groups a state, all of them or none.

    Raises:
        SidelogError: SL540 there is no such group; SL904 the body cannot be read.
        UsageError: SL515, a duration cannot be read.
        StoreError: as `store.edit.editing`.
    """
    asked = _decoded(body, GroupDecision)
    if group:
        number = whole_number(group)
        if number is None:
            raise SidelogError.of("SL540", group)
        if asked.ids:
            raise HttpError.of("SL904.body", group, why="ids belong to /api/v1/errors")
        numbers = [number]
    else:
        numbers = list(dict.fromkeys(asked.ids))
        if not numbers:
            raise HttpError.of("SL904.body", "errors", why="ids has no number")
    if asked.state != "ignored" and (asked.until_count is not None or asked.for_ is not None):
        raise HttpError.of("SL904.body", group, why="until_count and for belong to ignored")
    if asked.until_count is not None and not 1 <= asked.until_count < 2**62:
        raise HttpError.of("SL904.body", group, why="until_count is a number from 1")
    until = None if asked.for_ is None else min(place.now + parse_duration(asked.for_), _LAST_NS)
    state = _STORED[asked.state]
    with editing(place.store) as connection:
        for number in numbers:
            known = set_group_state(connection, number, state, place.now, until=until, until_count=asked.until_count)
            if not known:
                raise SidelogError.of("SL540", number)
            access.note(connection, place.now, who, asked.state, f"group {number}", _limits(asked))
    return orjson.dumps({"ids": numbers, "state": state, "ignored_until": iso(until)})


def _limits(asked: GroupDecision) -> str:
    parts = [f"until {asked.until_count} more"] if asked.until_count else []
    return ", ".join([*parts, *([f"for {asked.for_}"] if asked.for_ else [])])


def silence(place: Place, who: str, body: bytes, _: str) -> bytes:
    """Tell nobody that a rule fires, for a while.

    Raises:
        UsageError: SL710 there is no such rule; SL515 the duration cannot be read.
        SidelogError: SL904, the body cannot be read.
        StoreError: as `store.edit.editing`.
    """
    asked = _decoded(body, SilenceChange)
    length = parse_duration(asked.for_)
    if length <= 0:
        raise UsageError.of("SL518.every", asked.for_)
    until, comment = min(place.now + length, _LAST_NS), asked.comment.strip()[:1_000]
    with editing(place.store) as connection:
        refuse_unknown(asked.rule, [*alert_tables.load_rules(connection), *(rule.name for rule in place.rules)])
        alert_tables.silence(connection, asked.rule, created=place.now, until=until, author=who, comment=comment)
        access.note(connection, place.now, who, "silence", asked.rule, f"for {asked.for_}: {comment}")
    return orjson.dumps({"rule": asked.rule, "until": iso(until), "author": who, "comment": comment})


def unsilence(place: Place, who: str, _: bytes, rule: str) -> bytes:
    """End a rule's silence.

    Raises:
        UsageError: SL710, there is no such rule.
        StoreError: as `store.edit.editing`.
    """
    with editing(place.store) as connection:
        ended = alert_tables.unsilence(connection, rule, place.now)
        if not ended:
            refuse_unknown(rule, [*alert_tables.load_rules(connection), *(one.name for one in place.rules)])
        access.note(connection, place.now, who, "end silence", rule)
    return orjson.dumps({"rule": rule, "silenced": False, "was_silenced": ended})


def redeliver(place: Place, who: str, _: bytes, delivery: str) -> bytes:
    """Let the agent try a dead delivery anew (`all`: every dead one).

    Raises:
        UsageError: SL712, there is no such delivery.
        StoreError: as `store.edit.editing`.
    """
    with editing(place.store) as connection:
        count = alert_tables.redeliver(connection, delivery)
        if not count and delivery != "all":
            raise UsageError.of("SL712", delivery)
        access.note(connection, place.now, who, "redeliver", delivery)
    return orjson.dumps({"deliveries": count})


def open_link(place: Place, who: str, body: bytes, _: str) -> bytes:
    """Note that a link was opened; whether this was the first time."""
    expires = int(body)
    with editing(place.store) as connection:
        first = access.use_link(connection, who, place.now // 10**9, expires)
        if first:
            access.note(connection, place.now, f"link {who[:8]}", "open session", "")
    return orjson.dumps({"first": first})


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise HttpError.of("SL904.body", "body", why=error) from None


CHANGES: dict[str, Callable[[Place, str, bytes, str], bytes]] = {
    "change_groups": change_groups,
    "silence": silence,
    "unsilence": unsilence,
    "redeliver": redeliver,
    "open_link": open_link,
}
