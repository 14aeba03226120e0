"""Clients that say nothing, too much, too slowly or nonsense keep nobody else from an answer. Raw sockets."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.http.processes import descendants, nursery_of, private_bytes, server_of
from tests.integration.harness import events, wait_until

MANY = 1_000
BIG = 40_000  # events: an answer of 20 MB
MORE = 96 << 20  # bytes that clients may cost server and workers: 40 MB were seen, 63 while coverage is measured


@pytest.fixture(scope="module")
def served(served_box):
    served_box.log.write_bytes(events(0, BIG, filler="x" * 300))
    served_box.serve()
    served_box.stored(BIG)
    return served_box


@pytest.fixture(scope="module")
def token(served):
    return served.token("reader", "hostile")


def connect(served, request: bytes = b"", *, buffer: int = 0) -> socket.socket:
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect(("127.0.0.1", served.port))
    made.settimeout(60)
    if request:
        made.sendall(request)
    return made


def head(served, path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", *lines, "", ""]).encode()


def all_of(sock: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65_536):
            said += part
    return said


def is_closed(sock: socket.socket) -> bool:
    """Whether the server has ended a connection, whatever it may have said before."""
    with contextlib.suppress(ConnectionError):
        while select.select([sock], [], [], 0)[0]:
            if not sock.recv(65_536):
                return True
        return False
    return True


def _is_reset(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return any(flags & (select.POLLHUP | select.POLLERR) for _, flags in poll.poll(0))


def answers(served, token: str) -> bool:
    """Whether somebody else is served at once."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=served.base, headers=headers, timeout=10) as client:
        said = [client.get("/ready"), client.get("/api/v1/query", params={"limit": "3"})]
    assert [one.status_code for one in said] == [200, 200], said[1].text
    return True


def test_a_thousand_idle_connections_keep_nobody_out(served, token):
    server = server_of(served.process.pid)
    before = private_bytes(server)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(served)) for _ in range(MANY)]
        assert answers(served, token)
        ended = [one for one in idle if is_closed(one)]
        assert len(ended) >= MANY - 128, "more than one address may have"
        assert len(list(Path(f"/proc/{server}/fd").iterdir())) < 600
        assert private_bytes(server) < before + MORE


def test_what_is_slow_is_ended(served, token):
    """A byte a second of headers and of a body, nothing at all, and answers that are not read."""
    stop = threading.Event()
    asked = (f"Authorization: Bearer {token}",)
    whole = f"/api/v1/query?limit={BIG}"
    with contextlib.ExitStack() as stack:
        slow = {
            "nothing": connect(served),
            "headers": connect(served, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-"),
            "second headers": connect(served, head(served, "/health")),
            "body": connect(served, head(served, "/api/v1/silences", *asked, "Content-Length: 60000", method="POST")),
            "body nobody reads": connect(served, head(served, "/health", "Content-Length: 60000", method="GET")),
            "reader": connect(served, head(served, whole, *asked), buffer=4_096),
        }
        for one in slow.values():
            stack.enter_context(one)
        slow["second headers"].recv(65_536)

        def trickle() -> None:
            while not stop.wait(0.5):
                for name, one in slow.items():
                    if name not in ("nothing", "reader"):
                        with contextlib.suppress(OSError):
                            one.send(b"x")

        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            assert answers(served, token)
            left = {name: one for name, one in slow.items() if name != "reader"}  # which must not read to be found out

            def ended() -> bool:
                for name in [name for name, one in left.items() if is_closed(one)]:
                    del left[name]
                return not left and _is_reset(slow["reader"])

            wait_until(ended, 60, "the end of all")
            assert answers(served, token)
        finally:
            stop.set()
            trickling.join()


def test_slow_headers_are_told_so(served):
    with connect(served, b"GET / HTTP/1.1\r\nHost:") as sock:
        assert all_of(sock).startswith(b"HTTP/1.1 408 ")


def test_slow_readers_hold_no_worker(served, token):
    """Twice as many as there are workers ask for all, and read nothing of it; others are answered meanwhile."""
    server = server_of(served.process.pid)
    before = private_bytes(server)
    other = served.token("reader", "another")
    request = head(served, f"/api/v1/query?limit={BIG}", f"Authorization: Bearer {token}")
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(connect(served, request, buffer=4_096)) for _ in range(8)]
        wait_until(lambda: len(select.select(readers, [], [], 0)[0]) >= 4, 60, "four answers under way")
        assert answers(served, other)
        assert not any(map(_is_reset, readers)), "it had to wait for their end"
        assert private_bytes(server) < before + MORE
    wait_until(lambda: len(descendants(server)) <= 3, 60, "the end of their workers")


def test_a_question_ends_when_its_client_goes(served, token):
    server = server_of(served.process.pid)
    slow = "/api/v1/counts?agg=p50:n&by=n&q=" + "filler%7E%22(x%2B)%2By%22"
    nursery = nursery_of(server)
    assert nursery
    with connect(served, head(served, slow, f"Authorization: Bearer {token}")):
        wait_until(lambda: any(is_running(one) for one in descendants(nursery)), 30, "work")
    wait_until(lambda: not any(is_running(one) for one in descendants(server)), 20, "its end")
    assert answers(served, token)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    return False


