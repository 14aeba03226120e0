"""The recipes of docs/web.md for reverse proxies, as they stand there, in a real nginx and a real Caddy through TLS."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import yaml

from tests.http.processes import descendants
from tests.http.samples import write_samples
from tests.http.served import ServedBox, free_port
from tests.integration.harness import append, event, wait_until
from tests.needs import ROOT, needs

NAME = "logs.example.org"
SOCKET = "/run/sidelog/http.sock"
SECTION = (ROOT / "docs/web.md").read_text().split("### Behind a reverse proxy\n")[1].split("\n## ")[0]
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL))


def replaced(text, **words):
    """A text with other words, each of which must stand there."""
    for before, after in words.items():
        assert before in text, f"docs/web.md has no {before} any more"
        text = text.replace(before, after)
    return text


def nginx(folder: Path, listening: Path, port: int) -> list[str]:
    """The command that runs the recipe in a file that has nothing else of its own."""
    block = replaced(
        BLOCKS["nginx"],
        **{
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            SOCKET: str(listening),
            f"/etc/letsencrypt/live/{NAME}/fullchain.pem": str(folder / "certificate.pem"),
            f"/etc/letsencrypt/live/{NAME}/privkey.pem": str(folder / "key.pem"),
        },
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""  # in the recipe its user joins a group
    (folder / "nginx.conf").write_text(
        f"daemon off;\nworker_processes 1;\n{user}pid {folder}/nginx.pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{block}}}\n"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, listening: Path, port: int) -> list[str]:
    """The command that runs the recipe with a certificate that is there, where the recipe has one made."""
    own = f"https://{NAME}:{port} {{\n    bind 127.0.0.1"
    block = replaced(BLOCKS["caddy"], **{f"{NAME} {{": own, SOCKET: str(listening)})
    block = block.replace("\n", f"\n    tls {folder}/certificate.pem {folder}/key.pem\n", 1)
    options = "admin off\nauto_https off\nservers {\nprotocols h1 h2\n}\n"
    (folder / "Caddyfile").write_text(f"{{\n{options}}}\n{block}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES = [pytest.param(make, marks=needs(make.__name__, "openssl"), id=make.__name__) for make in (nginx, caddy)]


def certified(folder: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
            *("-out", str(folder / "certificate.pem"), "-keyout", str(folder / "key.pem")),
        ],
        check=True,
        capture_output=True,
    )


class ToProxy(httpx.HTTPTransport):
    """Finds the proxy's name at loopback, as the clients of an address of this machine do."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return super().handle_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host="127.0.0.1"),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions | {"sni_hostname": NAME},
            )
        )


class Site:
    """A box behind a proxy."""

    def __init__(self, box: ServedBox, folder: Path, port: int) -> None:
        self.box = box
        self.folder = folder
        self.base = f"https://{NAME}:{port}"

    def client(self, address: str = "127.0.0.1", **options) -> httpx.Client:
        """A client of its own address."""
        import ssl

        trust = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))
        transport = ToProxy(verify=trust, local_address=address)
        return httpx.Client(base_url=self.base, transport=transport, timeout=40, **options)

    @contextmanager
    def browser(self, role: str):
        """A session that the printed link has opened, and what opened it."""
        link = self.box.say("token", "link", "--role", role)
        assert link.startswith(f"https://{NAME}/link/")
        with self.client(headers={"Accept": "text/html,*/*;q=0.8"}) as client:
            opened = client.get(link.replace(f"https://{NAME}", self.base))
            assert opened.status_code == 303, opened.text
            yield client, opened


