"""What the configuration of a source says about its events: how its lines are read, and their resource."""

from __future__ import annotations

from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.expressions import LIVE_BUDGET_S, Expression, TimeBudget, UndecidedError
from agent.core.fields import ALIASES, ROLES, Path, Profile
from agent.core.stored import resource_json
from agent.parse.fields import Shapes, detect
from agent.parse.formats import LineRules, line_rules
from agent.parse.instants.bulk import BulkTimestamps
from agent.parse.instants.timestamps import Instants
from agent.parse.patterns import PATTERN, LinePatterns, PatternRedactor
from agent.parse.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from agent.config import Config, SourceConfig


class ParseSettings(msgspec.Struct, frozen=True, dict=True):
    """How the lines of one source are read; the values are checked by the configuration.

    Args:
        format: `auto`, or one that `agent.parse.formats` has; `pattern` where there are some.
        patterns: of its lines, tried in order. They are whole here, for an archive is read by them for ever.
        fields: role (`timestamp`, `severity`, `message`, …) to dotted path, tried before every known name.
        timezone: IANA name, of timestamps without an offset.
        multiline: `auto`, `off`, or `start` with `multiline_start`.
        multiline_start: regular expression that a first line of an event contains.
        multiline_timeout_s: how long an event that may go on is held back.
        max_line_bytes: a longer line becomes a gap; an event of several lines ends there.
        redact: keys whose values are replaced, in any case and depth.
    """

    format: str
    fields: Mapping[str, str]
    timezone: str
    multiline: str
    multiline_start: str | None
    multiline_timeout_s: float
    max_line_bytes: int
    redact: Sequence[str]
    patterns: Sequence[str]

    @cached_property
    def line_patterns(self) -> LinePatterns | None:
        """The patterns of its lines. All files of a source share them, as they do what follows."""
        return LinePatterns(self.patterns) if self.patterns else None

    @cached_property
    def rules(self) -> LineRules:
        """What its lines can be."""
        return line_rules(self.format) if self.line_patterns is None else self.line_patterns.rules()

    @cached_property
    def start(self) -> LineStart | None:
        """What tells the first line of an event. All files of a source share it, and so its budget of time."""
        if self.multiline != "start" or self.multiline_start is None:
            return None
        return LineStart(self.multiline_start)

    @staticmethod
    def from_source(source: SourceConfig) -> ParseSettings:
        """How the configuration says that the lines of a source are read."""
        start, patterns = source.multiline_start, source.patterns
        return ParseSettings(
            format=PATTERN if patterns else str(source.format),
            fields=dict(source.fields),
            timezone=source.timezone,
            multiline=str(source.multiline) if start is None else "start",
            multiline_start=start,
            multiline_timeout_s=source.multiline_timeout,
            max_line_bytes=source.max_line,
            redact=tuple(source.redact),
            patterns=patterns,
        )

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> ParseSettings:
        """The settings that `document` gave.

        Raises:
            TypeError: it names a setting that there is not.
        """
        lists = {name: tuple(document.get(name, ())) for name in ("redact", "patterns")}
        return msgspec.structs.replace(PLAIN, **{**document, **lists})

    def document(self) -> dict[str, Any]:
        """The settings as JSON can hold them, without those that are PLAIN's."""
        plain = msgspec.to_builtins(PLAIN)
        return {key: value for key, value in msgspec.to_builtins(self).items() if value != plain[key]}


# What a document of settings means by what it leaves out. It is part of the archives' format: archives were written by
# it, so it stays as it is, also when a default of the configuration becomes another.
PLAIN = ParseSettings(
    format="auto",
    fields={},
    timezone="UTC",
    multiline="auto",
    multiline_start=None,
    multiline_timeout_s=2.0,
    max_line_bytes=1 << 20,
    redact=(),
    patterns=(),
)


def parse_settings(config: Config) -> dict[str, ParseSettings]:
    """How the lines of each source are read, by its name."""
    return {source.name: ParseSettings.from_source(source) for source in config.sources}


def resources(config: Config) -> dict[str, str]:
    """The resource attributes of each source's events, as JSON objects, by its name."""
    return {source.name: resource_json(source.labels) for source in config.sources}


class LineStart:
    """The regular expression `multiline.start`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.budget = TimeBudget(LIVE_BUDGET_S)
        self._search = Expression(text, self.budget).search
        self.undecided = 0  # lines since the last report on which it was not done in time

    def begins(self, line: str) -> bool:
        """Whether a line begins an event. One on which it is not done in time does not: the event before goes on."""
        try:
            return bool(self._search(line))
        except UndecidedError:
            self.undecided += 1
            return False


class Compiled:
    """ParseSettings ready for use: paths per role, zone, patterns."""

    def __init__(self, settings: ParseSettings) -> None:
        self.settings = settings
        self.rules = settings.rules
        self.traces = settings.multiline == "auto"
        self.zone = _zone(settings.timezone)
        self.instants = Instants(self.zone)
        self.bulk_instants = BulkTimestamps(self.zone)
        self.overrides: dict[str, Path] = {role: (name,) for role, name in settings.fields.items()}
        self.paths: dict[str, tuple[Path, ...]] = {role: self._role_paths(role) for role in ROLES}
        self.redactor = _redactor(settings)
        self.start = settings.start
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

    def detect(self, records: list[dict[str, Any]]) -> Profile:
        """Where the fields are in these records."""
        found = detect(records, self.paths, self.instants)
        return msgspec.structs.replace(Profile(format="json", overrides=self.overrides), **found)

    @cached_property
    def inner_shapes(self) -> Shapes:
        """The shapes of objects inside of text."""
        return Shapes(self.paths, Profile())

    @cached_property
    def inner_instants(self) -> Instants:
        """For looking whether a value is an instant; it is that of no row."""
        return Instants(self.zone)

    def rewrapped(self, raw: bytes, body: bytes, *, woven: bool) -> bytes:
        """The lines of a container runtime with another body, for which there is a redactor; as `LineRules.rewrap`."""
        assert self.redactor is not None
        return b"\n".join(self.rules.rewrap(raw.split(b"\n"), body, self.redactor, self.max_line, woven=woven))

    def text_profile(self) -> Profile:
        """Where the fields are in the records that are made of text lines."""
        found = _PATTERN if self.settings.patterns else _TEXT
        return msgspec.structs.replace(found, overrides=self.overrides)

    def shapes(self, profile: Profile) -> Shapes:
        """The shapes of records under a profile; kept for the last one asked for."""
        if self._shapes is None or self._shapes[0] is not profile:
            self._shapes = profile, Shapes(self.paths, profile)
        return self._shapes[1]


_TEXT = Profile(format="text", timestamp=("timestamp",), severity=("level",), message=("message",), logger=("logger",))
_PATTERN = msgspec.structs.replace(_TEXT, service=("service",), trace_id=("trace_id",), span_id=("span_id",))


def _redactor(settings: ParseSettings) -> Redactor | None:
    if not settings.redact:
        return None
    patterns = settings.line_patterns
    return Redactor(settings.redact) if patterns is None else PatternRedactor(settings.redact, patterns)


def _zone(name: str) -> tzinfo:
    if name in ("UTC", "Z", ""):
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - 3 ms

    return ZoneInfo(name)
