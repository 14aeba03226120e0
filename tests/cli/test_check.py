"""`sidelog check` against real directories, files, limits and sockets."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
from pathlib import Path

import pytest

from agent.config.loader import load
from agent.service import access, account
from agent.service.viewpoint import Viewpoint
from agent.store import schema
from agent.views import readiness
from tests.needs import needs


@pytest.fixture
def check(sidelog, tmp_path):
    """Writes a configuration, runs the check on it and gives the exit code and the findings by place."""
    (tmp_path / "logs").mkdir()

    def run(text="", *arguments):
        text = text or "sources: [{name: app, include: [logs/*.log]}]\n"
        (tmp_path / "sidelog.yaml").write_text(
            f"store: {{path: state/s.db, retention: {{size: 64KiB}}, min_free: 0B}}\n{text}"
        )
        said = sidelog("check", "--json", *arguments)
        document = json.loads(said.out)
        assert document["config"] == str(tmp_path / "sidelog.yaml")
        assert document["ok"] == (said.code == 0)
        return said.code, {one["place"].removeprefix(f"{tmp_path}/"): one for one in document["findings"]}

    return run


def test_a_ready_configuration(check, sidelog, tmp_path):
    (tmp_path / "logs" / "a.log").write_text("x\n")
    code, found = check()
    assert code == 0
    assert {one["level"] for one in found.values()} == {"ok"}
    assert found["sources[0] app"]["sentence"] == "1 file, 2 B, readable"
    assert found["store.path"]["sentence"] == f"{tmp_path}/state can be made"
    assert found["inotify"]["sentence"].startswith("1 directory to watch")
    assert not (tmp_path / "state").exists(), "a check changes nothing"
    said = sidelog("check")
    assert (said.code, said.err) == (0, "")
    assert all(line.startswith("ok    ") for line in said.out.splitlines())
    assert sidelog("check", "-q").out == ""


def test_wrong_configurations_are_findings_and_exit_78(check, sidelog, tmp_path):
    code, found = check("sources: [{name: app, include: [x], inclde: [y]}]\nalert: []\n")
    assert code == 78
    assert {one["code"] for one in found.values()} == {"SL103"}
    said = sidelog("check")
    assert said.code == 78
    lines = said.out.splitlines()
    assert lines[2].startswith(
        f"error SL103   {tmp_path}/sidelog.yaml:3: alert: unknown key 'alert', did you mean 'alerts'?"
    )
    assert lines[3].startswith("              hint: ")


def test_a_syntax_error_is_a_finding(check):
    code, found = check("sources: [\n")
    assert (code, [one["code"] for one in found.values()]) == (78, ["SL102"])


def test_without_any_configuration(sidelog):
    said = sidelog("check")
    assert said.code == 78
    assert said.out.startswith("error SL101   configuration: there is none")
    assert "sidelog init" in said.out


def test_no_source_is_an_error(check):
    code, found = check("sources: []\n")
    assert (code, found["sources"]["code"]) == (78, "SL121")


def test_nothing_matched_is_a_warning(check):
    code, found = check("sources: [{name: a, include: [logs/*.txt, absent/*]}]\n")
    assert code == 0
    assert (found["sources[0] a"]["level"], found["sources[0] a"]["code"]) == ("warning", "SL111")


def test_a_section_archive_with_nothing_in_it_is_a_warning(check):
    _, found = check("sources: []\narchive:\n  #directory: archive\n")
    assert (found["archive"]["level"], found["archive"]["code"]) == ("warning", "SL801")
    assert "`archive: {}` archives rotated logs with the defaults" in found["archive"]["hint"]
    for meant in ("archive: {}", ""):
        assert "archive" not in check(f"sources: []\n{meant}\n")[1]


def test_a_pattern_that_can_match_nothing_is_a_warning_beside_what_matches(check, tmp_path):
    """With the name that is missing, and the nearest one; a wildcard alone is none."""
    (tmp_path / "logs" / "a.log").write_text("x\n")
    code, _ = check("sources: [{name: a, include: [logs/a.log, logs/b.txt, lgs/*.log, logs/*.txt]}]\n")
    config = load(tmp_path / "sidelog.yaml")
    said = [one.sentence for one in readiness.examine(config, Viewpoint(account.current())) if one.code == "SL111"]
    assert code == 0
    assert said == [
        f"no file matches {tmp_path}/logs/b.txt: there is no 'b.txt' in {tmp_path}/logs",
        f"no file matches {tmp_path}/lgs/*.log: there is no 'lgs' in {tmp_path}, did you mean 'logs'?",
    ]


RULES = """
sources: [{name: shop, include: [logs/*.log]}]
hooks: {page: {exec: [/bin/true]}}
alerts:
  - {name: a, match: 'levl=error source=shp', when: {count: 5}, per: [service, servce], hooks: [page]}
  - {name: b, match: '(level=error OR source=shop) path~/a.log', when: {count: 5}, per: [service, user], hooks: [page]}
  - {name: c, match: 'severity>=error severity<warn', when: {absent: true}, hooks: [page]}
  - {name: d, match: '', when: {new_group: true}, hooks: [page]}
"""


def test_rules_that_can_match_nothing_are_warnings(check, tmp_path, sidelog):
    """By the sources of the configuration, the files that are there, and the events of the store, if there is one."""
    (tmp_path / "logs" / "a.log").write_text('{"level":"error","msg":"x","service":"s","user":"u"}\n')
    code, found = check(RULES)
    assert code == 0
    assert {place: one["level"] for place, one in found.items() if one["code"] == "SL519"} == {
        "alerts[0].match a": "warning",
        "alerts[2].match c": "warning",
    }
    assert found["alerts[0].match a"]["sentence"] == "there is no source 'shp'; did you mean 'shop'?"
    assert sidelog("run", "--once", "-q", "--set", "store.retention.size=1GiB").code == 0
    code, found = check(RULES)
    assert code == 0
    said = found["alerts[0].match a"]["sentence"]
    assert said.endswith("a field 'levl'; did you mean 'level'?"), "the last of two"
    assert found["alerts[0].per a"]["sentence"].endswith("a field 'servce'; did you mean 'service'?")
    assert {place for place in found if place.startswith("alerts[1]")} == set()
    tried = sidelog("alerts", "test", "a")
    assert (tried.code, tried.err.count("warning[SL519]")) == (0, 2)


def test_own_store_does_not_count_as_a_log(check, tmp_path):
    (tmp_path / "state").mkdir()
    connection = sqlite3.connect(tmp_path / "state" / "s.db", isolation_level=None)
    schema.prepare_file(connection)
    schema.migrate(connection)
    connection.close()
    code, found = check("sources: [{name: a, include: [state/*]}]\n")
    assert (code, found["sources[0] a"]["code"]) == (0, "SL111")
    assert found["store.path"]["sentence"].endswith("state can be written")


def test_a_directory_in_the_place_of_a_log_is_said(check, tmp_path):
    (tmp_path / "logs" / "a.log").mkdir()
    code, found = check("sources: [{name: a, include: [logs/a.log]}]\n")
    assert (code, found["logs/a.log"]["level"]) == (0, "warning")


def test_a_damaged_store_is_an_error(check, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "s.db").write_bytes(b"this is no database " * 2000)
    code, found = check()
    assert code == 1
    assert "SL402" in {one["code"] for one in found.values()}


def test_too_little_space(check):
    code, found = check("", "--set", "store.min_free=1000TiB")
    assert (code, found["store.min_free"]["code"]) == (1, "SL114")
    code, found = check("", "--set", "store.retention.size=1000TiB")
    assert (code, found["store.retention.size"]["level"]) == (0, "warning")
    code, found = check("", "--set", "store.retention.size=null")
    assert (code, found["store.min_free"]["level"]) == (0, "ok")


def test_a_store_below_a_file(check, tmp_path):
    (tmp_path / "plain").touch()
    code, found = check("", "--store", tmp_path / "plain" / "s.db")
    assert (code, found["store.path"]["code"]) == (1, "SL113")


def test_a_configuration_that_others_can_write(check, tmp_path):
    check()
    (tmp_path / "sidelog.yaml").chmod(0o666)
    code, found = check()
    assert (code, found["sidelog.yaml"]["code"]) == (0, "SL122")


def test_limits(check, tmp_path, monkeypatch):
    limit = tmp_path / "max_user_watches"
    limit.write_text("0")
    monkeypatch.setattr(readiness, "_INOTIFY", tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        code, found = check()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert code == 0
    assert (found["inotify"]["code"], found["open files"]["code"]) == ("SL115", "SL116")
    limit.write_text("unreadable")
    assert "inotify" not in check()[1], "a limit that is hidden is left out"


def test_exhausted_instances(check, monkeypatch):
    monkeypatch.setattr(readiness, "_inotify_problem", lambda: "Too many open files")
    code, found = check()
    assert (code, found["inotify"]["code"]) == (0, "SL115")


def test_archive_http_and_hooks(check, tmp_path):
    (tmp_path / "page.sh").write_text("#!/bin/sh\n")
    (tmp_path / "page.sh").chmod(0o755)
    (tmp_path / "token").write_text("t")
    text = (
        "sources: [{name: a, include: [logs/*]}]\narchive: {}\nhttp: {listen: '127.0.0.1:1'}\n"
        "hooks:\n  page: {exec: [./page.sh]}\n  chat: {webhook: 'https://h', headers: {A: {file: token}}}\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, found = check(text, "--set", f"http.listen=127.0.0.1:{port}")
    assert code == 0
    assert found["archive.directory"]["sentence"] == f"{tmp_path}/state/archive can be made"
    assert found["hooks.page.exec"]["sentence"] == f"{tmp_path}/page.sh can be run"
    assert found["http.listen"]["sentence"] == f"127.0.0.1:{port} is free"
    (tmp_path / "token").write_text("two\nlines")
    code, found = check(text, "--set", f"http.listen=127.0.0.1:{port}")
    assert (code, [one["level"] for one in found.values() if one["code"] == "SL110"]) == (78, ["error"])
    (tmp_path / "token").unlink()
    code, found = check(text, "--set", "hooks.chat.webhook={env: NOWHERE}")
    assert code == 78
    assert [one["code"] for one in found.values()].count("SL110") == 2


@needs("root")
def test_another_user_may_not_read_or_write(check, tmp_path):
    log = tmp_path / "logs" / "a.log"
    for number in range(5):
        log.with_name(f"{number}.log").touch(0o600)
    (tmp_path / "logs" / "closed").mkdir(0o700)
    (tmp_path / "state").mkdir(0o755)
    (tmp_path / "state" / "s.db").touch(0o644)
    for directory in (tmp_path, *tmp_path.parents):
        if str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    os.seteuid(65_534)
    try:
        config = ("sources: [{name: a, include: [logs/*.log, logs/closed/*]}]\n",)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "write_text", lambda *_: None)
            os.seteuid(0)
            (tmp_path / "sidelog.yaml").write_bytes(b"store: {path: state/s.db}\n" + config[0].encode())
            os.seteuid(65_534)
            code, found = check(*config)
    finally:
        os.seteuid(0)
    assert code == 1
    assert found["sources[0] a"]["code"] == "SL112"
    assert found["sources[0] a"]["sentence"].endswith("and 2 more")
    assert found["sources"]["sentence"].endswith(f"{tmp_path}/logs/closed")
    assert found["store.path"]["code"] == "SL113"


def test_a_source_that_cannot_be_rotated_is_a_warning(check, tmp_path, monkeypatch):
    (tmp_path / "logs" / "a.log").write_text("x\n")
    source = "sources: [{name: app, include: [logs/*.log], rotate: {size: 1MiB%s}}]\n"
    code, found = check(source % ", command: [cat]")
    assert (code, found["sources[0].rotate"]["level"]) == (0, "ok")
    assert found["sources[0].rotate.command"]["sentence"] == "the application can be told"
    code, found = check(source % ", signal: {pidfile: app.pid}")
    assert (code, found["sources[0].rotate.signal"]["code"]) == (0, "SL821")
    monkeypatch.setattr(access, "may", lambda path, _: not path.endswith("logs"))
    _, found = check(source % ", method: copytruncate")
    assert found["sources[0].rotate"]["code"] == "SL820"
    assert f"{tmp_path}/logs cannot be written" in found["sources[0].rotate"]["sentence"]
