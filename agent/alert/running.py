"""Rules and hooks of a running agent: the rules in the writer thread, the hooks on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

from agent.alert.live import LiveAlerts
from agent.core.errors import StoreError
from agent.hooks.dispatch import HookDispatcher

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.core.metrics import AgentCounters
    from agent.core.outbox import Delivery, DeliveryOutcome

HOOKS_TIMEOUT_S = 2.0  # for hooks that run when the agent is stopped; they are killed then, and run again
RETRIES_TIMEOUT_S = 10.0  # for hooks that fail when all is read that was to be: three retries, or four
_POLL_S = 0.05


class Alerting:
    """Made on the event loop.

    Args:
        config: validated.
        connection: of the writer, which is to show its transactions to `rules`.
        wake: lets the writer thread look whether something is to be done.
        report: notes own errors.
        seen_until: as of `LiveAlerts`.
        metrics: where deliveries are counted.
    """

    def __init__(
        self,
        config: Config,
        connection: sqlite3.Connection,
        wake: Callable[[], None],
        report: Callable[[SidelogError, bool], None],
        seen_until: int = 0,
        *,
        metrics: AgentCounters | None = None,
    ) -> None:
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._hooks = HookDispatcher(
            config.hooks, finished=self._finished, changed=self._changed, report=report, metrics=metrics
        )
        self.rules = LiveAlerts(
            config,
            connection,
            host=socket.gethostname(),
            report=report,
            deliver=self._deliver,
            seen_until=seen_until,
        )

    def reload(self, config: Config) -> None:
        """Go on with another configuration; the states of rules that count the same stay."""
        self._hooks.use(config.hooks)
        self.rules.reload(config)

    def open_circuits(self) -> dict[str, bool]:
        """As `HookDispatcher.open_circuits`. On the event loop."""
        return self._hooks.open_circuits()

    async def finish(self, may_wait: Callable[[], bool]) -> dict[str, int]:
        """Let hooks end, once the writer thread has: while that may be waited for each delivery is tried once, and what
        fails again for a few seconds, unless nothing can be tried any more in these; then what runs has a moment.

        Returns:
            How many deliveries of each hook are left for the next start.
        """
        await asyncio.sleep(0)  # the last transaction's deliveries arrive
        end = time.monotonic() + RETRIES_TIMEOUT_S
        with contextlib.suppress(StoreError):  # a full disk is no reason to fail a stop; hooks may be told twice
            while self._hooks.busy and may_wait():
                left = end - time.monotonic()
                if not self._hooks.has_untried and (left < 0 or self._hooks.rests(left)):
                    break
                await asyncio.sleep(_POLL_S)
                self.rules.save_outcomes()
            await self._hooks.stop(HOOKS_TIMEOUT_S)
            self.rules.save_outcomes()
        return self._hooks.left()

    def _deliver(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._loop.call_soon_threadsafe(self._hooks.add, deliveries)

    def _finished(self, outcome: DeliveryOutcome) -> None:
        self.rules.finished(outcome)
        self._wake()

    def _changed(self, hook: str, facts: Mapping[str, object]) -> None:
        self.rules.hook_changed(hook, facts)
        self._wake()
