"""The file in which filters wait: what was put there comes back, also from another process; a full disk is said."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.archive.errors import ArchiveError
from agent.archive.spool import Spool


@given(data=st.lists(st.binary(max_size=99), max_size=9))
def test_what_was_put_comes_back_in_any_order(tmp_path_factory, data):
    with Spool.on_disk_of(tmp_path_factory.getbasetemp()) as spool:
        places = [spool.put(one) for one in data]
        assert [spool.get(place) for place in reversed(places)] == data[::-1]


def test_it_has_no_name_and_begins_anew(tmp_path):
    with Spool.on_disk_of(tmp_path) as spool:
        spool.put(b"old")
        spool.clear()
        place = spool.put(b"new")
        assert (place, spool.get(place), os.fstat(spool.fd).st_size) == ((0, 3), b"new", 3)
        assert list(tmp_path.iterdir()) == []


def test_another_owner_of_the_file_reads_what_was_put(tmp_path):
    with Spool.on_disk_of(tmp_path) as mine:
        with os.fdopen(os.dup(mine.fd), "r+b", buffering=0) as file:
            theirs = Spool(tmp_path, file)
            places = [theirs.put(b"one"), theirs.put(b"other")]
        assert [mine.get(place) for place in places] == [b"one", b"other"]


def test_a_disk_that_is_full_or_fails_is_named(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    with Spool.on_disk_of(tmp_path) as spool:
        place = spool.put(b"data")
        monkeypatch.setattr(os, "pwrite", fail)
        monkeypatch.setattr(os, "pread", fail)
        for work in (lambda: spool.put(b"more"), lambda: spool.get(place)):
            with pytest.raises(ArchiveError, match="No space") as raised:
                work()
            assert (raised.value.code, raised.value.subject) == ("SL804", str(tmp_path))
    with pytest.raises(ArchiveError, match="cannot be written"):
        Spool.on_disk_of(tmp_path / "absent")
