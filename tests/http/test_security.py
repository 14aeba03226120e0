"""Attacks on what lets people and programs in, as somebody with an account on the same machine would try them."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from agent.core.errors import EXIT_FAILED
from agent.core.process import own_program
from agent.http.limits import BY_TOKEN
from agent.store.access import SigningKeys, read_keys
from agent.store.grants import sign, verify
from tests.http.processes import descendants, server_of
from tests.http.samples import write_samples
from tests.integration.harness import wait_until

COOKIE = "sidelog_session"


@pytest.fixture(scope="module")
def site(served_box):
    count = write_samples(served_box)
    served_box.serve()
    served_box.stored(count)
    served_box.say("token", "link")  # makes the keys
    return served_box


@pytest.fixture
def keys(site):
    with closing(sqlite3.connect(site.store)) as connection:
        return read_keys(connection, site.store)


def asked(site, token, address="/api/v1/openapi.json"):
    return httpx.get(site.base + address, headers={"Authorization": f"Bearer {token}"})


def with_session(site, cookie, address="/logs"):
    return httpx.get(site.base + address, headers={"Cookie": f"{COOKIE}={cookie}"})


# ---------------------------------------------------------------- tokens


def test_a_token_is_told_once_and_kept_as_a_hash(site):
    done = site.run("token", "create", "kept")
    token = done.stdout.strip()
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\n" not in token
    assert asked(site, token.decode()).status_code == 200
    for path in Path(site.store).parent.iterdir():
        if path.is_file():
            assert token not in path.read_bytes(), path
    assert token not in site.run("token", "list", "--json").stdout


def test_a_token_ends_at_its_time(site):
    token = site.say("token", "create", "short", "--expires", "2s")
    assert asked(site, token).status_code == 200
    wait_until(lambda: asked(site, token).status_code == 401, 30, "the end of the token")


def test_a_token_ends_within_what_a_store_can_hold(site):
    assert asked(site, site.say("token", "create", "long", "--expires", "500000d")).status_code == 200
    refused = site.run("token", "create", "none", "--expires", "0s")
    assert (refused.returncode, b"error[SL515]" in refused.stderr) == (2, True)


def test_a_token_is_a_readers_unless_it_is_said(site):
    token = site.say("token", "create", "plain")
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{site.base}/api/v1/errors/1", json={"state": "resolved"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "SL905")


# ---------------------------------------------------------------- links and sessions


def test_what_is_over_opens_nothing(site, keys):
    now = int(time.time())
    assert with_session(site, sign(keys, "session", "reader", now, 60)).status_code == 200
    assert with_session(site, sign(keys, "session", "reader", now - 61, 60)).status_code == 401
    late = sign(keys, "link", "reader", now - 61, 60)
    assert httpx.get(f"{site.base}/link/{late}").status_code == 403


def test_one_is_not_taken_for_the_other(site, keys):
    now = int(time.time())
    assert with_session(site, sign(keys, "link", "reader", now, 60)).status_code == 401
    assert httpx.get(f"{site.base}/link/{sign(keys, 'session', 'reader', now, 60)}").status_code == 403


def test_nothing_of_what_is_signed_can_be_changed(site, keys):
    role, identity, expires, signature = sign(keys, "session", "reader", int(time.time()), 60).split(".")
    for forged in (
        f"operator.{identity}.{expires}.{signature}",
        f"{role}.{identity}.{int(expires) + 1}.{signature}",
        f"{role}.{identity}x.{expires}.{signature}",
        f"{role}.{identity}.{expires}.{signature[:-1]}",
        f"{role}.{identity}.{expires}.",
        f"admin.{identity}.{expires}.{signature}",
        f"{role}.{identity}.{'9' * 40}.{signature}",
    ):
        assert with_session(site, forged).status_code == 401, forged


def test_who_may_only_read_the_store_cannot_make_an_operator(keys):
    """The store has the key of readers; that of operators is not to be had from it."""
    readers = SigningKeys(keys.reader)
    assert sign(readers, "session", "operator", int(time.time()), 60) is None
    forged = sign(SigningKeys(keys.reader, keys.reader), "session", "operator", int(time.time()), 60)
    assert verify(keys, "session", forged, int(time.time())) is None


def test_wrong_links_are_counted_and_keep_nobody_else_out(box):
    box.log.write_text("")
    box.serve()
    token = box.token(name="known")
    assert asked(box, token).status_code == 200
    with box.browser() as session:
        wrong = [httpx.get(f"{box.base}/link/reader.x.{number}.y") for number in range(7)]
        assert [answer.status_code for answer in wrong] == [403] * 5 + [429] * 2
        assert int(wrong[-1].headers["retry-after"]) >= 1
        assert asked(box, "sl_guessed").status_code == 429
        assert asked(box, token).status_code == 200
        assert session.get("/logs").status_code == 200
        assert httpx.get(box.say("token", "link")).status_code == 303


# ---------------------------------------------------------------- other users of the machine


def test_files_are_the_owners_alone(site):
    for path in Path(site.store).parent.glob(f"{Path(site.store).name}*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_processes_show_no_secret(site, keys):
    token = site.say("token", "create", "unseen")
    assert asked(site, token).status_code == 200
    secrets = [token.encode(), keys.reader, keys.operator, keys.reader.hex().encode(), keys.operator.hex().encode()]
    server = server_of(site.process.pid)
    for pid in (site.process.pid, server, *descendants(server)):
        for name in ("cmdline", "environ"):
            shown = Path(f"/proc/{pid}/{name}").read_bytes()
            assert not any(secret in shown for secret in secrets)


def test_the_server_does_not_run_what_lies_where_it_is_started(tmp_path):
    """An agent may be started in somebody else's directory."""
    folder = tmp_path / "agent" / "http"
    folder.mkdir(parents=True)
    for path in (folder.parent / "__init__.py", folder / "__init__.py", folder / "__main__.py"):
        path.write_text(f"open({str(tmp_path / 'run')!r}, 'w')\n")
    command, environment = own_program("agent.http")
    done = subprocess.run(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert done.returncode == EXIT_FAILED  # it was told no settings
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- limits


def test_who_asks_too_often_waits_and_others_do_not(site):
    greedy, other = (site.say("token", "create", name) for name in ("greedy", "other"))
    with httpx.Client(base_url=site.base, headers={"Authorization": f"Bearer {greedy}"}) as client:
        answers = [client.get("/api/v1/nothing") for _ in range(6 * BY_TOKEN.burst)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert [answer.status_code for answer in answers[: BY_TOKEN.burst]] == [404] * BY_TOKEN.burst
    assert asked(site, other).status_code == 200


def test_an_address_without_a_token_has_less(box):
    box.log.write_text("")
    box.serve()
    with httpx.Client(base_url=box.base) as client:
        statuses = [client.get("/health").status_code for _ in range(200)]
    assert 429 in statuses
    assert statuses[:40] == [200] * 40


# ---------------------------------------------------------------- the log of changes


def test_who_did_what_is_kept(site):
    token = site.say("token", "create", "hand", "--role", "operator")
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.post(f"{site.base}/api/v1/errors/1", json={"state": "resolved"}, headers=headers).status_code == 200
    site.say("errors", "reopen", "1")
    rows = site.sql("SELECT who, action, subject FROM audit_log WHERE subject = 'group 1' ORDER BY id")
    assert rows[0][0] == "token hand"
    assert {row[1] for row in rows} == {"resolved", "reopened"}
    made = site.sql("SELECT action FROM audit_log WHERE subject = 'hand'")
    assert made == [("create token",)]