def test_a_flood_of_one_does_not_slow_another(served, token):
    """One without a token asks as fast as it can; it is told to wait, and others are answered."""
    stop = threading.Event()
    statuses: set[int] = set()

    def flood() -> None:
        with httpx.Client(base_url=served.base) as client:
            while not stop.is_set():
                statuses.add(client.get("/health").status_code)

    with ThreadPoolExecutor(4) as pool:
        flooding = [pool.submit(flood) for _ in range(4)]
        try:
            wait_until(lambda: 429 in statuses, 30, "a refusal")
            headers = {"Authorization": f"Bearer {token}"}
            for _ in range(20):
                assert httpx.get(f"{served.base}/api/v1/errors", headers=headers, timeout=10).status_code == 200
        finally:
            stop.set()
        for one in flooding:
            one.result()
    assert statuses <= {200, 429}


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET /health\r\n\r\n",  # HTTP/0.9
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # TLS
        b"\x00" * 4_096,
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"GET  /health HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX : y\r\n\r\n",
        "GET /hëalth HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(),
    ],
    ids=range(15),
)
def test_garbage_is_refused_and_forgotten(served, token, garbage):
    said = served.said()
    with connect(served) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(garbage)
        assert all_of(sock)[:10] in (b"", b"HTTP/1.1 2", b"HTTP/1.1 4")
    assert answers(served, token)
    assert served.said() == said, "what strangers send does not fill the journal"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "CONNECT", "PROPFIND", "X" * 50])
@pytest.mark.parametrize("path", ["/health", "/logs", "/api/v1/errors", "/static/style.css"])
def test_other_methods_do_nothing(served, token, method, path):
    request = head(served, path, f"Authorization: Bearer {token}", "Connection: close", method=method)
    with connect(served, request) as sock:
        assert all_of(sock)[:12] in (b"HTTP/1.1 403", b"HTTP/1.1 405")


@pytest.mark.parametrize("path", ["/health", "/logs", "/api/v1/tail", "/api/v1/query?limit=5", "/static/style.css"])
def test_head_has_no_body(served, token, path):
    request = head(served, path, f"Authorization: Bearer {token}", "Connection: close", method="HEAD")
    with connect(served, request) as sock:
        said = all_of(sock)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.endswith(b"\r\n\r\n")
    assert said.count(b"\r\n\r\n") == 1


def test_pipelined_requests_are_answered_in_order(served, token):
    asked = f"Authorization: Bearer {token}"
    paths = ["/health", "/api/v1/query?limit=1", "/ready", "/nothing"]
    requests = [head(served, path, asked) for path in paths]
    with connect(served, b"".join(requests) + head(served, "/health", "Connection: close")) as sock:
        said = all_of(sock)
    statuses = [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200", b"404", b"200"]


def test_a_body_that_is_too_large_is_refused_early(served):
    asked = f"Authorization: Bearer {served.token('operator', 'large')}"
    with connect(served, head(served, "/api/v1/silences", asked, "Content-Length: 1000000", method="POST")) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"x" * 1_000_000)
        assert all_of(sock)[:12] in (b"HTTP/1.1 413", b"")


def test_a_client_that_does_not_read_the_live_tail_is_ended(served, token):
    server = server_of(served.process.pid)
    before = private_bytes(server)
    with connect(served, head(served, "/api/v1/tail", f"Authorization: Bearer {token}"), buffer=4_096) as sock:
        wait_until(lambda: b"watching" in sock.recv(65_536, socket.MSG_PEEK), 20, "the tail")
        stop = threading.Event()

        def write() -> None:
            number = 10_000_000
            while not stop.wait(0.02):
                with served.log.open("ab") as log:
                    log.write(events(number, 100, filler="x" * 300))
                number += 100

        writing = threading.Thread(target=write)
        writing.start()
        try:
            wait_until(lambda: _is_reset(sock), 90, "its end")
        finally:
            stop.set()
            writing.join()
    assert answers(served, token)
    assert private_bytes(server) < before + MORE


def test_one_who_asks_much_keeps_nobody_waiting(served, token):
    """Forty questions of one, and one of another, who is not behind them."""
    other = served.token("reader", "modest")
    headers = {"Authorization": f"Bearer {token}"}
    done: list[float] = []

    def ask() -> None:
        parameters = {"by": "n", "agg": "p50:n"}
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{served.base}/api/v1/counts", params=parameters, headers=headers, timeout=60)
        done.append(time.monotonic())

    with ThreadPoolExecutor(30) as pool:
        asking = [pool.submit(ask) for _ in range(30)]
        wait_until(lambda: done, 60, "the first answer")
        assert answers(served, other)
        last = time.monotonic()
        for one in asking:
            one.result()
    assert max(done) > last, "the other was answered before the thirty were"


def test_a_worker_that_is_killed_is_replaced(served, token):
    server = server_of(served.process.pid)
    assert answers(served, token)
    nursery = nursery_of(server)
    assert nursery
    workers = descendants(nursery)
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):  # one that is idle may end by itself
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: workers.isdisjoint(descendants(server)), what="their end")
    assert answers(served, token)
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: server_of(served.process.pid) not in (0, server), 60, "another server")
    served.wait_for_server()
    assert answers(served, token)
    assert json.loads(served.run("status", "--json").stdout)["agent"]["running"]
