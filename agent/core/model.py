"""The data that travels between stages. Nothing here does I/O or knows a stage.

Names follow OpenTelemetry's log data model (https://opentelemetry.io/docs/specs/otel/logs/data-model/).
Instants are integer nanoseconds since the Unix epoch; offsets and lengths are bytes of the source file.
Structs take 0.1 µs to build, and their classes 0.03 ms: dataclasses took 1 ms each of the start of every command.
Read-only by convention.
"""

from __future__ import annotations

import msgspec

MARKER_BYTES = 256  # how much before an offset is hashed to recognise the place again
HEAD_BYTES = 1024  # how much of a file's beginning is hashed at the most


class TailedFile(msgspec.Struct):
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


class Gap(msgspec.Struct):
    """Bytes [start, end) of a file that could not become an event, with the reason and a sample (at most 1 KiB)."""

    start: int
    end: int
    reason: str  # over_long | hole | vanished | truncated
    sample: bytes = b""


class LineBatch(msgspec.Struct):
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
    gaps: list[Gap] = []  # after `data`, before the next batch; ascending
    final: bool = False
    ends: bool = False

    @property
    def end(self) -> int:
        """The offset after the last byte that this batch accounts for."""
        return self.gaps[-1].end if self.gaps else self.offset + len(self.data)


class ErrorEvent(msgspec.Struct):
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


class EventBatch(msgspec.Struct):
    """Parsed events of one LineBatch, as columns, ready for the store. Lists are parallel."""

    timestamps: list[int] = []
    severities: list[int] = []
    loggers: list[str | None] = []
    offsets: list[int] = []
    records: list[str] = []
    raws: dict[int, bytes | int] = {}  # row -> original bytes or RAW_*; absent: record
    parse_errors: dict[int, str] = {}  # row -> reason
    errors: list[ErrorEvent] = []
    gaps: list[Gap] = []
    blank_bytes: int = 0  # empty lines with their newlines
    end: int = 0  # the file is accounted for up to here; less than the LineBatch's end while lines are held back
    continuation: Continuation | None = None
    tail_open: bool = False  # the last event (of this batch or before it) may be continued by later lines

    def __len__(self) -> int:
        return len(self.records)


class Continuation(msgspec.Struct):
    """Lines at the head of a batch that belong to the last event already stored (TailedFile.tail_event_id).

    The pipeline reads that event, lets the parser join `raw` to its bytes, and updates the row in the same
    transaction.
    """

    raw: bytes  # the lines without the last one's newline, to be appended after a newline
    traces: bool = True  # whether stack traces are to be looked for in the joined event


class GroupUpdate(msgspec.Struct):
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
    minutes: dict[int, int] = {}  # Unix minute -> events
    services: dict[str, int] = {}  # service ('' for none) -> events
    template: str | None = None  # where no stack trace decides: what its messages have in common (group.miner)


class OwnError(msgspec.Struct):
    """An error of the agent itself, as the store keeps it and `status` shows it."""

    code: str
    subject: str
    message: str
    hint: str
    time: int
    active: bool = True  # False: the condition is over
    count: int = 1  # how often it happened


class StoredBatch(msgspec.Struct):
    """One file's share of a transaction: its events and where the file stands afterwards."""

    file: TailedFile
    events: EventBatch
    marker_length: int
    marker_hash: bytes
    observed_timestamp: int
    group_ids: dict[int, int] = {}  # row -> error group


class StoredRange(msgspec.Struct):
    """The events of a batch, in a transaction that is not committed yet: row r has the id `first_id` + r."""

    batch: StoredBatch
    first_id: int


class JoinedEvent(msgspec.Struct):
    """An event that later lines have continued, as a row of `events` (the columns of a StoredRange and its file)."""

    file: TailedFile
    id: int
    timestamp: int
    observed_timestamp: int
    offset: int
    before: tuple[int, int | None, str]  # severity, group, record
    after: tuple[int, int | None, str]


class Stored(msgspec.Struct):
    """What one transaction has stored, for those who look at it before it is committed."""

    ranges: list[StoredRange] = []
    joined: list[JoinedEvent] = []
    news: dict[int, str] = {}  # error group -> `new` | `regressed`


class Transaction(msgspec.Struct):
    """Everything that one commit stores. A failed commit leaves it untouched, to be tried again."""

    batches: list[StoredBatch] = []
    files: dict[int, TailedFile] = {}  # new, renamed or finished since the last commit
    groups: list[GroupUpdate] = []
    own_errors: list[OwnError] = []
    bytes: int = 0  # of source data in `batches`
    watched: bool = False  # to be committed also when it holds nothing: alerts have something to say

    def __bool__(self) -> bool:
        return bool(self.batches or self.files or self.own_errors or self.watched)
