"""Restarting at the stored place, whatever happened to the files in between."""

import os
import shutil
import time

import pytest
from following import Following, append, asynchronous, joined, numbered

from agent.tail import locate
from agent.tail.discover import Discovery


async def read_first(log, count=20, pattern=None):
    """A first run that stores `count` lines; what its store knows."""
    log.write_bytes(joined(numbered(0, count)))
    tail = await Following(pattern or log, once=True).run_once()
    assert tail.lines == numbered(0, count)
    return tail.stored()


@asynchronous
async def test_untouched_file_is_not_read_again(tmp_path):
    known = await read_first(tmp_path / "app.log")
    tail = await Following(tmp_path / "app.log", known=known, once=True).run_once()
    assert tail.generations == []
    assert [file.id for file in tail.tailer.files()] == [1]


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("times", [1, 3])
@asynchronous
async def test_renamed_while_down_finishes_the_old_file_and_reads_the_new_one(tmp_path, pattern, times):
    log = tmp_path / "app.log"
    known = await read_first(log)
    append(log, joined(numbered(20, 5)))
    log.rename(tmp_path / f"app.log.{times}")
    log.write_bytes(joined(numbered(50, 5)))
    tail = await Following(tmp_path / pattern, known=known, once=True).run_once()
    assert tail.generations == [joined(numbered(20, 5)), joined(numbered(50, 5))]
    assert tail.rows[1].state == "rotated"


@asynchronous
async def test_copied_and_truncated_while_down_reads_the_rest_from_the_copy(tmp_path):
    log = tmp_path / "app.log"
    known = await read_first(log)
    append(log, joined(numbered(20, 5)))
    shutil.copyfile(log, tmp_path / "app.log-20261122")
    log.write_bytes(joined(numbered(50, 30)))
    for _ in range(2):
        tail = await Following(tmp_path / "app.log*", known=known, once=True).run_once()
        if known[0].offset == 20 * 53:
            assert tail.generations == [joined(numbered(20, 5)), joined(numbered(50, 30))]
        known = tail.stored()
    assert tail.generations == []


@asynchronous
async def test_truncated_while_down_is_read_from_its_head_once(tmp_path):
    log = tmp_path / "app.log"
    known = await read_first(log)
    log.write_bytes(joined(numbered(50, 5)))
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.generations == [joined(numbered(50, 5))]
    assert tail.rows[1].state == "finished"
    for _ in range(2):
        tail = await Following(log, known=tail.stored(), once=True).run_once()
        assert tail.generations == []


@asynchronous
async def test_truncated_to_nothing_while_down_begins_anew(tmp_path):
    log = tmp_path / "app.log"
    known = await read_first(log)
    os.truncate(log, 0)
    async with Following(log, known=known) as tail:
        await tail.until(lambda: tail.rows[1].state == "finished")
        append(log, b"new\n")
        await tail.until_read(b"new")


@asynchronous
async def test_regrown_past_the_offset_with_the_same_head_is_told_by_its_marker(tmp_path):
    log = tmp_path / "app.log"
    banner = b"#" * 2047 + b"\n"
    log.write_bytes(banner + joined(numbered(0, 20)))
    tail = await Following(log, once=True).run_once()
    log.write_bytes(banner + joined(numbered(100, 50)))
    tail = await Following(log, known=tail.stored(), once=True).run_once()
    assert tail.generations == [banner + joined(numbered(100, 50))]


@asynchronous
async def test_same_content_under_the_same_name_but_another_inode_goes_on(tmp_path):
    log = tmp_path / "app.log"
    known = await read_first(log)
    shutil.copyfile(log, tmp_path / "restored")
    (tmp_path / "restored").replace(log)
    append(log, b"more\n")
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.generations == [b"more\n"]
    assert tail.rows[1].inode == log.stat().st_ino


@asynchronous
async def test_file_that_is_gone_is_finished_and_only_told_to_the_store(tmp_path):
    log = tmp_path / "app.log"
    known = await read_first(log)
    log.unlink()
    tail = await Following(log, known=known, once=True).run_once()
    assert [(batch.data, batch.final) for batch in tail.batches] == [(b"", True)]
    assert tail.rows[1].state == "finished"
    assert tail.stored() == []


