"""Logs that get other names while they are archived: each becomes one archive, and is deleted under its last name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.archive.archiver import Archiver
from agent.config import ArchiveConfig, Config, SourceConfig
from agent.store import archives, tables
from agent.tail import locate
from tests.needs import limited
from tests.rotate.making import Scene


@pytest.fixture
def scene(tmp_path):
    """A log, and two that were rotated from it."""
    scene = Scene(tmp_path)
    scene.write()
    for number in (1, 2):
        scene.write(f"app.log.{number}", b"%d\n" % number * 1000, state="rotated", path=str(scene.log))
        os.utime(scene.logs / f"app.log.{number}", (10**9 - number, 10**9 - number))
    yield scene
    scene.close()


def shift(scene):
    """What a rotation does to the numbers."""
    names = sorted((path.name for path in scene.logs.glob("app.log.*")), reverse=True)
    for name in names:
        number = int(name.rsplit(".", 1)[1])
        (scene.logs / name).rename(scene.logs / f"app.log.{number + 1}")


def test_logs_that_get_other_numbers_meanwhile_are_archived_once_and_deleted(scene, monkeypatch):
    archive = ArchiveConfig(directory=scene.root / "archive", quiet=0.0)
    config = Config(sources=[SourceConfig(name="app", include=[str(scene.log)])], archive=archive)
    archiver = Archiver(config, scene.change, scene.report)
    make = archiver._make
    monkeypatch.setattr(archiver, "_make", lambda *order: (make(*order), shift(scene))[0])
    summary = archiver.round()
    assert (summary.archived, summary.deleted, summary.waiting) == (2, 2, 0)
    assert scene.names() == ["app.log"]
    rows = archives.load(scene.connection)
    assert [row.raw_bytes for row in rows] == [2000, 2000]
    assert sorted(Path(row.log_path).name for row in rows) == ["app.log", "app.log"]
    assert (archiver.round().archived, scene.reported) == (0, [])


def test_a_log_that_is_archived_and_kept_is_not_forgotten_under_another_number(scene, monkeypatch):
    archive = ArchiveConfig(directory=scene.root / "archive", quiet=0.0)
    config = Config(sources=[SourceConfig(name="app", include=[str(scene.log)])], archive=archive)
    archiver = Archiver(config, scene.change, scene.report)
    with (scene.logs / "app.log.1").open("ab"):
        if archiver.round().archived != 1:
            limited("leases")
    shift(scene)
    assert archiver.round().deleted == 1
    assert [row.raw_bytes for row in archives.load(scene.connection)] == [2000, 2000]


def test_a_log_that_vanishes_before_its_turn_is_left(scene, monkeypatch):
    archive = ArchiveConfig(directory=scene.root / "archive", quiet=0.0)
    config = Config(sources=[SourceConfig(name="app", include=[str(scene.log)])], archive=archive)
    archiver = Archiver(config, scene.change, scene.report)
    plan = archiver.plan()
    (scene.logs / "app.log.2").unlink()
    monkeypatch.setattr(archiver, "plan", lambda: plan)
    summary = archiver.round()
    assert summary.archived == 1
    assert scene.names() == ["app.log"]


def test_logs_that_get_other_numbers_while_they_are_looked_at_are_known_all_the_same(scene, monkeypatch):
    """What lies under a name when it is opened may be another log than the one that was listed."""
    archive = ArchiveConfig(directory=scene.root / "archive", quiet=0.0)
    config = Config(sources=[SourceConfig(name="app", include=[str(scene.log)])], archive=archive)
    archiver = Archiver(config, scene.change, scene.report)
    list_files = locate.regular_files
    monkeypatch.setattr(locate, "regular_files", lambda folder: (list_files(folder), shift(scene))[0])
    assert (archiver.round().archived, archives.load(scene.connection)) == (0, [])
    monkeypatch.undo()
    assert archiver.round().archived == 2
    followed = {row.id for row in tables.load_files(scene.connection) if row.state == "rotated"}
    assert {row.file_id for row in archives.load(scene.connection)} == followed
