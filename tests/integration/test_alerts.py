"""Rules and hooks of a real agent: pages, resolves, restarts, SIGKILL, reload."""

import json
import random
import signal
import time
from itertools import count
from pathlib import Path

import pytest

from tests.integration.alerting import Alerting, lines
from tests.integration.harness import Box, append, wait_until
from tests.needs import needs

pytestmark = pytest.mark.measured


def distinct(runs, state):
    return {run["delivery_id"] for run in runs if run["state"] == state}


def test_one_page_at_the_threshold_and_one_resolve_when_it_is_over(box):
    a = Alerting(box, {"when": {"count": 3}, "window": "3s", "severity": "critical", "labels": {"team": "shop"}})
    box.start()
    a.log(lines(2))
    box.wait_count(3)
    assert a.runs() == []
    a.log(lines(1, message="the third"))
    page = a.wait(1)[0]
    assert (page["rule"], page["state"], page["value"], page["threshold"]) == ("r", "firing", 3, 3)
    assert (page["severity"], page["labels"], page["window"]) == ("critical", {"team": "shop"}, "3s")
    assert [event["body"] for event in page["events"]] == ["payment failed"] * 2 + ["the third"]
    assert page["groups"][0]["title"] == "payment failed"
    resolved = a.wait(2)[1]
    assert (resolved["state"], resolved["started_at"]) == ("resolved", page["started_at"])
    assert resolved["ended_at"] > page["started_at"]
    assert [row["state"] for row in a.ask("alerts", "history")] == ["firing", "resolved"]
    assert box.stop() == 0


def test_no_page_and_no_resolve_is_lost_by_kills_at_any_moment(box):
    """The agent is killed again and again while a rule fires and resolves; each time is told, by its one id."""
    random_ = random.Random(4)
    a = Alerting(box, {"when": {"count": 3}, "window": "1s", "repeat": "1h"}, retries=50)
    box.start()
    rounds = 8
    for _ in range(rounds):
        a.log(lines(3))
        for _ in range(2):
            time.sleep(random_.uniform(0.0, 0.6))  # the moment of the kill is what varies
            box.kill()
            box.start()
        wait_until(lambda: box.sql("SELECT phase FROM alert_states") == [] and a.settled(), 30, "rest")
    fired = box.sql("SELECT count(*) FROM alert_history WHERE state = 'firing'")[0][0]
    over = box.sql("SELECT count(*) FROM alert_history WHERE state = 'resolved'")[0][0]
    assert fired == over == rounds
    runs = a.runs()
    assert len(distinct(runs, "firing")) == rounds
    assert len(distinct(runs, "resolved")) == rounds
    order = [run["state"] for run in {run["delivery_id"]: run for run in runs}.values()]
    assert order == ["firing", "resolved"] * rounds
    assert box.stop() == 0


def test_pending_goes_on_over_a_restart(box):
    a = Alerting(box, {"when": {"count": 3}, "window": "1m", "for": "4s"})
    box.start()
    a.log(lines(3))
    pending = "SELECT since FROM alert_states WHERE phase = 'pending'"  # a command may take longer than it is that
    began = wait_until(lambda: box.sql(pending))[0][0]
    box.kill()
    box.start()
    page = a.wait(1)[0]
    assert box.sql("SELECT started_at FROM alert_states")[0][0] == began + 4 * 10**9
    assert page["state"] == "firing"
    box.stop()


ABSENT = {"match": "nothing", "when": {"absent": True}, "window": "3s", "for": "9s"}
PENDING = "SELECT since FROM alert_states WHERE phase = 'pending'"


@pytest.mark.parametrize("end", [Box.stop, Box.kill])
def test_absence_goes_on_over_a_restart(box, end):
    a = Alerting(box, ABSENT)
    box.start()
    began = wait_until(lambda: box.sql(PENDING))[0][0]
    end(box)
    box.start()
    assert a.wait(1)[0]["state"] == "firing"
    assert box.sql("SELECT started_at FROM alert_states") == [(began + 9 * 10**9,)]
    assert box.sql("SELECT state FROM alert_history ORDER BY id") == [("pending",), ("firing",)]
    box.stop()


