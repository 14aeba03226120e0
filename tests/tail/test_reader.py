"""The line reader against a slow, obvious twin, at every chunk boundary, and its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from agent.core.model import MARKER_BYTES, FileGeneration, Gap
from agent.tail.reader import LineReader


def reader(max_line=1 << 20, offset=0, before=b""):
    return LineReader(FileGeneration(1, "s", "/x", 0, 0, 0), max_line, offset, before)


def collect(batches, content=None):
    """(lines, gaps) of batches, checked for continuity."""
    lines, gaps, end = [], [], None
    for batch in batches:
        assert end is None or batch.offset == end
        if content is not None:
            assert batch.before == content[max(0, batch.offset - MARKER_BYTES) : batch.offset]
            assert batch.data == content[batch.offset : batch.offset + len(batch.data)]
        end = batch.end
        parts = batch.data.split(b"\n")
        lines += parts[:-1] + ([parts[-1]] if parts[-1] else [])
        gaps += [(gap.reason, gap.start, gap.end, gap.sample) for gap in batch.gaps]
    return lines, gaps


def twin(content, max_line):
    """Line by line."""
    lines, gaps, start = [], [], 0
    parts = content.split(b"\n")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        end = start + len(part) + (not last)
        if len(part) > max_line:
            gaps.append(("over_long", start, end, part[:1024]))
        elif part or not last:
            lines.append(part)
        start = end
    return lines, gaps


@given(
    st.binary(max_size=200).map(lambda data: data.replace(b"\x01", b"\n").replace(b"\x02", b"\n")),
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.integers(1, 60),
)
def test_agrees_with_splitting_line_by_line_at_any_chunk_sizes(content, sizes, max_line):
    reading, batches, place, turn = reader(max_line), [], 0, 0
    while place < len(content):
        size = sizes[turn % len(sizes)]
        batches += reading.feed(content[place : place + size], 7)
        place, turn = place + size, turn + 1
        assert len(reading.carry) <= max_line
        assert reading.recent == content[max(0, reading.position - MARKER_BYTES) : reading.position]
    batches.append(reading.finish(7))
    assert batches[-1].final
    assert batches[-1].end == len(content)
    lines, gaps = collect(batches, content)
    expected_lines, expected_gaps = twin(content, max_line)
    assert lines == expected_lines
    assert [gap[:3] for gap in gaps] == [gap[:3] for gap in expected_gaps]


def test_every_split_of_a_multibyte_line_gives_the_same_line():
    content = "Köln\r\n😀 ende\n".encode()
    for cut in range(len(content) + 1):
        reading = reader()
        assert collect(reading.feed(content[:cut], 1) + reading.feed(content[cut:], 1), content)[0] == [
            "Köln\r".encode(),
            "😀 ende".encode(),
        ]


def test_over_long_line_is_a_gap_with_a_sample_and_its_neighbours_are_intact():
    long = b"y" * 5000
    content = b"before\n" + long + b"\nafter\n"
    reading = reader(1000)
    batches = [
        batch for start in range(0, len(content), 700) for batch in reading.feed(content[start : start + 700], 1)
    ]
    lines, gaps = collect(batches, content)
    assert lines == [b"before", b"after"]
    assert gaps == [("over_long", 7, 5008, long[:1024])]


def test_line_of_exactly_the_limit_is_a_line_however_its_newline_comes():
    for chunks in ([b"a" * 10 + b"\n"], [b"a" * 10, b"\n"]):
        reading = reader(10)
        assert collect([batch for chunk in chunks for batch in reading.feed(chunk, 1)]) == ([b"a" * 10], [])


def test_every_gap_is_followed_by_a_batch_with_the_bytes_before_it():
    for chunks in ([b"a" * 20 + b"\n"], [b"a" * 20, b"\n"], [b"a" * 20, b"\nbegun"]):
        reading = reader(10)
        batches = [batch for chunk in chunks for batch in reading.feed(chunk, 1)]
        assert batches[-1].offset == 21
        assert batches[-1].before == b"a" * 20 + b"\n"


def test_over_long_line_without_newline_ends_as_a_gap_with_its_generation():
    reading = reader(10)
    assert reading.feed(b"z" * 50, 1) == []
    assert (reading.offset, reading.carry, reading.pending) == (0, b"", 50)  # inside an over-long line
    batch = reading.finish(1)
    assert (batch.final, batch.end, batch.gaps[0].reason) == (True, 50, "over_long")


def test_rewinding_forgets_what_was_not_returned():
    reading = reader(10)
    reading.feed(b"one\ntw", 1)
    reading.rewind()
    assert (reading.position, reading.carry, reading.recent) == (4, b"", b"one\n")
    reading.feed(b"z" * 50, 1)
    reading.rewind()
    assert (reading.position, reading.pending, reading.recent) == (4, 0, b"one\n")
    assert collect(reading.feed(b"two\n", 1))[0] == [b"two"]


def test_hole_is_a_gap_and_what_follows_begins_after_it():
    reading = reader()
    reading.feed(b"one\n", 1)
    batches = reading.skip_hole(4, 104, 1)
    assert collect(batches) == ([], [("hole", 4, 104, b"")])
    assert reading.recent == b"one\n" + bytes(100)
    batches = reading.skip_hole(104, 10_000, 1) + reading.feed(b"two\n", 1)
    assert collect(batches) == ([b"two"], [("hole", 104, 10_000, b"")])
    assert batches[-1].before == bytes(MARKER_BYTES)


def test_hole_ends_an_over_long_line():
    reading = reader(10)
    reading.feed(b"z" * 50, 1)
    batches = reading.skip_hole(50, 5000, 1) + reading.feed(b"next\n", 1)
    assert collect(batches) == ([b"next"], [("over_long", 0, 50, b"z" * 50), ("hole", 50, 5000, b"")])
    assert batches[-1].offset == 5000


def test_hole_ends_a_line_without_a_newline():
    reading = reader()
    reading.feed(b"one\nhalf\0\0", 1)
    batches = reading.skip_hole(10, 5000, 1) + reading.feed(b"next\n", 1)
    assert [(batch.offset, batch.data) for batch in batches] == [(4, b"half"), (5000, b""), (5000, b"next\n")]
    assert batches[0].gaps == [Gap(8, 5000, "hole")]
    assert batches[1].before == batches[2].before == bytes(MARKER_BYTES)


def test_final_batch_of_a_truncated_file_accounts_for_the_bytes_that_are_lost():
    reading = reader()
    reading.feed(b"one\nhalf", 1)
    batch = reading.finish(1, lost_until=100)
    assert [(gap.reason, gap.start, gap.end, gap.sample) for gap in batch.gaps] == [("truncated", 4, 100, b"half")]
    assert batch.final
