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


def test_before_the_first_start_a_dry_run_says_what_a_first_round_would_do(sidelog, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("app.log", "app.log.1", "app.log.2.gz"):
        (logs / name).write_bytes(b"")
    (logs / "app.log.1").write_text('{"message": "old"}\n')
    config = tmp_path / "sidelog.yaml"
    text = f"sources: [{{name: app, include: [{logs}/*.log]}}]\narchive: {{quiet: 0s}}\nstore: {{path: state/s.db}}\n"
    config.write_text(text)
    said = sidelog("archive", "run", "--dry-run", "-c", config)
    assert said.code == 0
    assert "there is no store" in said.err
    assert [line.split()[:2] for line in said.out.splitlines()] == [["archive", f"{logs}/app.log.1"]]
    assert sidelog("-q", "archive", "run", "--dry-run", "-c", config).err == ""
    assert not (tmp_path / "state").exists()
