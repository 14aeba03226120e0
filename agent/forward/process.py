"""The process that forwards for the agent, a thread a target; and the same work at the end of `run --once`."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core import logs
from agent.core.errors import EXIT_DONE, EXIT_FAILED
from agent.core.process import die_with_owner, keep_freed_memory
from agent.forward.settings import TargetReport, read_settings, write_reports
from agent.forward.worker import TargetWorker
from agent.supervision import BEAT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.forward.settings import ForwardSettings

_NICE = 5  # what is forwarded waits for what is stored
_STOP_S = 1.5  # of the two that the agent gives: what is being sent may end
_LOOK_S = 0.1


def forward_for_agent() -> int:
    """Forward for the agent that has started this process, until SIGTERM or until the agent is gone. The exit code."""
    logs.configure(0)
    die_with_owner(os.getppid())
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.nice(_NICE)
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as pipe:
        line = pipe.readline()
    if not line:
        return EXIT_FAILED
    settings = read_settings(line)
    workers = _workers(settings, once=False)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    keep_freed_memory()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # reference counting frees what is read and encoded
    threads = _start(workers)
    output = sys.stdout.fileno()
    os.set_blocking(output, False)
    while not stopping.is_set():
        with contextlib.suppress(OSError):
            os.write(output, write_reports([worker.report for worker in workers]))
        ended = select.select([0], [], [], BEAT_S)[0]
        if ended and not os.read(0, 65_536):
            os._exit(EXIT_DONE)  # the agent is gone: the next one begins with what is pending
    for worker in workers:
        worker.end()
    end = time.monotonic() + _STOP_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    os._exit(EXIT_DONE)  # a thread that waits for a server is not waited for


def forward_now(settings: ForwardSettings, most_s: float, stopping: Callable[[], bool]) -> list[TargetReport]:
    """Forward all that is stored, and no longer than it may take; how the targets are then.

    Args:
        settings: of the configuration, whose targets the store knows.
        most_s: it may take.
        stopping: whether somebody has asked for a stop.
    """
    workers = _workers(settings, once=True)
    threads = _start(workers)
    end = time.monotonic() + most_s
    while any(thread.is_alive() for thread in threads) and time.monotonic() < end and not stopping():
        for thread in threads:
            thread.join(_LOOK_S)
    for worker in workers:
        worker.end()
    return [worker.report for worker in workers]


def _workers(settings: ForwardSettings, *, once: bool) -> list[TargetWorker]:
    return [TargetWorker(target, Path(settings.store), settings.tail_wait_s, once=once) for target in settings.targets]


def _start(workers: list[TargetWorker]) -> list[threading.Thread]:
    """The threads of targets; they end with their process."""
    threads = [
        threading.Thread(target=worker.run, name=f"forward-{worker.target.name}", daemon=True) for worker in workers
    ]
    for thread in threads:
        thread.start()
    return threads
