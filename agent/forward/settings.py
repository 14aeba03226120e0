"""What the store is told of the targets of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.forwarding import TargetSettings

if TYPE_CHECKING:
    from agent.config import Config, ForwardConfig

_NS = 10**9


def target_settings(config: Config) -> list[TargetSettings]:
    """Of all targets."""
    return [_of(target) for target in config.forward]


def _of(target: ForwardConfig) -> TargetSettings:
    url = target.clickhouse[0] if target.clickhouse else target.otlp or ""
    age = None if target.hold.age is None else round(target.hold.age * _NS)
    return TargetSettings(
        target.name, "clickhouse" if target.clickhouse else "otlp", url, target.match, age, target.hold.size
    )
