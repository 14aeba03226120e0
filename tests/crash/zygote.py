"""Agents without their start-up time: a process that has imported everything forks one for each request.

A start of Python with all imports takes 0.6 s, a fork 5 ms; hundreds of crash points need the difference. The forked
process runs the command line as `python -m agent` does, in a session of its own.

Requests are JSON lines on stdin, answers JSON lines on stdout: `{"pid": …}` for a start, `{"exit": pid, "code": …}`
for an end. A request may give the machine another name for the process, `host`; and it may name a `role`, `main` or
`writer`: that thread writes its id to the file `gate` + ".tid" and waits until somebody opens the named pipe `gate`, so
that a tracer can attach to this one thread.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import threading
from pathlib import Path

# Everything that `sidelog run` and `sidelog audit` import.
import agent.cli.audit
import agent.cli.run
import agent.config
import agent.daemon
import agent.store.audit  # noqa: F401
from agent import ingest
from agent.cli.main import run_command_line
from tests.crash import mutants

_PR_SET_PDEATHSIG = 1  # prctl(2)
_CLONE_NEWUTS = 0x04000000  # unshare(2)


def main() -> None:
    """Serve until stdin is closed."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    requests = b""
    while True:
        ready, _, _ = select.select([0, reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
            _reap()
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            requests += data
            while b"\n" in requests:
                line, _, requests = requests.partition(b"\n")
                _start(json.loads(line))


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _answer({"exit": pid, "code": os.waitstatus_to_exitcode(status)})


def _answer(document: dict) -> None:
    os.write(1, json.dumps(document).encode() + b"\n")


def _start(request: dict) -> None:
    pid = os.fork()
    if pid:
        _answer({"pid": pid})
        return
    code = 70
    try:
        _become(request)
        code = run_command_line(request["argv"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(request: dict) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 1)
    os.dup2(1, 2)
    os.chdir(request["cwd"])
    for name in request.get("mutants", ()):
        mutants.switch_on(name)
    if request.get("host"):
        _rename_machine(request["host"])
    role = request.get("role")
    if role == "main":
        _wait_for_tracer(request["gate"])
    elif role == "writer":
        _gate_writer(request["gate"])


def _rename_machine(host: str) -> None:
    """For this process alone; takes root."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUTS):
        raise OSError(ctypes.get_errno(), "unshare")
    socket.sethostname(host)


def _gate_writer(gate: str) -> None:
    run = ingest.Ingest.run

    def gated(self: ingest.Ingest) -> None:
        _wait_for_tracer(gate)
        run(self)

    ingest.Ingest.run = gated


def _wait_for_tracer(gate: str) -> None:
    part = Path(f"{gate}.part")
    part.write_text(str(threading.get_native_id()), encoding="ascii")
    part.rename(f"{gate}.tid")
    os.close(os.open(gate, os.O_RDONLY))  # blocks until the other end is opened


if __name__ == "__main__":
    main()
