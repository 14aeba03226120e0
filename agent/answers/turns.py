"""Whose turn it is: a number of places, of which nobody has too many, given out in turn among those who wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_WAITING = 128  # of all, for a place
_WAITING_OF_ONE = 40
_PATIENCE_S = 0.05  # who does not go on within it leaves the place to others


class Turns:
    """Used on the event loop.

    Args:
        places: taken at once.
        of_one: of these by one.
    """

    def __init__(self, places: int, of_one: int) -> None:
        self._free = places
        self._of_one = of_one
        self._taken: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, who: str, end: float) -> AsyncGenerator[None, None]:
        """A place for as long as the context lasts; otherwise as `take`."""
        await self.take(who, end)
        try:
            yield
        finally:
            self.give(who)

    async def take(self, who: str, end: float) -> None:
        """Take a place as soon as it is one's turn.

        Args:
            who: takes it.
            end: a time of the loop until which it is worth waiting.

        Raises:
            TimeoutError: there was none until then.
            OverflowError: too many wait already.
        """
        queue = self._waiting.get(who, ())
        if len(queue) >= _WAITING_OF_ONE or sum(map(len, self._waiting.values())) >= _WAITING:
            raise OverflowError
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(place)
        self._share_out()
        try:
            async with asyncio.timeout_at(end):
                await place
        except BaseException:
            if place.done() and not place.cancelled():  # it came together with the end
                self.give(who)
            else:
                self._withdraw(who, place)
            raise

    def give(self, who: str) -> None:
        """Give one's place back."""
        self._free += 1
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]
        self._share_out()

    def _withdraw(self, who: str, place: asyncio.Future[None]) -> None:
        queue = self._waiting.get(who, deque())
        if place in queue:
            queue.remove(place)
        if not queue:
            self._waiting.pop(who, None)

    def _share_out(self) -> None:
        for who in list(self._waiting):
            if not self._free:
                return
            if self._taken.get(who, 0) < self._of_one:
                place = self._waiting[who][0]
                self._withdraw(who, place)
                if who in self._waiting:
                    self._waiting.move_to_end(who)
                if place.done():  # who waited has gone just now
                    self._share_out()
                    return
                self._free -= 1
                self._taken[who] = self._taken.get(who, 0) + 1
                place.set_result(None)


class Turn:
    """One's own place, which others get while one does not go on. Used on the event loop.

    Args:
        turns: where the place is.
        who: has it.
        end: as in `Turns.take`.
    """

    def __init__(self, turns: Turns, who: str, end: float) -> None:
        self._turns = turns
        self._who = who
        self._end = end
        self._held = False
        self._leaving: asyncio.TimerHandle | None = None

    async def go_on(self) -> None:
        """Have the place, again if it was left; raises as `Turns.take`."""
        self._stay()
        if not self._held:
            await self._turns.take(self._who, self._end)
            self._held = True

    def rest(self) -> None:
        """Leave the place, unless one goes on at once: to take it anew for each part of an answer that somebody reads
        costs more than the part, and lets as many answers begin as nobody needs at once.
        """
        self._leaving = asyncio.get_running_loop().call_later(_PATIENCE_S, self.leave)

    def leave(self) -> None:
        """Give the place back."""
        self._stay()
        if self._held:
            self._held = False
            self._turns.give(self._who)

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
