"""What was forwarded is found by the name of its target, with the rows of the store; from several machines at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.fleet.history import Machine
from tests.query.test_fleet_faces import COUNTS, SHAPES, TEXT_LOG, shop_log


def local(machine, *words):
    return machine.sidelog(*words, "--store", str(machine.store)).stdout


def central(machine, *words):
    return machine.sidelog(*words, "--engine", "central").stdout


def rows(out, *without):
    found = [json.loads(line) for line in out.splitlines()]
    for row in found:
        for name in without:
            row.pop(name, None)
    return found


@pytest.fixture
def machine(database, tmp_path):
    made = Machine(tmp_path / "one", database)
    (made.logs / "shop.log").write_bytes(shop_log(300, 2))
    (made.logs / "web.log").write_bytes(TEXT_LOG)
    made.ingest()
    made.forward()
    return made


@pytest.mark.timeout(180)
def test_questions_by_the_name_of_a_target_have_the_rows_of_the_store(machine):
    for shape in SHAPES[::3]:
        asked = [word % f"{20:032x}" if word == "trace_id=%s" else word for word in shape]
        wanted = rows(local(machine, "query", *asked, "-o", "json"), "group")
        assert rows(central(machine, "query", *asked, "-o", "json"), "group", "agent") == wanted, shape
    for shape in COUNTS[::3]:
        words = ["query", *shape, "-o", "json"]
        assert rows(central(machine, *words), "group") == rows(local(machine, *words), "group"), shape


def test_error_groups_are_those_of_the_store_under_numbers_of_the_fleet(machine):
    one, other = (json.loads(ask(machine, "errors", "list", "--json")) for ask in (local, central))
    assert len(one) > 1
    names = ("title", "culprit", "severity", "category", "state", "first_seen", "last_seen", "count", "service")
    assert [[row[name] for name in names] for row in other] == [[row[name] for name in names] for row in one]
    (shown,) = [json.loads(central(machine, "errors", "show", str(other[0]["id"]), "--json"))]
    assert shown["title"] == one[0]["title"]
    assert rows(central(machine, "query", f"group={other[0]['id']}", "--count", "-o", "json")) == [
        {"count": one[0]["count"]}
    ]


def test_rules_are_tried_on_what_a_fleet_has(machine):
    document = json.loads(machine.config.read_text())
    document["alerts"] = [
        {"name": "many", "match": "severity>=error", "when": {"count": 3}, "window": "5m", "hooks": []},
        {"name": "slow", "match": "http.ms>30", "when": {"rate": "1/m"}, "window": "5m", "per": ["logger"]},
    ]
    machine.config.write_text(json.dumps(document))
    for rule in ("many", "slow"):
        words = ["alerts", "test", rule, "-S", "2026-11-18", "-U", "2026-11-19", "--json"]
        assert central(machine, *words) == local(machine, *words)
        assert json.loads(local(machine, *words))["firing"]


def test_what_is_not_forwarded_yet_is_said(machine):
    machine.write("late.log", 0, 5)
    machine.sidelog("run", "--once", "--set", "forward=[]")
    done = machine.sidelog("query", "--engine", "central", "--count")
    assert "5 events of this machine not forwarded to central yet" in done.stderr
    assert "not forwarded" not in machine.sidelog("query", "--engine", "central", "--count", "-q").stderr
    machine.forward()
    assert "not forwarded" not in machine.sidelog("query", "--engine", "central", "--count").stderr


def test_the_engine_of_the_configuration_is_asked_unless_the_store_is_named(machine, database, tmp_path):
    file = tmp_path / "asks.yaml"
    file.write_text(f"engine: {{clickhouse: '{database.url}', database: {database.name}}}\n")

    def ask(*words, code=0):
        command = [sys.executable, "-m", "agent", *words, "-c", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done

    (row,) = rows(ask("query", "-n", "1", "-o", "json").stdout)
    assert row["agent"] == machine.agent
    (row,) = rows(ask("query", "-n", "1", "-o", "json", "--store", str(machine.store)).stdout)
    assert "agent" not in row
    assert "SL664" in ask("errors", "resolve", "1", code=2).stderr
    assert "SL657" in ask("query", "--engine", "nowhere", code=2).stderr


def test_two_machines_are_asked_as_one(machine, database, tmp_path):
    other = Machine(tmp_path / "two", database)
    other.write("app.log", 0, 40)
    other.ingest()
    other.forward()
    found = rows(central(machine, "query", "--by", "agent", "-o", "json"))
    assert {row["agent"]: row["count"] for row in found} == {machine.agent: 360, other.agent: 40}
    document = json.loads(central(machine, "status", "--json"))
    assert [row["agent"] for row in document["agents"]] == sorted([machine.agent, other.agent])
    assert {row["host"] for row in document["agents"]} == {os.uname().nodename}


def test_a_cursor_goes_on_where_it_was(machine, tmp_path):
    words = ["query", "-o", "json", "--cursor-file", str(tmp_path / "cursor"), "-n"]
    first = rows(central(machine, *words, "100"))
    rest = rows(central(machine, *words, "all"))
    assert len(first) == 100
    assert sorted(row["id"] for row in [*first, *rest]) == list(range(1, 361))
    assert central(machine, *words, "all") == ""
    machine.write("late.log", 0, 3)
    machine.ingest()
    machine.forward()
    assert [row["id"] for row in rows(central(machine, *words, "all"))] == [361, 362, 363]


def test_what_arrives_is_shown_to_who_follows(machine):
    command = [sys.executable, "-m", "agent", "query", "-f", "-n", "1", "-o", "json", "--engine", "central"]
    following = subprocess.Popen([*command, "-c", str(machine.config)], stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    json.loads(following.stdout.readline())
    machine.write("late.log", 0, 3)
    machine.ingest()
    machine.forward()
    assert [json.loads(following.stdout.readline())["body"] for _ in range(3)] == ["event 0", "event 1", "event 2"]
    following.send_signal(signal.SIGINT)
    assert following.wait(20) == 0
    following.stdout.close()


def test_the_pages_and_the_api_show_a_fleet(machine, database, tmp_path):
    file = tmp_path / "web.yaml"
    socket = f"{tmp_path}/web.sock"
    file.write_text(f"store: {{path: {tmp_path}/own/s.db}}\nhttp: {{listen: 'unix:{socket}'}}\n")
    place = ["--engine", f"{database.url}?database={database.name}", "-c", str(file)]
    server = subprocess.Popen([sys.executable, "-m", "agent", "web", *place], stderr=subprocess.PIPE, text=True)
    try:
        token = None
        end = time.monotonic() + 30
        while token is None and time.monotonic() < end:
            made = subprocess.run(
                [sys.executable, "-m", "agent", "token", "create", "t", "-c", str(file)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            token = made.stdout.strip() or None
            time.sleep(0.1)
        curl = ["curl", "-sS", "--unix-socket", socket, "-H", f"Authorization: Bearer {token}"]

        def get(path):
            return subprocess.run([*curl, f"http://localhost{path}"], capture_output=True, text=True, check=True).stdout

        while time.monotonic() < end and not os.path.exists(socket):  # noqa: PTH110
            time.sleep(0.1)
        found = rows(get("/api/v1/query?q=timeout&limit=5"))
        assert {row["agent"] for row in found} == {machine.agent}
        assert json.loads(get("/api/v1/counts?by=agent")) == [{"agent": machine.agent, "count": 360}]
        assert len(json.loads(get("/api/v1/errors"))) > 1
        around = json.loads(get(f"/api/v1/context?id={found[0]['id']}@{machine.agent}&lines=2"))
        assert found[0]["id"] in [row["id"] for row in around]
    finally:
        server.terminate()
        server.wait(20)
        assert server.stderr is not None
        server.stderr.close()
