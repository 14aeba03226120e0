"""A disk that is slow, or fails now and then: reading waits, nothing is lost, the watchdog is fed."""

import os
import socket

import pytest

from tests.integration.harness import wait_until
from tests.integration.oracle import Scribe, injected, nudge, settled
from tests.needs import needs

pytestmark = needs("strace", "tracing")


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, box):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(box.root / "n"))
        self.socket.settimeout(0)
        box.env |= {"NOTIFY_SOCKET": str(box.root / "n"), "WATCHDOG_USEC": "4000000"}
        self.fed = 0

    def feedings(self):
        while True:
            try:
                self.fed += self.socket.recv(4096).count(b"WATCHDOG=1")
            except BlockingIOError:
                return self.fed


def test_fsync_of_two_seconds_loses_nothing_and_the_watchdog_stays_fed(box):
    """Every fsync of the store takes two seconds; it happens at a checkpoint, five seconds after the last commit."""
    manager = Manager(box)
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    wal = box.store.with_name("sidelog.db-wal")
    with injected(box, "fsync:delay_exit=2000000", "fdatasync:delay_exit=2000000") as trace:
        wait_until(lambda: "sync(" in trace.read_text(), what="a checkpoint")
        before = manager.feedings()
        for _ in range(3):
            nudge(box, scribe, box.log)
        wait_until(lambda: manager.feedings() > before, what="the watchdog's feeding")
    settled(box, scribe)
    assert wal.exists()
    assert box.process.poll() is None
    manager.socket.close()


@pytest.mark.parametrize("failure", ["EIO", "ENOSPC", "EROFS"])
def test_a_store_that_fails_for_a_while_is_tried_again(box, failure):
    """Writing fails thirty times: the offset stays, `status` says why, and it goes on without a restart."""
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    with injected(box, f"pwrite64:error={failure}:when=1..4"):
        scribe.append(box.log, 500)
        wait_until(lambda: "SL412" in box.said(), what="the message")
        offset = box.sql('SELECT "offset" FROM files')[0][0]
        assert offset < box.log.stat().st_size
        settled(box, scribe)
    wait_until(lambda: not any(error["active"] for error in box.status()["errors"]), what="the condition's end")


def test_a_checkpoint_that_fails_is_made_up_for(box):
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    with injected(box, "fdatasync:error=EIO:when=1..2", "fsync:error=EIO:when=1..2") as trace:
        wait_until(lambda: "EIO" in trace.read_text(), what="a checkpoint")
        nudge(box, scribe, box.log)
    settled(box, scribe)


@pytest.mark.parametrize("failure", ["EIO", "ESTALE"])
def test_a_log_that_cannot_be_read_for_a_while_goes_on_at_its_offset(box, failure):
    """As on a failing disk, or a network file system whose server has restarted."""
    scribe, other = Scribe(), Scribe("other")
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    with injected(box, f"read:error={failure}:when=1..2", paths=(box.log,)):
        scribe.append(box.log, 10)
        wait_until(lambda: "SL208" in box.said(), what="the message")
        nudge(box, other, box.logs / "other.log")
        settled(box, scribe, other)
    wait_until(lambda: not any(error["active"] for error in box.status()["errors"]), what="the condition's end")
    assert box.said().count("SL208") <= 2


def test_no_part_of_the_store_is_opened_by_other_means_than_sqlite(box):
    """POSIX drops a process's locks on a file when any descriptor of it is closed: after the start nothing of the
    agent may open the store, through rotation, retention, checkpoints and reloads.
    """
    box.configure(store={"retention": {"age": "7d", "size": "4MiB"}})
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    with injected(box, calls="openat,open") as trace:
        box.configure(include=[f"{box.root}/**/*.log"], store={"retention": {"age": "7d", "size": "3MiB"}})
        os.kill(box.process.pid, 1)
        wait_until(lambda: "configuration reloaded" in box.said())
        for _ in range(3):
            nudge(box, scribe, box.log)
            box.log.rename(box.logs / "app.1.log")
        nudge(box, scribe, box.log)
        opened = [line for line in trace.read_text().splitlines() if box.store.name in line]
    assert opened == []
    settled(box, scribe)
