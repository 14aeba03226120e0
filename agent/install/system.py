"""The service: its user, directories, configuration, unit, hooks, drop-ins and what watches it, made where they lack
and renewed.

Nothing is done twice: whoever calls it again, with this version or a newer one, gets the files of that version, and
keeps the configuration, the environment and each hook that was changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.errors import SidelogError
from agent.core.text import counted
from agent.install import found, layout
from agent.install.files import Done, InstalledFiles, point
from agent.install.helps import link_helps
from agent.install.layout import shared, shared_names
from agent.install.owners import ROOT, hand_over, service_owner
from agent.service import unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.install.layout import Layout, Program

_TOOL_S = 60.0  # for a tool of the system; systemctl may wait for the service to stop
_HOOK_MODE = 0o755
_ENVIRONMENT_MODE = 0o600  # it holds secrets, and is read by root


def install(place: Layout, program: Program, *, force: bool) -> Iterator[Done]:
    """Install the service, or renew what is there.

    Args:
        place: the machine.
        program: what the service is to run.
        force: also renew hooks that were changed; the old ones stay as FILE.old.

    Yields:
        What was done, as it is done.

    Raises:
        SidelogError: SL120, a place cannot be written; SL620, it takes root; SL621, a tool of the system failed.
    """
    if place.is_here and os.geteuid() != 0:
        raise SidelogError.of("SL620", "sidelog init --system")
    files = InstalledFiles(place)
    if place.is_packaged:
        yield Done("kept", layout.PACKAGED_UNIT, "unit, user and folders are the package's")
    else:
        yield files.own(layout.SYSUSERS, shared("systemd/sidelog.sysusers.conf"))
        yield files.own(layout.TMPFILES, shared("systemd/sidelog.tmpfiles.conf"))
        yield from _make_user_and_directories(place)
        yield from _give_back(place)
        command, links = _link(place, program)
        yield from links
        yield from link_helps(place, program)
        yield files.own(layout.UNIT, unit_text(command))
        backup_units = {name: unit_text(command, Path(name).name) for name in layout.BACKUP_UNITS}
        yield from _together(files.own(name, backup_units[name]) for name in backup_units)
        for origin, directory in layout.TO_CHOOSE_FROM.items():
            names = shared_names(origin, "*.*")
            yield from _together([files.own(f"{directory}/{Path(name).name}", shared(name)) for name in names])
    hooks = {f"{layout.HOOKS}/{Path(name).name}": shared(name) for name in shared_names("etc/hooks", "*")}
    yield from _together(files.offer(hook, hooks[hook], _HOOK_MODE, force=force) for hook in hooks)
    yield files.once(layout.ENVIRONMENT, shared("etc/sidelog.default"), _ENVIRONMENT_MODE)
    sources = found.find(place)
    made = files.once(layout.CONFIG, found.configuration(place, sources))
    yield made if made.verb == "kept" else made._replace(note=_sentence(sources))
    files.save()
    if is_booted(place):
        run_tool(["systemctl", "daemon-reload"])
        yield Done("told", "systemd", "daemon-reload")


def _together(steps: Iterable[Done]) -> Iterator[Done]:
    """Steps on files of one directory: one for those that went alike, and each alone of which there is more to say."""
    alike: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        directory, _, name = step.place.rpartition("/")
        if step.note:
            yield step
        else:
            alike.setdefault((step.verb, directory), []).append(name)
    for (verb, directory), names in alike.items():
        yield Done(verb, directory, ", ".join(names) if verb != "kept" else "")


def _sentence(sources: list[found.FoundSource]) -> str:
    """What a new configuration follows."""
    open_to_it = [source.name for source in sources if not source.obstacle]
    closed = [source.name for source in sources if source.obstacle]
    parts = [f"follows {', '.join(open_to_it)}" if open_to_it else "no logs were found that the service may read"]
    return "; ".join(parts + ([f"offers {', '.join(closed)}, as comments"] if closed else []))


def _make_user_and_directories(place: Layout) -> Iterator[Done]:
    where = [] if place.is_here else [f"--root={place.root.absolute()}"]
    is_there = service_owner(place) is not None and place.at(layout.STATE).is_dir()
    for tool, name, what in (
        ("systemd-sysusers", layout.SYSUSERS, f"user and group {layout.USER}"),
        ("systemd-tmpfiles", layout.TMPFILES, f"{layout.STATE}, {layout.CONFIG_DIRECTORY}"),
    ):
        if os.geteuid() != 0:  # a tree that becomes a package, or an image
            yield Done("left", what, f"only root can make it: {tool} {Path(name).name}")
            continue
        if shutil.which(tool) is None:
            raise SidelogError.of("SL621.absent", tool, what=what)
        create = ["--create"] if tool == "systemd-tmpfiles" else []
        run_tool([tool, *where, *create, str(place.at(name).absolute())])
        yield Done("kept" if is_there else "made", what)


def _give_back(place: Layout) -> Iterator[Done]:
    """Give the service what is root's in its directory: stores that a removal has left, or that root has made there."""
    owner = service_owner(place)
    state = place.at(layout.STATE)
    if os.geteuid() == 0 and owner is not None and state.is_dir() and (count := hand_over(state, ROOT, owner)):
        yield Done("gave", layout.STATE, f"{counted(count, 'file or directory', 'files and directories')} of root's")


