"""What the engine does beside counting: lateness, silence, inhibition, bounds, absence, ratios, a clock that jumps."""

from collections import Counter

import pytest

from agent.alert.engine import LATENESS_NS, RuleEngine
from agent.alert.state import RuleHit
from agent.core.outbox import NEVER
from tests.alert.rules import S, T, rule, said


def feed(engine, *seconds, name="r", key="{}", now=None):
    """Events at these seconds after T, seen at `now` seconds (default: at the last of them)."""
    seen = T + int((max(seconds) if now is None else now) * S)
    engine.observe(name, key, [RuleHit(T + int(at * S), number, 7) for number, at in enumerate(sorted(seconds))], seen)


def test_it_fires_once_at_the_threshold_with_the_evidence_and_resolves_when_the_window_has_passed():
    engine = RuleEngine([rule()])
    feed(engine, 0, 1)
    assert engine.take_changes() == []
    feed(engine, 2)
    feed(engine, 3, 4, 5)
    (change,) = engine.take_changes()
    assert (change.state, change.at, change.value, change.notify) == ("firing", T + 2 * S, 3.0, True)
    assert (change.samples, change.groups) == ((0, 1, 0), {7: 3})
    engine.tick(T + 131 * S - 1)
    assert engine.take_changes() == []
    engine.tick(T + 131 * S)
    assert said(engine.take_changes()) == [("resolved", 131.0, 2.0)]


def test_a_backfill_is_not_counted_and_a_late_event_is_while_its_window_lasts():
    engine = RuleEngine([rule(when={"count": 2})])
    feed(engine, *range(50), now=3 * 86_400)
    assert engine.take_changes() == []
    assert engine.next_due == NEVER
    feed(engine, 4 * 86_400)
    feed(engine, 4 * 86_400 - 100, now=4 * 86_400 + 1)
    assert [change.state for change in engine.take_changes()] == ["firing"]


def test_a_burst_that_comes_after_its_short_window_is_judged_by_itself():
    engine = RuleEngine([rule(window=1.0)])
    late_s = LATENESS_NS // S - 1
    feed(engine, 0, 0.1, 0.2, now=late_s)
    engine.tick(T + late_s * S)
    assert [change.state for change in engine.take_changes()] == ["firing", "resolved"]
    feed(engine, 100, 105, 110, now=100 + late_s)  # no burst: never three in a second
    feed(engine, 200, 200.1, 200.2, now=200 + late_s + 2)  # too late altogether
    engine.tick(T + 300 * S)
    assert engine.take_changes() == []


def test_a_silence_holds_back_pages_and_what_still_fires_when_it_ends_is_told():
    until = T + 50 * S
    engine = RuleEngine([rule(repeat=20.0)], quiet=lambda _rule, _key, at: "silenced" if at < until else "")
    feed(engine, 0, 1, 2)
    engine.tick(T + 49 * S)
    (change,) = engine.take_changes()
    assert (change.state, change.notify, change.quiet) == ("firing", False, "silenced")
    engine.tick(T + 51 * S)
    (told,) = engine.take_changes()
    assert (told.state, told.notify, told.started_at) == ("firing", True, T + 2 * S)
    engine.tick(T + 200 * S)
    assert [change.state for change in engine.take_changes()][-1] == "resolved"


def test_what_nobody_was_told_of_is_not_told_to_be_over():
    engine = RuleEngine([rule()], quiet=lambda *_: "muted")
    feed(engine, 0, 1, 2)
    engine.tick(T + 200 * S)
    assert [(change.state, change.notify) for change in engine.take_changes()] == [
        ("firing", False),
        ("resolved", False),
    ]


def test_a_resolve_is_told_also_during_a_silence_that_began_after_the_page():
    engine = RuleEngine([rule(repeat=20.0)], quiet=lambda _rule, _key, at: "silenced" if at > T + 10 * S else "")
    feed(engine, 0, 1, 2)
    engine.tick(T + 200 * S)
    changes = engine.take_changes()
    assert [(c.state, c.notify) for c in changes if c.state != "repeat"] == [("firing", True), ("resolved", True)]
    assert not any(c.notify for c in changes if c.state == "repeat")


def test_a_rule_is_inhibited_while_another_one_fires():
    engine = RuleEngine([rule("down"), rule("slow", inhibited_by=["down"])])
    feed(engine, 0, 1, 2, name="down")
    feed(engine, 50, 51, 52, name="slow")
    engine.tick(T + 60 * S)
    told = [(c.rule, c.state, c.notify, c.quiet) for c in engine.take_changes()]
    assert told == [("down", "firing", True, ""), ("slow", "firing", False, "inhibited")]
    engine.tick(T + 135 * S)  # the first one is over at 131 s
    told = [(c.rule, c.state, c.notify) for c in engine.take_changes()]
    assert told == [("down", "resolved", True), ("slow", "firing", True)]


