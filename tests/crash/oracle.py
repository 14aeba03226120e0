"""Compares a store with the manifest of what was written: read-only SQL, and none of the agent's own code.

Green means: every line that no source operation itself may have lost is there once, with its very bytes, in the order
of its file; no line is there twice; nothing else is there; per file, the bytes of events and gaps follow each other
without a hole up to the offset; and SQLite finds the file whole.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.generator import Line, Manifest

_EVENTS = 'SELECT id, file_id, "offset", CAST(record AS BLOB), raw FROM events ORDER BY id'
_FILES = 'SELECT id, path, start_offset, "offset", event_bytes, blank_bytes, gap_bytes FROM files ORDER BY id'
_ATTEMPTS = 100
_GAPS = 'SELECT file_id, "from", "to" FROM gaps'


@dataclass(slots=True)
class Verdict:
    """What is wrong; all lists are empty where nothing is."""

    lines: int = 0  # written
    excused: Counter[str] = field(default_factory=Counter)  # not stored; cause in the source's operations -> lines
    lost: list[Line] = field(default_factory=list)
    doubled: list[Line] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)  # stored, but never written like that
    disordered: list[str] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)  # rows and offsets disagree
    damaged: str = ""

    @property
    def green(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.altered or self.disordered or self.unbalanced or self.damaged)

    def __str__(self) -> str:
        if self.green:
            return f"{self.lines} lines, lost 0, doubled 0, excused {dict(self.excused)}"
        parts = [f"{self.lines} lines"]
        for name in ("lost", "doubled", "altered", "disordered", "unbalanced"):
            wrong = getattr(self, name)
            if wrong:
                parts.append(f"{name} {len(wrong)}: {', '.join(map(str, wrong[:4]))}")
        return "; ".join([*parts, self.damaged] if self.damaged else parts)


def read_only(store: Path) -> contextlib.closing[sqlite3.Connection]:
    """A connection as any other program would open it."""
    return contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10))


def stored_lines(store: Path) -> set[Line]:
    """The lines that are stored at this moment; none where there is no store yet."""
    statement = "SELECT json_extract(record, '$.stream'), json_extract(record, '$.seq') FROM events"
    for attempt in range(_ATTEMPTS):
        try:
            with read_only(store) as connection:
                return set(connection.execute(statement))
        except sqlite3.OperationalError as error:
            journal = store.with_name(store.name + "-journal")  # only while it is made; later there is the WAL
            if "no such table" in str(error) or journal.exists() or not store.exists():
                return set()
            if attempt == _ATTEMPTS - 1:
                raise
        time.sleep(0.05)  # it is just being made, or mended after a crash
    raise AssertionError


def count_events(store: Path) -> int:
    """How many events are stored at this moment; 0 also while it cannot be told, because the store is being made."""
    try:
        with read_only(store) as connection:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def original(record: bytes, raw: bytes | int | None) -> bytes:
    """The stored line: the record, or what `raw` says differs from it (a carriage return, the message, bytes)."""
    if raw is None:
        return record
    if raw == 1:
        return record + b"\r"
    if raw == 2:
        return str(json.loads(record)["message"]).encode()
    assert isinstance(raw, bytes)
    return raw


def judge(store: Path, manifest: Manifest) -> Verdict:
    """Everything at the end of a run, when all has been read."""
    verdict = judge_books(store)
    verdict.lines = len(manifest.lines)
    if verdict.damaged:
        return verdict
    seen: Counter[Line] = Counter()
    last: dict[tuple[int, str], int] = {}
    streams: dict[int, str] = {}
    with read_only(store) as connection:
        for _, file_id, offset, record, raw in connection.execute(_EVENTS):
            line = original(record, raw)
            key = _key(line)
            if key is None or manifest.lines.get(key) != line:
                verdict.altered.append(f"file {file_id} at {offset}: {line[:80]!r}")
                continue
            seen[key] += 1
            stream, number = key
            if streams.setdefault(file_id, stream) != stream:
                verdict.disordered.append(f"file {file_id} holds {streams[file_id]} and {stream}")
            if last.get((file_id, stream), -1) >= number and seen[key] == 1:
                verdict.disordered.append(f"{stream} {number} after {last[file_id, stream]} in file {file_id}")
            last[file_id, stream] = number
    verdict.lost = sorted(manifest.required - seen.keys())
    verdict.doubled = sorted(key for key, times in seen.items() if times > 1)
    verdict.excused = Counter(cause for line, cause in manifest.may_be_lost.items() if line not in seen)
    return verdict


def judge_books(store: Path, *, unmade: bool = False) -> Verdict:
    """Whether rows and offsets agree and the store is whole; true at every moment, also right after a crash.

    Args:
        store: its file.
        unmade: a store without tables, whose making was interrupted, is whole too.
    """
    verdict = Verdict()
    try:
        with read_only(store) as connection:
            if unmade and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return verdict
            (found,) = connection.execute("PRAGMA integrity_check").fetchone()
            if found != "ok":
                verdict.damaged = f"integrity_check: {found}"
                return verdict
            spans: dict[int, list[tuple[int, int]]] = {}
            for _, file_id, offset, record, raw in connection.execute(_EVENTS):
                spans.setdefault(file_id, []).append((offset, offset + len(original(record, raw)) + 1))
            for file_id, start, end in connection.execute(_GAPS):
                spans.setdefault(file_id, []).append((start, end))
            for row in connection.execute(_FILES):
                verdict.unbalanced += _unbalanced(row, spans.pop(row[0], []))
            verdict.unbalanced += [f"events of an unknown file {file_id}" for file_id in spans]
    except sqlite3.Error as error:
        verdict.damaged = str(error)
    return verdict


def _unbalanced(row: tuple, spans: list[tuple[int, int]]) -> list[str]:
    """The lines of a generator are never blank, so events and gaps must cover [start, offset) without a hole."""
    file_id, path, start, offset, event_bytes, blank_bytes, gap_bytes = row
    wrong = []
    place = start
    for begin, end in sorted(spans):
        if begin != place:
            wrong.append(f"file {file_id} {path}: {place} is followed by {begin}")
        place = end
    if place != offset:
        wrong.append(f"file {file_id} {path}: rows end at {place}, the offset is {offset}")
    if event_bytes + blank_bytes + gap_bytes != offset - start:
        wrong.append(f"file {file_id} {path}: {event_bytes} + {blank_bytes} + {gap_bytes} is not {offset} - {start}")
    return wrong


def _key(line: bytes) -> Line | None:
    try:
        row = json.loads(line)
        return row["stream"], row["seq"]
    except (ValueError, TypeError, KeyError):
        return None
