"""What the agent tells the service manager: sd_notify(3) over a real socket from a real process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.needs import limited

TIMEOUT_S = 25  # less than the unit's WatchdogSec=


class Manager:
    """The service manager's end of the socket, and the agent that talks to it."""

    def __init__(self, folder, *, watchdog_ms=100):
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.store = folder / "state" / "sidelog.db"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.settimeout(0.2)
        self.messages = []
        environ = os.environ | {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(watchdog_ms * 1000),
            "XDG_STATE_HOME": str(folder),
        }
        environ.pop("SIDELOG_CONFIG", None)
        self.config = folder / "sidelog.yaml"
        self.configure("shop")
        self.errors = (folder / "stderr").open("wb")
        command = [sys.executable, "-m", "agent", "run", "-c", str(self.config)]
        self.agent = subprocess.Popen(command, env=environ, stderr=self.errors)

    def configure(self, name):
        """Write a configuration with one source of this name."""
        self.config.write_text(
            f"store:\n  path: {self.store}\nsources:\n  - name: {name}\n    include: ['{self.logs}/*.log']\n"
        )

    def wait(self, pattern, *, after=0):
        """The first message from number `after` on that matches; the index behind it."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            for index, message in enumerate(self.messages[after:], after):
                if re.search(pattern, message, re.MULTILINE):
                    return message, index + 1
            said = (self.folder / "stderr").read_text()
            assert time.monotonic() < end, f"no {pattern!r} in {self.messages}\n{said}"
            self.receive()

    def receive(self):
        """Take what has come."""
        with contextlib.suppress(TimeoutError):
            self.messages.append(self.socket.recv(4096).decode())

    def close(self):
        """End the agent however the test went."""
        if self.agent.poll() is None:
            self.agent.terminate()
            try:
                self.agent.wait(10)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
        self.errors.close()
        self.socket.close()


@pytest.fixture
def manager(tmp_path):
    """An agent under a service manager."""
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def test_ready_comes_once_the_store_is_open(manager):
    """At READY=1 another program can read the store."""
    message, _ = manager.wait(r"^READY=1$")
    assert re.search(r"^STATUS=.+$", message, re.MULTILINE)
    with contextlib.closing(sqlite3.connect(f"file:{manager.store}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_the_watchdog_is_fed_while_there_is_work_and_while_there_is_none(manager):
    """An idle agent looks at its files and finds nothing new: that is progress too."""
    _, seen = manager.wait(r"^WATCHDOG=1$")
    (manager.logs / "app.log").write_text('{"level":"info","msg":"hello"}\n' * 1000)
    _, seen = manager.wait(r"^WATCHDOG=1$", after=seen)
    _, seen = manager.wait(r"^WATCHDOG=1$", after=seen)


def test_sigterm_says_stopping_and_ends_with_everything_stored(manager):
    """STOPPING=1 comes before the end; what was read is committed; the exit code is 0."""
    manager.wait(r"^READY=1$")
    (manager.logs / "app.log").write_text("".join(f'{{"level":"info","n":{n}}}\n' for n in range(5000)))
    manager.wait(r"^WATCHDOG=1$")
    manager.agent.send_signal(signal.SIGTERM)
    manager.wait(r"^STOPPING=1$")
    assert manager.agent.wait(TIMEOUT_S) == 0
    with contextlib.closing(sqlite3.connect(f"file:{manager.store}?mode=ro", uri=True)) as connection:
        offset = connection.execute('SELECT coalesce(max("offset"), -1), count(*) FROM events').fetchone()
        done = connection.execute('SELECT coalesce(sum("offset"), 0), coalesce(sum(events), 0) FROM files').fetchone()
    assert offset[0] < done[0] or done == (0, 0)
    assert offset[1] == done[1]


def test_a_reload_is_announced_with_its_time_and_ended_by_ready(manager):
    """RELOADING=1 with MONOTONIC_USEC, as Type=notify-reload wants it, then READY=1; also for a bad configuration."""
    _, seen = manager.wait(r"^READY=1$")
    manager.configure("renamed")
    before = time.monotonic_ns() // 1000
    manager.agent.send_signal(signal.SIGHUP)
    message, seen = manager.wait(r"^RELOADING=1$", after=seen)
    found = re.search(r"^MONOTONIC_USEC=(\d+)$", message, re.MULTILINE)
    assert found
    assert before <= int(found[1]) <= time.monotonic_ns() // 1000
    _, seen = manager.wait(r"^READY=1$", after=seen)

    manager.config.write_text("sources: 7\n")
    manager.agent.send_signal(signal.SIGHUP)
    _, seen = manager.wait(r"^RELOADING=1$", after=seen)
    _, seen = manager.wait(r"^READY=1$", after=seen)
    assert manager.agent.poll() is None


def test_no_manager_no_message(tmp_path):
    """Without NOTIFY_SOCKET the agent runs all the same."""
    (tmp_path / "app.log").write_text('{"level":"info","msg":"hello"}\n')
    environ = {key: value for key, value in os.environ.items() if key not in {"NOTIFY_SOCKET", "SIDELOG_CONFIG"}}
    command = [
        sys.executable,
        "-m",
        "agent",
        "run",
        "--once",
        str(tmp_path / "app.log"),
        "--store",
        str(tmp_path / "s" / "s.db"),
    ]
    result = subprocess.run(command, check=False, capture_output=True, env=environ, cwd=tmp_path, timeout=50)
    assert result.returncode == 0, result.stderr


def test_nothing_in_the_agent_needs_writable_code(tmp_path):
    """With pages that are both writable and executable denied, as MemoryDenyWriteExecute= does, the agent works."""
    code = (
        "import ctypes, os, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: Linux 6.3
        "os.execv(sys.executable, [sys.executable, '-m', 'agent', *sys.argv[1:]])\n"
    )
    (tmp_path / "app.log").write_text('{"level":"info","msg":"hello"}\n')
    arguments = ["run", "--once", str(tmp_path / "app.log"), "--store", str(tmp_path / "s" / "s.db")]
    result = subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True, timeout=50)
    if result.returncode == 77:
        limited("write xor execute")
    assert result.returncode == 0, result.stderr
