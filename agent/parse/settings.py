"""What the configuration of a source says about parsing, compiled once."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.fields import ALIASES, ROLES, Path, Profile
from agent.parse.fields import Shapes
from agent.parse.formats import rules
from agent.parse.redact import Redactor
from agent.parse.timestamps import Instants

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

DEFAULT_MAX_LINE_BYTES = 1 << 20
DEFAULT_TIMEOUT_S = 2.0  # how long an event that may go on waits for its next line


class ParseSettings(msgspec.Struct, frozen=True):
    """How the lines of one source are read; the values are checked by the configuration.

    Args:
        format: `auto`, `json`, `text`, `docker` or `cri`.
        fields: role (`timestamp`, `severity`, `message`, …) to dotted path, tried before every known name.
        timezone: IANA name, of timestamps without an offset.
        multiline: `auto`, `off`, or `start` with `multiline_start`.
        multiline_start: regular expression that a first line of an event contains.
        multiline_timeout_s: how long an event that may go on is held back.
        max_line_bytes: a longer line becomes a gap; an event of several lines ends there.
        redact: keys whose values are replaced, in any case and depth.
    """

    format: str = "auto"
    fields: Mapping[str, str] = {}
    timezone: str = "UTC"
    multiline: str = "auto"
    multiline_start: str | None = None
    multiline_timeout_s: float = DEFAULT_TIMEOUT_S
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES
    redact: Sequence[str] = ()

    @staticmethod
    def from_source(source: Any) -> ParseSettings:
        """The settings of a `SourceConfig`: its attributes `format fields timezone multiline max_line redact`."""
        multiline = source.multiline
        explicit = multiline is not None and not isinstance(multiline, str)
        return ParseSettings(
            format=source.format,
            fields=dict(source.fields or {}),
            timezone=source.timezone,
            multiline="start" if explicit else multiline or "auto",
            multiline_start=multiline.start if explicit else None,
            multiline_timeout_s=multiline.timeout if explicit else DEFAULT_TIMEOUT_S,
            max_line_bytes=source.max_line,
            redact=tuple(source.redact or ()),
        )

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> ParseSettings:
        """The settings that `document` gave."""
        return ParseSettings(**{**document, "redact": tuple(document.get("redact", ()))})

    def document(self) -> dict[str, Any]:
        """The settings as JSON can hold them, without those that are the default."""
        default = msgspec.to_builtins(ParseSettings())
        return {key: value for key, value in msgspec.to_builtins(self).items() if value != default[key]}


class Compiled:
    """ParseSettings ready for use: paths per role, zone, patterns."""

    def __init__(self, settings: ParseSettings) -> None:
        self.settings = settings
        self.rules = rules(settings.format)
        self.traces = settings.multiline == "auto"
        self.zone = _zone(settings.timezone)
        self.instants = Instants(self.zone)
        self.overrides: dict[str, Path] = {role: (name,) for role, name in settings.fields.items()}
        self.paths: dict[str, tuple[Path, ...]] = {role: self._role_paths(role) for role in ROLES}
        self.redactor = Redactor(settings.redact) if settings.redact else None
        start = settings.multiline_start
        self.start = re.compile(start) if settings.multiline == "start" and start is not None else None
        self.max_line = settings.max_line_bytes
        self._shapes: tuple[Profile, Shapes] | None = None

    def _role_paths(self, role: str) -> tuple[Path, ...]:
        name = self.settings.fields.get(role)
        if name is None:
            return ALIASES[role]
        own: list[Path] = [(name,)]
        if "." in name:
            own.append(tuple(name.split(".")))
        return (*own, *(path for path in ALIASES[role] if path not in own))

    def shapes(self, profile: Profile) -> Shapes:
        """The shapes of records under a profile; kept for the last one asked for."""
        if self._shapes is None or self._shapes[0] is not profile:
            self._shapes = profile, Shapes(self.paths, profile)
        return self._shapes[1]


def _zone(name: str) -> tzinfo:
    if name in ("UTC", "Z", ""):
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - 3 ms

    return ZoneInfo(name)
