"""A real server of a store without an agent: `sidelog web`, as a process, and what asks it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.http.served import free_port
from tests.integration.harness import SIDELOG, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lone:
    """The server of one store. Used as `with lone(...)`."""

    def __init__(self, store: Path, config: dict | None = None) -> None:
        self.store = store
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.config = store.with_suffix(".json")
        self.config.write_text(json.dumps({"store": {"path": str(store)}, **(config or {})}))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
        self.env = kept | {"TZ": "UTC", "NO_COLOR": "1", "HOME": str(store.parent)}
        self.process: subprocess.Popen | None = None

    def say(self, *arguments: object) -> str:
        """What a command prints."""
        command = [*SIDELOG, str(arguments[0]), "-c", str(self.config), *map(str, arguments[1:])]
        done = subprocess.run(command, env=self.env, capture_output=True, check=True, timeout=60)
        return done.stdout.decode().strip()

    def client(self, role: str = "reader") -> Client:
        """A program with a token."""
        return Client(self.base, self.say("token", "create", f"t{time.monotonic_ns()}", "--role", role))

    def workers(self) -> list[int]:
        """The processes that answer now, and those that wait for a question."""
        [nursery] = children(self.process.pid)
        return children(nursery)

    def start(self) -> None:
        command = [*SIDELOG, "web", "-c", str(self.config), "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, env=self.env, stderr=subprocess.DEVNULL)

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return bool(httpx.get(f"{self.base}/health").status_code)
            return False

        wait_until(answers, 60, "the server")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


class Client(httpx.Client):
    """Asks again when it is told to wait, as a good client does."""

    def __init__(self, base: str, token: str) -> None:
        self.token = token
        super().__init__(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def send(self, request: httpx.Request, **options) -> httpx.Response:
        while True:
            answer = super().send(request, **options)
            if answer.status_code != 429:
                return answer
            time.sleep(int(answer.headers["retry-after"]))


def children(pid: int) -> list[int]:
    """The processes that one has started and that are there."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@contextmanager
def lone(store: Path, config: dict | None = None) -> Iterator[Lone]:
    """The server of a store that there is."""
    server = Lone(store, config)
    try:
        server.start()
        yield server
    finally:
        server.stop()
