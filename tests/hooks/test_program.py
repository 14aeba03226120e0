"""Hook programs as they are: hanging, flooding, failing, daemonising, killed."""

import asyncio
import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.hooks.program import OUTPUT_BYTES, VALUE_BYTES, environment, run, unsafe
from tests.needs import needs

DOCUMENT = {
    "rule": "r", "state": "firing", "severity": "critical", "key": {"service": "a\0b"}, "value": 5.0,
    "threshold": 2.5, "delivery_id": "d1",
}  # fmt: skip


def script(folder: Path, text: str, name: str = "hook.sh") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def ran(command, document=b"{}", timeout_s=60.0):
    return asyncio.run(run(command, document, environment(DOCUMENT), timeout_s))


def wait_until(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def all_children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


@pytest.fixture
def children():
    """The processes that were started since, and are there; a server of other tests may have been there before."""
    before = all_children()
    return lambda: sorted(all_children() - before)


def test_it_gets_the_document_its_arguments_and_a_clean_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", "secret")
    hook = script(tmp_path, f'cat > {tmp_path}/in; env -0 > {tmp_path}/env; echo "$1|$2"; pwd')
    result = ran([hook, "a b", "$(id)"], b'{"x": 1}' * 50_000)
    assert (result.ok, result.said, result.output) == (True, "exit 0", "a b|$(id)\n/\n")
    assert (tmp_path / "in").read_bytes() == b'{"x": 1}' * 50_000
    env = dict(item.split("=", 1) for item in (tmp_path / "env").read_text().split("\0") if item)
    assert "CANARY" not in env
    assert {name: env[name] for name in env if name.startswith("SIDELOG_")} == {
        "SIDELOG_RULE": "r",
        "SIDELOG_STATE": "firing",
        "SIDELOG_SEVERITY": "critical",
        "SIDELOG_VALUE": "5",
        "SIDELOG_THRESHOLD": "2.5",
        "SIDELOG_KEY": '{"service":"a\\u0000b"}',
        "SIDELOG_DELIVERY_ID": "d1",
    }
    assert json.loads(env["SIDELOG_KEY"]) == DOCUMENT["key"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("exit 7", "exit 7"), ("kill -TERM $$", "killed by signal 15"), ("exec 0<&- ; exit 0", "exit 0")],
)
def test_how_it_ended_is_said_whether_it_read_its_input_or_not(tmp_path, text, said):
    result = ran([script(tmp_path, text)], b"x" * 10**6)
    assert (result.ok, result.said) == (said == "exit 0", said)


def test_one_that_hangs_is_killed_with_its_grandchildren(tmp_path, children):
    hook = script(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; echo working; sleep 600")
    result = ran([hook], timeout_s=3.0)
    assert (result.ok, result.said, result.output) == (False, "timeout after 3s", "working\n")
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: gone(child))
    assert children() == []


def test_what_it_leaves_in_its_group_goes_with_it(tmp_path, children):
    hook = script(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; exit 0")
    assert ran([hook]).ok
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: gone(child))
    assert children() == []


