"""The API of what the pages of alerts show: a test of a threshold, deliveries, and how one is tried again."""

from __future__ import annotations

import json

import pytest

from tests.integration.harness import wait_until


@pytest.fixture(scope="module")
def client(release):
    with release.client("operator") as made:
        yield made


def test_a_rule_is_tested_as_on_the_command_line(release, client):
    said = json.loads(release.say("alerts", "test", "many-errors", "--since", "1h", "--json"))
    found = client.get("/api/v1/alerts/test", params={"rule": "many-errors", "since": "1h"}).json()
    assert found["firing"] == said["firing"]
    assert len(found["firing"]) == 1
    assert found["threshold"] == 10
    assert "values" not in found


def test_a_threshold_can_be_moved(client):
    def firings(rule: str, threshold: str) -> int:
        given = {"rule": rule, "since": "1h", "threshold": threshold}
        return len(client.get("/api/v1/alerts/test", params=given).json()["firing"])

    assert firings("many-errors", "10") == 1
    assert firings("many-errors", "10000") == 0
    assert firings("share", "90%") == 0
    assert firings("share", "1%") >= 1
    assert firings("share", "0.01") == firings("share", "1%")
    assert firings("news", "50") == firings("news", "1") > 0  # its form has no threshold


def test_values_are_told_at_so_many_moments(client):
    given = {"rule": "many-errors", "since": "1h", "steps": "30"}
    found = client.get("/api/v1/alerts/test", params=given).json()
    times = [row["time"] for row in found["values"]]
    assert (len(times), times) == (30, sorted(times))
    assert max(row["value"] for row in found["values"]) > 10 > min(row["value"] for row in found["values"])
    assert [row["threshold"] for row in found["by_threshold"]] == sorted(
        row["threshold"] for row in found["by_threshold"]
    ) or {row["threshold"] for row in found["by_threshold"]} >= {10.0}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "SL904"),
        ("rule=nobody", 404, "SL710"),
        ("rule=share&threshold=0", 400, "SL904"),
        ("rule=share&threshold=-1", 400, "SL904"),
        ("rule=share&threshold=nan", 400, "SL904"),
        ("rule=share&threshold=inf", 400, "SL904"),
        ("rule=share&threshold=5%25%25", 400, "SL904"),
        ("rule=share&steps=501", 400, "SL904"),
        ("rule=share&since=odd", 400, "SL514"),
        ("rule=share&since=2030-01-01", 400, "SL514"),
        ("rule=share&since=1h&until=2h", 400, "SL514"),
    ],
)
def test_what_cannot_be_tested_is_said(client, query, status, code):
    answer = client.get(f"/api/v1/alerts/test?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_deliveries_have_their_output_and_a_dead_one_is_tried_again(release, client):
    def dead() -> list[dict]:
        return [row for row in client.get("/api/v1/deliveries").json() if row["state"] == "dead"]

    wait_until(dead, what="a dead delivery")
    [row, *_] = dead()
    assert (row["hook"], row["result"], row["output"].strip()) == ("broken", "exit 3", "<b>no way</b>")
    assert row["created"].endswith("Z")
    states = [one["state"] for one in client.get("/api/v1/deliveries").json()]
    assert states == sorted(states, key=lambda state: state == "delivered")
    runs = release.sql("SELECT count FROM own_errors WHERE code = 'SL703'")[0][0]
    assert client.post(f"/api/v1/deliveries/{row['delivery_id']}").json() == {"deliveries": 1}
    wait_until(lambda: release.sql("SELECT count FROM own_errors WHERE code = 'SL703'")[0][0] > runs, what="a run")
    answer = client.post("/api/v1/deliveries/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "SL712")


def test_a_reader_may_look_and_not_redeliver(release):
    with release.client("reader") as reader:
        assert reader.get("/api/v1/deliveries").status_code == 200
        assert reader.post("/api/v1/deliveries/all").status_code == 403
