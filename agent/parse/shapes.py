"""Where to look in a record, worked out once per shape: records with the same keys hold the same fields.

Trying all known names costs 8 µs a record; a shape keeps those whose first key the record has, in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.fields import Path, Profile, own_paths
from agent.parse import exceptions

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_SHAPES = 256
_MOST_KEYS = 128  # of a record whose shape is kept: together 2 MB at the most


class Shape(msgspec.Struct):
    """The paths per role that can hold something in a record with these keys, in the order in which they count."""

    timestamp: tuple[Path, ...]
    severity: tuple[Path, ...]
    logger: tuple[Path, ...]
    message: tuple[Path, ...]
    service: tuple[Path, ...]
    exception: exceptions.Places | None


class Shapes:
    """The shapes of one file.

    Args:
        paths: per role as the source's settings give them.
        profile: of the file, whose paths count first for message and service.
    """

    def __init__(self, paths: Mapping[str, tuple[Path, ...]], profile: Profile) -> None:
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self.paths = {role: paths[role] for role in ("timestamp", "severity", "logger")}
        self.paths |= {role: (*own_paths(profile, role), *paths[role]) for role in ("message", "service")}

    def of(self, record: dict[str, Any]) -> Shape:
        """The shape of a record."""
        keys = tuple(record)
        shape = self._shapes.get(keys)
        if shape is None:
            shape = Shape(
                **{role: tuple(path for path in paths if path[0] in record) for role, paths in self.paths.items()},
                exception=exceptions.places(record),
            )
            if len(keys) <= _MOST_KEYS:
                if len(self._shapes) >= _MOST_SHAPES:
                    self._shapes.clear()
                self._shapes[keys] = shape
        return shape
