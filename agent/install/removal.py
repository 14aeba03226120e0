"""Taking the service off a machine. What it has stored stays, unless that is asked for too.

First a plan, which can be shown; then, on somebody's word, its steps. What holds logs may be the only copy of them: an
archived log was deleted when its archive was safe.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from agent.archive.directory import ARCHIVE_SUFFIX
from agent.archive.lock import LOCK_NAME
from agent.core.errors import SidelogError
from agent.core.units import format_size
from agent.install import layout
from agent.install.files import Done, InstalledFiles
from agent.install.helps import linked_helps
from agent.install.owners import ROOT, hand_over, service_owner
from agent.install.system import is_booted, run_tool
from agent.store.lock import owner as owner_of_store
from agent.store.lock import store_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from agent.install.layout import Layout

_ARCHIVES = "archives"
_COPIES = (".v*", ".replaced-*", ".damaged-*", ".orphaned-*")  # of a store, and what was moved aside
# What tells who has made an environment, and how it is taken away.
_INSTALLERS = {"pipx_metadata.json": "pipx uninstall sidelog", "uv-receipt.toml": "uv tool uninstall sidelog"}


class Data(NamedTuple):
    """A directory or a file that holds what was stored."""

    place: Path
    what: str
    bytes: int


class RemovalPlan(NamedTuple):
    """What a removal takes away and what it leaves.

    Args:
        files: that go: unit, drop-ins, links, notes, environments of the program.
        user: whether the service's user goes.
        data: stores, archives and configuration.
        purge: whether these go too.
        spared: what stays in any case, and why.
    """

    files: list[Path]
    user: bool
    data: list[Data]
    purge: bool
    spared: dict[Path, str]


def plan(place: Layout, store: Path, archives: Path, *, purge: bool) -> RemovalPlan:
    """What is to be removed from a machine.

    Args:
        place: the machine.
        store: the configuration's.
        archives: their directory.
        purge: stores, archives and configuration go too.

    Raises:
        SidelogError: SL620, it takes root; SL622, a package of the distribution has installed it.
    """
    if place.is_here and os.geteuid() != 0:
        raise SidelogError.of("SL620", "sidelog remove --system")
    if place.is_packaged:
        raise SidelogError.of("SL622", "sidelog")
    data, backups = _data(place, store, archives), place.at(layout.BACKUPS)
    files = [path for path in _files(place) if path not in {one.place for one in data}]
    spared = _program(place)
    if backups.is_dir() and backups not in files:
        spared[backups] = "backups, whatever else is deleted"
    return RemovalPlan(files, service_owner(place) is not None, data, purge, spared)


def _program(place: Layout) -> dict[Path, str]:
    """The environment of this program, where another one has made it than who makes those in /opt/sidelog."""
    program = layout.this_program()
    environment = place.at(str(program.environment))
    if program.version_name is not None or not (environment / "pyvenv.cfg").is_file():
        return {}
    ways = [how for file, how in _INSTALLERS.items() if (environment / file).is_file()]
    return {environment: f"the program; {' '.join(ways) or 'delete it'}, if it is to go too"}


def _files(place: Layout) -> Iterator[Path]:
    """What an installation has brought, as far as it is there; the program last, for this may be it."""
    names = [name for unit in (layout.UNIT, *layout.BACKUP_UNITS) for name in (unit, f"{unit}.old")]
    names += [f"{unit}.d" for unit in (layout.UNIT, *layout.BACKUP_UNITS)]
    names += [name for file in (layout.SYSUSERS, layout.TMPFILES) for name in (file, f"{file}.old")]
    names += [layout.ENVIRONMENT, *_unchanged_hooks(place), layout.NOTE, layout.SHARE]
    yield from (place.at(name) for name in names if os.path.lexists(place.at(name)))
    backups = place.at(layout.BACKUPS)
    if backups.is_dir() and not any(backups.iterdir()):
        yield backups
    link = place.at(layout.COMMAND)
    ours = (f"{layout.VERSIONS}/", f"{layout.this_program().environment}/")
    if link.is_symlink() and str(link.readlink()).startswith(ours):
        yield link
    yield from linked_helps(place, ours)
    versions = place.at(layout.VERSIONS)
    for path in sorted(versions.iterdir()) if versions.is_dir() else ():
        if path.is_symlink() or (path / "pyvenv.cfg").is_file():
            yield path


def _unchanged_hooks(place: Layout) -> Iterator[str]:
    """Hooks that are as they came; with these goes what a later version laid beside changed ones."""
    files = InstalledFiles(place)
    folder = place.at(layout.HOOKS)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = f"{layout.HOOKS}/{path.name}"
        is_beside = name.endswith(".new") and name.removesuffix(".new") in files.known
        if is_beside or files.is_unchanged(name):
            yield name


def _data(place: Layout, store: Path, archives: Path) -> list[Data]:
    state, config = place.at(layout.STATE), place.at(layout.CONFIG_DIRECTORY)
    found = [Data(state, "stores, archives and notes of the service", _size(state))] if state.is_dir() else []
    if state not in store.parents:
        found += [Data(path, "a store, or a copy of one", _size(path)) for path in _parts(store)]
    if archives != state and state not in archives.parents and archives.is_dir():
        found.append(Data(archives, _ARCHIVES, _size(archives)))
    if config.is_dir():
        found.append(Data(config, "the configuration and changed hooks", _size(config)))
    environment = place.at(layout.ENVIRONMENT)
    if environment.is_file() and not InstalledFiles(place).is_unchanged(layout.ENVIRONMENT):
        found.append(Data(environment, "the environment, which was changed here: secrets", _size(environment)))
    return found


def _parts(store: Path) -> list[Path]:
    """A store, its side files and copies."""
    found = store_files(store)
    for pattern in _COPIES:
        found += sorted(store.parent.glob(store.name + pattern))
    return [path for path in found if path.is_file()]


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir() or file.is_symlink())


def sentences(planned: RemovalPlan) -> Iterator[str]:
    """The plan in words, a line each."""
    for path in planned.files:
        yield f"remove  {path}"
    if planned.user:
        yield f"remove  the user and the group {layout.USER}"
    for path, why in planned.spared.items():
        yield f"keep    {path}: {why}"
    for data in planned.data:
        verb = "DELETE " if planned.purge else "keep   "
        yield f"{verb} {data.place}: {data.what}, {format_size(data.bytes)}"


# ---------------------------------------------------------------- doing it


def remove(place: Layout, planned: RemovalPlan, store: Path) -> Iterator[Done]:
    """Take the steps of a plan.

    Raises:
        SidelogError: SL623, an agent runs on the store and is not the service; SL621, a tool of the system failed;
            SL624, a file cannot be removed. What was done until then is done; to call it again goes on.
    """
    if is_booted(place) and place.at(layout.UNIT).exists():
        run_tool(["systemctl", "disable", "--now", "sidelog-backup.timer"], may_fail=True)  # where there is one
        run_tool(["systemctl", "disable", "--now", "sidelog.service"])
        yield Done("stopped", "sidelog.service")
    if (running := owner_of_store(store)) is not None:
        raise SidelogError.of("SL623", store, pid=running.pid)
    if planned.purge:
        yield from _purge(planned.data)
    else:
        yield from _keep(place, planned.data)
    if planned.user and os.geteuid() == 0:
        yield from _remove_user(place)
    for path in planned.files:
        _delete(path)
        yield Done("removed", str(path))
    for folder in (layout.VERSIONS, layout.HOOKS):
        with contextlib.suppress(OSError):  # not there, or something else is in it
            place.at(folder).rmdir()
    if is_booted(place):
        run_tool(["systemctl", "daemon-reload"])


def _keep(place: Layout, kept: Iterable[Data]) -> Iterator[Done]:
    """Leave what was stored to root: the number of a user that is gone may become somebody else's."""
    former = service_owner(place)
    for data in kept:
        if former is not None and os.geteuid() == 0 and hand_over(data.place, former, ROOT):
            yield Done("kept", str(data.place), "it belongs to root now")
        else:
            yield Done("kept", str(data.place))


