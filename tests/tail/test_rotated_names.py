"""Names of rotated logs: which file they were rotated from, by the names that loggers give; numbers, whose shift
overwrites nothing and keeps the order.
"""

import os
import time
from logging.handlers import TimedRotatingFileHandler

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.tail import rotated_names
from agent.tail.rotated_names import DirectoryNames

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
    assert DirectoryNames(FOLLOWED).origin(name) == origin


def test_a_compressed_log_belongs_to_the_followed_files_that_are_called_like_it_but_for_their_numbers():
    names = DirectoryNames({"app-2026-11-22.log": "daily", "plain.log": "plain"})
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
    assert DirectoryNames({"app.log": "app"}).origin(name) == ("app.log", "app")


def test_only_what_can_be_read_is_taken_for_a_compressed_log_of_its_family():
    names = DirectoryNames({"app-1.log": "app"})
    assert names.origin("app-2.log.gz") == names.origin("app-2.log.zst") == ("app-2.log", "app")
    assert names.origin("app-2.log.bz2") is None
    assert names.origin("app-2.gz.log") is None


def test_only_the_older_one_of_two_was_left_by_rotation(tmp_path):
    """A logger that counts upwards writes app.log.1 after app.log."""
    for name, written in (("app.log", 50), ("app.log.1", 40), ("app.log.2", 60), ("app1.log", 30)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, ns=(written, written))
    names = DirectoryNames(
        {"app.log": "app", "app.log.1": "app", "app.log.2": "app", "app1.log": "app", "gone.log": "app"}
    )
    assert names.was_left(str(tmp_path / "app.log.1"), 40)
    assert not names.was_left(str(tmp_path / "app.log.2"), 60)
    assert not names.was_left(str(tmp_path / "app1.log"), 30), "the log of another process"
    assert not names.was_left(str(tmp_path / "gone.log.1"), 1)


# ---------------------------------------------------------------- numbers

LOG = "app.log"
listings = st.sets(st.integers(1, 12)).flatmap(
    lambda taken: st.permutations(
        [LOG, "app.log.1.gz", "app.log.0", "app.log.01", "app.log-1", "other.log.1", *(f"app.log.{n}" for n in taken)]
    )
)


def test_only_plain_numbers_are_rotated_logs():
    listing = [
        "app.log",
        "app.log.2",
        "app.log.10",
        "app.log.1",
        "app.log.01",
        "app.log.0",
        "app.log.1.gz",
        "app.log.x",
    ]
    assert rotated_names.numbers(LOG, listing) == {1: "app.log.1", 2: "app.log.2", 10: "app.log.10"}
    assert list(rotated_names.numbers(LOG, listing)) == [1, 2, 10]


@pytest.mark.parametrize(
    ("name", "numbered"), [("a.log", False), ("a.log.1", True), ("a.1.log", False), ("a-1", False)]
)
def test_what_has_a_number_is_never_rotated_itself(name, numbered):
    assert rotated_names.is_numbered(name) is numbered


@given(listings)
def test_a_shift_frees_the_first_name_overwrites_nothing_and_keeps_the_order(listing):
    content = {name: object() for name in listing}
    before = [content[name] for name in rotated_names.numbers(LOG, content).values()]
    bystanders = {
        name: value for name, value in content.items() if name not in rotated_names.numbers(LOG, content).values()
    }
    for old, new in rotated_names.shift(LOG, listing):
        assert new not in content, "nothing is overwritten"
        content[new] = content.pop(old)
        assert [content[name] for name in rotated_names.numbers(LOG, content).values()] == before, (
            "after a crash here, too"
        )
    assert "app.log.1" not in content
    assert bystanders.items() <= content.items()


@given(listings)
def test_behind_a_free_number_nothing_moves(listing):
    taken = rotated_names.numbers(LOG, listing)
    free = next(number for number in range(1, 20) if number not in taken)
    assert [old for old, _ in rotated_names.shift(LOG, listing)] == [
        f"app.log.{number}" for number in range(free - 1, 0, -1)
    ]


@given(listings, st.integers(0, 14))
def test_the_oldest_beyond_what_is_kept_are_surplus(listing, keep):
    taken = list(rotated_names.numbers(LOG, listing).values())
    found = rotated_names.beyond(keep, LOG, listing)
    assert taken[: len(taken) - len(found)] + found[::-1] == taken
    assert len(found) == max(0, len(taken) - keep)


written = st.lists(
    st.sampled_from(["app", ".log", ".", "-", "20261122", "1", "T", "old", ".gz", "x", "service", "_"]),
    min_size=1,
    max_size=5,
).map("".join)


@given(st.sets(written, max_size=12))
@settings(deadline=None)
def test_rotated_names_are_found_as_by_comparing_each_with_each_other(listing):
    slowly = {
        name
        for name in listing
        if rotated_names.is_numbered(name)
        or any(one != name and rotated_names.is_rotation(name, one) for one in listing)
    }
    assert rotated_names.rotated(listing) == slowly


def test_many_names_are_not_each_compared_with_each_other(monkeypatch):
    """2.2 s a second it took with 1,000 logs in a directory."""
    compared = []
    monkeypatch.setattr(rotated_names, "is_rotation", lambda *pair: compared.append(pair))
    assert rotated_names.rotated({f"service-{number}-worker.log" for number in range(1000)}) == set()
    assert compared == []


@given(listings, st.integers(0, 14))
def test_sorted_by_their_logs_the_same_ones_are_surplus(listing, keep):
    assert rotated_names.beyond(keep, LOG, rotated_names.by_log(listing)[LOG]) == rotated_names.beyond(
        keep, LOG, listing
    )


@pytest.mark.parametrize("added", ["1" * 200 + "x", "20261122" * 25 + "x", "old1" * 50 + "x", "-" * 200 + "x"])
def test_a_long_name_that_is_nearly_a_rotation_is_judged_at_once(added):
    """One of 34 digits and a letter took more than an hour, at each look at its directory."""
    assert not rotated_names.is_rotation(f"app.log.{added}", "app.log")
    assert rotated_names.is_rotation(f"app.log.{added[:-1]}", "app.log")
