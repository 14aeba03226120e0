"""Which ClickHouse is meant: by the name of a target, by an address, or by what the configuration says."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from agent.clickhouse.address import ClickHouseAddress, is_address
from agent.core.errors import UsageError
from agent.core.text import enumerated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config import Config, ForwardConfig

_DAY_S = 86_400


def address_of(config: Config, wanted: str | None) -> ClickHouseAddress:
    """The ClickHouse that is asked.

    Args:
        config: the configuration.
        wanted: an address, the name of a target, or None: that of the section `engine`.

    Raises:
        UsageError: SL657, it is none.
        ConfigError: SL110, its password cannot be had.
    """
    if wanted is None:
        if config.engine is None:
            raise UsageError.of("SL657.none", "engine")
        return ClickHouseAddress.of(config.engine)
    return ClickHouseAddress.of_option(wanted) if is_address(wanted) else ClickHouseAddress.of(_target(config, wanted))


def find(config: Config, wanted: str | None) -> Iterator[tuple[ClickHouseAddress, int | None]]:
    """The ClickHouses that are to have tables, each with how many days it keeps events; 0: for ever, None: it is not
    known here.

    Args:
        config: the configuration.
        wanted: an address, the name of a target, or None: all targets, without any the engine.

    Raises:
        UsageError: SL657, there is none.
        ConfigError: SL110, a password cannot be had.
    """
    if wanted is not None and not is_address(wanted):
        targets = [_target(config, wanted)]
    elif wanted is None:
        targets = [target for target in config.forward if target.clickhouse]
    else:
        targets = []
    if not targets:
        yield address_of(config, wanted), None
    for target in targets:
        days = 0 if target.ttl is None else max(1, round(target.ttl / _DAY_S))
        yield ClickHouseAddress.of(target), days


def find_targets(config: Config, wanted: str | None) -> list[ForwardConfig]:
    """The targets of a name, or all that are a ClickHouse.

    Raises:
        UsageError: SL657, there is none.
    """
    if wanted is not None:
        return [_target(config, wanted)]
    found = [target for target in config.forward if target.clickhouse]
    if not found:
        raise UsageError.of("SL657.none", "forward")
    return found


def _target(config: Config, name: str) -> ForwardConfig:
    found = next((target for target in config.forward if target.name == name), None)
    if found is None:
        near = difflib.get_close_matches(name, [target.name for target in config.forward], n=1)
        names = [target.name for target in config.forward]
        known = f"`forward` has {enumerated(names)}" if names else "`forward` has none"
        raise UsageError.of("SL657", name, near=f", did you mean '{near[0]}'?" if near else "", known=known)
    if not found.clickhouse:
        raise UsageError.of("SL657.otlp", name)
    return found
