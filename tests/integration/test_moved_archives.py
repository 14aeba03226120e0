"""Archives that were moved, are missing, or that the store does not know: found, or said with what an answer lacks."""

import json
import shutil

import pytest

from tests.integration.archiving import age, archives, configure, run
from tests.integration.harness import events
from tests.integration.oracle import change_store


@pytest.fixture
def box(quick_box):
    """Three archives of 50 events each, of logs that nobody followed, and one event in the store."""
    configure(quick_box)
    (quick_box.logs / "app.log").write_bytes(events(0, 1))
    for number in (3, 2, 1):
        (quick_box.logs / f"app.log.{number}").write_bytes(events(number * 100, 50))
        age(quick_box.logs / f"app.log.{number}", number)
    run(quick_box)
    quick_box.once()
    return quick_box


def answer(box) -> tuple[int, int, str]:
    """Rows and count of everything, which must agree, and what is said."""
    rows = box.run("query", "-n", "all", "-o", "json")
    count = box.run("query", "--count")
    assert len(rows.stdout.splitlines()) == int(count.stdout)
    assert (rows.returncode, rows.stderr) == (count.returncode, count.stderr)
    return int(count.stdout), rows.returncode, rows.stderr.decode()


def move(box, *, copy: bool = False) -> None:
    """Take the state to another directory, and let the configuration name it."""
    state = box.root / "elsewhere"
    (shutil.copytree if copy else shutil.move)(box.store.parent, state)
    document = json.loads(box.config.read_text())
    box.store = state / "sidelog.db"
    document["store"]["path"] = str(box.store)
    box.config.write_text(json.dumps(document))


def test_state_and_archives_that_were_moved_together_are_found(box):
    before = box.run("query", "-n", "all", "-o", "json").stdout
    move(box)
    assert box.run("query", "-n", "all", "-o", "json").stdout == before
    assert answer(box) == (151, 0, "")
    assert box.run("archive", "verify").returncode == 0
    assert len(box.run("archive", "cat", archives(box)[1].name).stdout.splitlines()) == 50
    listed = json.loads(box.run("archive", "list", "--json").stdout)
    assert [row["path"] for row in listed] == [str(path) for path in archives(box)]
    assert run(box)["failed"] == []
    assert box.sql("SELECT path FROM archives") == [(str(path),) for path in archives(box)]
    assert box.run("archive", "run", "--reindex").returncode == 0
    assert answer(box) == (151, 0, "")


def test_what_works_on_a_copy_leaves_the_original_alone(box):
    original = archives(box)
    move(box, copy=True)
    change_store(box, "UPDATE archives SET created = 1")
    configure(box, retention={"age": "1h"})
    assert run(box)["removed"] == 3
    assert archives(box) == []
    assert all(path.exists() for path in original)


def test_archives_stay_where_they_are_when_another_directory_is_configured(box):
    configure(box, directory=str(box.root / "new"))
    assert answer(box) == (151, 0, "")
    assert run(box)["failed"] == []
    assert answer(box) == (151, 0, "")
    change_store(box, "UPDATE archives SET created = 1")
    configure(box, directory=str(box.root / "new"), retention={"age": "1h"})
    assert run(box)["removed"] == 3
    assert archives(box) == []


def test_an_answer_says_what_it_lacks_of_missing_and_damaged_archives(box):
    first, second, third = archives(box)
    first.unlink()
    second.write_bytes(second.read_bytes()[:100] + b"\0\0\0\0" + second.read_bytes()[104:])
    third.write_bytes(b"")
    rows, code, said = answer(box)
    assert (rows, code) == (1, 1)
    assert said.count("error[SL802]") == 1
    assert said.count("error[SL803]") == 2
    assert said.count("50 events") == 3
    assert "archive run --reindex" in said


def test_an_archive_in_anothers_place_is_not_taken_for_it(box):
    first, second, _ = archives(box)
    first.write_bytes(second.read_bytes())
    rows, code, said = answer(box)
    assert (rows, code) == (101, 1)
    assert said.count("it is not the file that the store knows") == 1


def test_many_missing_archives_are_counted(box):
    for number in range(10):
        (box.logs / f"app.log.{number + 4}").write_bytes(events(number * 1000, 7))
        age(box.logs / f"app.log.{number + 4}", number)
    run(box)
    shutil.rmtree(box.store.parent / "archive" / "app")
    rows, code, said = answer(box)
    assert (rows, code) == (1, 1)
    assert said.count("error[SL802]") == 6
    assert "8 more archives" in said
    assert "archive verify" in said


def test_what_a_restored_store_does_not_know_is_said_with_each_answer(box):
    """A backup that is older than an archive: its log is gone."""
    assert box.run("backup", str(box.root / "backup.db")).returncode == 0
    (box.logs / "app.log.4").write_bytes(events(500, 20))
    age(box.logs / "app.log.4", 5)
    run(box)
    assert box.run("restore", "--force", str(box.root / "backup.db")).returncode == 0
    rows, code, said = answer(box)
    assert (rows, code) == (151, 1)
    assert "error[SL809]" in said
    assert "1 archive" in said
    assert "archive run --reindex" in said
    assert box.run("query", "--hot", "--count").returncode == 0
    assert box.run("archive", "run", "--reindex").returncode == 0
    assert answer(box) == (171, 0, "")


def test_a_store_without_any_archive_says_what_lies_in_the_directory(box):
    for path in box.store.parent.glob("sidelog.db*"):
        path.unlink()
    box.run("run", "--once")
    rows, code, said = answer(box)
    assert (rows, code) == (1, 1)
    assert "3 archives" in said
