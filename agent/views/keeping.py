"""Can the agent write what it is to write: the store, archives, and the directories of logs that it rotates or deletes?

Every function gives findings and changes nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config.schema import ArchiveRetentionConfig
from agent.core.errors import RotateError, SidelogError
from agent.core.text import counted, is_seen
from agent.core.units import format_duration, format_size
from agent.service import access
from agent.service.account import group_name
from agent.service.fix import Fix, hint
from agent.store.lock import store_files
from agent.store.reader import open_reader
from agent.views.diagnostic import Diagnostic, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config import Config, RotateConfig, SourceConfig
    from agent.service.viewpoint import Viewpoint
    from agent.store.archives import ArchiveRow
    from agent.tail.discover import DirectoryScan


def store(config: Config, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the store can be written where it is to lie, and whether the disk has room."""
    path = config.store.path
    if is_seen(path):
        try:
            open_reader(path).close()
        except SidelogError as problem:  # an older schema is migrated at start
            yield Diagnostic.of(problem, "warning" if problem.code == "SL407" else "error")
        if closed := [part for part in store_files(path) if is_seen(part) and not access.may(str(part), os.W_OK)]:
            fixes = tuple(fix for part in closed for fix in _given(part, view))
            facts = {"path": closed[0], "user": view.account.name, "hint": hint(fixes, view.unit) or None}
            yield error("SL113.file", "store.path", fixes=fixes, **facts)
    finding = writable("SL113", "store.path", path.parent, view)
    yield finding
    if finding.level == "ok":
        yield from _room(config)


def _room(config: Config) -> Iterator[Diagnostic]:
    path = config.store.path
    free = shutil.disk_usage(existing(path.parent)).free
    least, bound = config.store.min_free, config.store.retention.size
    held = path.stat().st_size if is_seen(path) else 0
    if free < least:
        yield error("SL114.now", "store.min_free", free=format_size(free), least=format_size(least))
    elif bound is not None and free - least < bound - held:
        yield warning("SL114.later", "store.retention.size", free=format_size(free), bound=format_size(bound))
    else:
        yield ok("store.min_free", f"{format_size(free)} are free")


def writable(code: str, place: str, directory: Path, view: Viewpoint) -> Diagnostic:
    """Whether files can be made in a directory, or the directory itself where it is missing.

    Args:
        code: what is said where they cannot.
        place: of the key that names it.
        directory: where files are to be made.
        view: for whom.
    """
    sandbox, user = view.sandbox, view.account.name
    above = existing(directory)
    if (restriction := sandbox.hides(str(directory)) or sandbox.protects(str(directory))) is not None:
        fixes = (*_made(directory, view), *(Fix(line=line) for line in restriction.cure))
        facts = {"directory": directory, "setting": restriction.setting, "hint": hint(fixes, view.unit)}
        return error(f"{code}.sandbox", place, fixes=fixes, **facts)
    if found := obstacle_of(above):
        if found == "denied" and sandbox.makes(str(directory)):
            return ok(place, f"{directory} is made and given to {user} when the service starts")
        fixes = _made(directory, view) if found == "denied" else ()
        advice = hint(fixes, view.unit) or None
        return error(f"{code}.{found}", place, existing=above, directory=directory, user=user, fixes=fixes, hint=advice)
    return ok(place, f"{directory} can be written" if above == directory else f"{directory} can be made")


def obstacle_of(directory: Path) -> str:
    """Why no file can be made at a place, as SL113 and SL118 name it; empty where one can."""
    try:
        if not directory.is_dir():
            return "kind"
    except OSError:
        return "denied"
    if not access.may(str(directory), os.W_OK | os.X_OK):
        return "denied"
    return "readonly" if os.statvfs(directory).f_flag & os.ST_RDONLY else ""


def _made(directory: Path, view: Viewpoint) -> tuple[Fix, ...]:
    """What makes a directory of the agent's own, also where others are missing above it."""
    if is_seen(directory):
        return () if access.may(str(directory), os.W_OK | os.X_OK) else _given(directory, view)
    if obstacle_of(existing(directory)) != "denied":
        return () if view.unit is None or view.sandbox.makes(str(directory)) else (_installed(directory, view),)
    return (_installed(directory, view),)


def _installed(directory: Path, view: Viewpoint) -> Fix:
    group = group_name(view.account.gid)
    return Fix(command=("install", "-d", "-m", "0700", "-o", view.account.name, "-g", group), target=str(directory))


