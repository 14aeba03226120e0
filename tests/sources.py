"""Sources for tests: what the configuration means by leaving a key out, with what a test changes."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.config import SourceConfig
from agent.parse.settings import ParseSettings
from agent.tail.discover import SourceSettings


def parsing(**changes: Any) -> ParseSettings:
    """How lines are read by default, with these settings changed."""
    default = ParseSettings.from_source(SourceConfig(name="shop", include=[]))
    return msgspec.structs.replace(default, **changes)


def source(*patterns: object, **changes: Any) -> SourceSettings:
    """A source `shop` of these patterns with the configuration's defaults, with these settings changed."""
    default = SourceSettings.from_source(SourceConfig(name="shop", include=[str(pattern) for pattern in patterns]), 0.0)
    return msgspec.structs.replace(default, **changes)