@asynchronous
async def test_file_whose_directory_is_missing_keeps_its_place(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    known = await read_first(folder / "app.log")
    folder.rename(tmp_path / "unmounted")
    async with Following(folder / "app.log", known=known) as tail:
        await tail.rounds(5)
        assert tail.stored()[0].state == "active"
        (tmp_path / "unmounted").rename(folder)
        append(folder / "app.log", b"more\n")
        await tail.until_read(b"more")


@asynchronous
async def test_file_of_a_source_that_is_no_longer_configured_is_left_alone(tmp_path):
    known = await read_first(tmp_path / "app.log")
    (tmp_path / "other.log").write_bytes(b"other\n")
    tail = await Following(tmp_path / "other.log", known=known, once=True).run_once()
    assert tail.generations == [b"other\n"]
    assert tail.rows[1].state == "active"


@pytest.mark.parametrize("rebooted", [False, True])
@asynchronous
async def test_file_that_lost_its_end_in_a_power_cut_goes_on_at_its_end(tmp_path, monkeypatch, rebooted):
    log = tmp_path / "app.log"
    known = await read_first(log, 40)
    os.truncate(log, 30 * 53)
    append(log, b"new\n")
    if rebooted:
        monkeypatch.setattr(locate, "boot_ns", lambda: known[0].last_read + 1)
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.generations == ([] if rebooted else [joined(numbered(0, 30)) + b"new\n"])
    append(log, b"next\n")
    tail = await Following(log, known=tail.stored(), once=True).run_once()
    assert tail.generations == [b"next\n"]


@pytest.mark.parametrize("rebooted", [False, True])
@asynchronous
async def test_file_whose_end_is_nul_after_a_power_cut_goes_on_behind_it(tmp_path, monkeypatch, rebooted):
    log = tmp_path / "app.log"
    known = await read_first(log, 40)
    os.truncate(log, 30 * 53 - 20)
    os.truncate(log, 50 * 53)
    append(log, b"new\n")
    if rebooted:
        monkeypatch.setattr(locate, "boot_ns", lambda: known[0].last_read + 1)
    tail = await Following(log, known=known, once=True).run_once()
    start = 40 * 53 if rebooted else 30 * 53 - 20
    assert tail.generations == [b"new\n" if rebooted else joined(numbered(0, 30))[:-20] + b"new\n"]
    assert tail.gaps[-1] == ("hole", start, 50 * 53)
    append(log, b"next\n")
    tail = await Following(log, known=tail.stored(), once=True).run_once()
    assert tail.generations == [b"next\n"]


def test_the_machine_was_started_before_now():
    assert 0 < locate.boot_ns() < time.time_ns() - time.monotonic_ns() // 2


@asynchronous
async def test_unfinished_line_is_read_whole_after_a_restart(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nhal")
    async with Following(log) as tail:
        await tail.until_read(b"one")
        known = tail.stored()
    append(log, b"f\n")
    async with Following(log, known=known) as tail:
        await tail.until_read(b"half")
        assert tail.batches[0].offset == 4


@asynchronous
async def test_start_at_end_holds_for_files_of_the_very_first_start_only(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"old\nhalf")
    (tmp_path / "empty.log").touch()
    long = tmp_path / "long.log"
    long.write_bytes(b"old\n" + b"z" * 100_000)
    options = {"settings": {"start": "end"}}
    async with Following(tmp_path / "*.log", first_start=True, **options) as tail:
        await tail.until(lambda: len(tail.tailer.files()) == 3)
        append(log, b" new\n")
        append(long, b"\nlong new\n")
        append(tmp_path / "empty.log", b"first\n")
        (tmp_path / "born.log").write_bytes(b"born\n")
        await tail.until_read(b"half new", b"long new", b"first", b"born")
        assert tail.rows[1].path == str(log)
        known = tail.stored()
    (tmp_path / "later.log").write_bytes(b"later\n")
    async with Following(tmp_path / "*.log", known=known, **options) as tail:
        await tail.until_read(b"later")


@pytest.mark.parametrize("name", ["app.log", "app.log.1"])
@asynchronous
async def test_truncated_and_written_anew_between_the_look_and_the_opening_goes_on_in_the_copy(
    tmp_path, monkeypatch, name
):
    """The new content is longer than what was read; the file lies under its name, or was renamed while nobody read."""
    log = tmp_path / "app.log"
    known = await read_first(log)
    if name != log.name:
        log.rename(tmp_path / name)
    scan, done = Discovery.scan, []

    def late(discovery):
        found = scan(discovery)
        if not done:
            done.append(found)
            shutil.copyfile(tmp_path / name, tmp_path / "app.log.2")
            append(tmp_path / "app.log.2", joined(numbered(20, 2)))
            (tmp_path / name).write_bytes(joined(numbered(50, 40)))
        return found

    monkeypatch.setattr(Discovery, "scan", late)
    tail = await Following(tmp_path / "app.log*", known=known, once=True).run_once()
    assert done
    assert sorted(tail.lines) == numbered(20, 2) + numbered(50, 40)
