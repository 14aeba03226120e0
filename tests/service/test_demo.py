"""`make run`: the demo shop beside the agent, from the first line to Ctrl-C."""

from __future__ import annotations

import fcntl
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.http.processes import descendants
from tests.http.served import free_port
from tests.integration.harness import wait_until
from tests.integration.test_permissions import BOUND

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "etc" / "demo"


@pytest.fixture(autouse=True)
def default_signals():
    """As in a terminal: where the tests run under nohup, what they start would ignore SIGHUP too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def command(tmp_path):
    path = tmp_path / "bin" / "sidelog"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent "$@"\n')
    path.chmod(0o755)
    return path


def typed(said, words, environment=None):
    """What the hints say to type, the alias first, typed in another directory."""
    lines = [re.split(r"(?<=\S) {2,}", line)[0] for line in said.splitlines() if re.match(r"  \S", line)]
    alias = next(line for line in lines if line.startswith("  alias "))
    [line] = [line for line in lines if line.endswith(words)]
    done = subprocess.run(
        ["sh", "-c", f"{alias}\n{line}"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=50,
        env=environment,
    )
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_newcomer_sees_it_all_and_ctrl_c_stops_both(tmp_path, command, number):
    """Events, a group, an alert with its page, a rotated log in the archive, by typing what the demo says; the end is
    clean, leaves no process, and nothing in the user's own store.
    """
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--port", str(free_port()), "--rate", "20"]
    home = {name: value for name, value in os.environ.items() if not name.startswith(("SIDELOG_", "XDG_"))}
    home |= {"HOME": str(tmp_path / "home"), "SIDELOG_STORE__PATH": str(tmp_path / "home/mine.db")}
    with (tmp_path / "out").open("wb") as output:
        demo = subprocess.Popen(run, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, env=home)
    try:
        end = time.monotonic() + 90
        wanted = ["query -p error -n 5"]
        if number == signal.SIGTERM:
            wanted += ["pages.json"]
        if number == signal.SIGINT:
            wanted += ["pages.json", " errors", " alerts", " archive", "query -U 20h -p error"]
        while wanted:
            said = (tmp_path / "out").read_text()
            assert time.monotonic() < end, f"{wanted}: {said}"
            assert demo.poll() is None, said
            time.sleep(0.05)
            if "/link/" in said and typed(said, wanted[0], home):
                wanted.pop(0)
        assert "healthy" in typed(said, " status", home)
        assert "/link/operator" in typed(said, "token link --role operator", home)
        children = children_of(demo)
        assert len(children) == 2
        started = descendants(demo.pid)
    finally:
        demo.send_signal(number)
        code = demo.wait(40)
    said = (tmp_path / "out").read_text()
    assert code == 0, said
    if number != signal.SIGHUP:
        page = json.JSONDecoder().raw_decode((tmp_path / "demo-logs" / "pages.json").read_text())[0]
        assert (page["rule"], page["state"]) == ("shop-errors", "firing")
        assert page["value"] >= 3
        assert page["events"]
    assert "Traceback" not in said
    all_gone(started)
    assert not (tmp_path / "home").exists()


def children_of(demo):
    return Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()


def test_the_end_of_the_terminal_is_the_end_of_both(tmp_path, command):
    """Also where the terminal ran `make` alone, which waits for the demo without passing the signal on."""
    ours, its = os.openpty()
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--port", str(free_port())]
    demo = subprocess.Popen(run, cwd=tmp_path, stdin=its, stdout=its, stderr=its)
    os.close(its)
    said = b""
    while b"at any time" not in said:
        said += os.read(ours, 4096)
    children = children_of(demo)
    os.close(ours)
    assert demo.wait(40) == 0
    assert len(children) == 2
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def printed(out, words):
    """The line that a running demo prints below these words."""
    found = wait_until(lambda: re.search(rf"^{words}\n\n  (.+)\n", out.read_text(), re.MULTILINE), 60, words)
    return found[1]


@pytest.mark.parametrize("mode", ["demo", "logs"])
def test_the_page_is_a_click_away(tmp_path, command, mode):
    """The link that is printed opens it, and resolves; when that link is used up, the page itself says what prints
    another; nothing of it is left after Ctrl-C.
    """
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--port", str(free_port()), "--rate", "20"]
    home = {name: value for name, value in os.environ.items() if not name.startswith(("SIDELOG_", "XDG_"))}
    home["HOME"] = str(tmp_path / "home")
    lines = ("KeyError", "shop.orders")
    if mode == "logs":
        (tmp_path / "own logs").mkdir()
        row = '{{"level":"{}","message":"{}"}}\n'
        (tmp_path / "own logs/app.log").write_text(row.format("error", "it broke") + row.format("info", "it went"))
        home["SIDELOG_STORE__PATH"] = str(tmp_path / "own store/mine.db")
        run += ["--logs", f"'{tmp_path}/own logs/*.log'"]
        lines = ("it broke", "it went")
    out = tmp_path / "out"
    with out.open("wb") as output:
        demo = subprocess.Popen(run, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, env=home)
    try:
        link = printed(out, "The page, by a link that works once, within a minute:")
        another = printed(out, "Another one, at any time:")
        with httpx.Client(timeout=40, headers={"Accept": "text/html"}, follow_redirects=True) as client:
            page = client.get(link)
            base = f"http://{page.url.netloc.decode()}"
            assert (page.status_code, page.url.path) == (200, "/")
            see(client, f"{base}/logs", *lines)
            resolve_first(client, base)
        used = httpx.get(link, headers={"Accept": "text/html"})
        assert used.status_code == 403
        none = httpx.get(f"{base}/logs", headers={"Accept": "text/html"})
        assert none.status_code == 401
        for said in (another, *openers(used.text), *openers(none.text)):
            fresh = subprocess.check_output(["sh", "-c", said], text=True, cwd="/", env=home, timeout=50).strip()
            assert httpx.get(fresh).status_code == 303, said
        started = descendants(demo.pid)
        assert len(started) >= 3
    finally:
        demo.send_signal(signal.SIGINT)
        code = demo.wait(40)
    assert code == 0, out.read_text()
    all_gone(started)
    with pytest.raises(httpx.ConnectError):
        httpx.get(base)


def all_gone(processes):
    """Wait for the end of the server's own processes too: they end with it, and nobody waits for them."""
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in processes), 20, "the end of all")


