"""The engine against the slow reference, on random events in random batches."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alert.engine import RuleEngine
from agent.alert.state import RuleHit
from tests.alert import reference
from tests.alert.rules import S, T, rule

FORMS = st.sampled_from(
    [{"count": 3}, {"count": 1}, {"count": 20}, {"rate": 5 / 128}, {"spike": 2.0, "min": 4}, {"spike": 1.2, "min": 2}]
)
# Mostly close together, sometimes after a pause longer than the window, often at the same instant.
PAUSES = st.one_of(
    st.integers(0, 2 * S), st.integers(0, 40 * S), st.just(0), st.integers(100 * S, 400 * S), st.integers(S, 30_000 * S)
)
RULES = st.builds(
    lambda when, hold, share, repeat: rule(
        when=when,
        for_=hold,
        repeat=repeat,
        resolve_below=share * next(iter(when.values())),
    ),
    FORMS,
    st.sampled_from([0.0, 0.0, 7.0, 60.0, 200.0]),
    st.sampled_from([1.0, 1.0, 0.5]),
    st.sampled_from([11.0, 90.0, 1000.0]),
)


def played(one, events, cuts, end, *, ticks=True):
    """The engine's transitions for events handed over in batches that begin at `cuts`."""
    engine = RuleEngine([one])
    places = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    for first, last in pairwise(places):
        hits = [RuleHit(at, number) for number, at in enumerate(events[first:last], first)]
        engine.observe("r", "{}", hits, hits[0].at)
        if ticks:
            engine.tick(hits[-1].at)
    engine.tick(end)
    return [(change.state, change.at) for change in engine.take_changes()]


@settings(max_examples=300, deadline=None)
@given(RULES, st.lists(PAUSES, min_size=1, max_size=60), st.lists(st.integers(0, 60), max_size=8), st.booleans())
def test_every_transition_is_that_of_the_reference_however_events_are_cut_into_batches(one, pauses, cuts, ticks):
    events, at = [], T
    for pause in pauses:
        at += pause
        events.append(at)
    end = at + 3000 * S
    if one.form == "spike":
        end = at  # what leaves the window before may make a spike of what stays; only events are judged for that
    assert played(one, events, cuts, end, ticks=ticks) == reference.run(one, events, end)


@settings(max_examples=100, deadline=None)
@given(RULES, st.lists(PAUSES, min_size=2, max_size=40), st.integers(0, 40))
def test_a_restart_between_any_two_events_changes_nothing(one, pauses, cut):
    """What was saved is all that the engine needs, whether it is ok, pending or firing."""
    events, at = [], T
    for pause in pauses:
        at += pause
        events.append(at)
    cut %= len(events)
    end = at + 1000 * S
    whole = RuleEngine([one])
    first, second = RuleEngine([one]), RuleEngine([one])
    for number, instant in enumerate(events):
        hit = [RuleHit(instant, number)]
        whole.observe("r", "{}", hit, instant)
        whole.tick(instant)
        if number <= cut:
            first.observe("r", "{}", hit, instant)
            first.tick(instant)
    saved = {}
    for one_saved in first.take_saved():
        saved[one_saved.rule, one_saved.key] = one_saved
    second.restore(saved.values(), events[cut])
    for number, instant in enumerate(events[cut + 1 :], cut + 1):
        second.observe("r", "{}", [RuleHit(instant, number)], instant)
        second.tick(instant)
    whole.tick(end)
    second.tick(end)
    expected = [(c.state, c.at, c.started_at, c.notify) for c in whole.take_changes()]
    found = [(c.state, c.at, c.started_at, c.notify) for c in (*first.take_changes(), *second.take_changes())]
    assert found == expected
