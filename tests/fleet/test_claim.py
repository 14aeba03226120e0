"""Two stores with one content against one server: no event is forwarded under one id by two of them."""

import contextlib
import shutil
import sqlite3
import threading

import pytest

from agent.clickhouse.client import ClickHouseClient
from agent.forward import claim
from agent.forward.claim import AgentClaim
from agent.store import forwarding
from tests.store.stores import events, store_at, stored, tailed, transaction, write

NS = 1_764_000_000 * 10**9


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state" / "sidelog.db"
    with store_at(path) as opened:
        connection = opened.writer.connection
        settings = [forwarding.TargetSettings(name, "clickhouse", "x") for name in ("central", "second")]
        forwarding.save_targets(connection, settings, NS)
        write(opened, transaction(stored(tailed(), events(count=10))))
    return path


def agents(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row.id for row in forwarding.agents(connection)]


def advance(path, position, target="central"):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE forward_targets SET position = ? WHERE name = ?", (position, target))


def send(address, agent, *seqs):
    client = ClickHouseClient(address)
    rows = "\n".join(f'{{"agent":"{agent}","seq":{seq},"timestamp":{NS}}}' for seq in seqs)
    client.insert("events", ("agent", "seq", "timestamp"), rows.encode(), form="JSONEachRow")
    client.close()


def taken(path, address, target="central"):
    client = ClickHouseClient(address)
    try:
        return AgentClaim(path, target, client).take()
    finally:
        client.close()


def cloned(path, tmp_path, name):
    """The same bytes, and nothing local that tells them apart: a disk that was cloned."""
    copy = tmp_path / name / "sidelog.db"
    shutil.copytree(path.parent, copy.parent)
    return copy


def test_start_after_start_keeps_the_id(path, address):
    (first,) = agents(path)
    for _ in range(3):
        assert taken(path, address) is None
        assert taken(path, address, "second") is None
    assert agents(path) == [first]


def test_of_two_clones_one_gets_another_id(path, address, tmp_path):
    taken(path, address)
    clone = cloned(path, tmp_path, "clone")
    assert taken(path, address) is None
    error = taken(clone, address)
    assert error.code == "SL661"
    assert claim.CLAIMED in error.message
    assert agents(path) == agents(clone)[:1]
    assert taken(path, address) is None
    assert taken(clone, address) is None
    with contextlib.closing(sqlite3.connect(clone)) as connection:
        assert connection.execute("SELECT count(*) FROM own_errors WHERE code = 'SL661'").fetchone() == (1,)


def test_clones_that_start_at_the_same_time_never_go_on_under_one_id(path, address, tmp_path):
    taken(path, address)
    stores = [path, *(cloned(path, tmp_path, f"clone{number}") for number in range(5))]
    gate = threading.Barrier(len(stores))

    def start(store):
        gate.wait()
        taken(store, address)

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({agents(store)[-1] for store in stores}) == len(stores)


def test_a_machine_that_was_rolled_back_with_all_of_its_files_is_noticed(path, address, tmp_path):
    taken(path, address)
    send(address, agents(path)[0], 1, 2, 3)
    advance(path, 3)
    snapshot = cloned(path, tmp_path, "snapshot")
    send(address, agents(path)[0], 4, 5)
    advance(path, 5)
    error = taken(snapshot, address)  # no start in between: only the events tell
    assert claim.AHEAD in error.message
    with contextlib.closing(sqlite3.connect(snapshot)) as connection:
        assert forwarding.agents(connection)[-1].since_seq == 1  # the other target has nothing yet
        assert forwarding.read_target(connection, "central").position == 3


def test_a_batch_that_arrived_before_the_kill_is_no_reason(path, address):
    taken(path, address)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        forwarding.begin(connection, "central", forwarding.Pending("events", 0, 5, "t"))
    send(address, agents(path)[0], 1, 2, 3, 4, 5)
    assert taken(path, address) is None
    assert taken(path, address, "second") is None


def test_a_start_that_was_killed_before_it_looked_looks_behind_its_claim(path, address, tmp_path, monkeypatch):
    taken(path, address)
    clone = cloned(path, tmp_path, "clone")
    assert taken(clone, address) is None  # it alone has claimed
    with monkeypatch.context() as patch:
        patch.setattr(AgentClaim, "_conflict", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            taken(path, address)
    error = taken(path, address)
    assert error is not None
    assert agents(path)[-1] != agents(clone)[-1]


def test_what_a_replica_tells_late_is_noticed_between_batches(path, address, tmp_path, monkeypatch):
    clone = cloned(path, tmp_path, "clone")
    clients = [ClickHouseClient(address) for _ in range(2)]
    claims = [AgentClaim(store, "central", client) for store, client in zip((path, clone), clients, strict=True)]
    with monkeypatch.context() as patch:
        patch.setattr(AgentClaim, "_conflict", lambda _: None)  # neither sees the other
        for one in claims:
            assert one.take() is None
    assert claims[0].agent == claims[1].agent
    found = [one.check() for one in claims]
    assert [error is not None for error in found] != [False, False]
    assert claims[0].agent != claims[1].agent
    assert [one.check() for one in claims] == [None, None]
    for client in clients:
        client.close()
