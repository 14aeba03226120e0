"""The connections of the server: how many there may be, and how long each may take.

uvicorn limits neither the time in which a request arrives nor that in which an answer is read, and it has one limit for
all connections together. Here a connection has a seat from the moment it is accepted, before TLS says a word; where
there is none left, the one that has waited longest without a request gives up its own, of the same address first. So
whoever connects to say nothing, or says it a byte at a time, keeps nobody else out.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.http.limits import network_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn.server import ServerState

MOST = 512  # connections: beside them the files of a process with the usual 1,024
MOST_OF_ADDRESS = 128  # 128 watch the live tail from behind one router; a proxy or a socket stands for everybody
IDLE_S = 15  # between two requests
_HEADERS_S = 10.0  # from the first byte of a request to the end of its headers; TLS has as long
_BODY_S = 10.0  # then to the end of its body, which has 64 KiB at most
_STALLED_S = 20.0  # in so long an answer that waits must become shorter
_LEAST_BYTES = 16_384  # by so much
_LOOK_S = 1.0
_KERNEL_BYTES = 262_144  # that the kernel keeps of an answer for a client
_PAUSE_S = 0.1
_AT_ONCE = struct.pack("ii", 1, 0)  # a reset: the kernel forgets what it kept for the client
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Seat:
    """The place of one connection. `end` closes it, whatever it is doing."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.end: Callable[[], object] = lambda: None


class Seats:
    """Who is connected. Used on the event loop.

    Args:
        most: connections at once.
        most_of_address: of one address; those of a Unix socket or of a proxy have none.
    """

    def __init__(self, most: int = MOST, most_of_address: int = MOST_OF_ADDRESS) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._taken: dict[str, set[Seat]] = {}
        self._waiting: dict[str, dict[Seat, None]] = {}  # those without a request, the longest waiting first
        self._count = 0

    def take(self, address: str) -> Seat | None:
        """A seat; None where all are taken by those whose requests are being answered."""
        if address and len(self._taken.get(address, ())) >= self._most_of_address and not self._vacate(address):
            return None
        if self._count >= self._most and not self.vacate():
            return None
        seat = Seat(address)
        self._taken.setdefault(address, set()).add(seat)
        self._count += 1
        self.wait(seat)
        return seat

    def vacate(self) -> bool:
        """End the connection that has waited longest, of those of the address that has most of them."""
        most = max(self._waiting, key=lambda address: len(self._waiting[address]), default=None)
        return most is not None and self._vacate(most)

    def _vacate(self, address: str) -> bool:
        seat = next(iter(self._waiting.get(address, ())), None)
        if seat is None:
            return False
        self.leave(seat)
        seat.end()
        return True

    def wait(self, seat: Seat) -> None:
        """It waits for a request."""
        if seat in self._taken.get(seat.address, ()):
            self._waiting.setdefault(seat.address, {})[seat] = None

    def work(self, seat: Seat) -> None:
        """It has a request."""
        waiting = self._waiting.get(seat.address, {})
        waiting.pop(seat, None)
        if not waiting:
            self._waiting.pop(seat.address, None)

    def leave(self, seat: Seat) -> None:
        """It is closed."""
        self.work(seat)
        taken = self._taken.get(seat.address, set())
        if seat in taken:
            taken.discard(seat)
            self._count -= 1
            if not taken:
                del self._taken[seat.address]


