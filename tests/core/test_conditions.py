"""Own errors: logged when they begin, counted while they last, cleared when they end, and bounded in memory."""

import threading

import pytest
import structlog

from agent.core.conditions import PassingConditions, Reporter
from agent.core.errors import SidelogError


def error(code="SL410", subject="store", message="low", hint="free it"):
    return SidelogError(code, "write", subject, message, hint=hint)


@pytest.fixture
def said():
    with structlog.testing.capture_logs() as entries:
        yield entries


def test_an_error_is_logged_when_it_begins_and_kept_for_the_store(said):
    reporter = Reporter(clock=lambda: 5)
    assert not reporter.waiting
    reporter.report(error())
    assert reporter.waiting
    [kept] = reporter.take()
    assert (kept.code, kept.subject, kept.message, kept.hint) == ("SL410", "store", "low", "free it")
    assert (kept.time, kept.active, kept.count) == (5, True, 1)
    assert said == [{"event": "low", "log_level": "warning", "code": "SL410", "subject": "store", "hint": "free it"}]
    assert not reporter.waiting
    assert reporter.take() == []


def test_a_condition_that_lasts_is_logged_once_a_minute_and_counted_each_time(said, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    reporter = Reporter()
    for _ in range(600):
        reporter.report(error())
        now[0] += 1.0
    assert len(said) == 10
    [kept] = reporter.take()
    assert kept.count == 600


def test_what_is_over_is_said_once(said):
    reporter = Reporter()
    reporter.report(error(), active=False)
    assert not reporter.waiting, "it never began"
    reporter.report(error())
    reporter.report(error(), active=False)
    reporter.report(error(), active=False)
    assert [(kept.active, kept.count) for kept in reporter.take()] == [(True, 1), (False, 1)]
    assert [entry["event"] for entry in said] == ["low", "condition is over"]
    reporter.report(error())
    assert len(said) == 3, "a new beginning is logged at once"


def test_conditions_end_by_their_codes():
    reporter = Reporter()
    reporter.clear(frozenset({"SL410"}))
    for code, subject in (("SL410", "a"), ("SL410", "b"), ("SL201", "c")):
        reporter.report(error(code, subject))
    reporter.take()
    reporter.clear(frozenset({"SL410", "SL412"}))
    assert {(kept.code, kept.subject, kept.active) for kept in reporter.take()} == {
        ("SL410", "a", False),
        ("SL410", "b", False),
    }
    reporter.clear(frozenset({"SL410"}))
    assert reporter.take() == []


def test_the_last_word_comes_last():
    reporter = Reporter()
    for active in (True, False, True, True):
        reporter.report(error(), active)
    assert [(kept.active, kept.count) for kept in reporter.take()] == [(False, 1), (True, 3)]


def test_a_store_out_of_reach_for_days_takes_no_memory():
    reporter = Reporter()
    for number in range(100_000):
        reporter.report(error(subject=f"file{number % 5}"))
    kept = reporter.take()
    assert len(kept) == 5
    assert {one.count for one in kept} == {20_000}


def test_threads_may_report_while_another_one_clears():
    reporter = Reporter()
    counted = [0, 0]
    done = threading.Event()

    def collect():
        for kept in reporter.take():
            counted[0 if kept.active else 1] += kept.count

    def report(first):
        for number in range(2_000):
            reporter.report(error(subject=f"{first}-{number}"))

    def clear():
        while not done.is_set():
            reporter.clear(frozenset({"SL410"}))
            collect()

    failures = []
    previous, threading.excepthook = threading.excepthook, failures.append
    try:
        cleaner = threading.Thread(target=clear)
        threads = [threading.Thread(target=report, args=(first,)) for first in range(3)]
        for thread in [cleaner, *threads]:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        cleaner.join()
    finally:
        threading.excepthook = previous
    assert failures == []
    reporter.clear(frozenset({"SL410"}))
    collect()
    assert counted == [6_000, 6_000]


def test_a_condition_that_events_meet_is_over_when_they_stay_away():
    now, said = 0.0, []
    conditions = PassingConditions(
        lambda error, active: said.append((error.subject, active, error.message)), lambda: now
    )
    for _ in range(3):
        conditions.meet("SL708", "r", 2, "event", last="app.log:0")
    assert [one[:2] for one in said] == [("r", True)]
    assert "2 events" in said[0][2]
    now = 60.0
    conditions.meet("SL708", "r", 1, "event", last="app.log:9")
    assert "7 events in time, the last one at app.log:9" in said[1][2]
    now = 659.0
    conditions.settle()
    assert len(said) == 2
    now = 660.0
    conditions.settle()
    assert said[2][:2] == ("r", False)
    conditions.meet("SL708", "r", 1, "event", last="app.log:9")
    conditions.meet("SL708", "s", 1, "event", last="app.log:9")
    conditions.keep({"s"})
    assert [one[:2] for one in said[3:]] == [("r", True), ("s", True), ("r", False)]
