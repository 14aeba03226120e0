"""Of several processes one holds a lease; both lines of servers, shards, kills and races."""

import contextlib
import threading
import time

import pytest

from agent.clickhouse import schema
from agent.clickhouse.address import ClickHouseAddress
from agent.clickhouse.client import ClickHouseClient
from agent.clickhouse.faults import ClickHouseError
from agent.clickhouse.leases import Lease

LENGTH_S = 3.0


class Clock:
    """A clock that a test moves, beside the server's own, which it cannot."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def lease():
    with contextlib.ExitStack() as clients:

        def make(place, clock=time.monotonic, url=None):
            client = ClickHouseClient(ClickHouseAddress((url or place.url,), place.name))
            clients.callback(client.close)
            return Lease(client, "alerts", LENGTH_S, clock)

        yield make


@pytest.fixture
def made(database):
    schema.make(ClickHouseAddress((database.url,), database.name), None, replicated=False, ttl_days=None)
    return database


def hold(one, timeout_s=20):
    """Turn until it is held."""
    end = time.monotonic() + timeout_s
    while not one.turn():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_first_one_gets_it_after_a_wait_and_the_second_not(made, lease):
    clock = Clock()
    first, second = lease(made, clock), lease(made, clock)
    assert not first.turn()
    assert first.left_s == 0
    assert not second.turn()
    assert second.held_by == first.holder
    clock.now = 2.01
    assert first.turn()
    assert first.left_s == pytest.approx(2)
    assert not second.turn()
    clock.now = 3
    assert first.turn()
    clock.now = 5.1
    assert first.left_s == 0, "it has not looked for too long"


def test_who_releases_it_is_followed_at_once(made, lease):
    clock = Clock()
    first, second = lease(made, clock), lease(made, clock)
    first.turn()
    clock.now = 2.01
    assert first.turn()
    first.release()
    assert first.left_s == 0
    before = time.monotonic()
    while not second.turn():
        clock.now += 0.7
        time.sleep(0.3)
    assert time.monotonic() - before < 2.9, "no sooner than it would have run out"
    first.release()
    assert second.turn(), "who does not have it releases nothing"


def test_who_is_gone_is_followed_when_its_time_is_over(made, lease):
    first, second = lease(made), lease(made)
    hold(first)
    before = time.monotonic()
    hold(second)
    assert LENGTH_S - 1.1 < time.monotonic() - before < 4 * LENGTH_S
    assert not first.turn()
    assert first.left_s == 0


def test_a_server_that_is_gone_lets_the_holder_act_for_a_while(modern, lease):
    schema.make(ClickHouseAddress((modern.url,), modern.name), None, replicated=False, ttl_days=None)
    clock = Clock()
    one = lease(modern, clock)
    one.turn()
    clock.now = 2.01
    assert one.turn()
    modern.server.kill()
    clock.now = 3
    with pytest.raises(ClickHouseError):
        one.turn()
    assert one.left_s == pytest.approx(1.01)
    clock.now = 4.02
    assert one.left_s == 0
    modern.server.start()
    assert not one.turn(), "it has to wait again"
    clock.now += 2.01
    assert one.turn()


def test_it_works_over_shards(shards, shards_cluster, lease):
    address = ClickHouseAddress((shards.url,), shards.name)
    schema.make(address, "fleet", replicated=True, ttl_days=None)
    first, second = lease(shards), lease(shards, url=shards.servers[1].url)
    hold(first)
    assert not second.turn()
    assert second.held_by == first.holder


@pytest.mark.parametrize("replicated", [False, True], ids=["one server", "replicas"])
def test_many_that_race_never_hold_it_together(request, replicated, lease):
    place = request.getfixturevalue("replicas" if replicated else "modern")
    urls = [server.url for server in place.servers]
    schema.make(ClickHouseAddress(tuple(urls), place.name), None, replicated=replicated, ttl_days=None)
    holding, errors, spans = [], [], []
    stop = time.monotonic() + 14
    guard = threading.Lock()

    def compete(number):
        one = lease(place, url=urls[number % len(urls)])
        while time.monotonic() < stop:
            with contextlib.suppress(ClickHouseError):
                one.turn()
            while one.left_s > 0.2 and time.monotonic() < stop:
                with guard:
                    holding.append(number)
                    if len(set(holding)) > 1:
                        errors.append(list(holding))
                time.sleep(0.02)
                with guard:
                    holding.remove(number)
                    spans.append(number)
                if len(spans) % 40 == 0:
                    time.sleep(LENGTH_S)  # it hangs, and looks too late
                elif time.monotonic() % 0.5 < 0.05:
                    with contextlib.suppress(ClickHouseError):
                        one.turn()
            time.sleep(0.05)

    racers = [threading.Thread(target=compete, args=(number,)) for number in range(5)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert errors == []
    assert len(spans) > 20
