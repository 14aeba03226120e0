"""A group that may read: a member, who may write nothing, asks the store and its archives; anybody else cannot."""

from __future__ import annotations

import functools
import grp
import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.core import sharing
from tests.integration.harness import SIDELOG, Box, append, event, events, wait_until
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


READ = (
    *(
        ["query"],
        ["query", "--archives", "-n", "all"],
        ["query", "--by", "level"],
        ["query", "--bundle", "{home}/{run}.html", "1"],
    ),
    *(
        ["query", "--cursor-file", "{home}/{run}.cursor"],
        ["errors"],
        ["errors", "show", "1"],
        ["errors", "diff", "--at", "1h ago"],
    ),
    *(
        ["alerts"],
        ["alerts", "history"],
        ["alerts", "test", "r", "--since", "7d"],
        ["status"],
        ["status", "--json"],
        ["audit"],
    ),
    *(
        ["sql", "SELECT count(*) FROM logs"],
        ["archive"],
        ["archive", "list", "--json"],
        ["archive", "verify"],
        ["verify"],
    ),
    *(
        ["archive", "run", "--dry-run"],
        ["archive", "cat", "{archive}"],
        ["archive", "restore", "{archive}", "{home}/{run}.log"],
    ),
    *(["backup", "{home}/{run}.db"], ["backup", "{home}/{run}", "--keep", "2"], ["upgrade-check"], ["parse", "{log}"]),
)
WRITE = (
    *(["errors", "resolve", "1"], ["errors", "ignore", "1", "--for", "1h"], ["errors", "reopen", "1"]),
    *(["alerts", "silence", "r", "--for", "1h", "--comment", "x"], ["alerts", "unsilence", "r"], ["archive", "run"]),
    *(["run", "--once"], ["restore", "{home}/1.db", "--force"], ["archive", "run", "--reindex"]),
)


@pytest.mark.parametrize("stopped", [False, True], ids=["beside the agent", "without it"])
def test_every_command_that_reads_works_for_a_member_and_what_writes_says_who_may(box, stopped):
    rule = {"name": "r", "match": "severity>=error", "when": {"count": 1}}
    configure(box, TEAM.gr_name, alerts=[rule])
    append(box.logs / "app.log.1", events(0, 3))
    (box.logs / "app.log.1").chmod(0o600)
    append(box.log, events(3, 2) + event(5, "error", "no stock"))
    box.start(*SERVICE)
    box.wait_count(3)
    archive = wait_until(lambda: next(box.store.parent.rglob("*.zst"), None), what="an archive")
    wait_until(lambda: box.sql("SELECT count(*) FROM archives") == [(1,)], what="its row")
    if stopped:
        assert box.stop() == 0
    home = box.root / "home"
    home.mkdir()
    home.chmod(0o777)
    places = {"{home}": home, "{archive}": archive, "{log}": box.log}

    def with_places(commands):
        return [
            [functools.reduce(lambda text, name: text.replace(name, str(places[name])), places, word) for word in one]
            for one in commands
        ]

    for (code, _, err), one in zip(by(MEMBER, box, *with_places(READ)), READ, strict=True):
        assert code == 0, (one, err)
    for (code, out, err), one in zip(by(MEMBER, box, *with_places(WRITE)), WRITE, strict=True):
        assert (code, out, "SL999" in err, "error[SL4" in err) == (3, "", False, True), (one, err)
        assert "chown" not in err, "the store is not to be taken from its owner"
        if one[0] in ("errors", "alerts"):
            assert f"sudo -u {pwd.getpwuid(AGENT).pw_name} sidelog" in err
    for (code, out, err), one in zip(
        by(STRANGER, box, *with_places(READ[:-1] + WRITE), group=STRANGER), READ[:-1] + WRITE, strict=True
    ):
        assert (code, "SL999" in err, "no stock" in out, "event 3" in out) == (3, False, False, False), (one, out, err)
    assert modes(box) <= SHARED


def test_a_member_follows(box):
    append(box.log, events(0, 1))
    box.start(*SERVICE)
    box.wait_count(1)
    following = [
        *READING,
        *map(json.dumps, (MEMBER, MEMBER, TEAM.gr_gid, [["query", "-c", str(box.config), "-f", "-n", "1"]])),
        "follow",
    ]
    with subprocess.Popen(following, stdout=subprocess.PIPE, text=True, cwd=box.root, env=box.env) as process:
        assert "event 0" in process.stdout.readline()
        append(box.log, events(1, 1))
        assert "event 1" in process.stdout.readline()
        process.terminate()


def test_a_backup_in_a_directory_stays_its_makers_own(box):
    """It is there to be restored. A plain copy is the store once more, and is the group's."""
    append(box.log, events(0, 3))
    by_service(box, "run", "--once")
    by_service(box, "backup", box.store.parent / "sets", "--keep", "2")
    made = [path.lstat().st_mode & 0o077 for path in (box.store.parent / "sets").rglob("*")]
    assert (len(made) > 2, set(made)) == (True, {0})


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
