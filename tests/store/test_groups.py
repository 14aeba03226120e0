"""Which groups a list holds, in which order, and what is counted over time."""

import re

import pytest

from agent.core.groups import GroupFilter, GroupHistory
from agent.store.groups import SORTS, history_of, list_groups, rise
from tests.store.stores import DAY, MINUTE, NOW, events, stored, tailed, transaction, update, write

HOUR = 60 * MINUTE


@pytest.fixture
def three(opened):
    """1: old, frequent, of two services. 2: fatal, ignored, no service. 3: the youngest, rising."""
    first = update(1, count=90, timestamp=NOW - 3 * DAY, services={"shop": 80, "till": 10})
    first.last_seen = NOW - 2 * HOUR
    first.minutes = {(NOW - 3 * DAY) // MINUTE: 60, (NOW - 20 * HOUR) // MINUTE: 27, (NOW - 2 * HOUR) // MINUTE: 3}
    second = update(2, count=5, timestamp=NOW - DAY, severity=21, service=None, services={"": 5})
    second.category = "network"
    third = update(3, count=8, timestamp=NOW - HOUR, service="api", services={"api": 8}, title="TypeError: Größe")
    write(opened, transaction(stored(tailed(), events()), groups=[first, second, third]))
    connection = opened.writer.connection
    connection.execute("UPDATE error_groups SET state = 'ignored' WHERE id = 2")
    return connection


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [3, 1, 2]),
        ({"states": ("ignored",)}, [2]),
        ({"states": ("new", "ignored")}, [3, 1, 2]),
        ({"states": ("ongoing",)}, []),
        ({"severities": (21, 24)}, [2]),
        ({"severities": (0, 20)}, [3, 1]),
        ({"categories": ("network",)}, [2]),
        ({"categories": ("network", "validation")}, [3, 1, 2]),
        ({"services": ("till",)}, [1]),
        ({"services": ("till", "api")}, [3, 1]),
        ({"services": ("shop",), "severities": (21, 24)}, []),
        ({"title": re.compile("größe", re.IGNORECASE)}, [3]),
        ({"group": 2}, [2]),
        ({"group": 9}, []),
        ({"since": NOW - HOUR}, [3]),
        ({"since": NOW - 2 * HOUR}, [3, 1]),
        ({"until": NOW - DAY}, [1]),
        ({"until": NOW - DAY + 1}, [1, 2]),
        ({"since": NOW - DAY - HOUR, "until": NOW - 22 * HOUR}, [2]),  # the first has events before and after
        ({"since": NOW - 21 * HOUR, "until": NOW - 19 * HOUR}, [1]),
        ({"since": 10**30}, []),
        ({"since": -(10**30), "until": 10**30}, [3, 1, 2]),
        ({"until": -(10**30)}, []),
    ],
)
def test_only_the_groups_that_are_asked_for(three, wanted, found):
    assert [group.id for group in list_groups(three, NOW, GroupFilter(**wanted))] == found


@pytest.mark.parametrize(
    ("sort", "order"), [("last-seen", [3, 1, 2]), ("first-seen", [3, 2, 1]), ("count", [1, 3, 2]), ("trend", [3, 2, 1])]
)
def test_every_order_its_reverse_and_its_beginning(three, sort, order):
    def ids(**options):
        return [group.id for group in list_groups(three, NOW, sort=sort, **options)]

    assert ids() == order
    assert ids(reverse=True) == order[::-1]
    assert ids(limit=2) == order[:2]
    assert ids(limit=2, reverse=True) == order[::-1][:2]
    assert all(sum(group.trend) for group in list_groups(three, NOW, sort=sort, limit=2) if group.id != 2)
    assert not any(sum(group.trend) for group in list_groups(three, NOW, sort="count", trends=False))


def test_equal_groups_come_in_the_order_of_their_ids(opened):
    write(opened, transaction(stored(tailed(), events()), groups=[update(3), update(1), update(2)]))
    for sort in SORTS:
        for reverse in (False, True):
            found = list_groups(opened.writer.connection, NOW, sort=sort, reverse=reverse)
            assert [group.id for group in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("trend", "more"),
    [([0] * 24, 0), ([1] * 24, 0), ([0] * 23 + [7], 7), ([3] * 18 + [0] * 6, -18), ([2] * 18 + [3] * 6, 6)],
)
def test_a_rise_is_what_the_hours_before_did_not_let_expect(trend, more):
    assert rise(trend) == more


def test_events_are_counted_between_instants(three):
    days = [NOW // MINUTE * MINUTE - number * DAY for number in (4, 2, 1, 0)]
    assert history_of(three, 1, days) == GroupHistory([60, 0, 30], [("shop", 80), ("till", 10)])
    assert history_of(three, 9, days) == GroupHistory([0, 0, 0], [])
    assert history_of(three, 1, []).counts == []


def test_what_is_left_of_ignoring_is_told(three):
    from agent.store.edit import set_group_state

    set_group_state(three, 1, "ignored", NOW, until=NOW + DAY, until_count=10)
    (group,) = list_groups(three, NOW, GroupFilter(group=1))
    assert (group.ignored_until, group.ignored_events_left) == (NOW + DAY, 10)
