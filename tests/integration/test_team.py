"""A group that may read: a member, who may write nothing, asks the store and its archives; anybody else cannot."""

from __future__ import annotations

import grp
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.core import sharing
from tests.integration.harness import SIDELOG, Box, append, events, wait_until
from tests.needs import needs
from tests.stores.world import unpack

pytestmark = needs("root", "util-linux")

AGENT, MEMBER, STRANGER = 65_534, 1, 2
TEAM = grp.getgrnam("games")
# To read is all that the agent's user may do beyond its rights: the interpreter may lie where it cannot.
CAPABILITY = "-all,+dac_read_search"
PLAIN = ["setpriv", f"--reuid={AGENT}", f"--regid={AGENT}", f"--inh-caps={CAPABILITY}", f"--ambient-caps={CAPABILITY}"]
SERVICE = [*PLAIN, f"--groups={TEAM.gr_gid}"]
READING = [sys.executable, str(Path(__file__).with_name("reading.py"))]


@pytest.fixture
def box():
    """In a directory that every user reaches: those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        found = Box(Path(folder))
        found.env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
        found.store.parent.mkdir(mode=0o700)
        os.chown(found.store.parent, AGENT, AGENT)
        found.logs.chmod(0o777)
        configure(found, TEAM.gr_name)
        yield found
        found.kill()


def configure(box, group, **more):
    box.configure(store={"group": group})
    document = json.loads(box.config.read_text())
    document["archive"] = {"quiet": "0s", "group": group, "directory": str(box.store.parent / "archive")}
    box.config.write_text(json.dumps(document | more))


def by(user, box, *commands, group=TEAM.gr_gid):
    """(exit code, output, errors) of each command by a user without any right to write."""
    lines = [one if one[0] == "sqlite" else [one[0], "-c", str(box.config), *one[1:]] for one in commands]
    done = subprocess.run(
        [*READING, *map(json.dumps, (user, user, group, lines))],
        capture_output=True,
        text=True,
        cwd=box.root,
        env=box.env,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def by_service(box, *arguments, as_whom=SERVICE):
    command, *rest = map(str, arguments)
    done = subprocess.run(
        [*as_whom, *SIDELOG, command, "-c", str(box.config), *rest],
        capture_output=True,
        text=True,
        cwd=box.root,
        env=box.env,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def counted(box, *more, user=MEMBER, group=TEAM.gr_gid):
    """How many events a user who only reads finds, by the program and by SQLite; -1 where they see nothing. With
    further commands also what these say.
    """
    plain = ["sqlite", str(box.store), "SELECT count(*) FROM events"]
    asked, said, *others = by(user, box, ["query", "--count"], plain, *more, group=group)
    assert (asked[0] == 0) == (said[0] == 0), (asked, said)
    if asked[0]:
        assert (asked[0], "SL406" in asked[2]) == (3, True), asked
        return -1
    assert asked[1].strip() == said[1]
    return (int(said[1]), *others) if more else int(said[1])


def modes(box):
    """(mode, group) of all files and directories of the agent, each once."""
    found = [box.store.parent, *(path for path in box.store.parent.rglob("*") if path.name != ".sidelog.lock")]
    return {(oct(path.lstat().st_mode & 0o777), path.lstat().st_gid == TEAM.gr_gid) for path in found}


SHARED = {("0o750", True), ("0o640", True)}


def test_a_member_reads_while_the_agent_runs_and_while_it_does_not(box):
    append(box.log, events(0, 3))
    box.start(*SERVICE)
    box.wait_count(3)
    assert counted(box) == 3
    append(box.log, events(3, 2))
    box.wait_count(5)
    count, status, errors = counted(box, ["status", "--json"], ["errors"])
    document = json.loads(status[1])
    assert (count, document["agent"]["running"], document["events"]["total"], errors[0]) == (5, True, 5, 0)
    assert counted(box, user=STRANGER, group=STRANGER) == -1
    assert box.stop() == 0
    count, status = counted(box, ["status"])
    assert (count, status[0]) == (5, 0)
    append(box.log, events(5, 1))
    box.start(*SERVICE)
    box.wait_count(6)
    box.kill()
    count, refused = counted(box, ["errors", "resolve", "1"])
    assert (count, refused[0] != 0) == (6, True), "what a killed agent leaves can be read as well"
    assert modes(box) <= SHARED


def test_the_group_stays_with_what_becomes_of_the_store_and_goes_with_the_key(box):
    """Archives, backup, restore, repair; then without the key everything is the agent's own again."""
    append(box.log, events(0, 200))
    by_service(box, "run", "--once")
    box.log.rename(box.logs / "app.log.1")
    (box.logs / "app.log.1").chmod(0o600)
    os.chown(box.logs / "app.log.1", AGENT, AGENT)
    by_service(box, "archive", "run")
    verified, archived = by(MEMBER, box, ["archive", "verify"], ["query", "--archives", "-n", "all"])
    assert (verified[0], len(archived[1].splitlines())) == (0, 200)
    copy = box.store.parent / "copy.db"
    by_service(box, "backup", copy)
    assert modes(box) == SHARED
    assert box.run("restore", copy, "--force").returncode == 0  # by root
    copy.unlink()
    for former in box.store.parent.glob("*.replaced-*"):
        former.unlink()
    assert modes(box) == SHARED
    with box.store.open("r+b") as file:
        file.seek(-16_384, os.SEEK_END)
        file.write(b"\xff" * 16_384)
    by_service(box, "verify", "--repair")
    for former in box.store.parent.glob("*.damaged-*"):
        former.unlink()
    assert modes(box) == SHARED
    assert counted(box) > 0
    configure(box, None)
    by_service(box, "run", "--once")
    assert {mode for mode, _ in modes(box)} == {"0o700", "0o600"}
    assert counted(box) == -1


