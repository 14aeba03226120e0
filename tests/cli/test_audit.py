"""`sidelog audit`: the books of every file, and the bytes of those that still exist."""

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.model import Gap
from tests.cli.stores import HOSTILE, error_batch, make, tailed
from tests.store.stores import ROOT


def change(store, *statements):
    """Tamper with a store."""
    connection = sqlite3.connect(store)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


# ------------------------------------------------------------ the books


def test_books_that_balance(sidelog, tmp_path):
    store = tmp_path / "s.db"
    batch, groups = error_batch([{"message": "a"}] * 2, file=tailed(1, f"/var/log/{HOSTILE}.log"))
    batch.events.blank_bytes = 3
    batch.events.gaps = [Gap(batch.events.end + 3, batch.events.end + 10, "hole")]
    batch.events.end += 10
    make(store, batches=[batch], groups=groups)
    said = sidelog("audit", "--store", store)
    assert said.code == 0
    end = batch.events.end
    assert said.out.startswith("ok  /var/log/\\x1b]0;gone")
    assert f": {end} bytes read = {end - 10} in 2 events + 3 blank + 7 in 1 gap; the file is gone" in said.out
    assert f"gap hole: bytes {end - 7} to {end}" in said.out
    assert "\x1b" not in said.out
    [row] = json.loads(sidelog("audit", "--json", "--store", store).out)
    assert (row["complete"], row["difference"], row["source"], row["compared"]) == (True, 0, "app", "gone")
    assert row["event_bytes"] + row["blank_bytes"] + row["gap_bytes"] == row["offset"]
    assert row["gaps"] == [{"from": end - 7, "to": end, "reason": "hole"}]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE files SET event_bytes = event_bytes - 5", "5 bytes are in no counter"),
        ("UPDATE files SET event_bytes = event_bytes - 5, gap_bytes = 5", "the gaps have 0 bytes, the books say 5"),
        ("UPDATE files SET events = events + 1", "only 2 of 3 events are in the store"),
        ("UPDATE files SET events = 1", "the store has 2 events of this file, its books say 1"),
        ('UPDATE events SET "offset" = "offset" - 4 WHERE id = 2', "stored twice"),
        ('UPDATE events SET "offset" = "offset" + 4 WHERE id = 2', "bytes lie between events, of which 0 are blank"),
        ("INSERT INTO gaps VALUES (1, 1, 3, 5, 'over_long', 0, '')", "lies inside of an event"),
        ("UPDATE events SET file_id = 9 WHERE id = 2", "which the store does not know"),
    ],
)
def test_whatever_is_wrong_with_the_books_is_named_and_fails(sidelog, tmp_path, damage, told):
    store = tmp_path / "s.db"
    batch, groups = error_batch([{"message": "a"}] * 2)
    make(store, batches=[batch], groups=groups)
    change(store, damage)
    said = sidelog("audit", "--store", store)
    assert said.code == 1
    assert "DIFFERS /var/log/app-1.log" in said.out
    assert told in said.out
    assert re.search(r"1 of 1 file differs|2 of 2 files differ", said.err)
    assert sidelog("audit", "--json", "--store", store).code == 1


def test_quick_adds_up_the_books_and_compares_nothing(sidelog, tmp_path):
    store = tmp_path / "s.db"
    batch, groups = error_batch([{"message": "a"}] * 2)
    make(store, batches=[batch], groups=groups)
    change(store, "UPDATE files SET events = events + 1")
    said = sidelog("audit", "--quick", "--store", store)
    assert (said.code, "not compared" in said.out) == (0, True)
    change(store, "UPDATE files SET event_bytes = event_bytes - 5")
    assert sidelog("audit", "--quick", "--json", "--store", store).code == 1


def test_an_empty_store_balances(sidelog, tmp_path):
    make(tmp_path / "s.db")
    assert sidelog("audit", "--store", tmp_path / "s.db").code == 0
    assert json.loads(sidelog("audit", "--json", "--store", tmp_path / "s.db").out) == []
    assert sidelog("audit", "--store", tmp_path / "none.db").code == 3


# ------------------------------------------------------------ real files, read by the real agent

