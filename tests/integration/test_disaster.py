"""The disk with store and archives is lost. What comes back from backups, and from the logs that still exist."""

import json
import shutil
import time

import pytest

from tests.integration.archiving import age, archives, configure, content, run
from tests.integration.harness import append, event, events, wait_until
from tests.needs import needs

pytestmark = needs("zstd")


@pytest.fixture
def box(quick_box):
    configure(quick_box)
    return quick_box


def rotated(box, number):
    """The log is rotated away, and archived."""
    path = box.logs / f"app.log.{number}"
    box.log.rename(path)
    age(path)
    box.log.touch()
    assert run(box)["archived"] == 1


def back_up(box, keep=7):
    done = box.run("backup", str(box.root / "backups"), "--json", "--keep", str(keep))
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def found(box):
    return sorted(row["attributes"]["n"] for row in box.query())


def test_store_and_archives_are_lost_and_the_agent_reads_on(box):
    """100 lines are in an archive that the backup has, 100 were stored then; 100 came later, and still lie in the log;
    100 have not been read by anybody yet.
    """
    append(box.log, events(0, 100))
    box.once()
    rotated(box, 1)
    append(box.log, events(100, 100))
    box.once()
    made = back_up(box, keep=2)
    assert (made["archives"], made["copied"]) == (1, 1)
    append(box.log, events(200, 100))
    box.once()
    before = content(box)
    shutil.rmtree(box.store.parent)
    append(box.log, events(300, 100))
    done = box.run("restore", str(box.root / "backups"), "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["archives"] == 1
    box.start()
    box.wait_count(400)
    assert found(box) == list(range(400))
    assert content(box) == before
    append(box.log, event(400))
    box.wait_count(401)
    assert box.stop() == 0
    for check in (["audit"], ["verify"], ["archive", "verify"]):
        assert box.run(*check).returncode == 0
    assert found(box) == list(range(401))


def test_a_backup_of_an_earlier_time_is_chosen_by_it(box):
    """As before somebody's mistake; what the logs still have is read again in any case."""
    append(box.log, events(0, 10))
    box.once()
    first = back_up(box)
    between = time.time_ns()
    append(box.log, events(10, 10))
    box.once()
    last = back_up(box)
    for at, backup in ((None, last), (f"@{between // 10**9}.{between % 10**9:09d}", first)):
        options = ("--at", at) if at else ()
        done = box.run("restore", str(box.root / "backups"), "--force", "--json", *options)
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["backup"] == backup["backup"]
    assert box.count() == 10
    box.once()
    assert found(box) == list(range(20))


def test_a_point_in_time_comes_of_a_backup_and_lines_of_archives_and_logs_since(box):
    """10 lines are in the backup, 10 in an archive that it does not know, 10 were stored since, 10 were never read; and
    a group that was resolved since is open again.
    """
    append(box.log, events(0, 10, level="error", exc_type="KeyError"))
    box.once()
    backup = back_up(box)
    moment = time.time_ns()
    append(box.log, events(10, 10))
    box.once()
    assert box.run("errors", "resolve", "1").returncode == 0
    rotated(box, 1)
    append(box.log, events(20, 10))
    box.once()
    assert b", 1 archive (1 new, " in box.run("backup", str(box.root / "backups"), "--keep", "7").stderr
    append(box.log, events(30, 10))
    at = f"@{moment // 10**9}.{moment % 10**9:09d}"
    done = box.run("restore", str(box.root / "backups"), "--force", "--json", "--at", at)
    assert json.loads(done.stdout)["backup"] == backup["backup"]
    assert box.run("archive", "run", "--reindex").returncode == 0
    box.start()
    wait_until(lambda: found(box) == list(range(40)), what="all lines, once each")
    assert box.stop() == 0
    [group] = json.loads(box.run("errors", "--json").stdout)
    assert group["state"] == "new"
    for check in (["audit"], ["verify"], ["archive", "verify"]):
        assert box.run(*check).returncode == 0, check


def test_archives_are_copied_once_and_an_older_backup_outlives_retention(box):
    """The second backup links what the first has copied; each is complete by itself."""
    for number in range(2):
        append(box.log, events(number * 10, 10))
        box.once()
        rotated(box, number + 1)
        made = back_up(box, keep=2)
        assert (made["archives"], made["copied"], made["pruned"]) == (number + 1, 1, [])
    first, second = sorted((box.root / "backups").glob("sidelog-*"))
    [old] = first.glob("archive/app/*.zst")
    assert (second / "archive/app" / old.name).stat().st_ino == old.stat().st_ino
    assert archives(box)[0].stat().st_ino != old.stat().st_ino
    third = back_up(box, keep=2)
    assert third["pruned"] == [str(first)]
    assert (second / "archive/app" / old.name).read_bytes() == archives(box)[0].read_bytes()