def openers(page):
    """The commands that a page has for who has no session."""
    found = [html.unescape(text) for text in re.findall(r'<pre class="typed"[^>]*>(.*?)</pre>', page)]
    assert len(found) == 2
    return found


def see(client, address, *words):
    """Wait until a page has these words."""
    wait_until(lambda: all(word in client.get(address).text for word in words), 60, f"{words} on {address}")


def resolve_first(client, base):
    """Resolve a group, as the button of its page does."""
    see(client, f"{base}/errors?state=all", '"/errors/1"')
    page = client.get(f"{base}/errors/1").text
    token = re.search(r'name="form_token" value="([^"]+)"', page)[1]
    form = {"form_token": token, "state": "resolved"}
    done = client.post(f"{base}/errors/1", data=form, headers={"Origin": base})
    assert done.status_code == 200, done.text
    assert "resolved" in re.search(r'class="done"[^>]*>(.*?)</', done.text, re.DOTALL)[1]


def test_a_port_that_is_taken_is_left_to_who_has_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer(tmp_path, "--port", str(port))
    listen = json.loads((tmp_path / "demo-logs/sidelog.json").read_text())["http"]["listen"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", listen)
    assert listen != f"127.0.0.1:{port}"


def answer(folder, *words, bound=()):
    """What `make run` does with these words, where the agent only says what it was given: code, words, error."""
    command = folder / "sidelog"
    command.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(78)\n")
    command.chmod(0o755)
    run = [*bound, sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), *words]
    done = subprocess.run(run, check=False, capture_output=True, text=True, cwd=folder, timeout=50)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else [], done.stderr


