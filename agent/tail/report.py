"""Conditions that a person should know: each is reported when it begins and when it ends, not every time it is met."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.errors import SidelogError


class Conditions:
    """The conditions that hold now, by the code and subject of their error."""

    def __init__(self, report: Callable[[SidelogError, bool], None]) -> None:
        self._report = report
        self._active: dict[tuple[str, str], SidelogError] = {}

    def begin(self, error: SidelogError) -> None:
        """Report `error` unless the same condition holds already."""
        key = (error.code, error.subject)
        if key not in self._active:
            self._active[key] = error
            self._report(error, True)  # noqa: FBT003 - the protocol of `report` is positional

    def end(self, subject: str, *codes: str) -> None:
        """The conditions of `subject` are over: those with one of `codes`, or all."""
        if not self._active:
            return
        for key in [key for key in self._active if key[1] == subject and (not codes or key[0] in codes)]:
            self._report(self._active.pop(key), False)  # noqa: FBT003

    def keep(self, subjects: set[str], *codes: str) -> None:
        """End all conditions with one of `codes` whose subject is not among `subjects`."""
        for code, subject in [key for key in self._active if key[0] in codes and key[1] not in subjects]:
            self.end(subject, code)