DOUBLE = """
INSERT INTO events (id, timestamp, observed_timestamp, severity_number, file_id, "offset", record)
SELECT 301, timestamp, 1, 1, file_id, "offset", record FROM events WHERE id = 300
"""
LINES = [
    b'{"level":"info","message":"json line"}',
    b"plain text with \xff bytes",
    b'{"level":"error","message":"with a carriage return"}\r',
    "Zeile mit Umlaut ä".encode(),
    b"",
    b"\r",
    b'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\n\nValueError: bad',
    b'{"n":1e999,"n":2,"message":"odd"}',
    b"x" * 5000,
    b"\0\0\0\0after a hole",
    b"\xef\xbb\xbfwith a mark",
]


class Followed:
    """A directory of log files and a store into which the agent has read them."""

    def __init__(self, sidelog, root):
        self.sidelog = sidelog
        self.logs = root / "logs"
        self.logs.mkdir()
        self.log = self.logs / "app.log"
        self.store = root / "s.db"
        self.settings = []

    def read(self):
        said = self.sidelog(
            "run", "--once", f"{self.logs}/*.log", "--store", self.store, "--set", "store.min_free=1KiB", *self.settings
        )
        assert said.code == 0, said.err

    def audit(self, code=0):
        said = self.sidelog("audit", "--json", "--store", self.store)
        assert said.code == code, said.out
        return json.loads(said.out)


@pytest.fixture
def followed(sidelog, tmp_path):
    return Followed(sidelog, tmp_path)


def mixture(seed, count=400):
    chosen = random.Random(seed)
    return b"".join(chosen.choice(LINES) + b"\n" for _ in range(count))


@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_is_compared_to_the_last_byte(followed, seed):
    """JSON, text, traces, blank lines, over-long lines, holes: all bytes are compared, save those of skipped lines."""
    data = mixture(seed) + b"unterminated"
    followed.log.write_bytes(data)
    config = followed.logs.parent / "sidelog.yaml"
    source = f"{{name: app, include: [{followed.log}], max_line: 4KiB}}"
    config.write_text(f"store: {{path: {followed.store}, min_free: 1KiB}}\nsources: [{source}]\n")
    assert followed.sidelog("run", "--once", "-c", config).code == 0
    [file] = followed.audit()
    skipped = sum(gap["to"] - gap["from"] for gap in file["gaps"] if gap["reason"] == "over_long")
    assert file["offset"] == len(data)
    assert file["compared_bytes"] == len(data) - skipped
    assert {gap["reason"] for gap in file["gaps"]} == {"over_long", "hole"}


@pytest.mark.parametrize("place", [0, 10, 2000, -300, -5])
def test_a_byte_that_was_changed_is_found_wherever_it_lies(followed, place):
    data = bytearray(b"".join(b'{"n":%d,"message":"abcdefgh"}\n' % n for n in range(300)))
    followed.log.write_bytes(data)
    followed.read()
    at = place % len(data)
    with followed.log.open("r+b") as file:
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))
    [file] = followed.audit(code=1)
    assert (file["complete"], file["difference_count"], file["difference"]) == (False, 1, 0)
    [difference] = file["differences"]
    assert difference["offset"] == at
    assert "the file has" in difference["what"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM events WHERE id = 150", "are in no event"),
        ("DELETE FROM events WHERE id = 300", "are in no event"),
        ("DELETE FROM events WHERE id BETWEEN 2 AND 300", "only 1 of 300"),
        ("UPDATE events SET record = replace(record, 'abc', 'abd') WHERE id = 7", "where the event at"),
        (DOUBLE, "stored twice"),
    ],
)
def test_a_line_that_was_lost_doubled_or_altered_is_found(followed, damage, told):
    followed.log.write_bytes(b"".join(b'{"n":%d,"message":"abcdefgh"}\n' % n for n in range(300)))
    followed.read()
    change(followed.store, damage)
    [file] = followed.audit(code=1)
    assert any(told in difference["what"] for difference in file["differences"]), file["differences"]


def test_only_the_first_differences_are_told_and_all_are_counted(followed):
    followed.log.write_bytes(b"".join(b'{"n":%d,"message":"abcdefgh"}\n' % n for n in range(300)))
    followed.read()
    change(followed.store, "UPDATE events SET record = replace(record, 'abc', 'abd') WHERE id <= 50")
    [file] = followed.audit(code=1)
    assert (len(file["differences"]), file["difference_count"]) == (10, 50)
    assert "and 40 differences more" in followed.sidelog("audit", "--store", followed.store).out


