"""An hour of mixed load on one agent: nothing may be lost, and neither memory nor open files may grow.

    python -m benchmarks.soak [--duration 1h] [--rate 500] [--report soak.json]

A writer appends to several files at once, pauses, stops in the middle of a line, and rotates by renaming and by
copying and truncating; queries and status run all the while. The first fifth of the time is for warming up. At the end
the median of the last fifth of the samples is compared with that of the first fifth after it, and every line that was
written must be stored exactly once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent.core.units import parse_seconds
from benchmarks import common, generate
from benchmarks.common import MIB

FILES = 6
ROTATE_LINES = 20_000
KEPT_ROTATIONS = 4
SAMPLE_SECONDS = 5
PATIENCE_SECONDS = 30  # for the last line
MEMORY_GROWTH = 1.025  # the last fifth of the samples against the middle one: before that, caches and heaps fill
QUESTIONS = (
    ["query", "-p", "error", "-n", "20"],
    ["query", "--by", "severity,logger", "-S", "-15m"],
    ["query", "-n", "5", "kettle"],
    ["status", "--json"],
    ["errors"],
)


@dataclass(slots=True)
class Sample:
    """One look at the agent."""

    seconds: float
    resident_bytes: int
    open_files: int
    wal_bytes: int
    cpu_seconds: float


@dataclass
class Writer:
    """Writes lines that carry (file, number), and rotates; how many were written is counted per file."""

    folder: Path
    random: random.Random
    written: list[int] = field(default_factory=lambda: [0] * FILES)
    in_file: list[int] = field(default_factory=lambda: [0] * FILES)
    pieces: list[bytes] = field(default_factory=list)

    def path(self, index: int) -> Path:
        """The file that is written now."""
        return self.folder / f"app-{index}.log"

    def append(self, index: int, count: int) -> None:
        """Append `count` lines; one time in ten the last one in two pieces."""
        block = b"".join(self.line(index) for _ in range(count))
        with self.path(index).open("ab", buffering=0) as file:
            cut = len(block) - self.random.randrange(1, 200) if self.random.random() < 0.1 else len(block)
            file.write(block[:cut])
            if cut < len(block):
                time.sleep(0.05)
                file.write(block[cut:])
        self.in_file[index] += count
        if self.in_file[index] >= ROTATE_LINES:
            self.rotate(index)

    def line(self, index: int) -> bytes:
        """One generated line with the two fields that prove that it came through."""
        if not self.pieces:
            self.pieces = next(generate.blocks(generate.BLOCK_LINES, seed=self.random.randrange(1 << 30))).splitlines()
        text = self.pieces.pop()
        self.written[index] += 1
        now = time.time_ns() // 1000
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000)) + f".{now % 1_000_000:06d}Z"
        rest = text.partition(b',"level"')[2]
        head = f'{{"timestamp":"{stamp}","stream":{index},"seq":{self.written[index]},"level"'
        return head.encode() + rest + b"\n"

    def rotate(self, index: int) -> None:
        """Files with an even number are renamed, the others copied and truncated once the copy is complete."""
        path = self.path(index)
        for number in range(KEPT_ROTATIONS, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(f"{path.name}.{number - 1}").rename(path.with_name(f"{path.name}.{number}"))
        first = path.with_name(f"{path.name}.1")
        if index % 2 == 0:
            path.rename(first)
        else:
            shutil.copy2(path, first)
            with path.open("r+b") as file:
                file.truncate(0)
        self.in_file[index] = 0


def look(pid: int, store: Path, began: float) -> Sample:
    """Read the agent's memory, open files, CPU time, and the size of the WAL."""
    wal = store.with_name(f"{store.name}-wal")
    return Sample(
        round(time.monotonic() - began, 1),
        common.resident_bytes(pid),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        wal.stat().st_size if wal.exists() else 0,
        common.cpu_seconds(pid),
    )


def show(sample: Sample, lines: int) -> None:
    """One line of progress."""
    memory, wal = sample.resident_bytes / MIB, sample.wal_bytes / MIB
    text = f"{sample.seconds:7.0f} s {lines:>10,} lines {memory:6.1f} MB {sample.open_files:4} files {wal:6.1f} MB WAL"
    print(f"\r{text}", end="", file=sys.stderr)


