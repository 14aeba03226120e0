"""A server of the tests: a process with a folder and ports of its own, that dies with the tests."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HERE = Path(__file__).parent
_STOP_S = 30.0
# Not from the range that the kernel gives outgoing connections (/proc/sys/net/ipv4/ip_local_port_range): one of those
# could take the port of a server that is down, and is to come back at the same place.
_PORTS = range(12_000, 32_000)


class ServerError(Exception):
    """A server did not start, or not end; with the end of what it has written."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses."""
    taken: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        while len(taken) < count:
            with contextlib.suppress(OSError):
                one = socket.create_server(("127.0.0.1", random.SystemRandom().choice(_PORTS)))
                taken.append(stack.enter_context(one))
        return [one.getsockname()[1] for one in taken]


class ServerProcess:
    """What all servers have in common; `command` and `answers` are theirs."""

    tries = 1  # how many starts may fail before a start counts as failed
    start_s = 60.0

    def __init__(self, folder: Path, ports: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ports = free_ports(ports)
        self.pid = 0
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> Path:
        return self.folder / "output.log"

    @property
    def is_alive(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    def command(self) -> Sequence[str]:
        """The words that start it."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it is ready; may raise OSError where it is not."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it where it does not run, on the same ports and data, and wait until it answers.

        Raises:
            ServerError: it does not.
        """
        if self.is_alive:
            return
        for left in range(self.tries, 0, -1):
            self.launch()
            if self.came_up():
                return
            self.kill()
            if left == 1:
                raise ServerError(f"{self.folder} did not start: {self._last_words()}")

    def launch(self) -> None:
        """Start it without waiting for its answer."""
        self.kill()  # lets go of one that has ended by itself
        self._keeper = subprocess.Popen(
            [sys.executable, "-ISE", str(_HERE / "keeper.py"), str(self.log), *self.command()],
            stdin=subprocess.PIPE,  # its end is the end of the server
            stdout=subprocess.PIPE,
            cwd=self.folder,
            start_new_session=True,  # Ctrl-C of whoever runs the tests is not for it
        )
        assert self._keeper.stdout is not None
        with self._keeper.stdout as output:
            self.pid = int(output.readline())

    def kill(self) -> None:
        """End it at once, with SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an administrator does.

        Raises:
            ServerError: it did not end; it is killed then.
        """
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang: connections are accepted by the kernel, and nothing is answered until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, sign: signal.Signals) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        with contextlib.suppress(ProcessLookupError):
            if keeper.poll() is None:
                os.kill(self.pid, sign)
        try:
            keeper.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.folder} did not end: {self._last_words()}") from None
        finally:
            keeper.stdin.close()  # which ends what did not end
            keeper.wait(_STOP_S)

    def came_up(self) -> bool:
        """Wait for its first answer; False if it ended, or gave none in time."""
        end = time.monotonic() + self.start_s
        while self.is_alive and time.monotonic() < end:
            with contextlib.suppress(OSError):
                if self.answers():
                    return True
            time.sleep(0.02)
        return False

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "it has written nothing"


def start_all(servers: Iterable[ServerProcess]) -> None:
    """Start those that do not run, beside each other."""
    waiting = [server for server in servers if not server.is_alive]
    for server in waiting:
        server.launch()
    for server in waiting:
        if not server.came_up():
            server.start()  # with the tries that it has