def _purge(gone: Iterable[Data]) -> Iterator[Done]:
    for data in gone:
        if data.what == _ARCHIVES:
            _delete_archives(data.place)
        else:
            _delete(data.place)
        yield Done("deleted", str(data.place))


def _delete_archives(directory: Path) -> None:
    """Archives in a directory of somebody's choice, where other files may lie too: these alone."""
    for path in (*directory.rglob(f"*{ARCHIVE_SUFFIX}"), directory / LOCK_NAME):
        _delete(path)
    for path in (*directory.glob("*"), directory):
        with contextlib.suppress(OSError):  # something else is in it
            path.rmdir()


def _remove_user(place: Layout) -> Iterator[Done]:
    where = [] if place.is_here else ["--prefix", str(place.root.absolute())]
    if shutil.which("userdel") is None:
        raise SidelogError.of("SL621.absent", "userdel", what=f"user {layout.USER}")
    run_tool(["userdel", *where, layout.USER])
    run_tool(["groupdel", *where, layout.USER], may_fail=True)  # userdel has mostly taken it
    yield Done("removed", f"the user and the group {layout.USER}")


def _delete(path: Path) -> None:
    """Remove a file, a link, or a directory with all in it; what is not there is no fault."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SidelogError.of("SL624", path, why=error) from None
