"""Every case of tests/cases/*.toml: input bytes to expected events. A new case needs no code.

A case has `name`, where docs/formats.md shows it `family`, `input` (text; or `bytes`, Latin-1 text with \\x escapes
as TOML writes them), optional `settings`
(of ParseSettings), and `events`, a list of what must hold of each event; `gaps` and `blank` where there are any.
"""

from __future__ import annotations

import sqlite3
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.core.event import original_of
from agent.core.fields import load_record, read_fields
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser
from tests.sources import parsing

FOLDER = Path(__file__).parent.parent / "cases"
OBSERVED = 1_795_327_455_000_000_000  # 2026-11-22T06:04:15Z
CASES = [
    pytest.param(case, id=f"{path.stem}-{case['name']}")
    for path in sorted(FOLDER.glob("*.toml"))
    for case in tomllib.loads(path.read_text())["case"]
]


def iso(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def facts(out, row: int, parser: FileParser) -> dict:
    record = load_record(out.records[row])
    fields = read_fields(record, parser.profile)
    error = next((e for e in out.errors if e.index == row), None)
    raw = out.raws.get(row)
    return {
        "timestamp": "observed" if out.timestamps[row] == OBSERVED else iso(out.timestamps[row]),
        "severity": out.severities[row],
        "logger": out.loggers[row],
        "message": fields.body,
        "service": fields.service,
        "trace_id": fields.trace_id,
        "span_id": fields.span_id,
        "attributes": fields.attributes(record),
        "record": record,
        "offset": out.offsets[row],
        "parse_error": out.parse_errors.get(row),
        "raw": {None: "record", 1: "cr", 2: "message"}.get(raw if not isinstance(raw, bytes) else -1, "bytes"),
        "type": error and error.exception_type,
        "exception": error and error.exception_message,
        "stack": error and error.stacktrace,
        "error_message": error and error.message,
        "fingerprint": error and error.fingerprint,
    }


def lies_at(offset: int, original: bytes, data: bytes) -> bool:
    """Whether an event begins there, and its other lines follow, perhaps between those of another stream."""
    first, *rest = original.split(b"\n")
    place = offset + len(first)
    for line in rest:
        place = data.find(b"\n" + line, place) + 1
        if not place:
            return False
        place += len(line)
    return data.startswith(first, offset)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("repeat", [1, 40], ids=["careful", "bulk"])
def test_case(case, repeat):
    """The case alone, and forty times over, so that JSON goes the fast path."""
    data = case["bytes"].encode("latin-1") if "bytes" in case else case["input"].encode()
    expected = case["events"]
    if repeat > 1 and (case.get("once") or not data.endswith(b"\n")):
        repeat = 1
    parser = FileParser(parsing(**case.get("settings", {})))
    file = FileGeneration(1, "s", "/p", 0, 0, 0)
    out = parser.feed(LineBatch(file, 0, data * repeat, OBSERVED, final=True))
    assert len(out) == len(expected) * repeat, out.records
    for row in range(len(out)):
        wanted = expected[row % len(expected)]
        found = facts(out, row, parser)
        for key, value in wanted.items():
            if key == "stack":
                assert value in (found["stack"] or ""), (key, found)
            elif key == "parse_error" and value:
                assert value in (found["parse_error"] or ""), found
            elif key == "offset":
                assert found["offset"] - row // len(expected) * len(data) == value
            else:
                assert found[key] == (value if value != "" or key == "message" else None), (key, found)
        if "parse_error" not in wanted and wanted.get("timestamp") != "observed":
            torn = row == len(out) - 1 and not data.endswith(b"\n")
            assert found["parse_error"] == ("unterminated" if torn else None)
    gaps = [[gap.reason, gap.start, gap.end] for gap in out.gaps[: len(out.gaps) // repeat]]
    assert gaps == case.get("gaps", [])
    assert out.blank_bytes == case.get("blank", 0) * repeat
    assert out.end == len(data) * repeat
    with sqlite3.connect(":memory:") as db:
        assert all(db.execute("SELECT json_valid(?)", (record,)).fetchone()[0] for record in out.records)
    db.close()
    if not case.get("settings", {}).get("redact"):
        for row, record in enumerate(out.records):
            assert lies_at(out.offsets[row], original_of(record, out.raws.get(row)), data * repeat)
