"""How a running agent is, gathered from its rooms' memory for who serves it: no file and no store is asked."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from agent import __version__
from agent.core.conditions import WARNINGS
from agent.core.errors import TailError
from agent.core.metrics import HealthProblem, SourceLag, Vitals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.core.conditions import Reporter
    from agent.core.metrics import AgentCounters
    from agent.pipeline import Pipeline
    from agent.tail.harvester import FileLag

STUCK_S = 120.0  # lines that have waited for so long while the agent runs are a fault


class VitalSigns:
    """Used on the event loop.

    Args:
        reporter: of own errors.
        counters: of the process.
        started_at: of the agent, Unix ns.
    """

    def __init__(self, reporter: Reporter, counters: AgentCounters, started_at: int) -> None:
        self._reporter = reporter
        self._counters = counters
        self._started_at = started_at
        self._waiting: dict[int, tuple[int, float]] = {}  # file id -> offset, and since when it stands there

    def take(self, pipeline: Pipeline | None, *, ready: bool, stopping: bool) -> Vitals:
        """The agent as it is now.

        Args:
            pipeline: None while the store cannot be opened.
            ready: whether files are followed.
            stopping: whether somebody has asked for a stop.
        """
        vitals = Vitals(
            time=time.time_ns(),
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            ready=ready and pipeline is not None and not pipeline.failed,
            stopping=stopping,
            counters=self._counters,
        )
        if pipeline is not None:
            vitals.lag = {source.name: SourceLag() for source in pipeline.config.sources}
            vitals.archives = pipeline.archive_totals()
            stuck = self._lags(pipeline.tailer.lags(), vitals.lag)
            vitals.firing, vitals.open_circuits = pipeline.firing(), pipeline.open_circuits()
            vitals.problems += stuck
        vitals.problems += [
            HealthProblem(one.code, one.message, one.hint, warning=one.code in WARNINGS)
            for one in self._reporter.conditions()
        ]
        return vitals

    def _lags(self, lags: Iterable[FileLag], sources: dict[str, SourceLag]) -> list[HealthProblem]:
        """Add up the lag of each source; the files in which nothing moves although whole lines wait."""
        now, waiting, stuck = time.monotonic(), {}, []
        for lag in lags:
            total = sources.setdefault(lag.file.source, SourceLag())
            total.files += 1
            if lag.size <= lag.stored:
                continue
            stored, since = self._waiting.get(lag.file.id, (-1, now))
            waiting[lag.file.id] = (lag.stored, since if stored == lag.stored else now)
            seconds = now - waiting[lag.file.id][1]
            total.bytes += lag.size - lag.stored
            total.seconds = max(total.seconds, round(seconds, 3))
            if seconds > STUCK_S and not lag.partial:
                error = TailError.of("SL216", lag.file.path, bytes=lag.size - lag.stored, seconds=round(STUCK_S))
                stuck.append(HealthProblem(error.code, error.message, error.hint))
        self._waiting = waiting
        return stuck
