"""A directory of logs, a real store that knows them, and a rotator over both."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time

from msgspec.structs import replace

from agent.config import ArchiveConfig, Config, RotateConfig, SourceConfig
from agent.core.model import HEAD_BYTES, FileChange, FileRow
from agent.rotate.rotator import RotationTiming, Rotator
from agent.store import faults, schema, tables
from agent.tail.identity import generation, head_hash, marker


class Scene:
    """Logs in `logs/`, followed as the tailer would have it."""

    def __init__(self, root, *, check_same_thread: bool = True) -> None:
        self.root = root
        self.logs = root / "logs"
        self.logs.mkdir()
        self.log = self.logs / "app.log"
        self.connection = sqlite3.connect(root / "s.db", isolation_level=None, check_same_thread=check_same_thread)
        schema.prepare_file(self.connection)
        schema.migrate(self.connection)
        self._ids = itertools.count(1)
        self.followed: list[FileRow] = []
        self.reported: list[tuple[str, str, bool]] = []
        self.messages: list[str] = []
        self.looks = 0
        self.fault: Exception | None = None
        self.refused = 0
        self.stopped = False
        self.timing = RotationTiming()

    def configure(self, document: dict | None = None, **rotate) -> None:
        """A configuration that the commands find in the directory."""
        source = {"name": "app", "include": [f"{self.logs}/*.log"]}
        if rotate:
            source["rotate"] = rotate
        text = json.dumps({"store": {"path": str(self.root / "s.db")}, "sources": [source], **(document or {})})
        (self.root / "sidelog.yaml").write_text(text)  # YAML is a superset of JSON

    def close(self) -> None:
        self.connection.close()

    def change(self, function, *, durable):
        if self.fault is not None:
            self.refused += 1
            raise self.fault
        with faults.changing(self.connection):
            return function(self.connection)

    def report(self, error, active) -> None:
        self.reported.append((error.code, error.subject, active))
        if active:
            self.messages.append(error.message)

    def look(self) -> None:
        self.looks += 1

    def active(self) -> set[str]:
        """The codes of the conditions that hold."""
        found = set()
        for code, _, active in self.reported:
            found = found | {code} if active else found - {code}
        return found

    def rotator(self, *, archiving=False, **rotate) -> Rotator:
        config = Config(
            sources=[SourceConfig(name="app", include=["/x"], rotate=RotateConfig(**rotate))],
            archive=ArchiveConfig() if archiving else None,
        )
        return Rotator(
            config,
            lambda: list(self.followed),
            self.change,
            self.report,
            changed=self.look,
            stop=lambda: self.stopped,
            timing=self.timing,
        )

    def save(self, file) -> None:
        """Let the store have the row of a file."""
        with faults.changing(self.connection):
            tables.save_file(self.connection, FileChange(file, file.offset))
            marker = "UPDATE files SET marker_length = ?, marker_hash = ? WHERE id = ?"
            self.connection.execute(marker, (file.marker_length, file.marker_hash, file.id))

    def follow(self, path, /, *, offset=None, age_s=0.0, source="app", stored=True, **facts) -> FileRow:
        """As if the tailer had read a file up to an offset (default: its end), and stored that."""
        data = path.read_bytes()
        status = path.stat()
        offset = len(data) if offset is None else offset
        with path.open("rb") as file:
            number = generation(file.fileno())
        length, before = marker(data[:offset])
        file = FileRow(
            next(self._ids),
            source,
            str(path),
            status.st_dev,
            status.st_ino,
            number,
            offset=offset,
            head_length=min(len(data), HEAD_BYTES),
            head_hash=head_hash(data),
            marker_length=length,
            marker_hash=before,
            current_path=str(path),
            first_seen=time.time_ns() - int(age_s * 1e9),
        )
        file = replace(file, **facts)
        self.followed.append(file)
        if stored:
            self.save(file)
        return file

    def write(self, name="app.log", data=b"line\n" * 100, **facts):
        """A log with content that is followed."""
        path = self.logs / name
        path.write_bytes(data)
        self.follow(path, **facts)
        return path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.logs.iterdir())
