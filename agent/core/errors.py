"""The errors of sidelog: one base class, a code and a hint on each, exit codes in one place.

Rooms raise them; only `pipeline` and the faces log them and go on. A bad line of a log is data, never an exception.
What a code says, in a sentence, a hint and a long text, stands in `agent/explain/CODE.md` (see `catalogue`):

    raise StoreError.of("SL410", path, free_mib=free >> 20, asked_mib=asked >> 20)
"""

from __future__ import annotations

import errno
import os
from typing import Any, Self

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_STORE = 3  # the store is missing, locked or damaged
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells say it

# What the system says, by the variant that a code of the catalogue may have for it.
REASONS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EROFS: "read-only",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EMFILE: "too-many",
}


class SidelogError(Exception):
    """Something a person should know: what failed, on what, and what to do.

    Args:
        code: stable identifier such as `SL101`; its hundreds digit names the area (1 configuration, 2 tailing,
            3 parsing, 4 store, 5 query and usage, 6 agent and service, 7 alerts, 8 archive).
        operation: what was being done, in a few words.
        subject: the file, key or value that it was done to.
        message: one sentence that names the offending value and its place.
        hint: what the person can do about it.
        retryable: whether the same attempt may succeed later without a change by a person.
    """

    exit_code = EXIT_FAILED

    def __init__(
        self, code: str, operation: str, subject: str, message: str, *, hint: str = "", retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.operation = operation
        self.subject = subject
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def document(self) -> dict[str, str]:
        """What of it an answer in JSON has."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    def __reduce__(self) -> tuple[object, ...]:
        """How it goes from one process to another: an Exception by itself would come without its facts."""
        return _rebuilt, (
            type(self),
            (self.code, self.operation, self.subject, self.message),
            {"hint": self.hint, "retryable": self.retryable},
        )

    @classmethod
    def of(cls, key: str, subject: object, /, *, hint: str | None = None, **facts: object) -> Self:
        """The error with a code of the catalogue.

        Args:
            key: the code, with its variant if it has any: `SL820.denied`.
            subject: what it is about.
            hint: in place of the catalogue's.
            facts: what stands in braces in its sentence and its hint, beside `{subject}`. An OSError is what the system
                says of it, and chooses the variant of REASONS where the code has one and the key names none.
        """
        about = str(_said(subject))
        said = {name: _said(value) for name, value in facts.items()}
        code = key.partition(".")[0]
        refused = (fact for fact in facts.values() if isinstance(fact, OSError))
        reason = next((REASONS[error.errno] for error in refused if error.errno in REASONS), "")
        try:
            from agent.core import catalogue  # noqa: PLC0415 - nobody pays for it before something fails

            words = catalogue.words(key, reason)
            sentence = words.sentence.format(subject=about, **said)
            advice = words.hint.format(subject=about, **said) if hint is None else hint
        except (ImportError, KeyError, ValueError, OSError):
            # An installation in pieces, or no descriptor left: the facts are worth more than their form.
            listed = ", ".join(f"{name}: {value}" for name, value in said.items())
            return cls(code, "", about, f"{code}: {listed or subject}", hint=hint or "")
        return cls(code, words.operation, about, sentence, hint=advice, retryable=words.retryable)


def _rebuilt(kind: type[SidelogError], words: tuple[str, str, str, str], more: dict[str, Any]) -> SidelogError:
    return kind(*words, **more)


def _said(fact: object) -> object:
    """A fact as a sentence has it."""
    if isinstance(fact, OSError):
        return fact.strerror or (os.strerror(fact.errno) if fact.errno else str(fact))
    return os.fspath(fact) if isinstance(fact, os.PathLike) else fact


class UsageError(SidelogError):
    """An argument of a command cannot be understood."""

    exit_code = EXIT_USAGE


class ConfigError(SidelogError):
    """The configuration is wrong; `subject` is `FILE: path.in.document`."""

    exit_code = EXIT_CONFIG


class TailError(SidelogError):
    """A file, a directory or a watch cannot be used."""


class StoreError(SidelogError):
    """The store is missing, locked, full, newer than the program or damaged."""

    exit_code = EXIT_STORE


class ArchiveError(SidelogError):
    """An archive, or the log that is to become one, cannot be written or read."""


class HttpError(SidelogError):
    """The HTTP server cannot be had, or refuses a request."""


class TooLargeError(HttpError):
    """The body of a request is larger than any that is taken."""


class RotateError(SidelogError):
    """A log cannot be rotated, its application not be told, or a rotated one not be deleted."""
