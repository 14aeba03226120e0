"""The generator that benchmarks and tests take their lines from."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks.generate import blocks


def test_the_same_seed_gives_the_same_bytes():
    """A figure can be measured again on the same lines."""
    first = b"".join(blocks(9_000, seed=5))
    assert first == b"".join(blocks(9_000, seed=5))
    assert first != b"".join(blocks(9_000, seed=6))


def test_lines_are_realistic():
    """About 300 bytes, nested, a few errors with stack traces, ids that differ, text beyond ASCII, rising times."""
    data = b"".join(blocks(20_000))
    events = [json.loads(line) for line in data.split(b"\n")[:-1]]
    assert len(events) == 20_000
    assert len(data) / len(events) == pytest.approx(308, rel=0.06)
    levels = Counter(event["level"] for event in events)
    assert levels["error"] / len(events) == pytest.approx(0.02, rel=0.25)
    assert all(("exception" in event) == (event["level"] == "error") for event in events)
    assert len({event["trace_id"] for event in events}) == len(events)
    assert all(len(event["trace_id"]) == 32 for event in events)
    assert not data.isascii()
    assert all(event["http"]["path"] for event in events)
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)


def test_a_burst_is_nothing_but_errors():
    """Every line of a burst has a stack trace that is one string with line breaks in it."""
    for line in b"".join(blocks(500, errors=1.0)).splitlines():
        event = json.loads(line)
        assert event["exception"].startswith("Traceback (most recent call last):\n")
