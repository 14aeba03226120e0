"""The worker process as its owner sees it: orders go in, answers come out, and it may die at any moment."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from agent.archive import files
from agent.archive.protocol import ArchiveOrder, ArchiveProgress, FilterFile, decode_answer, receive, send
from agent.core.errors import ArchiveError
from agent.core.process import own_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.archive.protocol import Answer
    from agent.store.archives import FrameRow

MODULE = "agent.archive.worker"
_END_S = 5.0  # for a worker that was told to end


class WorkerProcess:
    """Starts the process when it is first needed.

    Args:
        directory: of the archives; filters wait on its disk until they are stored.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._filters: FilterFile | None = None

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if self._filters is not None:
            self._filters.close()
            self._filters = None
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

    def run(self, order: ArchiveOrder) -> Iterator[Answer]:
        """Progress, and at the end what was written or why it failed.

        Raises:
            ArchiveError: SL806, the process ended; SL804, there is no room for filters.
        """
        if self._process is None:
            filters = self._filters = self._make_filters()
            command, environment = own_program(MODULE, str(filters.fd))
            # numpy's linear algebra is not used: without this it would start a thread for each core
            environment["OPENBLAS_NUM_THREADS"] = "1"
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,
                pass_fds=[filters.fd],
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # a broken pipe: it has ended
            send(process.stdin, order)
            while (message := receive(process.stdout)) is not None:
                answer = decode_answer(message)
                yield answer
                if not isinstance(answer, ArchiveProgress):
                    return
        process.kill()  # it may have closed its output only
        code = process.wait()
        self.close()
        raise ArchiveError.of("SL806", os.fsdecode(order.job.path), code=code)

    def blocks(self, frame: FrameRow) -> bytes:
        """The filter of a frame of the last answer."""
        return b"" if self._filters is None else self._filters.blocks(frame)

    def _make_filters(self) -> FilterFile:
        try:
            files.make_directory(self._directory)
        except OSError as error:
            raise ArchiveError.of("SL804", self._directory, why=error) from None
        return FilterFile.on_disk_of(self._directory)
