"""No attribute is written by two threads: a real agent runs while every assignment in the project is watched."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import pkgutil
import signal
import sqlite3
import sys
import threading

import pytest

import agent
from agent.config import (
    Config,
    HookConfig,
    RotateConfig,
    RuleConfig,
    SourceConfig,
    StoreConfig,
    WhenConfig,
)
from agent.core.conditions import Reporter
from agent.core.model import FileChange, FileGeneration, FileRow, OwnError, Position
from agent.daemon import Agent
from agent.intake import IngestSettings, Intake
from agent.rotate.rotator import Rotator
from agent.tail.watch import Watcher
from tests.integration.harness import append, events, wait_until

# Each of them is a passage between threads: a lock guards what they all write.
PASSAGES = (Intake, Watcher, Reporter, OwnError)
HELPERS = ("tail", "asyncio", "ThreadPoolExecutor")  # threads that do what the event loop waits for


def side(thread):
    """Whose work a thread does."""
    if thread is threading.main_thread() or thread.name.startswith(HELPERS):
        return "event loop"
    return thread.name


OF_THREADS = frozenset(vars(threading.Thread()))  # the library's own, which it also writes where it joins one


class Watch:
    """Notes who writes which attribute of which object, from the end of its construction on."""

    def __init__(self):
        self.writes = {}
        self.faults = set()
        self._making = threading.local()

    def made(self, constructed):
        """A constructor that is noted: what it writes in its object, or in those that it makes, is no fault."""

        def construct(instance, *args, **kwargs):
            making = self._making.__dict__.setdefault("instances", [])
            outermost = not making
            making.append(instance)
            try:
                constructed(instance, *args, **kwargs)
            finally:
                if outermost:
                    making.clear()

        return construct

    def written(self, assign):
        def write(instance, name, value):
            assign(instance, name, value)
            made = self._making.__dict__.get("instances", ())
            if isinstance(instance, threading.Thread) and name in OF_THREADS:
                return
            if isinstance(instance, PASSAGES) or any(instance is one for one in made):
                return
            thread = threading.current_thread()
            _, before = self.writes.setdefault((id(instance), name), (instance, thread))
            if side(before) == side(thread):
                return
            if before.is_alive():
                self.faults.add(f"{type(instance).__name__}.{name}: {side(before)} and {side(thread)}")
            else:  # a thread that has ended leaves what it had to others
                self.writes[id(instance), name] = (instance, thread)

        return write


@pytest.fixture
def watch(monkeypatch):
    watched = Watch()
    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    modules = [module for name, module in sys.modules.items() if name.startswith("agent.")]
    for cls in {one for module in modules for one in vars(module).values() if isinstance(one, type)}:
        if cls.__module__.startswith("agent.") and not issubclass(cls, (tuple, BaseException)):
            monkeypatch.setattr(cls, "__setattr__", watched.written(cls.__setattr__))
            if "__init__" in vars(cls) and hasattr(cls.__init__, "__code__"):
                monkeypatch.setattr(cls, "__init__", watched.made(cls.__init__))
    yield watched
    gc.unfreeze()  # the agent has frozen what was there


class Scene(threading.Thread):
    """Somebody who writes and rotates logs, and reloads the agent that runs in the main thread; then stops it."""

    def __init__(self, root):
        super().__init__(name="application", daemon=True)
        self.logs, self.store = root / "logs", root / "s.db"
        self.logs.mkdir()
        self.generation = 0
        self.written = 0
        self.failure = None

    def config(self):
        names = ["app", "other"] if self.generation else ["app"]
        return Config(
            store=StoreConfig(path=self.store, flush_interval=0.02 * (1 + self.generation)),
            sources=[
                SourceConfig(name=name, include=[str(self.logs / f"{name}*.log")], labels={"n": str(self.generation)})
                for name in names
            ]
            + [
                SourceConfig(
                    name="own",
                    include=[str(self.logs / "own.txt")],
                    rotate=RotateConfig(size=4_000, method="copytruncate"),
                )
            ],
            hooks={"page": HookConfig(exec=["/bin/true"])},
            alerts=[
                RuleConfig(name="errors", match="severity>=error", when=WhenConfig(count=1), hooks=["page"]),
                RuleConfig(name="fresh", when=WhenConfig(new_group=True), hooks=["page"]),
            ],
        )

    def reloaded(self):
        self.generation += 1
        return self.config()

    def run(self):
        try:
            self.live()
        except BaseException as error:  # noqa: BLE001 - the main thread tells it
            self.failure = error
        os.kill(os.getpid(), signal.SIGTERM)

    def live(self):
        log = self.logs / "app.log"
        self.write(log, 300)
        self.write(log, 20, level="error", message="it broke")
        log.rename(self.logs / "app.log.1")
        self.write(log, 100)
        (self.logs / "app.log.2").write_bytes(log.read_bytes())
        os.truncate(log, 0)
        self.write(log, 50)
        self.write(self.logs / "own.txt", 60)
        wait_until((self.logs / "own.txt.1").exists)
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: self.generation)
        self.write(self.logs / "other.log", 100, level="error", message="that too")
        self.write(log, 100)
        (self.logs / "other.log").unlink()
        self.write(self.logs / "app2.log", 10)

    def write(self, path, count, **fields):
        """Append lines, and wait until they are stored."""
        append(path, events(self.written, count, **fields))
        self.written += count
        wait_until(lambda: self.stored() == self.written, what=f"storing {self.written} events")

    def stored(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM events").fetchone()[0]


def test_no_attribute_is_written_by_two_threads(tmp_path, watch):
    scene = Scene(tmp_path)

    async def scenario():
        running = Agent(scene.config(), load_config=scene.reloaded)
        asyncio.get_running_loop().call_later(0.2, scene.start)
        return await running.run()

    summary = asyncio.run(scenario())
    if scene.failure is not None:
        raise scene.failure
    assert summary.counters.events == scene.written
    sides = {side(thread) for _, thread in watch.writes.values()}
    assert {"event loop", "sidelog-writer", "sidelog-rotation"} <= sides, "it watches all of them"
    assert not watch.faults


def test_an_attribute_that_two_threads_write_is_found(watch):
    rotator = Rotator.__new__(Rotator)
    rotator.size = 1
    waiting = threading.Event()

    def write():
        rotator.size = 2
        waiting.wait(10)

    other = threading.Thread(target=write, name="other")
    other.start()
    wait_until(lambda: watch.faults)
    waiting.set()
    other.join()
    assert watch.faults == {"Rotator.size: event loop and other"}


@pytest.mark.parametrize("message", [FileGeneration, Position, FileRow, FileChange, IngestSettings])
def test_what_goes_from_one_thread_to_another_cannot_be_changed(message):
    assert message.__struct_config__.frozen