def _link(place: Layout, program: Program) -> tuple[list[str], list[Done]]:
    """Put the program on the PATH: what the unit is to start, and what was done.

    A program in /opt/sidelog/VERSION is reached through /opt/sidelog/current, which is all that a change of the version
    changes; the one before is /opt/sidelog/previous.
    """
    name, target = program.version_name, program.words[0]
    done = []
    if name is not None:
        former = _leads_to(place, layout.CURRENT)
        if former not in (None, name):
            done.append(point(place, layout.PREVIOUS, str(former)))
        done.append(point(place, layout.CURRENT, name))
        target = f"{layout.CURRENT}/bin/sidelog"
    elif len(program.words) > 1 or target in (layout.COMMAND, "/usr/bin/sidelog"):
        return program.words, done
    try:
        done.append(point(place, layout.COMMAND, target))
    except SidelogError as error:
        done.append(Done("kept", layout.COMMAND, f"{error.message}; the unit starts {target}"))
        return [target], done
    return [layout.COMMAND], done


def _leads_to(place: Layout, link: str) -> str | None:
    """What a link beside the versions leads to, where that is there."""
    path = place.at(link)
    return str(path.readlink()) if path.is_symlink() and path.exists() else None


def unit_text(command: Sequence[str], name: str = "sidelog.service") -> str:
    """A unit, which starts this command."""
    return shared(f"systemd/{name}").replace(layout.COMMAND, unit_words(command))


def unit_words(words: Sequence[str]) -> str:
    """Words as a unit file wants them, quoted, `%` doubled (systemd.service(5), "Command lines")."""
    escaped = [word.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"') for word in words]
    return " ".join(f'"{word}"' if set(word) & set(' "\t\\') else word for word in escaped)


# ---------------------------------------------------------------- tools of the system


def is_booted(place: Layout) -> bool:
    """Whether systemd runs on that machine, and it is this one."""
    return place.is_here and unit.is_booted()


def run_tool(command: list[str], *, may_fail: bool = False) -> bool:
    """Run a tool of the system; whether it did what it was asked.

    Raises:
        SidelogError: SL621, it failed, and may not.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed tool, without a shell
            command, capture_output=True, text=True, errors="replace", timeout=_TOOL_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        if may_fail:
            return False
        raise SidelogError.of("SL621", command[0], command=" ".join(command), why=error) from None
    if done.returncode and not may_fail:
        said = " ".join((done.stderr or done.stdout).split()) or f"it ended with code {done.returncode}"
        raise SidelogError.of("SL621", command[0], command=" ".join(command), why=said)
    return not done.returncode