def test_deleted_events_are_expired_and_what_is_left_is_compared(followed):
    """Retention deletes the oldest first: their bytes are counted, the others are still judged."""
    line = b'{"n":%03d,"message":"abcdefgh"}\n'
    followed.log.write_bytes(b"".join(line % n for n in range(300)))
    followed.read()
    change(followed.store, "DELETE FROM events WHERE id <= 100")
    [file] = followed.audit()
    assert file["expired_bytes"] == 100 * len(line % 0)
    assert file["compared_bytes"] == 200 * len(line % 0)
    change(followed.store, "DELETE FROM events WHERE id = 200")
    followed.audit(code=1)
    change(followed.store, "DELETE FROM events")
    [file] = followed.audit()
    assert (file["expired_bytes"], file["compared_bytes"]) == (300 * len(line % 0), 0)


def test_a_file_first_read_after_a_deletion_must_still_be_whole(followed):
    followed.log.write_bytes(b'{"n":1}\n' * 10)
    followed.read()
    change(followed.store, "DELETE FROM events WHERE id <= 5")
    (followed.logs / "b.log").write_bytes(b'{"n":2}\n' * 10)
    followed.read()
    assert [file["expired_bytes"] for file in followed.audit()] == [40, 0]
    change(followed.store, 'UPDATE events SET "offset" = "offset" + 8 WHERE file_id = 2')
    assert [file["complete"] for file in followed.audit(code=1)] == [True, False]


def test_redacted_events_are_said_and_only_their_lines_counted(followed):
    """What was hidden on purpose cannot be compared byte for byte; the lines around it are."""
    lines = [
        b'{"n":1,"message":"plain"}\n',
        b'{"n":2,"password":"hunter2","message":"hidden"}\n',
        b"login password=hunter2 from somewhere\n",
        b'{"n":3,"message":"plain"}\n',
    ]
    followed.log.write_bytes(b"".join(lines) * 50)
    config = followed.logs.parent / "sidelog.yaml"
    source = f"{{name: app, include: [{followed.log}], redact: [password]}}"
    config.write_text(f"store: {{path: {followed.store}, min_free: 1KiB}}\nsources: [{source}]\n")
    assert followed.sidelog("run", "--once", "-c", config).code == 0
    [file] = followed.audit()
    assert file["redacted_events"] == 100
    assert file["compared_bytes"] == 50 * (len(lines[0]) + len(lines[3]))
    change(followed.store, "DELETE FROM events WHERE id = 5")
    followed.audit(code=1)


def test_a_renamed_file_is_found_in_its_directory(followed):
    followed.log.write_bytes(b'{"n":1}\n' * 10)
    followed.read()
    followed.log.rename(followed.logs / "app.log.7")
    [file] = followed.audit()
    assert (file["compared"], file["compared_bytes"]) == ("whole", 80)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("unlink", "gone"), ("replace", "replaced"), ("truncate", "truncated"), ("rewrite", "replaced"), ("fifo", "gone")],
)
def test_a_file_that_is_not_there_any_more_is_no_difference(followed, name, verdict):
    followed.log.write_bytes(b"".join(b'{"n":%d}\n' % n for n in range(1000)))
    followed.read()
    if name == "truncate":
        os.truncate(followed.log, 50)
    elif name == "rewrite":  # in place, and longer than before
        with followed.log.open("r+b") as file:
            file.write(b"".join(b'{"m":%d}\n' % n for n in range(5000)))
    else:
        other = followed.logs / "other"
        if name == "fifo":
            os.mkfifo(other)
        else:
            other.write_bytes(b"something else\n")
        if name == "unlink":
            followed.log.unlink()
        else:
            other.rename(followed.log)
    [file] = followed.audit()
    assert (file["compared"], file["compared_bytes"], file["complete"]) == (verdict, 0, True)


