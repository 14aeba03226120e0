"""Holes: every way through them gives the same events and gaps, and looking costs as little as it says."""

import os
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.holes import HOLE_BYTES, before_hole
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser
from agent.tail import holes
from agent.tail.reader import LineReader
from tests.sources import parsing

FILE = FileGeneration(1, "s", "/x", 0, 0, 0)
LIMIT = 300
pieces = st.one_of(
    st.sampled_from([b"\n", b"one line\n", b'{"level":"info"}\n', b"half a line", b"\r\n", b"x" * 400, b"y" * 290]),
    st.sampled_from([1, 2, 63, 64, 65, 200, 1000]).map(bytes),
)
contents = st.lists(pieces, max_size=12).map(b"".join)


def parsed(batches):
    """(offset, original) of each event, and what is in gaps, byte by byte."""
    parser = FileParser(parsing(max_line_bytes=LIMIT))
    events, gaps, end = [], set(), 0
    for batch in batches:
        out = parser.feed(batch)
        records = zip(out.offsets, out.records, strict=True)
        events += [(at, original_of(record, out.raws.get(row))) for row, (at, record) in enumerate(records)]
        gaps |= {(place, gap.reason) for gap in out.gaps for place in range(gap.start, gap.end)}
        end = out.end
    return events, gaps, end


@given(contents, st.lists(st.integers(0, 3000), max_size=6))
def test_reading_in_pieces_and_parsing_at_once_agree(data, cuts):
    """As an archive of the log is read, and as it is searched."""
    reader, batches, begin = LineReader(FILE, LIMIT, 0), [], 0
    for end in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        batches += reader.feed_whole(data[begin:end], 1)
        begin = end
    read = parsed([*batches, reader.finish(1)])
    whole = parsed([LineBatch(FILE, 0, data, 1, final=True)])
    assert read == whole
    assert read[2] == len(data)


@given(contents, st.integers(0, 2000))
def test_what_is_data_for_sure(data, begin):
    kept = before_hole(data, begin)
    assert data.startswith(kept)
    assert bytes(HOLE_BYTES) not in kept[begin:]
    assert len(kept) <= begin or not kept.endswith(b"\0")
    assert len(kept) >= min(begin, len(data))
    rest = data[len(kept) :]
    assert not rest or rest[:1] == b"\0"


@pytest.mark.parametrize("sparse", [True, False])
def test_looking_through_a_file(tmp_path, sparse):
    path, size = tmp_path / "file", 40 << 20
    with path.open("w+b") as file:
        file.write(b"begin\n")
        if not sparse:
            file.write(bytes(size - 6))
        file.truncate(size)
        file.flush()
        fd, status = file.fileno(), os.fstat(file.fileno())
        assert holes.data_end(fd, size) == 6
        seen = holes.look(fd, 6, status, None, 100.0, 0.0)
        assert seen.is_tail is sparse
        assert seen.end - 6 == (size - 6 if sparse else holes.LOOK_BYTES)
        again = holes.look(fd, 6, status, seen, 101.0, 0.0)
        assert again.end == (size if sparse else 6 + 2 * holes.LOOK_BYTES)
        assert holes.look(fd, 6, status, None, 100.0, -inf).is_tail
        assert holes.look(fd, 6, status, None, 100.0, 99.9).end == 6  # it has just grown
        os.pwrite(fd, b"data\n", size - 5)
        status = os.fstat(fd)
        found = holes.look(fd, 6, status, seen, 102.0, -inf)
        assert (found.end, found.has_data, found.seen, found.since) == (size - 5, True, size, 102.0)
        later = holes.look(fd, 6, status, found, 105.0, -inf)
        assert later.since == 102.0
        os.pwrite(fd, b"more\n", 6)
        rest = holes.look(fd, 11, os.fstat(fd), found, 106.0, -inf)
        assert (rest.end, rest.since) == (size - 5, 106.0)  # it is being filled
        os.pwrite(fd, b"x", 11 + 20)
        assert holes.look(fd, 11, os.fstat(fd), rest, 107.0, -inf) is None  # too few to be a hole