def _given(path: Path, view: Viewpoint) -> tuple[Fix, ...]:
    """What lets somebody write a file or a directory: it becomes theirs, unless what stops them is further up."""
    found = access.obstacle(str(path), os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(path) else 0))  # noqa: PTH112
    if found is not None and found.path != str(path):
        return access.grants(found, view.account, in_unit=view.unit is not None)
    real = os.path.realpath(path)
    if access.is_shared(real):
        return ()
    if Path(real).stat().st_uid and found is not None:  # another program's: it stays the owner
        return access.grants(found, view.account, in_unit=view.unit is not None)
    owner = f"{view.account.name}:{group_name(view.account.gid)}"
    return (Fix(command=("chown", owner), target=real),)


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that can be seen."""
    return next((candidate for candidate in (path, *path.parents) if is_seen(candidate)), Path("/"))


# ---------------------------------------------------------------- archives


def archive_directory(config: Config, view: Viewpoint) -> Diagnostic:
    """Whether archives can be made where they are to lie, and no other store's are made there."""
    from agent.archive.lock import other_owner, refused  # noqa: PLC0415 - for who archives alone

    directory = config.archive_directory
    finding = writable("SL118", "archive.directory", directory, view)
    if finding.level == "ok":
        try:
            other = other_owner(directory, config.store.path)
        except OSError as problem:
            return error("SL804", str(directory), why=problem)
        if other is not None:
            return Diagnostic.of(refused(directory, other))
    return finding


