"""Fuzzes the parser with whatever bytes a file can hold, cut into batches anywhere.

    python -m tests.fuzz_parse --seconds 60        guided by coverage where atheris is installed, at random otherwise
    python -m tests.fuzz_parse --replay crash-…    one input again

What must hold for every input: nothing is raised; every byte is an event's, a blank line's or a gap's, the original
bytes come back from what is stored, and every record is JSON for SQLite. The comparison is the one that `sidelog
audit` makes with real files.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sqlite3
import sys
import tempfile
import time
import tomllib
from pathlib import Path

CASES = Path(__file__).parent / "cases"
OBSERVED = 1_795_327_455_000_000_000
HEADER_BYTES = 6  # of an input: settings, and the seed of the batches
PIECES = (
    *(b"\n", b"\r\n", b"\0\0", b"{", b"}", b'"', b"\\u00", b"\xff", b"\xe2\x80\xa8", b"1e999", b"NaN", b"\xef\xbb\xbf"),
    *(b'{"level":"error","message":"', b"Traceback (most recent call last):\n", b"    at a.b(C.java:1)\n", b"  File "),
    *(
        b"Caused by: ",
        b"2026-11-22T03:04:05.678Z stdout P ",
        b"2026-11-22 03:04:05,678 ERROR ",
        b"password=",
        b"[" * 99,
    ),
)


def load():
    """What is fuzzed; imported late, so that atheris can instrument it."""
    from agent.core.event import original_of
    from agent.core.model import FileGeneration, Gap, LineBatch
    from agent.parse.decode import FileParser, join
    from agent.store.compare import FileAudit, StoredGap, Window
    from tests.sources import parsing

    class Memory(Window):
        """A file in memory."""

        def __init__(self, data):
            self._data, self.size, self._start, self._block, self.failed = data, len(data), 0, b"", False

        def _pread(self, start, length):
            return self._data[start : start + length]

        def has_shrunk(self):
            return False

    return argparse.Namespace(**{kind.__name__: kind for kind in (
        FileGeneration, Gap, LineBatch, FileParser, parsing, join, original_of, FileAudit, StoredGap, Memory
    )})  # fmt: skip


class Target:
    """One call checks one input."""

    def __init__(self, parts):
        self._parts = parts
        self._sqlite = sqlite3.connect(":memory:")
        settings = parts.parsing
        self._settings = [
            settings(),
            settings(max_line_bytes=200),
            settings(multiline="off"),
            settings(multiline="start", multiline_start=r"^\d"),
            settings(format="json"),
            settings(format="text", timezone="Europe/Berlin"),
            settings(redact=("password", "msg")),
            settings(fields={"timestamp": "a.b", "severity": "lvl", "message": "m"}),
        ]

    def close(self) -> None:
        """Close the SQLite that judges the records."""
        self._sqlite.close()

    def __call__(self, data: bytes) -> None:
        """Parse the content after the header in batches of whole lines, store, join, and compare."""
        header, content = data[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0"), data[HEADER_BYTES:]
        settings = self._settings[header[0] % len(self._settings)]
        chosen = random.Random(header[1:])
        stored: list[list] = []
        gaps: list = []
        blank = self._parse(settings, content, chosen, stored, gaps)
        self._compare(content, stored, gaps, blank)
        for _, record, _ in stored:
            assert self._sqlite.execute("SELECT json_valid(?)", (record,)).fetchone() == (1,), record
            assert isinstance(json.loads(record, parse_int=str), dict)

    def _parse(self, settings, content, chosen, stored, gaps) -> int:
        parts = self._parts
        file = parts.FileGeneration(1, "s", "/p", 0, 0, 0)
        parser = parts.FileParser(settings, None, clock=lambda: 0.0)
        end = blank = 0
        self._tail_open = False
        for batch in self._batches(file, content, chosen):
            outs = [parser.feed(batch, tail_open=self._tail_open)]
            if chosen.random() < 0.1 and not batch.final:
                outs.append(parser.flush())
            for out in outs:
                end, blank = self._store(out, stored, gaps, end), blank + out.blank_bytes
            if chosen.random() < 0.1 and not batch.final:  # a restart: what is held back is read again
                parser = parts.FileParser(settings, parser.profile, clock=lambda: 0.0)
                batch = parts.LineBatch(file, end, content[end : batch.end], OBSERVED, content[max(0, end - 256) : end])  # noqa: PLW2901
                out = parser.feed(batch, tail_open=self._tail_open)
                end, blank = self._store(out, stored, gaps, end), blank + out.blank_bytes
        assert end == len(content), (end, len(content))
        return blank

    def _batches(self, file, content, chosen):
        offset = 0
        while True:
            size = chosen.choice((1, 30, 300, 3000, 1 << 20))
            end = content.find(b"\n", offset + size) + 1 or len(content)
            final = end == len(content)
            yield self._parts.LineBatch(
                file, offset, content[offset:end], OBSERVED, content[max(0, offset - 256) : offset], final=final
            )
            if final:
                return
            offset = end

    def _store(self, out, stored, gaps, end) -> int:
        """As the writer does it: later lines join the last event, the rest is appended."""
        assert out.end >= end, (out.end, end)
        if out.continuation is not None:
            assert self._tail_open
            last = stored[-1]
            last[1], last[2], _ = self._parts.join(last[1], last[2], out.continuation)
        for row, record in enumerate(out.records):
            stored.append([out.offsets[row], record, out.raws.get(row)])
        gaps += out.gaps
        if len(out) or not out.tail_open:
            self._tail_open = out.tail_open and bool(stored)
        return out.end

    def _compare(self, content, stored, gaps, blank) -> None:
        parts = self._parts
        originals = [parts.original_of(record.encode(), raw) for _, record, raw in stored]
        gap_bytes = sum(gap.end - gap.start for gap in gaps)
        audit = parts.FileAudit(1, "/p", "/p", "s", "active", offset=len(content), events=len(stored))
        audit.blank_bytes, audit.gap_bytes = blank, gap_bytes
        audit.event_bytes = len(content) - blank - gap_bytes
        audit.gaps = [parts.StoredGap(gap.start, gap.end, gap.reason) for gap in gaps]
        window = parts.Memory(content)
        if stored:
            audit.take([row[0] for row in stored], originals, window)
        audit.finish(window)
        assert audit.complete, audit.differences


def seeds():
    """Inputs of the corpus: the lines of all cases, alone and together."""
    cases = [case for path in sorted(CASES.glob("*.toml")) for case in tomllib.loads(path.read_text())["case"]]
    lines = [case["input"].encode() if "input" in case else case["bytes"].encode("latin-1") for case in cases]
    return [bytes([n % 8, *b"\1\2\3\4\5"]) + line for n, line in enumerate([*lines, b"".join(lines)])]


def at_random(target, seconds: float, seed: int) -> int:
    """Without atheris: pieces and seeds, mutated and joined."""
    chosen = random.Random(seed)
    corpus = seeds()
    end = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < end:
        data = bytearray(chosen.choice(corpus)[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0"))
        data[:HEADER_BYTES] = chosen.randbytes(HEADER_BYTES)
        for _ in range(chosen.randint(1, 12)):
            data += chosen.choice((chosen.choice(PIECES), chosen.choice(corpus)[HEADER_BYTES : HEADER_BYTES + 2000]))
        for _ in range(chosen.randint(0, 6)):
            place = chosen.randrange(HEADER_BYTES, len(data))
            data[place : place + chosen.randint(0, 3)] = chosen.choice((chosen.choice(PIECES), chosen.randbytes(1)))
        try:
            target(bytes(data))
        except Exception:
            report(bytes(data))
            raise
        runs += 1
    return runs


def report(data: bytes) -> None:
    """Keep an input that failed."""
    with tempfile.NamedTemporaryFile(prefix="crash-", delete=False) as file:
        file.write(data)
    print(f"fuzz_parse: failed; again with: python -m tests.fuzz_parse --replay {file.name}")  # noqa: T201


def guided(atheris, seconds: float, seed: int) -> None:
    """With atheris; does not return."""
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-parse-"))
    for number, data in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    with atheris.instrument_imports(include=["agent.parse", "agent.core.fields"]):
        target = Target(load())
    options = (
        f"-max_total_time={int(seconds)}",
        f"-seed={seed}",
        "-max_len=8192",
        "-verbosity=1",
        "-print_final_stats=1",
    )
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}/", str(corpus)], target)
    print(f"fuzz_parse: {seconds:.0f} s guided by coverage, corpus and failures in {corpus}", flush=True)  # noqa: T201
    atheris.Fuzz()


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz_parse")
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    options.add_argument("--replay", type=Path)
    options.add_argument("--unguided", action="store_true", help="at random even where atheris is installed")
    chosen = options.parse_args()
    if chosen.replay:
        with contextlib.closing(Target(load())) as target:
            target(chosen.replay.read_bytes())
        return
    if not chosen.unguided:
        try:
            import atheris
        except ImportError:
            print("fuzz_parse: atheris is not installed (pip install atheris): at random instead")  # noqa: T201
        else:
            guided(atheris, chosen.seconds, chosen.seed)
    runs = at_random(Target(load()), chosen.seconds, chosen.seed)
    print(f"fuzz_parse: {runs:,} inputs in {chosen.seconds:.0f} s, seed {chosen.seed}: nothing found")  # noqa: T201


if __name__ == "__main__":
    main()
