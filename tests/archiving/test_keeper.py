"""Rounds of archiving go on after what ends one of them."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from agent.archivist import Archivist, make_keeper
from agent.config import for_patterns
from agent.store.schema import migrate, prepare_file
from tests.integration.harness import wait_until


@pytest.fixture
def config(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "app.log").touch()
    for number in (1, 2, 3):
        log = logs / f"app.log.{number}"
        log.write_bytes(b'{"timestamp":"2026-11-22T03:04:05Z","n":%d}\n' % number)
        os.utime(log, (number, number))
    return for_patterns([str(logs / "*.log")], tmp_path / "s.db", overrides=["archive.quiet=0s"])


class Store:
    """Transactions on a real store, from any thread."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        prepare_file(self.connection)
        migrate(self.connection)
        self.lock = threading.Lock()
        self.failures = 0

    def change(self, function, *, durable):
        with self.lock, self.connection:
            if self.failures:
                self.failures -= 1
                raise RuntimeError("unforeseen")
            return function(self.connection)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "s.db")
    yield made
    made.connection.close()


def test_a_log_that_its_worker_dies_of_holds_up_no_other(config, store):
    reports, deadly = [], True

    def on_progress(done, _total, path):
        if path.endswith(".2") and deadly:
            keeper.worker.kill()

    keeper = make_keeper(
        config, config.archive, store.change, lambda error, active: reports.append((error.code, active)),
        on_progress=on_progress,
    )  # fmt: skip
    summary = keeper.round()
    assert (summary.archived, [Path(path).name for path in summary.failed]) == (2, ["app.log.2"])
    deadly = False
    assert keeper.round().archived == 1
    assert reports == [("SL806", True), ("SL806", False)]


def test_a_fault_of_its_own_is_said_and_the_next_round_archives(config, store):
    reports = []
    store.failures = 1
    archivist = Archivist(config, store.change, lambda error, active: reports.append((error.code, active)))
    archivist.start()
    try:
        wait_until(lambda: ("SL811", False) in reports)
    finally:
        archivist.stop()
    assert reports[0] == ("SL811", True)
    assert store.connection.execute("SELECT count(*) FROM archives").fetchone() == (3,)
