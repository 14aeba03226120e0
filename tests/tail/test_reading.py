"""Reading real files: partial lines, long lines, holes, many files, back pressure, errors."""

import asyncio
import contextlib
import errno
import os
import tracemalloc
from pathlib import Path

import pytest
from following import PATIENT, Following, append, asynchronous, joined, numbered, source


@asynchronous
async def test_line_written_byte_by_byte_is_delivered_once_and_whole(tmp_path):
    log = tmp_path / "app.log"
    log.touch()
    async with Following(log) as tail:
        for byte in "Köln 😀\r\n".encode():
            append(log, bytes([byte]))
            await tail.rounds(1)
        append(log, b"rest")
        await tail.until_read("Köln 😀\r".encode())
        await tail.rounds()
        assert tail.generations == ["Köln 😀\r\n".encode()]


@asynchronous
async def test_once_delivers_an_unterminated_line_and_its_later_newline_adds_only_a_blank_byte(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\ntwo")
    tail = await Following(log, once=True).run_once()
    assert tail.generations == [b"one\ntwo"]
    assert tail.finals == [str(log)]
    append(log, b"\nthree\n")
    tail = await Following(log, once=True, known=tail.stored()).run_once()
    assert tail.generations == [b"\nthree\n"]
    assert tail.batches[0].offset == 7


@asynchronous
async def test_once_reads_files_of_many_chunks_and_ends(tmp_path):
    data = joined(numbered(0, 60_000))
    (tmp_path / "big.log").write_bytes(data)
    (tmp_path / "empty.log").touch()
    tail = await Following(tmp_path / "*.log", once=True).run_once()
    assert tail.generations == [data]
    assert max(len(batch.data) for batch in tail.batches) <= (1 << 18) + 60
    assert len(tail.finals) == 2


@asynchronous
async def test_a_batch_says_when_its_file_was_last_written(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    os.utime(log, ns=(1, 1_700_000_000_123_456_789))
    async with Following(log) as tail:
        await tail.until_read(b"one")
        assert [batch.modified for batch in tail.batches if batch.data] == [1_700_000_000_123_456_789]
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")
        assert tail.batches[-1].modified == log.stat().st_mtime_ns


@asynchronous
async def test_over_long_line_passes_in_bounded_memory_and_survives_a_restart(tmp_path):
    log = tmp_path / "app.log"
    with log.open("wb") as file:
        file.write(b"before\n")
        for _ in range(32):
            file.write(b"y" * (1 << 20))
    options = {"settings": {"max_line": 1 << 16}}
    tracemalloc.start()
    async with Following(log, **options) as tail:
        await tail.until(
            lambda: tail.tailer.lags() and tail.tailer._registry.harvesters[1].reader.position == 7 + (32 << 20)
        )
        peak = tracemalloc.get_traced_memory()[1]
        known = tail.stored()
    tracemalloc.stop()
    assert peak < 4 << 20
    assert known[0].offset == 7
    append(log, b"\nafter\n")
    async with Following(log, known=known, **options) as tail:
        await tail.until_read(b"after")
        assert tail.gaps == [("over_long", 7, 8 + (32 << 20))]


@asynchronous
async def test_hole_left_by_copytruncate_is_jumped_over_as_a_gap(tmp_path):
    log = tmp_path / "app.log"
    with log.open("wb") as file:
        file.seek(1 << 34)  # 16 GiB, which reading could not pass in the time of a test
        file.write(b"\0\0one\n")
    async with Following(log) as tail:
        await tail.until(lambda: tail.generations == [b"one\n"])
        assert tail.gaps == [("hole", 0, (1 << 34) + 2)]
        os.truncate(log, (1 << 34) + (1 << 33))
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")
        assert tail.gaps[1:] == [("hole", (1 << 34) + 6, (1 << 34) + (1 << 33))]


@asynchronous
async def test_one_busy_file_does_not_starve_the_others(tmp_path):
    (tmp_path / "busy.log").write_bytes(joined(numbered(0, 200_000, "busy")))
    for number in range(20):
        (tmp_path / f"calm-{number}.log").write_bytes(b"calm\n")
    tail = await Following(tmp_path / "*.log", once=True).run_once()
    order = [Path(batch.file.path).name for batch in tail.batches if batch.data]
    last_calm = max(index for index, path in enumerate(order) if "calm" in path)
    assert sum("busy" in path for path in order[:last_calm]) <= 4
    assert len(tail.lines) == 200_020


@asynchronous
async def test_reading_waits_while_delivery_waits_and_goes_on_where_it_was(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 30_000)))
    gate = asyncio.Event()
    async with Following(log, deliver=lambda _batch: gate.wait()) as tail:
        await tail.until(lambda: tail.tailer._chunks.bytes_read)
        rounds, read = tail.tailer._rounds, tail.tailer._chunks.bytes_read
        for _ in range(50):
            await asyncio.sleep(0)
        assert (tail.tailer._rounds, tail.tailer._chunks.bytes_read) == (rounds, read)
        assert read <= 1 << 20
        gate.set()
        await tail.until_read(*numbered(0, 30_000))
        assert tail.tailer.progress > read


@asynchronous
async def test_stopping_in_the_middle_continues_exactly_there(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 50_000)))
    tail = Following(log)

    async def stop_soon(_batch):
        tail.tailer.stop()

    tail._slow = stop_soon
    await tail.run_once()
    assert 0 < len(tail.lines) < 50_000
    rest = await Following(log, known=tail.stored(), once=True).run_once()
    assert tail.lines + rest.lines == numbered(0, 50_000)


