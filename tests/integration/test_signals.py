"""Stops, kills, reloads and second starts, at any moment and together with rotation."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import SIDELOG, wait_until
from tests.integration.oracle import Scribe, change_store, nudge, settled


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_amid_a_batch_ends_in_time_and_the_next_start_goes_on(box, number):
    """Exit code 0 within five seconds; what was not committed is read again, once."""
    scribe = Scribe()
    scribe.append(box.log, 20_000)
    box.start()
    for goal in (1, 5_000):
        box.wait_count(goal)
        box.process.send_signal(number)
        assert box.process.wait(5) == 0
        box.start()
    settled(box, scribe)


def test_a_second_signal_during_the_stop_does_no_harm(box):
    scribe = Scribe()
    scribe.append(box.log, 5_000)
    box.start()
    for _ in range(3):
        box.process.send_signal(signal.SIGTERM)
    assert box.process.wait(5) in (0, -signal.SIGTERM)
    box.start()
    settled(box, scribe)


@pytest.mark.parametrize("kills", [12, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_kills_at_random_moments_while_files_are_written_renamed_and_truncated(box, kills):
    """SIGKILL is what the kernel's out-of-memory killer sends, too. The seed is in the failure's message."""
    seed = random.SystemRandom().randrange(1 << 30)
    choose = random.Random(seed)
    box.configure(include=[f"{box.logs}/app.log*"])
    scribe = Scribe()
    for number in range(kills):
        scribe.append(box.log, choose.randrange(1, 400))
        box.start()
        for step in range(choose.randrange(4)):
            scribe.append(box.log, choose.randrange(1, 400))
            box.log.rename(box.logs / f"app.log-{number:06d}{step}")
            scribe.append(box.log, choose.randrange(1, 40))
        time.sleep(choose.random() * 0.2)  # the moment of the kill is what is random
        box.kill()
    box.start()
    try:
        settled(box, scribe)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error


def test_a_stale_lock_is_ignored_and_of_two_agents_at_once_one_refuses(box):
    """The lock ends with its process, whatever the file says; the loser's exit code is 3 and names the winner."""
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    box.wait_count(5)
    box.kill()
    lock = Path(f"{box.store}.lock")
    assert lock.exists()
    command = [*SIDELOG, "run", "-c", str(box.config)]
    pair = [
        subprocess.Popen(command, cwd=box.root, env=box.env, stderr=subprocess.PIPE, start_new_session=True)
        for _ in range(2)
    ]
    try:
        wait_until(lambda: any(process.poll() is not None for process in pair), what="the refusal")
        loser, winner = sorted(pair, key=lambda process: process.poll() is None)
        assert loser.returncode == 3
        message = loser.stderr.read()
        assert b"SL404" in message
        box.process = winner
        nudge(box, scribe, box.log)
        settled(box, scribe)
        assert winner.poll() is None
    finally:
        for process in pair:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()


def test_a_refused_second_agent_leaves_the_first_unharmed(box):
    """Five refusals while lines are read; opening and closing the files of the lock must not free it."""
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    for _ in range(5):
        scribe.append(box.log, 200)
        refused = box.run("run")
        assert refused.returncode == 3
        assert str(box.process.pid).encode() in refused.stderr
    settled(box, scribe)


def test_reloads_amid_reading_lose_and_double_nothing(box):
    """Good configurations, bad ones, and one that takes the source away and gives it back."""
    scribe = Scribe()
    scribe.append(box.log, 100)
    box.start()
    good = box.config.read_text()
    for number, document in enumerate([good, "{", good.replace("/*.log", "/*.none"), good, good.replace("app", "b?")]):
        scribe.append(box.log, 1000)
        box.config.write_text(document)
        before = box.said().count("reloaded")
        box.process.send_signal(signal.SIGHUP)
        wait_until(lambda before=before: box.said().count("reloaded") > before, what=f"reload {number}")
    box.config.write_text(good)
    box.process.send_signal(signal.SIGHUP)
    settled(box, scribe)
    wait_until(lambda: box.status()["healthy"], what="health")


def test_a_shorter_file_after_a_power_cut_goes_on_at_its_end(box):
    """A power cut can take the last bytes of a log that were stored already, for the store was synchronised later.
    The rest of the file is what was read: reading goes on at its end and nothing is stored twice. (Without a reboot
    since the last reading, such a file was truncated, and is read anew.)
    """
    scribe = Scribe()
    scribe.append(box.log, 100)
    box.once()
    size = box.log.stat().st_size
    os.truncate(box.log, size - 2000)
    change_store(box, "UPDATE files SET last_read = 1")  # as if the machine had been started since
    box.once()
    after = Scribe("after")
    after.append(box.log, 5)  # the first of these stands directly behind a torn line
    box.start()
    settled(box, scribe, after, unchanged=False)  # the end of the old file was overwritten by the new lines