def load(options: argparse.Namespace, writer: Writer, store: Path, pid: int) -> list[Sample]:
    """Write, ask and look until the time is over."""
    samples: list[Sample] = []
    began = time.monotonic()
    asked = next_sample = began
    turn = written = 0
    while (now := time.monotonic()) < began + options.duration:
        due = int((now - began) * options.rate) - written
        if due > 0:
            count = min(due, writer.random.randrange(1, 400))
            writer.append(writer.random.randrange(FILES), count)
            written += count
        else:
            time.sleep(0.01)
        if now >= asked:
            question = [common.sidelog(), *QUESTIONS[turn % len(QUESTIONS)], "--store", store]
            common.run(question, cwd=store.parent, check=False)
            turn, asked = turn + 1, time.monotonic() + 2
        if now >= next_sample:
            samples.append(look(pid, store, began))
            next_sample += SAMPLE_SECONDS
            show(samples[-1], sum(writer.written))
    print(file=sys.stderr)
    return samples


def faults(samples: list[Sample]) -> list[str]:
    """What grew."""
    fifth = max(len(samples) // 5, 1)
    first, middle, last = samples[fifth : 2 * fifth], samples[2 * fifth : 3 * fifth] or samples, samples[-fifth:]
    found = []
    before, after = (common.median([sample.resident_bytes for sample in part]) for part in (middle, last))
    if after > before * MEMORY_GROWTH:
        found.append(f"memory grew from {before / MIB:.1f} to {after / MIB:.1f} MB")
    before, after = (max(sample.open_files for sample in part) for part in (first or middle, last))
    if after > before + 2:
        found.append(f"open files grew from {before:.0f} to {after:.0f}")
    if (peak := max(sample.wal_bytes for sample in samples)) > 64 * MIB:
        found.append(f"the WAL reached {peak / MIB:.0f} MB")
    return found


def check_rows(store: Path, writer: Writer) -> list[str]:
    """Every written line exactly once."""
    found = []
    with contextlib.closing(common.reader(store)) as connection:
        query = (
            "SELECT json_extract(record, '$.stream') AS stream, count(*), "
            "count(DISTINCT json_extract(record, '$.seq')) FROM events GROUP BY stream"
        )
        rows = {stream: (count, distinct) for stream, count, distinct in connection.execute(query)}
        if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            found.append("the store is damaged")
    for index, lines in enumerate(writer.written):
        count, distinct = rows.get(index, (0, 0))
        if (count, distinct) != (lines, lines):
            found.append(f"file {index}: {lines:,} lines written, {count:,} stored, {distinct:,} of them different")
            found += odd_ranges(store, index, lines)
    return found


def odd_ranges(store: Path, index: int, lines: int) -> list[str]:
    """Which lines of a file are missing or doubled, as runs of numbers, and what the store says of its files."""
    runs: list[list[int]] = []
    with contextlib.closing(common.reader(store)) as connection:
        query = (
            "SELECT json_extract(record, '$.seq') AS seq, count(*) FROM events"
            " WHERE json_extract(record, '$.stream') = ? GROUP BY seq"
        )
        stored = dict(connection.execute(query, (index,)))
        for number in range(1, lines + 1):
            times = stored.get(number, 0)
            if times != 1:
                if not runs or runs[-1][1:] != [number - 1, times]:
                    runs.append([number, number, times])
                runs[-1][1] = number
        said = [f"  {first} to {last} stored {times} times" for first, last, times in runs[:20]]
        files = 'SELECT id, current_path, inode, "offset", events, gap_bytes, state FROM files WHERE path LIKE ?'
        said += [f"  {row}" for row in connection.execute(files, (f"%app-{index}.log",))]
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=parse_seconds, default="1h")
    parser.add_argument("--rate", type=float, default=500, help="lines per second over all files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="write all samples as JSON to this file")
    options = parser.parse_args()
    with common.scratch() as folder:
        logs, store = folder / "logs", folder / "store" / "sidelog.db"
        logs.mkdir()
        writer = Writer(logs, random.Random(options.seed))
        with common.agent(folder, f"{logs}/*.log", "--store", str(store)) as process:
            common.wait_until(store.exists, "the store")
            samples = load(options, writer, store, process.pid)
            patience = time.monotonic() + PATIENCE_SECONDS
            while common.stored(store) < sum(writer.written) and time.monotonic() < patience:
                time.sleep(0.5)
        found = faults(samples) + check_rows(store, writer)
    last = samples[-1]
    if options.report:
        options.report.write_text(json.dumps([asdict(sample) for sample in samples]))
    cpu = last.cpu_seconds / sum(writer.written) * 1e6
    peak = max(sample.resident_bytes for sample in samples) / MIB
    print(f"{sum(writer.written):,} lines in {last.seconds:.0f} s, {cpu:.0f} µs CPU a line, peak {peak:.1f} MB")
    print(*found or ["no growth, every line stored exactly once"], sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