def test_absence_goes_on_however_often_the_configuration_is_read(box):
    """Before its first event, and while `for` runs."""
    a = Alerting(box, ABSENT)
    box.start()
    began = 0
    for number in count(1):  # a fast machine reads it a thousand times before it fires
        a.configure({**ABSENT, "repeat": f"{number}h"})
        box.process.send_signal(signal.SIGHUP)
        wait_until(lambda done=number: box.said().count("reloaded") >= done)
        began = began or next((row[0] for row in box.sql(PENDING)), 0)
        if a.runs():
            break
    assert box.sql("SELECT started_at FROM alert_states") == [(began + 9 * 10**9,)]
    box.stop()


def test_a_restart_while_firing_says_nothing_again(box):
    a = Alerting(box, {"when": {"count": 3}, "window": "6s"})
    box.start()
    a.log(lines(3))
    a.wait(1)
    assert box.stop() == 0
    box.start()
    assert [run["state"] for run in a.wait(2)] == ["firing", "resolved"]
    box.stop()


def test_a_hook_that_runs_when_the_agent_is_stopped_runs_again_under_its_id(box):
    a = Alerting(box, {"when": {"count": 3}}, extra="[ $RUNS -gt 1 ] || sleep 60", timeout="90s")
    box.start()
    a.log(lines(3))
    a.wait(1)
    assert box.stop() == 0
    box.start()
    assert len(distinct(a.wait(2), "firing")) == 1
    wait_until(a.settled)
    box.stop()


def test_a_dead_delivery_is_in_status_and_can_be_redelivered(box):
    a = Alerting(box, {"when": {"count": 3}}, extra="echo no luck; exit 3", retries=0)
    box.start()
    a.log(lines(3))
    a.wait(1)
    wait_until(lambda: box.sql("SELECT 1 FROM own_errors WHERE code = 'SL703' AND active"))
    status = a.ask("status")
    assert not status["healthy"]
    assert status["hooks"][0] | {"failures": 1} == {
        "name": "page", "circuit": "closed", "failures": 1, "last_error": "exit 3",
        "waiting": 0, "delivered": 0, "dead": 1,
    }  # fmt: skip
    ((number, result, output),) = box.sql("SELECT delivery_id, result, output FROM deliveries WHERE state = 'dead'")
    assert (result, output) == ("exit 3", "no luck\n")
    a.write_script("exit 0")
    assert box.run("alerts", "redeliver", "nonsense").returncode == 2
    assert box.run("alerts", "redeliver", number).returncode == 0
    assert len(distinct(a.wait(2), "firing")) == 1
    wait_until(lambda: a.ask("status")["healthy"])
    box.stop()


def test_a_reload_keeps_states_and_resolves_what_is_gone_or_counts_something_else(box):
    a = Alerting(
        box, {"when": {"count": 3}}, {"name": "gone", "when": {"count": 2}}, {"name": "other", "when": {"count": 2}}
    )
    box.start()
    a.log(lines(3))
    a.wait(3)
    a.configure(
        {"when": {"count": 2}, "severity": "critical"},
        {"name": "other", "match": "severity>=fatal", "when": {"count": 2}},
    )
    box.process.send_signal(signal.SIGHUP)
    over = a.wait(5)[3:]
    assert sorted((run["rule"], run["state"]) for run in over) == [("gone", "resolved"), ("other", "resolved")]
    rows = {row["rule"]: row["state"] for row in a.ask("alerts", "list")}
    assert rows == {"r": "firing", "other": "ok"}
    assert box.stop() == 0
    assert len(a.runs()) == 5


def test_a_bad_match_is_refused_at_the_start_and_at_a_reload(box):
    a = Alerting(box, {"match": "severity>=loud", "when": {"count": 3}})
    done = box.run("run", "--once")
    assert (done.returncode, b"SL705" in done.stderr) == (78, True)
    assert b"SL705" in box.run("check").stdout
    a.configure({"when": {"count": 3}})
    box.start()
    a.configure({"match": '"open', "when": {"count": 3}})
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(error["code"] == "SL601" for error in a.ask("status")["errors"]))
    a.log(lines(3))
    a.wait(1)
    box.stop()


def test_a_storm_of_keys_is_ten_pages_and_the_last_speaks_for_the_rest(box):
    a = Alerting(box, {"when": {"count": 2}, "per": ["service"]}, concurrency=4)
    append(box.log, b"".join(lines(2, service=f"s{number:02}") for number in range(47)))
    assert box.run("run", "--once").returncode == 0
    runs = a.runs()
    assert len(runs) == 10
    (common,) = [run for run in runs if "more" in run]
    assert common["more"] == 37
    assert ", and 37 more: " in common["summary"]
    keys = [run["key"]["service"] for run in runs if "more" not in run] + [key["service"] for key in common["keys"]]
    assert sorted(keys) == [f"s{number:02}" for number in range(47)]


