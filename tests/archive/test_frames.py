"""However a log is cut, no byte is lost and no event is torn: its frames have the events that it has as a whole."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.archive.frames import WRAPPED, FrameParser, FrameSplitter, index_frame
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser
from tests.sources import parsing

OBSERVED = 1_795_400_000 * 10**9  # 2026-11-23
SETTINGS = parsing()
TODAY, OLD_YEAR = "Nov 22 03:04:05 web1 cron[7]: today", "Dec 31 23:59:59 web1 cron[7]: the old year"
TEXTS = [
    "2026-11-22 03:04:05 ERROR shop: it broke",
    "Traceback (most recent call last):",
    '  File "a.py", line 3, in f',
    "    raise ValueError(1)",
    "ValueError: 1",
    "",
    "plain text",
    "\tat com.example.Main.run(Main.java:5)",
    "2026-11-22 03:04:06,123 INFO other: größer",
    OLD_YEAR,
    "Jan  1 00:00:01 web1 cron[7]: the new year",
    TODAY,
    '{"log":"x\\n","stream":"stdout","time":"23:00:00"}',
    '{"log":"x\\n","stream":"stdout","time":"11:00:00"}',
]
ARRAYS = [
    "[", "]", ",", "],", "{", "  {", "}", "  },", '"a": 1,', '"a": 1', "{}", ',{"a":1}', '  {"a":1},', "{x}", " ]",
    "\t,", "[ ", "\0" * 70 + '  {"a":1},', "\0" * 70 + "]", ' ,\r{"a":1}', '\ufeff  {"a":1}', '\x1e{"a":1}', " ",
]  # fmt: skip
JSON = [json.dumps({"timestamp": f"2026-11-22T03:04:{n:02d}Z", "level": "info", "n": n}) for n in range(60)]
LINES = st.lists(st.sampled_from(JSON) | st.sampled_from(TEXTS) | st.sampled_from(ARRAYS), max_size=60)
LOGS = st.builds(lambda lines, end: ("\n".join(lines) + end).encode(), LINES, st.sampled_from(["\n", "", "\r\n"]))


def whole(data: bytes, profile) -> list:
    batch = FileParser(SETTINGS, profile, recorded=True).feed(
        LineBatch(FileGeneration(0, "", "", 0, 0, 0), 0, data, OBSERVED, final=True)
    )
    return list(zip(batch.offsets, batch.timestamps, batch.severities, batch.records, strict=True))


@given(LOGS, st.integers(1, 700), st.integers(1, 300))
@example(b"[\n2026-11-22 03:04:05 ERROR shop: it broke\n", 1, 1)
@example(b'{"a":1}\n[\n\n[\nplain text\n[\n{"a":1}\n', 1, 1)
@example(b'2026-11-22 03:04:05 ERROR shop: it broke\n{\n  {"a":1},\n', 1, 1)
@example(b'plain text\nplain text\n  {"a":1},\n', 1, 24)
@example(b'{"log":"x\\n","stream":"stdout","time":"23:00:00"}\n]\n', 1, 4)
@example("\n".join([JSON[0], JSON[0], TODAY, TODAY, OLD_YEAR, "  raise", JSON[0], ""]).encode(), 1, 14)
@settings(max_examples=200, deadline=None)
def test_frames_make_up_the_log_and_its_events(data, frame_bytes, chunk):
    splitter = FrameSplitter(SETTINGS, None, OBSERVED, frame_bytes=frame_bytes)
    pieces = list(splitter.split(data[at : at + chunk] for at in range(0, len(data), chunk)))
    assert b"".join(piece.data for piece in pieces) == data
    assert all(piece.data for piece in pieces)
    events, offset = [], 0
    parser = FrameParser(SETTINGS, splitter.profile, OBSERVED)
    for piece in pieces:
        batch = FrameParser(SETTINGS, splitter.profile, OBSERVED).parse(piece.data, offset)
        rows = list(zip(batch.offsets, batch.timestamps, batch.severities, batch.records, strict=True))
        assert piece.events == len(rows)
        assert piece.min_timestamp == min((row[1] for row in rows), default=None)
        assert piece.max_timestamp == max((row[1] for row in rows), default=None)
        assert sum(piece.severities.values()) == len(rows)
        assert index_frame(piece.data, offset, SETTINGS, parser) == piece
        events += rows
        offset += len(piece.data)
    assert events == whole(data, splitter.profile)


def test_frames_are_about_as_large_as_asked_for():
    line = json.dumps({"timestamp": "2026-11-22T03:04:05Z", "message": "x" * 200}).encode() + b"\n"
    data = line * 40_000
    pieces = list(
        FrameSplitter(SETTINGS, None, OBSERVED).split(data[at : at + 262_144] for at in range(0, len(data), 262_144))
    )
    assert {len(piece.data) >> 20 for piece in pieces[:-1]} <= {0, 1}
    assert all(len(piece.data) > 700_000 for piece in pieces[:-1])
    assert all(piece.data.endswith(b"\n") for piece in pieces)


def test_a_chunk_of_many_frames_is_cut_too():
    line = json.dumps({"timestamp": "2026-11-22T03:04:05Z", "message": "x" * 200}).encode() + b"\n"
    pieces = list(FrameSplitter(SETTINGS, None, OBSERVED, frame_bytes=10_000).split([line * 1000]))
    assert b"".join(piece.data for piece in pieces) == line * 1000


def test_a_line_without_end_is_cut_so_that_memory_stays_bounded():
    pieces = list(FrameSplitter(SETTINGS, None, OBSERVED).split([b"x" * (1 << 20)] * 40))
    assert sum(len(piece.data) for piece in pieces) == 40 << 20
    assert max(len(piece.data) for piece in pieces) <= 18 << 20


def test_lines_of_a_container_runtime_have_no_filter():
    line = b'{"log":"id 0123456789abcdef\\n","stream":"stdout","time":"2026-11-22T03:04:05.000000001Z"}\n'
    [piece] = FrameSplitter(SETTINGS, None, OBSERVED).split([line * 5])
    assert (piece.tokens.blocks, piece.tokens.longest) == (b"", 0xFFFF)
    assert piece.events == 5


def test_an_empty_log_has_no_frames():
    assert list(FrameSplitter(SETTINGS, None, OBSERVED).split([])) == []


def test_lines_of_a_runtime_that_is_configured_have_no_filter_whatever_they_look_like():
    settings_ = parsing(format="cri")
    [piece] = FrameSplitter(settings_, None, OBSERVED).split(
        [b"2026-11-22T03:04:05.000000001Z stdout F 0123456789abcdef\n"]
    )
    assert piece.shape & WRAPPED
    assert piece.tokens == (b"", 0xFFFF, 0)


def test_without_a_profile_events_are_not_told_in_the_easy_way():
    assert FrameParser(SETTINGS, None, OBSERVED).survey(b'{"n":1}\n', 0) is None
