"""The data that travels between rooms. Nothing here does I/O or knows a room.

Names follow OpenTelemetry's log data model (https://opentelemetry.io/docs/specs/otel/logs/data-model/).
Instants are integer nanoseconds since the Unix epoch; offsets and lengths are bytes of the source file.
Structs take 0.1 µs to build, and their classes 0.03 ms: dataclasses took 1 ms each of the start of every command.
Read-only by convention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple

from agent.core.event import EventRow, event_row

if TYPE_CHECKING:
    from collections.abc import Iterable

MARKER_BYTES = 256  # how much before an offset is hashed to recognise the place again
JOURNAL = "journal:"  # how the paths of journals begin
STDIN = "stdin"  # the path of standard input, and the name of its source
HEAD_BYTES = 1024  # how much of a file's beginning is hashed at the most


class FileGeneration(msgspec.Struct, frozen=True):
    """One generation of one log file: what names it, and where it lies. A change makes a new value of it, so that any
    thread may read one; only the event loop makes them.

    A truncated or recreated file is a new generation with a new id, so that (id, offset) names a line for ever: `id`,
    `path` and `first_seen` never change. The inode does when reading goes on in a copy, and the head grows.

    So is one that belongs to another source now, or whose source has other labels: what was stored keeps the source and
    the resource that it was stored with. Its successor begins at the offset where it ended, with the same path and
    `first_seen`: by these the generations of one log are known (`newest_of_logs`).

    A journal, and standard input, is a stream: it has a name for a path, no inode but a number of its own, and offsets
    that count the bytes read of it.
    """

    id: int
    source: str
    path: str  # the absolute path under which it was first followed
    device: int
    inode: int
    generation: int  # FS_IOC_GETVERSION; 0 where the file system has none
    head_length: int = 0
    head_hash: bytes = b""  # blake2b-8 over the first head_length bytes
    current_path: str = ""  # where it was last seen, without symbolic links: after a rotation not `path`
    state: str = "active"  # active | rotated | finished (never read again)
    first_seen: int = 0
    last_read: int = 0
    resource: str = "{}"  # JSON object: the resource attributes of its events, which are labels and host name

    @property
    def is_stream(self) -> bool:
        """Whether there is no file: nothing of it can be found, compared, rotated or archived."""
        return not self.path.startswith("/")


class Position(msgspec.Struct, frozen=True):
    """A place in a file: its offset, and length and hash of the bytes before it (`tail.identity.marker`).

    What a file's row in the store says of it is the writer's; it tells the event loop of each commit. A place in a
    journal is known by the cursor of the entry before it, which stands in place of the hash.
    """

    offset: int = 0  # every byte before it is stored (or a blank line, or a gap)
    marker_length: int = 0
    marker_hash: bytes = b""  # blake2b-8 over the marker_length bytes before offset


class FileRow(FileGeneration, frozen=True):
    """A row of the table `files`: a generation, and how far it is stored."""

    offset: int = 0  # these three as in Position
    marker_length: int = 0
    marker_hash: bytes = b""
    profile: str | None = None  # JSON of fields.Profile: where the fields of its records are
    tail_event_id: int | None = None  # the last stored event if later lines may still continue it
    start_offset: int = 0  # where its events begin

    @classmethod
    def of(cls, file: FileGeneration, position: Position) -> FileRow:
        """What is known of a generation by those who ask where its reading stands."""
        return cls(*astuple(file)[: len(FileGeneration.__struct_fields__)], *astuple(position))

    @property
    def generation_now(self) -> FileGeneration:
        """The generation."""
        return FileGeneration(*astuple(self)[: len(FileGeneration.__struct_fields__)])

    @property
    def position(self) -> Position:
        """How far it is stored."""
        return Position(self.offset, self.marker_length, self.marker_hash)


def newest_of_logs(files: Iterable[FileRow]) -> tuple[list[FileRow], dict[int, int]]:
    """The generations without those that another one continues, because their source or its labels have changed; and
    for each id that of the first generation of the same log, by which its archives know it.

    Args:
        files: ascending by id.
    """
    newest: dict[tuple[str, int], FileRow] = {}
    known_by: dict[int, int] = {}
    kept: dict[int, FileRow] = {}
    for file in files:
        key = (file.path, file.first_seen)
        earlier = newest.get(key)
        known_by[file.id] = file.id
        if earlier is not None and file.start_offset >= earlier.offset > 0:
            del kept[earlier.id]
            known_by[file.id] = known_by[earlier.id]
        newest[key] = kept[file.id] = file
    return list(kept.values()), known_by


class FileChange(msgspec.Struct, frozen=True):
    """A file is new, renamed, finished or better known than before: its row is to be written, whether or not lines
    come.
    """

    file: FileGeneration
    offset: int  # where its reading stands; a file that the store does not know begins there
    profile: str | None = None  # None: it stays what it is
    marker_length: int = 0  # these two as in Position, of a file that the store does not know
    marker_hash: bytes = b""


class Gap(msgspec.Struct):
    """Bytes [start, end) of a file that could not become an event, with the reason and a sample (at most 1 KiB). What
    a journal has lost has no bytes that anybody knows: its gap has one for each entry.
    """

    start: int
    end: int
    reason: str  # over_long | hole | vanished | truncated | vacuumed
    sample: bytes = b""


class LineBatch(msgspec.Struct):
    """Whole lines of one file, as they lie in it: `data` ends with a newline, unless it is `final` or a hole follows.

    `final` says that no byte will follow in this generation (rotated away and drained, deleted, or `--once`): an
    unterminated last line is a line, and whatever the parser holds back is to be released. `ends` says besides that
    the generation is over: once this batch is stored, and not before, the file's state is `finished`.
    """

    file: FileGeneration
    offset: int  # of data[0] in the file
    data: bytes
    observed_timestamp: int
    before: bytes = b""  # the at most MARKER_BYTES bytes before `offset`
    gaps: list[Gap] = []  # after `data`, before the next batch; ascending
    final: bool = False
    ends: bool = False
    modified: int = 0  # Unix ns: when the file was last written as its bytes were read; 0 where that is not known
    cursor: bytes = b""  # of a journal: that of the entry before `end`

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
    raws: dict[int, bytes | int | str] = {}  # row -> as `core.event.original_of` takes it; absent: record
    parse_errors: dict[int, str] = {}  # row -> reason
    completed: dict[int, str] = {}  # row -> its instant's text, whose year or date was completed; only while parsing
    errors: list[ErrorEvent] = []
    gaps: list[Gap] = []
    blank_bytes: int = 0  # empty lines with their newlines
    end: int = 0  # the file is accounted for up to here; less than the LineBatch's end while lines are held back
    continuation: Continuation | None = None
    tail_open: bool = False  # the last event (of this batch or before it) may be continued by later lines
    cursor: bytes = b""  # of a journal: that of the entry before `end`; empty: as before

    def __len__(self) -> int:
        return len(self.records)

    def row(
        self, index: int, file_id: int, offset: int, *, number: int, observed: int, group: int | ErrorEvent | None
    ) -> EventRow:
        """One of the events as readers know it, before or without being stored.

        Args:
            index: its row here.
            file_id: of its file.
            offset: of its line in that file.
            number: its id.
            observed: when its line was read, Unix ns.
            group: its error group; of an archived event the error that tells it.
        """
        return event_row(self.values(index, file_id, offset, number, observed, group))

    def values(  # noqa: PLR0917 - called for every event that rules may count
        self, index: int, file_id: int, offset: int, number: int, observed: int, group: int | ErrorEvent | None
    ) -> tuple[Any, ...]:
        """The values of `row`, at half of its price."""
        return (
            number, self.timestamps[index], observed, self.severities[index], file_id, offset, group,
            self.records[index], self.raws.get(index), self.parse_errors.get(index),
        )  # fmt: skip


class Continuation(msgspec.Struct):
    """Lines at the head of a batch that belong to the last event already stored (FileRow.tail_event_id).

    The pipeline reads that event, lets the parser join `raw` to its bytes, and updates the row in the same
    transaction.
    """

    raw: bytes  # the lines without the last one's newline, to be appended after a newline
    traces: bool = True  # whether stack traces are to be looked for in the joined event
    format: str = "auto"  # of its source (`agent.parse.formats`)
    patterns: tuple[str, ...] = ()  # of its source's lines


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

    file: FileGeneration
    events: EventBatch
    marker_length: int
    marker_hash: bytes
    observed_timestamp: int
    group_ids: dict[int, int] = {}  # row -> error group
    profile: str | None = None  # as in FileRow
    read_bytes: int = 0  # by which the file stands further on


class StoredRange(msgspec.Struct):
    """The events of a batch, in a transaction that is not committed yet: row r has the id `first_id` + r."""

    batch: StoredBatch
    first_id: int


class JoinedEvent(msgspec.Struct):
    """An event that lines of a batch have continued, as a row of `events`."""

    batch: StoredBatch
    id: int
    timestamp: int
    observed_timestamp: int
    offset: int
    before: tuple[int, int | None, str, bytes | int | str | None]  # severity, group, record, raw
    after: tuple[int, int | None, str, bytes | int | str | None]


class Stored(msgspec.Struct):
    """What one transaction has stored, for those who look at it before it is committed."""

    ranges: list[StoredRange] = []
    joined: list[JoinedEvent] = []
    news: dict[int, str] = {}  # error group -> `new` | `regressed`


class Transaction(msgspec.Struct):
    """Everything that one commit stores. A failed commit leaves it untouched, to be tried again."""

    batches: list[StoredBatch] = []
    files: dict[int, FileChange] = {}  # of each file that has changed since the last commit, as it is now
    groups: list[GroupUpdate] = []
    own_errors: list[OwnError] = []
    bytes: int = 0  # of source data in `batches`
    events: int = 0  # in `batches`
    watched: bool = False  # to be committed also when it holds nothing: alerts have something to say

    def __bool__(self) -> bool:
        return bool(self.batches or self.files or self.own_errors or self.watched)
