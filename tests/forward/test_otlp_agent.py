"""An agent that exports to an OTLP receiver: everything arrives at least once, whatever the receiver does meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.forward.otlp_receivers import Answer, Receiver, Rotel, partial
from tests.needs import needs

ROOT = Path(__file__).parents[2]
LINES = 300


class Box:
    """A folder with a log, a configuration that exports it, and the command."""

    def __init__(self, folder, url):
        self.folder = folder
        self.log = folder / "app.log"
        target = {"name": "otel", "otlp": url, "batch": {"events": 50, "interval": "50ms"}}
        document = {
            "store": {"path": str(folder / "s.db")},
            "sources": [{"name": "shop", "include": [str(self.log)]}],
            "forward": [target],
        }
        (folder / "sidelog.json").write_text(json.dumps(document))
        self.write(0, LINES)

    def write(self, first, last):
        with self.log.open("a") as log:
            for number in range(first, last):
                line = {"ts": "2026-11-22T03:04:05.678Z", "level": "error", "msg": f"m {number}", "n": {"o": number}}
                log.write(json.dumps(line) + "\n")

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "agent", *words, "-c", str(self.folder / "sidelog.json")],
            cwd=ROOT,
            env=os.environ | {"TZ": "UTC", "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words):
        with self.start(*words) as one:
            out, error = one.communicate(timeout=90)
        return one.returncode, out, error

    def status(self):
        return json.loads(self.run("forward", "status", "--json")[1])[0]


def bodies(records):
    return Counter(record.body.string_value for record in records)


WHOLE = Counter(f"m {number}" for number in range(LINES))


@pytest.fixture
def receiver():
    with Receiver() as one:
        yield one


def test_a_run_exports_all_that_it_has_stored(tmp_path, receiver):
    box = Box(tmp_path, receiver.url)
    code, _, error = box.run("run", "--once")
    assert code == 0, error
    assert bodies(receiver.records()) == WHOLE
    status = box.status()
    assert (status["forwarded"], status["lag_events"], status["rejected"]) == (LINES, 0, 0)
    assert status["promise"] == "at least once"
    assert f"{LINES} forwarded at least once" in box.run("forward", "status")[1]
    code, _, _ = box.run("run", "--once")
    assert bodies(receiver.records()) == WHOLE, "nothing twice"


def test_what_a_receiver_wants_later_comes_later(tmp_path, receiver):
    receiver.answers += [
        Answer(503, b"", (("Retry-After", "1"),)),
        Answer(429),
        Answer(500, b"out of order"),
        Answer(200),
        Answer(502),
    ]
    box = Box(tmp_path, receiver.url)
    code, _, error = box.run("run", "--once")
    assert code == 0, error
    assert bodies(receiver.records()) == WHOLE
    assert "SL662" in error


def test_what_a_receiver_rejects_is_counted_and_said(tmp_path, receiver):
    receiver.answers.append(partial(3, "too old"))
    box = Box(tmp_path, receiver.url)
    _, _, error = box.run("run", "--once")
    assert "has rejected 3 of 50 events: too old" in error
    status = box.status()
    assert (status["forwarded"], status["rejected"], status["lag_events"]) == (LINES, 3, 0)
    assert "3 rejected" in box.run("forward", "status")[1]


def test_kills_of_the_agent_lose_nothing(tmp_path, receiver):
    receiver.decide = lambda _: time.sleep(0.05)
    box = Box(tmp_path, receiver.url)
    for number in range(4):
        with box.start("run") as one:
            receiver.wait_for(40 * (number + 1))
            one.kill()
            one.communicate()
    code, _, error = box.run("run", "--once")
    assert code == 0, error
    found = receiver.records()
    assert set(bodies(found)) == set(WHOLE)
    uids = {pair.value.string_value for record in found for pair in record.attributes if pair.key == "log.record.uid"}
    assert len(uids) == LINES, "one that came twice can be told by its uid"


@needs("rotel")
def test_a_collector_that_goes_and_comes_is_sent_the_rest(tmp_path, receiver):
    with Rotel(tmp_path / "rotel", receiver.url) as rotel:
        box = Box(tmp_path, rotel.url)
        with box.start("run") as agent:
            receiver.wait_for(LINES)
            rotel.stop()
            box.write(LINES, LINES + 100)
            time.sleep(1)
            rotel.start()
            receiver.wait_for(LINES + 100)
            agent.terminate()
            agent.communicate(timeout=30)
    assert set(bodies(receiver.records())) == {f"m {number}" for number in range(LINES + 100)}