def deletion(config: Config, scan: DirectoryScan, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether rotated logs can be deleted once they are archived: else they take their space twice, and for good."""
    for index, source in enumerate(config.sources):
        for directory in log_directories(source, scan):
            restriction = view.sandbox.hides(directory) or view.sandbox.protects(directory)
            why = "" if not os.path.isdir(directory) else access.cannot_delete_in(directory)  # noqa: PTH112
            if restriction is None and not why:
                continue
            fixes: tuple[Fix, ...] = ()
            if why == "denied":
                found = access.obstacle(directory, os.W_OK | os.X_OK)
                fixes = access.grants(found, view.account, in_unit=view.unit is not None) if found else ()
            if restriction is not None:
                fixes = (*fixes, *(Fix(line=line) for line in restriction.cure))
            setting = restriction.setting if restriction else ""
            key = f"SL144.{'both' if why and restriction else why or 'sandbox'}"
            facts = {"directory": directory, "user": view.account.name, "setting": setting}
            yield error(key, f"sources[{index}] {source.name}", fixes=fixes, cure=hint(fixes, view.unit), **facts)


def log_directories(source: SourceConfig, scan: DirectoryScan) -> list[str]:
    """The directories of a source's logs: of those that are there, and of patterns that name one which is there."""
    found = {os.path.dirname(one.real) for one in scan.files if one.source.name == source.name}  # noqa: PTH120
    found |= {folder for pattern in source.include if os.path.isdir(folder := os.path.dirname(pattern))}  # noqa: PTH112, PTH120
    return sorted({os.path.realpath(folder) for folder in found})


def rotated_logs(config: Config, scan: DirectoryScan, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the logs that rotation has made can be read: they are archived, though no pattern need match them."""
    from agent.tail.discover import Discovery, tail_settings  # noqa: PLC0415 - for who archives alone
    from agent.tail.locate import regular_files  # noqa: PLC0415
    from agent.tail.rotated_names import DirectoryNames  # noqa: PLC0415

    discovery = Discovery(tail_settings(config))
    for index, settings in enumerate(discovery.sources):
        followed = {one.real for one in scan.files if one.source.name == settings.name}
        closed = []
        for folder in sorted({os.path.dirname(path) for path in followed}):  # noqa: PTH120
            names = DirectoryNames(
                {os.path.basename(path): settings.name for path in followed if os.path.dirname(path) == folder}  # noqa: PTH119, PTH120
            )
            closed += [
                path
                for path, _ in sorted(regular_files(folder), key=lambda found: found[0])
                if path not in followed
                and names.origin(os.path.basename(path)) is not None  # noqa: PTH119
                and not discovery.excluded(settings, path)
                and not access.may(path, os.R_OK)
            ]
        if closed and view.sandbox.hides(closed[0]) is None:
            yield unreadable(f"sources[{index}] {settings.name}", closed, "rotated log", view)


def unreadable(place: str, paths: list[str], what: str, view: Viewpoint) -> Diagnostic:
    """Paths that may not be read, with what opens them."""
    fixes: dict[Fix, None] = {}
    for path in paths:
        mode = os.R_OK | os.X_OK if what == "path" or os.path.isdir(path) else os.R_OK  # noqa: PTH112
        if (blocked := access.obstacle(path, mode)) is not None:
            fixes |= dict.fromkeys(access.grants(blocked, view.account, in_unit=view.unit is not None))
    facts = {"count": counted(len(paths), what), "user": view.account.name, "paths": some(paths)}
    return error("SL112", place, fixes=tuple(fixes), hint=hint(tuple(fixes), view.unit) or None, **facts)


def some(paths: list[str]) -> str:
    """The first paths of a list, and how many more there are."""
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")  # noqa: PLR2004


def redacted_archives(config: Config) -> Iterator[Diagnostic]:
    """Whether archives hold what `redact` of their source names now."""
    if not any(source.redact for source in config.sources) or not (rows := _known_archives(config)):
        return
    from agent.archive.rewriter import unredacted  # noqa: PLC0415 - for who redacts alone

    if found := unredacted(rows, config):
        row, keys = found[0]
        yield warning("SL813", row.path, archives=counted(len(found), "archive"), keys=", ".join(keys))


def expiring_archives(config: Config) -> Iterator[Diagnostic]:
    """Whether archives are about to go for the age of their events: who has just named it sees what it does."""
    keep = config.archive.retention if config.archive else None
    if keep is None or keep.event_age is None or not (rows := _known_archives(config)):
        return
    from agent.archive.removal import expired  # noqa: PLC0415 - for who has set it alone

    bound = ArchiveRetentionConfig(age=None, event_age=keep.event_age, size=None)
    if found := expired(rows, bound, time.time_ns()):
        age = format_duration(keep.event_age)
        archives = counted(len(found), "archive has", "archives have")
        yield warning("SL815", "archive.retention.event_age", archives=archives, path=found[0][0].path, age=age)


def _known_archives(config: Config) -> list[ArchiveRow]:
    """The archives that the store knows; none where it is not there or cannot be read, which `store` says."""
    if not is_seen(config.store.path):
        return []
    from agent.archive.directory import load  # noqa: PLC0415 - for who redacts, or bounds the age of events

    try:
        connection = open_reader(config.store.path)
    except SidelogError:
        return []
    with closing(connection):
        return load(connection, config.archive_directory)


# ---------------------------------------------------------------- rotation


def rotation(config: Config, scan: DirectoryScan, view: Viewpoint) -> Iterator[Diagnostic]:
    """Diagnostics about each source that has `rotate`.

    Args:
        config: valid.
        scan: what the sources match.
        view: for whom.
    """
    for index, source in enumerate(config.sources):
        if source.rotate is None:
            continue
        place = f"sources[{index}].rotate"
        folders = sorted({os.path.dirname(found.path) for found in scan.files if found.source.name == source.name})  # noqa: PTH120
        closed = {folder: fixes for folder in folders if (fixes := _opened(folder, view)) is not None}
        if closed:
            steps = tuple(fix for fixes in closed.values() for fix in fixes)
            facts: dict[str, Any] = {"folders": ", ".join(closed), "hint": hint(steps, view.unit) or None}
            yield warning("SL820.folders", place, fixes=steps, **facts)
        else:
            yield ok(place, "the directories of its logs can be written")
        for key in ("signal", "command"):
            if getattr(source.rotate, key) is not None:
                yield _telling(f"{place}.{key}", source.name, source.rotate)


def _opened(folder: str, view: Viewpoint) -> tuple[Fix, ...] | None:
    """What makes a directory one in which logs can be renamed; None where they can."""
    fixes: tuple[Fix, ...] = ()
    restriction = view.sandbox.hides(folder) or view.sandbox.protects(folder)
    if restriction is not None:
        fixes = tuple(Fix(line=line) for line in restriction.cure)
    elif not obstacle_of(existing(Path(folder))):
        return None
    if (found := access.obstacle(folder, os.W_OK | os.X_OK)) is not None:
        fixes = (*access.grants(found, view.account, in_unit=view.unit is not None), *fixes)
    return fixes


def _telling(place: str, source: str, rotate: RotateConfig) -> Diagnostic:
    from agent.rotate.postrotate import prepare  # noqa: PLC0415 - a third of the time of `check`, and rarely wanted

    try:
        prepare(source, rotate).close()
    except RotateError as error:
        return Diagnostic.at(place, error)
    return ok(place, "the application can be told")
