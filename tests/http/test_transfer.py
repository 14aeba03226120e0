"""What an answer weighs on the way: compressed, but not where that tells somebody else of it, and once."""

from __future__ import annotations

import asyncio
import re
import zlib

import httpx
import pytest

from agent.http.compression import LEAST, Compression
from agent.http.forms import is_token, masked
from agent.http.guard import Visitor
from tests.integration.harness import append, event


def sent(answer: httpx.Response) -> str:
    """How an answer was coded on the way."""
    return answer.headers.get("content-encoding", "")


@pytest.fixture(scope="module")
def reader(served):
    with served.client() as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/logs", "/errors", "/api/v1/query?limit=50", "/api/v1/fields", "/logs.csv", "/metrics"]
)
def test_what_is_long_is_compressed(reader, path):
    assert sent(reader.get(path, headers={"Accept-Encoding": "identity"})) == ""
    answer = reader.get(path)
    assert sent(answer) == "gzip"
    assert "Accept-Encoding" in answer.headers["vary"]
    assert len(answer.content) > LEAST


def test_the_same_is_read_of_it(reader):
    asked = "/api/v1/query?since=24h&limit=300"
    assert reader.get(asked).content == reader.get(asked, headers={"Accept-Encoding": "identity"}).content


def test_what_is_short_is_not_compressed(reader):
    for path in ("/health", "/api/v1/query?limit=1&q=nothinglikeit", "/api/v1/errors/999"):
        answer = reader.get(path)
        assert (sent(answer), len(answer.content) < LEAST) == ("", True), path


@pytest.mark.parametrize(
    ("site", "coding"), [("same-origin", "gzip"), ("none", "gzip"), ("same-site", ""), ("cross-site", ""), (None, "")]
)
def test_the_length_of_a_session_s_answer_tells_nothing_to_another_site(served, site, coding):
    with served.browser() as session:
        headers = {} if site is None else {"Sec-Fetch-Site": site}
        for path in ("/logs?q=card", "/api/v1/query?q=card"):
            assert sent(session.get(path, headers=headers)) == coding
        style = re.search(r"/static/\w+/style\.css", session.get("/").text)[0]
        assert sent(session.get(style, headers=headers)) == "gzip", "it has no secret"


def test_the_token_of_forms_is_another_text_each_time(served):
    with served.browser("operator") as session:
        pages = [session.get("/logs?q=card").text for _ in range(2)]
    one, other = (re.search(r'name="form-token" content="([^"]+)"', page)[1] for page in pages)
    assert one != other


def test_a_masked_token_is_known():
    token = "WxJ2mVfWbYt0Tn0b2cY4cQz3"
    made = masked(token)
    assert made != masked(token)
    assert token not in made
    assert is_token(made, token)
    for wrong in ("", "x", token, made[:-4], made + "AAAA", masked(token[:-1] + "x"), "é", "\udcff", "A" * 10_000):
        assert not is_token(wrong, token), wrong
    assert masked("") == ""


def test_the_live_tail_is_not_held_back(box):
    box.log.write_bytes(event(0))
    box.serve()
    box.stored(1)
    with box.client() as client, client.stream("GET", "/api/v1/tail", headers={"Accept-Encoding": "gzip"}) as answer:
        assert sent(answer) == ""
        lines = answer.iter_lines()
        assert next(lines)
        append(box.log, event(1, message="it came"))
        assert any("it came" in line for line in lines)


def answered(*parts: bytes, kind: str = "application/x-ndjson") -> list[dict]:
    """What goes to a client that takes gzip when an application sends these parts one after the other."""
    told: list[dict] = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message):
        told.append(message)

    visitor = Visitor("a program", "reader")
    scope = {"type": "http", "path": "/", "headers": [(b"accept-encoding", b"gzip")], "visitor": visitor}
    asyncio.run(Compression(app)(scope, None, send))
    return told


def test_what_has_come_of_a_long_answer_can_be_read_at_once():
    parts = [b'{"id":%d}\n' % number * 400 for number in range(3)]
    start, *bodies = answered(*parts)
    assert (b"content-encoding", b"gzip") in start["headers"]
    reading = zlib.decompressobj(31)
    assert [reading.decompress(one["body"]) for one in bodies] == [*parts, b""]
    assert reading.eof


def test_a_short_beginning_does_not_decide():
    _, *bodies = answered(b"time,message\n", b"x" * 5_000)
    assert zlib.decompress(b"".join(one["body"] for one in bodies), 31) == b"time,message\n" + b"x" * 5_000
    start, body = answered(b"time,message\n")
    assert (body["body"], body["more_body"]) == (b"time,message\n", False)
    assert b"content-encoding" not in dict(start["headers"])


def test_events_of_a_stream_are_sent_one_by_one():
    _, *bodies = answered(b": alive\n\n", b"data: 1\n\n", kind="text/event-stream")
    assert [one["body"] for one in bodies] == [b": alive\n\n", b"data: 1\n\n", b""]


def test_an_address_of_a_static_file_names_its_content(served):
    page = httpx.get(f"{served.base}/logs", headers={"Accept": "text/html"}).text
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert found
    for path in found:
        answer = httpx.get(served.base + path)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        old = httpx.get(served.base + re.sub(r"/static/\w+", "/static/0123456789abcdef", path))
        assert old.content == answer.content
        assert old.headers["cache-control"] == "no-cache"
