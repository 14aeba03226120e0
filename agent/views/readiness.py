"""Is a configuration ready to run: valid, and would the agent find, read and write what it needs on this machine?

Every function gives findings and changes nothing; a probe that cannot be made is left out.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agent.alert.check import names_nowhere, unusable, with_unusable
from agent.config import InvalidConfigError, documents
from agent.config.misspelt import misspelt
from agent.core import catalogue
from agent.core.errors import ConfigError, SidelogError
from agent.core.model import JOURNAL
from agent.core.text import counted
from agent.core.units import format_size
from agent.service import access, environment
from agent.service.account import run_as
from agent.service.fix import Fix, hint
from agent.store.lock import store_files
from agent.tail.discover import Discovery, tail_settings, unmatched
from agent.views import keeping, programs, sandboxed
from agent.views.diagnostic import Diagnostic, error, ok, warning, worst
from agent.views.expressions import hard_expressions
from agent.views.forward import target_diagnostics
from agent.views.keeping import some, unreadable
from agent.views.listening import serving
from agent.views.team import team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent.config import Config, JournalConfig, SourceConfig
    from agent.service.sandbox import Restriction
    from agent.service.viewpoint import Viewpoint
    from agent.tail.discover import DirectoryScan

_SPARE_FILES = 64  # open files beside the followed ones: store, inotify, hooks and their pipes
_JOURNALS = ("/var/log/journal", "/run/log/journal")  # journald.conf(5), Storage=
_INOTIFY = Path("/proc/sys/fs/inotify")


def configuration_diagnostics(file: Path | None, load: Callable[[], Config], view: Viewpoint) -> list[Diagnostic]:
    """What is to be said of a configuration: whether it is valid, and if so whether this machine is ready for it.

    Args:
        file: where it stands; None: there is none.
        load: reads it, with what the command line adds.
        view: for whom the machine is to be ready; where that is another user, a child looks in its place.
    """
    if file is None:
        return [*_slips(), Diagnostic.of(ConfigError.of("SL101.none", "configuration"))]
    if view.account.is_current:
        return [*_diagnostics(file, load, view), *_environment_files(view)]
    catalogue.load()
    try:
        said = run_as(
            view.account, view.environment(), lambda: msgspec.json.encode(_escaped(_diagnostics(file, load, view)))
        )
    except OSError as problem:
        return [error("SL145", view.account.name, path=f"the machine, as {view.account.name},", why=problem)]
    return [*msgspec.json.decode(said, type=list[Diagnostic]), *_environment_files(view)]


def _environment_files(view: Viewpoint) -> list[Diagnostic]:
    """What systemd passes over in the files with the unit's environment, and who may read them: they are root's."""
    found: list[Diagnostic] = []
    for path, may_lack in view.unit.environment_files() if view.unit is not None and os.geteuid() == 0 else ():
        try:
            status, lines = Path(path).stat(), list(environment.read(path))
        except FileNotFoundError:
            if not may_lack:
                found.append(error("SL149.missing", path))
            continue
        except OSError as problem:
            found.append(error("SL145", path, path=path, why=problem))
            continue
        ignored = [line for line in lines if not line.is_assignment]
        found += [warning("SL149.line", f"{path}:{line.number}", text=line.shown()) for line in ignored]
        if status.st_mode & 0o027:
            fixes = (Fix(command=("chmod", "g-w,o-rwx"), target=os.path.realpath(path)),)
            open_to = SidelogError.of("SL149", path, mode=f"{stat.S_IMODE(status.st_mode):o}")
            found.append(Diagnostic.of(open_to, "warning", fixes))
    return found


def _for_whom(view: Viewpoint) -> list[Diagnostic]:
    found = [ok("check", view.described())]
    if view.problem is not None:
        assert view.unit is not None
        user = view.unit.text("User")
        made = Fix(command=("systemd-sysusers",)) if view.problem.subject == user else None
        found.append(Diagnostic.of(view.problem, fixes=() if made is None else (made,)))
    elif view.service is not None:
        found.append(warning("SL142.other", view.service.name, user=view.account.name))
    return found


def _escaped(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """The findings with every byte of a name that is no UTF-8 written out, so that they can be sent as JSON."""

    def plain(text: str) -> str:
        return text.encode("utf-8", "backslashreplace").decode()

    return [
        msgspec.structs.replace(
            one,
            place=plain(one.place),
            sentence=plain(one.sentence),
            hint=plain(one.hint),
            fixes=tuple(fix for fix in one.fixes if fix.text().isprintable()),
        )
        for one in diagnostics
    ]


def _diagnostics(file: Path, load: Callable[[], Config], view: Viewpoint) -> list[Diagnostic]:
    try:
        config = load()
    except InvalidConfigError as problem:
        return [*_slips(), *(Diagnostic.of(one) for one in with_unusable(problem).findings)]
    except ConfigError as problem:
        findings = [Diagnostic.of(problem)]
        return [_readable(one, view) if one.code == "SL101" else one for one in findings]
    missing = [Diagnostic.of(one) for one in unusable(config, file)]
    valid = [] if missing else [ok(str(file), "is valid")]
    of_file = (*_protected(file), *sandboxed.another_root(view), *sandboxed.named_files(config, file, view))
    of_file += (*missing, *_left_empty(config, file))
    return [*valid, *_for_whom(view), *_slips(), *of_file, *examine(config, view)]


def _slips() -> list[Diagnostic]:
    return [Diagnostic.of(one, "warning") for one in misspelt(os.environ, strangers=True)]


def _readable(finding: Diagnostic, view: Viewpoint) -> Diagnostic:
    """A configuration that cannot be read, with what opens it."""
    blocked = access.obstacle(finding.place, os.R_OK)
    if blocked is None:
        return finding
    if access.is_shared(blocked.path):  # a home is not opened to a service for one file
        return msgspec.structs.replace(finding, hint=f"copy it to /etc/sidelog, where {view.account.name} may read it")
    fixes = access.grants(blocked, view.account, in_unit=view.unit is not None)
    return msgspec.structs.replace(finding, fixes=fixes, hint=hint(fixes, view.unit, finding.hint))


def readiness_document(file: Path | None, view: Viewpoint, diagnostics: list[Diagnostic]) -> dict[str, Any]:
    """The document of `check --json`."""
    return {
        "ok": worst(diagnostics) == 0,
        "config": file and str(file),
        "user": view.account.name,
        "unit": view.unit and str(view.unit.path),
        "findings": [one.document() for one in diagnostics],
    }


def _protected(file: Path) -> list[Diagnostic]:
    """Who can write the file decides which programs the agent runs."""
    if file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        fixes = (Fix(command=("chmod", "go-w"), target=os.path.realpath(file)),)
        return [Diagnostic.of(SidelogError.of("SL122", str(file)), "warning", fixes)]
    return []


def _left_empty(config: Config, file: Path) -> Iterator[Diagnostic]:
    """A section `archive` with nothing in it is none: who took the # away in front of it alone has meant more."""
    if config.archive is None and "archive" in documents.read(file).document:
        yield warning("SL801.empty", "archive")


