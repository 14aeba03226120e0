"""The errors of sidelog: one base class, a code and a hint on each, exit codes in one place.

Stages raise them; only `pipeline` and `cli` log them and go on. A bad line of a log is data, never an exception.
Every code has its long text in `agent/explain/CODE.md`, which `sidelog explain CODE` prints.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_STORE = 3  # the store is missing, locked or damaged
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


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


def explain(code: str) -> str | None:
    """The long text of an error code (Markdown), or None where there is no such code."""
    name = code.strip().upper()
    if not name.isalnum():
        return None
    from importlib import resources  # noqa: PLC0415  8 ms that no other command should pay

    text = resources.files("agent") / "explain" / f"{name}.md"
    return text.read_text(encoding="utf-8") if text.is_file() else None


def codes() -> list[str]:
    """All codes that have a text, sorted."""
    from importlib import resources  # noqa: PLC0415

    folder = resources.files("agent") / "explain"
    return sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))
