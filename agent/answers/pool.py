"""The server's side of its workers: who gets one, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from agent.answers.tailing import DATA, END, ERROR, HEAD, LENGTH, PID
from agent.answers.turns import Turn, Turns
from agent.answers.worker import ask_for_worker
from agent.core.errors import HttpError, SidelogError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

    from agent.answers.worker import ChangeRequest, QuestionRequest

WORKERS = 4  # questions at once: two cores are busy with as many scans
_OF_ONE = 3  # of these for one who asks: others find one free
_UNDER_WAY = 12  # answers at once: while a client reads, another question has the worker's turn
_UNDER_WAY_OF_ONE = 4
_TIMEOUT_S = 30.0
_IDLE = WORKERS  # kept for the next questions: to fork one costs 3 ms of a busy machine
_ROUNDS = 200  # questions that one answers: memory that an odd one took is given back
ASKING: ContextVar[str] = ContextVar("ASKING", default="")  # who asks, as places are shared out


class WorkerPool:
    """Used on the event loop.

    Args:
        nursery: forks workers.
        timeout_s: after so long a question ends, its time of waiting included.
    """

    def __init__(self, nursery: socket.socket, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._nursery = nursery
        self._timeout_s = timeout_s
        self._working = Turns(WORKERS, _OF_ONE)
        self._under_way = Turns(_UNDER_WAY, _UNDER_WAY_OF_ONE)
        self._idle: list[_Worker] = []

    async def ask(self, asked: QuestionRequest | ChangeRequest) -> AsyncGenerator[bytes, None]:
        """The parts of an answer. To close the generator ends what answers.

        Raises:
            SidelogError: as the question does; SL907 it took too long, SL908 too many wait.
        """
        who, end = ASKING.get(), asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with self._under_way.turn(who, end):
                turn, worker = Turn(self._working, who, end), None
                try:
                    await turn.go_on()
                    worker = self._rested() or await _Worker.begin(self._nursery, end)
                    worker.hear(asked, end)
                    while (part := await worker.next_part()) is not None:
                        turn.rest()
                        yield part  # who reads slowly keeps nobody else waiting
                        await turn.go_on()
                    if worker.rounds < _ROUNDS and len(self._idle) < _IDLE:
                        self._idle.append(worker)
                        worker = None
                finally:
                    turn.leave()
                    if worker is not None:
                        worker.end()
        except TimeoutError:
            raise HttpError.of("SL907", asked.name, seconds=round(self._timeout_s)) from None
        except OverflowError:
            raise HttpError.of("SL908", asked.name) from None

    async def answer(self, asked: QuestionRequest | ChangeRequest) -> bytes:
        """A whole answer, which must be short.

        Raises:
            SidelogError: as `ask`.
        """
        return b"".join([part async for part in self.ask(asked)])

    def _rested(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_there:
                return worker
            worker.end()
        return None

    def close(self) -> None:
        """End the workers and the nursery."""
        for worker in self._idle:
            worker.end()
        self._idle.clear()
        self._nursery.close()


class _Worker:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self._reader = reader
        self._writer = writer
        self._pid = pid
        self._name = ""
        self._alarm: asyncio.TimerHandle | None = None
        self._is_late = False
        self.rounds = 0

    @classmethod
    async def begin(cls, nursery: socket.socket, end: float) -> _Worker:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ask_for_worker(nursery))
        except OSError:  # without the nursery the server ends
            raise HttpError.of("SL909", "worker") from None
        try:
            async with asyncio.timeout_at(end):
                kind, text = await read_frame(reader)
        except BaseException:
            writer.transport.abort()
            raise
        if kind != PID:
            writer.transport.abort()
            raise HttpError.of("SL909", "worker")
        return cls(reader, writer, int(text))

    @property
    def is_there(self) -> bool:
        """Whether it has not ended while it had nothing to do."""
        look = select.poll()
        look.register(self._writer.get_extra_info("socket"), select.POLLRDHUP)
        return not look.poll(0)

    def hear(self, asked: QuestionRequest | ChangeRequest, end: float) -> None:
        """Begin to answer; at `end`, a time of the loop, it is ended, also while nobody listens."""
        self.rounds += 1
        self._name = asked.name
        self._alarm = asyncio.get_running_loop().call_at(end, self._expire)
        question = msgspec.json.encode(asked)
        self._writer.write(LENGTH.pack(len(question)) + question)

    async def next_part(self) -> bytes | None:
        """The next part of the answer; None at its end."""
        kind, data = await read_frame(self._reader)
        if kind == DATA:
            return data
        if self._is_late:
            raise TimeoutError
        self._calm()
        if kind == ERROR:
            said = msgspec.json.decode(data)
            raise SidelogError(said["code"], self._name, self._name, said["message"], hint=said["hint"])
        assert kind == END
        return None

    def _calm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _expire(self) -> None:
        self._is_late = True
        self.end()

    def end(self) -> None:
        """Whatever it is doing."""
        self._writer.transport.abort()
        if self._alarm is not None:  # it is not done
            self._calm()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)


async def read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A letter and what belongs to it, as `worker` has them; an error where the process has ended."""
    try:
        kind, length = HEAD.unpack(await reader.readexactly(HEAD.size))
        return kind, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):  # out of memory, or killed by somebody
        return ERROR, b'{"code": "SL909", "message": "what was answering has ended", "hint": "ask again"}'
