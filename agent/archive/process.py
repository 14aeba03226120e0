"""The worker process as its owner sees it: orders go in, answers come out, and it may die at any moment."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from agent.archive import place
from agent.archive.errors import unwritable, worker_ended
from agent.archive.job import Order, Progress, decode_answer, receive, send
from agent.archive.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.archive.job import Answer
    from agent.store.archives import FrameRow

MODULE = "agent.archive.worker"
_END_S = 5.0  # for a worker that was told to end


class Worker:
    """Starts the process when it is first needed.

    Args:
        directory: of the archives; filters wait on its disk until they are stored.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._spool: Spool | None = None

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        if process is None:
            return
        with process:  # waits, and closes the streams
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def kill(self) -> None:
        """End it at once, from another thread: `run` then raises."""
        process = self._process
        if process is not None:
            process.kill()

    def run(self, order: Order) -> Iterator[Answer]:
        """Progress, and at the end Done or Failed.

        Raises:
            ArchiveError: SL806, the process ended; SL804, there is no room for filters.
        """
        if self._process is None:
            spool = self._spool = self._make_spool()
            # Modules are found where ours are: `-m` alone would look first where we were started, whoever writes there.
            command = [sys.executable, "-P", "-m", MODULE, str(spool.fd)]
            places = os.pathsep.join(filter(None, sys.path))
            # numpy's linear algebra is not used: without this it would start a thread for each core
            environment = {**os.environ, "PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                pass_fds=[spool.fd],
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # a broken pipe: it has ended
            send(process.stdin, order)
            while (message := receive(process.stdout)) is not None:
                answer = decode_answer(message)
                yield answer
                if not isinstance(answer, Progress):
                    return
        process.kill()  # it may have closed its output only
        code = process.wait()
        self.close()
        raise worker_ended(os.fsdecode(order.job.path), code)

    def blocks(self, frame: FrameRow) -> bytes:
        """The filter of a frame of the last answer."""
        return b"" if self._spool is None else self._spool.get(frame.spooled)

    def _make_spool(self) -> Spool:
        try:
            place.make_directory(self._directory)
        except OSError as error:
            raise unwritable(self._directory, error) from None
        return Spool.on_disk_of(self._directory)


# ---------------------------------------------------------------- memory for frames


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_KEPT_BYTES = 64 << 20
_LARGEST_BYTES = 32 << 20  # glibc takes no more


def keep_freed_memory() -> None:
    """Let malloc keep large blocks that are freed for the next ones, where it is glibc's.

    Otherwise it gives each of them back to the system, which clears every page of the next one: half of the time of a
    search, a tenth of that of making archives.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
