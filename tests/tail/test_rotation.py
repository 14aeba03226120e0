"""Renaming, truncating, deleting and recreating files that are followed: each line exactly once, in order."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import pytest
from following import PATIENT, Following, append, asynchronous, joined, numbered
from msgspec import structs

from agent.tail.polling import ChunkReader
from tests.needs import limited

WARY = structs.replace(PATIENT, copy_grace_s=3600.0)


@asynchronous
async def test_renamed_file_is_read_to_its_end_and_its_successor_from_its_head(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 10)))
    async with Following(log, timing=PATIENT) as tail:
        await tail.until_read(*numbered(0, 10))
        with log.open("ab", buffering=0) as writer:
            log.rename(tmp_path / "app.log.1")
            writer.write(joined(numbered(10, 5)))
            log.write_bytes(joined(numbered(20, 5)))
            await tail.until_read(*numbered(0, 15), *numbered(20, 5))
            writer.write(joined(numbered(15, 5)))  # a writer that reopens late
            await tail.until_read(*numbered(0, 25))
        assert tail.generations == [joined(numbered(0, 20)), joined(numbered(20, 5))]
        assert tail.states() == {"app.log.1": "rotated", "app.log": "active"}


@asynchronous
async def test_rotated_file_ends_after_its_grace_time_and_is_read_on_if_it_grows_after_all(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\ntwo")
    async with Following(log) as tail:
        await tail.until(lambda: tail.generations == [b"one\n"])
        log.rename(tmp_path / "app.log.1")
        log.write_bytes(b"new\n")
        await tail.until(lambda: tail.finals == [str(log)])
        assert tail.generations == [b"one\ntwo", b"new\n"]
        await tail.until(lambda: tail.tailer._registry.harvesters[1].fd == -1)
        append(tmp_path / "app.log.1", b"\nlate\n")
        await tail.until(lambda: tail.generations[0] == b"one\ntwo\nlate\n")
        (tmp_path / "app.log.1").unlink()
        await tail.until(lambda: len(tail.tailer.files()) == 1)
        assert tail.rows[1].state == "finished"


@asynchronous
async def test_chain_of_renames_keeps_every_identity(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 3)))
    async with Following(tmp_path / "app.log*") as tail:
        for step in range(1, 5):
            await tail.until_read(*numbered(0, 3 * step))
            for number in range(step - 1, 0, -1):
                (tmp_path / f"app.log.{number}").rename(f"{log}.{number + 1}")
            log.rename(f"{log}.1")
            log.write_bytes(joined(numbered(3 * step, 3)))
        await tail.until_read(*numbered(0, 15))
        await tail.until(lambda: set(tail.states()) == {"app.log", *(f"app.log.{n}" for n in range(1, 5))})
        assert len(tail.tailer.files()) == 5


@pytest.mark.parametrize("way", ["itself", "link", "linked directory"])
@asynchronous
async def test_files_born_and_renamed_between_two_looks_are_read(tmp_path, way):
    """Also where the last look before them found nothing, at the end of a link that it knows."""
    followed = log = tmp_path / "app.log"
    if way == "link":
        followed = tmp_path / "link.log"
        followed.symlink_to(log)
    elif way == "linked directory":
        (tmp_path / "current").symlink_to(tmp_path)
        followed = tmp_path / "current" / "app.log"
    async with Following(followed, timing=structs.replace(PATIENT, rescan_s=3600.0)) as tail:
        await tail.rounds()
        for step in range(10):
            for number in range(step - 1, 0, -1):
                (tmp_path / f"app.log.{number}").rename(f"{log}.{number + 1}")
            if step:
                log.rename(f"{log}.1")
            log.write_bytes(joined(numbered(step * 2, 2)))
        await tail.until_read(*numbered(0, 20))
        assert {file.path for file in tail.tailer.files()} == {str(followed)}


@asynchronous
async def test_rename_back_makes_a_file_active_again(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log, timing=PATIENT) as tail:
        await tail.until_read(b"one")
        log.rename(tmp_path / "aside")
        await tail.until(lambda: tail.states() == {"aside": "rotated"})
        (tmp_path / "aside").rename(log)
        await tail.until(lambda: tail.states() == {"app.log": "active"})
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")


@asynchronous
async def test_file_moved_out_of_the_directory_is_drained_and_given_up(tmp_path):
    (tmp_path / "old").mkdir()
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log) as tail:
        await tail.until_read(b"one")
        with log.open("ab", buffering=0) as writer:
            log.rename(tmp_path / "old" / "app.log")
            writer.write(b"two\nthree")
        log.write_bytes(b"new\n")
        await tail.until(lambda: tail.rows[1].state == "finished")
        assert tail.generations == [b"one\ntwo\nthree", b"new\n"]


@pytest.mark.parametrize("globbed", [False, True])
@asynchronous
async def test_copytruncate_reads_the_rest_from_the_copy_and_the_copy_only_once(tmp_path, globbed):
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    log.write_bytes(joined(numbered(0, 20)))
    pattern = tmp_path / ("app.log*" if globbed else "app.log")
    async with Following(pattern, timing=PATIENT) as tail:
        await tail.until_read(*numbered(0, 20))
        await tail.until_armed()
        append(log, joined(numbered(20, 20)))  # unread when the file is truncated: nothing awaits in between
        shutil.copyfile(log, copy)
        os.truncate(log, 0)
        append(log, joined(numbered(100, 3)))
        await tail.until_read(*numbered(0, 40), *numbered(100, 3))
        await tail.rounds(20)
        assert tail.generations == [joined(numbered(0, 40)), joined(numbered(100, 3))]
        assert tail.gaps == []
        assert tail.states() == {"app.log.1": "rotated", "app.log": "active"}


@asynchronous
async def test_copy_with_the_inode_of_a_deleted_file_is_found(tmp_path):
    """The deleted one is closed already, and nobody has noticed yet."""
    log, other, copy = tmp_path / "app.log", tmp_path / "other.log", tmp_path / "app.log.1"
    log.write_bytes(joined(numbered(0, 20)))
    other.write_bytes(b"other\n")
    async with Following(tmp_path / "*.log", timing=PATIENT) as tail:
        await tail.until_read(*numbered(0, 20), b"other")
        await tail.until_armed()
        [deleted] = [s for s in tail.tailer._registry.harvesters.values() if s.file.path == str(other)]
        await tail.tailer._registry.descriptors.close(deleted)
        append(log, joined(numbered(20, 20)))
        inode = other.stat().st_ino
        other.unlink()
        for number in range(100):  # another process may be given it first, and give it back
            place = tmp_path / f"place{number}"
            place.touch()
            if place.stat().st_ino == inode:
                break
        else:
            limited("inode reuse")
        shutil.copyfile(log, place)
        place.rename(copy)
        os.truncate(log, 0)
        append(log, joined(numbered(100, 3)))
        await tail.until_read(*numbered(0, 40), *numbered(100, 3), b"other")
        await tail.until(
            lambda: str(other) not in [file.path for file in tail.tailer.files()], "the end of the deleted"
        )
        assert tail.gaps == []


@asynchronous
async def test_copy_that_is_seen_before_the_truncation_is_not_read_as_a_file_of_its_own(tmp_path):
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    log.write_bytes(joined(numbered(0, 100)))
    async with Following(tmp_path / "app.log*", timing=PATIENT) as tail:
        await tail.until_read(*numbered(0, 100))
        shutil.copyfile(log, copy)
        await tail.until(lambda: tail.tailer._prospector.undecided)
        os.truncate(log, 0)
        await tail.until(lambda: tail.states() == {"app.log.1": "rotated", "app.log": "active"})
        append(log, b"fresh\n")
        await tail.until_read(*numbered(0, 100), b"fresh")


@asynchronous
async def test_file_and_its_copy_that_are_seen_at_once_are_not_both_read(tmp_path):
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    log.write_bytes(joined(numbered(0, 100)))
    shutil.copyfile(log, copy)
    async with Following(tmp_path / "app.log*", timing=PATIENT) as tail:
        await tail.until_read(*numbered(0, 100))
        os.truncate(log, 0)
        await tail.until(lambda: tail.states() == {"app.log.1": "rotated", "app.log": "active"})
        append(log, b"fresh\n")
        await tail.until_read(*numbered(0, 100), b"fresh")


@pytest.mark.parametrize("read_before", [0, 20])
@asynchronous
async def test_truncated_and_regrown_between_the_look_and_the_read(tmp_path, monkeypatch, read_before):
    """What is read is not taken for the rest of what was looked at, nor its copy for a file of its own."""
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    old, new = numbered(0, 40), numbered(100, 60)
    read, rounds = ChunkReader.read, []

    async def late(chunks, harvester):
        if len(rounds) == (read_before > 0):
            shutil.copyfile(log, copy)
            os.truncate(log, 0)
            append(log, joined(new))
        rounds.append(harvester)
        await read(chunks, harvester)

    monkeypatch.setattr(ChunkReader, "read", late)
    log.write_bytes(joined(old[:read_before]))
    async with Following(tmp_path / "app.log*", timing=PATIENT) as tail:
        await tail.until_read(*old[:read_before])
        append(log, joined(old[read_before:]))
        await tail.until_read(*old, *new)
        append(log, b"fresh\n")
        shutil.copyfile(log, tmp_path / "app.log.0")
        await tail.until_read(*old, *new, b"fresh")
        os.truncate(log, 0)
        append(log, b"again\n")
        await tail.until_read(*old, *new, b"fresh", b"again")


@asynchronous
async def test_file_that_was_renamed_before_it_was_seen_is_read_at_once_beside_an_empty_successor(tmp_path):
    """It may be deleted at any moment; and nothing of an empty file can be read twice."""
    log = tmp_path / "app.log"
    (tmp_path / "app.log.1").write_bytes(joined(numbered(0, 5)))
    log.touch()
    async with Following(tmp_path / "app.log*", timing=WARY) as tail:
        await tail.until_read(*numbered(0, 5))
        append(log, joined(numbered(5, 5)))
        await tail.until_read(*numbered(0, 10))


@asynchronous
async def test_copy_of_a_file_that_was_empty_when_it_was_opened_is_not_read_as_a_file_of_its_own(tmp_path):
    """The copy is seen before a byte of the file is read: it is compared with what lies on the disk."""
    log = tmp_path / "app.log"
    log.touch()
    free = asyncio.Event()

    async def room(timeout_s):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(free.wait(), timeout_s)
        return free.is_set()

    async with Following(tmp_path / "app.log*", timing=WARY, room=room) as tail:
        await tail.until(lambda: tail.states() == {"app.log": "active"})
        append(log, joined(numbered(0, 5)))
        await tail.rounds()
        shutil.copyfile(log, tmp_path / "app.log.1")
        await tail.rounds()
        assert tail.states() == {"app.log": "active"}
        free.set()
        await tail.until_read(*numbered(0, 5))
        os.truncate(log, 0)
        append(log, b"fresh\n")
        await tail.until_read(*numbered(0, 5), b"fresh")


@asynchronous
async def test_file_that_only_looks_like_a_copy_is_read_after_a_while(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 5)))
    async with Following(tmp_path / "app.log*") as tail:
        await tail.until_read(*numbered(0, 5))
        shutil.copyfile(log, tmp_path / "app.log.bak")
        await tail.until_read(*numbered(0, 5), *numbered(0, 5))


@asynchronous
async def test_copy_that_lacks_lines_which_were_already_read_is_not_read_again(tmp_path):
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    log.write_bytes(joined(numbered(0, 50)))
    async with Following(tmp_path / "app.log*", timing=PATIENT) as tail:
        await tail.until_read(*numbered(0, 50))
        shutil.copyfile(log, copy)
        append(log, joined(numbered(50, 5)))  # written between the copying and the truncating
        await tail.until_read(*numbered(0, 55))
        os.truncate(log, 0)
        append(log, b"fresh\n")
        await tail.until_read(*numbered(0, 55), b"fresh")
        await tail.rounds(20)
        assert tail.lines == sorted([*numbered(0, 55), b"fresh"])
        stored = tail.stored()
    async with Following(tmp_path / "app.log*", known=stored, timing=PATIENT) as tail:
        append(log, b"more\n")
        await tail.until_read(b"more")


@asynchronous
async def test_bytes_that_were_seen_but_truncated_before_they_were_read_are_a_gap(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 4)) + b"half a li")
    size = log.stat().st_size
    async with Following(log) as tail:
        await tail.until_read(*numbered(0, 4))
        harvester = tail.tailer._registry.harvesters[1]
        await tail.until_armed()
        harvester.size = size + 100  # as seen by a look that reading could not follow
        log.write_bytes(b"new\n")
        await tail.until(lambda: len(tail.generations) == 2)
        assert tail.gaps == [("truncated", size - 9, size + 100)]
        assert tail.generations == [joined(numbered(0, 4)), b"new\n"]


@asynchronous
async def test_truncated_and_regrown_past_the_offset_is_a_new_generation(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 10)))
    async with Following(log) as tail:
        await tail.until_read(*numbered(0, 10))
        log.write_bytes(joined(numbered(100, 30)))
        await tail.until_read(*numbered(0, 10), *numbered(100, 30))
        assert tail.generations == [joined(numbered(0, 10)), joined(numbered(100, 30))]


@asynchronous
async def test_rewritten_to_the_same_size_is_a_new_generation(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 10)))
    async with Following(log) as tail:
        await tail.until_read(*numbered(0, 10))
        log.write_bytes(joined(numbered(10, 10)))
        await tail.until_read(*numbered(0, 20))


@asynchronous
async def test_unterminated_last_line_of_a_truncated_file_is_kept(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nunterminated")
    async with Following(log) as tail:
        await tail.until(lambda: tail.generations == [b"one\n"])
        os.truncate(log, 0)
        await tail.until(lambda: tail.generations == [b"one\nunterminated"])


@asynchronous
async def test_deleted_file_is_drained_and_closed(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log) as tail:
        await tail.until_read(b"one")
        with log.open("ab", buffering=0) as writer:
            log.unlink()
            writer.write(b"two\n")
            await tail.until_read(b"one", b"two")
            writer.write(b"three")
            await tail.until(lambda: not tail.tailer.files())
        assert tail.generations == [b"one\ntwo\nthree"]
        assert tail.finals == [str(log)]
        await tail.until(lambda: not _open_names(log), "closing")


@pytest.mark.parametrize("deleted", [True, False])
@asynchronous
async def test_nuls_at_the_end_of_a_file_that_is_over_are_a_gap(tmp_path, deleted):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\nhalf" + bytes(3 << 20))
    async with Following(log) as tail:
        await tail.until_read(b"one")
        if deleted:
            log.unlink()
        else:
            log.rename(tmp_path / "app.log.1")
            log.write_bytes(b"new\n")
        await tail.until(lambda: tail.finals == [str(log)])
        assert tail.generations[0] == b"one\nhalf"
        assert tail.gaps == [("hole", 8, 8 + (3 << 20))]


def _open_names(path):
    """What this process holds open under a name that begins like `path`."""
    names = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(str(descriptor.readlink()))
    return [name for name in names if name.startswith(str(path))]


@asynchronous
async def test_recreated_file_with_the_same_inode_is_a_new_generation(tmp_path):
    log = tmp_path / "app.log"
    known = []
    for step in range(20):
        log.write_bytes(joined(numbered(step, 1)) + b"same length\n")
        tail = await Following(log, known=known, once=True).run_once()
        assert tail.generations == [joined(numbered(step, 1)) + b"same length\n"]
        known = tail.stored()
        assert len(known) == 1
        log.unlink()


@asynchronous
async def test_retargeted_symlink_drains_the_old_target_and_follows_the_new_one(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    first, second, link = logs / "a-1", logs / "a-2", tmp_path / "current.log"
    first.write_bytes(b"one\n")
    link.symlink_to(first)
    async with Following(tmp_path / "*.log", timing=PATIENT) as tail:
        await tail.until_read(b"one")
        second.write_bytes(b"new\n")
        link.unlink()
        link.symlink_to(second)
        append(first, b"two\n")
        await tail.until_read(b"one", b"two", b"new")
        assert tail.states() == {"a-1": "rotated", "a-2": "active"}
        link.unlink()
        link.symlink_to(tmp_path / "nowhere")
        await tail.rounds()
        append(second, b"newer\n")
        await tail.until_read(b"one", b"two", b"new", b"newer")
        assert not tail.codes()
