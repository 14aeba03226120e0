"""What becomes of a harvester whose file was truncated or deleted: its rest may lie in a copy, compressed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.tail import recovery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.tail.harvester import Harvester
    from agent.tail.prospector import Prospector
    from agent.tail.recovery import Recovery
    from agent.tail.registry import Registry


class FileEndings:
    """Ends harvesters, or lets them go on in a copy.

    Args:
        registry: of the harvesters.
        recovery: reads compressed copies.
        prospector: knows the sources' patterns.
        run: calls a blocking function in the executor.
    """

    def __init__(
        self, registry: Registry, recovery: Recovery, prospector: Prospector, run: Callable[..., Awaitable[Any]]
    ) -> None:
        self._registry = registry
        self._recovery = recovery
        self._prospector = prospector
        self._run = run

    async def truncated(self, harvester: Harvester) -> None:
        """The file was truncated or rewritten: read the rest from a copy, if there is one, else end the generation.

        The scan that has to follow finds an inode that nobody follows, and begins a new generation at its head.
        """
        if await self._prospector.take_copy(harvester):
            return
        if await self._run(recovery.candidates, harvester.file):
            await self._recovery.take(harvester)
        else:  # what was not read is lost
            await self._registry.end(harvester, harvester.size)

    async def deleted(self, harvester: Harvester) -> None:
        """A deleted file is read to its end. A copy of it that was made before is not to be read once more."""
        if not await self._prospector.take_copy(harvester):
            await self._registry.end(harvester)
