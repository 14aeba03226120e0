"""`sidelog run -`: what comes by a pipe is stored to its end, whatever ends it."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import SIDELOG, event, events, wait_until
from tests.integration.oracle import memory_bytes


@pytest.fixture
def reading(box):
    """Starts `sidelog run -` with a pipe, or whatever is given."""
    started = []

    def start(*arguments, stdin=subprocess.PIPE, **popen):
        process = subprocess.Popen(
            [*SIDELOG, "run", *arguments, "-c", str(box.config), "-"],
            stdin=stdin, stderr=subprocess.PIPE, cwd=box.root, env=box.env, **popen,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def give(process, data):
    process.stdin.write(data)
    process.stdin.flush()


def test_a_pipe_is_read_to_its_end_with_a_last_line_that_is_not_ended(box, reading):
    process = reading()
    _, said = process.communicate(events(0, 1000) + b'{"n": 1000, "level": "error", "msg": "la', timeout=60)
    assert process.returncode == 0, said
    assert b"1,001 events" in said
    assert box.raw() == b"".join(box.raw("--fields", "n").splitlines(keepends=True))
    rows = box.query()
    assert [row["attributes"].get("n") for row in rows[:-1]] == list(range(1000))
    assert rows[-1]["body"].startswith('{"n": 1000')
    assert {(row["source"], row["path"]) for row in rows} == {("stdin", "stdin")}
    assert box.books_balance()
    assert box.status()["healthy"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stores_what_was_read(box, reading, number):
    process = reading()
    give(process, events(0, 50) + b"not ended")
    box.wait_count(50)
    process.send_signal(number)
    assert process.wait(15) == 0
    assert box.numbers()[:50] == list(range(50))
    assert box.raw().endswith(b"not ended\n")
    assert box.books_balance()


def test_lines_are_queryable_while_the_pipe_is_open(box, reading):
    process = reading()
    give(process, event(0) + b"Traceback (most recent call last):\n")
    box.wait_count(1)
    give(process, b'  File "a.py", line 1, in f\nValueError: no\n')
    box.wait_count(2)  # held back for lines that do not come, and released while the pipe is silent
    assert box.query("-p", "error")[0]["attributes"]["exception.type"] == "ValueError"
    assert process.poll() is None
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_lines_without_an_end_are_stored_until_it_is_told_to_stop(box, reading):
    """`yes`: a million lines a second; a transaction and what waits for it are bounded in lines as well as in bytes."""
    yes = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    try:
        process = reading(stdin=yes.stdout)
        yes.stdout.close()
        box.wait_count(100_000, 60)
        peak = memory_bytes(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, process.stderr.read()
    finally:
        yes.kill()
        yes.wait()
    assert peak < 160 * 2**20
    assert b"SL412" not in process.stderr.read()
    assert box.sql('SELECT count(*) * 2 = (SELECT max("offset") FROM files) FROM events') == [(1,)]


def test_a_line_that_is_too_long_is_a_gap(box, reading):
    box.configure()
    process = reading("--set", "sources=[{name: stdin, include: [/nowhere], max_line: 4KiB}]")
    process.communicate(event(0) + b"x" * 1_000_000 + b"\n" + event(1), timeout=60)
    assert process.returncode == 0
    assert box.numbers() == [0, 1]
    assert [(gap["reason"], gap["path"]) for gap in box.status()["gaps"]] == [("over_long", "stdin")]
    assert box.books_balance()


def test_a_second_run_reads_another_input(box, reading):
    for number in range(2):
        process = reading("--once") if number else reading()
        process.communicate(event(number), timeout=60)
        assert process.returncode == 0
    assert box.numbers() == [0, 1]
    assert [row["offset"] for row in box.query()] == [0, 0]
    assert box.sql("SELECT path, state FROM files") == [("stdin", "finished")] * 2


def test_a_reader_that_was_killed_leaves_nothing_that_is_followed(box, reading):
    process = reading()
    give(process, event(0))
    box.wait_count(1)
    process.kill()
    process.wait()
    box.once()
    assert box.sql("SELECT state FROM files") == [("finished",)]
    assert box.status()["files"] == []


def test_a_file_and_nothing_at_all_are_read_to_their_end(box, reading, tmp_path):
    (tmp_path / "some").write_bytes(events(0, 20_000))
    for path in (tmp_path / "some", os.devnull):
        with Path(path).open("rb") as file:
            process = reading(stdin=file)
            assert process.wait(60) == 0
    assert box.numbers() == list(range(20_000))


def test_a_source_of_the_name_stdin_says_how_it_is_read(box, reading):
    box.config.write_text(
        json.dumps(
            {
                "store": {"path": str(box.store)},
                "sources": [
                    {"name": "stdin", "include": ["/nowhere"], "redact": ["password"], "labels": {"service.name": "x"}}
                ],
            }
        )
    )
    process = reading()
    process.communicate(b'{"msg":"a","password":"secret"}\n', timeout=60)
    [row] = box.query()
    assert (row["attributes"], row["resource"]["service.name"]) == ({"password": "[redacted]"}, "x")


def test_a_reload_changes_what_is_said_of_the_lines_that_follow(box, reading):
    box.configure()
    process = reading()
    give(process, event(0) + b'{"n": 1,')
    box.wait_count(1)
    document = json.loads(box.config.read_text())
    document["sources"] = [{"name": "stdin", "include": ["/nowhere"], "labels": {"service.name": "pay"}}]
    box.config.write_text(json.dumps(document))
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(box.sql("SELECT 1 FROM files")) > 1, what="the next generation")
    process.communicate(b' "msg": "b"}\n', timeout=60)
    rows = box.query()
    assert [(row["attributes"]["n"], row["resource"].get("service.name")) for row in rows] == [(0, None), (1, "pay")]
    assert box.books_balance()


def test_a_closed_input_and_one_beside_patterns_are_wrong_usage(box):
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *SIDELOG, "run", "--store", str(box.store), "-"],
        env=box.env, cwd=box.root, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"SL215" in done.stderr
    done = box.run("run", "-", "*.log")
    assert done.returncode == 2
    assert b"SL215" in done.stderr