def test_a_file_that_lost_its_end_is_compared_as_far_as_it_goes(followed):
    followed.log.write_bytes(b'{"n":1}\n' * 1000)
    followed.read()
    change(followed.store, "UPDATE files SET state = 'rotated'")
    os.truncate(followed.log, 4004)
    [file] = followed.audit()
    assert (file["compared"], file["compared_bytes"]) == ("partly", 4000)
    assert "the file's end is gone" in followed.sidelog("audit", "--store", followed.store).out


def test_a_line_finished_after_the_end_was_stored(followed):
    """A last line without newline was stored; its newline, or more of it, came later: no byte counts twice."""
    followed.log.write_bytes(b'{"n":1}\nhalf')
    followed.read()
    with followed.log.open("ab") as file:
        file.write(b" a line\n\nmore")
    followed.read()
    [file] = followed.audit()
    assert (file["complete"], file["compared_bytes"]) == (True, len(b'{"n":1}\nhalf a line\n\nmore'))


def test_a_terminal_gets_a_progress_bar_and_a_pipe_none(followed):
    """On a real pseudo terminal; what is data goes to standard output alone."""
    followed.log.write_bytes(b'{"n":1}\n' * 1000)
    followed.read()
    primary, secondary = os.openpty()
    command = [sys.executable, "-m", "agent", "audit", "--store", str(followed.store)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=secondary, cwd=ROOT, check=True, timeout=30)
    os.close(secondary)
    said = os.read(primary, 1 << 16).decode()
    os.close(primary)
    assert "comparing" in said
    assert done.stdout.startswith(b"ok")
    assert b"comparing" not in done.stdout
    assert "comparing" not in followed.sidelog("audit", "--store", followed.store).err


def test_many_gaps_are_cut(followed):
    followed.log.write_bytes(b"\0\0\0\0{}\n" * 12)
    followed.read()
    said = followed.sidelog("audit", "--store", followed.store)
    assert (said.code, said.out.count("gap hole")) == (0, 10)
    assert "and 2 gaps more" in said.out


def test_expired_and_redacted_are_said(followed):
    followed.log.write_bytes(b'{"n":1}\n{"n":2,"pw":"hunter2"}\n')
    followed.read()
    change(
        followed.store,
        "DELETE FROM events WHERE id = 1",
        "UPDATE events SET record = replace(record, 'hunter2', '[redacted]')",
    )
    said = followed.sidelog("audit", "--store", followed.store)
    assert said.code == 0
    assert said.out.endswith("0 compared, 8 expired, 1 event redacted, their lines counted only\n")
    followed.log.unlink()
    assert followed.audit()[0]["compared"] == "gone"


@pytest.mark.parametrize("where", ["path", "fifo", "generation"])
def test_another_file_in_its_place_is_never_compared(followed, where, monkeypatch):
    """Not under its first name, not a pipe, and not a new file with the old inode."""
    followed.log.write_bytes(b'{"n":1}\n')
    followed.read()
    if where == "path":
        change(followed.store, "UPDATE files SET current_path = current_path || '.1'")
        assert followed.audit()[0]["compared"] == "whole"
    elif where == "fifo":
        followed.log.unlink()
        os.mkfifo(followed.log)
        assert followed.audit()[0]["compared"] == "gone"
    else:
        change(followed.store, "UPDATE files SET generation = 12345")
        monkeypatch.setattr("agent.tail.identity.generation", lambda _: 54321)
        assert followed.audit()[0]["compared"] == "replaced"


def test_what_cannot_be_read_is_said(followed, monkeypatch):
    followed.log.write_bytes(b'{"n":1}\n')
    followed.read()

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("agent.tail.identity.generation", fail)
    assert followed.audit()[0]["compared"] == "unreadable"
    monkeypatch.setattr("agent.tail.files.open_checked", fail)
    assert followed.audit()[0]["compared"] == "unreadable"


def test_more_files_than_are_kept_open(followed, monkeypatch):
    monkeypatch.setattr("agent.store.audit._MOST_OPEN", 3)
    monkeypatch.setattr("agent.store.audit._PAGE_ROWS", 7)
    for turn in range(3):
        for number in range(10):
            with (followed.logs / f"{number}.log").open("ab") as file:
                file.write(b'{"turn":%d}\n' % turn * 5)
        followed.read()
    assert [file["compared_bytes"] for file in followed.audit()] == [11 * 15] * 10
    assert len([*Path("/proc/self/fd").iterdir()]) < 60
