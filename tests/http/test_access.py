"""Who may: tokens, links, sessions, roles, and where a request comes from."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from agent.config import HttpConfig, TlsConfig, page_address
from tests.http.samples import write_samples
from tests.integration.harness import wait_until

TLS = TlsConfig(certificate=Path("/x/chain.pem"), key=Path("/x/key.pem"))


@pytest.fixture(scope="module")
def reader(served):
    with served.client() as made:
        yield made


@pytest.mark.parametrize("address", ["/health", "/ready", "/metrics"])
def test_probes_need_no_token(served, address):
    assert httpx.get(served.base + address).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/logs",
        "/errors",
        "/errors/1",
        "/alerts",
        "/agent",
        "/trace/x",
        "/api/v1/query",
        "/api/v1/tail",
        "/nothing",
    ],
)
def test_all_else_does(served, address):
    answer = httpx.get(served.base + address)
    assert answer.status_code == 401
    assert answer.json()["code"] == "SL905"
    page = httpx.get(served.base + address, headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert "sidelog token link" in page.text


def test_the_page_without_a_session_has_the_command_that_opens_one(served):
    """With its paths, which are told to nobody elsewhere: a proxy's client, a page that goes by another name."""
    browser = {"Accept": "text/html"}
    said = httpx.get(f"{served.base}/logs", headers=browser).text
    commands = [html.unescape(text) for text in re.findall(r'<pre class="typed"[^>]*>(.*?)</pre>', said)]
    for command, role in zip(commands, ("reader", "operator"), strict=True):
        link = subprocess.check_output(["sh", "-c", command], text=True, env=served.env, cwd="/", timeout=50).strip()
        assert f"{served.base}/link/{role}." in link
        assert httpx.get(link).status_code == 303
    used = httpx.get(link, headers=browser).text
    assert "The link was used already, or is older than a minute." in used
    assert html.escape(commands[0]) in used
    for more in ({"X-Forwarded-For": "192.0.2.7"}, {"Host": "evil.example"}):
        assert str(served.root) not in httpx.get(f"{served.base}/logs", headers=browser | more).text
    assert str(served.root) not in httpx.get(f"{served.base}/logs").text


@pytest.mark.parametrize(
    ("http", "address"),
    [
        ({}, "http://127.0.0.1:9880"),
        ({"listen": "[::1]:99", "hosts": ["logs.example.org"]}, "http://[::1]:99"),
        ({"listen": ":9880", "behind_proxy": True}, "http://localhost:9880"),
        ({"listen": ":9880", "tls": TLS}, "https://localhost:9880"),
        ({"listen": "0.0.0.0:9880", "tls": TLS, "hosts": ["logs.example.org", "x"]}, "https://logs.example.org:9880"),
        ({"listen": "192.0.2.7:9880", "tls": TLS}, "https://192.0.2.7:9880"),
        ({"listen": "unix:/run/x.sock"}, "http://localhost"),
        (
            {"listen": "unix:/run/x.sock", "behind_proxy": True, "hosts": ["logs.example.org"]},
            "https://logs.example.org",
        ),
        ({"listen": "127.0.0.1:9880", "behind_proxy": True, "hosts": ["2001:db8::7"]}, "https://[2001:db8::7]"),
    ],
)
def test_links_lead_where_a_browser_gets(http, address):
    assert page_address(HttpConfig(**http)) == address


def test_a_link_opens_a_session_once(served):
    link = served.say("token", "link")
    with httpx.Client(base_url=served.base) as client:
        answer = client.get(link)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
        assert "Secure" not in cookie  # a browser would not send it over plain HTTP
        assert client.get("/logs").status_code == 200
    assert httpx.get(link).status_code == 403
    assert httpx.get(link[:-2] + "xx").status_code == 403


def test_a_revoked_token_opens_nothing(box):
    box.log.write_text("")
    box.serve()
    token = box.token(name="ci")
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{box.base}/api/v1/errors", headers=headers).status_code == 200
    box.say("token", "revoke", "ci")
    wait_until(lambda: httpx.get(f"{box.base}/api/v1/errors", headers=headers).status_code == 401)
    with box.browser() as session:
        assert session.get("/logs").status_code == 200
        box.say("token", "rotate-key")
        wait_until(lambda: session.get("/logs").status_code == 401)


def test_only_an_operator_changes_something(served, reader):
    answer = reader.post("/api/v1/errors/1", json={"state": "resolved"})
    assert (answer.status_code, answer.json()["code"]) == (403, "SL905")
    assert reader.delete("/api/v1/silences/x").status_code == 403


def test_a_session_changes_something_for_its_own_pages_alone(box):
    count = write_samples(box)
    box.serve()
    box.stored(count)
    with box.browser("operator") as session:
        page = session.get("/errors/1").text
        token = re.search(r'name="form-token" content="([^"]+)"', page)[1]
        good = {"Origin": box.base, "X-CSRF-Token": token}
        for headers in (
            {},
            {"Origin": box.base},
            {"X-CSRF-Token": token},
            good | {"Origin": "http://evil.example"},
            good | {"Origin": "null"},
            good | {"X-CSRF-Token": "x"},
            good | {"Origin": f"http://127.0.0.1:{box.port + 1}"},
        ):
            answer = session.post("/api/v1/errors/1", json={"state": "resolved"}, headers=headers)
            assert answer.status_code == 403, headers
        assert session.get("/api/v1/errors/1").json()["state"] == "new"
        answer = session.post("/api/v1/errors/1", json={"state": "resolved"}, headers=good)
        assert answer.json() == {"ids": [1], "state": "resolved", "ignored_until": None}
        assert session.get("/api/v1/errors/1").json()["state"] == "resolved"
    [entry] = box.sql("SELECT who, action, subject FROM audit_log WHERE action = 'resolved'")
    assert entry[0].startswith("session ")
    assert entry[1:] == ("resolved", "group 1")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9880", "127.0.0.1.evil.example", "", "[::2]"])
def test_a_foreign_host_is_refused(served, host):
    answer = httpx.get(f"{served.base}/health", headers={"Host": host})
    assert answer.status_code in (400, 403)


def test_every_answer_has_its_headers(served, reader):
    for answer in (
        httpx.get(f"{served.base}/health"),
        reader.get("/logs"),
        reader.get("/api/v1/errors"),
        reader.get("/api/v1/query?q=("),
        httpx.get(f"{served.base}/logs"),
        httpx.get(f"{served.base}/static/style.css"),
        reader.get("/nothing"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert not re.search(r"https?:|\*", policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        if "/static/" not in str(answer.url):
            assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["/static/../../store/access.py", "/static/%2e%2e/%2e%2e/pages.py", "/static//etc/passwd", "/static/..%2fpages.py"],
)
def test_nothing_beside_the_static_files_is_served(served, reader, path):
    assert reader.get(path).status_code in (404, 405)


def test_wrong_tokens_are_slowed_down(box):
    box.log.write_text("")
    box.serve()
    statuses = [
        httpx.get(f"{box.base}/api/v1/errors", headers={"Authorization": f"Bearer sl_{number}"}).status_code
        for number in range(8)
    ]
    assert statuses[:5] == [401] * 5
    assert set(statuses[5:]) == {429}
    refused = httpx.get(f"{box.base}/api/v1/errors", headers={"Authorization": "Bearer sl_x"})
    assert int(refused.headers["retry-after"]) >= 1
