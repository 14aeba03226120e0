"""What heals a finding: a command, or a line in a drop-in of the unit. Shown as a shell script, or done."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import SidelogError
from agent.core.patterns import lazy
from agent.core.text import escape
from agent.service.unit import is_booted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.service.unit import Unit

# The last drop-in wins, and what `systemctl edit` makes is called override.conf.
_DROP_IN, _LAST_DROP_IN = "check.conf", "zz-check.conf"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_IN_HINT = 3
_TIMEOUT_S = 30.0
_WORD = lazy(r'"(?:[^"\\]|\\.)*"|\S+')
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Fix(msgspec.Struct, frozen=True):
    """One step. Either `command` with its last argument `target`, or `line`, of the section [Service]."""

    command: tuple[str, ...] = ()
    target: str = ""
    line: str = ""

    def text(self) -> str:
        """As a person would type it."""
        return self.line or shlex.join([*self.command, *([self.target] if self.target else [])])


def hint(fixes: Sequence[Fix], unit: Unit | None, otherwise: str = "") -> str:
    """The steps as one line; `otherwise` where there are none."""
    lines = drop_in_lines(fixes)
    commands = [fix.text() for fix in fixes if fix.command]
    parts = []
    if len(commands) > _MOST_IN_HINT:
        parts.append(f"`sidelog check --fix` has the {len(commands)} commands, the first is {commands[0]}")
    elif commands:
        parts.append(" && ".join(commands))
    if lines and unit is not None:
        parts.append(f"`systemctl edit {unit.name}`, below [Service]: {', '.join(lines)}")
    return "; then ".join(parts) or otherwise


def _drop_in(unit: Unit) -> Path:
    """The file for the lines: the last one of the unit's drop-ins."""
    return unit.drop_ins / (_DROP_IN if unit.last_drop_in <= _DROP_IN else _LAST_DROP_IN)


def drop_in_lines(fixes: Sequence[Fix]) -> list[str]:
    """The lines of a drop-in that do all the steps together.

    A list of paths that several steps give anew, each without what it opens, keeps what all of them leave in it.
    """
    added: dict[str, dict[str, None]] = {}
    given_anew: dict[str, list[list[str]]] = {}
    for line in (fix.line for fix in fixes if fix.line):
        key, _, value = line.partition("=")
        if not value:
            given_anew.setdefault(key, []).append([])
        elif key in given_anew and not given_anew[key][-1]:
            given_anew[key][-1].append(value)
        else:
            added.setdefault(key, {})[value] = None
    lines = []
    for key, lists in given_anew.items():
        words = [[word for value in values for word in _words(value)] for values in lists]
        known = dict.fromkeys(word for one in words for word in one)
        kept = [word for word in known if not key.endswith("Paths") or all(word in one for one in words)]
        lines += [f"{key}=", *([f"{key}={' '.join(kept)}"] if kept else [])]
    return lines + [f"{key}={value}" for key, values in added.items() for value in values]


def _words(value: str) -> list[str]:
    """The words of a list as they are written, with their quotes."""
    return [found[0] for found in _WORD.finditer(value)]


def script(fixes: Sequence[Fix], unit: Unit | None) -> Iterator[str]:
    """The lines of a shell script that does the steps."""
    for program in dict.fromkeys(fix.command[0] for fix in fixes if fix.command):
        if shutil.which(program, path=_SEARCH_PATH) is None:
            yield f"# {program} is not installed here (setfacl is in the package acl)"
    yield from dict.fromkeys(fix.text() for fix in fixes if fix.command)
    lines = drop_in_lines(fixes)
    if lines and unit is not None:
        file = _drop_in(unit)
        yield f"mkdir -p {shlex.quote(str(unit.drop_ins))}"
        yield f"cat >> {shlex.quote(str(file))} <<'END'"
        yield from ("[Service]", *lines, "END", "systemctl daemon-reload", f"systemctl try-restart {unit.name}")


def apply(fixes: Sequence[Fix], unit: Unit | None) -> Iterator[tuple[str, SidelogError | None]]:
    """Do the steps; gives each with what has failed of it.

    A path is reached without any link and is changed by its descriptor, so that nobody who may write on the way to it
    makes this change another file.
    """
    for fix in dict.fromkeys(fix for fix in fixes if fix.command):
        yield fix.text(), _run(fix)
    lines = drop_in_lines(fixes)
    if lines and unit is not None:
        yield f"{_drop_in(unit)}: {', '.join(lines)}", _write_lines(unit, lines)


def _write_lines(unit: Unit, lines: Sequence[str]) -> SidelogError | None:
    file = _drop_in(unit)
    try:
        unit.drop_ins.mkdir(mode=0o755, parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as drop_in:
            os.fchmod(drop_in.fileno(), 0o644)
            drop_in.write("\n".join(("[Service]", *lines, "")))
    except OSError as error:
        return SidelogError.of("SL146", str(file), what=file, why=error)
    if unit.installed and is_booted():
        return _run(Fix(command=("systemctl", "daemon-reload")))
    return None


def _run(fix: Fix) -> SidelogError | None:
    try:
        if fix.command[0] == "install":
            _make(Path(fix.target), user=fix.command[-3], group=fix.command[-1])
            return None
        program = shutil.which(fix.command[0], path=_SEARCH_PATH)
        if program is None:
            return SidelogError.of("SL146.absent", fix.text(), what=fix.text(), program=fix.command[0])
        with contextlib.ExitStack() as stack:
            words, passed = [program, *fix.command[1:]], []
            if fix.target.startswith("/"):
                passed.append(_without_links(Path(fix.target)))
                stack.callback(os.close, passed[0])
                words.append(f"/proc/self/fd/{passed[0]}")
            elif fix.target:
                words.append(fix.target)
            done = subprocess.run(  # noqa: S603 - the words of `access.grants` and its like, and no shell
                words, pass_fds=passed, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
    except (OSError, LookupError, subprocess.TimeoutExpired) as error:
        return SidelogError.of("SL146", fix.text(), what=fix.text(), why=error)
    if done.returncode:
        said = escape(done.stderr.decode(errors="replace").strip()) or f"exit code {done.returncode}"
        return SidelogError.of("SL146", fix.text(), what=fix.text(), why=said)
    return None


def _make(directory: Path, *, user: str, group: str) -> None:
    """What `install -d -m 0700` does, without following a link: make a directory, what is missing above it for root.

    Raises:
        OSError: it cannot be made; LookupError: there is no such user or group.
    """
    missing = [part for part in (directory, *directory.parents) if not os.path.lexists(part)]
    here = _without_links((missing[-1] if missing else directory).parent)
    try:
        for part in reversed(missing):
            os.mkdir(part.name, 0o755, dir_fd=here)
            above, here = here, os.open(part.name, _DIRECTORY, dir_fd=here)
            os.close(above)
        if missing:
            os.fchmod(here, 0o700)
            os.fchown(here, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)
    finally:
        os.close(here)


def _without_links(path: Path) -> int:
    """A descriptor of a file or a directory that no link leads to.

    Raises:
        OSError: a link is on the way, the file has several names, or is of another kind.
    """
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in path.parts[1:]:
        try:
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
        here = below
    status = os.fstat(here)
    if stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1):
        return here
    os.close(here)
    raise OSError(errno.ELOOP, "it is a link, has several names, or is no file")
