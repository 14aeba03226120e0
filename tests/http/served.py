"""A real agent that serves: a box with an address of its own, and clients with tokens and sessions."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress

import httpx

from tests.http.processes import server_of
from tests.integration.harness import Box, wait_until


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class ServedBox(Box):
    """A box whose agent serves at `base`."""

    def configure(
        self, store: dict | None = None, http: dict | None = None, more: dict | None = None, **source
    ) -> None:
        super().configure(store, **source)
        if not hasattr(self, "port"):
            self.port = free_port()
            self.base = f"http://127.0.0.1:{self.port}"
        document = json.loads(self.config.read_text())
        document["http"] = {"listen": f"127.0.0.1:{self.port}", **(http or {})}
        self.config.write_text(json.dumps(document | (more or {})))

    def serve(self) -> ServedBox:
        """Start the agent, and wait until its server answers."""
        self.start()
        self.wait_for_server()
        return self

    def kill(self) -> None:
        """End the agent, and the server that would outlive it."""
        server = server_of(self.process.pid) if self.process is not None else 0
        super().kill()
        if server:
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)

    def end(self) -> None:
        """End the agent as a service manager does, however a test has left it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(20)
        self.kill()

    def wait_for_server(self) -> None:
        def answers() -> bool:
            with suppress(httpx.HTTPError):
                return httpx.get(f"{self.base}/ready").status_code == 200
            return False

        wait_until(answers, 60, "the server")

    def say(self, *arguments: object) -> str:
        """What a command prints; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def token(self, role: str = "reader", name: str = "") -> str:
        return self.say("token", "create", name or f"a-{role}", "--role", role)

    def client(self, role: str = "reader") -> httpx.Client:
        """A program with a token."""
        headers = {"Authorization": f"Bearer {self.token(role, f'client-{role}-{id(object())}')}"}
        return httpx.Client(base_url=self.base, headers=headers, timeout=40)

    @contextmanager
    def browser(self, role: str = "reader"):
        """A session, as a link opens it."""
        with httpx.Client(base_url=self.base, timeout=40, headers={"Accept": "text/html,*/*;q=0.8"}) as client:
            link = self.say("token", "link", "--role", role)
            assert client.get(link).status_code == 303
            yield client

    def stored(self, count: int) -> None:
        """Wait until so many events are stored."""
        wait_until(lambda: (self.sql("SELECT count(*) FROM events") or [[0]])[0][0] >= count, 60, f"{count} events")
