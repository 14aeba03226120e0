"""The server process: its socket, its life beside the agent, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from agent.answers.place import Place
from agent.answers.pool import WorkerPool
from agent.answers.worker import fork_nursery
from agent.core import logs
from agent.core.errors import EXIT_DONE, EXIT_FAILED, HttpError
from agent.http.app import make_app
from agent.http.connections import IDLE_S, Server
from agent.http.live import LiveAgent, StoredAgent
from agent.http.tails import Tails
from agent.serving import ServerSettings, listening_socket, read_settings
from agent.store.lock import owner
from agent.supervision import BEAT_S

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LINE_BYTES = 64 << 20  # of vitals: 10,000 sources are 2 MB
_NICE = 5  # what people look at waits for what is stored
_ORPHAN_S = 300.0  # so long the pages say that the agent is gone
_ORPHAN_LOOK_S = 0.2
_HEADER_BYTES = 32_768
_GRACE_S = 1  # at a stop: answers under way


def serve_agent() -> int:
    """Serve for the agent that has started this process until SIGTERM, or until the agent is gone and another has taken
    the store. The exit code.
    """
    _log_faults()
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.nice(_NICE)
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as pipe:
        line = pipe.readline()  # not a byte more: the rest is for the event loop
    if not line:
        return EXIT_FAILED
    settings = read_settings(line)
    assert settings.descriptor is not None
    listener = socket.socket(fileno=settings.descriptor)
    return asyncio.run(_serve(settings, listener, fork_nursery(_place(settings)), supervised=True))


def serve_alone(settings: ServerSettings) -> int:
    """Serve until SIGTERM or Ctrl-C, beside whatever agent there is. The exit code.

    Raises:
        HttpError: SL901, the address cannot be had.
    """
    _log_faults()
    try:
        listener = listening_socket(settings.http.listen)
    except OSError as error:
        raise HttpError.of("SL901", settings.http.listen, why=error) from None
    return asyncio.run(_serve(settings, listener, fork_nursery(_place(settings)), supervised=False))


def _place(settings: ServerSettings) -> Place:
    return Place(Path(settings.store), Path(settings.archive_directory), settings.rules, fleet=settings.fleet)


def _log_faults() -> None:
    """What goes wrong here goes to the journal; what clients do wrong does not, for they could fill it."""
    logs.configure(0)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


async def _serve(settings: ServerSettings, listener: socket.socket, nursery: socket.socket, *, supervised: bool) -> int:
    pool = WorkerPool(nursery)
    tails = Tails(nursery, pool)
    agent = LiveAgent() if supervised else StoredAgent(pool)
    shared = settings.http.behind_proxy or listener.family == socket.AF_UNIX
    config = _configure(settings, make_app(settings, agent, pool, tails))
    server = Server(config, shared=shared, on_stop=tails.end)
    loop = asyncio.get_running_loop()
    nurse = nursery.fileno()  # there is nothing to read but its end

    def stop() -> None:
        loop.remove_reader(nurse)
        server.should_exit = True

    loop.add_reader(nurse, stop)
    if isinstance(agent, StoredAgent):
        watching = [asyncio.create_task(agent.watch(), name="agent")]
    else:
        pipe = await _standard_input()
        watching = [
            asyncio.create_task(agent.listen(pipe), name="agent"),
            asyncio.create_task(_live(server, agent, Path(settings.store)), name="live"),
        ]
    try:
        await server.serve(sockets=[listener])
    finally:
        loop.remove_reader(nurse)
        for task in watching:
            task.cancel()
        tails.close()
        pool.close()
    return EXIT_DONE


def _configure(settings: ServerSettings, app: ASGIApp) -> uvicorn.Config:
    tls = settings.http.tls
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # what a proxy says of its client is taken by `clients`, where the configuration has one
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    config.load()
    return config


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _live(server: uvicorn.Server, agent: LiveAgent, store: Path) -> None:
    """Tell the agent that this answers; when it is gone, end as soon as another owns the store."""
    output = sys.stdout.fileno()
    os.set_blocking(output, False)
    while not agent.gone:
        with contextlib.suppress(OSError):
            os.write(output, b"\n")
        await asyncio.sleep(BEAT_S)
    end = time.monotonic() + _ORPHAN_S
    while time.monotonic() < end and await asyncio.to_thread(owner, store) is None:  # noqa: ASYNC110 - another's lock
        await asyncio.sleep(_ORPHAN_LOOK_S)
    server.should_exit = True
