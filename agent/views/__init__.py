"""Documents that faces show: what the command line prints as JSON, and a server gives. Nothing here prints or waits."""

from __future__ import annotations

from agent.core.times import format_utc


def iso(instant: int | None) -> str | None:
    """An instant (Unix ns) in RFC 3339 with nanoseconds, `Z`; None stays None."""
    return None if instant is None else format_utc(instant)
