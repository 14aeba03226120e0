"""One line of `sidelog check`: what was looked at, and what was found."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from agent.core.errors import EXIT_CONFIG, EXIT_FAILED, SidelogError
from agent.service.fix import Fix  # noqa: TC001 - a field of a struct


class Diagnostic(msgspec.Struct, frozen=True):
    """One line of `sidelog check`."""

    level: str  # ok | warning | error
    code: str
    place: str
    sentence: str
    hint: str = ""
    exit_code: int = EXIT_FAILED  # what an error of this kind ends the command with
    fixes: tuple[Fix, ...] = ()  # the steps that heal it, where it can be told

    @classmethod
    def of(cls, error: SidelogError, level: str = "error", fixes: tuple[Fix, ...] = ()) -> Diagnostic:
        """The finding that an error tells; its place is not said twice."""
        sentence = error.message.removeprefix(f"{error.subject}: ")
        return cls(level, error.code, error.subject, sentence, error.hint, error.exit_code, fixes)

    @classmethod
    def at(cls, place: str, error: SidelogError) -> Diagnostic:
        """A warning that an error tells, at another place."""
        return cls("warning", error.code, place, error.message, error.hint)

    def document(self) -> dict[str, str | list[str] | None]:
        """For JSON."""
        return {
            "level": self.level,
            "code": self.code or None,
            "place": self.place,
            "sentence": self.sentence,
            "hint": self.hint or None,
            "fix": [fix.text() for fix in self.fixes],
        }


def ok(place: str, sentence: str) -> Diagnostic:
    """Something that is as it should be."""
    return Diagnostic("ok", "", place, sentence)


def warning(key: str, place: str, /, *, fixes: tuple[Fix, ...] = (), **facts: Any) -> Diagnostic:
    """The agent runs, but worse than it could: what `SidelogError.of` says."""
    return Diagnostic.of(SidelogError.of(key, place, **facts), "warning", fixes)


def error(key: str, place: str, /, *, fixes: tuple[Fix, ...] = (), **facts: Any) -> Diagnostic:
    """The agent cannot do what it is told: what `SidelogError.of` says."""
    return Diagnostic.of(SidelogError.of(key, place, **facts), fixes=fixes)


def worst(findings: list[Diagnostic]) -> int:
    """The exit code: that of a wrong configuration before that of any other error; warnings count as done."""
    codes = Counter(finding.exit_code for finding in findings if finding.level == "error")
    return EXIT_CONFIG if EXIT_CONFIG in codes else EXIT_FAILED if codes else 0
