"""What a configuration can say: one struct per section, attribute names are the keys of the document.

`for`, a word of the language, is `for_` here. Durations are seconds, sizes bytes, rates events per
second, shares fractions. `convert` builds these structs from a document and reports what does not fit.

Each key has its default here and nowhere else; what a room is told has none of its own.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, get_args

import msgspec

from agent.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_STATE = Path("/var/lib/sidelog")  # StateDirectory= of the unit, and the home of its user

# A format of log lines is registered here; `agent.parse.formats` has the module of its name. `auto` takes each line for
# what it looks like, and tries the formats in this order.
Format = Literal["auto", "json", "text", "logfmt", "cri", "docker", "syslog", "combined"]
REGISTERED: tuple[str, ...] = get_args(Format)


class Within(NamedTuple):
    """Smallest and largest accepted value of a key. Beyond, a value is a slip of the unit."""

    low: float
    high: float


MIB, GIB = 2**20, 2**30
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
EVER = 1_000_000 * DAY  # as long as a duration may be
ANY_DISK = 2**60  # bytes

Seconds = Annotated[float, "duration"]  # written 250ms, 5m, 1h30m
Bytes = Annotated[int, "size"]  # written 64KiB, 2GiB
Share = Annotated[float, "share"]  # written 5%, kept as 0.05
Factor = Annotated[float, "factor"]  # written 4x
Rate = Annotated[float, "rate"]  # written 10/m, kept per second
Threshold = Annotated[float, "threshold"]  # written like the form of `when` that it belongs to
Glob = Annotated[str, "glob"]  # made absolute; `~` is the home directory
Priority = Annotated[str, "priority"]  # a name of PRIORITIES or its number
Program = Annotated[str, "program"]  # the first of a command is a path when it holds a slash
Addresses = Annotated[list[str], "addresses"]  # URLs; one alone may stand without the brackets

FIELD_ROLES = ("timestamp", "severity", "message", "logger", "service", "trace_id", "span_id")


def _home() -> Path | None:
    """Where the user lives whose rights these are: `runuser -u sidelog` leaves HOME at that of root."""
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return None


def default_store_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the store lies when nothing says so: where systemd says (StateDirectory=), else /var/lib for root and for
    the user who lives there, as the service's does, else the user's state directory (XDG).
    """
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd.exec(5)
    if given.startswith("/"):
        return Path(given) / "sidelog.db"
    if os.geteuid() == 0 or _home() == SERVICE_STATE:
        return SERVICE_STATE / "sidelog.db"
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local/state"
    return base / "sidelog" / "sidelog.db"


class RetentionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long events stay in the store; None is without a bound."""

    age: Annotated[Seconds, Within(1, EVER)] | None = 7 * DAY
    size: Annotated[Bytes, Within(65_536, ANY_DISK)] | None = 2 * GIB


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The one SQLite file. `group` None: its owner alone may read it."""

    path: Path = msgspec.field(default_factory=default_store_path)
    flush_interval: Annotated[Seconds, Within(0.001, 60)] = 0.25
    retention: RetentionConfig = RetentionConfig()
    min_free: Annotated[Bytes, Within(0, ANY_DISK)] = 256 * MIB
    group: str | None = None
    migration_copy: bool = True


class MultilineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A line that matches `start` begins an event; the others belong to the one before."""

    start: str
    timeout: Annotated[Seconds, Within(0.01, HOUR)] = 2.0


class PatternConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern of log lines: a regular expression with named groups, or the name of one (`sidelog parse --list`)."""

    pattern: str | None = None
    include: str | None = None


Patterns = Annotated[list[PatternConfig], "patterns"]  # one alone may stand without the brackets


class SignalConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the application is told to reopen its log."""

    pidfile: Path
    name: str = "HUP"


class RotateConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When and how sidelog itself rotates the files of a source. `at` is a time of day, `HH:MM` in local time."""

    size: Annotated[Bytes, Within(1, ANY_DISK)] | None = None
    every: Annotated[Seconds, Within(1, EVER)] | None = None
    at: str | None = None
    keep: Annotated[int, Within(0, 1_000_000)] = 3
    method: Literal["rename", "copytruncate"] = "rename"
    signal: SignalConfig | None = None
    command: list[Program] | None = None
    timeout: Annotated[Seconds, Within(0.1, HOUR)] = 10.0


class JournalConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of systemd's journal a source reads: those of any of the units, and any of the identifiers, and of
    at least the priority. `directory` None is this machine's journal.
    """

    units: list[str] = []
    identifiers: list[str] = []
    priority: Priority | None = None
    directory: Path | None = None


# As journalctl(1) knows them, the most urgent first; their numbers are those of syslog.
PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A set of log files that are read in the same way, or a part of a journal. `include` and `exclude` are absolute
    glob patterns.
    """

    name: str
    include: list[Glob] = []
    journal: JournalConfig | None = None
    exclude: list[Glob] = []
    format: Format | Patterns = "auto"
    start: Literal["beginning", "end"] = "beginning"
    fields: dict[str, str] = {}
    timezone: str = "UTC"
    multiline: Literal["auto", "off"] | MultilineConfig = "auto"
    max_line: Annotated[Bytes, Within(64, GIB)] = MIB
    labels: dict[str, str] = {}
    redact: list[str] = []
    rotate: RotateConfig | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """The regular expressions of `format`, those with a name too; none where it is a word."""
        if isinstance(self.format, str):
            return ()
        from agent.core.named_patterns import NAMED  # noqa: PLC0415 - most have none

        return tuple(one.pattern or NAMED[one.include or ""].text for one in self.format)

    @property
    def multiline_start(self) -> str | None:
        """The regular expression that a first line contains; None where `multiline` is a word."""
        return self.multiline.start if isinstance(self.multiline, MultilineConfig) else None

    @property
    def multiline_timeout(self) -> Seconds:
        """How long an event that may go on is held back, also where `multiline` is a word."""
        given = self.multiline if isinstance(self.multiline, MultilineConfig) else MultilineConfig(start="")
        return given.timeout


class ArchiveRetentionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long archives are kept; None is without a bound."""

    age: Annotated[Seconds, Within(1, EVER)] | None = 90 * DAY
    event_age: Annotated[Seconds, Within(1, EVER)] | None = None
    size: Annotated[Bytes, Within(65_536, ANY_DISK)] | None = 20 * GIB


class ArchiveConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to rotated files. `directory` None is `archive` beside the store; `group` None: an archive may be
    read by whoever could read its log.
    """

    directory: Path | None = None
    quiet: Annotated[Seconds, Within(0, EVER)] = MINUTE
    inactive: Annotated[Seconds, Within(1, EVER)] | None = None
    level: Annotated[int, Within(1, 22)] = 3
    delete_source: bool = True
    retention: ArchiveRetentionConfig = ArchiveRetentionConfig()
    group: str | None = None


class WhenConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a rule: exactly one form; `min` goes with `ratio` and `spike`."""

    count: Annotated[int, Within(1, 2**53)] | None = None
    rate: Rate | None = None
    ratio: Share | None = None
    spike: Factor | None = None
    new_group: bool | None = None
    regressed: bool | None = None
    absent: bool | None = None
    min: Annotated[int, Within(1, 2**53)] | None = None

    @property
    def form(self) -> str:
        """The name of the form that is set: `count`, `rate`, `ratio`, `spike`, `new_group`, `regressed`, `absent`."""
        return next((name for name in WHEN_FORMS if getattr(self, name) is not None), "")


WHEN_FORMS = ("count", "rate", "ratio", "spike", "new_group", "regressed", "absent")


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True, rename={"for_": "for"}):
    """An alert rule."""

    name: str
    match: str = ""
    when: WhenConfig
    window: Annotated[Seconds, Within(1, 31 * DAY)] = 5 * MINUTE
    per: list[str] = []
    for_: Annotated[Seconds, Within(0, 31 * DAY)] = 0.0
    resolve_below: Threshold | None = None
    repeat: Annotated[Seconds, Within(1, 1e9)] = 4 * HOUR
    group_wait: Annotated[Seconds, Within(0, HOUR)] = 0.0
    inhibited_by: list[str] = []
    mute: list[str] = []
    severity: Literal["critical", "error", "warning", "info"] = "warning"
    labels: dict[str, str] = {}
    hooks: list[str] = []


# What a webhook's body is made for; `agent.hooks.payloads` has a function of each name.
WebhookFormat = Literal["generic", "slack", "mattermost", "teams", "discord", "pagerduty", "ntfy"]


class WebhookConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook of a service that wants a body of its own. `key` is the secret that PagerDuty has in the body."""

    url: Secret
    format: WebhookFormat = "generic"
    key: Secret | None = None

    def resolve(self) -> str:
        """The address, as `Secret.resolve`."""
        return self.url.resolve()


class HookConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What runs when an alert changes its state: a program or a webhook."""

    exec: list[Program] | None = None
    webhook: Secret | WebhookConfig | None = None
    headers: dict[str, Secret] = {}
    timeout: Annotated[Seconds, Within(0.1, DAY)] = 10.0
    retries: Annotated[int, Within(0, 100)] = 5
    concurrency: Annotated[int, Within(1, 64)] = 1

    @property
    def service(self) -> WebhookConfig | None:
        """The webhook with what is said beside its address, or as if nothing were."""
        return WebhookConfig(url=self.webhook) if isinstance(self.webhook, Secret) else self.webhook


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files: the certificate with its chain, and its key. A reload reads them again when they have changed."""

    certificate: Path
    key: Path


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where health, metrics, the API and the pages are served: `HOST:PORT` or `unix:/path`. `hosts` are the names under
    which people reach it, beside that of `listen`; `public` needs no token.
    """

    listen: str = "127.0.0.1:9880"
    tls: TlsConfig | None = None
    behind_proxy: bool = False
    hosts: list[str] = []
    public: list[Literal["health", "ready", "metrics"]] = msgspec.field(
        default_factory=lambda: ["health", "ready", "metrics"]
    )


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The ClickHouse that questions are put to: several URLs are replicas, tried in turn. `ca` is a PEM file with the
    certificates that are trusted; None: those of the system.
    """

    clickhouse: Addresses
    database: str = "logs"
    user: str | None = None
    password: Secret | None = None
    ca: Path | None = None


class BatchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When what is stored is sent: as soon as any of these is reached."""

    events: Annotated[int, Within(1, 1_000_000)] = 20_000
    bytes: Annotated[Bytes, Within(65_536, GIB)] = 8 * MIB
    interval: Annotated[Seconds, Within(0.01, HOUR)] = 1.0


class HoldConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long, and up to which size of the store, retention keeps what is not forwarded yet; None: without a bound."""

    age: Annotated[Seconds, Within(1, EVER)] | None = 7 * DAY
    size: Annotated[Bytes, Within(65_536, ANY_DISK)] | None = 20 * GIB


class ForwardConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where events are forwarded to: a ClickHouse, with the keys of `EngineConfig` and `ttl`, how long its tables keep
    an event, or an OTLP receiver, with `headers`. `match` selects events; empty: all.
    """

    name: str
    clickhouse: Addresses | None = None
    otlp: str | None = None
    database: str = "logs"
    user: str | None = None
    password: Secret | None = None
    ca: Path | None = None
    headers: dict[str, Secret] = {}
    match: str = ""
    batch: BatchConfig = BatchConfig()
    hold: HoldConfig = HoldConfig()
    ttl: Annotated[Seconds, Within(DAY, EVER)] | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration, validated."""

    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    sources: list[SourceConfig] = []
    archive: ArchiveConfig | None = None
    alerts: list[RuleConfig] = []
    hooks: dict[str, HookConfig] = {}
    http: HttpConfig | None = None
    forward: list[ForwardConfig] = []
    engine: EngineConfig | None = None

    @property
    def archive_directory(self) -> Path:
        """Where the archives lie, or would."""
        named = self.archive.directory if self.archive is not None else None
        return named or self.store.path.parent / "archive"
