"""What goes between the agent and the process that forwards: its settings, and how the targets are; and what a command
works on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from agent.config import ForwardConfig, MultilineConfig
from agent.store.forwarding import TargetSettings

if TYPE_CHECKING:
    from pathlib import Path

    from agent.clickhouse.client import ClickHouseClient
    from agent.config import Config

_TAIL_WAIT_S = 2.0  # an event that has no time limit for its lines is waited for so long …
_LONGEST_TAIL_WAIT_S = 60.0  # … and one that has a very long one no longer than this


class TargetPlace(NamedTuple):
    """A store with its archives, and one of its targets."""

    store: Path
    directory: Path  # of the archives
    target: str  # its name, which the store knows
    client: ClickHouseClient
    match: str = ""


class ForwardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told at its start."""

    store: str
    targets: list[ForwardConfig]
    tail_wait_s: float = _TAIL_WAIT_S

    def to_line(self) -> bytes:
        """The message of them, one line of JSON."""
        return msgspec.json.encode(self, enc_hook=os.fsdecode) + b"\n"


def read_settings(line: bytes) -> ForwardSettings:
    """The settings of a message."""
    return msgspec.json.decode(line, type=ForwardSettings, dec_hook=lambda kind, text: kind(text))


def settings_of(config: Config) -> ForwardSettings | None:
    """Those of a configuration; None: it forwards nothing."""
    if not config.forward:
        return None
    waits = [one.multiline.timeout for one in config.sources if isinstance(one.multiline, MultilineConfig)]
    wait_s = min(max([_TAIL_WAIT_S, *waits]), _LONGEST_TAIL_WAIT_S)
    return ForwardSettings(store=os.fsdecode(config.store.path), targets=config.forward, tail_wait_s=wait_s)


def target_settings(config: Config) -> list[TargetSettings]:
    """What the store keeps of the targets of a configuration."""
    return [
        TargetSettings(
            one.name,
            "otlp" if one.clickhouse is None else "clickhouse",
            one.otlp or "" if one.clickhouse is None else one.clickhouse[0],
            one.match,
            None if one.hold.age is None else round(one.hold.age * 1e9),
            one.hold.size,
        )
        for one in config.forward
    ]


class TargetReport(msgspec.Struct):
    """How a target is, for the agent. `failing_s`: how long it has failed."""

    name: str
    lag_events: int = 0
    failing_s: float = 0.0
    code: str = ""
    message: str = ""
    refusal: str = ""  # what was said of the newest event that it takes never


def write_reports(reports: list[TargetReport]) -> bytes:
    """The message of them, one line of JSON."""
    return msgspec.json.encode(reports) + b"\n"


def read_reports(line: bytes) -> list[TargetReport]:
    """The reports of a message.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(line, type=list[TargetReport])
