"""The logs that a machine has, and the configuration that follows them.

A log that the service may not read is offered as a comment, with what would open it: the unit's user reads what its own
group, the group adm and everybody may read. Only modes are looked at; an access list may allow more.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import available_timezones

from agent.install.layout import EXAMPLES, USER, shared
from agent.install.owners import group_numbers

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from agent.install.layout import Layout

_GROUPS = (USER, "adm")
# Each with the places where distributions put it: patterns of files whose directory says that the program is there.
_PROGRAMS = (
    ("nginx", ("/var/log/nginx/*.log",)),
    ("apache", ("/var/log/apache2/*.log", "/var/log/httpd/*_log")),
    ("postgresql", ("/var/log/postgresql/*.log", "/var/lib/pgsql/data/log/*.log")),
    ("mysql", ("/var/log/mysql/*.log", "/var/log/mariadb/*.log", "/var/log/mysqld.log")),
)
_SYSLOG_NAMES = "syslog messages auth.log secure kern.log daemon.log mail.log maillog cron.log cron user.log"
_SYSLOG = tuple(f"/var/log/{name}" for name in _SYSLOG_NAMES.split())
_MAIN_SYSLOG = ("/var/log/syslog", "/var/log/messages")
_JOURNALS = ("/var/log/journal", "/run/log/journal")
_UTC = {"UTC", "UCT", "Universal", "Zulu", "GMT"}
_DOCKER = "/var/lib/docker/containers/*/*-json.log"
_REMEDY = (
    "Let it: usermod -aG GROUP sidelog, with a group that may, or the drop-in read-all-logs.conf in",
    f"{EXAMPLES}. Then take away each # below.",
)
# The first source of the commented configuration, which stands there where a machine has no logs.
_EXAMPLE = "sources:\n"
_PLACEHOLDER = "  - name: app\n    include: [/var/log/app/*.log]\n"


class FoundSource(NamedTuple):
    """A source that a machine has.

    Args:
        name: of the source.
        include: its patterns; empty: the journal.
        obstacle: why the service may not read it; empty where it may.
    """

    name: str
    include: tuple[str, ...]
    obstacle: str = ""


def find(layout: Layout) -> list[FoundSource]:
    """The logs of a machine, in the order in which they are offered."""
    return [*_of_programs(layout), *_of_system(layout), *_of_docker(layout)]


def configuration(layout: Layout, sources: Sequence[FoundSource]) -> str:
    """The commented configuration of the service, with these sources in it."""
    text = shared("etc/sidelog.yaml")
    offered = [_block(source, _zone(layout)) for source in sources]
    if offered:
        head = "  # Found on this machine. Take out what is not to be followed; the keys are explained below.\n"
        text = text.replace(_EXAMPLE, _EXAMPLE + head + "".join(offered) + "\n", 1)
    if not all(source.obstacle for source in sources):
        example = [_comment(line) for line in _PLACEHOLDER.splitlines(keepends=True)]
        text = text.replace(_PLACEHOLDER, "".join(example), 1)
    return text


def _comment(line: str) -> str:
    """A line that counts for nothing: its first character behind the indentation is a #."""
    rest = line.lstrip()
    return f"{line.removesuffix(rest)}#{rest}"


def _block(source: FoundSource, zone: str | None) -> str:
    lines = [f"  - name: {source.name}"]
    if source.include:
        lines.append(f"    include: [{', '.join(source.include)}]")
        lines += [f"    timezone: {zone}  # of lines without one"] if zone else []
    else:
        lines.append("    journal: {}")
    if source.obstacle:
        lines = [_comment(line) for line in lines]
        lines[:0] = [f"  # {line}" for line in (f"{source.name}: {source.obstacle}", *_REMEDY)]
    return "".join(f"{line}\n" for line in lines)


def _of_programs(layout: Layout) -> Iterator[FoundSource]:
    for name, patterns in _PROGRAMS:
        here = tuple(pattern for pattern in patterns if _is_here(layout, pattern))
        if here:
            yield FoundSource(name, here, _obstacle(layout, here))


def _of_system(layout: Layout) -> Iterator[FoundSource]:
    """What syslog writes, else the journal."""
    files = tuple(path for path in _SYSLOG if layout.at(path).is_file())
    if any(path in files for path in _MAIN_SYSLOG):
        yield FoundSource("syslog", files, _obstacle(layout, files))
    elif any(layout.at(path).is_dir() for path in _JOURNALS):
        yield FoundSource("journal", ())


def _of_docker(layout: Layout) -> Iterator[FoundSource]:
    if layout.at("/var/lib/docker/containers").is_dir():
        yield FoundSource("docker", (_DOCKER,), _obstacle(layout, (_DOCKER,)))


def _is_here(layout: Layout, pattern: str) -> bool:
    place = layout.at(pattern)
    return place.parent.is_dir() if "*" in pattern else place.is_file()


def _obstacle(layout: Layout, patterns: tuple[str, ...]) -> str:
    """What keeps the service from reading any of the files, in words; of a directory without files: from reading it."""
    groups = group_numbers(layout, _GROUPS)
    found: list[str] = []
    for pattern in patterns:
        paths = [str(path) for path in layout.root.glob(pattern.removeprefix("/"))]
        found += paths or [str(layout.at(pattern.partition("*")[0]))]
    if any(_may_read(path, layout.root, groups) for path in found):
        return ""
    return "the service may not read it."


def _may_read(path: str, root: Path, groups: set[int]) -> bool:
    """Whether modes let the service read a file or list a directory, through the directories above it."""
    try:
        here = Path(path)
        for above in here.parents:
            if above == root:
                break
            if not _allows(above.stat(), stat.S_IXGRP, stat.S_IXOTH, groups):
                return False
        return _allows(here.stat(), stat.S_IRGRP, stat.S_IROTH, groups)
    except OSError:
        return False


def _allows(status: os.stat_result, by_group: int, by_others: int, groups: set[int]) -> bool:
    return bool(status.st_mode & (by_group if status.st_gid in groups else by_others))


def _zone(layout: Layout) -> str | None:
    """The machine's time zone, where it has another one than UTC: `Europe/Vienna`."""
    try:
        target = str(layout.at("/etc/localtime").readlink())
    except OSError:
        return None
    _, _, name = target.partition("/zoneinfo/")
    name = name.removeprefix("posix/").removeprefix("Etc/")
    return name if name in available_timezones() - _UTC else None
