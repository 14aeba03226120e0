"""What `sidelog run` says: on a terminal, in a pipe, with patterns, and when there is nothing to do."""

import contextlib
import json
import os
import pty
import signal
import subprocess

import pytest

from tests.integration.harness import SIDELOG, append, event, events, wait_until
from tests.needs import needs

pytestmark = pytest.mark.measured


def on_terminal(box, *arguments) -> str:
    """What the command prints when its stderr is a terminal."""
    lead, follow = pty.openpty()
    command = [*SIDELOG, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=follow, stderr=follow, env=box.env, cwd=box.root
    ) as process:
        os.close(follow)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other end has closed
            while data := os.read(lead, 65536):
                seen += data
        assert process.wait(30) == 0
    os.close(lead)
    return seen.decode()


def test_once_draws_a_bar_on_a_terminal_and_sums_up(box):
    append(box.log, events(0, 2000))
    seen = on_terminal(box, "run", "--once", "-c", str(box.config))
    assert "reading" in seen
    assert "2,000 events (0 errors) from 1 file" in seen


@needs("root")
def test_once_fails_where_something_could_not_be_read(box):
    """A file, a directory on the way, a directory in the place of a file; with what was read stored all the same."""
    append(box.log, events(0, 2))
    append(box.logs / "closed.log", events(2, 1))
    box.configure(include=[f"{box.logs}/*.log", f"{box.logs}/deep/*.log", str(box.logs)])
    (box.logs / "deep").mkdir(mode=0)
    (box.logs / "closed.log").chmod(0)
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *SIDELOG, "run", "--once", "-c", box.config]
    done = subprocess.run(bound, env=box.env, cwd=box.root, capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"3 paths could not be read" in done.stderr) == (1, True)
    assert b"name the files in it" in done.stderr
    assert box.count() == 2
    quiet = subprocess.run([*bound, "-q"], env=box.env, cwd=box.root, capture_output=True, timeout=60, check=False)
    assert (quiet.returncode, quiet.stderr.count(b"could not be read"), quiet.stderr.count(b"\n")) == (1, 1, 1)
    assert box.run("run", "--once", "--set", f"sources[0].include=[{box.logs}/*.log]").returncode == 0


@pytest.mark.parametrize("configured", [True, False])
def test_an_agent_that_finds_nothing_says_that_it_waits(box, configured):
    words = ["-c", str(box.config)] if configured else ["--store", str(box.store), str(box.logs / "none/*.log")]
    command = [*SIDELOG, "run", *words]
    with subprocess.Popen(command, env=box.env, cwd=box.root, stderr=subprocess.PIPE) as process:
        said = b""
        while b"agent started" not in said:
            said += process.stderr.readline()
        process.terminate()
    assert b"waiting for one that matches" in said
    assert (b"there is no 'none'" in said) == (not configured)


def test_the_summary_counts_what_was_odd(box):
    box.configure(max_line="64B")
    append(box.log, event(0, pad="x" * 100) + b'{"cut\n')
    done = box.once()
    assert b"1 event with a parse error" in done.stderr
    assert b"1 gap," in done.stderr