def examine(config: Config, view: Viewpoint) -> Iterator[Diagnostic]:
    """All findings about a valid configuration on this machine, for whom it is looked at.

    A part that cannot be looked at is a finding itself, and keeps no other from being looked at.
    """
    own = [*store_files(config.store.path), config.archive_directory]
    scan = Discovery(tail_settings(config), avoid=own).scan()
    yield from _looked("unit", lambda: programs.unit_program(view))
    yield from _looked("sources", lambda: sources(config, scan, view))
    yield from _looked("sources", lambda: journals(config, view))
    yield from _looked("limits", lambda: limits(scan, view))
    yield from _looked("store.path", lambda: keeping.store(config, view))
    for key, where, facts in hard_expressions(config):
        yield Diagnostic.of(SidelogError.of(key, where, **facts), "warning")
    if any(source.rotate is not None for source in config.sources):
        yield from _looked("sources", lambda: keeping.rotation(config, scan, view))
    if config.archive is not None:
        yield from _looked("archive.directory", lambda: iter([keeping.archive_directory(config, view)]))
        yield from _looked("sources", lambda: keeping.rotated_logs(config, scan, view))
        if config.archive.delete_source:
            yield from _looked("sources", lambda: keeping.deletion(config, scan, view))
    yield from _looked("archive.directory", lambda: keeping.redacted_archives(config))
    yield from _looked("store.group", lambda: team(config, view))
    yield from _looked("archive.retention", lambda: keeping.expiring_archives(config))
    for name, hook in config.hooks.items():
        for look in (
            lambda: programs.hook_program(name, hook, view),  # noqa: B023 - called before the next turn
            lambda: programs.hook_secrets(hook, view),  # noqa: B023
            lambda: programs.webhook(name, hook, view),  # noqa: B023
        ):
            yield from _looked(f"hooks.{name}", look)
    if config.http is not None:
        http = config.http
        yield from _looked("http.listen", lambda: serving(http, view))
    for number, target in enumerate(config.forward):
        yield from target_diagnostics(target, f"forward[{number}]", view)
    yield from _looked("alerts", lambda: rules(config, scan))