def test_one_that_daemonises_is_not_waited_for(tmp_path):
    """Its child is in a session of its own and holds the output open; it lives, and nobody waits for it."""
    hook = script(tmp_path, f"setsid sh -c 'echo $$ > {tmp_path}/child; sleep 600' &\nexit 0")
    began = time.monotonic()
    result = ran([hook], timeout_s=30.0)
    assert result.ok
    assert time.monotonic() - began < 30.0
    if (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip():
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_flood_is_read_to_its_end_and_its_beginning_kept(tmp_path):
    result = ran([script(tmp_path, "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; echo done")])
    assert result.ok
    assert len(result.output.replace("\\0", "\0")) == OUTPUT_BYTES


def test_a_flood_without_end_is_stopped(tmp_path, children):
    result = ran([script(tmp_path, "yes")], timeout_s=3.0)
    assert result.said == "timeout after 3s"
    assert result.output.startswith("y\ny\n")
    assert children() == []


@pytest.mark.parametrize(
    "command",
    [["/" + "x" * 5_000], ["/no\0such"], ["/no\ud800"], ["/bin/true", "a\0b"], ["/bin/true", "\ud800"],
     ["/bin/true", "x" * 200_000], ["/bin/true", *["x" * 99_999] * 90]],
)  # fmt: skip
def test_what_can_never_start_is_said_and_not_to_be_tried_again(command):
    result = ran(command)
    assert (result.ok, result.error, result.retryable) == (False, "SL702", False)
    assert "cannot be started" in result.said
    result.said.encode()


@pytest.mark.parametrize("program", ["/no/such", "no-such-program-anywhere", "/dev/null/x"])
def test_a_program_that_is_not_there_may_come_back(program):
    result = ran([program])
    assert (result.ok, result.error, result.retryable) == (False, "SL702", True)
    assert "cannot be started" in result.said


def test_what_is_no_program_is_said(tmp_path):
    plain = tmp_path / "text"
    plain.write_text("hello")
    for mode in (0o600, 0o700):
        plain.chmod(mode)
        result = ran([str(plain)])
        assert (result.error, result.retryable) == ("SL702", True)


def test_a_program_that_is_being_written_may_start_later(tmp_path):
    hook = tmp_path / "hook"
    hook.write_bytes(Path("/bin/true").read_bytes())
    hook.chmod(0o700)
    with hook.open("ab"):
        result = ran([str(hook)])
    assert (result.ok, result.error, result.retryable) == (False, "SL702", True)
    assert ran([str(hook)]).ok


VALUES = st.none() | st.text(st.characters(exclude_categories=()), max_size=40).map(lambda text: text * 3_000)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=9), VALUES, min_size=1, max_size=4), st.text(max_size=5))
def test_every_document_can_be_told_in_an_environment(key, rule):
    found = environment({**DOCUMENT, "key": key, "rule": rule * 2_000})
    assert all(len(os.fsencode(value)) <= VALUE_BYTES and "\0" not in value for value in found.values())
    told = json.loads(found["SIDELOG_KEY"])
    if len(told) == len(key):
        assert all((given or "").startswith(one or "") for one, given in zip(told.values(), key.values(), strict=True))


def test_a_program_starts_with_the_largest_values(tmp_path):
    env = environment({**DOCUMENT, "key": {"user": "\0ü" * 100_000}, "rule": "r\0\ud800" * 50_000})
    hook = script(tmp_path, f'printf %s "$SIDELOG_KEY" > {tmp_path}/key')
    assert asyncio.run(run([hook], b"{}", env, 20.0)).ok
    short = json.loads((tmp_path / "key").read_text())["user"]
    assert len(short) > 300
    assert "\0ü" * 200 in short


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_one_that_others_can_write_is_refused(tmp_path, mode):
    hook = script(tmp_path, f"touch {tmp_path}/ran")
    Path(hook).chmod(mode)
    result = ran([hook])
    assert (result.ok, result.error, result.retryable) == (False, "SL701", True)
    assert f"{hook} can be written by others (mode {mode:o})" in result.said
    assert not (tmp_path / "ran").exists()


def test_one_in_a_directory_that_others_can_write_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    hook = script(folder, "exit 0")
    folder.chmod(0o777)
    assert unsafe(hook) == f"{folder} can be written by others (mode 777)"
    folder.chmod(0o777 | stat.S_ISVTX)  # as /tmp: nobody can replace another's file
    assert unsafe(hook) is None


@needs("root")
def test_one_of_another_user_is_refused(tmp_path):
    hook = script(tmp_path, "exit 0")
    os.chown(hook, 12345, -1)
    assert "belongs to another user (uid 12345)" in (unsafe(hook) or "")


def test_a_cancelled_run_leaves_nothing_behind(tmp_path, children):
    hook = script(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 600")

    async def cancelled():
        task = asyncio.create_task(run([hook], b"", environment(DOCUMENT), 60.0))
        while not (tmp_path / "pid").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    wait_until(lambda: gone(int((tmp_path / "pid").read_text() or 0)))
    assert children() == []
