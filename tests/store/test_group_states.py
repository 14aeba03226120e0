"""What an error group becomes by what a person says of it and by the events that come afterwards."""

import pytest

from agent.store.edit import set_group_state
from agent.store.groups import history_of
from tests.store.stores import DAY, NOW, events, no_join, rows, stored, tailed, transaction, update, write


def came(opened, count, *, at=NOW, read_at=None):
    """Store so many events of group 1; its state afterwards."""
    file = tailed(offset=_next_offset(opened))
    batch = stored(file, events(file.offset), observed=NOW if read_at is None else read_at)
    opened.writer.write(transaction(batch, groups=[update(1, count=count, timestamp=at)]), no_join, no_join)
    return rows(opened.writer.connection, "SELECT state FROM error_groups WHERE id = 1")[0][0]


def _next_offset(opened):
    return (rows(opened.writer.connection, 'SELECT "offset" FROM files') or [(0,)])[0][0]


def ignored(opened, **limits):
    came(opened, 5)
    assert set_group_state(opened.writer.connection, 1, "ignored", NOW, **limits)


def limits(opened):
    return rows(opened.writer.connection, "SELECT state_changed, ignored_until, ignored_until_count FROM error_groups")


def test_an_event_from_the_future_does_not_hide_that_a_group_comes_back(opened):
    came(opened, 1, at=NOW + 365 * DAY)
    set_group_state(opened.writer.connection, 1, "resolved", NOW)
    assert came(opened, 1, at=NOW - 1) == "resolved", "it is older than the resolving"
    assert came(opened, 1, at=NOW) == "regressed"


@pytest.mark.parametrize("portions", [[1, 1, 1], [2, 1], [1, 2], [3], [10]])
def test_an_ignored_group_comes_back_with_the_nth_event_and_not_before(opened, portions):
    ignored(opened, until_count=3)
    states = [came(opened, count, at=NOW + number) for number, count in enumerate(portions)]
    assert states == ["ignored"] * (len(portions) - 1) + ["regressed"]
    assert limits(opened) == [(NOW + len(portions) - 1, None, None)], "it is not ignored any more"


def test_events_that_were_there_already_do_not_count(opened):
    ignored(opened, until_count=3)
    assert limits(opened) == [(NOW, None, 8)]
    assert [came(opened, 1, at=NOW - DAY), came(opened, 1), came(opened, 1)] == ["ignored", "ignored", "regressed"]


@pytest.mark.parametrize(
    ("at", "read_at", "becomes"),
    [
        (NOW + DAY, NOW + DAY, "regressed"),
        (NOW + DAY - 1, NOW + 2 * DAY, "ignored"),  # it happened before, and is read late
        (NOW + 2 * DAY, NOW + DAY, "regressed"),  # from the future: it counts when it arrives
        (NOW + 2 * DAY, NOW + DAY - 1, "ignored"),
    ],
)
def test_an_ignored_group_comes_back_by_an_event_after_its_time(opened, at, read_at, becomes):
    ignored(opened, until=NOW + DAY)
    assert came(opened, 1_000, at=NOW + DAY - 1, read_at=NOW + DAY - 1) == "ignored"
    assert came(opened, 1, at=at, read_at=read_at) == becomes
    left = (None, None) if becomes == "regressed" else (NOW + DAY, None)
    assert limits(opened)[0][1:] == left


def test_of_two_limits_the_first_one_counts(opened):
    ignored(opened, until=NOW + DAY, until_count=2)
    assert came(opened, 2) == "regressed"
    set_group_state(opened.writer.connection, 1, "ignored", NOW, until=NOW + DAY, until_count=2)
    assert came(opened, 1, at=NOW + DAY, read_at=NOW + DAY) == "regressed"


@pytest.mark.parametrize("state", ["resolved", "ignored", "ongoing"])
def test_another_state_ends_the_limits(opened, state):
    ignored(opened, until=NOW, until_count=1)
    set_group_state(opened.writer.connection, 1, state, NOW + 7)
    assert limits(opened) == [(NOW + 7, None, None)]
    assert came(opened, 9, at=NOW - 1) == state


def test_what_comes_back_after_being_ignored_is_news_for_rules(opened, monkeypatch):
    seen = []

    class Hook:
        wants_group_news = True

        def before_commit(self, _connection, _transaction, stored):
            seen.append(dict(stored.news))

    write = opened.writer.write
    monkeypatch.setattr(opened.writer, "write", lambda *facts: write(*facts, [Hook()]))
    ignored(opened, until_count=2)
    for _ in range(3):
        came(opened, 1)
    assert seen == [{1: "new"}, {}, {1: "regressed"}, {}]


def test_the_services_of_a_group_are_counted_and_bounded(opened):
    file = tailed()
    first = update(1, services={"shop": 2, "": 1})
    write(opened, transaction(stored(file, events()), groups=[first]))
    many = update(1, services={"shop": 1, **{f"s{number:03}": 1 for number in range(150)}})
    write(opened, transaction(stored(file, events(file.offset)), groups=[many]))
    found = history_of(opened.writer.connection, 1, []).services
    assert found[:2] == [("", 1 + 52), ("shop", 3)]
    assert len(found) == 100
    assert history_of(opened.writer.connection, 2, []).services == []
    write(opened, transaction(stored(file, events(file.offset)), groups=[update(1, services={"s000": 4, "new": 1})]))
    assert dict(history_of(opened.writer.connection, 1, []).services)["s000"] == 5, "one that has a row goes on"
    assert dict(history_of(opened.writer.connection, 1, []).services)[""] == 54