def _looked(place: str, look: Callable[[], Iterable[Diagnostic]]) -> Iterator[Diagnostic]:
    try:
        yield from look()
    except OSError as problem:
        yield error("SL145", place, path=problem.filename or place, why=problem)


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


def sources(config: Config, scan: DirectoryScan, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether each source's patterns match, and whether the files can be seen and read."""
    if not config.sources:
        yield Diagnostic.of(ConfigError.of("SL121.check", "sources"))
    for index, source in enumerate(config.sources):
        place = f"sources[{index}] {source.name}"
        found = {one.path: one for one in scan.files if one.source.name == source.name}
        hidden = _hidden(source, list(found), view)
        for restriction, paths in hidden.items():
            fixes = tuple(Fix(line=line) for line in restriction.cure)
            named = [path for path in paths if path in source.include] or paths
            facts = {"paths": some(named), "setting": restriction.setting, "hint": hint(fixes, view.unit)}
            yield error("SL140", place, fixes=fixes, **facts)
        covered = {path for paths in hidden.values() for path in paths}
        seen = {path: one for path, one in found.items() if path not in covered}
        closed = [path for path in seen if not access.may(path, os.R_OK)]
        if closed:
            yield unreadable(place, closed, "file", view)
        elif seen:
            size = format_size(sum(one.size for one in seen.values()))
            yield ok(place, f"{counted(len(seen), 'file')}, {size}, readable")
        told = {pattern for pattern in source.include if access.obstacle(str(_before_wildcard(pattern)), os.R_OK)}
        patterns = [pattern for pattern in source.include if pattern not in covered | told]
        for problem in unmatched(msgspec.structs.replace(source, include=patterns), scan):
            yield Diagnostic.at(place, problem)
    if scan.errors:
        yield unreadable("sources", sorted(scan.errors), "path", view)
    for path, refused in sorted(scan.refused.items()):
        yield Diagnostic.at(path, refused)


def _hidden(source: SourceConfig, files: list[str], view: Viewpoint) -> dict[Restriction, list[str]]:
    """The files and the patterns of a source that the sandbox hides, by what hides them."""
    found: dict[Restriction, list[str]] = {}
    sandbox = view.sandbox
    for path in [*source.include, *files]:
        head = Path(path) if path in files else _before_wildcard(path)
        if (restriction := sandbox.hides(str(head))) is not None:
            found.setdefault(restriction, []).append(path)
    return found


def _before_wildcard(pattern: str) -> Path:
    """The file or directory that a pattern names, up to its first part with a wildcard."""
    parts = Path(pattern).parts
    plain = next((count for count, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    return Path(*parts[:plain])


def journals(config: Config, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the journals of sources can be seen and read."""
    for index, source in enumerate(config.sources):
        if source.journal is None:
            continue
        place = f"sources[{index}] {source.name}"
        own = source.journal.directory
        folders = [path for path in (_JOURNALS if own is None else (str(own),)) if os.path.isdir(path)]  # noqa: PTH112
        hidden = [restriction for path in folders if (restriction := view.sandbox.hides(path)) is not None]
        if hidden and len(hidden) == len(folders):
            fixes = tuple(Fix(line=line) for line in hidden[0].cure)
            facts = {"paths": some(folders), "setting": hidden[0].setting, "hint": hint(fixes, view.unit)}
            yield error("SL140", place, fixes=fixes, **facts)
        else:
            yield _journal(place, source.name, source.journal)


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


def limits(scan: DirectoryScan, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the kernel grants as many watches and open files as these sources need."""
    watches = _number(_INOTIFY / "max_user_watches")
    needed = len(scan.directories)
    if watches is not None and needed > watches:
        yield warning("SL115.watches", "inotify", needed=needed, limit=watches, advised=max(2 * needed, 65_536))
    elif (problem := _inotify_problem()) is not None:
        yield warning("SL115.instances", "inotify", why=problem)
    elif watches is not None:
        yield ok("inotify", f"{counted(needed, 'directory', 'directories')} to watch, the limit is {watches}")
    most = sandboxed.most_open_files(view)
    wanted, count = len(scan.files) + _SPARE_FILES, counted(len(scan.files), "file")
    if most == resource.RLIM_INFINITY:
        yield ok("open files", f"{count} to follow, there is no limit")
    elif wanted > most:
        fixes = () if view.unit is None else (Fix(line=f"LimitNOFILE={2 * wanted}"),)
        facts = {"count": count, "limit": most, "advised": 2 * wanted, "hint": hint(fixes, view.unit) or None}
        yield warning("SL116", "open files", fixes=fixes, **facts)
    else:
        yield ok("open files", f"{count} to follow, the limit is {most}")


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


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
