"""What `check` finds out about a machine, a finding at a time; the command as a whole has its tests beside it."""

import os
import socket
import subprocess
import sys

from agent.config import HookConfig
from agent.service import account
from agent.service.viewpoint import Viewpoint
from agent.views import keeping, programs, readiness
from agent.views.listening import port


def own():
    return Viewpoint(account.current())


def test_the_kernel_is_asked_for_an_instance(monkeypatch):
    assert readiness._inotify_problem() is None
    monkeypatch.setattr(readiness.ctypes, "CDLL", lambda *_, **__: object())
    assert readiness._inotify_problem() == "this system has no inotify"


def test_an_instance_that_the_kernel_refuses():
    code = "import resource\nfrom agent.views import readiness\n"
    code += "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\nprint(readiness._inotify_problem())\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "Too many open files\n"


def test_an_address_in_use_or_impossible():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        assert port(f"127.0.0.1:{busy.getsockname()[1]}").level == "warning"
    assert port("192.0.2.1:9880").level == "error"


def test_a_program_that_cannot_run(tmp_path):
    script = tmp_path / "page.sh"

    def finding():
        (one,) = programs.hook_program("page", HookConfig(exec=[str(script)]), own())
        return one.level, one.code, one.sentence.removeprefix(f"{script} ")

    assert finding() == ("error", "SL117", "does not exist")
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    assert finding() == ("error", "SL117", "is not executable")
    script.chmod(0o775)
    assert finding()[:2] == ("error", "SL117")
    script.chmod(0o755)
    assert finding()[0] == "ok"
    assert not list(programs.hook_program("chat", HookConfig(), own()))


def test_a_hook_is_looked_at_as_it_will_be_run(tmp_path, monkeypatch):
    """By the hooks' own search path, with its directory, and with its arguments."""

    def finding(*command):
        (one,) = programs.hook_program("page", HookConfig(exec=list(command)), own())
        return one.level, one.sentence

    mine = tmp_path / "open" / "mine"
    mine.parent.mkdir()
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{mine.parent}:{os.environ['PATH']}")
    assert finding("mine") == ("error", "mine does not exist")
    assert finding(str(mine)) == ("ok", f"{mine} can be run")
    mine.parent.chmod(0o777)
    assert finding(str(mine))[1].endswith(f"{mine.parent} can be written by others (mode 777)")
    assert finding("/bin/true", "x" * 131_071)[0] == "ok"
    assert finding("/bin/true", "x" * 131_072)[1].startswith("/bin/true can never be started: an argument of 128 KiB")
    assert finding("/bin/true", "a\0b")[0] == finding("/bin/true", "\ud800")[0] == "error"


def test_a_user_without_a_name_is_a_number(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    assert account.current().name == "4000000000"


def test_a_read_only_file_system_is_said(tmp_path, monkeypatch):
    class Status:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _: Status)
    assert keeping.writable("SL113", "store.path", tmp_path, own()).sentence.endswith("lies on a read-only file system")
