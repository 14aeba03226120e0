"""Telling an application: whom the agent signals or runs is decided by who owns the file, and never guessed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.config import RotateConfig, SignalConfig
from agent.core.errors import RotateError
from agent.rotate.postrotate import prepare, signal_number
from tests.integration.harness import wait_until
from tests.needs import needs

_LISTENER = """
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"told\\n"))
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


def go_on():
    return False


@pytest.fixture
def listener():
    """A process that says when it gets SIGUSR1."""
    process = subprocess.Popen([sys.executable, "-c", _LISTENER], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def pidfile(tmp_path):
    return tmp_path / "app.pid"


def by_signal(pidfile, name="USR1"):
    return prepare("app", RotateConfig(signal=SignalConfig(pidfile=pidfile, name=name)))


def test_the_process_of_the_pidfile_is_signalled(listener, pidfile):
    pidfile.write_text(f" {listener.pid} some more\nand more\n")
    for name in ("USR1", "sigusr1"):
        ready = by_signal(pidfile, name)
        assert ready.run(b"{}", go_on)
        ready.close()
        ready.close()
        assert listener.stdout.readline() == b"told\n"
    assert signal_number("Hup") is signal.SIGHUP


def test_without_process_descriptors_the_number_has_to_do(listener, pidfile, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    pidfile.write_text(str(listener.pid))
    ready = by_signal(pidfile)
    assert ready.run(b"{}", go_on)
    ready.close()
    assert listener.stdout.readline() == b"told\n"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_or_sandbox_without_process_descriptors_is_no_reason_to_refuse(listener, pidfile, monkeypatch, number):
    """Python has the call, Linux before 5.3 does not; old container runtimes forbid what they do not know."""

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    pidfile.write_text(str(listener.pid))
    ready = by_signal(pidfile)
    assert ready.run(b"{}", go_on)
    ready.close()
    assert listener.stdout.readline() == b"told\n"


def test_a_process_that_the_signal_would_end_is_not_signalled(listener, pidfile):
    """It has not set its handler yet, or an old pidfile names another process by now."""
    pidfile.write_text(str(listener.pid))
    with pytest.raises(RotateError, match=f"names process {listener.pid}, which SIGUSR2 would end"):
        by_signal(pidfile, "USR2")
    by_signal(pidfile, "WINCH").close()
    by_signal(pidfile, "TERM").close()
    assert listener.poll() is None


def test_where_nothing_tells_what_a_process_handles_it_is_signalled(listener, pidfile, monkeypatch):
    pidfile.write_text(str(listener.pid))
    monkeypatch.setattr("agent.rotate.postrotate._STATUS", "/no/such/{}")
    by_signal(pidfile, "USR2").close()


def test_a_process_that_ends_before_it_is_told_needs_not_be(listener, pidfile):
    pidfile.write_text(str(listener.pid))
    ready = by_signal(pidfile)
    listener.kill()
    listener.wait()
    assert ready.run(b"{}", go_on)
    ready.close()


@pytest.mark.parametrize("text", ["", "app", "0", "1", "-5", "12345678901234", "5.5", "\0"])
def test_a_file_without_a_process_id_is_refused(pidfile, text):
    pidfile.write_text(text)
    with pytest.raises(RotateError, match="holds no process id") as refused:
        by_signal(pidfile)
    assert (refused.value.code, refused.value.subject) == ("SL821", "app")


def test_a_missing_linked_or_odd_pidfile_is_refused(tmp_path, pidfile):
    with pytest.raises(RotateError, match="No such file"):
        by_signal(pidfile)
    pidfile.symlink_to(tmp_path / "real")
    (tmp_path / "real").write_text(str(os.getpid()))
    with pytest.raises(RotateError, match="cannot be read"):
        by_signal(pidfile)
    pidfile.unlink()
    os.mkfifo(pidfile)
    with pytest.raises(RotateError, match="no regular file"):
        by_signal(pidfile)


def test_a_pidfile_that_others_can_write_is_refused(pidfile):
    pidfile.write_text(str(os.getpid()))
    for mode in (0o664, 0o646):
        pidfile.chmod(mode)
        with pytest.raises(RotateError, match=f"mode {mode:o}"):
            by_signal(pidfile)


def test_a_process_that_is_gone_is_not_signalled(listener, pidfile):
    listener.kill()
    listener.wait()
    pidfile.write_text(str(listener.pid))
    with pytest.raises(RotateError, match="does not run"):
        by_signal(pidfile)


@needs("root")
def test_somebody_elses_pidfile_names_only_his_own_processes(listener, pidfile, monkeypatch):
    def hidden(*_):
        raise FileNotFoundError(2, "No such file or directory")

    pidfile.write_text(str(listener.pid))
    os.chown(pidfile, 1234, 1234)
    with pytest.raises(RotateError, match=r"not of the file's owner \(uid 1234\)"):
        by_signal(pidfile)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", hidden)
        with pytest.raises(RotateError, match="nobody knows whose it is"):
            by_signal(pidfile)
    mine = subprocess.Popen(["sleep", "60"], user=1234)
    try:
        pidfile.write_text(str(mine.pid))
        ready = by_signal(pidfile, "TERM")
        ready.run(b"{}", go_on)
        ready.close()
        assert mine.wait(20) == -signal.SIGTERM
    finally:
        mine.kill()
        mine.wait()


def test_a_signal_that_is_not_allowed_is_an_error(listener, pidfile, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    pidfile.write_text(str(listener.pid))
    ready = by_signal(pidfile)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "pidfd_send_signal", refuse)
        with pytest.raises(RotateError, match="cannot be signalled: Operation not permitted"):
            ready.run(b"{}", go_on)
    ready.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", refuse)
        with pytest.raises(RotateError, match="cannot be signalled: Operation not permitted"):
            by_signal(pidfile)


# ---------------------------------------------------------------- commands


@pytest.fixture
def script(tmp_path):
    """Writes a shell script and gives how it is told."""
    path = tmp_path / "reopen.sh"

    def write(text, timeout=20.0):
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return prepare("app", RotateConfig(command=[str(path), "an argument"], timeout=timeout))

    write.path = path
    return write


def test_a_command_gets_the_logs_as_json_and_a_clean_environment(script, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    ready = script(f'cat > {tmp_path}/in; env > {tmp_path}/env; echo "$1" > {tmp_path}/arg')
    assert ready.run(json.dumps({"source": "app"}).encode(), go_on)
    ready.close()
    assert json.loads((tmp_path / "in").read_bytes()) == {"source": "app"}
    assert (tmp_path / "arg").read_text() == "an argument\n"
    found = (tmp_path / "env").read_text()
    assert "SIDELOG_SOURCE=app\n" in found
    assert "SECRET" not in found


@pytest.mark.parametrize(
    ("text", "said"), [("echo no; echo not now >&2; exit 3", "exit 3: not now"), ("kill -9 $$", "killed by signal 9")]
)
def test_a_command_that_fails_says_why(script, text, said):
    with pytest.raises(RotateError, match=said) as failed:
        script(text).run(b"{}", go_on)
    assert (failed.value.code, failed.value.subject) == ("SL822", "app")


def test_a_command_that_hangs_is_killed_with_its_children(script, tmp_path):
    with pytest.raises(RotateError, match=r"timeout after 0\.3s"):
        script(f"sleep 3600 & echo $! > {tmp_path}/child; wait", timeout=0.3).run(b"{}", go_on)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: _is_gone(child), what="the end of the child")


def _is_gone(pid):
    try:
        # a child of a killed shell may wait to be reaped
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except OSError:
        return True


def test_an_agent_that_ends_kills_the_command_and_has_not_told(script, tmp_path):
    began = tmp_path / "began"
    end = time.monotonic() + 30
    assert not script(f"touch {began}; sleep 3600").run(b"{}", lambda: began.exists() or time.monotonic() > end)
    assert began.exists()


def test_a_command_that_others_could_change_or_that_is_not_there_is_refused_before_anything(script, tmp_path):
    script("true")
    script.path.chmod(0o777)
    for command, why in (([str(script.path)], "can be written by others"), (["/no/such"], "there is no such program")):
        with pytest.raises(RotateError, match=why) as refused:
            prepare("app", RotateConfig(command=command))
        assert refused.value.code == "SL822"
    assert prepare("app", RotateConfig(command=["true"])).run(b"{}", go_on)


def test_an_application_that_finds_out_by_itself_is_not_told(tmp_path):
    ready = prepare("app", RotateConfig())
    assert ready.run(b"{}", go_on)
    ready.close()
