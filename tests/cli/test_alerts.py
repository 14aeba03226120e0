"""`sidelog alerts`: rules, what became of them, and what a person does about them."""

import http.server
import json
import sqlite3
import threading
import time
from datetime import UTC, datetime

import pytest

from agent.store import alerts as tables
from tests.cli.stores import HOSTILE, make

NOW = 1_795_000_000 * 10**9
S = 10**9
WHEN = {
    "count": {"count": 5}, "rate": {"rate": "2/m"}, "ratio": {"ratio": "20%", "min": 10},
    "spike": {"spike": "2x", "min": 3},
}  # fmt: skip


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.db"
    make(path)
    connection = sqlite3.connect(path)
    connection.executemany(
        'INSERT INTO alert_history (rule, "key", state, time, value, threshold) VALUES (?, ?, ?, ?, ?, ?)',
        [("errors", '{"service":"shop"}', "firing", NOW, 60.0, 50.0), (HOSTILE, "{}", "ok", NOW + 1, 3.5, 25.0)],
    )
    connection.commit()
    connection.close()
    return path


def configured(tmp_path, *rules, hooks=None):
    """A configuration with rules, as a file."""
    file = tmp_path / "c.json"
    base = {"match": "severity>=error", "window": "1m"}
    document = {
        "store": {"path": str(tmp_path / "s.db"), "min_free": "1KiB"},
        "sources": [{"name": "app", "include": [str(tmp_path / "*.log")]}],
        "alerts": [{"name": "r", **base, **rule} for rule in rules],
        "hooks": hooks or {},
    }
    file.write_text(json.dumps(document))
    return file


def logged(tmp_path, *minutes_ago, level="error", message="no", **fields):
    """One line for each."""
    with (tmp_path / "a.log").open("a") as log:
        for minutes in sorted(minutes_ago, reverse=True):
            at = datetime.fromtimestamp(time.time() - 60 * minutes, UTC).isoformat()
            log.write(json.dumps({"timestamp": at, "level": level, "message": message, **fields}) + "\n")


def document(said):
    assert said.code == 0, said.err
    return json.loads(said.out)


@pytest.mark.parametrize("arguments", [("alerts",), ("alerts", "list")])
def test_without_rules_the_list_is_empty(sidelog, store, arguments):
    assert json.loads(sidelog(*arguments, "--json", "--store", store).out) == []
    said = sidelog(*arguments, "--store", store)
    assert (said.code, said.out, said.err.strip()) == (0, "", "no alert rules")


def test_the_history_comes_newest_last_and_cannot_drive_the_terminal(sidelog, store):
    rows = json.loads(sidelog("alerts", "history", "--json", "--store", store).out)
    assert rows[0] == {
        "rule": "errors",
        "key": '{"service":"shop"}',
        "state": "firing",
        "time": "2026-11-18T11:06:40.000000000Z",
        "value": 60.0,
        "threshold": 50.0,
    }
    assert rows[1]["rule"] == HOSTILE
    said = sidelog("alerts", "history", "--utc", "--store", store)
    assert said.code == 0
    assert said.out.splitlines()[0] == "2026-11-18 11:06:40.000 errors service=shop firing"
    assert "\x1b" not in said.out


def test_a_missing_store_is_exit_code_three(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"count": 5}})
    for arguments in (
        ("alerts",),
        ("alerts", "history"),
        ("alerts", "test", "r"),
        ("alerts", "silence", "r", "--for", "1h"),
    ):
        assert sidelog(*arguments, "-c", config).code == 3


