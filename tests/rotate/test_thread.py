"""The thread that rotates, and what is done with log files beside the reading."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from agent.config import load
from agent.core.errors import StoreError
from agent.logkeeping import Logkeeping, RotatorThread, clear_interrupted
from agent.store import faults, tables
from agent.store.tables import BegunRotation
from tests.integration.harness import wait_until
from tests.rotate.making import Scene


class Tailer:
    """What the tailer gives of itself."""

    def __init__(self, scene):
        self.scene = scene

    def files(self):
        return list(self.scene.followed)

    def look_soon(self):
        self.scene.look()


@pytest.fixture
def scene(tmp_path):
    """Logs and a store, which another thread may use."""
    scene = Scene(tmp_path, check_same_thread=False)
    yield scene
    scene.close()


def config_of(scene, document=None, **rotate):
    scene.configure(document, **rotate)
    return load(scene.root / "sidelog.yaml")


def rotator_of(scene, **rotate):
    """The thread, not started."""
    config, tailer = config_of(scene, **rotate), Tailer(scene)
    return RotatorThread(
        config, tailer.files, scene.change, scene.report, names_lock=threading.Lock(), changed=tailer.look_soon
    )


def test_the_thread_rotates_what_is_due_and_follows_a_reload(scene):
    scene.write()
    rotator = rotator_of(scene, size="1GiB")
    scene.fault = StoreError("SL412", "write store", "s.db", "no")
    with capture_logs() as logs:
        rotator.start()
        try:
            wait_until(lambda: scene.refused, what="the fault")
            rotator.reload(config_of(scene, size="1B"))
            scene.fault = None
            wait_until(lambda: scene.names() == ["app.log.1"] and scene.looks, what="the rotation")
            wait_until(lambda: logs, what="the line")
        finally:
            rotator.end()
            rotator.join()
    assert logs == [
        {
            "event": "rotated",
            "log_level": "info",
            "path": str(scene.log),
            "to": f"{scene.log}.1",
            "bytes": 500,
            "why": "it has 500 B, the bound is 1 B",
        }
    ]


def test_a_fault_of_its_own_is_said_and_the_next_round_rotates(scene):
    scene.write()
    rotator = rotator_of(scene, size="1B")
    scene.fault = RuntimeError("unforeseen")
    rotator.start()
    try:
        wait_until(lambda: scene.reported, what="the condition")
        scene.fault = None
        wait_until(lambda: ("SL825", "rotation", False) in scene.reported, what="its end")
    finally:
        rotator.end()
        rotator.join()
    assert set(scene.reported) == {("SL825", "rotation", True), ("SL825", "rotation", False)}
    assert scene.names() == ["app.log.1"]


@pytest.mark.parametrize("late", [False, True])
def test_rotation_begins_with_the_configuration_that_wants_it(scene, late):
    scene.write()
    wanted = config_of(scene, size="1B")
    keeping = Logkeeping(config_of(scene) if late else wanted, Tailer(scene), scene.change, scene.report, {})
    keeping.start()
    try:
        if late:
            keeping.reload(wanted)
        wait_until(lambda: scene.names() == ["app.log.1"], what="the rotation")
        keeping.reload(config_of(scene))
    finally:
        keeping.stop()
    assert scene.reported == []


def test_without_rotation_nothing_is_loaded_or_rotated(scene):
    scene.write()
    keeping = Logkeeping(config_of(scene), Tailer(scene), scene.change, scene.report, {})
    keeping.start()
    keeping.stop()
    assert scene.names() == ["app.log"]


def test_what_an_interrupted_copytruncate_has_left_is_cleared_before_anything_is_read(scene):
    status = scene.write().stat()
    copy = scene.logs / "app.log.1"
    copy.write_bytes(scene.log.read_bytes())
    renamed = BegunRotation("/gone.log", "app", 1, 1)
    note = BegunRotation(str(scene.log), "app", status.st_dev, status.st_ino, copy.stat().st_ino)
    clear_interrupted(scene.change)
    with faults.changing(scene.connection):
        tables.begin_rotations(scene.connection, [note, renamed])
    clear_interrupted(scene.change)
    assert scene.names() == ["app.log"]
    assert tables.begun_rotations(scene.connection) == [renamed], "its application is still to be told"
