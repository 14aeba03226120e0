"""Rules that share a counter do what each would do alone, whatever they count and however it is cut."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.alert.engine import RuleEngine
from agent.alert.shared import SharedRuleEngine
from agent.alert.state import RuleHit
from tests.alert.rules import S, T, rule, said

PAUSES = st.one_of(st.integers(0, 2 * S), st.integers(0, 40 * S), st.just(0), st.integers(100 * S, 400 * S))
THRESHOLDS = st.sampled_from([{"count": 1}, {"count": 3}, {"count": 20}, {"rate": 5 / 128}])
SETTINGS = st.tuples(
    THRESHOLDS, st.sampled_from([0.0, 0.0, 7.0, 200.0]), st.sampled_from([1.0, 0.5]), st.sampled_from([11.0, 1000.0])
)


def rules_of(many):
    return [
        rule(f"r{number}", when=when, for_=hold, repeat=repeat, resolve_below=share * next(iter(when.values())))
        for number, (when, hold, share, repeat) in enumerate(many)
    ]


def told(changes):
    """What people see of changes, each rule and key by itself: a restart forgets which key came first."""
    seen = [(c.rule, c.key, c.state, c.at, c.value, c.started_at, c.notify, c.samples, c.groups) for c in changes]
    return sorted(seen, key=lambda one: (one[0], one[1], one[3]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(SETTINGS, min_size=1, max_size=4),
    st.lists(st.tuples(PAUSES, st.sampled_from("ab"), st.integers(1, 3)), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=8),
    st.integers(0, 60),
)
@example(
    [({"count": 3}, 7.0, 1.0, 11.0)],
    [(0, "a", 1), (0, "a", 1), (0, "a", 1), (128 * S, "a", 1), (0, "a", 1), (0, "a", 1)],
    [3, 4],
    0,
)
def test_rules_with_one_counter_do_what_each_does_alone(many, steps, cuts, restart):
    rules = rules_of(many)
    (counter,) = {one.counter for one in rules}
    alone, shared = RuleEngine(rules), SharedRuleEngine(rules)
    hits, at = [], T
    for number, (pause, key, group) in enumerate(steps):
        at += pause
        hits.append((key, RuleHit(at, number, group)))
    changes, saved = [], {}
    places = sorted({0, len(hits), *(cut % (len(hits) + 1) for cut in cuts)})
    for first, last in pairwise(places):
        part = hits[first:last]
        now = part[-1][1].at
        for key in sorted({key for key, _ in part}):
            own = [hit for one, hit in part if one == key]
            for one in rules:
                alone.observe(one.name, key, own, now)
            shared.observe(counter, key, own, now)
        alone.tick(now)
        shared.tick(now)
        changes += shared.take_changes()
        remember(saved, shared)
        if first <= restart % len(hits) < last:
            restarted = SharedRuleEngine(rules)
            restarted.restore(saved.values(), now)
            for name, states in shared.states.items():  # what a restart forgets: evidence and order
                for key, state in states.items():
                    if key in restarted.states[name]:
                        other = restarted.states[name][key]
                        other.samples, other.groups, other.clock = state.samples, state.groups, state.clock
                        other.window.advance(state.window.head)
            shared = restarted
    alone.tick(at + 3000 * S)
    shared.tick(at + 3000 * S)
    changes += shared.take_changes()
    assert told(changes) == told(alone.take_changes())


def remember(saved, engine):
    """Do with what an engine saves as the store does."""
    for mark in engine.take_gone():
        saved.pop(mark, None)
    for one in engine.take_saved():
        before = saved.get((one.rule, one.key))
        if one.phase == "ok" and one.since:
            saved.pop((one.rule, one.key), None)
        elif before is not None:
            rows = {row.bucket: row for row in (*before.rows, *one.rows)}
            one.rows = list(rows.values())
            saved[one.rule, one.key] = one
        else:
            saved[one.rule, one.key] = one


def test_a_rule_has_a_state_of_its_own_only_while_its_threshold_is_near():
    low, high = rule("low", when={"count": 2}), rule("high", when={"count": 100})
    engine = SharedRuleEngine([low, high])
    hits = [RuleHit(T + second * S, second) for second in range(3)]
    engine.observe(low.counter, "{}", hits, T + 2 * S)
    assert [len(engine.states[name]) for name in ("low", "high", low.counter)] == [1, 0, 1]
    engine.tick(T + 140 * S)
    engine.observe(low.counter, "{}", [RuleHit(T + 150 * S, 4)], T + 150 * S)
    assert [len(engine.states[name]) for name in ("low", "high", low.counter)] == [0, 0, 1]
    assert [change.state for change in engine.take_changes()] == ["firing", "resolved"]
    assert said(engine.take_changes()) == []


def test_a_key_that_fires_is_given_up_last_and_resolved_with_its_counter():
    one = rule(when={"count": 2})
    engine = SharedRuleEngine([one], max_keys=2)

    def feed(key, *seconds):
        engine.observe(one.counter, key, [RuleHit(T + at * S, at) for at in seconds], T + seconds[-1] * S)

    feed("a", 0, 1)
    feed("b", 2)
    feed("c", 3)
    assert engine.evictions() == {"r": 1}
    assert set(engine.states[one.counter]) == {"a", "c"}
    feed("c", 4)
    engine.take_changes()
    feed("d", 5)
    assert [(change.key, change.state) for change in engine.take_changes()] == [("a", "resolved")]
    assert set(engine.states["r"]) == {"c"}


def test_events_that_have_left_the_window_count_nowhere():
    one = rule(when={"count": 5})
    engine = SharedRuleEngine([one])
    engine.observe(one.counter, "{}", [RuleHit(T, 1)], T + 200 * S)
    assert not engine.states[one.counter]
    engine.observe(one.counter, "{}", [RuleHit(T, 1), RuleHit(T + 199 * S, 2)], T + 200 * S)
    assert engine.states[one.counter]["{}"].window.total == 1


def test_a_state_that_was_given_up_begins_anew_from_its_counter():
    one = rule(when={"count": 2})
    engine = SharedRuleEngine([one])
    engine.observe(one.counter, "{}", [RuleHit(T, 1), RuleHit(T, 2)], T)
    engine._forget(engine.states["r"]["{}"])
    engine.observe(one.counter, "{}", [RuleHit(T + S, 3)], T + S)
    assert engine.states["r"]["{}"].window.total == 3
    assert [change.value for change in engine.take_changes()] == [2.0, 3.0]
