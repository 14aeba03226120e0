"""From which file a log was rotated, told by names: those that loggers give, and those that only look like it."""

import os
import time
from logging.handlers import TimedRotatingFileHandler

import pytest

from agent.archive.planner import Names, is_compressed_name

FOLLOWED = {
    "app.log": "app", "app-errors.log": "errors", "app-2026-11-22.log": "daily", "worker1.log": "workers",
    "app.3.log": "rolled", "data.log.gz": "odd",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("app.log", ("app.log", "app")),
        ("app.log.1", ("app.log", "app")),
        ("app.log.2026-11-22_15-00-01", ("app.log", "app")),
        ("app-errors.log.1.gz", ("app-errors.log", "errors")),
        ("app-errors-20261122.log", ("app-errors.log", "errors")),
        ("app-2026-11-22.log.gz", ("app-2026-11-22.log", "daily")),
        ("app-2026-11-22.log.1.gz", ("app-2026-11-22.log", "daily")),
        ("data.log.gz", ("data.log.gz", "odd")),
        ("worker1.log.gz", ("worker1.log", "workers")),
        ("worker2.log.gz", ("worker2.log", "workers")),
        ("worker2.log", None),
        ("worker10.log", None),
        ("other-2026-11-22.log.gz", None),
        ("app-2026-11-22.tar.gz", None),
        (".2f1a9c-audit.json", None),
    ],
)
def test_the_file_that_a_log_was_rotated_from(name, origin):
    assert Names(FOLLOWED).origin(name) == origin


def test_a_compressed_log_belongs_to_the_followed_files_that_are_called_like_it_but_for_their_numbers():
    names = Names({"app-2026-11-22.log": "daily", "plain.log": "plain"})
    assert names.origin("app-2025-01-02.log.gz") == ("app-2025-01-02.log", "daily")
    assert names.origin("app-2025-01-02.log.zst") == ("app-2025-01-02.log", "daily")
    assert names.origin("app-2025-01-02.log") is None, "what the patterns do not match is not followed for its look"
    for name in ("app-2025-01-02.txt.gz", "apt-2025-01-02.log.gz", "app-2025-01.log.gz", "plaim.log.gz"):
        assert names.origin(name) is None


@pytest.mark.parametrize("when", ["S", "M", "H", "D", "midnight", "W0"])
def test_every_name_that_pythons_timed_handler_gives_is_known(tmp_path, when):
    handler = TimedRotatingFileHandler(tmp_path / "app.log", when=when, delay=True)
    name = f"app.log.{time.strftime(handler.suffix, time.gmtime(1_795_000_000))}"
    handler.close()
    assert Names({"app.log": "app"}).origin(name) == ("app.log", "app")


def test_what_gzip_and_zstd_make_is_compressed_by_its_name():
    assert is_compressed_name("a.log.gz")
    assert is_compressed_name("a.zst")
    assert not is_compressed_name("a.gz.log")


def test_only_the_older_one_of_two_was_left_by_rotation(tmp_path):
    """A logger that counts upwards writes app.log.1 after app.log."""
    for name, written in (("app.log", 50), ("app.log.1", 40), ("app.log.2", 60), ("app1.log", 30)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, ns=(written, written))
    names = Names({"app.log": "app", "app.log.1": "app", "app.log.2": "app", "app1.log": "app", "gone.log": "app"})
    assert names.was_left(str(tmp_path / "app.log.1"), 40)
    assert not names.was_left(str(tmp_path / "app.log.2"), 60)
    assert not names.was_left(str(tmp_path / "app1.log"), 30), "the log of another process"
    assert not names.was_left(str(tmp_path / "gone.log.1"), 1)
