"""`sidelog verify`: finds damage, and saves what can be read around it."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from agent.store import salvage, verify
from agent.store.schema import PAGE_SIZE_BYTES
from tests.store.stores import NOW, events, gap, python, store_at, stored, tailed, transaction, update, write


def change(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def rows(path, statement):
    connection = sqlite3.connect(path)
    found = connection.execute(statement).fetchall()
    connection.close()
    return found


def pages(path, kind, text=b""):
    """The numbers of the b-tree pages of one kind (13: leaf of a table, 5: inner page) that hold a text."""
    data = path.read_bytes()
    count = len(data) // PAGE_SIZE_BYTES
    parts = [data[n * PAGE_SIZE_BYTES : (n + 1) * PAGE_SIZE_BYTES] for n in range(count)]
    return [number for number, part in enumerate(parts) if number and part[0] == kind and text in part]


def spoil(path, *numbers):
    """Overwrite whole pages, as a failing disk does."""
    with path.open("r+b") as file:
        for number in numbers:
            file.seek(number * PAGE_SIZE_BYTES)
            file.write(b"\xa5" * PAGE_SIZE_BYTES)


@pytest.fixture
def store(tmp_path):
    """Two files, 6,000 events in turns, groups, gaps and rollups."""
    path = tmp_path / "s.db"
    with store_at(path) as opened:
        files = [tailed(1), tailed(2)]
        for _ in range(30):
            for file in files:
                batch = events(file.offset, count=100, timestamp=NOW, step_ns=10**9)
                batch.gaps = [gap(batch.end, batch.end + 9)]
                batch.end += 9
                write(opened, transaction(stored(file, batch), groups=[update()]))
    return path


def test_a_sound_store_is_sound(sidelog, store):
    said = sidelog("verify", "--store", store)
    assert (said.code, said.out) == (0, "")
    assert "is sound" in said.err
    document = json.loads(sidelog("verify", "--repair", "--json", "--store", store).out)
    assert (document["sound"], document["repaired"]) == (True, False)  # nothing to repair, nothing touched
    assert sidelog("-q", "verify", "--store", store).err == ""


def test_beside_a_running_agent(sidelog, store):
    with store_at(store) as opened:
        write(opened, transaction(stored(tailed(3), events(count=10))))
        assert sidelog("verify", "--store", store).code == 0
        said = sidelog("verify", "--repair", "--store", store)
        assert said.code == 0  # it is sound: nobody needs the agent's store
        opened.writer.connection.execute("UPDATE events SET record = '{' WHERE id = 5")
        said = sidelog("verify", "--repair", "--store", store)
        assert said.code == 3
        assert "error[SL404]" in said.err
        assert str(os.getpid()) in said.err


@pytest.mark.parametrize(
    ("damage", "check", "told"),
    [
        ("UPDATE events SET record = '{\"a\":' WHERE id = 7", "record", "the record of event 7 is not valid JSON"),
        ("UPDATE events SET file_id = 99 WHERE id = 7", "event", "event 7 lies outside"),
        ('UPDATE events SET "offset" = 1000000000 WHERE id = 7', "event", "event 7 lies outside"),
        ("UPDATE events SET severity_number = 21 WHERE id = 7", "rollup", "severity 21; the rollups say 0"),
        ("UPDATE rollups SET count = count + 1", "rollup", "the rollups say"),
        ("DELETE FROM events WHERE id = 7", "rollup", "the rollups say"),
    ],
)
def test_what_is_wrong_is_said_and_can_be_mended(sidelog, store, damage, check, told):
    change(store, damage)
    said = sidelog("verify", "--store", store)
    assert said.code == 1
    assert f"{check}: " in said.out
    assert told in said.out
    assert "--repair" in said.err
    said = sidelog("verify", "--repair", "--store", store)
    assert said.code == 0, said.out + said.err
    assert "saved: " in said.out
    assert sidelog("verify", "--store", store).code == 0
    assert sidelog("audit", "--store", store).code == (1 if damage.startswith("DELETE") else 0)


def test_many_findings_are_cut(sidelog, store, monkeypatch):
    change(store, "UPDATE events SET record = '{' WHERE id < 1000")
    said = sidelog("verify", "--store", store)
    assert said.code == 1
    assert len(said.out.splitlines()) <= 21
    change(store, "UPDATE rollups SET severity_number = severity_number + 1")
    said = sidelog("verify", "--store", store)
    assert len(said.out.splitlines()) <= 21
    monkeypatch.setattr("agent.cli.store._FINDINGS_SHOWN", 3)
    assert "… and " in sidelog("verify", "--store", store).out


def test_minutes_with_deleted_events_are_left_out(sidelog, store):
    change(store, "DELETE FROM events WHERE id <= 1000", "UPDATE rollups SET expired = 1")
    assert sidelog("verify", "--store", store).code == 0


def test_a_minute_that_expires_meanwhile_is_left_out(store, monkeypatch):
    """Between the list of minutes and the look at one, retention may mark it."""
    sample = verify.random.sample

    def late(minutes, count):
        change(store, "DELETE FROM events WHERE id <= 1000", "UPDATE rollups SET expired = 1")
        return sample(minutes, count)

    monkeypatch.setattr(verify.random, "sample", late)
    connection = verify.sqlite3.connect(store, isolation_level=None)
    assert verify.verify(connection, store) == []
    connection.close()


def test_a_store_that_cannot_be_opened_exits_3(sidelog, tmp_path):
    assert sidelog("verify", "--store", tmp_path / "none.db").code == 3
    assert sidelog("verify", "--repair", "--store", tmp_path / "none.db").code == 3
    (tmp_path / "text.db").write_text("no database " * 1000)
    assert sidelog("verify", "--store", tmp_path / "text.db").code == 3
    said = sidelog("verify", "--repair", "--store", tmp_path / "text.db")
    assert said.code == 3
    assert "error[SL556]" in said.err
    assert (tmp_path / "text.db").read_text().startswith("no database")
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_locked_store_exits_3(sidelog, store, monkeypatch):
    monkeypatch.setattr("agent.store.reader.open_reader.__kwdefaults__", {"busy_timeout_s": 0.05})
    change(store, "PRAGMA journal_mode = DELETE")
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    said = sidelog("verify", "--store", store)
    assert said.code == 3
    assert "error[SL408]" in said.err
    holder.close()


# ------------------------------------------------------------ real damage


@pytest.mark.parametrize("which", ["first", "middle", "last", "two", "inner"])
def test_damaged_pages_lose_their_rows_and_nothing_else(sidelog, store, which):
    """Every event outside of the damaged pages is saved; the bytes of the others are gaps, and the books balance."""
    leaves = pages(store, 13, b'{"message": "m')
    assert len(leaves) > 15
    chosen = {"first": leaves[:1], "middle": leaves[7:8], "last": leaves[-1:], "two": [leaves[3], leaves[9]]}
    spoil(store, *(chosen.get(which) or pages(store, 5)[-1:]))
    said = sidelog("verify", "--store", store)
    assert said.code == 1
    said = sidelog("verify", "--repair", "--json", "--store", store)
    assert said.code == 0, said.err
    document = json.loads(said.out)
    lost = sum(last - first + 1 for first, last in document["lost_ids"])
    count = rows(store, "SELECT count(*) FROM events")[0][0]
    if which != "inner":
        assert lost <= 6000 / len(leaves) * 4 * len(chosen[which])
        assert document["damaged_tables"] == ["events"]
        assert count == 6000 - lost
        assert document["lost_bytes"] > 0
    assert sidelog("verify", "--store", store).code == 0
    audited = sidelog("audit", "--json", "--store", store)
    assert audited.code == 0, audited.out
    gaps = {found["reason"] for file in json.loads(audited.out) for found in file["gaps"]}
    assert gaps == ({"over_long", "damaged"} if which != "inner" else gaps)
    assert Path(document["moved_aside"]).exists()
    assert rows(store, "SELECT count(*) FROM rollups WHERE expired = 0") == [(0,)]
    assert rows(store, "SELECT seq FROM sqlite_sequence WHERE name = 'events'") == [(6000,)]
    assert store.stat().st_mode & 0o777 == 0o600


def test_small_tables_are_saved_from_both_ends(sidelog, store):
    """Rollups have no ids; what is lost of them is counted from the events."""
    spoil(store, *pages(store, 10)[:1])  # a leaf of an index, or of a table without ids
    said = sidelog("verify", "--repair", "--store", store)
    assert said.code == 0, said.err
    assert rows(store, "SELECT count(*) FROM events") == [(6000,)]
    assert sidelog("verify", "--store", store).code == 0
    assert sidelog("query", "--count", "-n", "all", "--store", store).out.strip() == "6000"


def test_events_whose_file_is_forgotten_are_kept(sidelog, store, few_ids):
    """The table of files is one page: without it the events still tell what happened."""
    spoil(store, *pages(store, 13, b"/var/log/app-1.log"))
    said = sidelog("verify", "--repair", "--store", store)
    assert said.code == 0, said.err
    assert "names lost: 2 files" in said.out
    assert rows(store, "SELECT DISTINCT source, path FROM files") == [("lost", "(lost)/1"), ("lost", "(lost)/2")]
    assert rows(store, "SELECT count(*) FROM events") == [(6000,)]
    assert sidelog("verify", "--store", store).code == 0


def test_a_broken_text_loses_its_row(sidelog, store):
    """Bytes that are no UTF-8 inside of a record."""
    data = store.read_bytes()
    place = data.index(b'{"message": "m1') + 12
    with store.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff\xff")
    document = json.loads(sidelog("verify", "--repair", "--json", "--store", store).out)
    assert sum(last - first + 1 for first, last in document["lost_ids"]) == 1
    assert rows(store, "SELECT count(*) FROM events") == [(5999,)]


def test_a_truncated_store_is_saved_as_far_as_it_goes(sidelog, store):
    os.truncate(store, store.stat().st_size * 3 // 4)
    said = sidelog("verify", "--repair", "--store", store)
    assert said.code == 0, said.err
    assert rows(store, "SELECT count(*) FROM events")[0][0] > 100
    assert sidelog("verify", "--store", store).code == 0
    assert sidelog("audit", "--store", store).code == 0


def test_lost_events_of_a_file_that_exists_are_read_again(sidelog, tmp_path):
    """The end of a file whose events are lost is read once more by the next agent: again each line exactly once."""
    log = tmp_path / "a.log"
    run = ("run", "--once", log, "--store", tmp_path / "s.db", "--set", "store.min_free=1KiB")
    log.write_text("".join(f'{{"message":"m{number}","pad":"{"x" * 100}"}}\n' for number in range(5000)))
    assert sidelog(*run).code == 0
    spoil(tmp_path / "s.db", pages(tmp_path / "s.db", 13, b'"m4999"')[0])
    said = sidelog("verify", "--repair", "--store", tmp_path / "s.db")
    assert said.code == 0, said.err
    assert "to be read again" in said.out
    assert sidelog("audit", "--store", tmp_path / "s.db").code == 0
    assert sidelog(*run).code == 0
    found = [
        row[0] for row in rows(tmp_path / "s.db", "SELECT json_extract(record, '$.message') FROM events ORDER BY id")
    ]
    assert found == [f"m{number}" for number in range(5000)]
    audited = sidelog("audit", "--json", "--store", tmp_path / "s.db")
    assert audited.code == 0, audited.out
    assert json.loads(audited.out)[0]["compared_bytes"] == log.stat().st_size


def test_a_disk_that_is_full_changes_nothing(sidelog, store, monkeypatch):
    spoil(store, pages(store, 13, b'{"message": "m')[5])
    before = store.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    said = sidelog("verify", "--repair", "--store", store)
    assert said.code == 3
    assert "error[SL553]" in said.err
    assert store.read_bytes() == before


def test_another_programs_database_is_left_alone(sidelog, tmp_path):
    change(tmp_path / "other.db", "CREATE TABLE a (b)")
    said = sidelog("verify", "--repair", "--store", tmp_path / "other.db")
    assert said.code == 3
    assert "it has no events and no files" in said.err
    assert rows(tmp_path / "other.db", "SELECT count(*) FROM a") == [(0,)]


def test_a_killed_agents_log_is_saved_too(sidelog, store):
    """Transactions that lie only in the write-ahead log are saved, also where the store itself is cut off."""
    code = """