def test_what_the_store_was_is_shared_and_taken_back_with_it(box):
    """The copy before a migration, which the agent has made for itself alone, and a store that was moved aside."""
    unpacked = unpack("007-plain-ids", box.root / "old")
    unpacked.rename(box.store)
    copy, aside = (box.store.with_name(f"{box.store.name}.{end}") for end in ("v7", "replaced-20261122T080000Z"))
    aside.touch(0o600)
    linked, mine = (box.store.with_name(f"{box.store.name}.{end}") for end in ("v6", "v7.bak"))
    linked.symlink_to(box.config)
    mine.touch(0o600)
    for path in (box.store, aside, mine):
        os.chown(path, AGENT, AGENT)
    by_service(box, "run", "--once")
    plain = ["sqlite", f"{copy}?immutable=1&", "SELECT count(*) FROM events"]
    for user, group, code in ((MEMBER, TEAM.gr_gid, 0), (STRANGER, STRANGER, 1)):
        assert by(user, box, plain, group=group)[0][0] == code
    for path in (copy, aside):
        assert (path.stat().st_mode & 0o777, path.stat().st_gid) == (0o640, TEAM.gr_gid)
    assert mine.stat().st_mode & 0o777 == 0o600
    config = box.config.stat().st_mode
    configure(box, None)
    by_service(box, "run", "--once")
    assert {path.stat().st_mode & 0o777 for path in (copy, aside)} == {0o600}
    assert box.config.stat().st_mode == config


def test_a_group_that_the_agent_is_no_member_of_is_told_and_nothing_is_opened(box):
    append(box.log, events(0, 1))
    by_service(box, "run", "--once", as_whom=[*PLAIN, "--clear-groups"])
    told = box.sql("SELECT code FROM own_errors WHERE active")
    assert ("SL416",) in told
    assert {mode for mode, _ in modes(box)} == {"0o700", "0o600"}


def test_a_reload_shares_and_takes_back(box):
    configure(box, None)
    box.start(*SERVICE)
    for group, there in ((TEAM.gr_name, True), (None, False)):
        configure(box, group)
        said = box.said().count("configuration reloaded")
        box.process.send_signal(1)
        wait_until(lambda before=said: box.said().count("configuration reloaded") > before)
        assert (box.store.stat().st_mode & 0o040 == 0o040) == there
    assert box.stop() == 0


def test_an_unknown_group_is_a_configuration_error(box):
    configure(box, "gmes")
    done = box.run("query")
    assert (done.returncode, b"store.group" in done.stderr, b"did you mean 'games'" in done.stderr) == (78, True, True)


def test_a_link_is_not_followed(tmp_path):
    """Root works in the directory of the agent's user, who could lay one there."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    (tmp_path / "link").symlink_to(secret)
    for change in (sharing.share_file, sharing.share_directory):
        with pytest.raises(OSError, match="another kind"):
            change(tmp_path / "link", TEAM.gr_gid)
    sharing.narrow(tmp_path / "link", 0)
    assert secret.stat().st_mode & 0o777 == 0o600
