"""Rules over all agents of a fleet: one page, whatever becomes of the processes that judge them."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest

from tests.alert.fleets import Fleet, Judges, wait_until
from tests.needs import needs

pytestmark = [pytest.mark.timeout(240), pytest.mark.measured]

RATE = {"name": "errors", "match": "severity>=error", "when": {"count": 10}, "window": "8s"}


@pytest.fixture
def fleet(modern):
    return Fleet(modern)


@pytest.fixture
def judges(tmp_path, fleet):
    made = Judges(tmp_path, fleet, [RATE])
    yield made
    made.end()


@pytest.fixture
def judges_of_both(tmp_path, database):
    """Over a current server, and over an old one."""
    made = Judges(tmp_path, Fleet(database), [RATE])
    yield made
    made.end()


def test_one_page_over_two_agents_and_one_when_it_is_over(judges, fleet):
    judges.start()
    judges.start()
    judges.leader()
    fleet.add(6, agent="a")
    fleet.add(3, agent="b")
    time.sleep(1)
    assert judges.pages() == []
    fleet.add(2, agent="b", ago_s=0.5)
    (page,) = judges.wait_for(1)
    assert (page["rule"], page["state"], page["value"], page["threshold"]) == ("errors", "firing", 11, 10)
    assert {event["resource"]["host.name"] for event in page["events"]} >= {"host-b"}
    assert page["query"].startswith(f"sidelog query --engine '{fleet.engine}' --since")
    both = judges.wait_for(2)
    assert [one["state"] for one in both] == ["firing", "resolved"]
    assert both[0]["delivery_id"] != both[1]["delivery_id"]


def test_each_key_has_a_page_of_its_own(tmp_path, fleet):
    judges = Judges(tmp_path, fleet, [RATE | {"per": ["service"], "window": "1m"}])
    try:
        judges.start()
        fleet.add(12, service="shop")
        fleet.add(12, service='it\'s \\ a "trap"')
        fleet.add(3, service="calm")
        keys = [page["key"]["service"] for page in judges.wait_for(2)]
        assert sorted(keys) == ['it\'s \\ a "trap"', "shop"]
        assert all(len(page["events"]) == 5 for page in judges.pages())
    finally:
        judges.end()


def test_who_follows_a_leader_that_was_killed_pages_nobody_again(judges_of_both):
    judges, fleet = judges_of_both, judges_of_both.fleet
    for _ in range(3):
        judges.start()
    first = judges.leader()
    fleet.add(20)
    judges.wait_for(1)
    judges.wait_until_noted()
    first.kill()
    end = time.monotonic() + 12
    while time.monotonic() < end:
        fleet.add(20)  # it goes on firing
        time.sleep(1)
    second = judges.leader()
    assert second is not first
    assert judges.told() == [("errors", "firing")]
    second.kill()
    both = judges.wait_for(2)
    assert [one["state"] for one in both] == ["firing", "resolved"], "nobody has forgotten it"
    assert both[1]["started_at"] == both[0]["started_at"]


def test_a_stopped_leader_is_followed_soon(judges, fleet):
    judges.start()
    first = judges.leader()
    judges.start()
    fleet.add(20)
    judges.wait_for(1)
    assert judges.stop(first) == 0
    judges.leader()
    assert [one["state"] for one in judges.wait_for(2)] == ["firing", "resolved"]


def test_a_page_that_waits_is_sent_by_who_follows(tmp_path, fleet):
    judges = Judges(tmp_path, fleet, [RATE | {"window": "1m"}])
    try:
        hook = tmp_path / "page.sh"
        good = hook.read_text()
        hook.write_text("#!/bin/sh\nexit 1\n")
        first = judges.start()
        fleet.add(20)
        wait_until(judges.waiting, "a delivery")
        ((_, document),) = judges.waiting()
        first.kill()
        hook.write_text(good)
        judges.start()
        (page,) = judges.wait_for(1)
        assert page["delivery_id"] == json.loads(document)["delivery"]["delivery_id"]
        judges.wait_until_noted()
    finally:
        judges.end()


def test_a_server_that_goes_and_comes_changes_nothing(tmp_path, modern):
    fleet = Fleet(modern)
    judges = Judges(tmp_path, fleet, [RATE | {"window": "1m"}])
    try:
        judges.start()
        fleet.add(20)
        judges.wait_for(1)
        for _ in range(3):
            modern.server.kill()
            time.sleep(2)
            modern.server.start()
            judges.leader()
        time.sleep(8)
        assert judges.told() == [("errors", "firing")]
        assert "SL650" in judges.logs()
    finally:
        judges.end()


def test_new_groups_are_told_once(tmp_path, fleet):
    judges = Judges(tmp_path, fleet, [{"name": "new", "when": {"new_group": True}, "window": "5s"}])
    try:
        fleet.add_group(77, ago_s=3600)
        judges.start()
        judges.leader()
        fleet.add_group(78)
        fleet.add_group(78, agent="b")
        (page,) = judges.wait_for(1)
        assert page["key"] == {"group": "78"}
        assert page["groups"][0]["title"] == "ValueError: 78"
        judges.wait_until_noted()
        judges.leader().kill()
        judges.start()
        judges.leader()
        time.sleep(6)
        fleet.add_group(79)
        assert [one["key"]["group"] for one in judges.wait_for(2)] == ["78", "79"]
    finally:
        judges.end()


def test_absence_is_told_and_ends(tmp_path, fleet):
    rule = {"name": "silent", "match": "source=shop", "when": {"absent": True}, "window": "4s"}
    judges = Judges(tmp_path, fleet, [rule])
    try:
        fleet.add()
        judges.start()
        (page,) = judges.wait_for(1)
        assert page["summary"] == "silent: no event for 4s"
        fleet.add()
        assert [one["state"] for one in judges.wait_for(2)][:2] == ["firing", "resolved"]
    finally:
        judges.end()


def test_a_rule_that_is_gone_is_resolved(judges, fleet):
    judges.start()
    fleet.add(20)
    judges.wait_for(1)
    judges.wait_until_noted()
    judges.leader().kill()
    judges.use([RATE | {"name": "other", "when": {"count": 1000}}])
    judges.start()
    assert judges.wait_for(2)[1]["state"] == "resolved"


def test_ratios_and_spikes_are_judged(tmp_path, fleet):
    rules = [
        {"name": "ratio", "match": "severity>=error", "when": {"ratio": "50%", "min": 10}, "window": "1m"},
        {"name": "spike", "match": "severity>=error", "when": {"spike": "4x", "min": 20}, "window": "1m"},
    ]
    judges = Judges(tmp_path, fleet, rules)
    try:
        fleet.add(30, severity=9)
        fleet.add(20, severity=17)
        judges.start()
        judges.wait_for(1)
        assert judges.told() == [("spike", "firing")], "of 50 events 20 are errors"
        fleet.add(40, severity=17)
        judges.wait_for(2)
        assert sorted(judges.told()) == [("ratio", "firing"), ("spike", "firing")]
    finally:
        judges.end()


def test_a_silence_holds_for_all_who_judge(judges, fleet):
    judges.start()
    judges.leader()
    assert judges.command("silence", "errors", "--for", "1h", "--comment", "it's known").returncode == 0
    time.sleep(1)
    fleet.add(20)
    time.sleep(2)
    assert judges.command("silence", "error", "--for", "1h").returncode == 2
    assert judges.pages() == []
    assert "no longer silenced" in judges.command("unsilence", "errors").stderr
    judges.wait_for(1)
    assert "was not silenced" in judges.command("unsilence", "errors").stderr


@needs("faketime")
def test_a_week_of_clock_skew_between_those_who_judge(tmp_path, fleet):
    judges = Judges(tmp_path, fleet, [RATE | {"window": "20s"}])
    try:
        first = judges.start(clock="-7d")
        judges.leader()
        judges.start(clock="+7d")
        fleet.add(20)
        judges.wait_for(1)
        judges.wait_until_noted()
        first.kill()
        both = judges.wait_for(2)
        assert [page["state"] for page in both] == ["firing", "resolved"]
        began, ended = (datetime.fromisoformat(both[1][name][:19]) for name in ("started_at", "ended_at"))
        assert 10 <= (ended - began).total_seconds() <= 60
    finally:
        judges.end()
