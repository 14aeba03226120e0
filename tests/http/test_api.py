"""The API beside the command line: the same rows, and errors in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx


@pytest.fixture(scope="module")
def client(served):
    with served.client() as made:
        yield made


def rows(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"limit": "5"}, ["-n", "5", "-r"]),
        ({"limit": "1000", "order": "oldest"}, ["-n", "all"]),
        ({"q": "declined", "limit": "1000"}, ["declined", "-n", "all", "-r"]),
        ({"q": "http.status>=500 service=shop", "limit": "9"}, ["http.status>=500", "service=shop", "-n", "9", "-r"]),
        ({"q": "duration_ms<4 OR duration_ms>295"}, ["duration_ms<4", "OR", "duration_ms>295", "-r"]),
        ({"severity": "error", "limit": "3"}, ["-p", "error", "-n", "3", "-r"]),
        ({"severity": "warn..warn"}, ["-p", "warn..warn", "-r"]),
        ({"source": "nobody"}, ["-s", "nobody"]),
    ],
)
def test_events_are_those_of_the_command_line(served, client, parameters, arguments):
    said = served.run("query", "-o", "json", *arguments).stdout.decode().splitlines()
    assert rows(client.get("/api/v1/query", params=parameters)) == [json.loads(line) for line in said]


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({}, ["--count"]),
        ({"by": "service"}, ["--by", "service"]),
        ({"by": "severity,service", "top": "3"}, ["--by", "severity,service", "--top", "3"]),
        (
            {"by": "http.path", "agg": "avg:duration_ms,p90:duration_ms"},
            ["--by", "http.path", "--agg", "avg:duration_ms,p90:duration_ms"],
        ),
        ({"every": "5m", "q": "declined"}, ["--every", "5m", "declined"]),
    ],
)
def test_counts_are_those_of_the_command_line(served, client, parameters, arguments):
    said = served.run("query", "-o", "json", *arguments).stdout.decode().splitlines()
    answer = client.get("/api/v1/counts", params=parameters)
    assert answer.json() == [json.loads(line) for line in said]


def test_fields_have_their_commonest_values(client):
    found = {
        one["field"]: one
        for one in client.get("/api/v1/fields", params={"values": "2", "q": "status=x OR declined"}).json()
    }
    assert found["http.status"]["values"] == [{"value": 500, "count": found["http.status"]["count"]}]
    assert len(found["service"]["values"]) == 2


def test_context_is_of_the_same_log(served, client):
    [middle] = rows(client.get("/api/v1/query", params={"q": '"request 150 served"'}))
    around = client.get("/api/v1/context", params={"id": str(middle["id"]), "lines": "2"}).json()
    assert [one["attributes"]["duration_ms"] for one in around] == [144, 147, 150, 153, 156]
    assert client.get("/api/v1/context", params={"id": "999999999"}).status_code == 404


def test_documents_are_those_of_the_command_line(served, client):
    assert client.get("/api/v1/errors").json() == json.loads(served.say("errors", "list", "--json"))
    group = client.get("/api/v1/errors").json()[0]["id"]
    assert client.get(f"/api/v1/errors/{group}").json() == json.loads(served.say("errors", "show", group, "--json"))
    assert client.get("/api/v1/alerts").json() == []
    assert client.get("/api/v1/alerts/history").json() == []
    assert client.get("/api/v1/archives").json() == []
    assert client.get("/api/v1/status").json()["agent"]["running"] is True


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("query?q=(", 400, "SL510"),
        ("query?q=severity=nope", 400, "SL512"),
        ("query?since=nonsense", 400, "SL514"),
        ("query?limit=100001", 400, "SL904"),
        ("query?limit=-1", 400, "SL904"),
        ("query?order=up", 400, "SL904"),
        ("query?x=1", 400, "SL904"),
        ("query?limit=1&limit=2", 400, "SL904"),
        ("query?q=" + "a" * 9_000, 400, "SL904"),
        ("counts?every=0s", 400, "SL518"),
        ("counts?agg=nonsense", 400, "SL518"),
        ("context", 400, "SL904"),
        ("context?id=x", 404, "SL912"),
        ("errors?state=odd", 400, "SL904"),
        ("errors/999", 404, "SL540"),
        ("errors/abc", 404, "SL540"),
        ("errors/99999999999999999999999", 404, "SL540"),
        ("tail?q=(", 400, "SL510"),
        ("tail?limit=1", 400, "SL904"),
    ],
)
def test_what_is_wrong_is_said_in_words(client, address, status, code):
    answer = client.get(f"/api/v1/{address}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "hint"}
    assert not answer.json()["message"].startswith("SL")  # the catalogue has words for it


def test_events_arrive_in_the_live_tail_once(box):
    box.log.write_text("")
    box.serve()
    with box.client() as client, client.stream("GET", "/api/v1/tail", params={"q": "wanted"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        while not next(lines).startswith(": watching"):
            pass
        with box.log.open("a") as log:
            for number in range(10):
                log.write(json.dumps({"message": f"wanted {number}"}) + "\n" + json.dumps({"message": "other"}) + "\n")
                log.flush()
        found = []
        while len(found) < 10:
            line = next(lines)
            if line.startswith("data: {"):
                found.append(json.loads(line.removeprefix("data: ")))
        assert [one["body"] for one in found] == [f"wanted {number}" for number in range(10)]
    with box.client() as client:
        with client.stream("GET", "/api/v1/tail", headers={"Last-Event-ID": str(found[6]["id"])}) as answer:
            again = []
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    again.append(json.loads(line.removeprefix("data: "))["body"])
                if len(again) == 7:
                    break
        assert again == ["other", "wanted 7", "other", "wanted 8", "other", "wanted 9", "other"]
