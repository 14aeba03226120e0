"""Up to this version and back, from the kept store of each version that there ever was; and what is in the way."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.errors import SidelogError
from agent.install import layout, upgrade
from agent.store import former, schema
from agent.store.lock import StoreLock
from agent.store.opening import open_store
from tests.install.machine import empty_machine, version
from tests.needs import limited
from tests.stores.make import line
from tests.stores.world import known, unpack, write_config

ROOT = Path(__file__).parents[2]
STORES = known()
OLD = {int(name[:3]): name for name in sorted(STORES) if int(name[:3]) < schema.VERSION}
# By what made it, a version can be tried itself; that of 001-start-offset reads anew in a store that lies elsewhere.
MADE = OLD | {1: "001-parse-errors"}
LANDED = {
    6: "28b706e",
    7: "0bcfbe6",
    8: "0cbc9c3",
    9: "c2eba0c",
    10: "d3da93c",
}  # the commits of versions whose stores do not name theirs
CHANGING = ("meta", "own_errors", "sqlite_sequence")  # what a copy becomes a store of its own by


def state(store):
    """The schema version, the schema and the rows of a store."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        objects = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        tables = [name for kind, name, _ in objects if kind == "table" and name not in CHANGING]
        rows = {name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"'))) for name in tables}
        return connection.execute("PRAGMA user_version").fetchone(), objects, rows


def older(place, number):
    """A version before this one, whose python says which schema it has, and this one, which is the current."""
    for name in ("0.0.1", "0.1.0"):
        version(place, name)
    program = place.at("/opt/sidelog/0.0.1/bin/python")
    program.write_text(f"#!/bin/sh\necho {number}\n")
    program.chmod(0o755)
    place.at(layout.PREVIOUS).symlink_to("0.0.1")
    place.at(layout.CURRENT).symlink_to("0.1.0")


def links(place):
    return [str(place.at(link).readlink()) for link in (layout.CURRENT, layout.PREVIOUS)]


@pytest.fixture
def place(tmp_path):
    return empty_machine(tmp_path / "machine")


class Kept:
    """An old store with its logs, and the commands on it."""

    def __init__(self, name, root, sidelog):
        root.mkdir()
        self.name, number = name, int(name[:3])
        self.store = unpack(self.name, root)
        self.log = root / "logs/app.log"
        self.config = write_config(root, number)
        self._sidelog = sidelog

    def run(self, *command, code=0):
        said = self._sidelog(*command, "-c", self.config)
        assert said.code == code, said
        return said

    def found(self):
        return len(self.run("query", "-n", "all", "-o", "json").out.splitlines())


@pytest.fixture
def kept(tmp_path, sidelog):
    return lambda number, names=OLD: Kept(names[number], tmp_path / "old", sidelog)


@pytest.mark.parametrize("number", OLD)
def test_up_and_back_with_nothing_lost(number, kept, place):
    old = kept(number)
    older(place, number)
    before = state(old.store)
    said = json.loads(old.run("upgrade-check", "--json").out)
    assert (said["store"]["schema"], said["schema"], said["ready"]) == (number, schema.VERSION, True)
    assert [row["schema"] for row in said["migrations"]] == list(range(number + 1, schema.VERSION + 1))
    assert state(old.store) == before, "a check changes nothing"
    old.run("run", "--once")
    copy = former.former_path(old.store, number)
    assert said["copy"] == str(copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert state(copy) == before
    with old.log.open("a") as log:
        log.write(line(55, message="since the upgrade"))
    old.run("run", "--once")
    assert old.found() == STORES[old.name]["found"] + 1
    done = {one.verb: one for one in upgrade.roll_back(place, old.store)}
    assert state(old.store) == before, "the older version finds what it has left"
    assert links(place) == ["0.0.1", "0.1.0"]
    assert ".replaced-" in done["restored"].note
    old.run("run", "--once")  # what the older one would read, the newest reads again: everything is there, once
    assert old.found() == STORES[old.name]["found"] + 1


@pytest.mark.soak
@pytest.mark.parametrize("number", MADE)
def test_the_older_version_itself_goes_on(number, kept, place, tmp_path):
    """The code that has made the store, from the history."""
    commits = STORES[MADE[number]]["commits"] or [LANDED[number]]
    if subprocess.run(["git", "cat-file", "-e", commits[-1]], cwd=ROOT, capture_output=True, check=False).returncode:
        limited("history", commits[-1])
    old = kept(number, MADE)
    older(place, number)
    old.run("run", "--once")
    with old.log.open("a") as log:
        log.write(line(55, message="since the upgrade"))
    old.run("run", "--once")
    list(upgrade.roll_back(place, old.store))
    code = tmp_path / "code"
    code.mkdir()
    packed = subprocess.run(["git", "archive", commits[-1], "agent"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", code], input=packed, check=True)

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "agent", *arguments, "-c", old.config],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(code), "TZ": "UTC"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("run", "--once")
    found = [json.loads(line) for line in run("query", "-n", "all", "-o", "json").splitlines()]
    assert len(found) == STORES[old.name]["found"] + 1
    assert len({(row["path"], row["offset"], row["body"]) for row in found}) == len(found), "one was read twice"
    run("audit")


# ------------------------------------------------------------ the copy


def test_without_room_for_the_copy_nothing_is_migrated(kept):
    old = kept(6)
    before = state(old.store)
    config = json.loads(old.config.read_text())
    config["store"]["min_free"] = "500TiB"
    old.config.write_text(json.dumps(config))
    checked = old.run("upgrade-check", code=3)
    assert "error[SL420]" in checked.err
    said = old.run("run", "--once", code=3)
    assert f"error[SL420]: the store {old.store} of schema version 6 was not migrated to {schema.VERSION}" in said.err
    assert state(old.store) == before
    assert former.former_stores(old.store) == []
    config["store"] |= {"min_free": "1MiB", "migration_copy": False}
    old.config.write_text(json.dumps(config))
    assert "there is no way back" in old.run("upgrade-check").out
    old.run("run", "--once")
    assert former.former_stores(old.store) == []


def test_a_store_that_cannot_be_migrated_is_not_copied_in_vain(kept):
    old = kept(4)
    with contextlib.closing(sqlite3.connect(old.store)) as connection:
        connection.execute("DROP TABLE deliveries")
    assert "error[SL415]" in old.run("upgrade-check", code=3).err
    old.run("run", "--once", code=3)
    assert former.former_stores(old.store) == []


def test_a_copy_goes_when_it_is_as_old_as_events_become(kept, tmp_path):
    old = kept(7)
    with contextlib.closing(open_store(old.store, min_free_bytes=0)) as opened:
        assert opened.former == former.former_path(old.store, 7)
        made = former.former_stores(old.store)[0].made
        retention = 10**9
        for age, now in ((None, made + 10**18), (retention, made + retention)):
            assert former.remove_old(old.store, age, now) == []
        others = [old.store.with_name(f"{old.store.name}{end}") for end in (".v", ".vx", ".v7.bak")]
        for path in others:
            path.touch()
        assert former.remove_old(old.store, retention, made + retention + 1) == [opened.former]
        assert all(path.exists() for path in others)


def test_a_new_store_and_one_of_this_version_need_no_copy(tmp_path, sidelog):
    store = tmp_path / "new.db"
    assert "there is no store" in sidelog("upgrade-check", "--store", store).out
    for _ in range(2):
        with contextlib.closing(open_store(store, min_free_bytes=0)) as opened:
            assert opened.former is None
    said = sidelog("upgrade-check", "--store", store)
    assert (said.code, "nothing is migrated" in said.out) == (0, True)


def test_the_version_before_may_do_it_too_where_the_newer_one_does_not_start(place, kept):
    """It is called by its path then, and the store is newer than it knows."""
    old = kept(7)
    older(place, 7)
    before = state(old.store)
    old.run("run", "--once")
    with contextlib.closing(sqlite3.connect(old.store)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    list(upgrade.roll_back(place, old.store))
    assert state(old.store) == before
    assert links(place) == ["0.0.1", "0.1.0"]


@pytest.mark.parametrize("starts", [False, True])
def test_a_way_back_that_was_interrupted_is_gone_to_its_end(place, kept, starts):
    """The store is the older one's already, the link not yet: the newer version may even have started on it."""
    old = kept(7)
    older(place, 7)
    before = state(old.store)
    old.run("run", "--once")
    steps = upgrade.roll_back(place, old.store)
    assert next(steps).verb == "restored"
    steps.close()
    assert links(place) == ["0.1.0", "0.0.1"]
    if starts:
        old.run("run", "--once")
    list(upgrade.roll_back(place, old.store))
    assert state(old.store) == before
    assert links(place) == ["0.0.1", "0.1.0"]


def test_what_is_said_of_a_store_counts_its_write_ahead_log(kept):
    old = kept(7)
    with contextlib.closing(sqlite3.connect(old.store)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("INSERT INTO meta VALUES ('large', ?)", ("x" * 1_000_000,))
        connection.commit()
        said = json.loads(old.run("upgrade-check", "--json").out)["store"]
        assert said["bytes"] > 1_000_000 > old.store.stat().st_size


# ------------------------------------------------------------ what is in the way


def refused(place, store):
    with pytest.raises(SidelogError) as caught:
        list(upgrade.roll_back(place, store))
    return caught.value


def test_without_a_version_before_it_says_what_to_do_instead(place, kept):
    old = kept(7)
    before = state(old.store)
    old.run("run", "--once")
    error = refused(place, old.store)
    assert (error.code, f"sidelog restore --force {old.store}.v7" in error.hint) == ("SL625", True)
    old.run("restore", "--force", f"{old.store}.v7")
    assert state(old.store) == before


def test_a_version_that_does_not_start_or_is_gone_is_not_gone_back_to(place, kept):
    old = kept(7)
    older(place, 7)
    python = place.at("/opt/sidelog/0.0.1/bin/python")
    python.write_text("#!/bin/sh\necho 'No module named agent' >&2\nexit 1\n")
    for _ in range(2):
        error = refused(place, old.store)
        assert (error.code, "/opt/sidelog/0.0.1 does not start" in error.message) == ("SL625", True)
        python.unlink(missing_ok=True)
    assert links(place) == ["0.1.0", "0.0.1"]


def test_a_version_that_does_not_understand_the_configuration_is_not_gone_back_to(place, kept):
    old = kept(7)
    older(place, 7)
    old.run("run", "--once")
    command = place.at("/opt/sidelog/0.0.1/bin/sidelog")
    for code, refuses in ((78, True), (1, False)):
        command.write_text(f"#!/bin/sh\necho \"$@\" >>$0.said\necho 'error SL103 web: unknown key'\nexit {code}\n")
        command.chmod(0o755)
        before = state(old.store)
        if refuses:
            with pytest.raises(SidelogError) as caught:
                list(upgrade.roll_back(place, old.store, old.config))
            assert caught.value.code == "SL625"
            assert f"does not understand {old.config}: error SL103 web: unknown key" in caught.value.message
            assert (state(old.store), links(place)) == (before, ["0.1.0", "0.0.1"])
        else:
            list(upgrade.roll_back(place, old.store, old.config))
            assert links(place) == ["0.0.1", "0.1.0"]
    assert set(command.with_name("sidelog.said").read_text().splitlines()) == {f"--quiet check -c {old.config}"}


def test_without_a_copy_the_store_stays_as_it_is(place, kept):
    old = kept(7)
    older(place, 6)
    old.run("run", "--once")
    before = state(old.store)
    assert refused(place, old.store).code == "SL421"
    assert state(old.store) == before
    assert links(place) == ["0.1.0", "0.0.1"]


def test_a_running_agent_is_in_the_way(place, kept):
    old = kept(7)
    older(place, 7)
    old.run("run", "--once")
    lock = StoreLock(old.store)
    lock.acquire()
    try:
        assert refused(place, old.store).code == "SL404"
    finally:
        lock.release()
    assert links(place) == ["0.1.0", "0.0.1"]


def test_where_either_version_reads_the_store_it_stays(place, kept):
    old = kept(7)
    older(place, schema.VERSION)
    old.run("run", "--once")
    inode = old.store.stat().st_ino
    assert [one.verb for one in upgrade.roll_back(place, old.store)] == ["linked", "linked"]
    assert old.store.stat().st_ino == inode
    assert links(place) == ["0.0.1", "0.1.0"]
