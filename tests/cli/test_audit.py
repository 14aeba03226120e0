"""`sidelog audit`: the books of every file."""

import json
import sqlite3

from agent.model import Gap
from tests.cli.stores import HOSTILE, error_batch, make, tailed


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
    assert f": {end} bytes read = {end - 10} in 2 events + 3 blank + 7 in 1 gaps" in said.out
    assert "\x1b" not in said.out
    [row] = json.loads(sidelog("audit", "--json", "--store", store).out)
    assert (row["complete"], row["difference"], row["source"]) == (True, 0, "app")
    assert row["event_bytes"] + row["blank_bytes"] + row["gap_bytes"] == row["offset"]


def test_a_byte_that_is_missing_is_named_and_fails(sidelog, tmp_path):
    store = tmp_path / "s.db"
    batch, groups = error_batch([{"message": "a"}] * 2)
    make(store, batches=[batch], groups=groups)
    connection = sqlite3.connect(store)
    connection.execute("UPDATE files SET event_bytes = event_bytes - 5")
    connection.commit()
    connection.close()
    said = sidelog("audit", "--store", store)
    assert said.code == 1
    assert said.out.startswith("5 bytes unaccounted for: /var/log/app-1.log")
    said = sidelog("audit", "--json", "--store", store)
    assert said.code == 1
    assert json.loads(said.out)[0]["difference"] == 5


def test_a_gap_that_is_missing_is_named_and_fails(sidelog, tmp_path):
    store = tmp_path / "s.db"
    batch, groups = error_batch([{"message": "a"}] * 2)
    make(store, batches=[batch], groups=groups)
    connection = sqlite3.connect(store)
    connection.execute("UPDATE files SET event_bytes = event_bytes - 5, gap_bytes = 5")
    connection.commit()
    connection.close()
    said = sidelog("audit", "--store", store)
    assert said.code == 1
    assert said.out.startswith("gaps without their bytes: /var/log/app-1.log")


def test_an_empty_store_balances(sidelog, tmp_path):
    make(tmp_path / "s.db")
    assert sidelog("audit", "--store", tmp_path / "s.db").code == 0
    assert json.loads(sidelog("audit", "--json", "--store", tmp_path / "s.db").out) == []
    assert sidelog("audit", "--store", tmp_path / "none.db").code == 3
