"""How the agent is, as the server last heard it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from agent.answers.worker import QuestionRequest
from agent.core.errors import SidelogError
from agent.core.metrics import HealthProblem, read_vitals

if TYPE_CHECKING:
    from agent.answers.pool import WorkerPool
    from agent.core.metrics import Vitals

SILENT_S = 5.0  # an agent tells twice a second


class LiveAgent:
    """What is known of an agent that tells how it is. Used on the event loop."""

    def __init__(self) -> None:
        self.vitals: Vitals | None = None
        self._heard = time.monotonic()
        self.gone = False

    async def listen(self, pipe: asyncio.StreamReader) -> None:
        """Take what the agent says, to its end: then it is gone."""
        while line := await pipe.readline():
            try:
                self.vitals = read_vitals(line)
            except msgspec.DecodeError:  # cut off by its end
                break
            self._heard = time.monotonic()
        self.gone = True

    @property
    def silent_s(self) -> float:
        """For how long nothing was heard."""
        return time.monotonic() - self._heard

    @property
    def is_silent(self) -> bool:
        """Whether what it said last may no longer be so."""
        return self.gone or self.silent_s > SILENT_S

    def untold(self) -> str:
        """Why there are no numbers of an agent that runs now; empty where there are."""
        if self.is_silent:
            return self.problems()[0].message
        return "" if self.vitals is not None else "the agent has not said anything yet"

    def problems(self) -> list[HealthProblem]:
        """Why the agent is to be called unhealthy; none where it is well."""
        if self.gone:
            return [HealthProblem("SL903", "the agent has ended: nothing is read")]
        if self.silent_s > SILENT_S:
            return [HealthProblem("SL903", f"the agent has said nothing for {self.silent_s:.0f} s")]
        return [] if self.vitals is None else [one for one in self.vitals.problems if not one.warning]

    @property
    def is_ready(self) -> bool:
        """Whether files are followed and stored now."""
        return not self.is_silent and self.vitals is not None and self.vitals.ready and not self.vitals.stopping


class StoredAgent(LiveAgent):
    """What is known of an agent that did not start this server: what its store says, asked now and then.

    Args:
        pool: answers what is asked.
    """

    def __init__(self, pool: WorkerPool) -> None:
        super().__init__()
        self._pool = pool
        self._status: dict[str, Any] = {}

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            with suppress(SidelogError):
                self._status = msgspec.json.decode(await self._pool.answer(QuestionRequest("status")))
            await asyncio.sleep(SILENT_S)

    def untold(self) -> str:
        """As `LiveAgent.untold`."""
        return "an agent tells its numbers to the server that it has started itself: `http` in its configuration"

    def problems(self) -> list[HealthProblem]:
        """As `LiveAgent.problems`."""
        if not self._status.get("agent", {}).get("running"):
            return [HealthProblem("SL903", "no agent reads logs into this store now")]
        return [HealthProblem(*text.partition(": ")[::2]) for text in self._status["problems"]]

    @property
    def is_ready(self) -> bool:
        """As `LiveAgent.is_ready`."""
        return bool(self._status.get("agent", {}).get("running"))