import os, sys
from tests.store.stores import *
opened = open_store(Path(sys.argv[1]), min_free_bytes=0)
write(opened, transaction(stored(tailed(9), events(count=50))))
os._exit(0)
"""
    python(code, store)
    assert store.with_name("s.db-wal").stat().st_size > 0
    os.truncate(store, store.stat().st_size - 3 * PAGE_SIZE_BYTES)
    said = sidelog("verify", "--repair", "--store", store)
    assert said.code == 0, said.err
    assert rows(store, "SELECT count(*) FROM events WHERE file_id = 9")[0][0] >= 0
    assert sidelog("verify", "--store", store).code == 0


@pytest.fixture
def few_ids(monkeypatch):
    """Where the highest id is unknown, fewer are tried: a million take 15 s."""
    monkeypatch.setattr(salvage, "_ASSUMED_IDS", 20_000)


def test_a_table_whose_end_cannot_be_read(sidelog, store, few_ids):
    """Where neither the highest id nor the sequence of ids can be read, ids are tried."""
    with store_at(store) as opened:
        opened.writer.connection.execute("DELETE FROM sqlite_sequence")
    change(store, "PRAGMA wal_checkpoint(TRUNCATE)")
    spoil(store, pages(store, 13, b'{"message": "m')[-1])
    document = json.loads(sidelog("verify", "--repair", "--json", "--store", store).out)
    assert document["rows"]["events"] > 5000


def test_a_column_that_an_older_store_lacks_gets_its_default(sidelog, store):
    change(
        store, "ALTER TABLE files DROP COLUMN parse_errors", "DROP TABLE deliveries", "UPDATE events SET record = ''"
    )
    said = sidelog("verify", "--repair", "--store", store)
    assert said.code == 0, said.err
    assert rows(store, "SELECT DISTINCT parse_errors FROM files") == [(0,)]
    assert rows(store, "SELECT count(*) FROM events") == [(0,)]
