"""Kills of the agent and of the server, and a network that cuts connections: each event arrives, and once."""

import contextlib
import json
import random
import threading
import time
from collections import Counter

import pytest

from tests.fleet.forwarding import ForwardingAgent, eventually, has, make_tables
from tests.fleet.proxy import Proxy
from tests.fleet.servers import Database

CUT = 0.5  # of the requests


def write_all(agent, events, seconds):
    """Write the events bit by bit."""
    began, portion = time.monotonic(), max(1, events // 200)
    while agent.written < events:
        agent.write(min(portion, events - agent.written), "error" if random.random() < 0.1 else "info")
        time.sleep(max(0.0, began + seconds * agent.written / events - time.monotonic()))


def kill_now_and_then(times, between_s, kill, revive, stop):
    for _ in range(times):
        if stop.wait(random.uniform(0.3, 1.7) * between_s):
            return
        kill()
        time.sleep(random.uniform(0.0, 0.5))
        revive()


def survives(database: Database, folder, *, events, seconds, agent_kills, server_kills):
    """Write, kill, cut; then wait until all is there, and count."""
    make_tables(database)
    database.ask("SYSTEM STOP MERGES")  # of raw rows none may vanish by itself
    with contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(one.ports[0], CUT, seed)) for seed, one in enumerate(database.servers)]
        urls = [proxy.url for proxy in proxies]
        agent = stack.enter_context(ForwardingAgent(folder, urls, database.name))
        stop = threading.Event()
        agent.start()
        server = database.servers[-1]
        of_agent = (agent_kills, seconds / (agent_kills + 1), agent.kill, agent.start, stop)
        of_server = (server_kills, seconds / (server_kills + 1), server.kill, server.start, stop)
        threads = [
            threading.Thread(target=write_all, args=(agent, events, seconds)),
            threading.Thread(target=kill_now_and_then, args=of_agent),
            threading.Thread(target=kill_now_and_then, args=of_server),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.start()
        try:
            eventually(has(database, events), 60 + seconds)
        except AssertionError:
            raise AssertionError(f"{agent.target()} {agent.said[-3000:]}") from None
        requests, cuts = sum(proxy.requests for proxy in proxies), sum((proxy.cuts for proxy in proxies), Counter())
        assert cuts.total() >= 0.35 * requests, (requests, cuts)
        eventually(lambda: agent.target()["lag_events"] == 0)
        assert agent.target()["gaps"] == []
        found = database.rows("SELECT count(), uniqExact(seq), uniqExact(message), uniqExact(agent) FROM events FINAL")
        assert found == [(events, events, events, 1)]
        said = [json.loads(line) for line in agent.command("query", "-o", "json", "-n", "all").stdout.splitlines()]
        central = dict(database.rows("SELECT seq, message FROM events FINAL"))
        assert central == {row["id"]: row["body"] for row in said}
        if len(database.servers) > 1:
            for one in database.servers:
                eventually(
                    lambda one=one: one.rows(f"SELECT count() FROM {database.name}.events") == [(events,)], 60
                )  # not one raw row twice
        print(f"{events} events, {agent_kills} + {server_kills} kills, {cuts.total()} of {requests} requests cut")  # noqa: T201 - of a long test


def test_a_minute_of_kills_and_cuts(database, tmp_path):
    survives(database, tmp_path / "agent", events=20_000, seconds=15, agent_kills=4, server_kills=2)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_long_kills_and_cuts(database, tmp_path):
    survives(database, tmp_path / "agent", events=150_000, seconds=150, agent_kills=20, server_kills=10)
