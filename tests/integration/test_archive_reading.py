"""`archive verify`, `cat`, `restore` and `run --reindex`."""

import json
import stat

import pytest

from tests.integration.archiving import age, archives, configure, run
from tests.integration.harness import events


@pytest.fixture
def box(quick_box):
    """Three archives of never followed logs."""
    configure(quick_box)
    (quick_box.logs / "app.log").write_bytes(events(0, 1))
    for number in (3, 2, 1):
        (quick_box.logs / f"app.log.{number}").write_bytes(events(number * 100, 50))
        age(quick_box.logs / f"app.log.{number}", number)
    run(quick_box)
    return quick_box


def findings(box) -> list[tuple[str, str]]:
    done = box.run("archive", "verify", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == (1 if document["findings"] else 0)
    return [(finding["code"], finding["path"].rpartition("-")[2]) for finding in document["findings"]]


def flip(path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_whole_archives_are_whole(box):
    assert findings(box) == []
    assert b"3 archives are whole" in box.run("archive", "verify").stderr


def test_a_damaged_archive_is_named(box):
    flip(archives(box)[1], 100)
    assert findings(box) == [("SL803", "2.log.zst")]
    said = box.run("archive", "verify")
    assert said.returncode == 1
    assert str(archives(box)[1]).encode() in said.stderr


def test_a_missing_archive_is_named(box):
    archives(box)[0].unlink()
    assert findings(box) == [("SL802", "1.log.zst")]


def test_an_archive_taken_out_with_its_row_breaks_the_chain(box):
    from tests.integration.oracle import change_store

    archives(box)[1].unlink()
    change_store(box, "DELETE FROM archives WHERE id = 2")
    assert findings(box) == [("SL809", "3.log.zst")]


def test_a_replaced_archive_and_a_foreign_file_are_noticed(box):
    first, second, third = archives(box)
    first.write_bytes(second.read_bytes())
    (third.parent / "foreign-9.log.zst").write_bytes(b"")
    assert findings(box) == [("SL803", "1.log.zst"), ("SL809", "9.log.zst")]


def test_the_newest_archive_cannot_vanish_unnoticed_either(box):
    from tests.integration.oracle import change_store

    archives(box)[2].unlink()
    change_store(box, "DELETE FROM archives WHERE id = 3")
    assert [code for code, _ in findings(box)] == ["SL809"]


def test_cat_and_restore_give_every_byte(box, tmp_path):
    first = archives(box)[0]
    data = box.run("archive", "cat", first.name).stdout
    assert data == events_of(box, 300)
    target = tmp_path / "back.log"
    assert box.run("archive", "restore", str(first), str(target)).returncode == 0
    assert target.read_bytes() == data
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    again = box.run("archive", "restore", str(first), str(target))
    assert again.returncode == 1
    assert b"error[SL810]" in again.stderr
    assert box.run("archive", "restore", str(first), str(tmp_path)).returncode == 0
    assert (tmp_path / "app.log").read_bytes() == data


def events_of(box, start: int) -> bytes:
    rows = [json.loads(line) for line in box.run("archive", "cat", archives(box)[0].name).stdout.splitlines()]
    assert [row["n"] for row in rows] == list(range(start, start + 50))
    return box.run("archive", "cat", str(archives(box)[0])).stdout


def test_nothing_is_left_of_a_restore_that_fails(box, tmp_path):
    flip(archives(box)[0], 100)
    done = box.run("archive", "restore", str(archives(box)[0]), str(tmp_path / "back.log"))
    assert done.returncode == 1
    assert not (tmp_path / "back.log").exists()


def test_a_name_must_name_one(box):
    for name in ("nothing", "app-"):
        done = box.run("archive", "cat", name)
        assert done.returncode == 2
        assert b"error[SL808]" in done.stderr


def index(box) -> list:
    return [
        box.sql("SELECT * FROM archives"),
        box.sql("SELECT * FROM archive_frames"),
        box.sql("SELECT * FROM archive_filters"),
        box.sql("SELECT * FROM archive_chains"),
    ]


def test_the_index_is_made_again_from_the_files_alone(box):
    before = index(box)
    for path in box.store.parent.glob("sidelog.db*"):
        path.unlink()
    done = box.run("archive", "run", "--reindex", "--json")
    assert json.loads(done.stdout) == {"indexed": 3, "findings": []}
    assert index(box) == before
    assert findings(box) == []


def test_archives_that_a_store_does_not_know_are_said_until_they_are_indexed(box):
    """A store that was begun anew, by hand or in place of a damaged one."""
    for path in box.store.parent.glob("sidelog.db*"):
        path.unlink()
    box.once()
    [said] = box.status()["errors"]
    assert (said["code"], said["active"]) == ("SL809", True)
    assert "3 archives" in said["message"]
    assert "archive run --reindex" in said["hint"]
    done = box.run("archive", "run")
    assert (done.returncode, b"error[SL809]" in done.stderr) == (0, True), "it is none of its work"
    assert box.run("archive", "run", "--reindex").returncode == 0
    box.once()
    assert [row["active"] for row in box.status()["errors"]] == [False]
    assert box.run("archive", "run").stderr.count(b"SL809") == 0


def test_a_damaged_archive_keeps_its_row_when_the_others_are_indexed(box):
    flip(archives(box)[1], 100)
    done = box.run("archive", "run", "--reindex")
    assert done.returncode == 1
    assert b"error[SL803]" in done.stderr
    assert len(box.sql("SELECT id FROM archives")) == 3


def test_an_index_made_again_knows_its_own_generations_and_no_others(box):
    """A store begun anew gives other files the same numbers."""
    box.once()
    box.log.rename(box.logs / "app.log.1")
    (box.logs / "app.log").write_bytes(events(900, 2))
    run(box)
    assert box.sql("SELECT file_id FROM archives WHERE file_id IS NOT NULL") == [(1,)]
    assert box.run("archive", "run", "--reindex").returncode == 0
    assert box.sql("SELECT file_id FROM archives WHERE file_id IS NOT NULL") == [(1,)]
    for path in box.store.parent.glob("sidelog.db*"):
        path.unlink()
    box.once()
    assert box.run("archive", "run", "--reindex").returncode == 0
    assert box.sql("SELECT file_id FROM archives WHERE file_id IS NOT NULL") == []
