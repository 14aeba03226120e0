"""The data that travels between stages. Nothing here does I/O or knows a stage.

Names follow OpenTelemetry's log data model (https://opentelemetry.io/docs/specs/otel/logs/data-model/).
Instants are integer nanoseconds since the Unix epoch; offsets and lengths are bytes of the source file.
Read-only by convention: slots alone cost 0.1 µs to build, frozen dataclasses ten times that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MARKER_BYTES = 256  # how much before an offset is hashed to recognise the place again
HEAD_BYTES = 1024  # how much of a file's beginning is hashed at the most


@dataclass(slots=True)
class TailedFile:
    """One generation of one log file, as the tailer knows it and the store remembers it (table `files`).

    A truncated or recreated file is a new generation with a new id, so that (id, offset) names a line for ever.
    """

    id: int
    source: str
    path: str  # the absolute path under which it was first followed
    device: int
    inode: int
    generation: int  # FS_IOC_GETVERSION; 0 where the file system has none
    offset: int = 0  # every byte before it is stored (or a blank line, or a gap)
    head_length: int = 0
    head_hash: bytes = b""  # blake2b-8 over the first head_length bytes
    marker_length: int = 0
    marker_hash: bytes = b""  # blake2b-8 over the marker_length bytes before offset
    current_path: str = ""  # where it was last seen: after a rotation not `path`
    state: str = "active"  # active | rotated | finished (never read again)
    profile: str | None = None  # JSON of profile.Profile: where the fields of its records are
    tail_event_id: int | None = None  # the last stored event if later lines may still continue it
    first_seen: int = 0
    last_read: int = 0


@dataclass(slots=True)
class Gap:
    """Bytes [start, end) of a file that could not become an event, with the reason and a sample (at most 1 KiB)."""

    start: int
    end: int
    reason: str  # over_long | hole | vanished | truncated
    sample: bytes = b""


@dataclass(slots=True)
class LineBatch:
    """Whole lines of one file, as they lie in it: `data` ends with a newline unless `final`.

    `final` says that no byte will follow in this generation (rotated away and drained, deleted, or `--once`): an
    unterminated last line is a line, and whatever the parser holds back is to be released. `ends` says besides that
    the generation is over: once this batch is stored, and not before, the file's state is `finished`.
    """

    file: TailedFile
    offset: int  # of data[0] in the file
    data: bytes
    observed_timestamp: int
    before: bytes = b""  # the at most MARKER_BYTES bytes before `offset`
    gaps: list[Gap] = field(default_factory=list)  # after `data`, before the next batch; ascending
    final: bool = False
    ends: bool = False

    @property
    def end(self) -> int:
        """The offset after the last byte that this batch accounts for."""
        return self.gaps[-1].end if self.gaps else self.offset + len(self.data)


@dataclass(slots=True)
class ErrorEvent:
    """What grouping needs of an event with severity ERROR or above; `index` is its row in the EventBatch."""

    index: int
    timestamp: int
    severity_number: int
    message: str
    logger: str | None = None
    service: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None
    stacktrace: str | None = None
    fingerprint: str | None = None  # explicit, from the line itself


@dataclass(slots=True)
class EventBatch:
    """Parsed events of one LineBatch, as columns, ready for the store. Lists are parallel."""

    timestamps: list[int] = field(default_factory=list)
    severities: list[int] = field(default_factory=list)
    loggers: list[str | None] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    raws: dict[int, bytes | int] = field(default_factory=dict)  # row -> original bytes or RAW_*; absent: record
    parse_errors: dict[int, str] = field(default_factory=dict)  # row -> reason
    errors: list[ErrorEvent] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    blank_bytes: int = 0  # empty lines with their newlines
    end: int = 0  # the file is accounted for up to here; less than the LineBatch's end while lines are held back
    continuation: Continuation | None = None
    tail_open: bool = False  # the last event (of this batch or before it) may be continued by later lines

    def __len__(self) -> int:
        return len(self.records)


@dataclass(slots=True)
class Continuation:
    """Lines at the head of a batch that belong to the last event already stored (TailedFile.tail_event_id).

    The pipeline reads that event, lets the parser join `raw` to its bytes, and updates the row in the same
    transaction.
    """

    raw: bytes  # the lines without the last one's newline, to be appended after a newline
    traces: bool = True  # whether stack traces are to be looked for in the joined event


@dataclass(slots=True)
class GroupUpdate:
    """What one transaction adds to one error group: a new group's description, or an old one's counts."""

    id: int
    fingerprint: str
    fingerprint_version: int
    title: str
    culprit: str | None
    exception_type: str | None
    category: str
    service: str | None
    severity_number: int
    first_seen: int
    last_seen: int
    count: int = 0
    minutes: dict[int, int] = field(default_factory=dict)  # Unix minute -> events
    services: dict[str, int] = field(default_factory=dict)  # service ('' for none) -> events
    template: str | None = None  # where no stack trace decides: what its messages have in common (group.miner)


@dataclass(slots=True)
class OwnError:
    """An error of the agent itself, as the store keeps it and `status` shows it."""

    code: str
    subject: str
    message: str
    hint: str
    time: int
    active: bool = True  # False: the condition is over
    count: int = 1  # how often it happened


@dataclass(slots=True)
class StoredBatch:
    """One file's share of a transaction: its events and where the file stands afterwards."""

    file: TailedFile
    events: EventBatch
    marker_length: int
    marker_hash: bytes
    observed_timestamp: int
    group_ids: dict[int, int] = field(default_factory=dict)  # row -> error group


@dataclass(slots=True)
class StoredRange:
    """The events of a batch, in a transaction that is not committed yet: row r has the id `first_id` + r."""

    batch: StoredBatch
    first_id: int


@dataclass(slots=True)
class JoinedEvent:
    """An event that later lines have continued, as a row of `events` (the columns of a StoredRange and its file)."""

    file: TailedFile
    id: int
    timestamp: int
    observed_timestamp: int
    offset: int
    before: tuple[int, int | None, str]  # severity, group, record
    after: tuple[int, int | None, str]


@dataclass(slots=True)
class Stored:
    """What one transaction has stored, for those who look at it before it is committed."""

    ranges: list[StoredRange] = field(default_factory=list)
    joined: list[JoinedEvent] = field(default_factory=list)
    news: dict[int, str] = field(default_factory=dict)  # error group -> `new` | `regressed`


@dataclass(slots=True)
class Transaction:
    """Everything that one commit stores. A failed commit leaves it untouched, to be tried again."""

    batches: list[StoredBatch] = field(default_factory=list)
    files: dict[int, TailedFile] = field(default_factory=dict)  # new, renamed or finished since the last commit
    groups: list[GroupUpdate] = field(default_factory=list)
    own_errors: list[OwnError] = field(default_factory=list)
    bytes: int = 0  # of source data in `batches`
    watched: bool = False  # to be committed also when it holds nothing: alerts have something to say

    def __bool__(self) -> bool:
        return bool(self.batches or self.files or self.own_errors or self.watched)
