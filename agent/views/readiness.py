"""Is a configuration ready to run: valid, and would the agent find, read and write what it needs on this machine?

Every function gives findings and changes nothing; a probe that cannot be made is left out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import resource
import shutil
import socket
import stat
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.alert.check import names_nowhere, unusable
from agent.config import listen_address, unsupported
from agent.core.errors import ConfigError, RotateError, SidelogError
from agent.core.model import JOURNAL
from agent.core.units import format_size
from agent.hooks import program as hooks
from agent.store.reader import open_reader
from agent.tail.discover import Discovery, tail_settings, unmatched
from agent.views.archives import expiring_archives
from agent.views.diagnostic import Diagnostic, error, ok, warning, worst
from agent.views.expressions import hard_expressions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.config import Config, HookConfig, JournalConfig, RotateConfig
    from agent.tail.discover import DirectoryScan

_SPARE_FILES = 64  # open files beside the followed ones: store, inotify, hooks and their pipes
_INOTIFY = Path("/proc/sys/fs/inotify")


def configuration_diagnostics(file: Path | None, load: Callable[[], Config]) -> list[Diagnostic]:
    """What is to be said of a configuration: whether it is valid, and if so whether this machine is ready for it.

    Args:
        file: where it stands; None: there is none.
        load: reads it, with what the command line adds.
    """
    if file is None:
        return [Diagnostic.of(ConfigError.of("SL101.none", "configuration"))]
    try:
        config = load()
    except ConfigError as problem:
        return [Diagnostic.of(one) for one in getattr(problem, "findings", (problem,))]
    missing = [Diagnostic.of(one) for one in (*unsupported(config, file), *unusable(config, file))]
    return [ok(str(file), "is valid"), *_protected(file), *missing, *examine(config)]


def readiness_document(file: Path | None, diagnostics: list[Diagnostic]) -> dict[str, Any]:
    """The document of `check --json`."""
    return {
        "ok": worst(diagnostics) == 0,
        "config": file and str(file),
        "findings": [one.document() for one in diagnostics],
    }


def _protected(file: Path) -> list[Diagnostic]:
    """Who can write the file decides which programs the agent runs."""
    if file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [warning("SL122", str(file))]
    return []


def examine(config: Config) -> Iterator[Diagnostic]:
    """All findings about a valid configuration on this machine, for the user who runs this."""
    scan = Discovery(
        tail_settings(config),
        avoid=[config.store.path.with_name(config.store.path.name + end) for end in ("", "-wal", "-shm")],
    ).scan()
    yield from sources(config, scan)
    yield from journals(config)
    yield from limits(scan)
    yield from store(config)
    yield from (warning(key, place, **facts) for key, place, facts in hard_expressions(config))
    if any(source.rotate is not None for source in config.sources):
        yield from rotation(config, scan)
    if config.archive is not None:
        yield archive_directory(config)
    yield from redacted_archives(config)
    yield from expiring_archives(config)
    for name, hook in config.hooks.items():
        yield from hook_program(name, hook)
        yield from hook_secrets(hook)
    if config.http is not None:
        yield port(config.http.listen)
    yield from rules(config, scan)


def rules(config: Config, scan: DirectoryScan) -> Iterator[Diagnostic]:
    """What alert rules ask for that exists nowhere, as far as the store, if there is one, knows."""
    if not config.alerts:
        return
    from agent.query import open_engine  # noqa: PLC0415 - many have no rules

    with ExitStack() as stack:
        engine = None
        with suppress(SidelogError):  # it is not there yet, or `store` says what is wrong with it
            engine = open_engine(config.store.path, config.archive_directory, archived=False)
            stack.callback(engine.close)
        with suppress(SidelogError):
            for place, problem in names_nowhere(config, scan, engine):
                yield Diagnostic.at(place, problem)


def sources(config: Config, scan: DirectoryScan) -> Iterator[Diagnostic]:
    """Whether each source's patterns match, and whether the files can be read."""
    if not config.sources:
        yield Diagnostic.of(ConfigError.of("SL121.check", "sources"))
    sizes: dict[str, list[int]] = {source.name: [] for source in config.sources}
    closed: dict[str, list[str]] = {source.name: [] for source in config.sources}
    for found in scan.files:
        sizes[found.source.name].append(found.size)
        if not _may(found.path, os.R_OK):
            closed[found.source.name].append(found.path)
    for index, source in enumerate(config.sources):
        place = f"sources[{index}] {source.name}"
        if closed[source.name]:
            yield _unreadable(place, closed[source.name], "file")
        elif sizes[source.name]:
            count = len(sizes[source.name])
            yield ok(place, f"{_plural(count, 'file')}, {format_size(sum(sizes[source.name]))}, readable")
        for problem in unmatched(source, scan):
            yield Diagnostic.at(place, problem)
    if scan.errors:
        yield _unreadable("sources", sorted(scan.errors), "path")
    for path, refused in sorted(scan.refused.items()):
        yield Diagnostic.at(path, refused)


