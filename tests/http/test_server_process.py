"""The server as a process of an agent: started, watched, replaced, stopped; its address, its reloads, its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from agent.serving import listening_socket
from tests.http.processes import descendants, server_of
from tests.http.served import free_port
from tests.integration.harness import append, events, wait_until


def processes(box) -> set[int]:
    """The agent and all below it."""
    return {box.process.pid, *descendants(box.process.pid)}


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def reload(box) -> None:
    box.process.send_signal(signal.SIGHUP)


def serving(box) -> int:
    """The server, once it answers."""
    box.wait_for_server()
    return server_of(box.process.pid)


def has_condition(box, code: str) -> bool:
    return any(code in one for one in json.loads(box.run("status", "--json").stdout)["problems"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate of localhost and its key."""
    return certificate(tmp_path_factory.mktemp("tls"))


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    made = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-out", str(made[0]), "-keyout", str(made[1])),
        ],
        check=True,
        capture_output=True,
    )
    return made


# ---------------------------------------------------------------- its life


def test_nothing_of_it_runs_without_the_section(box):
    box.log.write_bytes(events(0, 3))
    document = json.loads(box.config.read_text())
    del document["http"]
    box.config.write_text(json.dumps(document))
    box.start()
    box.wait_count(3)
    assert processes(box) == {box.process.pid}
    mapped = Path(f"/proc/{box.process.pid}/maps").read_text()
    assert "uvicorn" not in mapped
    assert box.stop() == 0


def test_a_killed_server_comes_back_and_nobody_is_refused(box):
    box.serve()
    server = serving(box)
    stop, failed, served = threading.Event(), [], []

    def visit() -> None:
        while not stop.is_set():
            try:
                served.append(httpx.get(f"{box.base}/ready", timeout=30).status_code)
            except httpx.ConnectError as error:  # refused
                failed.append(error)
            except httpx.HTTPError:  # it was being served when the process was killed
                pass
            time.sleep(0.02)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: server_of(box.process.pid) not in (0, server), 30, "another server")
        count = len(served)
        wait_until(lambda: len(served) > count + 5, 30, "answers")
    finally:
        stop.set()
        visitor.join()
    assert failed == []
    assert has_condition(box, "SL902")
    append(box.log, events(0, 5))
    box.wait_count(5)


def test_its_workers_end_with_it(box):
    box.log.write_bytes(events(0, 50))
    box.serve()
    box.stored(50)
    with box.client() as client:
        assert client.get("/api/v1/query").status_code == 200
    server = serving(box)
    below = descendants(server)
    assert len(below) >= 2
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not alive(below), 10, "their end")


def test_a_hung_server_is_replaced(box):
    box.serve()
    server = serving(box)
    os.kill(server, signal.SIGSTOP)
    append(box.log, events(0, 5))
    box.wait_count(5)
    wait_until(lambda: server_of(box.process.pid) not in (0, server), 90, "another server")
    box.wait_for_server()
    assert server not in alive({server})


def test_a_server_that_cannot_start_costs_ingest_nothing(box, tmp_path):
    """As where a library of its is missing."""
    broken = tmp_path / "broken" / "uvicorn"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no such library')\n")
    box.env["PYTHONPATH"] = str(broken.parent)
    box.log.write_bytes(events(0, 5))
    box.start()
    wait_until(lambda: has_condition(box, "SL902"), 30, "the condition")
    box.wait_count(5)
    append(box.log, events(5, 5))
    box.wait_count(10)
    assert box.stop() == 0


def test_once_serves_nothing(box):
    box.log.write_bytes(events(0, 3))
    with socket.create_server(("127.0.0.1", box.port)):  # it would say that it cannot have it
        assert box.once().returncode == 0
    assert box.count() == 3
    assert not has_condition(box, "SL901")


# ---------------------------------------------------------------- its end


def test_it_stops_in_time_with_tails_and_questions_open(box):
    box.log.write_bytes(events(0, 20_000))
    box.serve()
    box.stored(20_000)
    token = box.token()
    slow = "counts?by=n&agg=p50:n"
    connections = []
    for path in ["tail"] * 5 + [slow] * 6:
        made = socket.create_connection(("127.0.0.1", box.port))
        asked = f"GET /api/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        made.sendall(asked.encode())
        connections.append(made)
    for tail in connections[:5]:
        tail.recv(10)
    all_of_them = processes(box)
    box.process.send_signal(signal.SIGTERM)
    assert box.process.wait(5) == 0
    wait_until(lambda: not alive(all_of_them), 5, "the end of all")
    assert "Traceback" not in box.said()
    for one in connections:
        one.close()


