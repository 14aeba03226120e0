"""docs/fleet.md, followed to the letter: two machines, a server with users of its own, one query, one page."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.clickhouse import migrations, schema
from agent.clickhouse.address import ClickHouseAddress
from agent.clickhouse.client import ClickHouseClient
from agent.clickhouse.faults import ClickHouseError
from agent.config.loader import load
from tests.fleet.process import free_ports
from tests.fleet.servers import Modern, Refused
from tests.needs import needs

pytestmark = [needs("clickhouse"), pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/fleet.md").read_text()
HOOK = """#!/bin/sh
cd "{folder}" && cat > "$SIDELOG_DELIVERY_ID.tmp" && mv "$SIDELOG_DELIVERY_ID.tmp" "$SIDELOG_DELIVERY_ID.json"
"""


def blocks(section, language):
    """The blocks of one language in a section of the page."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def other_lines():
    """What the other sections type, but for what serves until it is stopped."""
    found = [
        line
        for section in ("Asking", "Verify, restore, clones")
        for text in blocks(section, "sh")
        for line in text.splitlines()
    ]
    shown = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
    return [line for line in [*found, *shown] if not line.startswith("sidelog web")]


class Machine:
    """One machine: its own /etc/sidelog, its own store and log, and what is typed there."""

    def __init__(self, folder, url, environ):
        self.folder, self.url = folder, url
        self.etc = folder / "etc/sidelog"
        (self.etc / "conf.d").mkdir(parents=True)
        self.log = folder / "app.log"
        store, log = json.dumps(str(folder / "s.db")), json.dumps(str(self.log))
        self.write("sidelog.yaml", f"store: {{path: {store}}}\nsources: [{{name: shop, include: [{log}]}}]\n")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
        self.environ = (
            clean | environ | {"SIDELOG_CONFIG": str(self.etc / "sidelog.yaml"), "TZ": "UTC", "NO_COLOR": "1"}
        )
        self.services = []

    def own(self, text):
        """A text of the page as this machine has it."""
        return text.replace("http://ch1:8123", self.url).replace("/etc/sidelog", str(self.etc))

    def write(self, name, text):
        (self.etc / name).write_text(self.own(text))

    def append(self, count, message):
        with self.log.open("a") as log:
            for number in range(count):
                now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{number:03}Z"
                log.write(json.dumps({"ts": now, "level": "error", "msg": message, "n": number}) + "\n")

    def start(self, *words):
        output = (self.folder / f"output.{len(self.services)}").open("wb")
        with output:
            line = [sys.executable, "-m", "agent", *words]
            self.services.append(subprocess.Popen(line, cwd=ROOT, env=self.environ, stdout=output, stderr=output))

    def type(self, line):
        """Type one line of the page; what it prints."""
        words = shlex.split(self.own(re.split(r" +#", line)[0]))
        if words[:2] == ["systemctl", "restart"]:
            self.start("run")
            self.wait_for_store()
            return ""
        assert words.pop(0) == "sidelog"
        done = self.ask(*words)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def wait_for_store(self):
        """As `systemctl`, which waits until the agent says that it is ready."""
        end = time.monotonic() + 30
        while not (self.folder / "s.db").exists() or self.ask("forward", "status").returncode == 3:
            assert time.monotonic() < end
            time.sleep(0.1)

    def ask(self, *words):
        command = [sys.executable, "-m", "agent", *words]
        known = {"SIDELOG_ENGINE_PASSWORD": "asks-4711"} if "user=reader" in " ".join(words) else {}
        return subprocess.run(
            command, cwd=ROOT, env=self.environ | known, capture_output=True, text=True, check=False, timeout=90
        )

    def wait(self, line, wanted):
        """Type a line until it says something."""
        end = time.monotonic() + 60
        while not wanted(said := self.type(line)):
            assert time.monotonic() < end, (line, said, [path.read_text() for path in self.folder.glob("output.*")])
            time.sleep(0.2)
        return said

    def end(self):
        for one in self.services:
            one.send_signal(signal.SIGTERM)
        for one in self.services:
            assert one.wait(40) == 0, [path.read_text() for path in self.folder.glob("output.*")]


@pytest.fixture
def server(tmp_path):
    """A server with the users of the page."""
    folder = tmp_path / "clickhouse"
    own = Modern(folder)
    (folder / "users.d").mkdir()
    (folder / "users.d/sidelog.xml").write_text(blocks("From one machine to ten", "xml")[0])
    with own:
        yield own


@pytest.fixture
def machines(tmp_path, server):
    secrets = re.findall(r"(CLICKHOUSE_\w+)=([\w-]+)", PAGE)
    environ = {**dict(secrets), "CLICKHOUSE_JUDGE": "judges-4711"}
    return [Machine(tmp_path / name, server.url, environ) for name in ("one", "two")]