def journals(config: Config) -> Iterator[Diagnostic]:
    """Whether the journals of sources can be read."""
    for index, source in enumerate(config.sources):
        if source.journal is not None:
            yield _journal(f"sources[{index}] {source.name}", source.name, source.journal)


def _journal(place: str, name: str, selected: JournalConfig) -> Diagnostic:
    """Whether a journal can be read, and has anything that is selected: journalctl is asked."""
    import asyncio  # noqa: PLC0415 - for who reads a journal alone

    from agent.tail.journalctl import JournalSelection, has_entries  # noqa: PLC0415

    try:
        if asyncio.run(has_entries(f"{JOURNAL}{name}", JournalSelection.from_config(selected))):
            return ok(place, "the journal can be read")
    except SidelogError as problem:
        return Diagnostic.of(problem)
    return warning("SL111.journal", place)


def _unreadable(place: str, paths: list[str], what: str) -> Diagnostic:
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")  # noqa: PLR2004
    return error("SL112", place, count=_plural(len(paths), what), user=_user(), paths=shown)


def limits(scan: DirectoryScan) -> Iterator[Diagnostic]:
    """Whether the kernel grants as many watches and open files as these sources need."""
    watches = _number(_INOTIFY / "max_user_watches")
    needed = len(scan.directories)
    if watches is not None and needed > watches:
        yield warning("SL115.watches", "inotify", needed=needed, limit=watches, advised=max(2 * needed, 65_536))
    elif (problem := _inotify_problem()) is not None:
        yield warning("SL115.instances", "inotify", why=problem)
    elif watches is not None:
        yield ok("inotify", f"{_plural(needed, 'directory', 'directories')} to watch, the limit is {watches}")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted, count = len(scan.files) + _SPARE_FILES, _plural(len(scan.files), "file")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        yield warning("SL116", "open files", count=count, limit=soft, advised=2 * wanted)
    else:
        yield ok("open files", f"{count} to follow, the limit is {soft}")


def _inotify_problem() -> str | None:
    """What the kernel answers to the wish for one more inotify instance, or None when it gives one."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = library.inotify_init1(os.O_CLOEXEC)
    except (OSError, AttributeError):
        return "this system has no inotify"
    if descriptor < 0:
        return os.strerror(ctypes.get_errno())
    os.close(descriptor)
    return None


def store(config: Config) -> Iterator[Diagnostic]:
    """Whether the store can be written where it is to lie, and whether the disk has room."""
    path = config.store.path
    if path.exists():
        try:
            open_reader(path).close()
        except SidelogError as problem:  # an older schema is migrated at start
            yield Diagnostic.of(problem, "warning" if problem.code == "SL407" else "error")
        if not _may(str(path), os.W_OK):
            yield error("SL113.file", "store.path", path=path, user=_user())
    finding = writable("SL113", "store.path", path.parent)
    yield finding
    if finding.level == "ok":
        yield from _room(config)


def _room(config: Config) -> Iterator[Diagnostic]:
    path = config.store.path
    free = shutil.disk_usage(_existing(path.parent)).free
    least, bound = config.store.min_free, config.store.retention.size
    held = path.stat().st_size if path.exists() else 0
    if free < least:
        yield error("SL114.now", "store.min_free", free=format_size(free), least=format_size(least))
    elif bound is not None and free - least < bound - held:
        yield warning("SL114.later", "store.retention.size", free=format_size(free), bound=format_size(bound))
    else:
        yield ok("store.min_free", f"{format_size(free)} are free")


def writable(code: str, place: str, directory: Path) -> Diagnostic:
    """Whether files can be made in a directory, or the directory itself where it is missing."""
    existing = _existing(directory)
    if obstacle := _obstacle(existing):
        return error(f"{code}.{obstacle}", place, existing=existing, directory=directory, user=_user())
    return ok(place, f"{directory} can be written" if existing == directory else f"{directory} can be made")


def _obstacle(existing: Path) -> str:
    """Why no file can be made at a place, as SL113 and SL118 name it; empty where one can."""
    if not existing.is_dir():
        return "kind"
    if not _may(str(existing), os.W_OK | os.X_OK):
        return "denied"
    return "readonly" if os.statvfs(existing).f_flag & os.ST_RDONLY else ""


def archive_directory(config: Config) -> Diagnostic:
    """Whether archives can be made where they are to lie, and no other store's are made there."""
    from agent.archive.lock import other_owner, refused  # noqa: PLC0415 - for who archives alone

    directory = config.archive_directory
    finding = writable("SL118", "archive.directory", directory)
    if finding.level == "ok":
        try:
            other = other_owner(directory, config.store.path)
        except OSError as problem:
            return error("SL804", str(directory), why=problem)
        if other is not None:
            return Diagnostic.of(refused(directory, other))
    return finding


