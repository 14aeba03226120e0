"""Processes that the agent has for itself: started, fed, watched and begun again; neither ever waits for the other.

Through its standard input a process gets its settings, then twice a second whatever the agent has to say, one line of
JSON each; through its output comes a line as often, by which is known that it works.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING

from agent.core.process import own_program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BEAT_S = 0.5
_SILENT_S = 30.0  # without a sign of life; beside a scan of all cores it beats every second still
_STEADY_S = 30.0  # after so long what made it end before is over
_LONGEST_PAUSE_S = 60.0
_STOP_S = 2.0
_UNREAD_BYTES = 1 << 20
_LINE_BYTES = 1 << 22  # of what it says


class ChildProcess:
    """Runs a module of this program. Used on the event loop.

    Args:
        module: what is run.
        steady: called once it has worked for a while: what ended it before is over.
        say: gives what it is told twice a second; None: nothing, its input only stays open.
        heard: called with each line that it says.
    """

    def __init__(
        self,
        module: str,
        *,
        steady: Callable[[], None],
        say: Callable[[], bytes] | None = None,
        heard: Callable[[bytes], None] | None = None,
    ) -> None:
        self._module = module
        self._steady = steady
        self._say = say
        self._heard = heard

    async def keep(
        self, settings: bytes, ended: Callable[[str, float], None], *, descriptors: Sequence[int] = ()
    ) -> None:
        """Have it run until this is cancelled.

        Args:
            settings: its first line.
            ended: called when it has ended, with the reason and the seconds until it is begun again.
            descriptors: that it has from the agent.
        """
        pause_s = 0.5
        while True:
            began = time.monotonic()
            said = await self.run(settings, descriptors)
            pause_s = 1.0 if time.monotonic() - began > _STEADY_S else min(2 * pause_s, _LONGEST_PAUSE_S)
            ended(said, pause_s)
            await asyncio.sleep(pause_s)

    async def run(self, settings: bytes, descriptors: Sequence[int] = ()) -> str:
        """One process from its start to its end; what ended it."""
        command, environment = own_program(self._module)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=descriptors,
                process_group=0,
                limit=_LINE_BYTES,
            )
        except OSError as error:  # no process or no memory to be had
            return str(error)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(settings)
        feeding = asyncio.create_task(self._feed(process.stdin))
        try:
            return await self._watch(process, process.stdout)
        finally:
            feeding.cancel()
            await _end(process)
            await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self, pipe: asyncio.StreamWriter) -> None:
        while self._say is not None:
            if pipe.transport.get_write_buffer_size() < _UNREAD_BYTES:
                pipe.write(self._say())
            await asyncio.sleep(BEAT_S)

    async def _watch(self, process: asyncio.subprocess.Process, beats: asyncio.StreamReader) -> str:
        began = time.monotonic()
        while True:
            try:
                beat = await asyncio.wait_for(beats.readline(), _SILENT_S)
            except TimeoutError:
                return f"it has not answered for {_SILENT_S:.0f} s"
            if not beat:
                code = await process.wait()
                return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            if self._heard is not None:
                self._heard(beat)
            if began and time.monotonic() - began > _STEADY_S:
                began = 0.0
                self._steady()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and make it. Those that it has forked end with it (`http.worker`)."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process.wait()), _STOP_S)


async def end_task(task: asyncio.Task[None] | None) -> None:
    """End a task that keeps a process."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