def test_the_list_shows_each_state_with_its_value_and_silence(sidelog, tmp_path):
    config = configured(
        tmp_path,
        {"when": {"count": 5}, "per": ["service"], "window": "1h", "severity": "critical"},
        {"name": "calm", "when": {"rate": "9/s"}},
    )
    logged(tmp_path, *[1] * 6, service="a\x1b[31m")
    logged(tmp_path, *[1] * 2, service="b")
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    assert (
        sidelog("alerts", "silence", "r", "--for", "2h", "--comment", "why", "--author", "me", "-c", config).code == 0
    )
    rows = document(sidelog("alerts", "list", "--json", "-c", config))
    assert [(row["rule"], row["key"], row["state"], row["value"], row["threshold"]) for row in rows] == [
        ("r", {"service": "a\x1b[31m"}, "firing", 6, 5.0),
        ("r", {"service": "b"}, "ok", 2, 5.0),
        ("calm", {}, "ok", 0, 9.0),
    ]
    assert rows[0]["silenced"]["comment"] == "why"
    assert rows[0]["since"].endswith("Z")
    said = sidelog("alerts", "-c", config)
    assert "\x1b" not in said.out
    assert "firing    r  service=a\\x1b[31m  6 of 5" in said.out
    assert "by me: why" in said.out
    status = sidelog("status", "-c", config).out
    assert "alert   r (service=a\\x1b[31m) firing since" in status
    assert sidelog("alerts", "--json", "--store", tmp_path / "s.db").out  # the store knows its rules
    assert sidelog("alerts", "unsilence", "r", "-c", config).err.strip() == "r is no longer silenced"
    assert sidelog("alerts", "unsilence", "r", "-c", config).err.strip() == "r was not silenced"


def test_what_does_not_exist_is_wrong_usage_with_a_code(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"count": 5}})
    logged(tmp_path, 1)
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    for arguments, code in (
        (("silence", "x", "--for", "1h"), "SL710"), (("unsilence", "x"), "SL710"), (("test", "x"), "SL710"),
        (("send-test", "x"), "SL711"), (("redeliver", "x"), "SL712"), (("silence", "r", "--for", "soon"), "SL515"),
        (("silence", "r", "--for", "0s"), "SL515"),
    ):  # fmt: skip
        said = sidelog("alerts", *arguments, "-c", config)
        assert (said.code, f"error[{code}]" in said.err) == (2, True), said.err
    assert sidelog("alerts", "redeliver", "all", "-c", config).code == 0


def test_no_instant_is_too_far_for_a_store(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"count": 5}})
    logged(tmp_path, 1)
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    assert sidelog("alerts", "silence", "r", "--for", "500000d", "-c", config).err.startswith(
        "r is silenced until 2262-"
    )
    assert "silenced until 2262-" in sidelog("alerts", "-c", config).out
    for span in (
        ("--since", "-500000d"),
        ("--until", "+500000d"),
        ("--since", "@-99999999999", "--until", "@99999999999"),
    ):
        said = sidelog("alerts", "test", "r", *span, "-c", config)
        assert (said.code, "would have fired" in said.err) == (0, True), said.err


# ------------------------------------------------------------ test


@pytest.mark.parametrize(("form", "value"), [("count", 5.0), ("rate", 2 / 60), ("spike", 3.0)])
def test_a_replay_says_when_a_rule_would_have_fired(sidelog, tmp_path, form, value):
    config = configured(tmp_path, {"when": WHEN[form]})
    logged(tmp_path, *[600 - second / 60 for second in range(8)])
    logged(tmp_path, *[300 - second / 60 for second in range(8)], level="info")
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    found = document(sidelog("alerts", "test", "r", "--since", "1d", "--json", "-c", config))
    assert set(found) == {"rule", "from", "to", "firing"}
    (firing,) = found["firing"]
    assert (firing["key"], firing["value"]) == ({}, pytest.approx(value))
    assert found["from"] < firing["started_at"] < firing["ended_at"] < found["to"]
    said = sidelog("alerts", "test", "r", "--since", "1d", "-c", config)
    assert "8 events matched; r would have fired 1 time\n" in said.err
    assert "by threshold: " in said.err
    assert document(sidelog("alerts", "test", "r", "--since", "1h", "--json", "-c", config))["firing"] == []


