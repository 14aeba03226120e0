"""Forwarding as the agent has it: a process of its own for all targets, started, watched and stopped here.

Ingest never waits for it: it reads the store as every other reader does, and writes into it only how far it is.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from agent.core.conditions import Conditions
from agent.core.errors import SidelogError, StoreError
from agent.forward.settings import ForwardSettings, read_reports, settings_of, target_settings
from agent.store import forwarding
from agent.supervision import ChildProcess, end_task

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent.config import Config
    from agent.core.conditions import Reporter
    from agent.forward.settings import TargetReport
    from agent.store.edit import Change

FAILING_S = 300.0  # a target that has failed for longer makes the agent unhealthy
ONCE_S = 30.0  # how long `run --once` may forward at its end
_MINUTE_S = 60
_RETRY_S = 1.0


class ForwardProcess:
    """Used on the event loop.

    Args:
        reporter: collects own errors.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._conditions = Conditions(reporter.report)
        self._child = ChildProcess(
            "agent.forward", steady=lambda: reporter.clear(frozenset({"SL645"})), heard=self._hear
        )
        self._task: asyncio.Task[None] | None = None
        self._settings: ForwardSettings | None = None
        self.lag: dict[str, int] = {}  # of each target how many events wait

    async def use(self, config: Config, change: Change) -> None:
        """Forward as a configuration says; where the settings are the same nothing is begun anew.

        Args:
            config: the configuration.
            change: writes to the store.
        """
        settings = settings_of(config)
        if settings == self._settings and self._task is not None:
            return
        await self.stop()
        self._settings = settings
        known = () if settings is None else tuple(target.name for target in settings.targets)
        self.lag = {name: self.lag.get(name, 0) for name in known}
        self._conditions.keep(set(known), "SL659", "SL660")
        self._task = asyncio.create_task(self._keep(config, change, settings), name="forward")

    async def _keep(self, config: Config, change: Change, settings: ForwardSettings | None) -> None:
        """Tell the store of the targets, which may take as long as it is locked, and forward to them."""
        while True:
            try:
                await asyncio.to_thread(save_targets, config, change)
                break
            except StoreError as error:
                self._reporter.report(error)
                await asyncio.sleep(_RETRY_S)
        if settings is not None:
            await self._child.keep(settings.to_line(), self._ended)

    async def stop(self) -> None:
        """End the process."""
        task, self._task = self._task, None
        self._settings = None
        await end_task(task)

    def _ended(self, said: str, pause_s: float) -> None:
        self._reporter.report(SidelogError.of("SL645", "forward", why=said, wait_s=round(pause_s)))

    def _hear(self, line: bytes) -> None:
        try:
            reports = read_reports(line)
        except msgspec.DecodeError:
            return
        self.lag = {report.name: report.lag_events for report in reports}
        for report in reports:
            self._judge(report)

    def _judge(self, report: TargetReport) -> None:
        if report.failing_s > FAILING_S:
            facts = {"minutes": round(report.failing_s / _MINUTE_S), "why": report.message}
            self._conditions.begin(SidelogError.of("SL659", report.name, hint=None, **facts))
        else:
            self._conditions.end(report.name, "SL659")


def save_targets(config: Config, change: Change) -> None:
    """Tell the store which targets there are, if it has or had any.

    Args:
        config: the configuration.
        change: writes to the store.

    Raises:
        StoreError: as `change`.
    """
    wanted = target_settings(config)

    def save(connection: sqlite3.Connection) -> None:
        if wanted or forwarding.targets(connection):
            forwarding.save_targets(connection, wanted, time.time_ns())

    change(save, durable=False)


def forward_once(config: Config, change: Change, stopping: Callable[[], bool]) -> list[TargetReport]:
    """What `run --once` does at its end: forward what it has stored; how the targets are then.

    Args:
        config: the configuration.
        change: writes to the store.
        stopping: whether somebody has asked for a stop.

    Raises:
        StoreError: as `change`.
    """
    save_targets(config, change)
    settings = settings_of(config)
    if settings is None:
        return []
    from agent.forward.process import forward_now  # noqa: PLC0415 - only who forwards pays for it

    return forward_now(settings, ONCE_S, stopping)
