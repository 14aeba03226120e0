"""What no address answers, and what is no request, in the form of all errors."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from agent.http.faults import handlers
from tests.http.alone import lone
from tests.query.tiers import Tiers

BAD = b'{"state": "ignored", "for": "\xff"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Tiers(tmp_path_factory.mktemp("faults") / "t") as tiers:
        tiers.store("log", b'{"level": "error", "message": "declined"}\n')
        with lone(tiers.path) as made:
            yield made


@pytest.fixture(scope="module")
def client(server):
    with server.client("operator") as made:
        yield made


@pytest.mark.parametrize(
    ("method", "address", "body", "status", "code"),
    [
        ("GET", "/api/v1/nothing", None, 404, "SL913"),
        ("GET", "/api/v1/query/", None, 404, "SL913"),
        ("GET", "/api/v2/query", None, 404, "SL913"),
        ("DELETE", "/api/v1/errors", None, 405, "SL913"),
        ("POST", "/api/v1/query", b"{}", 405, "SL913"),
        ("GET", "/api/v1/context?id=\u00b2", None, 404, "SL912"),
        ("GET", "/api/v1/context?id=", None, 400, "SL904"),
        ("GET", "/api/v1/counts?top=3", None, 400, "SL518"),
        ("GET", "/api/v1/errors?reverse=yes", None, 400, "SL904"),
        ("GET", "/api/v1/errors/diff?label=x", None, 400, "SL541"),
        ("GET", "/api/v1/errors/diff?at=%2B1h", None, 400, "SL541"),
        ("GET", "/api/v1/query?grep=(", None, 400, "SL513"),
        ("POST", "/api/v1/errors/\u00b2", b'{"state": "resolved"}', 404, "SL540"),
        ("POST", "/api/v1/errors/abc", b'{"state": "resolved", "ids": [1]}', 404, "SL540"),
        ("POST", "/api/v1/errors/1", b'{"state": "resolved", "ids": [1]}', 400, "SL904"),
        ("POST", "/api/v1/errors", b'{"state": "resolved"}', 400, "SL904"),
        ("POST", "/api/v1/errors", b'{"state": "resolved", "ids": [99999999999999999999]}', 400, "SL904"),
        ("POST", "/api/v1/errors/1", BAD, 400, "SL904"),
        ("POST", "/api/v1/errors/1", b"x" * 70_000, 413, "SL904"),
        ("POST", "/api/v1/errors/1?x=1", b'{"state": "resolved"}', 400, "SL904"),
        ("POST", "/api/v1/silences", b'{"rule": "none", "for": "1h"}', 404, "SL710"),
        ("POST", "/api/v1/silences", b'{"rule": "none", "for": "0s"}', 400, "SL515"),
        ("POST", "/api/v1/silences", b'{"rule": "none", "for": "1h", "comment": "%s"}' % (b"x" * 1_001), 400, "SL904"),
        ("POST", "/api/v1/errors/1", b'{"state": "ignored", "for": "soon"}', 400, "SL515"),
        ("GET", "/api/v1/errors/diff?before=0s", None, 400, "SL541"),
        ("DELETE", "/api/v1/silences/none", None, 404, "SL710"),
    ],
)
def test_each_refusal_has_the_form_of_all(client, method, address, body, status, code):  # noqa: PLR0917
    answer = client.request(method, address, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "hint"}
    assert answer.headers["content-type"] == "application/json"
    assert not answer.json()["message"].startswith("SL")  # the catalogue has words for it


def test_another_method_is_told_which_there_are(client):
    answer = client.delete("/api/v1/errors")
    assert {word.strip() for word in answer.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("address", ["query", "counts", "errors", "status", "openapi.json"])
def test_head_has_the_headers_alone(client, address):
    answer = client.head(f"/api/v1/{address}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == client.get(f"/api/v1/{address}").headers["content-type"]
    assert client.head(f"/api/v1/{address}?x=1").status_code == (200 if address == "openapi.json" else 400)


def test_a_fault_of_the_program_says_nothing_of_itself():
    async def fails(_):
        secret = "hunter2"
        raise RuntimeError(secret)

    app = Starlette(routes=[Route("/api/v1/x", fails)], exception_handlers=handlers(None))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
            return await asking.get("/api/v1/x")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["code"]) == (500, "SL999")
    assert set(answer.json()) == {"code", "message", "hint"}
    assert answer.json()["message"].startswith("something unexpected")
    assert "hunter2" not in answer.text