@pytest.mark.parametrize("per", [[], ["service"]])
def test_a_ratio_is_replayed_with_all_events(sidelog, tmp_path, per):
    config = configured(tmp_path, {"when": WHEN["ratio"], "per": per, "match": "severity>=error source=app"})
    logged(tmp_path, *[60] * 16, level="info", service="a")
    logged(tmp_path, *[60 - 1 / 60] * 8, service="a")
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    (firing,) = document(sidelog("alerts", "test", "r", "--json", "-c", config))["firing"]
    assert (firing["key"], firing["value"]) == ({"service": "a"} if per else {}, pytest.approx(8 / 24))


@pytest.mark.parametrize("per", [[], ["service"]])
def test_a_ratio_is_a_share_of_all_sources_unless_some_are_named(sidelog, tmp_path, per):
    """As for the agent: `!source=` narrows down what matches, not what it is a share of."""
    config = configured(tmp_path, {"when": WHEN["ratio"], "per": per, "match": "severity>=error !source=other"})
    document_ = json.loads(config.read_text())
    document_["sources"].append({"name": "other", "include": [str(tmp_path / "other" / "*.log")]})
    config.write_text(json.dumps(document_))
    (tmp_path / "other").mkdir()
    logged(tmp_path / "other", *[60] * 16, level="info", service="a")
    logged(tmp_path, *[60 - 1 / 60] * 8, service="a")
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    (firing,) = document(sidelog("alerts", "test", "r", "--json", "-c", config))["firing"]
    assert firing["value"] == pytest.approx(8 / 24)


def test_new_groups_and_returned_ones_are_replayed(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"new_group": True}}, {"name": "back", "when": {"regressed": True}})
    logged(tmp_path, 90, message="first kind")
    logged(tmp_path, 60, 59, message="disk broken")
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    found = document(sidelog("alerts", "test", "r", "--json", "-c", config))["firing"]
    assert [one["key"] for one in found] == [{"group": "1"}, {"group": "2"}]
    assert sidelog("errors", "resolve", "1", "-c", config).code == 0
    logged(tmp_path, 5, message="first kind")
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    found = document(sidelog("alerts", "test", "back", "--json", "-c", config))["firing"]
    assert [one["key"] for one in found] == [{"group": "1"}]


def test_absence_is_replayed(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"absent": True}, "match": "beat", "window": "10m"})
    logged(tmp_path, *range(31, 120, 5), *range(5, 10), level="info", message="beat")
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    found = document(sidelog("alerts", "test", "r", "--since", "100m", "--json", "-c", config))["firing"]
    assert len(found) == 1
    assert found[0]["ended_at"]


def test_explain_shows_the_window_around_an_instant(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"count": 5}, "window": "10m"})
    logged(tmp_path, *[62, 61, 60, 59])
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    found = document(sidelog("alerts", "test", "r", "--explain", "60m", "--json", "-c", config))
    assert found["firing"] == []
    assert [row["value"] for row in found["values"]] == sorted(row["value"] for row in found["values"][:22]) + [
        row["value"] for row in found["values"][22:]
    ]
    assert max(row["value"] for row in found["values"]) == 4.0
    assert " ok       4 of 5" in sidelog("alerts", "test", "r", "--explain", "55m", "-c", config).out


def test_explain_says_nothing_of_what_is_to_come(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"count": 5}, "window": "10m"})
    logged(tmp_path, 1)
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    before = time.time_ns()
    found = document(sidelog("alerts", "test", "r", "--explain", "now", "--json", "-c", config))["values"]
    instants = {datetime.fromisoformat(row["time"]).timestamp() for row in found}
    assert len(instants) == 21
    assert max(instants) <= time.time()
    assert max(instants) >= before // 10**9
    for arguments in (("--explain", "+5m"), ("--explain", "10m", "--until", "20m")):
        said = sidelog("alerts", "test", "r", *arguments, "-c", config)
        assert (said.code, "is later than" in said.err) == (2, True)