def test_from_one_machine_to_two(tmp_path, machines, server):
    one, two = machines
    forward, alerts = blocks("From one machine to ten", "yaml")
    schema_, restart, ask, judge, verify = (block.splitlines() for block in blocks("From one machine to ten", "sh"))
    one.type(*schema_)
    for machine, message in zip(machines, ("cannot reach the bank", "out of stock"), strict=True):
        machine.append(30, message)
        machine.write("conf.d/fleet.yaml", forward)
        for line in restart[:-1]:
            machine.type(line)
    for machine in machines:
        machine.wait(restart[-1], lambda said: "30 forwarded" in said)
    agents, errors, by_agent, groups = ask
    assert two.type(agents).count("\n") == 2
    found = one.type(f"{errors} -n all")
    assert (found.count("cannot reach the bank"), found.count("out of stock")) == (30, 30)
    assert re.findall(r"\b30\b", one.type(by_agent)) == ["30", "30"]
    assert "cannot reach the bank" in one.type(groups)
    pages = tmp_path / "pages"
    pages.mkdir()
    for machine in machines:
        for name in ("hooks", "fleet"):
            (machine.etc / name).mkdir()
        machine.write("hooks/page.sh", HOOK.format(folder=pages))
        (machine.etc / "hooks/page.sh").chmod(0o755)
        machine.write("fleet/alerts.yaml", alerts)
        machine.start(*shlex.split(machine.own(judge[0]))[1:], "--interval", "500ms", "--lease", "3s")
    end = time.monotonic() + 60
    while not (told := list(pages.glob("*.json"))):
        assert time.monotonic() < end, [path.read_text() for m in machines for path in m.folder.glob("output.*")]
        time.sleep(0.2)
    time.sleep(4)
    (page,) = [json.loads(path.read_text()) for path in told]
    assert (page["rule"], page["state"], page["value"]) == ("errors-of-the-fleet", "firing", 60)
    for machine in machines:
        machine.type(verify[0])
    for line in other_lines():
        one.type(line)
    for machine in machines:
        machine.end()
    assert len(list(pages.glob("*.json"))) == 1
    assert server.rows("SELECT count() FROM logs.events FINAL") == [(60,)]


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_each_configuration_of_the_page_is_valid(tmp_path, text):
    file = tmp_path / "sidelog.yaml"
    file.write_text(text)
    config = load(file)
    assert config.forward or config.engine


def test_the_users_of_the_page_may_do_no_more_than_it_says(server):
    schema.make(ClickHouseAddress((server.url,), "logs"), None, replicated=False, ttl_days=None)
    passwords = {"sidelog": "forwards-4711", "reader": "asks-4711", "judge": "judges-4711"}
    refused = {
        "sidelog": ["DROP TABLE logs.events", "ALTER TABLE logs.events DELETE WHERE 1", "SELECT * FROM system.users"],
        "reader": ["INSERT INTO logs.events (agent, seq) VALUES ('a', 1)", "DROP TABLE logs.events"],
        "judge": ["INSERT INTO logs.events (agent, seq) VALUES ('a', 1)", "TRUNCATE TABLE logs.alerts"],
    }
    for user, statements in refused.items():
        assert server.ask("SELECT count() FROM logs.events", user=user, password=passwords[user]) == "0\n"
        for statement in statements:
            with pytest.raises(Refused) as said:
                server.ask(statement, user=user, password=passwords[user])
            assert said.value.code in {497, 164}, statement


@needs("openssl", "nginx")
def test_tls_with_a_certificate_of_ones_own(tmp_path, server):
    """A proxy before the server speaks TLS, as its own port would."""
    files = [tmp_path / "key.pem", tmp_path / "cert.pem"]
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(["openssl", *words.split(), "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    (port,) = free_ports(1)
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/a; proxy_temp_path {tmp_path}/b;\n"
        f" fastcgi_temp_path {tmp_path}/c; uwsgi_temp_path {tmp_path}/d; scgi_temp_path {tmp_path}/e;\n"
        f" server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {files[1]}; ssl_certificate_key {files[0]};\n"
        f"  location / {{ proxy_pass {server.url}; proxy_set_header Host $host; }} }} }}\n"
    )
    url = f"https://localhost:{port}"
    with subprocess.Popen(["nginx", "-e", "stderr", "-p", tmp_path, "-c", conf], stderr=subprocess.DEVNULL) as proxy:
        try:
            trusted = ClickHouseAddress((url,), "logs", ca=files[1])
            end = time.monotonic() + 20
            while True:
                try:
                    schema.make(trusted, None, replicated=False, ttl_days=None)
                except ClickHouseError:
                    assert time.monotonic() < end
                    time.sleep(0.1)
                else:
                    break
            with pytest.raises(ClickHouseError, match=r"cannot be reached.*certificate"):
                schema.read_version(ClickHouseClient(ClickHouseAddress((url,), "logs")))
        finally:
            proxy.terminate()


def test_older_tables_are_brought_to_this_version_with_what_they_hold(database):
    address = ClickHouseAddress((database.url,), database.name)
    client = ClickHouseClient(address)
    try:
        layout = schema.layout_of(client, None, replicated=False)
        for statement in migrations.STEPS[0](layout):
            client.execute(statement)
        database.ask("INSERT INTO schema (name, version, ver) VALUES", "('sidelog', 1, 1)")
        database.ask("INSERT INTO events (agent, seq) VALUES", "('a', 1), ('b', 2)")
        with pytest.raises(ClickHouseError) as older:
            schema.check(client)
        assert older.value.code == "SL655"
        schema.make(address, None, replicated=False, ttl_days=None)
        schema.check(client)
    finally:
        client.close()
    assert database.rows("SELECT count() FROM events FINAL") == [(2,)]
    assert database.rows("SELECT count() FROM alerts") == [(0,)]
