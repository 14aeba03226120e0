"""A second process that counts a part of what one counts, so that both cores decode records.

Threads read ahead, but the interpreter decodes in one of them at a time: over a million events a twin saves a third of
the time, and takes 0.1 s to start. It asks for some blocks at a time, from the end of those that are left, and says at
the end what it has counted. One that ends before that has counted nothing: its owner counts its blocks then.

On its standard input comes a `TwinRequest`, and then for each line that it prints a list of blocks, an empty one when
none is left; all are lines of JSON. The last line that it prints is what it has counted.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from agent.core.process import own_program

if TYPE_CHECKING:
    from collections import deque

    from agent.query.engine import Counts
    from agent.query.sqlite.blocks import IdSpan

_MODULE = "agent.query.sqlite.twin_process"
_AT_ONCE = 16  # blocks: 60 ms of work
MORE = b"more\n"

TwinCounts = list[tuple[int | None, list[str | None], int]]  # bucket, JSON of the values, events


class TwinRequest(msgspec.Struct):
    """What is to be counted: of which store, up to which id, and by what."""

    path: str
    query: str
    since: int | None
    until: int | None
    last_id: int
    by: list[str]
    every_ns: int | None


class Twin:
    """The process, as its owner sees it.

    Args:
        request: what it is to count.
        spans: blocks that nobody has taken; the twin takes them from the end.
    """

    def __init__(self, request: TwinRequest, spans: deque[IdSpan]) -> None:
        self._spans = spans
        self._taken: list[IdSpan] = []
        self._counts: Counts | None = None
        command, environment = own_program(_MODULE)
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong there is met again here
            process_group=0,
        )
        self._thread = threading.Thread(target=self._serve, args=(msgspec.json.encode(request),), daemon=True)
        self._thread.start()

    def result(self) -> Counts | list[IdSpan]:
        """What it has counted; or the blocks that it has not, because it has ended before."""
        self._thread.join()
        return self._taken if self._counts is None else self._counts

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._thread.join()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what it has not taken is written now, and it does not listen any more
            self._process.stdin.close()
        with self._process:  # waits, and closes the other stream
            pass

    def _serve(self, request: bytes) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # it has ended in the middle
            self._process.stdin.write(request + b"\n")
            self._process.stdin.flush()
            while (line := self._process.stdout.readline()) == MORE:
                chunk = self._take()
                self._process.stdin.write(msgspec.json.encode(chunk) + b"\n")
                self._process.stdin.flush()
            counted = msgspec.json.decode(line, type=TwinCounts)
            self._counts = Counter(
                {
                    (bucket, tuple(None if value is None else value.encode() for value in values)): count
                    for bucket, values, count in counted
                }
            )

    def _take(self) -> list[IdSpan]:
        found: list[IdSpan] = []
        with contextlib.suppress(IndexError):  # another thread has taken the last one
            while len(found) < _AT_ONCE:
                found.append(self._spans.pop())
        self._taken += found
        return found
