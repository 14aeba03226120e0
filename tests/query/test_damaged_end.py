"""What stands behind the frames of an archive is damaged: its events are found, and it is named."""

import os

import pytest

from agent.archive.seekable import FOOTER_BYTES, HEADER_BYTES
from agent.archive.verify import verify_archives
from agent.query.archives import search
from agent.query.language import Grouping, Selection, parse_query
from tests.query.test_query_archives import archives_of, line
from tests.query.tiers import Tiers, small_frames
from tests.sources import parsing

ENTRY_BYTES = 12  # of the seek table
LOG = b"".join(line(60 - number, f"order {number} went", "info", password="p" * number) for number in range(50))


@pytest.fixture(autouse=True)
def _small_frames(monkeypatch):
    small_frames(monkeypatch, 600)


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def first_entry(data: bytes, place: int, value: bytes) -> bytes:
    """Another value in the first entry of the seek table."""
    at = data.rindex(b"\x5e\x2a\x4d\x18") + HEADER_BYTES + place
    return data[:at] + value + data[at + len(value) :]


DAMAGE = {
    "metadata": lambda data: flip(data, data.index(b'"created":')),
    "signature": lambda data: flip(data, data.index(b"sidelog\0")),
    "sizes of frames": lambda data: flip(data, len(data) - FOOTER_BYTES - ENTRY_BYTES),
    "no content": lambda data: first_entry(data, 4, bytes(4)),
    "size of a content": lambda data: first_entry(data, 4, b"\1"),
    "checksum of a frame": lambda data: first_entry(data, 8, bytes(4)),
    "footer": lambda data: data[:-1] + b"\0",
    "end": lambda data: data[: data.index(b"sidelog\0") - 8],
    "more": lambda data: data + b"x",
}


def events(tiers: Tiers, text: str, **options) -> tuple[list, list]:
    archives = archives_of(tiers)
    found = [(event.offset, event.record) for event in archives.events(Selection(parse_query(text)), **options)]
    return found, archives.errors


@pytest.mark.parametrize("redact", [(), ("password",)])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("alone_s", [float("inf"), 0.0])
def test_its_events_are_found_and_it_is_named(tmp_path, monkeypatch, redact, damage, alone_s):
    monkeypatch.setattr(search, "_ALONE_S", alone_s)
    with Tiers(tmp_path, parsing(redact=redact)) as tiers:
        row = tiers.archive("app.log", LOG)
        wanted = events(tiers, "went")
        assert (len(wanted[0]), wanted[1]) == (50, [])
        path = tmp_path / row.path
        path.write_bytes(damage(path.read_bytes()))
        found, [error] = events(tiers, "went")
        assert found == wanted[0]
        assert (error.code, error.subject) == ("SL803", str(path))
        assert "its events were found all the same" in error.message
        assert error.hint
        assert events(tiers, "went", lines=3)[0] == wanted[0][-3:]
        archives = archives_of(tiers)
        counts = archives.counts(Selection(parse_query("went")), Grouping())
        assert sum(count.total() for count in counts) == 50
        assert [one.code for one in archives.errors] == ["SL803"]
        _, findings = verify_archives(tiers.reader, tmp_path / "archive")
        assert [(one.path, one.error.code) for one in findings] == [(str(path), "SL803")]


def test_a_frame_that_is_damaged_too_is_missing_alone(tmp_path):
    with Tiers(tmp_path) as tiers:
        row = tiers.archive("app.log", LOG)
        wanted, _ = events(tiers, "went")
        path, frame = tmp_path / row.path, row.frames[0]
        path.write_bytes(flip(DAMAGE["end"](path.read_bytes()), frame.offset + frame.bytes - 1))
        found, [error] = events(tiers, "went")
        missing = set(wanted) - set(found)
        assert len(missing) == frame.events
        assert all(frame.raw_offset <= offset < frame.raw_offset + frame.raw_bytes for offset, _ in missing)
        assert f"{frame.events} events are in the part of it that this answer lacks" in error.message


def test_another_file_in_its_place_is_not_searched(tmp_path):
    with Tiers(tmp_path) as tiers:
        row = tiers.archive("app.log", LOG)
        path = tmp_path / row.path
        for content in (b"", b"x" * row.bytes, os.urandom(100)):
            path.write_bytes(content)
            found, [error] = events(tiers, "went")
            assert (found, error.code) == ([], "SL803")
            assert "50 events are in the part of it" in error.message


def test_positions_that_are_not_listed_are_found_behind_their_frame(tmp_path):
    with Tiers(tmp_path, parsing(redact=("password",))) as tiers:
        row = tiers.archive("app.log", LOG)
        wanted, _ = events(tiers, "went")
        path = tmp_path / row.path
        data = path.read_bytes()
        path.write_bytes(flip(data, len(data) - FOOTER_BYTES - 2 * ENTRY_BYTES + 4))  # as if they were a frame
        found, [error] = events(tiers, "went")
        assert (found, error.code) == (wanted, "SL803")
