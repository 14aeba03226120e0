"""`sidelog selftest`: the kill loop finds nothing on a sound program, and everything on an unsound one."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import killloop
from agent.cli.killloop import KillLoop, LogWriter, Verdict, line
from agent.core.errors import SidelogError
from tests.store.stores import ROOT

pytestmark = pytest.mark.measured


def left(directory):
    return [path.name for path in directory.iterdir() if path.name.startswith("sidelog-selftest-")]


def nothing(*_):
    """No progress."""


def test_kills_neither_lose_nor_double(sidelog, tmp_path):
    """Real kills of real agents: one line with the verdict, and nothing is left behind."""
    said = sidelog("selftest", "--kill9", "4", "--dir", tmp_path, "--seed", "5")
    assert said.code == 0, said.out + said.err
    assert said.out.startswith("selftest: 4 kills, ")
    assert "lost 0, doubled 0, altered 0 (" in said.out
    assert said.out.count("\n") == 1
    assert left(tmp_path) == []


def test_as_json_and_beside_the_store(sidelog, tmp_path):
    """Without --dir the test runs on the disk of the store, whose directory need not exist yet."""
    store = tmp_path / "not" / "yet" / "s.db"
    said = sidelog("selftest", "--kill9", "1", "--json", "--store", store)
    document = json.loads(said.out)
    assert (said.code, document["passed"], document["kills"], document["kept"]) == (0, True, 1, None)
    assert document["lines"] > 0
    assert not store.parent.exists()
    assert left(tmp_path) == []


DOUBLE = """
INSERT INTO events (timestamp, observed_timestamp, severity_number, file_id, "offset", record)
SELECT 1, 1, 1, 1, "offset", record FROM events WHERE id = 2
"""


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("DELETE FROM events WHERE id IN (1, 3)", ("lost 2, doubled 0, altered 0", "lost: line 0 and 1 other\n")),
        (
            DOUBLE,
            ("lost 0, doubled 1, altered 0", "doubled: line 1"),
        ),
        (
            "UPDATE events SET record = replace(record, 'info', 'warn') WHERE id = 2",
            ("lost 0, doubled 0, altered 1", 'altered: {"seq":1'),
        ),
        ("UPDATE events SET record = '{}' WHERE id = 2", ("lost 1, doubled 0, altered 1", "altered: {}")),
    ],
)
def test_a_bad_store_is_judged_bad(sidelog, tmp_path, monkeypatch, damage, expected):
    """Lines that were lost, doubled or altered are counted, and what was found is kept."""
    judge = KillLoop._judge

    def spoil(self, verdict):
        connection = sqlite3.connect(self.store)
        connection.execute(damage)
        connection.commit()
        connection.close()
        judge(self, verdict)

    monkeypatch.setattr(KillLoop, "_judge", spoil)
    said = sidelog("selftest", "--kill9", "1", "--dir", tmp_path, "--seed", "7")
    assert said.code == 1
    assert expected[0] in said.out
    assert expected[1] in said.err
    [kept] = left(tmp_path)
    assert kept in said.err
    assert "--seed 7" in said.err


def test_lines_follow_from_seed_and_number():
    assert line(1, 2) == line(1, 2)
    assert len({line(seed, number) for seed in range(5) for number in range(200)}) == 1000
    assert all(json.loads(line(3, number))["seq"] == number for number in range(50))


def test_the_writer_rotates_at_whole_lines(tmp_path, monkeypatch):
    writer = LogWriter(tmp_path / "app.log", 3, rotate_s=(0.02, 0.05))
    writer.start()
    while writer.rotations < 4:
        assert writer.is_alive()
    writer.finish()
    names = [*(f"app.log.{number}" for number in range(1, writer.rotations + 1)), "app.log"]
    parts = [(tmp_path / name).read_bytes() for name in names if (tmp_path / name).exists()]
    assert all(part.endswith(b"\n") for part in parts if part)
    assert b"".join(parts).decode().splitlines() == [line(3, number) for number in range(writer.lines)]


def test_a_directory_that_cannot_be_used_is_one_sentence(sidelog, tmp_path, monkeypatch):
    said = sidelog("selftest", "--dir", tmp_path / "none")
    assert (said.code, said.out) == (1, "")
    assert "error[SL550]" in said.err
    monkeypatch.setattr(killloop, "_SPACE_BYTES", 2**62)
    said = sidelog("selftest", "--dir", tmp_path)
    assert "MiB are needed" in said.err
    assert left(tmp_path) == []


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    writer = LogWriter(tmp_path / "none" / "app.log", 3)
    writer.start()
    with pytest.raises(SidelogError, match="cannot be used") as caught:
        writer.finish()
    assert caught.value.code == "SL550"


@pytest.mark.parametrize("damaged", ["start", "once"])
def test_an_agent_that_ends_by_itself_is_told_with_its_last_words(tmp_path, monkeypatch, damaged):
    """Its output is kept for a look."""
    ask = killloop.Launcher.ask

    def spoil(self, command):
        if command == damaged:
            (tmp_path / "other.db").write_text("no database")
            config = next(tmp_path.glob("sidelog-selftest-*/sidelog.json"))
            document = json.loads(config.read_text())
            document["store"]["path"] = str(tmp_path / "other.db")
            config.write_text(json.dumps(document))
        return ask(self, command)

    monkeypatch.setattr(killloop.Launcher, "ask", spoil)
    with pytest.raises(SidelogError, match="exit code 3") as caught, KillLoop(tmp_path, 1, 1) as loop:
        loop.run(nothing)
    assert caught.value.code == "SL551"
    assert "hint" in caught.value.message
    assert Path(caught.value.subject).exists()


def test_a_launcher_that_dies_is_told(tmp_path):
    with KillLoop(tmp_path, 1, 1) as loop:
        launcher = killloop.Launcher(loop.root / "none.json", loop.log)
        launcher._process.kill()
        launcher._process.wait()
        with pytest.raises(SidelogError, match="launcher of the agents has ended") as caught:
            launcher.ask("wait")
        launcher.close()
    assert "nothing" in caught.value.message


def test_the_launcher_leaves_no_agent_behind(tmp_path):
    """At the end of its input it kills what it has started."""
    logs = tmp_path / "logs"
    logs.mkdir()
    config = tmp_path / "c.json"
    source = {"name": "a", "include": [f"{logs}/*.log"]}
    config.write_text(json.dumps({"store": {"path": str(tmp_path / "s.db"), "min_free": "1KiB"}, "sources": [source]}))
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli.killloop", config, tmp_path / "log"],
        input="start\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=30,
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_a_verdict_passes_only_without_any_fault():
    assert Verdict(1).passed
    assert not any(Verdict(1, **{fault: 1}).passed for fault in ("lost", "doubled", "altered"))
