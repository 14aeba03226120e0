"""What an operator changes, in a worker and in the way that the command line does it: small transactions beside the
agent's, each with its row in the log of what was done by whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
import orjson

from agent.alert import operations
from agent.core.errors import HttpError, SidelogError
from agent.core.values import whole_number
from agent.store import access, edit
from agent.views import iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.answers.place import Place

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
    comment: Annotated[str, msgspec.Meta(max_length=1_000)] = ""


def change_groups(place: Place, who: str, body: bytes, group: str) -> bytes:
    """Give groups a state, all of them or none.

    Raises:
        HttpError: SL904, the body cannot be read.
        SidelogError: as `store.edit.change_groups`.
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
    state = _STORED[asked.state]
    if place.fleet is not None:
        raise HttpError.of("SL664", place.fleet.shown, what="give an error group a state")
    until = edit.change_groups(
        place.store, numbers, state, now=place.now, who=who, duration=asked.for_, until_count=asked.until_count
    )
    return orjson.dumps({"ids": numbers, "state": state, "ignored_until": iso(until)})


def silence(place: Place, who: str, body: bytes, _: str) -> bytes:
    """Tell nobody that a rule fires, for a while.

    Raises:
        HttpError: SL904, the body cannot be read.
        SidelogError: as `alert.operations.silence`.
    """
    asked = _decoded(body, SilenceChange)
    until = operations.silence(
        place.store,
        place.rules,
        asked.rule,
        now=place.now,
        duration=asked.for_,
        author=who,
        comment=asked.comment,
    )
    return orjson.dumps({"rule": asked.rule, "until": iso(until), "author": who, "comment": asked.comment.strip()})


def unsilence(place: Place, who: str, _: bytes, rule: str) -> bytes:
    """End a rule's silence.

    Raises:
        SidelogError: as `alert.operations.unsilence`.
    """
    ended = operations.unsilence(place.store, place.rules, rule, place.now, who)
    return orjson.dumps({"rule": rule, "silenced": False, "was_silenced": ended})


def redeliver(place: Place, who: str, _: bytes, delivery: str) -> bytes:
    """Let the agent try a dead delivery anew (`all`: every dead one).

    Raises:
        SidelogError: as `alert.operations.redeliver`.
    """
    return orjson.dumps({"deliveries": operations.redeliver(place.store, delivery, place.now, who)})


def open_link(place: Place, who: str, body: bytes, _: str) -> bytes:
    """Note that a link was opened; whether this was the first time."""
    expires = int(body)
    with edit.editing(place.store) as connection:
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
