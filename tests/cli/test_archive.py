"""`sidelog archive`: what the store knows of archived logs."""

import json
import sqlite3

import pytest

from tests.cli.stores import HOSTILE, make

NOW = 1_795_000_000 * 10**9


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.db"
    make(path)
    connection = sqlite3.connect(path)
    connection.executemany(
        "INSERT INTO archives (source, path, bytes, raw_bytes, lines, min_timestamp, max_timestamp, created)"
        " VALUES ('app', ?, 1000, 20000, 70, ?, ?, 5)",
        [(f"/var/lib/{HOSTILE}.zst", NOW, NOW + 5), ("/var/lib/empty.zst", None, None)],
    )
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("arguments", [("archive",), ("archive", "list")])
def test_archives_are_listed_oldest_first(sidelog, store, arguments):
    rows = json.loads(sidelog(*arguments, "--json", "--store", store).out)
    assert rows[0] == {
        "path": f"/var/lib/{HOSTILE}.zst",
        "source": "app",
        "log": "",
        "bytes": 1000,
        "raw_bytes": 20000,
        "lines": 70,
        "events": 0,
        "first": "2026-11-18T11:06:40.000000000Z",
        "last": "2026-11-18T11:06:40.000000005Z",
        "sha256": "",
    }
    assert (rows[1]["first"], rows[1]["last"]) == (None, None)
    said = sidelog(*arguments, "--store", store)
    assert said.code == 0
    assert said.out.splitlines()[1] == "/var/lib/empty.zst 1,000 bytes of 20,000, 70 lines"
    first = sidelog(*arguments, "--utc", "--store", store).out.splitlines()[0]
    assert first.endswith(".zst 1,000 bytes of 20,000, 70 lines, 2026-11-18 11:06:40 to 2026-11-18 11:06:40")
    assert "\x1b" not in said.out


def test_a_store_without_archives_lists_none(sidelog, tmp_path):
    make(tmp_path / "s.db")
    assert json.loads(sidelog("archive", "--json", "--store", tmp_path / "s.db").out) == []
    said = sidelog("archive", "--store", tmp_path / "s.db")
    assert (said.out, said.err.strip()) == ("", "no archives")
    assert sidelog("archive", "--store", tmp_path / "none.db").code == 3
