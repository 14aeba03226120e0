"""How a question ends: with its client, after its time, after so many rows; and what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette

from agent.answers import parameters
from agent.answers.place import Place
from agent.answers.pool import WorkerPool
from agent.answers.worker import QuestionRequest, fork_nursery
from agent.http import api
from tests.http.alone import Lone, children, lone
from tests.integration.harness import wait_until
from tests.query.tiers import OBSERVED, Tiers

FIRST, MANY = 100, 800_000
EACH = r"^first|x.*y.*x$"  # each message is looked at, and none but the first ones has it
REST = {"since": "@1700000000"}
BULK = """
INSERT INTO events (id, timestamp, observed_timestamp, severity_number, file_id, "offset", record)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
SELECT 1000 + i, ? + i * 1000, ?, 9, 1, 100000 + i, json_object('message', printf('try %d y x %d', i, i * 7), 'n', i)
FROM n"""


def lines(word: str, count: int) -> bytes:
    return b"".join(
        json.dumps({"timestamp": OBSERVED - 10**9 * 7_200, "message": f"{word} {number} y x " * 9}).encode() + b"\n"
        for number in range(count)
    )


@pytest.fixture(scope="module")
def tiers(tmp_path_factory):
    """A store and an archive, each of which takes its time to be looked through."""
    with Tiers(tmp_path_factory.mktemp("slow") / "s") as made:
        made.store("first", lines("first", FIRST))
        made.archive("old", lines("old", 150_000))
        made.connection.execute(BULK, (MANY, OBSERVED - 10**9 * 3_600, OBSERVED))
        yield made


@pytest.fixture(scope="module")
def server(tiers):
    with lone(tiers.path) as made:
        made.token = made.say("token", "create", "slow")
        yield made


SCANS = {
    "regular expression": ("query", {"q": f'message~"{EACH}"', "tier": "hot", "order": "oldest", "limit": "1000"}),
    "before the first row": ("query", {"q": 'message~"x.*z"', "tier": "hot"}),
    "archive": ("query", {"q": 'message~"x.*z"', "tier": "archives"}),
    "sql": ("counts", {"by": "n,message", "tier": "hot"}),
    "document": ("fields", {"q": 'message~"x.*z"'}),
}


@pytest.mark.parametrize("scan", SCANS)
def test_who_leaves_ends_what_was_answering(server, scan):
    name, parameters = SCANS[scan]
    before = {worker: spent(worker) for worker in server.workers()}
    request = (
        f"GET /api/v1/{name}?{urlencode(parameters)} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(request.encode())
        if scan == "regular expression":
            while b"first 63 " not in client.recv(1 << 16):
                pass
        alone = scan != "archive"  # others search for it
        scanning = wait_until(
            lambda: len(found := scanners(server, before)) > (not alone) and found, what="a worker that scans"
        )
    wait_until(lambda: not any(map(is_there, scanning)), 60, "the end of all that was answering")


def scanners(server: Lone, before: dict[int, float]) -> list[int]:
    """The worker that has spent time on a question, with the processes that it has started. A look at the agent, which
    the server takes now and then, costs none.
    """
    for worker in server.workers():
        with contextlib.suppress(OSError):
            found = [worker, *children(worker)]
            if sum(map(spent, found)) > before.get(worker, 0.0) + 0.3:
                return found
    return []


def spent(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_there(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


@pytest.fixture
def asking(tiers):
    """Asks an application whose questions have less time than a scan takes."""
    place = Place(tiers.path, tiers.path.parent / "archive")

    async def ask(nursery: socket.socket, address: str, timeout_s: float = 3.0, **given: str) -> httpx.Response:
        pool = WorkerPool(nursery, timeout_s=timeout_s)
        transport = httpx.ASGITransport(app=Starlette(routes=api.routes(pool)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get(address, params=given)
        pool.close()
        return answer

    return lambda address, **given: asyncio.run(ask(fork_nursery(place), address, **given))


def test_what_was_found_in_time_is_sent_and_then_the_end(asking):
    answer = asking("/api/v1/query", q=f'message~"{EACH}"', tier="hot", order="oldest", limit="1000")
    assert answer.status_code == 200
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["body"].split(" y")[0] for one in rows[:64]] == [f"first {number}" for number in range(64)]
    assert rows[-1]["error"]["code"] == "SL907"
    assert set(rows[-1]["error"]) == {"code", "message", "hint"}


def test_a_document_that_took_too_long_is_none(asking):
    answer = asking("/api/v1/counts", by="n,message")
    assert (answer.status_code, answer.json()["code"]) == (503, "SL907")


def test_a_fault_of_the_program_says_nothing_of_itself(tiers):
    nursery = fork_nursery(Place(tiers.path, tiers.path.parent))

    async def ask() -> None:
        pool = WorkerPool(nursery)
        await pool.answer(QuestionRequest("no such question"))

    with contextlib.closing(nursery), pytest.raises(Exception, match="something unexpected") as caught:
        asyncio.run(ask())
    assert caught.value.code == "SL999"
    answer = api.refusal(caught.value)
    assert answer.status_code == 500
    assert set(json.loads(answer.body)) == {"code", "message", "hint"}
    assert b"KeyError" not in answer.body


def test_more_rows_than_an_answer_has(asking, monkeypatch):
    monkeypatch.setattr(parameters, "MOST_ROWS", 50)  # workers are forked when something is asked
    hot = {"tier": "hot", "timeout_s": 60.0}
    *rows, last = asking("/api/v1/query", limit="50", **hot).text.splitlines()
    assert len(rows) == 50
    assert json.loads(last)["error"]["code"] == "SL907"
    assert len(asking("/api/v1/query", limit="49", **hot).text.splitlines()) == 49
    several = {"by": "message", "q": "message=first*", **hot}
    refused = asking("/api/v1/counts", **several)
    assert (refused.status_code, refused.json()["code"]) == (400, "SL904")
    assert len(asking("/api/v1/counts", top="5", **several).json()) == 5


def test_what_could_not_be_read_is_told(tmp_path):
    with Tiers(tmp_path / "t") as tiers:
        tiers.store("log", lines("stored", 10))
        row = tiers.archive("old", lines("old", 10))
        path = tiers.path.parent / "archive" / row.path
        path.write_bytes(path.read_bytes()[:60])  # in the middle of its frame: without its end alone all is found
        with lone(tiers.path) as server, server.client() as client:
            *rows, last = client.get("/api/v1/query").text.splitlines()
            said = json.loads(last)["error"]
            assert len(rows) == 10
            assert said["hint"]
            for address in ("counts", "fields", "reasons?q=nowhere=1", "context?id=1"):
                answer = client.get(f"/api/v1/{address}")
                assert answer.status_code == 200, answer.text
                if address != "context?id=1":  # whose log is whole
                    assert [one["code"] for one in json.loads(answer.headers["sidelog-incomplete"])] == [said["code"]]