def test_pages_of_one_rule_wait_for_each_other():
    engine = RuleEngine([rule(group_wait=5.0)])
    for second, key in ((0, "a"), (2, "b"), (20, "c")):
        feed(engine, second, second, second, key=key)
        engine.tick(T + second * S)
    engine.tick(T + 26 * S)
    told = [(c.key, (c.at - T) // S) for c in engine.take_changes() if c.notify]
    assert told == [("a", 5), ("b", 5), ("c", 25)]


def test_states_are_bounded_and_the_one_idle_for_longest_goes():
    engine = RuleEngine([rule()], max_keys=3)
    for key in "abc":
        feed(engine, 0, key=key)
    feed(engine, 1, key="a")
    feed(engine, 2, key="d")
    assert engine.evicted == {"r": 1}
    assert list(engine.states["r"]) == ["c", "a", "d"]
    assert engine.take_gone() == [("r", "b")]
    feed(engine, 3, key="a")
    assert [change.key for change in engine.take_changes()] == ["a"]


def test_a_firing_state_is_given_up_last_and_resolved_then():
    engine = RuleEngine([rule(when={"count": 1})], max_keys=2)
    feed(engine, 0, key="a")
    feed(engine, 1, key="b")
    feed(engine, 2, key="c")
    assert [(c.key, c.state) for c in engine.take_changes()] == [
        ("a", "firing"), ("b", "firing"), ("a", "resolved"), ("c", "firing"),
    ]  # fmt: skip


def test_quiet_states_are_let_go():
    engine = RuleEngine([rule()])
    feed(engine, 0, key="a")
    engine.tick(T + 200 * S)
    assert engine.take_gone() == [("r", "a")]
    assert engine.take_saved() == []


def test_absence_fires_a_window_after_the_last_event_and_resolves_with_the_next():
    engine = RuleEngine([rule(when={"absent": True}, repeat=100.0)])
    engine.begin(T, 0)
    for second in range(0, 500, 50):
        feed(engine, second)
        engine.tick(T + second * S)
    assert engine.take_changes() == []
    engine.tick(T + (450 + 128) * S)
    feed(engine, 700)
    found = said(engine.take_changes())
    assert found == [("firing", 578.0, 0.0), ("repeat", 678.0, 0.0), ("resolved", 700.0, 1.0)]


def test_absence_is_measured_from_the_start_and_not_over_a_time_without_eyes():
    engine = RuleEngine([rule(when={"absent": True}, for_=10.0)])
    engine.begin(T, 0)
    engine.tick(T + 129 * S)
    assert said(engine.take_changes()) == [("pending", 128.0, 0.0)]
    engine.begin(T + 1000 * S, 871 * S)  # the machine slept
    engine.tick(T + 1009 * S)
    assert engine.take_changes() == []  # `for` has not gone on meanwhile
    engine.tick(T + 1011 * S)
    assert [change.state for change in engine.take_changes()] == ["firing"]


@pytest.mark.parametrize("cut", [10, 100, 140, 160, 190])
@pytest.mark.parametrize("unseen", [True, False])
def test_absence_goes_on_over_a_restart(cut, unseen):
    """Not yet, pending or firing: what comes next comes once, and not before what was written meanwhile is read."""
    one = rule(when={"absent": True}, for_=50.0, repeat=10_000.0)
    first, second = RuleEngine([one]), RuleEngine([one])
    first.begin(T, 0)
    feed(first, 1.0)
    first.tick(T + cut * S)
    start = 5000 if unseen else cut + 5
    second.restore(first.take_saved(), T + start * S)
    second.begin(T + start * S, (start - cut) * S if unseen else 0)
    second.tick(T + 6000 * S)
    feed(second, 6001.0)
    found = [(state, at) for state, at, _ in said([*first.take_changes(), *second.take_changes()])]
    gap = start - cut if unseen else 0
    wanted = [("pending", 129.0), ("firing", 179.0), ("resolved", 6001.0)]
    for (state, at), (expected, instant) in zip(found, wanted, strict=True):
        assert state == expected
        delay = at - instant - (gap if cut < at < 6001 else 0)
        assert -1 <= delay <= (60 if unseen else 0)


def test_what_was_due_while_nobody_judged_waits_until_the_backlog_is_read():
    one = rule(when={"absent": True})
    engine = RuleEngine([one])
    engine.begin(T, 0)
    feed(engine, 1.0)
    again = RuleEngine([one])
    again.restore(engine.take_saved(), T + 500 * S)
    again.begin(T + 500 * S, 0)
    again.tick(T + 529 * S)
    feed(again, 450.0, now=529.0)
    again.tick(T + 531 * S)
    assert again.take_changes() == []
    again.tick(T + 579 * S)
    assert [change.state for change in again.take_changes()] == ["firing"]


def test_many_heartbeats_take_no_memory():
    engine = RuleEngine([rule(when={"absent": True})])
    engine.begin(T, 0)
    for second in range(1000):
        feed(engine, second / 10)
    assert len(engine._machine._due) < 5


def ratio_engine():
    return RuleEngine([rule(when={"ratio": 0.2, "min": 10})])


def ratio(engine, second, matched, total):
    hits = [RuleHit(T + second * S, number) for number in range(matched)]
    engine.observe("r", "{}", hits, T + second * S, Counter({(T + second * S) // S: total}))


def test_a_ratio_needs_its_minimum_and_also_fires_when_others_make_it_up():
    engine = ratio_engine()
    ratio(engine, 0, 4, 4)
    ratio(engine, 1, 0, 5)
    assert engine.take_changes() == []
    ratio(engine, 2, 0, 1)
    assert said(engine.take_changes()) == [("firing", 2.0, 0.4)]
    ratio(engine, 3, 0, 20)
    assert said(engine.take_changes()) == [("resolved", 3.0, pytest.approx(4 / 30))]


def test_a_spike_is_measured_against_the_window_before():
    engine = RuleEngine([rule(when={"spike": 3.0, "min": 5})])
    feed(engine, *range(0, 10, 2))  # 5 against nothing
    assert said(engine.take_changes()) == [("firing", 8.0, 5.0)]
    engine.tick(T + 130 * S)
    assert [change.state for change in engine.take_changes()] == ["resolved"]
    feed(engine, *range(140, 154))
    assert engine.take_changes() == []
    feed(engine, 154)
    assert said(engine.take_changes()) == [("firing", 154.0, 3.0)]


def test_a_clock_that_jumps_takes_the_states_with_it():
    engine = RuleEngine([rule(repeat=60.0, for_=10.0)])
    feed(engine, 0, 1, 2)
    hour = 3600 * S
    engine.shift(hour)
    engine.tick(T + hour + 12 * S)
    assert said(engine.take_changes())[1:] == [("firing", 3612.0, 3.0)]
    engine.shift(-2 * hour)
    saved = {row.bucket for one in engine.take_saved() for row in one.rows}
    assert min(saved) == (T - hour) // S
    engine.tick(T - hour + 200 * S)
    assert [change.state for change in engine.take_changes()] == ["repeat", "resolved"]


def test_states_of_rules_that_are_gone_are_not_taken_over():
    engine = RuleEngine([rule()])
    feed(engine, 0, 1, 2)
    saved = engine.take_saved()
    other = RuleEngine([rule("other")])
    other.restore(saved, T + 3 * S)
    assert not other.states["other"]
    assert other.next_due == NEVER


def test_a_spike_is_also_measured_against_the_last_day():
    """A quiet quarter of an hour before is no reason to page for what is usual."""
    engine = RuleEngine([rule(when={"spike": 3.0, "min": 5})])
    for hour in range(24):
        feed(engine, *range(hour * 3600, hour * 3600 + 120))
    at = 24 * 3600
    engine.tick(T + at * S)
    assert len({change.state for change in engine.take_changes()}) == 2
    usual = 23 * 120 * 128 / (86_400 - 128)  # the first hour is a day ago
    feed(engine, *[at] * 12)
    assert engine.take_changes() == []
    feed(engine, *[at])
    ((state, _, value),) = said(engine.take_changes())
    assert (state, value) == ("firing", pytest.approx(3.0, abs=0.2))
    assert value == pytest.approx(13 / usual, rel=0.05)


def test_the_day_of_a_spike_is_saved_restored_and_forgotten():
    one = rule(when={"spike": 3.0, "min": 5})
    first, second = RuleEngine([one]), RuleEngine([one])
    feed(first, *range(100))
    saved = first.take_saved()
    assert sum(row.events for row in saved[0].rows if row.bucket < 0) == 100
    second.restore(saved, T + 100 * S)
    assert second.states["r"]["{}"].day.total == 100
    second.tick(T + 3600 * S)
    assert second.take_gone() == []
    second.tick(T + 100_000 * S)
    assert second.take_gone() == [("r", "{}")]


def test_a_state_from_a_clock_that_was_ahead_is_moved_to_now():
    first, second = RuleEngine([rule()]), RuleEngine([rule()])
    feed(first, 7200, 7201, 7202)
    second.restore(first.take_saved(), T)
    (saved,) = second.take_saved()
    assert saved.whole
    assert max(row.bucket for row in saved.rows) == T // S
    second.tick(T + 131 * S)
    assert [change.state for change in second.take_changes()] == ["resolved"]


def test_the_day_of_a_spike_goes_with_a_clock_that_jumps():
    engine = RuleEngine([rule(when={"spike": 3.0, "min": 5})])
    feed(engine, *range(50))
    engine.shift(-86_400 * S)
    (saved,) = engine.take_saved()
    assert saved.whole
    day = [row for row in saved.rows if row.bucket < 0]
    assert sum(row.events for row in day) == 50
    assert {-1 - row.bucket for row in day} <= {(T - 86_400 * S) // (675 * S) + step for step in (-1, 0)}


def test_a_page_that_waited_for_others_is_told_after_a_restart():
    one = rule(group_wait=60.0)
    first, second = RuleEngine([one]), RuleEngine([one])
    feed(first, 0, 1, 2)
    assert [change.notify for change in first.take_changes()] == [False]
    second.restore(first.take_saved(), T + 2 * S)
    second.tick(T + 3 * S)
    assert [(change.state, change.notify) for change in second.take_changes()] == [("firing", True)]
