"""What a killed worker or archiver has left is removed, and nothing else is."""

import os

import pytest
from msgspec.structs import replace

from agent.archive import files, worker
from agent.archive.archiver import Archiver
from agent.archive.container import ArchiveReader
from agent.archive.process import WorkerProcess
from agent.core.errors import ArchiveError
from agent.store import archives, begun, tables
from agent.store.opening import open_store
from tests.archive.test_archiver import Setting


@pytest.fixture
def setting(tmp_path):
    opened = open_store(tmp_path / "s.db", min_free_bytes=0)
    yield Setting(tmp_path, opened)
    opened.close()


def known(setting: Setting) -> list[str]:
    return sorted(row.path for row in archives.load(setting.opened.writer.connection))


def there(setting: Setting) -> list[str]:
    return sorted(map(str, setting.archives()))


@pytest.fixture
def killed(setting, monkeypatch) -> Setting:
    """Two rotated logs; the process that made an archive of each died right behind its naming."""
    for number in (1, 2):
        os.utime(setting.rotated(f"app.log.{number}", b"line %d\n" % number), (number, number))

    def run(self, order):
        assert isinstance(worker.archive(order), worker.ArchiveWritten)
        raise ArchiveError.of("SL806", os.fsdecode(order.job.path), code=-9) from None

    with monkeypatch.context() as patched:
        patched.setattr(WorkerProcess, "run", run)
        assert len(setting.archiver().round().failed) == 2
    return setting


def test_an_archive_of_a_worker_that_died_behind_its_naming_is_made_again(killed):
    assert there(killed) == []
    assert killed.archiver().round().archived == 2
    assert there(killed) == known(killed)


def end_before_storing(self: Archiver, *_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def interrupted(setting, monkeypatch) -> Setting:
    """A archiver ended before it had stored what it had made of app.log.2."""
    setting.rotated("app.log.2")
    with monkeypatch.context() as patched:
        patched.setattr(Archiver, "_store", end_before_storing)
        with pytest.raises(KeyboardInterrupt):
            setting.archiver().round()
    assert len(there(setting)) == 1
    return setting


def test_the_next_archiver_removes_it_whichever_log_comes_first(interrupted):
    os.utime(interrupted.rotated("app.log.3", b"an older line\n"), (1, 1))
    (interrupted.logs / "app.log.2").rename(interrupted.logs / "app.log.4")
    assert interrupted.archiver().round().archived == 2
    assert there(interrupted) == known(interrupted)


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "changed"])
def test_where_the_log_is_not_there_any_more_it_stays(interrupted, gone):
    """As in a store that was restored from a backup: the archive may be all that there is."""
    log = interrupted.logs / "app.log.2"
    left = there(interrupted)
    if gone:
        log.unlink()
    else:
        os.truncate(log, 0)
        log.write_bytes(b"other\n")
    interrupted.archiver().round()
    assert set(left) <= set(there(interrupted))


def test_others_of_the_same_number_stay(interrupted):
    mine = interrupted.archives()[0]
    other = mine.with_name(mine.name.replace("-1.log", "-1-2.log"))
    with ArchiveReader(mine) as archive:
        said = archive.metadata
    other.write_bytes(mine.read_bytes())
    noted = begun.begun(interrupted.opened.writer.connection)
    assert (noted.id, noted.created) == (said.id, said.created)
    files.remove_unfinished(interrupted.root / "archive", replace(noted, created=said.created + 1))
    assert there(interrupted) == sorted(map(str, (mine, other)))
    other.write_bytes(b"no archive")
    files.remove_unfinished(interrupted.root / "archive", noted)
    assert there(interrupted) == [str(other)]


def test_an_archive_that_a_reindex_gave_another_number_is_known(setting):
    setting.config = setting.configure(delete_source=False)
    setting.rotated("app.log.2")
    assert setting.archiver().round().archived == 1
    connection = setting.opened.writer.connection
    noted = tables.get_meta(connection, "archiving")
    connection.execute("UPDATE archives SET id = 7")
    connection.execute("UPDATE archive_logs SET archive_id = 7")
    assert (noted["id"], begun.begun(connection)) == (1, None)
    setting.archiver().round()
    assert there(setting) == known(setting) != []


def test_a_directory_that_cannot_be_cleared_is_named_and_tried_again(interrupted, monkeypatch):
    archiver = interrupted.archiver()
    with monkeypatch.context() as patched:
        patched.setattr(files, "flush_directory", lambda path: (path / "nowhere").stat())
        archiver.round()
    assert ("SL804", "archive", True) in interrupted.reports
    archiver.round()
    assert ("SL804", "archive", False) in interrupted.reports
    assert there(interrupted) == known(interrupted)
