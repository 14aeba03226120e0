"""Of a frame of text with an event a line, parsing the lines that may match gives what parsing all of them gives."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.archive.frames import index_frame
from agent.archive.salvage import FramePlace
from agent.core.model import FileGeneration, LineBatch
from agent.core.stored import FileInfo
from agent.parse.decode import FileParser
from agent.query.archives import search
from agent.query.archives.needles import are_lone
from agent.query.archives.plan import FramePlan, FrameRef, SearchedArchive
from agent.query.archives.search import Searcher
from agent.query.language import Selection, parse_query
from tests.sources import parsing

OBSERVED = 1_795_400_000 * 10**9  # 2026-11-23
HEADS = [
    "2026-11-22 03:04:05 ERROR shop: ", "2026-11-22 03:04:06,123 INFO other: ", "03:04:05 WARN ", "03:04:04 ",
    "Dec 31 23:59:59 web1 cron[7]: ", "Jan  1 00:00:01 web1 cron[7]: ", "level=error msg=", "ERROR: ", "",
    "Caused by: ", "panic: ", "goroutine 1 [", "main.(*Cart).", "Traceback (most recent call last):", "# Time: ",
    '1.2.3.4 - - [22/Nov/2026:03:04:05 +0000] "GET /', "<13>1 2026-11-22T03:04:05Z web1 shop 7 - - ", "WARNING:",
    "  ", "{", "\x1b[31m", "\\x22", "at com.example.", "[22/Nov/2026 03:04:05] ", "\x00", "\ufeff",
]  # fmt: skip
ENDS = ["needle", "straw", "needle {}", 'needle {"a":1}', "ValueError: needle", "\x1b[0mneedle", "", "größe needle"]
LINES = st.builds("{}{}".format, st.sampled_from(HEADS), st.sampled_from(ENDS))
ALIKE = st.builds(
    lambda head, ends: [head + end for end in ends], st.sampled_from(HEADS), st.lists(st.sampled_from(ENDS), max_size=9)
)
LOGS = st.lists(ALIKE, max_size=4).map(lambda parts: [line for part in parts for line in part]) | st.lists(LINES)


def rows(data: bytes, rules) -> list:
    """What a search for `needle` finds in a frame."""
    parser = FileParser(rules)
    batch = parser.feed(LineBatch(FileGeneration(0, "", "", 0, 0, 0), 0, data, OBSERVED, final=True))
    frame = index_frame(data, 0, rules, search.FrameParser(rules, parser.profile, OBSERVED, OBSERVED))
    assert len(batch) == frame.events
    info = FileInfo(-1, "app", "/app.log", {}, parser.profile, (0, 0, 0), len(data))
    file = SearchedArchive(
        path=Path("x"),
        link="",
        file=info,
        settings=rules,
        profile=parser.profile,
        read_by=OBSERVED,
        observed=OBSERVED,
        bytes=len(data),
        redacted=False,
        hot=(-1, 0),
    )
    lone = frame.lines == frame.events
    ref = FrameRef(1, 0, FramePlace(0, 0, 0), 0, 0, 0, frame.events, "{}", frame.shape, lone, whole=True)
    searcher = Searcher(FramePlan({1: file}, [ref]), Selection(parse_query("needle")))
    found = [(row.offset, row.timestamp, row.record, row.raw) for row in searcher._rows(ref, file, data)]
    return [row for row in found if "needle" in row[2]]


@pytest.mark.parametrize("format_", ["auto", "text"])
@given(lines=LOGS, end=st.sampled_from(["\n", ""]))
@example(lines=[HEADS[1] + "straw", "Caused by: needle", HEADS[0] + "needle", "Caused by: needle"], end="\n")
@example(lines=["Dec 31 23:59:59 web1 cron[7]: needle", "Jan  1 00:00:01 web1 cron[7]: needle"], end="\n")
@settings(max_examples=300, deadline=None)
def test_lines_alone_are_what_they_are_in_their_log(format_, lines, end):
    data = ("\n".join(lines) + end).encode() if lines else b""
    rules = parsing(format=format_)
    found = rows(data, rules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "are_lone", lambda _: False)
        assert found == rows(data, rules)


def test_few_of_many_lines_are_parsed(monkeypatch):
    data = b"".join(b"2026-11-22 03:04:05 INFO shop: straw %d\n" % number for number in range(500))
    data += b"2026-11-22 03:04:05 INFO shop: needle\n"
    parsed = []
    events = Searcher._events
    monkeypatch.setattr(Searcher, "_events", lambda *args: parsed.append(len(args[4])) or events(*args))
    assert len(rows(data, parsing())) == 1
    assert parsed == [1]


@pytest.mark.parametrize("line", ["{}", " x", "[", '\ufeff{"a":1}', "\x1b[31mx", "\\x22", "\0x", ""])
def test_a_line_that_may_need_another_is_not_alone(line):
    assert not are_lone(f"{line}\n".encode())
    assert not are_lone(f"x\n{line}\n".encode())
    assert are_lone(b"x\n\xc3\xb6\n")
