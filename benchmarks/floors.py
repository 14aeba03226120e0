"""The least that ingest can cost, each part alone in its own process: reading, decoding, inserting.

    python -m benchmarks.floors FILE.log

- read: the file in chunks of 256 KiB.
- decode: msgspec takes the three fields that every event needs out of each line.
- insert: `executemany` of finished rows into the agent's own schema with its indexes, a commit each 16,000 rows,
  and the checkpoints of the WAL.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 256 * 1024
ROWS_PER_COMMIT = 16_000
INSERT = (
    'INSERT INTO events (timestamp, observed_timestamp, severity_number, file_id, "offset", record) '
    "VALUES (?, ?, ?, ?, ?, ?)"
)


def chunks(path: Path) -> Iterator[bytes]:
    """Whole lines in chunks of about CHUNK_BYTES."""
    with path.open("rb", buffering=0) as file:
        rest = b""
        while data := file.read(CHUNK_BYTES):
            cut = data.rfind(b"\n") + 1
            yield rest + data[:cut]
            rest = data[cut:]


def read(path: Path) -> tuple[float, int]:
    """CPU seconds and lines of reading alone; the lines are counted outside the measured time."""
    began = time.process_time()
    with path.open("rb", buffering=0) as file:
        while file.read(CHUNK_BYTES):
            pass
    spent = time.process_time() - began
    return spent, sum(chunk.count(b"\n") for chunk in chunks(path))


def decode(path: Path) -> tuple[float, int]:
    """CPU seconds and lines of decoding alone."""
    import msgspec

    fields = [("timestamp", str), ("level", str), ("logger", str)]
    decoder = msgspec.json.Decoder(msgspec.defstruct("Fields", fields, gc=False))
    spent, lines = 0.0, 0
    for chunk in chunks(path):
        began = time.process_time()
        lines += len(decoder.decode_lines(chunk))
        spent += time.process_time() - began
    return spent, lines


def insert(path: Path, store: Path) -> tuple[float, int]:
    """CPU seconds and rows of inserting alone."""
    from agent.store.schema import migrate, prepare_file

    connection = sqlite3.connect(store, isolation_level=None)
    prepare_file(connection)
    migrate(connection)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA synchronous = NORMAL")
    spent, rows, start = 0.0, 0, 1_790_000_000_000_000_000
    lines = itertools.chain.from_iterable(chunk.decode().split("\n")[:-1] for chunk in chunks(path))
    while batch := list(itertools.islice(lines, ROWS_PER_COMMIT)):
        values = [
            (start + row * 1_000_000, start, 17 if '"level":"error"' in line else 9, 1, row * 308, line)
            for row, line in enumerate(batch, rows)
        ]
        began = time.process_time()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, values)
        connection.execute("COMMIT")
        spent += time.process_time() - began
        rows += len(batch)
    began = time.process_time()
    connection.close()
    return spent + time.process_time() - began, rows


def child() -> None:
    """One floor in this process: NAME FILE [STORE]; prints JSON."""
    name, path, *more = sys.argv[1:]
    spent, lines = {"read": read, "decode": decode, "insert": insert}[name](Path(path), *map(Path, more))
    print(json.dumps({"us": spent / lines * 1e6, "lines": lines}))


def floors(path: Path, folder: Path, repeat: int) -> dict[str, float]:
    """Median CPU µs per line of each floor."""
    result = {}
    for name in ("read", "decode", "insert"):
        times = []
        for attempt in range(repeat):
            more = [folder / f"floor-{attempt}.db"] if name == "insert" else []
            times.append(common.run_module("floors", name, path, *more, cwd=folder)["us"])
            for file in folder.glob("floor-*"):
                file.unlink()
        result[name] = common.median(times)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with common.scratch() as folder:
        for name, micros in floors(options.file.resolve(), folder, 3).items():
            print(f"{name:8} {micros:.2f} µs per line")


if __name__ == "__main__":
    main()
