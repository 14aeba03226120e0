"""The server's side of the live tail: who watches, and the events for each (server-sent events).

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from itertools import count
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response, StreamingResponse

from agent.answers.parameters import LIMIT, TAILED, check_names
from agent.answers.pool import ASKING, read_frame
from agent.answers.tailing import LENGTH, Leave, Watch
from agent.answers.worker import DATA, QuestionRequest, TailRequest, ask_for_worker
from agent.core.errors import HttpError, SidelogError
from agent.core.values import whole_number
from agent.http.api import refusal

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

    from agent.answers.pool import WorkerPool

MOST_WATCHERS = 200
_OF_ONE = 50  # who asks
_QUEUED = 64  # batches that wait for one client
_ALIVE_S = 15.0
_MEDIA_TYPE = "text/event-stream"
_Batch = tuple[int, list[tuple[int | str, msgspec.Raw]], int]
_DECODER = msgspec.json.Decoder(_Batch)


class Tails:
    """Everybody who watches. Used on the event loop.

    Args:
        nursery: forks the process that follows, when somebody watches first.
        pool: tries queries.
    """

    def __init__(self, nursery: socket.socket, pool: WorkerPool) -> None:
        self._nursery = nursery
        self._pool = pool
        self._numbers = count(1)
        self._queues: dict[int, asyncio.Queue[_Batch | None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._watches: dict[int, Watch] = {}
        self._watching: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def endpoint(self, request: Request) -> Response:
        """`GET /api/v1/tail`."""
        try:
            texts = check_names(TAILED, request.query_params.multi_items())
            if len(self._queues) >= MOST_WATCHERS or self._watching[ASKING.get()] >= _OF_ONE:
                raise HttpError.of("SL908", "tail")
            asked = QuestionRequest("query", {**texts, LIMIT.name: ["0"]})
            await self._pool.answer(asked)  # what is wrong with it is said now
        except SidelogError as error:
            return refusal(error)
        last = request.headers.get("last-event-id", "")
        if request.method == "HEAD":
            return Response(media_type=_MEDIA_TYPE)
        watch = Watch(next(self._numbers), texts, _position(last))
        events = self._events(watch)
        first = await anext(events, b"")  # an answer that has begun misses nothing any more
        return StreamingResponse(_rest(first, events), media_type=_MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})

    async def _events(self, watch: Watch) -> AsyncGenerator[bytes, None]:
        queue = self._queues[watch.number] = asyncio.Queue(_QUEUED)
        self._watches[watch.number] = watch
        self._watching[who := ASKING.get()] += 1
        try:
            await self._begin()
            self._say(watch)
            is_first = True
            while True:
                try:
                    batch = await asyncio.wait_for(queue.get(), _ALIVE_S)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                if batch is None:  # what follows has ended; the client comes again, with its last position
                    return
                yield (b"retry: 2000\n: watching\n\n" if is_first else b"") + _as_event(batch)
                is_first = False
        finally:
            del self._queues[watch.number], self._watches[watch.number]
            self._watching -= Counter([who])  # keeps none of zero
            self._say(Leave(watch.number))

    async def _begin(self) -> None:
        if self._task is not None and not self._task.done():
            return
        reader, self._writer = await asyncio.open_unix_connection(sock=ask_for_worker(self._nursery))
        self._say(TailRequest())
        self._task = asyncio.create_task(self._listen(reader), name="tail")

    def _say(self, message: Watch | Leave | TailRequest) -> None:
        if self._writer is not None and not self._writer.is_closing():
            text = msgspec.json.encode(message)
            self._writer.write(LENGTH.pack(len(text)) + text)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, data = await read_frame(reader)
            if kind == DATA:
                batch = _DECODER.decode(data)
                queue = self._queues.get(batch[0])
                if queue is not None:
                    if queue.full():  # who does not read loses the oldest, and is told by the next batch's number
                        queue.get_nowait()
                    queue.put_nowait(batch)
            elif kind == b"e":
                break
        self.end()

    def end(self) -> None:
        """End all answers; browsers come again by themselves, and go on where they were."""
        for queue in self._queues.values():
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    def close(self) -> None:
        """End what follows."""
        if self._task is not None:
            self._task.cancel()
        if self._writer is not None:
            self._writer.transport.abort()


def _position(text: str) -> int | str | None:
    """That of a client which comes again: a number, or what another engine has for one."""
    number = whole_number(text)
    return number if number is not None else text or None


async def _rest(first: bytes, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        yield first
        async for part in events:
            yield part


def _as_event(batch: _Batch) -> bytes:
    _, rows, skipped = batch
    told = b"".join(b"id: %b\ndata: %b\n\n" % (str(position).encode(), bytes(row)) for position, row in rows)
    return told + (b"event: skipped\ndata: %d\n\n" % skipped if skipped else b"")
