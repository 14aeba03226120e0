"""One owner per store, whatever happens to the owner."""

import errno
import os
import signal
import threading

import pytest

from agent.core.errors import StoreError
from agent.store.lock import StoreLock, lock_path, owner
from tests.store.stores import program, python

HOLD = """
import sys
from pathlib import Path
from agent.store.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""
FORKED = """
import os, signal, sys
from pathlib import Path
from agent.store.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
lock.acquire()
if os.fork():
    signal.pause()
print("held", flush=True)
sys.stdin.read()
"""
TRY = """
import sys
from pathlib import Path
from agent.core.errors import StoreError
from agent.store.lock import StoreLock
try:
    StoreLock(Path(sys.argv[1])).acquire()
    print("got it")
except StoreError as error:
    print(error.code, error.message)
"""


@pytest.fixture
def store(tmp_path):
    return tmp_path / "sidelog.db"


def test_a_second_process_is_refused_and_told_who_holds_the_store(store):
    with program(HOLD, store) as holder:
        said = python(TRY, store)
        assert said.startswith("SL404")
        assert f"process {holder.pid}" in said
        assert owner(store).pid == holder.pid
        assert owner(store).started_at > 0


def test_a_second_lock_in_the_same_process_is_refused_too(store):
    lock = StoreLock(store)
    lock.acquire()
    with pytest.raises(StoreError, match=str(os.getpid())) as caught:
        StoreLock(store).acquire()
    assert caught.value.code == "SL404"
    assert caught.value.exit_code == 3
    lock.release()


def test_the_lock_ends_with_its_process_however_that_dies(store):
    with program(HOLD, store) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert owner(store) is None
        assert lock_path(store).exists()
        assert python(TRY, store) == "got it\n"


def test_a_process_that_a_killed_owner_was_just_starting_is_waited_for(store):
    """Between fork and exec it holds what its parent held."""
    with program(FORKED, store) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert owner(store).pid == holder.pid
        ending = threading.Timer(0.1, holder.stdin.close)
        ending.start()
        lock = StoreLock(store)
        lock.acquire()
        lock.release()
        ending.join()


def test_asking_disturbs_neither_the_owner_nor_an_empty_place(store):
    assert owner(store) is None
    assert not lock_path(store).exists()
    lock = StoreLock(store)
    lock.acquire()
    for _ in range(3):
        assert owner(store).pid == os.getpid()
    assert python(TRY, store).startswith("SL404")
    lock.release()
    assert owner(store) is None


def test_the_lock_survives_opening_and_closing_its_file_in_the_same_process(store):
    """What makes classic record locks fall."""
    lock = StoreLock(store)
    lock.acquire()
    lock_path(store).read_bytes()
    with lock_path(store).open("r+b"):
        pass
    assert python(TRY, store).startswith("SL404")
    lock.release()


def test_an_owner_that_has_not_written_its_name_is_an_owner(store):
    lock = StoreLock(store)
    lock.acquire()
    for content in (b"", b"{", b"[]", b'{"pid": "x", "started_at": 1}', b'{"pid": 1}'):
        lock_path(store).write_bytes(content)
        assert owner(store) == (0, 0, None)
    with pytest.raises(StoreError, match="another process"):
        StoreLock(store).acquire()
    lock.release()


def test_release_keeps_the_file_and_a_second_release_does_nothing(store):
    lock = StoreLock(store)
    lock.acquire()
    lock.release()
    lock.release()
    assert lock_path(store).exists()
    lock.acquire()
    lock.release(forget=True)
    assert not lock_path(store).exists()


def test_a_symbolic_link_is_not_followed(store, tmp_path):
    target = tmp_path / "victim"
    target.write_bytes(b"precious")
    lock_path(store).symlink_to(target)
    with pytest.raises(StoreError) as caught:
        StoreLock(store).acquire()
    assert caught.value.code == "SL405"
    assert target.read_bytes() == b"precious"
    assert owner(store) is None


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StoreError) as caught:
        StoreLock(tmp_path / "nowhere" / "s.db").acquire()
    assert (caught.value.code, caught.value.retryable) == ("SL405", True)


def test_the_lock_file_is_private_whatever_the_umask(store):
    before = os.umask(0)
    try:
        lock = StoreLock(store)
        lock.acquire()
    finally:
        os.umask(before)
    assert lock_path(store).stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_full_disk_costs_the_owner_its_name_and_not_the_lock(store):
    """Stood in for by a process that may not make any file longer."""
    code = """
import resource, signal, sys
from pathlib import Path
from agent.store.lock import StoreLock, owner
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
lock = StoreLock(Path(sys.argv[1]))
lock.acquire()
print(owner(Path(sys.argv[1])).pid, flush=True)
sys.stdin.read()
"""
    with program(code, store) as holder:
        assert holder.first_line == "0"
        assert python(TRY, store).startswith("SL404")


def test_a_file_system_without_locks_is_said(store, monkeypatch):
    """As some network file systems are; the refusal is injected, no such file system is at hand."""

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.fcntl", no_locks)
    with pytest.raises(StoreError, match="has no file locks") as caught:
        StoreLock(store).acquire()
    assert caught.value.code == "SL405"


def test_the_owner_says_why_it_cannot_write_even_at_length(tmp_path):
    """Beside the store, and in whatever script the message is."""
    store = tmp_path / "s.db"
    lock = StoreLock(store)
    lock.acquire()
    fault = StoreError("SL412", "write store", "s", "漢" * 900, hint='"' * 900)
    lock.note(fault)
    assert owner(store).fault == {"code": "SL412", "message": "漢" * 300, "hint": '"' * 300}
    lock.note(None)
    assert owner(store).fault is None
    lock.release()
