"""A proxy between agents and a server that cuts connections at random moments, hangs, or is gone."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine

_CHUNK = 1 << 14
# Where a connection is cut: instead of the request, in the middle of its body, when the server has all of it and has
# answered nothing that arrived, and in the middle of the answer.
MOMENTS = ("before", "request", "unanswered", "answer")


class Proxy:
    """Passes TCP on to `port` of loopback; `share` of the requests have their connection cut.

    A request begins where the client sends first, or again after it was answered; of HTTP it knows where a header ends.
    All can be set at any moment: `share`; `hang`, to accept and pass nothing on; `close` and `open`, to be gone.
    """

    def __init__(self, port: int, share: float = 0.0, seed: int = 0) -> None:
        self.target = port
        self.share = share
        self.hang = False
        self.requests = 0
        self.cuts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self.port = chosen.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        self._do(self._open())

    def close(self) -> None:
        """Refuse connections, and cut those that there are."""
        self._do(self._close())

    def cut_all(self) -> None:
        """Cut every connection that there is now."""
        self._do(self._cut_all())

    def _do(self, what: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut_all()

    async def _cut_all(self) -> None:
        for writer in tuple(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = [writer]
        self._writers.add(writer)
        whole = False
        try:
            if self.hang:
                await reader.read()  # until the client goes
                return
            there, onwards = await asyncio.open_connection("127.0.0.1", self.target)
            pair.append(onwards)
            self._writers.add(onwards)
            whole = await _Connection(self, (reader, writer), (there, onwards)).run()
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side went away, or was cut
        finally:
            for one in pair:
                self._writers.discard(one)
                if whole:
                    one.close()  # when all that was written is sent
                else:
                    _reset(one)

    def plan(self) -> tuple[str, int]:
        """Whether and where the request that begins now is cut: a moment, and bytes that pass before it."""
        self.requests += 1
        if self._random.random() >= self.share:
            return "", 0
        # Of few bytes and of many: a request can be 8 MiB, an answer 200 bytes.
        return self._random.choice(MOMENTS), int(2 ** self._random.uniform(0, 22))


class _Connection:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._asking = False  # the client sent last
        self._moment, self._left = "", 0

    async def run(self) -> bool:
        """Until one side ends, or it is cut; whether it was not cut."""
        ways = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            return all(way.result() for way in done)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> bool:
        while data := await self._client[0].read(_CHUNK):
            if not self._asking:
                self._asking = True
                self._moment, self._left = self._proxy.plan()
                if self._moment == "request":  # not in its header, of which 26.7's library dies (std::terminate)
                    self._left += data.find(b"\r\n\r\n") + 4
            if self._moment == "before" or (self._moment == "request" and self._left < len(data)):
                await self._cut(self._server[1], data[: self._left] if self._moment == "request" else b"")
                return False
            if self._moment == "request":
                self._left -= len(data)
            self._server[1].write(data)
            await self._server[1].drain()
        return True

    async def _answers(self) -> bool:
        while data := await self._server[0].read(_CHUNK):
            self._asking = False
            if self._moment:  # a request that was shorter than what was to pass of it is cut here
                part = data[: self._left] if self._moment == "answer" else b""
                await self._cut(self._client[1], part[: len(data) - 1])
                return False
            self._client[1].write(data)
            await self._client[1].drain()
        return True

    async def _cut(self, onwards: asyncio.StreamWriter, part: bytes) -> None:
        if part:
            onwards.write(part)
            await onwards.drain()
        self._proxy.cuts[self._moment] += 1


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken network does: RST, not FIN."""
    if (raw := writer.get_extra_info("socket")) is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