def redacted_archives(config: Config) -> Iterator[Diagnostic]:
    """Whether archives hold what `redact` of their source names now."""
    if not any(source.redact for source in config.sources) or not config.store.path.exists():
        return
    try:
        connection = open_reader(config.store.path)
    except SidelogError:  # that of the store is said elsewhere
        return
    from agent.archive.directory import load  # noqa: PLC0415 - for who redacts alone
    from agent.archive.rewriter import unredacted  # noqa: PLC0415

    with closing(connection):
        found = unredacted(load(connection, config.archive_directory), config)
    if found:
        row, keys = found[0]
        yield warning("SL813", row.path, count=len(found), keys=", ".join(keys))


def hook_program(name: str, hook: HookConfig) -> Iterator[Diagnostic]:
    """Whether a hook's program can run and only its owner can change it."""
    if not hook.exec:
        return
    place, program = f"hooks.{name}.exec", hooks.find(hook.exec[0])
    if (why := hooks.unstartable(hook.exec)) is not None:
        yield error("SL117.command", place, program=program, why=why)
    elif shutil.which(program, path=hooks.SEARCH_PATH) is None:
        yield error("SL117.mode" if Path(program).exists() else "SL117", place, program=program)
    elif (why := hooks.unsafe(program)) is not None:
        yield error("SL117.open", place, program=program, why=why)
    else:
        yield ok(place, f"{program} can be run")


def hook_secrets(hook: HookConfig) -> Iterator[Diagnostic]:
    """Whether the secrets that a hook refers to are there, and fit their place. Their text goes nowhere."""
    looks = [secret.resolve_header for secret in hook.headers.values()]
    if hook.webhook is not None:
        looks.append(hook.webhook.resolve)
    for look in looks:
        try:
            look()
        except SidelogError as problem:
            yield Diagnostic.of(problem)


def port(listen: str) -> Diagnostic:
    """Whether the address can be listened on."""
    address = listen_address(listen)
    assert address is not None
    host, number = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                return warning("SL119.used", "http.listen", address=listen)
            return error("SL119.refused", "http.listen", address=listen, why=problem)
    return ok("http.listen", f"{listen} is free")


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _existing(path: Path) -> Path:
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


# ---------------------------------------------------------------- rotation


def rotation(config: Config, scan: DirectoryScan) -> Iterator[Diagnostic]:
    """Diagnostics about each source that has `rotate`.

    Args:
        config: valid.
        scan: what the sources match.
    """
    for index, source in enumerate(config.sources):
        if source.rotate is None:
            continue
        place = f"sources[{index}].rotate"
        folders = {os.path.dirname(found.path) for found in scan.files if found.source.name == source.name}  # noqa: PTH120
        closed = [folder for folder in sorted(folders) if _obstacle(_existing(Path(folder)))]
        if closed:
            yield warning("SL820.folders", place, folders=", ".join(closed))
        else:
            yield ok(place, "the directories of its logs can be written")
        for key in ("signal", "command"):
            if getattr(source.rotate, key) is not None:
                yield _telling(f"{place}.{key}", source.name, source.rotate)


def _telling(place: str, source: str, rotate: RotateConfig) -> Diagnostic:
    from agent.rotate.postrotate import prepare  # noqa: PLC0415 - a third of the time of `check`, and rarely wanted

    try:
        prepare(source, rotate).close()
    except RotateError as error:
        return Diagnostic.at(place, error)
    return ok(place, "the application can be told")