def test_pages_wait_for_company_where_told_to(box):
    a = Alerting(box, {"when": {"count": 2}, "per": ["service"], "group_wait": "2s"})
    box.start()
    a.log(lines(2, service="a"))
    box.wait_count(3)
    a.log(lines(2, service="b"))
    page = a.wait(1)[0]
    assert sorted(key["service"] for key in page["keys"]) == ["a", "b"]
    box.stop()


def test_an_old_log_pages_nobody_and_the_test_of_the_rule_sees_it(box):
    a = Alerting(box, {"when": {"count": 5}, "window": "5m"})
    a.log(lines(9, at=time.time() - 3 * 86_400))
    assert box.run("run", "--once").returncode == 0
    assert a.runs() == []
    found = a.ask("alerts", "test", "r", "--since", "7d")
    assert set(found) == {"rule", "from", "to", "firing"}
    ((firing),) = found["firing"]
    assert (firing["key"], firing["value"]) == ({}, 5.0)
    assert firing["ended_at"] > firing["started_at"]


def test_a_late_line_that_makes_an_event_match_is_counted_once(box):
    """The stack trace arrives after its first line was stored as an event without a level."""
    a = Alerting(box, {"when": {"count": 1}, "match": "message~ValueError"})
    box.start()
    log = box.logs / "text.log"
    append(log, b"Exception in worker\n")
    box.wait_count(2)
    append(log, b'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: no\n')
    page = a.wait(1)[0]
    assert page["value"] == 1
    box.stop()


def test_throughput_beside_a_hook_that_hangs_and_no_orphan_after_a_stop(box):
    a = Alerting(box, {"when": {"count": 1}}, extra=f"sleep 600 & echo $! > {box.root}/child; sleep 600", timeout="60s")
    box.start()
    a.log(lines(1))
    a.wait(1)
    child = int(wait_until(lambda: (box.root / "child").exists() and (box.root / "child").read_text().strip()))
    a.log(lines(5000, "info", "meanwhile"))
    box.wait_count(5002)
    assert box.stop() == 0
    wait_until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())


def test_a_new_error_is_named_with_its_events_and_never_said_to_be_over(box):
    a = Alerting(
        box, {"when": {"new_group": True}, "window": "2s"}, {"name": "beat", "when": {"count": 3}, "window": "2s"}
    )
    box.start()
    a.log(lines(3, message="kaboom"))
    pages = {(page["rule"], page["state"]): page for page in a.wait(3)}
    assert pages.keys() == {("r", "firing"), ("beat", "firing"), ("beat", "resolved")}
    page = pages["r", "firing"]
    assert page["summary"] == "r (group=1): an error that was never seen before: kaboom"
    assert [(group["id"], group["title"], group["state"]) for group in page["groups"]] == [(1, "kaboom", "new")]
    assert {event["body"] for event in page["events"]} == {"kaboom"}
    wait_until(lambda: box.sql("SELECT phase FROM alert_states") == [] and a.settled())
    assert sorted(a.states()) == ["firing", "firing", "resolved"]
    ((row,),) = [[row for row in a.ask("alerts", "list") if row["rule"] == "r"]]
    assert row["state"] == "ok"
    box.stop()


def test_an_ignored_group_pages_nobody_until_it_is_reopened(box):
    a = Alerting(
        box, {"when": {"count": 1}, "window": "1s"}, {"name": "asks", "match": "state=ignored", "when": {"count": 1}}
    )
    box.start()
    a.log(lines(1, message="noise"))
    a.wait(2)
    wait_until(a.settled)
    assert box.run("errors", "ignore", "1").returncode == 0
    a.log(lines(3, message="noise"))
    a.wait(3)
    assert [run["rule"] for run in a.runs()][2:] == ["asks"]
    assert len(box.query("state=ignored")) == 4
    assert box.query("noise", "state!=ignored") == []
    assert a.ask("alerts", "test", "r", "--since", "1h")["firing"] == []
    assert len(a.ask("alerts", "test", "asks", "--since", "1h")["firing"]) == 1
    assert box.run("errors", "reopen", "1").returncode == 0
    a.log(lines(1, message="noise"))
    assert a.wait(4)[3]["rule"] == "r"
    assert len(box.query("state=ongoing")) == 5
    box.stop()


