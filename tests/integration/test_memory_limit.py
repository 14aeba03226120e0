"""Memory is bounded by what is on the way, not by what waits on disk; being killed for it costs nothing."""

import sqlite3

from tests.integration.harness import append, wait_until
from tests.integration.oracle import Scribe, memory_bytes, settled


def test_a_backlog_behind_a_blocked_store_is_left_on_disk(box):
    """120 MB wait, nothing can be stored: the agent reads some megabytes of them and waits."""
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    box.wait_count(5)
    before = memory_bytes(box.process.pid, "VmRSS")
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    for number in range(4):
        append(box.logs / f"{number}.log", b"x" * 999 + b"\n" + b'{"message":"%s"}\n' % (b"y" * 984) * 30_000)
    wait_until(lambda: "SL408" in box.said(), what="the blocked store's message")
    assert memory_bytes(box.process.pid) < before + (48 << 20)
    intruder.execute("ROLLBACK")
    intruder.close()
    for number in range(4):
        (box.logs / f"{number}.log").write_bytes(b"")
    box.kill()


def test_a_start_that_runs_out_of_memory_loses_nothing(box):
    """Address space for not even the interpreter's modules, then for some of the work: it ends, and is started anew."""
    scribe = Scribe()
    scribe.append(box.log, 2000)
    box.log.with_name("wide.log").write_bytes(b"[" * 900_000 + b"\n")
    box.configure(max_line="1MiB")
    for megabytes in (60, 130, 180, 220):
        box.run("run", "--once", preexec_fn=lambda size=megabytes << 20: _limit_memory(size))
    box.start()
    settled(box, scribe, others=1)


def _limit_memory(size_bytes):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))
