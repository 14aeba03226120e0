"""An event on its way into the store, as rules look at it, and the key of the state that it belongs to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agent.core.fields import Profile, decode_record, read_message, read_service
from agent.core.stored import FileInfo, StoredEvent
from agent.core.values import text_of
from agent.query.predicate import getter
from agent.query.searched import folded_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.core.model import StoredBatch
    from agent.query.predicate import Categories, Getter

Value = TypeVar("Value")
_KEYS_REMEMBERED = 20_000  # texts of keys; twice the states of a rule


class _Once(Generic[Value]):
    """As functools.cached_property, without the lock that it takes before Python 3.12: 6 µs for each value."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, event: Any, _owner: type) -> Value:
        value: Value = self._compute(event)
        event.__dict__[self._name] = value
        return value


class LiveEvent(StoredEvent):
    """An event that many predicates look at: what they ask for is worked out once."""

    file: LiveFile

    @_Once
    def fields(self) -> dict[str, Any]:
        """The record, decoded."""
        return decode_record(self.record)

    @_Once
    def own_service(self) -> str | None:
        """The service that the line itself names."""
        return read_service(self.fields, self.file.profile)

    @_Once
    def body(self) -> str:
        """The message."""
        return read_message(self.fields, self.file.profile)[1]

    @_Once
    def folded(self) -> bytes:
        """Its text in lower case, as text terms without a capital see it."""
        return folded_text(self.record, self.raw)


class LiveFile(FileInfo):
    """What predicates read of a followed file."""

    profile_text: str | None = None
    service_key: str | None = None  # where the profile alone says where the service is, at the top of the line

    @classmethod
    def of(cls, batch: StoredBatch, resource: dict[str, object]) -> LiveFile:
        """What is known of the file of a batch, and the resource attributes of its source."""
        file = batch.file
        profile = Profile.from_json(batch.profile) if batch.profile else None
        path = None if profile is None or profile.overrides else profile.service
        return cls(
            file.id,
            file.source,
            file.path,
            resource,
            profile,
            (0, 0, 0),
            batch.events.end,
            profile_text=batch.profile,
            service_key=path[0] if path is not None and len(path) == 1 else None,
        )


class Keys:
    """The keys of a rule's states: the values of its `per` fields as a JSON object."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self._getters: list[Getter] = [getter(name) for name in fields]
        self._texts: dict[tuple[str | None, ...], str] = {}

    def key(self, event: StoredEvent, categories: Categories) -> str:
        """The key that an event belongs to; a field that it lacks is null."""
        if not self._getters:
            return "{}"
        values = tuple(_first_text(get(event, categories)) for get in self._getters)
        text = self._texts.get(values)
        if text is None:
            if len(self._texts) >= _KEYS_REMEMBERED:
                self._texts.clear()
            text = self._texts[values] = key_text(dict(zip(self.fields, values, strict=True)))
        return text


def key_text(key: Mapping[str, str | None]) -> str:
    """A key as the store has it: ASCII, so that no character of it can be lost on the way."""
    return json.dumps(dict(key), separators=(",", ":"))


def _first_text(values: list[Any]) -> str | None:
    return next((text for value in values if (text := text_of(value)) is not None), None)
