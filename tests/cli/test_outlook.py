"""`archive run --dry-run` says what would be done to each file, and does nothing; then the same is done."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.core.text import from_text
from agent.store import archives
from tests.integration.archiving import age
from tests.rotate.making import Scene


@pytest.fixture
def scene(tmp_path):
    """Logs and a store that knows them."""
    scene = Scene(tmp_path)
    yield scene
    scene.close()


@pytest.fixture
def outlook(sidelog):
    """What each file is told to become, by its name."""

    def ask():
        said = sidelog("archive", "run", "--dry-run", "--json")
        assert said.code == 0, said.err
        return {Path(row["path"]).name: (row["action"], row["why"]) for row in json.loads(said.out)}

    return ask


def everything(scene):
    """All log files with inode, size and last change."""
    found = {path.name: path.stat() for path in scene.logs.iterdir()}
    return {name: (status.st_ino, status.st_size, status.st_mtime_ns) for name, status in found.items()}


def test_each_file_is_named_with_what_would_become_of_it_and_why(scene, outlook, sidelog):
    scene.configure(size="200B", keep=1)
    scene.write()
    scene.write("small.log", b"x\n")
    for number in (1, 2, 3):
        (scene.logs / f"app.log.{number}").write_bytes(b"%d\n" % number)
        age(scene.logs / f"app.log.{number}")
    (scene.logs / "app.log.4").write_bytes(b"")
    before = everything(scene)
    beyond = f"it is beyond `keep` of {scene.log}"
    never = f"{beyond}, but it was never followed, so that it is not stored"
    assert outlook() == {
        "app.log": ("rotate", "it has 500 B, the bound is 200 B"),
        "small.log": ("leave", "not due: 2 B of 200 B"),
        "app.log.4": ("delete", beyond),
        "app.log.3": ("leave", never),
        "app.log.2": ("leave", never),
    }
    said = sidelog("archive", "run", "--dry-run")
    assert said.out.splitlines()[0] == f"rotate  {scene.log}  it has 500 B, the bound is 200 B"
    assert everything(scene) == before
    said = sidelog("archive", "run", "--json")
    assert said.code == 1
    assert "error[SL823]" in said.err
    assert json.loads(said.out)["rotated"] == 1
    assert json.loads(said.out)["failed"] == [str(scene.log)]
    assert scene.names() == ["app.log.1", "app.log.2", "app.log.3", "app.log.4", "small.log"]


def test_what_is_due_and_hindered_is_told_why(scene, outlook):
    """What the agent would report as SL820 to SL822."""
    scene.configure(size="200B", signal={"pidfile": str(scene.root / "none.pid")})
    scene.write()
    scene.write("small.log", b"x\n")
    action, why = outlook()["app.log"]
    assert (action, why.startswith("it has 500 B, the bound is 200 B, but the logs of app cannot be")) == (
        "leave",
        True,
    )
    assert why.endswith("none.pid cannot be read: No such file or directory")
    assert outlook()["small.log"] == ("leave", "not due: 2 B of 200 B")
    scene.configure(size="200B", method="copytruncate")
    assert outlook()["app.log"][0] == "rotate"
    os.link(scene.log, scene.root / "other")
    assert outlook()["app.log"][1].endswith("but it has several names")
    (scene.root / "other").unlink()
    scene.log.rename(scene.logs / "real")
    scene.log.symlink_to("real")
    assert outlook()["app.log"][1].endswith("app.log cannot be rotated: it is no regular file")
    scene.write("unread.log", offset=0)
    assert outlook()["unread.log"][1].endswith("but nothing of it was read yet")


@pytest.mark.parametrize("change", [{"include": ["/elsewhere/*.log"]}, {"exclude": ["app.*"]}])
def test_a_log_that_the_source_does_not_match_any_more_is_left_alone(scene, outlook, sidelog, change):
    """The store knows it still; its patterns may have been changed so that something else rotates it."""
    scene.configure(size="200B", keep=0)
    scene.write()
    (scene.logs / "app.log.1").write_bytes(b"")
    document = json.loads((scene.root / "sidelog.yaml").read_text())
    document["sources"][0] |= change
    (scene.root / "sidelog.yaml").write_text(json.dumps(document))
    assert outlook() == {}
    said = sidelog("archive", "run", "--json")
    assert (said.code, json.loads(said.out)["rotated"]) == (0, 0)
    assert scene.names() == ["app.log", "app.log.1"]


def test_names_that_are_not_utf8_are_told(scene, sidelog):
    name = os.fsdecode(b"caf\xe9.log")
    scene.configure(size="200B", method="copytruncate")
    path = scene.write(name)
    [row] = json.loads(sidelog("archive", "run", "--dry-run", "--json").out)
    assert (row["action"], from_text(row["path"])) == ("rotate", str(path))
    os.link(path, scene.root / "other")
    said = sidelog("archive", "run", "--json")
    assert said.code == 1
    assert [from_text(failed) for failed in json.loads(said.out)["failed"]] == [str(path)]


def test_what_is_archived_deleted_and_removed_is_told_too(scene, outlook, sidelog):
    scene.configure({"archive": {"quiet": "1h", "retention": {"age": "1h"}}}, every="1h", keep=0)
    scene.write()
    for name, data in (("app.log.1", b"1\n"), ("app.log.2", b"2\n"), ("app.log.3.gz", b"\x1f\x8b damaged")):
        (scene.logs / name).write_bytes(data)
    for name in ("app.log.1", "app.log.3.gz"):
        age(scene.logs / name, 7200)
    found = outlook()
    assert found["app.log"] == ("leave", "not due: 0s of 1h")
    assert found["app.log.1"] == ("archive", "it was never followed, and it has not changed for 2h")
    assert found["app.log.2"][0] == "leave"
    assert "quiet is 1h" in found["app.log.2"][1]
    assert found["app.log.3.gz"][0] == "leave"
    assert "cannot be archived" in found["app.log.3.gz"][1]
    status = (scene.logs / "app.log.1").stat()
    log = archives.ArchivedLog(archives.FileVersion.of(status), 1, str(scene.logs / "app.log.1"))
    archives.remember_log(scene.connection, log)
    scene.connection.execute(
        "INSERT INTO archives (id, source, path, bytes, raw_bytes, lines, created)"
        " VALUES (1, 'app', '/a.zst', 70000, 90000, 1, 1)"
    )
    found = outlook()
    assert found["app.log.1"] == ("delete", "it is archived")
    assert found["a.zst"] == ("remove", "it is older than 1h")
    scene.configure({"archive": {"quiet": "1h", "delete_source": False, "retention": {"age": None, "size": "64KiB"}}})
    found = outlook()
    assert found["app.log.1"] == ("leave", "it is archived")
    assert found["a.zst"] == ("remove", "all archives have 68.4 KiB, more than 64 KiB")
    assert "app.log" not in found


def test_archives_and_rotation_are_made_together(scene, sidelog):
    scene.configure({"archive": {"quiet": "0s", "directory": str(scene.root / "archive")}}, size="1B")
    scene.write()
    said = sidelog("archive", "run")
    assert said.code == 0, said.err
    assert said.err.startswith("1 log archived"), "what was just rotated is quiet at once here"
    assert "1 log rotated; 1 log deleted" in said.err
    assert scene.names() == []


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_without_anything_to_do_the_configuration_is_named(scene, sidelog, arguments):
    scene.configure()
    said = sidelog("archive", "run", *arguments)
    assert said.code == 78
    assert "error[SL801]" in said.err


def test_nothing_due_is_said(scene, sidelog):
    scene.configure({"archive": {}})
    scene.write()
    said = sidelog("archive", "run", "--dry-run")
    assert (said.code, said.out, said.err) == (0, "", "nothing is due\n")
    assert sidelog("archive", "run", "--dry-run", "--reindex").code == 2