@pytest.mark.parametrize("configured", [True, False])
def test_a_name_that_exists_is_no_pattern(box, configured):
    """A shell expands `*.log` to names; none of the other files is read, though the name as a pattern matches one."""
    names = ["app[1].log", "app1.log", "what?.log", "star*.log", "starry.log", "[", "a[b-a].log"]
    for number, name in enumerate(names):
        append(box.logs / name, event(number))
    folder = box.logs / "[0]"
    folder.mkdir()
    append(folder / "deep.log", event(9))
    wanted = [box.logs / "app[1].log", "logs/star*.log", "logs/[", "logs/a[b-a].log", folder / "deep.log"]
    options = ["-c", box.config] if configured else ["--store", box.store]
    done = subprocess.run(
        [*SIDELOG, "run", "--once", *map(str, [*options, *wanted])],
        cwd=box.root, env=box.env, capture_output=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(box.numbers()) == [0, 3, 5, 6, 9]
    assert b"SL111" not in done.stderr


def test_a_pattern_that_matches_nothing_says_so(box):
    append(box.logs / "app.log", event(0))
    patterns = [box.logs / "app[1].log", box.logs / "app*.log", box.logs / "none" / "*.log"]
    done = box.run("run", "--once", *patterns)
    assert (done.returncode, box.numbers()) == (0, [0])
    said = done.stderr.decode()
    assert said.count("warning[SL111]") == 2
    assert f"no file matches {patterns[0]}" in said
    assert f"no file matches {patterns[2]}" in said
    assert b"SL111" not in box.run("run", "--once", "-q", *patterns).stderr


def test_quiet_says_nothing(box):
    append(box.log, event(0))
    done = box.run("run", "--once", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_own_log_is_json_where_nobody_looks(box):
    append(box.log, event(0))
    lines = box.once().stderr.splitlines()
    assert json.loads(lines[0])["event"] == "agent started"


def test_patterns_without_a_configuration_work_at_once(box):
    """The source is named after the directory, the store lies in the user's state directory."""
    append(box.log, events(0, 3))
    box.config.unlink()
    env = box.env | {"XDG_STATE_HOME": str(box.root / "xdg")}
    store = box.root / "s.db"
    run = [*SIDELOG, "run", "--once", "--store", str(store), str(box.logs / "*.log")]
    assert subprocess.run(run, env=env, cwd=box.root, capture_output=True, check=False).returncode == 0
    query = [*SIDELOG, "query", "--store", str(store), "-o", "json"]
    rows = subprocess.run(query, env=env, cwd=box.root, capture_output=True, check=True).stdout.splitlines()
    assert [json.loads(row)["source"] for row in rows] == ["logs"] * 3


def test_a_pattern_that_no_file_matches_is_named(box):
    """With what is missing; the exit code says that nothing failed, and `-q` keeps it quiet."""
    append(box.log, event(0))
    done = box.run("run", "--once", str(box.logs / "*.log"), str(box.root / "lgs/*.log"), str(box.logs / "app.lg"))
    said = done.stderr.decode()
    assert done.returncode == 0
    assert f"{box.root}/lgs/*.log: there is no 'lgs' in {box.root}, did you mean 'logs'?" in said
    assert f"there is no 'app.lg' in {box.logs}, did you mean 'app.log'?" in said
    assert said.count("warning[SL111]") == 2
    done = box.run("run", "--once", str(box.logs / "*.txt"))
    assert (done.returncode, done.stderr.count(b"warning[SL111]")) == (0, 1)
    assert box.run("run", "--once", "-q", str(box.logs / "*.txt")).stderr == b""


def test_patterns_replace_the_sources_of_a_configuration(box):
    append(box.log, event(0))
    append(box.root / "other.txt", event(1))
    done = box.run("run", "--once", str(box.root / "*.txt"))
    assert done.returncode == 0
    assert box.numbers() == [1]


def test_nothing_to_follow_is_wrong_usage(box):
    box.config.unlink()
    done = subprocess.run([*SIDELOG, "run"], env=box.env, cwd=box.root, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"SL503" in done.stderr


def test_a_configuration_without_sources_is_wrong(box):
    box.config.write_text(json.dumps({"store": {"path": str(box.store)}}))
    done = box.run("run", "--once")
    assert done.returncode == 78
    assert b"SL121" in done.stderr


def test_a_store_that_cannot_be_written_ends_once_with_a_sentence(box):
    """`--once` does not wait for ever."""
    append(box.log, event(0))
    box.configure(store={"min_free": "900000GiB"})
    done = box.run("run", "--once")
    assert done.returncode == 3
    assert b"SL410" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_store_cannot_change_by_a_reload(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    document = json.loads(box.config.read_text())
    document["store"]["path"] = str(box.root / "elsewhere.db")
    box.config.write_text(json.dumps(document))
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "cannot change" in box.said())
    assert box.process.poll() is None
    assert not (box.root / "elsewhere.db").exists()
