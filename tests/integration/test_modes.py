"""Whatever the umask is: what the agent and its commands make is for their user alone."""

import json
import os
import re
import subprocess

import pytest

from agent.store import former
from tests.integration.archiving import age, archives, configure
from tests.integration.harness import SIDELOG, append, events, wait_until
from tests.needs import needs
from tests.stores.world import unpack, write_config

pytestmark = needs("zstd")


@pytest.fixture
def open_mask():
    """What is made without a word about its mode is open to everybody."""
    former_mask = os.umask(0)
    yield
    os.umask(former_mask)


def open_to_others(folder):
    """All in it that somebody else may read, write or enter, with the modes."""
    found = {path: path.lstat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    return {str(path): oct(mode) for path, mode in found.items() if mode & 0o077}


def test_a_days_work_leaves_nothing_that_others_may_read(box, open_mask):
    """Live ingest, a hook, rotation by sidelog, archives, backups, a cursor, a bundle, what is restored."""
    configure(box, {"rotate": {"size": "20KiB", "keep": 3}})
    document = json.loads(box.config.read_text())
    document["alerts"] = [
        {"name": "any", "match": "severity>=error", "when": {"count": 1}, "window": "1m", "hooks": ["page"]}
    ]
    document["hooks"] = {"page": {"exec": ["cat"]}}
    box.config.write_text(json.dumps(document))
    box.log.touch(0o600)
    made = box.root / "made"
    made.mkdir(0o700)
    before = {*box.root.rglob("*")}
    old = box.logs / "app.log.2"
    old.touch(0o600)
    append(old, events(0, 50))
    age(old)
    box.start()
    append(box.log, events(50, 300, level="error"))
    wait_until(lambda: len(archives(box)) == 2, what="both archives")
    wait_until(lambda: '"delivered"' in box.said(), what="the page")
    during = open_to_others(box.store.parent)
    for command in (
        ("query", "-n", "5", "--cursor-file", made / "cursor"),
        ("query", "--bundle", made / "bundle.html", "1"),
        ("backup", made / "copy.db"),
        ("backup", made / "sets", "--keep", "2"),
        ("backup", made / "sets", "--keep", "2"),
        ("archive", "restore", archives(box)[0].name, made / "back.log"),
        ("selftest", "--kill9", "1", "--json"),
    ):
        done = box.run(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert box.stop() == 0
    assert during == {}
    assert box.run("restore", made / "copy.db", "--store", made / "new/back.db").returncode == 0
    ours = {box.config, box.stderr, box.logs}  # made by the test, whose mask is that too
    new = {path for path in box.root.rglob("*") if path not in before | ours}
    assert {made / "cursor", made / "bundle.html", made / "back.log", made / "new/back.db"} <= new
    assert {str(path): oct(mode) for path in new if (mode := path.lstat().st_mode & 0o777) & 0o077} == {}


def test_the_copy_before_a_migration_is_its_owners(tmp_path, box, open_mask):
    folder = tmp_path / "old"
    folder.mkdir(0o700)
    store = unpack("005-removals", folder)
    box.config = write_config(folder, 5)
    assert box.run("run", "--once").returncode == 0
    copy = former.former_path(store, 5)
    assert copy.exists()
    beside = {path.name: path.stat().st_mode & 0o777 for path in store.parent.iterdir() if path.is_file()}
    assert {name: oct(mode) for name, mode in beside.items() if mode & 0o077 and name.startswith(copy.name)} == {}


@needs("strace", "tracing")
def test_no_file_is_open_to_others_even_for_a_moment(box, open_mask):
    """Where a store is repaired: its copies, its log's copy, and what SQLite makes beside them."""
    box.log.touch(0o600)
    append(box.log, events(0, 3000))
    box.once()
    box.start()
    append(box.log, events(3000, 5))
    box.wait_count(3005)
    box.kill()
    assert box.store.with_name("sidelog.db-wal").stat().st_size > 0
    os.truncate(box.store, box.store.stat().st_size - 16_384)
    trace = box.root / "trace"
    before = {*map(str, box.root.rglob("*"))}
    tracing = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=open,openat,creat,mkdir,mkdirat", "-o", str(trace)]
    repair = [*tracing, *SIDELOG, "verify", "-c", str(box.config), "--repair"]
    done = subprocess.run(repair, cwd=box.root, env=box.env, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    made = {}
    for path, mode in re.findall(r'"(/[^"]+)", (?:[^)\n]*O_CREAT[^)\n]*, )?(0\d+)\) += \d', trace.read_text()):
        if path.startswith(str(box.root)) and path not in before:
            made.setdefault(path, int(mode, 8))  # who opens it again may name another mode
    assert any(path.endswith("-wal") and "filled" in path for path in made)
    assert {path: oct(mode) for path, mode in made.items() if mode & 0o077} == {}
