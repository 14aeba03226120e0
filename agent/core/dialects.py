"""Where records of some libraries have their fields under names that mean nothing elsewhere, and what a record without
a message says instead.

A name such as MongoDB's `s` is a level only beside the other keys of its library, so that these paths count in records
that have all of them, after every name that is known everywhere (`fields.ALIASES`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Path = tuple[str, ...]


class Dialect(NamedTuple):
    """The paths per role in records that have all of the keys."""

    keys: frozenset[str]
    paths: Mapping[str, Path]


def _dialect(keys: str, **paths: str) -> Dialect:
    return Dialect(frozenset(keys.split()), {role: (name,) for role, name in paths.items()})


DIALECTS = (
    # https://www.mongodb.com/docs/manual/reference/log-messages/
    _dialect("t s c msg", severity="s", logger="c"),
    # https://log4js-node.github.io/log4js-node/layouts.html: the LoggingEvent itself
    _dialect("startTime categoryName data", message="data"),
    _dialect("startTime category data", logger="category", message="data"),
    # https://docs.rs/tracing-subscriber/latest/tracing_subscriber/fmt/format/struct.Json.html
    _dialect("level target fields", logger="target"),
    _dialect("level target span", logger="target"),
    _dialect("level target spans", logger="target"),
    _dialect("level target threadId", logger="target"),
    _dialect("level target threadName", logger="target"),
    _dialect("level target line_number", logger="target"),
    _dialect("level target module_path", logger="target"),
    # https://docs.nextcloud.com/server/latest/admin_manual/configuration_server/logging_configuration.html
    _dialect("reqId remoteAddr app level", logger="app"),
)
# One key of each: a record that has none of these is of no dialect.
_MARKS = frozenset({"s", "startTime", "target", "reqId"})
FIRST_KEYS = {
    role: frozenset(one.paths[role][0] for one in DIALECTS if role in one.paths)
    for role in ("severity", "logger", "message")
}


def paths_in(record: Mapping[str, Any], role: str) -> tuple[Path, ...]:
    """The paths of a role that count in this record alone."""
    if _MARKS.isdisjoint(record):
        return ()
    return tuple({one.paths[role]: None for one in DIALECTS if role in one.paths and one.keys <= record.keys()})


def needed_for(paths: Iterable[Path | None]) -> list[frozenset[str]]:
    """The keys that a record must have so that all of these paths count in it, in each way in which they can."""
    wanted = {path for path in paths if path is not None}
    found = [one for one in DIALECTS if not wanted.isdisjoint(one.paths.values())]
    return [one.keys for one in found]
