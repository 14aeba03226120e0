"""The file in which filters wait: what was put there comes back, also from another process; a full disk is said."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.archive.protocol import FilterFile
from agent.core.errors import ArchiveError


@given(data=st.lists(st.binary(max_size=99), max_size=9))
def test_what_was_put_comes_back_in_any_order(tmp_path_factory, data):
    with FilterFile.on_disk_of(tmp_path_factory.getbasetemp()) as filters:
        places = [filters.put(one) for one in data]
        assert [filters.get(place) for place in reversed(places)] == data[::-1]


def test_it_has_no_name_and_begins_anew(tmp_path):
    with FilterFile.on_disk_of(tmp_path) as filters:
        filters.put(b"old")
        filters.clear()
        at = filters.put(b"new")
        assert (at, filters.get(at), os.fstat(filters.fd).st_size) == ((0, 3), b"new", 3)
        assert list(tmp_path.iterdir()) == []


def test_another_owner_of_the_file_reads_what_was_put(tmp_path):
    with FilterFile.on_disk_of(tmp_path) as mine:
        with os.fdopen(os.dup(mine.fd), "r+b", buffering=0) as file:
            theirs = FilterFile(tmp_path, file)
            places = [theirs.put(b"one"), theirs.put(b"other")]
        assert [mine.get(place) for place in places] == [b"one", b"other"]


def test_a_disk_that_is_full_or_fails_is_named(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with FilterFile.on_disk_of(tmp_path) as filters:
        at = filters.put(b"data")
        monkeypatch.setattr(os, "pwrite", fail)
        monkeypatch.setattr(os, "pread", fail)
        for work in (lambda: filters.put(b"more"), lambda: filters.get(at)):
            with pytest.raises(ArchiveError, match="No space") as raised:
                work()
            assert (raised.value.code, raised.value.subject) == ("SL804", str(tmp_path))
    with pytest.raises(ArchiveError, match="cannot be written"):
        FilterFile.on_disk_of(tmp_path / "absent")