def test_an_event_from_the_future_is_replayed_when_it_came(sidelog, tmp_path):
    config = configured(tmp_path, {"when": {"count": 3}})
    logged(tmp_path, *[-1440] * 3)
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    assert len(document(sidelog("alerts", "test", "r", "--since", "1h", "--json", "-c", config))["firing"]) == 1


# ------------------------------------------------------------ hooks


def test_send_test_runs_the_hook_and_prints_what_it_says(sidelog, tmp_path):
    hook = tmp_path / "hook.sh"
    hook.write_text("#!/bin/sh\ncat\necho\nprintf '\\033[31mred'\n[ $SIDELOG_RULE = test ]\n")
    hook.chmod(0o700)
    config = configured(tmp_path, hooks={"page": {"exec": [str(hook)]}, "bad": {"exec": ["/bin/false"]}})
    said = sidelog("alerts", "send-test", "page", "-c", config)
    assert (said.code, said.err.strip()) == (0, "page: exit 0")
    assert "\\x1b[31mred" in said.out
    got = json.loads(said.out.splitlines()[0])
    assert (got["rule"], got["state"], got["events"][0]["body"]) == (
        "test",
        "firing",
        "this is a test of the hook page",
    )
    said = sidelog("alerts", "send-test", "bad", "-c", config)
    assert (said.code, said.err.strip()) == (1, "bad: exit 1")


def test_send_test_names_the_formats_to_who_is_refused_for_the_generic_one(sidelog, tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        """Refuses what has no `text`, as Slack does."""

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if body.get("text") else 400)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        hooks = {"plain": {"webhook": url}, "chat": {"webhook": {"url": url, "format": "slack"}}}
        config = configured(tmp_path, hooks=hooks)
        refused = sidelog("alerts", "send-test", "plain", "-c", config)
        taken = sidelog("alerts", "send-test", "chat", "-c", config)
        server.shutdown()
    said = "plain: HTTP 400 (does it want a body of its own, such as `format: slack`?)\n"
    assert (refused.code, refused.err) == (1, said)
    assert (taken.code, taken.err) == (0, "chat: HTTP 200\n")


def test_a_silence_ends_by_itself(store):
    connection = sqlite3.connect(store)
    tables.silence(connection, "r", created=NOW, until=NOW + S, author="me", comment="")
    assert list(tables.load_silences(connection, NOW)) == ["r"]
    assert tables.load_silences(connection, NOW + S) == {}
    assert not tables.unsilence(connection, "r", NOW + S)
    connection.close()


def test_a_replay_that_needs_no_field_of_an_event_says_the_same_page_by_page(sidelog, tmp_path, monkeypatch):
    monkeypatch.setattr("agent.query.sqlite.scan.SLICE_ROWS", 3)
    config = configured(tmp_path, {"when": {"count": 5}}, {"name": "read", "match": "message=no", "when": {"count": 5}})
    logged(tmp_path, *[50] * 6, *[49.9] * 6, *[20] * 9)
    assert sidelog("run", "--once", "-q", "-c", config).code == 0
    found = [document(sidelog("alerts", "test", rule, "--json", "-c", config))["firing"] for rule in ("r", "read")]
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_a_run_does_not_wait_for_a_hook_that_keeps_failing_and_says_what_is_left(sidelog, tmp_path, monkeypatch):
    monkeypatch.setattr("agent.alert.running.RETRIES_TIMEOUT_S", 0.0)
    config = configured(tmp_path, {"when": {"count": 3}, "hooks": ["page"]}, hooks={"page": {"exec": ["/bin/false"]}})
    logged(tmp_path, *[second / 60 for second in range(8)])
    said = sidelog("run", "--once", "-c", config)
    assert said.code == 0
    assert "error[SL713]: 1 page is not delivered yet by the hook page" in said.err
    status = document(sidelog("status", "--json", "-c", config))
    assert [(hook["name"], hook["waiting"]) for hook in status["hooks"]] == [("page", 1)]
