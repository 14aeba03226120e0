"""The agent's own log: structlog to stderr, for people on a terminal and as JSON lines anywhere else."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import Any, TextIO, cast

import structlog

from agent.core.text import escape
from agent.core.times import format_local

_LEVELS = {-1: logging.ERROR, 0: logging.INFO, 1: logging.DEBUG}


def configure(verbosity: int = 0) -> None:
    """Set up structlog.

    Args:
        verbosity: -1 errors only, 0 what an operator wants to see, 1 and above everything.
    """
    level = _LEVELS[max(-1, min(1, verbosity))]
    terminal = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.processors.add_log_level,
        _local_time if terminal else structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_empty,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    last: Any = _visible if terminal else structlog.processors.format_exc_info
    structlog.configure(
        processors=[*shared, last, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Tolerant(sys.stderr))),
        cache_logger_on_first_use=False,
    )


class _Tolerant:
    """Stderr, which may be a file on a full disk, a pipe that nobody reads any more, or closed (a ValueError): the
    agent's own log is not worth the agent.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _drop_empty(_logger: object, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if value not in (None, "")}


def _local_time(_logger: object, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """The time as all of sidelog shows it to people."""
    return {"timestamp": format_local(time.time_ns()), **event}


def _visible(_logger: object, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: escape(value) if isinstance(value, str) else value for key, value in event.items()}
