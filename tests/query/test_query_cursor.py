"""The cursor file: what it keeps, and what it refuses to overwrite."""

import stat

import pytest

from agent.core.errors import SidelogError, UsageError
from agent.query.cursor import CursorFile, SavedCursor


def test_a_cursor_is_kept_for_its_owner_only(tmp_path):
    """Missing means from the beginning; writing replaces the file as a whole and leaves nothing beside it."""
    cursor = CursorFile(tmp_path / "cursor")
    assert cursor.read() == SavedCursor(0)
    for position in (SavedCursor(5, "0123456789abcdef"), SavedCursor(2**62, "0123456789abcdef"), SavedCursor(7)):
        cursor.write(*position)
        assert cursor.read() == position
    assert stat.S_IMODE(cursor.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"12",
        b"[]",
        b"{}",
        b'{"after_id":-1}',
        b'{"after_id":"5"}',
        b'{"after_id":true}',
        b'{"after_id":5,"store_id":6}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_another_file_is_not_taken_for_a_cursor(tmp_path, content):
    """It is named, and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        CursorFile(path).read()
    assert caught.value.code == "SL516"
    assert "notes.txt" in caught.value.message
    assert path.read_bytes() == content


def test_a_file_of_an_older_version_is_a_cursor(tmp_path):
    """Which store it is of, it does not say."""
    path = tmp_path / "cursor"
    path.write_text('{"after_id": 5}\n')
    assert CursorFile(path).read() == SavedCursor(5)


def test_a_cursor_that_cannot_be_written_is_one_sentence(tmp_path):
    """A missing directory, or a directory in the file's place; no temporary file is left."""
    with pytest.raises(SidelogError) as caught:
        CursorFile(tmp_path / "none" / "cursor").write(5, None)
    assert caught.value.code == "SL517"
    (tmp_path / "taken").mkdir()
    cursor = CursorFile(tmp_path / "taken")
    with pytest.raises(SidelogError):
        cursor.write(5, None)
    with pytest.raises(SidelogError) as caught:
        cursor.read()
    assert "read" in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