def test_it_outlives_a_killed_agent_to_say_so_until_there_is_another(box):
    box.log.write_bytes(events(0, 3))
    box.serve()
    box.stored(3)
    client = box.client()
    server = serving(box)
    os.kill(box.process.pid, signal.SIGKILL)
    box.process.wait()
    wait_until(lambda: httpx.get(f"{box.base}/health").status_code == 503, 20, "a word of it")
    said = httpx.get(f"{box.base}/health").json()
    assert said["status"] == "unhealthy"
    assert [one["code"] for one in said["problems"]] == ["SL903"]
    assert httpx.get(f"{box.base}/ready").status_code == 503
    assert len(client.get("/api/v1/query").text.splitlines()) == 3, "what is stored can be searched still"
    box.serve()
    wait_until(lambda: not alive({server}), 20, "the end of the old one")
    wait_until(lambda: httpx.get(f"{box.base}/health").status_code == 200, 20, "health")
    assert not has_condition(box, "SL901")
    client.close()


# ---------------------------------------------------------------- its address


def test_an_address_that_another_has_is_waited_for(box):
    with socket.create_server(("127.0.0.1", box.port)):
        box.start()
        wait_until(lambda: has_condition(box, "SL901"), 30, "the condition")
        append(box.log, events(0, 3))
        box.wait_count(3)
        assert box.run("status").returncode != 0
    box.wait_for_server()
    wait_until(lambda: not has_condition(box, "SL901"), 30, "its end")


def test_a_reload_adds_moves_and_removes_it(box):
    box.start()
    document = json.loads(box.config.read_text())
    box.config.write_text(json.dumps({key: value for key, value in document.items() if key != "http"}))
    reload(box)
    wait_until(lambda: server_of(box.process.pid) == 0, 30, "its end")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{box.base}/ready")
    box.config.write_text(json.dumps(document))
    reload(box)
    first = serving(box)
    reload(box)  # the same
    append(box.log, events(0, 3))
    box.wait_count(3)
    wait_until(lambda: json.loads(box.run("status", "--json").stdout)["agent"]["running"])
    assert server_of(box.process.pid) == first
    box.configure(http={"public": ["health"]})
    reload(box)
    wait_until(lambda: httpx.get(f"{box.base}/ready", timeout=30).status_code == 401, 30, "the change")
    old, box.port = box.base, free_port()
    box.base = f"http://127.0.0.1:{box.port}"
    box.configure()
    reload(box)
    serving(box)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{old}/ready")


def test_a_reload_of_a_setting_refuses_nobody(box):
    box.serve()
    stop, refused = threading.Event(), []

    def visit() -> None:
        while not stop.is_set():
            with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
                try:
                    httpx.get(f"{box.base}/health", timeout=30)
                except httpx.ConnectError as error:
                    refused.append(error)
            time.sleep(0.01)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        box.configure(http={"public": ["health"]})
        reload(box)
        wait_until(lambda: httpx.get(f"{box.base}/ready", timeout=30).status_code == 401, 30, "the change")
    finally:
        stop.set()
        visitor.join()
    assert refused == []


