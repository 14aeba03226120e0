"""A progress bar on stderr for commands that take a while; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from agent.cli.common import verbosity

if TYPE_CHECKING:
    from types import TracebackType


class Bar:
    """Shown from the first step on, gone at the end of the block.

    Args:
        what: a word for what is being done.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._progress: Any = None
        self._task: Any = None
        self._shown = sys.stderr.isatty() and verbosity() >= 0

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task(self._what, total=None, note="")
            self._progress.start()
        return self

    def step(self, done: float, total: float, note: str = "") -> None:
        """Draw that `done` of `total` units are done."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
