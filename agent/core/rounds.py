"""Threads that work beside the reading in rounds, such as those that rotate and archive logs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from agent.core.conditions import Conditions
from agent.core.errors import SidelogError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable


Config = TypeVar("Config")


class Rounds(threading.Thread, Generic[Config]):
    """Makes rounds until it is stopped; what one of them meets ends that round alone.

    Args:
        name: of the work: `archiving`.
        code: under which a fault of a round is reported, about the name.
        config: validated.
        report: notes that a condition began (True) or ended (False).
    """

    def __init__(self, name: str, code: str, config: Config, report: Callable[[SidelogError, bool], None]) -> None:
        super().__init__(name=f"sidelog-{name}", daemon=True)
        self._work = name
        self._code = code
        self._config = config
        self._report = report
        self._conditions = Conditions(report)
        self._ended = threading.Event()

    def round(self, config: Config) -> None:
        """One round."""
        raise NotImplementedError

    def pause_s(self, config: Config) -> float:
        """How long to wait before the next round."""
        raise NotImplementedError

    def run(self) -> None:
        """The thread."""
        while not self._ended.wait(self.pause_s(self._config)):
            try:
                self.round(self._config)
            except StoreError:
                continue  # the writer meets it too, and says so
            except Exception as error:  # noqa: BLE001 - or no round would be made any more, and nobody would know
                facts = {"kind": type(error).__name__, "why": str(error)}
                self._conditions.repeat(SidelogError.of(self._code, self._work, **facts))
            else:
                self._conditions.end(self._work, self._code)

    def reload(self, config: Config) -> None:
        """Go on with another configuration from the next round on."""
        self._config = config

    def end(self) -> None:
        """Come to an end soon."""
        self._ended.set()
