"""What was written, and whether the store has it: each line once, byte for byte, in order per file generation."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.harness import append, wait_until
from tests.needs import limited

if TYPE_CHECKING:
    from tests.integration.harness import Box


class Scribe:
    """Writes numbered lines of one stream and remembers every byte of them."""

    def __init__(self, stream: str = "s") -> None:
        self.stream = stream
        self.written: list[bytes] = []

    def lines(self, count: int, pad_bytes: int = 40) -> bytes:
        """The next lines."""
        first = len(self.written)
        self.written += [self._line(first + number, pad_bytes) for number in range(count)]
        return b"".join(line + b"\n" for line in self.written[first:])

    def append(self, path: Path, count: int = 1, pad_bytes: int = 40) -> None:
        """Append the next lines to a file."""
        append(path, self.lines(count, pad_bytes))

    def _line(self, seq: int, pad_bytes: int) -> bytes:
        pad = hashlib.sha256(f"{self.stream}/{seq}".encode()).hexdigest() * (pad_bytes // 64 + 1)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        row = {"timestamp": now, "level": "info", "message": f"größer {pad[:pad_bytes]}", "stream": self.stream}
        row["seq"] = seq
        row["sha"] = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
        return json.dumps(row, ensure_ascii=False).encode()


def stored(box: Box) -> list[tuple[int, int, bytes]]:
    """File, offset and original bytes of every event in storage order."""
    rows = box.sql('SELECT file_id, "offset", record, raw FROM events ORDER BY id')
    return [(file, offset, _bytes(record, raw)) for file, offset, record, raw in rows]


def _bytes(record: str, raw: bytes | int | None) -> bytes:
    if raw is None:
        return record.encode()
    if raw == 1:
        return record.encode() + b"\r"
    if raw == 2:
        return json.loads(record)["message"].encode()
    return raw


def settled(box: Box, *scribes: Scribe, others: int = 0, timeout_s: float = 60.0, unchanged: bool = True) -> None:
    """Wait for as many events as lines were written, then verify."""
    box.wait_count(sum(len(scribe.written) for scribe in scribes) + others, timeout_s)
    verify(box, *scribes, others=others, unchanged=unchanged)


def verify(box: Box, *scribes: Scribe, others: int = 0, unchanged: bool = True) -> None:
    """Every line of the scribes is stored exactly once, `others` events besides, and the books balance. With
    `unchanged`, files that still exist have the bytes that were stored of them.

    In order: within one file generation neither offsets nor a stream's numbers ever go back.
    """
    wanted = Counter(line for scribe in scribes for line in scribe.written)
    events = stored(box)
    found = Counter(line for _, _, line in events)
    missing, extra = wanted - found, found - wanted
    story = f"{missing.total()} lost {list(missing)[:2]!r}, {extra.total()} too many {list(extra)[:2]!r}"
    if missing or extra.total() != others:
        rows = box.sql('SELECT id, path, current_path, inode, "offset", state FROM files')
        story += f"\nfiles: {rows}"
    assert not missing, story
    assert extra.total() == others, story
    last: dict[tuple[int, str], int] = {}
    ends: dict[int, int] = {}
    for file, offset, line in events:
        assert offset >= ends.get(file, 0), "events of a file do not overlap and come in order"
        ends[file] = offset + len(line)
        if line in wanted:
            row = json.loads(line)
            assert row["seq"] > last.get((file, row["stream"]), -1)
            last[file, row["stream"]] = row["seq"]
    audit = box.run("audit", "--json")
    if unchanged:
        assert audit.returncode == 0, audit.stdout.decode()[-2000:]
    assert {row["difference"] for row in json.loads(audit.stdout)} <= {0}
    assert box.sql("PRAGMA integrity_check") == [("ok",)]


def nudge(box: Box, scribe: Scribe, path: Path) -> None:
    """Append a line to another followed file and wait for it: whatever was written before has been looked at too."""
    scribe.append(path)
    wait_until(
        lambda: box.sql("SELECT 1 FROM events WHERE instr(record, ?)", json.loads(scribe.written[-1])["sha"]),
        what="the line of the other file",
    )


def _state(thread: Path) -> str:
    """The state of a thread, as proc(5) has it: `T` is stopped."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def frozen(box: Box):
    """The agent stands still (SIGSTOP): what happens inside is seen all at once."""
    os.kill(box.process.pid, signal.SIGSTOP)
    # A busy machine takes its time to stop it, in which it would still see something.
    threads = Path(f"/proc/{box.process.pid}/task")
    wait_until(lambda: all(_state(thread) == "T" for thread in threads.iterdir()), what="the agent's standing still")
    try:
        yield
    finally:
        os.kill(box.process.pid, signal.SIGCONT)


@contextmanager
def injected(box: Box, *rules: str, paths: tuple[Path, ...] = (), calls: str = ""):
    """System calls of the running agent fail, wait or kill it as strace's `inject=` rules say, on `paths` if given.

    Gives the file with the calls that were traced.
    """
    trace = box.root / "strace.out"
    command = ["strace", "-f", "-qq", "-o", str(trace), "-p", str(box.process.pid)]
    traced = calls or ",".join(rule.partition(":")[0] for rule in rules)
    command += ["-e", f"trace={traced}", *(part for rule in rules for part in ("-e", f"inject={rule}"))]
    command += [part for path in paths for part in ("-P", str(path))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        tracer = f"TracerPid:\t{process.pid}"
        threads = Path(f"/proc/{box.process.pid}/task")
        wait_until(
            lambda: process.poll() is not None or all(tracer in (t / "status").read_text() for t in threads.iterdir()),
            what="the tracer",
        )
        if process.poll() is not None:
            limited("tracing", process.stderr.read().decode()[:200])
        yield trace
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # it waits for a call that it delays
            process.kill()
            process.wait()
        process.stderr.close()


def open_files(pid: int, below: Path) -> list[str]:
    """What a process holds open below a directory, deleted files included."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return [name for name in found if name.startswith(str(below))]


def memory_bytes(pid: int, field: str = "VmHWM") -> int:
    """A figure of /proc/PID/status; VmHWM is the most memory that was ever resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def change_store(box: Box, statement: str, *values: object) -> None:
    """Alter the store of an agent that is down: to put it into a state that takes a reboot or an old version."""
    connection = sqlite3.connect(box.store, isolation_level=None)
    try:
        connection.execute(statement, values)
    finally:
        connection.close()