@pytest.fixture(scope="module", params=PROXIES)
def site(request, tmp_path_factory):
    """An agent as the recipe configures it, behind the proxy of the recipe."""
    box = ServedBox(tmp_path_factory.mktemp("proxied"))
    with tempfile.TemporaryDirectory(prefix="proxy") as name:  # a socket's path is short
        folder, port = Path(name), free_port()
        certified(folder)
        http = yaml.safe_load(replaced(BLOCKS["yaml"], **{SOCKET: f"{folder}/http.sock"}))["http"]
        box.configure(http=http)
        count = write_samples(box)
        box.start()
        command = request.param(folder, folder / "http.sock", port)
        home = {"PATH": os.environ["PATH"], "HOME": name, "XDG_DATA_HOME": name, "XDG_CONFIG_HOME": name}
        with (folder / "said").open("wb") as said:
            proxy = subprocess.Popen(command, cwd=folder, env=home, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            made = Site(box, folder, port)
            wait_until(lambda: answers(made, proxy), 60, "the proxy")
            box.stored(count)
            yield made
        finally:
            below = {proxy.pid, *descendants(proxy.pid)}
            box.kill()
            proxy.terminate()
            try:
                proxy.wait(40)
            finally:
                proxy.kill()
                proxy.wait()
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 20, "its end")


def answers(site, proxy):
    assert proxy.poll() is None, (site.folder / "said").read_text()
    with suppress(httpx.TransportError), site.client() as client:
        return client.get("/ready").status_code == 200
    return False


def test_a_link_opens_the_pages(site):
    with site.browser("reader") as (client, opened):
        assert "Secure" in opened.headers["set-cookie"]
        for address in ("/", "/logs", "/errors", "/alerts", "/agent"):
            assert client.get(address).status_code == 200, address
        assert "request 0 served" in client.get("/logs?order=oldest").text
    with site.client(headers={"Accept": "text/html"}) as client:
        refused = client.get("/logs")
        assert refused.status_code == 401
        assert "sidelog token link" in refused.text
        assert str(site.box.root) not in refused.text


def test_a_line_comes_through_at_once(site):
    with site.browser("reader") as (client, _), client.stream("GET", "/api/v1/tail", params={"q": "wanted"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert ": watching" in (next(lines), next(lines))
        for number in range(3):  # each before the next is written
            append(site.box.log, event(number, message=f"wanted {number}"))
            row = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
            assert row["body"] == f"wanted {number}"


def test_a_tail_that_its_reader_has_left_ends(site):
    """Else the next ones are refused, 50 of one visitor, until something is said to those that are gone, every 15 s."""

    def opens() -> bool:
        with client.stream("GET", "/api/v1/tail") as answer:
            return answer.status_code == 200

    with site.browser("reader") as (client, _):
        for number in range(60):
            wait_until(opens, 10, f"tail {number}")


def test_limits_are_the_clients_own(site):
    def wrong(address: str, **headers: str) -> int:
        with site.client(address) as client:
            return client.get("/api/v1/errors", headers={"Authorization": "Bearer sl_x"} | headers).status_code

    assert [wrong("127.0.0.2") for _ in range(6)] == [401] * 5 + [429]
    assert wrong("127.0.0.2", **{"X-Forwarded-For": "192.0.2.7"}) == 429
    assert wrong("127.0.0.3") == 401


def test_a_foreign_name_leads_nowhere(site):
    with site.client() as client:
        assert client.get("/health", headers={"X-Forwarded-Host": "evil.example"}).status_code == 200
        for more in ({}, {"X-Forwarded-Host": NAME}):
            answer = client.get("/health", headers={"Host": "evil.example"} | more)
            assert '"status"' not in answer.text
            assert answer.status_code == 403 or not answer.content  # of the agent, or of a proxy that has no such site


def test_only_pages_of_its_own_change_something(site):
    with site.browser("operator") as (client, _):
        token = re.search(r'name="form-token" content="([^"]+)"', client.get("/errors/1").text)[1]

        def change(state: str, origin: str) -> int:
            headers = {"X-CSRF-Token": token} | ({"Origin": origin} if origin else {})
            return client.post("/api/v1/errors/1", json={"state": state}, headers=headers).status_code

        for origin in ("", "null", "https://evil.example", f"https://{NAME}.evil.example", f"https://{NAME}:1"):
            assert change("resolved", origin) == 403, origin
        assert change("resolved", site.base) == 200
        form = {"form_token": token, "state": "reopened"}
        assert client.post("/errors/1", data=form, headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.post("/errors/1", data=form, headers={"Origin": site.base}).status_code == 303