def test_a_demo_that_runs_already_is_left_alone(tmp_path):
    (tmp_path / "demo-logs").mkdir()
    lock = os.open(tmp_path / "demo-logs", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    said = f"make run: the demo runs already in {tmp_path}/demo-logs; Ctrl-C in its terminal stops it\n"
    assert answer(tmp_path) == (1, [], said)
    os.close(lock)
    assert list((tmp_path / "demo-logs").iterdir()) == []
    assert answer(tmp_path)[:2] == (78, ["run", "-c", f"{tmp_path}/demo-logs/sidelog.json"])


def test_a_demo_without_a_place_says_so(tmp_path):
    (tmp_path / "demo-logs").touch()
    code, _, said = answer(tmp_path)
    assert (code, said) == (1, f"make run: the demo cannot have {tmp_path}/demo-logs: File exists\n")


def without_page(words):
    """What an agent is started with, but for where it serves its page."""
    assert words[1] == "--set"
    assert re.fullmatch(r"http\.listen=127\.0\.0\.1:\d+", words[2])
    return [words[0], *words[3:]]


@pytest.mark.parametrize(
    ("logs", "given"),
    [
        ("*.log 'with blank/*.json'", ["*.log", "with blank/*.json"]),
        ("with blank", ["with blank/*"]),
        ("with blank/*.json", ["with blank/*.json"]),
        ("with blank/a.json", ["with blank/a.json"]),
        ("b[1] plain/*.log", ["b[[]1]/*.log", "plain/*.log"]),
        ("b[1]/*.log", ["b[[]1]/*.log"]),
        ("b[1]/x[2].log", ["b[1]/x[2].log"]),
        ("plain/a.log plain/b.log", ["plain/a.log", "plain/b.log"]),
        ("plain/", ["plain/*.log"]),
        ("none/*.log", ["none/*.log"]),
    ],
)
def test_names_with_blanks_and_brackets_are_what_they_look_like(tmp_path, logs, given):
    for name in ("with blank/a.json", "b[1]/x[2].log", "plain/a.log"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    code, words, said = answer(tmp_path, "--logs", logs)
    assert (code, without_page(words), said) == (78, ["run", *given], "")


def test_logs_that_cannot_be_followed_are_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o300)
    assert answer(tmp_path, "--logs", "a 'b") == (1, [], "make run: a quote in LOGS is not closed: a 'b\n")
    code, _, said = answer(tmp_path, "--logs", "closed", bound=BOUND)
    assert (code, said) == (1, "make run: closed cannot be read: Permission denied\n")


@pytest.mark.parametrize(("file", "pattern"), [("app.log", "logs/*.log"), ("messages", "logs/*")])
def test_a_directory_means_the_logs_in_it(tmp_path, file, pattern):
    command = tmp_path / "sidelog"
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / file).touch()
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--logs", "logs/"]
    result = subprocess.run(run, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=50)
    assert without_page(result.stdout.splitlines()[-1].split()) == ["run", pattern]


def test_patterns_are_passed_on_unexpanded(tmp_path):
    """LOGS='*.log' reaches the agent as patterns, so that files born later are followed too; its code is passed on."""
    command = tmp_path / "sidelog"
    command.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(78)\n")
    command.chmod(0o755)
    (tmp_path / "a.log").touch()
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--logs", "*.log 'with space/*.json'"]
    result = subprocess.run(run, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=50)
    assert result.returncode == 78
    assert without_page(json.loads(result.stdout.splitlines()[-1])) == ["run", "*.log", "with space/*.json"]


def test_the_shop_writes_json_lines_and_rotates(tmp_path):
    """Every line is a JSON object with the fields of structlog; rotated files are kept up to a number."""
    shop = [sys.executable, str(DEMO / "shop.py"), "logs", "--rate", "2000", "--rotate-after", "50", "--seed", "3"]
    process = subprocess.Popen(shop, cwd=tmp_path)
    try:
        end = time.monotonic() + 40
        while not (tmp_path / "logs" / "shop.log.3").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.terminate()
        assert process.wait(40) == 0
    assert sorted(os.listdir(tmp_path / "logs")) == ["shop.log", "shop.log.1", "shop.log.2", "shop.log.3"]  # noqa: PTH208
    lines = [line for name in (1, 2, 3) for line in (tmp_path / "logs" / f"shop.log.{name}").read_text().splitlines()]
    assert len(lines) == 150
    events = [json.loads(line) for line in lines]
    assert all({"timestamp", "level", "logger", "event"} <= set(event) for event in events)
    assert any(event["level"] == "error" and "Traceback" in event["exception"] for event in events)
