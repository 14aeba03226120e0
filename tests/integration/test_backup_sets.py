"""Sets of store and archives in a directory: what is in one, what becomes of older ones, which one comes back."""

import json
import os
import shutil
import socket

import pytest

from agent.archive import backups, backupsets
from agent.core.errors import StoreError
from tests.integration.archiving import age, archives, configure, run
from tests.integration.harness import append, events
from tests.needs import needs

pytestmark = needs("zstd")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return tmp_path_factory.mktemp("template") / "state"


@pytest.fixture
def box(quick_box, template):
    """A store that knows two archives of logs that were never followed; made once, and moved to where a test works."""
    configure(quick_box)
    append(quick_box.log, events(0, 3))
    if template.exists():
        shutil.copytree(template, quick_box.store.parent)
    else:
        rotate(quick_box, 1, 2)
        shutil.copytree(quick_box.store.parent, template)
    return quick_box


def rotate(box, *numbers):
    for number in numbers:
        path = box.logs / f"app.log.{number}"
        path.write_bytes(events(number * 10, 10))
        age(path, number * 100)
    assert run(box)["archived"] == len(numbers)


def back_up(box, *options, keep=2, code=0):
    done = box.run("backup", str(box.root / "backups"), "--keep", str(keep), "--json", *options)
    assert done.returncode == code, done.stderr.decode()
    return json.loads(done.stdout) if done.stdout else done.stderr.decode()


def sets(box):
    return sorted(path.name for path in (box.root / "backups").iterdir() if path.is_dir())


def names(box):
    return sorted(path.name for path in archives(box))


def test_a_set_is_for_its_owner_alone_and_named_by_its_time(box):
    made = back_up(box)
    folder = box.root / "backups"
    [name] = sets(box)
    assert made["backup"] == str(folder / name)
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    manifest = json.loads((folder / name / "backup.json").read_text())
    assert (manifest["host"], manifest["store"]) == (socket.gethostname(), str(box.store))
    assert sorted(one["name"] for one in manifest["archives"]) == [f"app/{name}" for name in names(box)]


def test_what_is_pruned_is_old_complete_and_ones_own(box):
    """The newest stays, and what a person, another machine or a program that is not known here has put there."""
    folder = box.root / "backups"
    for name in ("sidelog-20200101T000000Z", "sidelog-mine", "sidelog-20200101T000001Z"):
        (folder / name).mkdir(parents=True)
        (folder / name / "note").write_text("kept")
    first = back_up(box, keep=1)
    [own] = [name for name in sets(box) if first["backup"].endswith(name)]
    manifest = json.loads((folder / own / "backup.json").read_text())
    for number, strange in enumerate(({"host": "elsewhere"}, {"version": 99})):
        (folder / f"sidelog-20200101T00000{number}Z" / "backup.json").write_text(json.dumps(manifest | strange))
    second = back_up(box, keep=1)
    assert second["pruned"] == [first["backup"]]
    assert (folder / "sidelog-20200101T000000Z" / "note").exists()
    assert (folder / "sidelog-20200101T000001Z" / "note").exists()
    assert len(sets(box)) == 4
    assert back_up(box, "--no-archives", keep=9)["archives"] == 0
    assert box.run("backup", f"{box.root}/others/", "-q").returncode == 0
    assert [path.is_dir() for path in (box.root / "others").glob("sidelog-*")] == [True]


def test_an_archive_that_cannot_be_saved_is_named_and_nothing_is_pruned_then(box):
    """Where an older set has it whole it is taken from there."""
    back_up(box)
    damaged = archives(box)[0]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:60] + b"\xff" * 8 + content[68:])
    assert back_up(box, keep=1)["missing"] == [], "the older set's is linked"
    for path in (box.root / "backups").glob("sidelog-*"):
        path.rename(path.with_name("moved-" + path.name))
    done = box.run("backup", str(box.root / "backups"), "--keep", "1", "--json")
    assert done.returncode == 1
    assert f"SL803]: the archive {damaged}" in done.stderr.decode()
    said = json.loads(done.stdout)
    assert (said["missing"], said["archives"]) == ([f"app/{damaged.name}"], 1)
    assert back_up(box, keep=1, code=1)["pruned"] == []
    damaged.write_bytes(content)
    assert back_up(box, keep=1)["pruned"] == [], "the ones that are not complete are no complete ones"
    assert len([name for name in sets(box) if name.startswith("sidelog-")]) == 3


