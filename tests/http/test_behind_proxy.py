"""What a reverse proxy says of its client counts where the configuration has one, and nowhere else."""

from __future__ import annotations

import httpx
import pytest

from agent.http.limits import network_of

FORWARDED = {
    "X-Forwarded-Host": "logs.example.org",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "9.9.9.9, 10.0.0.7",
}


@pytest.fixture(scope="module")
def proxied(served_box):
    served_box.configure(http={"behind_proxy": True, "hosts": ["logs.example.org"]})
    return served_box.serve()


def test_the_name_is_the_proxys(proxied):
    assert httpx.get(f"{proxied.base}/health", headers=FORWARDED).status_code == 200
    foreign = FORWARDED | {"X-Forwarded-Host": "evil.example"}
    assert httpx.get(f"{proxied.base}/health", headers=foreign).status_code == 403


@pytest.mark.parametrize(("scheme", "secure"), [("https", True), ("http", False)])
def test_the_scheme_is_the_proxys(proxied, scheme, secure):
    link = proxied.say("token", "link").rpartition("/link/")[2]
    answer = httpx.get(f"{proxied.base}/link/{link}", headers=FORWARDED | {"X-Forwarded-Proto": scheme})
    assert answer.status_code == 303
    assert ("Secure" in answer.headers["set-cookie"]) == secure


def wrong(box, client: str) -> int:
    headers = FORWARDED | {"X-Forwarded-For": client, "Authorization": "Bearer sl_x"}
    return httpx.get(f"{box.base}/api/v1/errors", headers=headers).status_code


def test_the_client_is_the_last_that_it_names(proxied):
    assert [wrong(proxied, f"1.1.1.{number}, 10.0.0.1") for number in range(6)] == [401] * 5 + [429]
    assert wrong(proxied, "10.0.0.1, 10.0.0.2") == 401


def test_without_a_proxy_nothing_of_it_counts(served):
    headers = {"X-Forwarded-Host": "evil.example"}
    assert httpx.get(f"{served.base}/health", headers=headers).status_code == 200
    assert [wrong(served, f"1.1.1.{number}") for number in range(6)] == [401] * 5 + [429]
    link = served.say("token", "link")
    answer = httpx.get(link, headers=FORWARDED)
    assert "Secure" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_networks_of_addresses(address, network):
    assert network_of(address) == network
