"""The audit of files in which the lines of two streams alternate, and of what has become of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.store.compare import FileAudit, Window
from agent.store.woven import Woven
from tests.parse.effort import examples
from tests.parse.test_streams import TRACE, file_of, forms, parse, woven_lines
from tests.sources import parsing


def audited(data: bytes, out, path, rows=None, *, gone: bool = False) -> FileAudit:
    """The audit of a file whose events are these; `rows` are those that are in the store."""
    originals = [original_of(record, out.raws.get(row)) for row, record in enumerate(out.records)]
    rows = range(len(out)) if rows is None else rows
    file = FileAudit(1, "/p", "/p", "s", "active", len(data), 0, len(out), len(data), out.blank_bytes)
    path.write_bytes(data)
    with path.open("rb") as handle:
        window = None if gone else Window(handle.fileno())
        for row in rows:
            file.take([out.offsets[row]], [originals[row]], window)
        file.finish(window)
    return file


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("woven") / "a.log"


@settings(max_examples=examples(100), deadline=None)
@given(woven_lines, forms, st.booleans())
def test_a_file_of_two_streams_is_complete(path, rows, form, gone):
    data, _ = file_of(rows, form)
    events = parse(data)
    file = audited(data, events, path, gone=gone)
    assert file.differences == []
    assert file.compared_bytes == (0 if gone else len(data))


def usual(form: str) -> tuple[bytes, object]:
    rows = [*[("stderr", text, "F") for text in TRACE], ("stderr", "ERROR: next", "F")]
    for place in (1, 3, 5):
        rows.insert(place, ("stdout", f"line {place}", "F"))
    data, _ = file_of(rows, form)
    return data, parse(data)


@pytest.mark.parametrize("form", ["docker", "cri"])
@pytest.mark.parametrize("lost", range(5))
@pytest.mark.parametrize("gone", [False, True])
def test_an_event_that_is_missing_is_noticed(path, form, lost, gone):
    data, out = usual(form)
    rows = [row for row in range(len(out)) if row != lost]
    assert not audited(data, out, path, rows, gone=gone).complete


@pytest.mark.parametrize("form", ["docker", "cri"])
@pytest.mark.parametrize("place", range(8))
def test_a_line_that_is_another_one_is_noticed(path, form, place):
    data, out = usual(form)
    lines = data.split(b"\n")
    lines[place] = lines[place].replace(b"e", b"E")
    assert not audited(b"\n".join(lines), out, path).complete


@pytest.mark.parametrize("gone", [False, True])
def test_of_a_redacted_event_lines_lie_behind_those_of_others(path, gone):
    rows = [("stderr", TRACE[0], "F"), ("stdout", "x", "F"), ("stderr", "ValueError: password=hunter2", "F")]
    data, _ = file_of([*rows, ("stdout", "y", "F")], "cri")
    out = parse(data, parsing(redact=["password"]))
    file = audited(data, out, path, gone=gone)
    assert file.differences == []


def test_lines_of_deleted_events_may_lie_behind_the_first_that_is_there(path):
    data, out = usual("cri")
    originals = [original_of(record, out.raws.get(row)) for row, record in enumerate(out.records)]
    file = FileAudit(1, "/p", "/p", "s", "active", len(data), 0, len(out), len(data))
    file.resync = True
    path.write_bytes(data)
    with path.open("rb") as handle:
        window = Window(handle.fileno())
        for row in range(1, len(out)):
            file.take([out.offsets[row]], [originals[row]], window)
        file.finish(window)
    assert file.differences == []


def test_of_a_file_that_is_gone_lengths_are_all_there_is():
    lines = Woven()
    lines.begin(0, b"aa\nbb\ncc", hidden=False)
    assert lines.take(3, 5, None) == 5
    assert lines.take(7, 10, None) == 10
    assert lines.end() == [(0, 1)]
    lines.begin(0, b"aa\nbb", hidden=False)
    assert lines.take(3, 9, None) == 6
    assert lines.end() == []


def test_lines_of_one_length_in_both_streams_are_told_apart_in_neither(path):
    """Which stream a line is of is not to be known of a file that is gone."""
    rows = [
        ("stderr", "Traceback (most recent call last):", "F"),
        ("stdout", "Traceback (most recent call last):", "F"),
    ]
    rows += [(name, text, "F") for text in ("  File", "KeyError") for name in ("stdout", "stderr", "stdout")]
    data, _ = file_of(rows, "cri")
    assert audited(data, parse(data), path, gone=True).differences == []