def test_what_a_killed_backup_has_left_is_removed_and_two_at_once_are_refused(box):
    left = box.root / "backups" / ".sidelog-20261130T030000Z.partial" / "archive"
    left.mkdir(parents=True)
    kept = box.root / "backups" / ".sidelog-notes.partial"
    kept.mkdir()
    back_up(box)
    assert (left.exists(), kept.exists()) == (False, True)
    with backups._locked(box.root / "backups"):
        assert "error[SL557]" in back_up(box, code=3)


def test_an_archive_that_goes_while_the_others_are_saved_is_not_in_the_set(box, monkeypatch):
    """Retention takes two after they were copied and before the store is, and another one is made."""

    def late(store, destination, progress):
        configure(box, retention={"event_age": "1s"})
        assert run(box)["removed"] == 2
        configure(box)
        rotate(box, 3)
        return copy(store, destination, progress)

    copy = backups.backup.back_up
    monkeypatch.setattr(backups.backup, "back_up", late)
    made = back_up(box)
    assert (made["archives"], made["copied"]) == (1, 3)
    folder = box.root / "backups" / sets(box)[0] / "archive" / "app"
    assert [path.name for path in folder.iterdir()] == names(box)


def test_without_hard_links_archives_are_copied(box, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    back_up(box)
    monkeypatch.setattr(os, "link", refuse)
    assert back_up(box)["copied"] == 2


def test_what_lies_in_the_archives_place_and_is_another_file_is_renamed(box):
    back_up(box)
    first, second = archives(box)
    content = first.read_bytes()
    first.write_bytes(b"not this")
    second.unlink()
    done = box.run("restore", str(box.root / "backups"), "--force", "--json")
    assert json.loads(done.stdout)["archives"] == 2
    assert first.read_bytes() == content
    [aside] = first.parent.glob("*.replaced-*")
    assert aside.read_bytes() == b"not this"
    assert box.run("archive", "verify").returncode == 0


def test_a_damaged_archive_of_a_backup_is_named_and_the_rest_comes_back(box):
    back_up(box)
    first, _ = (box.root / "backups" / sets(box)[0]).glob("archive/app/*")
    first.write_bytes(first.read_bytes()[:-1])
    for path in archives(box):
        path.unlink()
    done = box.run("restore", str(box.root / "backups"), "--force", "--json")
    assert done.returncode == 1
    assert b"SL803" in done.stderr
    assert json.loads(done.stdout)["archives"] == 1
    assert len(archives(box)) == 1
    assert box.run("restore", str(box.root / "backups"), "--force", "--no-archives").returncode == 0


def test_no_backup_that_fits_is_a_sentence(box):
    folder = box.root / "backups"
    folder.mkdir()
    assert b"error[SL558]" in box.run("restore", str(folder)).stderr
    back_up(box)
    assert b"the oldest was made at" in box.run("restore", str(folder), "--at", "1d").stderr
    file = folder / sets(box)[0] / "backup.json"
    said = json.loads(file.read_text())
    for number, host in enumerate(("a", "b")):
        other = folder / f"sidelog-20200101T00000{number}Z"
        other.mkdir()
        (other / "backup.json").write_text(json.dumps(said | {"host": host, "made": number}))
    own = backupsets.choose_backup(folder, box.store, None)
    assert own.said.host == socket.gethostname()
    with pytest.raises(StoreError) as caught:
        backupsets.choose_backup(folder, box.root / "other.db", None)
    assert caught.value.code == "SL558"
    assert "3 stores" in caught.value.message
    assert box.run("restore", str(box.store), "--at", "1d").returncode == 2
    file.write_text("{}")
    assert b"error[SL558]" in box.run("restore", str(file.parent)).stderr