def on_socket(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost", timeout=30)


def test_a_socket_is_for_the_user_and_the_group(box):
    path = box.root / "http.sock"
    box.configure(http={"listen": f"unix:{path}"})
    box.start()
    with on_socket(path) as client:
        wait_until(lambda: path.exists() and client.get("/ready").status_code == 200, 30, "the server")
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert client.get("/health", headers={"Host": "evil.example"}).status_code == 403
    os.kill(box.process.pid, signal.SIGKILL)
    server = {box.process.pid}
    box.process.wait()
    assert path.exists(), "left behind"
    box.start()  # takes it over as soon as the server of the first has ended
    with on_socket(path) as client:
        wait_until(lambda: server_of(box.process.pid) and client.get("/health").status_code == 200, 30, "the server")
    assert not alive(server)
    assert box.stop() == 0
    assert not path.exists()


def test_a_socket_in_use_and_a_file_are_left_alone(tmp_path):
    path = tmp_path / "a.sock"
    with listening_socket(f"unix:{path}"), pytest.raises(OSError, match="in use"):
        listening_socket(f"unix:{path}")
    listening_socket(f"unix:{path}").close()
    listening_socket(f"unix:{path}").close()  # nobody listens at what is there
    path.unlink()
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        listening_socket(f"unix:{path}")
    assert path.read_text() == "precious"
    link = tmp_path / "link.sock"
    link.symlink_to(path)
    with pytest.raises(OSError, match="no socket"):
        listening_socket(f"unix:{link}")
    with pytest.raises(FileNotFoundError):
        listening_socket(f"unix:{tmp_path}/none/a.sock")


@pytest.mark.parametrize("listen", ["127.0.0.1:{}", "localhost:{}", "[::1]:{}", ":{}", "0.0.0.0:{}", "[::]:{}"])
def test_every_form_of_an_address(listen):
    port = free_port()
    host = "::1" if "::" in listen else "127.0.0.1"
    with listening_socket(listen.format(port)), socket.create_connection((host, port)):
        pass


# ---------------------------------------------------------------- TLS


def test_tls_and_a_certificate_that_is_renewed(box, pair, tmp_path):
    import ssl

    crt, key = tmp_path / "c.pem", tmp_path / "k.pem"
    crt.write_bytes(pair[0].read_bytes())
    key.write_bytes(pair[1].read_bytes())
    box.configure(http={"tls": {"certificate": str(crt), "key": str(key)}})
    box.start()
    base = f"https://127.0.0.1:{box.port}"

    def ready(certificate: bytes) -> bool:
        context = ssl.create_default_context(cadata=certificate.decode())
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{base}/ready", verify=context, timeout=30).status_code == 200
        return False

    wait_until(lambda: ready(crt.read_bytes()), 30, "the server")
    link = box.say("token", "link").rpartition("/link/")[2]
    context = ssl.create_default_context(cadata=crt.read_text())
    answer = httpx.get(f"{base}/link/{link}", verify=context)
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]
    with socket.create_connection(("127.0.0.1", box.port)) as plain:
        plain.settimeout(30)
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert not plain.recv(100).startswith(b"HTTP/1.1 2")
    silent = [socket.create_connection(("127.0.0.1", box.port)) for _ in range(300)]  # more than one may have
    assert ready(crt.read_bytes())
    for one in silent:
        one.close()
    (tmp_path / "new").mkdir()
    new = certificate(tmp_path / "new")
    key.write_bytes(new[1].read_bytes())
    crt.write_bytes(new[0].read_bytes())
    reload(box)
    wait_until(lambda: ready(new[0].read_bytes()), 30, "the new certificate")
    assert not ready(pair[0].read_bytes())
    crt.write_text("nonsense")
    reload(box)
    wait_until(lambda: has_condition(box, "SL914"), 30, "the condition")
    crt.write_bytes(new[0].read_bytes())
    wait_until(lambda: ready(new[0].read_bytes()), 60, "the server")
    assert "Traceback" not in box.said()


def test_check_knows_what_is_wrong_with_it(box, pair, tmp_path):
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other")
    for tls, said in (
        ((pair[0], pair[1]), None),
        ((tmp_path / "none", pair[1]), "cannot be read: No such file or directory"),
        ((pair[0], other[1]), f"is not the key of {pair[0]}"),
        ((box.config, pair[1]), "are no PEM certificate"),
        ((pair[0], tmp_path), "cannot be read: Is a directory"),
    ):
        box.configure(http={"tls": {"certificate": str(tls[0]), "key": str(tls[1])}})
        found = json.loads(box.run("check", "--json").stdout)
        listed = [one for one in found["findings"] if one.get("code") == "SL914"]
        assert bool(listed) == (said is not None)
        if said is not None:
            assert said in listed[0]["sentence"]


def test_check_knows_whether_a_socket_can_be_had(box, tmp_path):
    (tmp_path / "file").write_text("x")
    for path, level, said in (
        (tmp_path / "a.sock", "ok", "can be made"),
        (tmp_path / "file", "error", "no socket"),
        (tmp_path / "none" / "a.sock", "error", "No such file or directory"),
    ):
        box.configure(http={"listen": f"unix:{path}"})
        found = json.loads(box.run("check", "--json").stdout)["findings"]
        [one] = [one for one in found if one["place"] == "http.listen"]
        assert one["level"] == level
        assert said in one["sentence"]


# ---------------------------------------------------------------- beside an agent


def test_a_server_of_its_own_stops_at_once(box):
    box.log.write_bytes(events(0, 3))
    box.once()
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "web", "-c", str(box.config), "--listen", f"127.0.0.1:{port}"],
        env=box.env,
        cwd=box.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:

        def answers() -> bool:
            with suppress_errors():
                return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 503
            return False

        wait_until(answers, 30, "the server")
        below = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(5)
        wait_until(lambda: not alive(below), 5, "the end of its workers")
        assert b"Traceback" not in process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    refused = box.run("web", "--listen", f"0.0.0.0:{port}")
    assert refused.returncode == 78
    assert b"SL104" in refused.stderr


def suppress_errors():
    return contextlib.suppress(httpx.HTTPError)
