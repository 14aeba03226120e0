"""The process of `sidelog alerts run`: one thread keeps the lease, one judges, the hooks run on the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import structlog

from agent.alert.fleet import FleetAlerts, FleetSettings
from agent.clickhouse.client import ClickHouseClient
from agent.clickhouse.leases import LENGTH_S, Lease
from agent.core.errors import SidelogError
from agent.hooks.dispatch import HookDispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.clickhouse.address import ClickHouseAddress
    from agent.config import Config
    from agent.core.outbox import Delivery, DeliveryOutcome
    from agent.query.engine import Engine as EventEngine

HOOKS_TIMEOUT_S = 10.0  # for hooks that run when the service is stopped
_AGAIN_S = 1.0  # after an error

log = structlog.get_logger("sidelog")


class FleetAlertService:
    """Made and run on an event loop.

    Args:
        config: validated; its matches can be compiled.
        address: of the ClickHouse.
        engine: asks it.
        settings: how.
        lease_s: how long the lease is good for.
        said: told in a few words what this process does, whenever that changes.
        alive: called now and then while the threads make progress.
    """

    def __init__(
        self,
        config: Config,
        address: ClickHouseAddress,
        engine: Callable[[], EventEngine],
        settings: FleetSettings,
        *,
        lease_s: float = LENGTH_S,
        said: Callable[[str], None] = lambda _: None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._config, self._settings, self._said, self._alive = config, settings, said, alive
        self._loop = asyncio.get_running_loop()
        self._client = ClickHouseClient(address, timeout_s=max(lease_s / 3, 1.0))
        self._lease = Lease(self._client, settings.name, lease_s)
        self._alerts = FleetAlerts(config, address, engine, self._lease, settings=settings, deliver=self._deliver)
        self._hooks = self._dispatcher()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._finished_judging = threading.Event()
        self._faults: dict[str, str] = {}  # who -> what was said last
        self._state = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then the lease is given back, and what runs of the hooks has a moment."""
        threads = [
            threading.Thread(target=self._keep, name="lease", daemon=True),
            threading.Thread(target=self._judge, name="alerts", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            await stop.wait()
            await self._hooks.stop(HOOKS_TIMEOUT_S)
        finally:
            self._stop.set()
            self._wake.set()
            for thread in reversed(threads):  # how the last hooks ended is written before the lease is given back
                await asyncio.to_thread(thread.join)
            self._client.close()

    # ------------------------------------------------------------ the threads

    def _keep(self) -> None:
        """Renew the lease, or wait for it."""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                held = self._lease.turn()
                self._well("lease")
                self._tell("judging" if held else f"waiting for {self._lease.held_by}" if self._lease.held_by else "")
            except SidelogError as error:
                self._fault("lease", error)
            self._wake.set()
            self._stop.wait(max(self._lease.step_s - (time.monotonic() - began), 0.1))
        if self._finished_judging.wait(HOOKS_TIMEOUT_S):
            try:
                self._lease.release()
            except SidelogError as error:
                self._fault("lease", error)

    def _judge(self) -> None:
        due = 0.0
        try:
            while not self._stop.is_set():
                pause = self._settings.interval_s
                try:
                    if self._lease.left_s <= 0:
                        self._let_go()
                    elif not self._alerts.is_active:
                        self._alerts.take_over()
                        due, pause = time.monotonic(), 0.0
                    elif time.monotonic() >= due:
                        due = time.monotonic() + self._settings.interval_s
                        self._alerts.look()
                        self._well("rules")
                        self._alive()
                    else:
                        self._alerts.save_outcomes()
                        pause = due - time.monotonic()
                except SidelogError as error:
                    self._fault("rules", error)
                    pause = _AGAIN_S
                except Exception as error:
                    log.exception("alert rules could not be judged")
                    self._fault("rules", SidelogError.of("SL707", "alerts", kind=type(error).__name__, why=str(error)))
                    pause = _AGAIN_S
                self._wake.wait(max(pause, 0.0))
                self._wake.clear()
            if self._alerts.is_active and self._lease.left_s > 0:
                self._alerts.save_outcomes()
        except SidelogError as error:
            self._fault("rules", error)
        finally:
            self._alerts.close()
            self._finished_judging.set()

    def _let_go(self) -> None:
        if self._alerts.is_active:
            self._alerts.let_go()
            asyncio.run_coroutine_threadsafe(self._renew_hooks(), self._loop).result()

    # ------------------------------------------------------------ hooks

    def _dispatcher(self) -> HookDispatcher:
        return HookDispatcher(
            self._config.hooks,
            finished=self._finished,
            changed=lambda _hook, _facts: None,
            report=self._report,
            may_run=lambda: self._lease.left_s > 0,
        )

    async def _renew_hooks(self) -> None:
        """Whoever holds the lease now makes the deliveries that wait."""
        old, self._hooks = self._hooks, self._dispatcher()
        await old.stop(0)

    def _deliver(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._loop.call_soon_threadsafe(lambda: self._hooks.add(deliveries))

    def _finished(self, outcome: DeliveryOutcome) -> None:
        self._alerts.finished(outcome)
        self._wake.set()

    # ------------------------------------------------------------ what is said

    def _report(self, error: SidelogError, active: bool) -> None:  # noqa: FBT001 - a callback's shape
        if active:
            log.error(error.message, code=error.code, hint=error.hint)

    def _fault(self, who: str, error: SidelogError) -> None:
        """Say an error once, until it is another one or over."""
        if self._faults.get(who) != str(error):
            self._faults[who] = str(error)
            log.error(error.message, code=error.code, hint=error.hint)
            self._tell(f"{error.code}: {error.message}")

    def _well(self, who: str) -> None:
        if self._faults.pop(who, None) is not None:
            log.info("it goes on", what=who)

    def _tell(self, what: str) -> None:
        if what and what != self._state:
            self._state = what
            self._said(what)
