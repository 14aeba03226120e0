"""`sidelog alerts`: what the store knows of rules that fired."""

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
        'INSERT INTO alert_history (rule, "key", state, time, value, threshold) VALUES (?, ?, ?, ?, ?, ?)',
        [("errors", '{"service":"shop"}', "firing", NOW, 60.0, 50.0), (HOSTILE, "{}", "ok", NOW + 1, 3.5, 25.0)],
    )
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("arguments", [("alerts",), ("alerts", "list")])
def test_without_rules_the_list_is_empty(sidelog, store, arguments):
    assert json.loads(sidelog(*arguments, "--json", "--store", store).out) == []
    said = sidelog(*arguments, "--store", store)
    assert (said.code, said.out, said.err.strip()) == (0, "", "no alert rules")


def test_the_history_comes_newest_last_and_cannot_drive_the_terminal(sidelog, store):
    rows = json.loads(sidelog("alerts", "history", "--json", "--store", store).out)
    assert rows[0] == {
        "rule": "errors",
        "key": '{"service":"shop"}',
        "state": "firing",
        "time": "2026-11-18T11:06:40.000000000Z",
        "value": 60.0,
        "threshold": 50.0,
    }
    assert rows[1]["rule"] == HOSTILE
    said = sidelog("alerts", "history", "--store", store)
    assert said.code == 0
    assert said.out.splitlines()[0] == '2026-11-18T11:06:40.000000000Z errors {"service":"shop"} firing'
    assert "\x1b" not in said.out


def test_a_missing_store_is_exit_code_three(sidelog, tmp_path):
    for arguments in (("alerts",), ("alerts", "history")):
        assert sidelog(*arguments, "--store", tmp_path / "none.db").code == 3