class Connection(H11Protocol):
    """One connection, with a time for everything that its client has to do."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any], seat: Seat, seats: Seats
    ) -> None:
        super().__init__(config, state, app_state)
        self._seat = seat
        self._seats = seats
        self._is_between = False  # after an answer, before a byte of the next request
        self._heard_state: object = h11.IDLE
        self._answering: asyncio.Task[Any] | None = None
        self._application = self.app
        self.app = self._answer
        self._due = time.monotonic() + _HEADERS_S
        self._unread: tuple[float, int] | None = None  # since when so much of an answer has not become less

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """As uvicorn's."""
        super().connection_made(transport)
        self._seat.end = transport.abort

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self._seats.leave(self._seat)
        super().connection_lost(exc)
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's."""
        if self._is_between:
            self._is_between = False
            self._due = time.monotonic() + _HEADERS_S
        super().data_received(data)

    def handle_events(self) -> None:
        """As uvicorn's, which calls this where something of a request has come or its turn has."""
        super().handle_events()
        heard = self.conn.their_state
        if heard is not self._heard_state:
            self._heard_state = heard
            self._is_between = heard is h11.IDLE
            times = {h11.SEND_BODY: _BODY_S, h11.IDLE: IDLE_S}
            self._due = time.monotonic() + times.get(heard, float("inf"))
        if self.cycle is not None and not self.cycle.response_complete:
            self._seats.work(self._seat)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, ended when its client goes: what nobody reads is worth no work."""
        self._answering = asyncio.current_task()
        try:
            await self._application(scope, receive, send)
        except (asyncio.CancelledError, h11.LocalProtocolError):
            # The client has gone, or has sent nonsense after its request, or the server ends: uvicorn would log it.
            self.cycle.disconnected = True
            self.transport.abort()
        finally:
            self._answering = None

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, where an answer may begin still."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def on_response_complete(self) -> None:
        """As uvicorn's."""
        self._seats.wait(self._seat)
        self._heard_state = None
        super().on_response_complete()
        if self._heard_state is None:
            self.handle_events()

    def resume_writing(self) -> None:
        """As uvicorn's."""
        self._unread = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """End it where its client takes longer than it may."""
        if now > self._due:
            is_asking = self.conn.their_state is h11.IDLE and not self._is_between
            if is_asking or not (self.cycle is None or self.cycle.response_started):
                self.transport.write(_TOO_SLOW)
            self.transport.abort()
            return
        left = self.transport.get_write_buffer_size()
        if left == 0:
            self._unread = None
        elif self._unread is None or left <= self._unread[1] - _LEAST_BYTES:
            self._unread = (now, left)
        elif now - self._unread[0] > _STALLED_S:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()
        else:
            self._unread = (self._unread[0], max(left, self._unread[1]))


class Server(uvicorn.Server):
    """A server that seats each connection before it listens to it.

    Args:
        config: loaded; its protocol is not used.
        shared: all clients come from one address: through a proxy or a Unix socket.
        on_stop: called when it begins to end, before it waits for answers under way.
    """

    def __init__(self, config: uvicorn.Config, *, shared: bool, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._shared = shared
        self._on_stop = on_stop
        self._seats = Seats()
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept at the sockets."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(uvicorn.config.STARTUP_FAILURE)
        self.servers = []
        for listener in sockets or ():
            listener.settimeout(0)
            self._begin(self._accept(listener))
        self._begin(self._look())
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the tasks, then as uvicorn does."""
        for task in self._tasks:
            task.cancel()
        self._on_stop()
        await super().shutdown(sockets)

    def _begin(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except ConnectionError:  # it went before its turn came
                continue
            except OSError:  # no descriptor is left
                self._seats.vacate()
                await asyncio.sleep(_PAUSE_S)
                continue
            is_known = not self._shared and isinstance(address, tuple)
            seat = self._seats.take(network_of(address[0]) if is_known else "")
            if seat is None:
                self._refuse(accepted)
                continue
            task = self._begin(self._open(accepted, seat))
            seat.end = task.cancel
            await asyncio.sleep(0)  # it has begun before anybody ends it; and what is connected already has its turn

    def _refuse(self, accepted: socket.socket) -> None:
        accepted.settimeout(0)
        try:
            if self.config.ssl is None:
                accepted.send(_TOO_MANY)
        except OSError:
            pass
        finally:
            accepted.close()

    async def _open(self, accepted: socket.socket, seat: Seat) -> None:
        """Let a connection begin, with TLS where there is some."""
        is_open = False
        try:  # from here on the socket is the loop's, which closes it whatever happens
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
            times = {"ssl_handshake_timeout": _HEADERS_S, "ssl_shutdown_timeout": _PAUSE_S} if self.config.ssl else {}
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self.config, self.server_state, self.lifespan.state, seat, self._seats),
                accepted,
                ssl=self.config.ssl,
                **times,
            )
            is_open = True
        except OSError:  # what came is no TLS, or nothing came
            return
        finally:
            if not is_open:
                self._seats.leave(seat)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                connection.look(now)  # type: ignore[union-attr] # all are made here