@asynchronous
async def test_a_thousand_files_are_followed(tmp_path):
    for number in range(1000):
        (tmp_path / f"{number:04d}.log").write_bytes(b"first %d\n" % number)
    async with Following(tmp_path / "*.log") as tail:
        await tail.until(lambda: len(tail.lines) == 1000, timeout_s=60)
        await tail.until_armed()
        append(tmp_path / "0777.log", b"alone\n")
        await tail.until(lambda: len(tail.lines) == 1001)
        assert tail.batches[-1].file.path.endswith("0777.log")


@pytest.mark.parametrize("problem", [errno.EIO, errno.ESTALE])
@asynchronous
async def test_read_error_is_reported_once_and_reading_goes_on_when_it_is_over(tmp_path, problem):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")

    class Broken:
        async def read(self, _size):
            raise OSError(problem, os.strerror(problem))

        async def close(self):
            """Nothing is open."""

    async with Following(log) as tail:
        await tail.until_read(b"one")
        tail.tailer._scheduler.is_local = lambda _device: False  # a thread reads
        harvester = tail.tailer._registry.harvesters[1]
        whole, harvester.handle = harvester.handle, Broken()
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")
        await tail.until(lambda: len(tail.errors) == 2)
        assert tail.errors == [("SL208", str(log), True), ("SL208", str(log), False)]
        await whole.close()


@asynchronous
async def test_few_descriptors_are_shared_among_many_files(tmp_path):
    for number in range(40):
        (tmp_path / f"{number:02d}.log").write_bytes(b"%d\n" % number)
    tail = Following(tmp_path / "*.log")
    tail.tailer._registry.descriptors.limit = 10
    async with tail:
        await tail.until(lambda: len(tail.lines) == 40)
        for number in range(40):
            append(tmp_path / f"{number:02d}.log", b"more\n")
        await tail.until(lambda: len(tail.lines) == 80)
        assert sum(harvester.fd >= 0 for harvester in tail.tailer._registry.harvesters.values()) <= 10
        assert not tail.finals
        (tmp_path / "00.log").unlink()  # its descriptor was taken away: nothing is left to read
        (tmp_path / "02.log").replace(tmp_path / "01.log")
        await tail.until(lambda: len(tail.tailer.files()) == 38)
        assert not tail.errors


@asynchronous
async def test_closed_file_that_was_rewritten_or_replaced_is_a_new_generation(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    tail = Following(log, timing=PATIENT)
    async with tail:
        await tail.until_read(b"one")
        await tail.tailer._registry.descriptors.close(tail.tailer._registry.harvesters[1])
        log.unlink()
        log.write_bytes(b"another\n")
        await tail.until_read(b"one", b"another")
        await tail.until(lambda: len(tail.tailer.files()) == 1)
        await tail.tailer._registry.descriptors.close(tail.tailer._registry.harvesters[2])
        log.write_bytes(b"rewritten, and longer than before\n")
        await tail.until_read(b"one", b"another", b"rewritten, and longer than before")


@asynchronous
async def test_reload_follows_new_sources_and_lets_go_of_old_ones(tmp_path):
    (tmp_path / "a.log").write_bytes(b"a1\nunfin")
    (tmp_path / "b.log").write_bytes(b"b1\n")
    only_a, only_b = source(tmp_path / "a.log"), source(tmp_path / "b.log", name="other", max_line=100)
    async with Following(sources=[only_a]) as tail:
        await tail.until_read(b"a1")
        await tail.tailer.reload([only_b])
        await tail.until_read(b"a1", b"b1")
        assert tail.finals == [str(tmp_path / "a.log")]
        append(tmp_path / "a.log", b"ished\n")
        await tail.rounds()
        await tail.tailer.reload([only_a, only_b])
        await tail.until_read(b"a1", b"b1", b"unfinished")
        assert len(tail.tailer.files()) == 2


@asynchronous
async def test_a_source_that_comes_back_waits_for_the_lines_that_are_on_their_way_to_the_store(tmp_path):
    """The harness checks that no byte is delivered twice; reading goes on where the store will be, not where it is."""
    a = tmp_path / "a.log"
    a.write_bytes(b"1\n2\n")
    async with Following(a, lagging=True) as tail:
        await tail.until_read(b"1", b"2")
        both = [*tail.sources, source(tmp_path / "b.log")]
        await tail.tailer.reload([both[1]])
        await tail.until(lambda: tail.finals == [str(a)], "letting go")
        append(a, b"3\n")
        append(tmp_path / "b.log", b"4\n")
        await tail.tailer.reload(both)
        await tail.until_read(b"1", b"2", b"4")  # the new sources apply, and the file is left alone
        tail.commit()
        await tail.until_read(b"1", b"2", b"3", b"4")


@asynchronous
async def test_files_that_come_and_go_while_there_is_no_room_are_read_in_the_end(tmp_path):
    behind = asyncio.Event()

    async def room(timeout_s):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(behind.wait(), min(timeout_s, 0.01))
        return behind.is_set()

    async with Following(tmp_path / "*.log", room=room) as tail:
        for number in range(3):
            log = tmp_path / f"{number}.log"
            log.write_bytes(f"{number}\n".encode())
            await tail.until(lambda log=log: str(log) in [file.path for file in tail.tailer.files()], "opening")
            if number:
                log.unlink()
            else:
                log.rename(tmp_path / "elsewhere")
        assert tail.batches == []
        behind.set()
        await tail.until_read(b"0", b"1", b"2")


@asynchronous
async def test_max_line_of_a_reload_applies_to_files_that_are_followed(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"short\n")
    async with Following(log) as tail:
        await tail.until_read(b"short")
        await tail.tailer.reload([source(log, max_line=10)])
        await tail.rounds()
        append(log, b"longer than that\nfine\n")
        await tail.until_read(b"short", b"fine")
