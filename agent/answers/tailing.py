"""The live tail: one process follows the store for all who watch, and gives each what their query wants.

A hundred open pages cost one look at what is new, not a hundred. What the process is told are `Watch` and `Leave`, in
JSON; what it tells are frames of JSON: the number of who watches, `[position, event]`s (a position is an event's own
id), how many were left out. The first is sent as soon as nothing
is missed any more.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import TYPE_CHECKING

import msgspec

from agent.answers.parameters import TAILED, read_texts
from agent.answers.questions import selection_of
from agent.core.errors import SidelogError
from agent.core.stored import StoredEvent
from agent.query import open_engine
from agent.query.fragments import encode
from agent.query.language import Query, Selection
from agent.query.render import document as event_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.answers.place import Place
    from agent.query.engine import Engine, Position

LENGTH = struct.Struct("!I")
_MOST_CAUGHT_UP = 10_000  # events that are sent of the time in which a page had no connection
_MOST_PENDING = 500  # of one batch for one who watches: more says nobody reads


class Watch(msgspec.Struct, tag=True, frozen=True):
    """Somebody watches what the parameters of `parameters.TAILED` choose, from a position on (None: from now on)."""

    number: int
    texts: dict[str, list[str]] = {}
    after: int | str | None = None


class Leave(msgspec.Struct, tag=True, frozen=True):
    """Somebody watches no more."""

    number: int


_DECODER = msgspec.json.Decoder(Watch | Leave)


class _LeftError(Exception):
    """The server is gone."""


class _Watcher:
    def __init__(self, query: Query, after: Position) -> None:
        self.query = query
        self.after = after
        self.lines: list[tuple[Position, msgspec.Raw]] = []
        self.skipped = 0

    def take(self, event: StoredEvent, place: Position, engine: Engine) -> None:
        """An event that may be shown, and the position after it."""
        if not engine.has_passed(self.after, event) and self.query.matches(event, engine.categories):
            if len(self.lines) < _MOST_PENDING:
                self.lines.append((place, msgspec.Raw(encode(event_document(event)))))
            else:
                self.skipped += 1


class TailFollower:
    """Follows one store.

    Args:
        place: where it is.
        channel: to the server.
        send: a frame to the server: `d` and JSON.
    """

    def __init__(self, place: Place, channel: socket.socket, send: Callable[[bytes, bytes], None]) -> None:
        self._channel = channel
        self._send = send
        self._watchers: dict[int, _Watcher] = {}
        self._place = place
        self._engine: Engine | None = None
        self._position: Position = 0

    def run(self) -> None:
        """Until the server goes."""
        while True:
            try:
                place, is_store = self._place, self._place.fleet is None
                self._engine = open_engine(
                    place.store, place.archives, archived=not is_store, sleep=self._pause, fleet=place.fleet
                )
                self._position = self._engine.position()
                self._follow(self._engine)
            except SidelogError:  # no store yet, or one that is being replaced
                self._pause(1.0)
            finally:
                if self._engine is not None:
                    self._engine.close()
                    self._engine = None

    def _follow(self, engine: Engine) -> None:
        for item in engine.follow(Selection(Query()), self._position):
            if isinstance(item, StoredEvent):
                self._position = engine.passed(self._position, item)
                for watcher in self._watchers.values():
                    watcher.take(item, self._position, engine)
                continue
            self._position = item
            for number, watcher in self._watchers.items():
                self._tell(number, watcher)

    def _tell(self, number: int, watcher: _Watcher, *, always: bool = False) -> None:
        if always or watcher.lines or watcher.skipped:
            self._send(b"d", msgspec.json.encode([number, watcher.lines, watcher.skipped]))
            watcher.lines, watcher.skipped = [], 0

    def _pause(self, seconds: float) -> None:
        """Listen to the server meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._channel], [], [], left)[0]:
                return
            message = read_message(self._channel)
            if message is None:
                raise _LeftError
            self._heed(_DECODER.decode(message))

    def _heed(self, told: Watch | Leave) -> None:
        if isinstance(told, Leave):
            self._watchers.pop(told.number, None)
            return
        try:
            query = selection_of(read_texts(TAILED, told.texts, time.time_ns())).query
        except SidelogError:  # the server has asked before
            return
        watcher = self._watchers[told.number] = _Watcher(query, self._position)
        engine, place = self._engine, told.after
        if place is not None and engine is not None and _may_lie_before(place, self._position):
            watcher.after = place
            for count, item in enumerate(engine.follow(Selection(query), place, wait=False)):
                if not isinstance(item, StoredEvent) or count >= _MOST_CAUGHT_UP:
                    break
                place = engine.passed(place, item)
                watcher.take(item, place, engine)
                watcher.after = place
            watcher.after = self._position if _may_lie_before(watcher.after, self._position) else watcher.after
        self._tell(told.number, watcher, always=True)


def _may_lie_before(place: Position, other: Position) -> bool:
    """Whether it does, of numbers; of others only their engine knows. What is of another engine does not."""
    if isinstance(place, int) and isinstance(other, int):
        return place < other
    return type(place) is type(other) and place != other


def read_message(channel: socket.socket) -> bytes | None:
    """The next message: four bytes of length (big endian), and so many; None at the end."""
    head = channel.recv(LENGTH.size, socket.MSG_WAITALL)
    if len(head) < LENGTH.size:
        return None
    return channel.recv(LENGTH.unpack(head)[0], socket.MSG_WAITALL)


def follow(place: Place, channel: socket.socket, send: Callable[[bytes, bytes], None]) -> None:
    """Follow a store until the server goes; arguments as of `TailFollower`."""
    try:
        TailFollower(place, channel, send).run()
    except _LeftError:
        return