def test_a_page_about_a_key_of_200_kb_is_delivered_whole_and_keeps_no_other(box):
    rules = (
        {"name": "big", "when": {"count": 1}, "per": ["user"]},
        {"name": "small", "match": "disk", "when": {"count": 1}},
    )
    a = Alerting(box, *rules, extra=f'printf "%s\\n" "$SIDELOG_KEY" >> {box.root}/keys')
    box.start()
    a.log(lines(1, user="ü" * 100_000))
    a.log(lines(1, "info", "disk"))
    pages = {page["rule"]: page for page in a.wait(2)}
    assert pages["big"]["key"] == {"user": "ü" * 100_000}
    assert len(pages["big"]["summary"]) < 500
    assert pages.keys() == {"big", "small"}
    wait_until(a.settled)
    keys = [json.loads(line) for line in (box.root / "keys").read_text().splitlines()]
    assert sorted(len(key.get("user", "")) for key in keys) == [0, (4_096 - len('{"user":""}')) // 6]
    box.stop()


def test_a_hook_whose_program_is_missing_keeps_no_other_and_delivers_when_it_is_back(box):
    a = Alerting(box, {"when": {"count": 1}, "per": ["user"], "hooks": ["gone", "page"]})
    document = json.loads(box.config.read_text())
    document["hooks"]["gone"] = {"exec": [f"{box.root}/gone.sh"], "retries": 50}
    box.config.write_text(json.dumps(document))
    box.start()
    a.log(b"".join(lines(1, user=f"u{number}") for number in range(2)))
    a.wait(2)
    wait_until(lambda: box.sql("SELECT 1 FROM own_errors WHERE code = 'SL702' AND active"))
    assert box.sql("SELECT DISTINCT state FROM deliveries WHERE hook = 'gone'") == [("waiting",)]
    a.script.rename(box.root / "gone.sh")
    wait_until(lambda: box.sql("SELECT count(*) FROM deliveries WHERE hook = 'gone' AND state = 'delivered'") == [(2,)])
    box.stop()


def test_a_hook_that_can_never_start_gives_up_at_once(box):
    a = Alerting(box, {"when": {"count": 1}, "per": ["user"], "hooks": ["long", "page"]})
    document = json.loads(box.config.read_text())
    document["hooks"]["long"] = {"exec": [str(a.script), "x" * 140_000], "retries": 50}
    box.config.write_text(json.dumps(document))
    box.start()
    a.log(b"".join(lines(1, user=f"u{number}") for number in range(7)))
    a.wait(7)
    wait_until(a.settled)
    dead = box.sql("SELECT hook, state, attempts, count(*) FROM deliveries GROUP BY hook, state, attempts")
    assert sorted(dead) == [("long", "dead", 1, 7), ("page", "delivered", 1, 7)]
    box.stop()


def test_silence_and_unsilence_reach_a_running_agent(box):
    a = Alerting(box, {"when": {"count": 2}})
    box.start()
    assert box.run("alerts", "silence", "nosuch", "--for", "1h").returncode == 2
    assert box.run("alerts", "silence", "r", "--for", "1h", "--comment", "deploying", "--author", "me").returncode == 0
    a.log(lines(2))
    row = wait_until(lambda: [row for row in a.ask("alerts", "list") if row["state"] == "firing"])[0]
    assert (row["silenced"]["comment"], row["silenced"]["author"], row["quiet"]) == ("deploying", "me", "silenced")
    assert a.runs() == []
    assert box.run("alerts", "unsilence", "r").returncode == 0
    assert a.wait(1)[0]["state"] == "firing"
    assert box.run("alerts", "unsilence", "r").returncode == 0
    assert box.run("alerts", "unsilence", "nosuch").returncode == 2
    box.stop()


@needs("root")
def test_a_hook_that_others_can_write_is_refused_and_told(box):
    a = Alerting(box, {"when": {"count": 2}}, retries=0)
    a.script.chmod(0o777)
    box.start()
    a.log(lines(2))
    wait_until(lambda: box.sql("SELECT 1 FROM own_errors WHERE code = 'SL701'"))
    assert "can be written by others" in box.sql("SELECT result FROM deliveries")[0][0]
    assert "can be changed by other users" in json.dumps(a.ask("check"))
    assert a.runs() == []
    box.stop()
