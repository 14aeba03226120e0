"""A systemd unit as it counts: its file with all drop-ins, in the order of systemd.unit(5).

The files are read, not `systemctl cat`: that answers the same, and not in a container, nor in the unit's own sandbox.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import SidelogError
from agent.core.patterns import lazy
from agent.service import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEFAULT_NAME = "sidelog.service"
_MANAGER = Path("/run/systemd/system")
# Where units and drop-ins lie, the first wins (systemd.unit(5), "Unit File Load Path").
DIRECTORIES = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_CHANGED_IN = Path("/etc/systemd/system")  # where an administrator's drop-ins go
_CONTINUED = lazy(r"\\\n(?:[ \t]*[#;][^\n]*\n)*")
_SPECIFIER = lazy(r"%(.)")
_TRUE = ("1", "yes", "true", "on", "y", "t")
# Directories that the manager makes for the unit's user, by the setting that names them (systemd.exec(5)).
STATE_ROOTS = {
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "RuntimeDirectory": "/run",
}
_PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Unit(msgspec.Struct, frozen=True):
    """The section [Service] of a unit with its drop-ins.

    `path` is the unit's own file, `drop_ins` where a change of it belongs, `last_drop_in` the name of the one that has
    the last word; `values` has what was assigned to each setting, in order, since the last empty assignment.
    `installed`: the service manager would find it.
    """

    name: str
    path: Path
    drop_ins: Path
    values: dict[str, list[str]] = {}
    installed: bool = True
    last_drop_in: str = ""

    def text(self, key: str, default: str = "") -> str:
        """The last value of a setting."""
        given = self.values.get(key)
        return self._expanded(given[-1]) if given else default

    def flag(self, key: str) -> bool:
        """Whether a setting is on."""
        return self.text(key).lower() in _TRUE

    def words(self, key: str) -> list[str]:
        """All words of a setting that is a list."""
        return [self._expanded(word) for value in self.values.get(key, []) for word in _split(value)]

    def directories(self) -> dict[str, list[str]]:
        """The directories that the manager makes for the unit's user, by setting."""
        return {
            key: [f"{root}/{word.partition(':')[0]}" for word in self.words(key)] for key, root in STATE_ROOTS.items()
        }

    def environment(self, user: str, home: str) -> dict[str, str]:
        """The variables with which the manager starts the unit's program.

        Args:
            user: who it runs as.
            home: that user's.
        """
        found = {"PATH": _PROGRAM_PATH, "LANG": "C.UTF-8", "HOME": home, "USER": user, "LOGNAME": user}
        for key, paths in self.directories().items():
            if paths:
                found[f"{key.removesuffix('Directory').upper()}_DIRECTORY"] = ":".join(paths)
        found |= _assignments(self.words("Environment"))
        for path, _ in self.environment_files():
            found |= environment.variables(path)
        return found

    def environment_files(self) -> list[tuple[str, bool]]:
        """The files that variables stand in, and of each whether it may lack."""
        return [(word.removeprefix("-"), word.startswith("-")) for word in self.words("EnvironmentFile")]

    def _expanded(self, text: str) -> str:
        """The text with the specifiers that paths and names are written with (systemd.unit(5), "Specifiers")."""
        if "%" not in text:
            return text
        prefix, _, instance = self.name.removesuffix(".service").partition("@")
        known = {"%": "%", "n": self.name, "N": self.name.removesuffix(".service"), "p": prefix, "i": instance}
        known |= {"S": "/var/lib", "C": "/var/cache", "L": "/var/log", "t": "/run", "E": "/etc"}
        known |= {"T": "/tmp", "V": "/var/tmp"}  # noqa: S108 - what they stand for
        return _SPECIFIER.sub(lambda found: known.get(found[1], found[0]), text)


def is_booted() -> bool:
    """Whether systemd is the service manager of this machine (sd_booted(3))."""
    return _MANAGER.is_dir()


def find(name: str = DEFAULT_NAME) -> Unit | None:
    """The unit of a name or a path, with its drop-ins; None where none is installed.

    Args:
        name: `sidelog`, `sidelog.service`, or the path of a unit file, whose drop-ins lie beside it.

    Raises:
        SidelogError: SL141, its files cannot be read.
    """
    if "/" in name:
        path = Path(os.path.abspath(name))  # noqa: PTH100 - a link keeps its name
        return _load(path.name, path, [str(path.parent)], installed=str(path.parent) in DIRECTORIES)
    name = name if name.endswith(".service") else f"{name}.service"
    template = re.sub(r"@[^.]*", "@", name)
    for one in dict.fromkeys((name, template)):
        for directory in DIRECTORIES:
            path = Path(directory, one)
            if os.path.lexists(path):
                masked = path.is_symlink() and os.path.realpath(path) == os.devnull
                return None if masked else _load(name, path, DIRECTORIES, installed=True)
    return None


def packaged() -> Unit:
    """The unit that comes with the program, with the drop-ins that the machine has for its name.

    Raises:
        SidelogError: SL141, an installation in pieces.
    """
    package = Path(__file__).parent.parent
    places = (package / "_share/systemd" / DEFAULT_NAME, package.parent / "systemd" / DEFAULT_NAME)
    path = next((place for place in places if place.exists()), places[0])
    return _load(DEFAULT_NAME, path, DIRECTORIES, installed=False)


def _load(name: str, path: Path, directories: Sequence[str], *, installed: bool) -> Unit:
    values: dict[str, list[str]] = {}
    drop_ins = _drop_ins(name, directories)
    for file in (path, *drop_ins):
        for key, value in _settings(_read(file)):
            if value:
                values.setdefault(key, []).append(value)
            else:
                values[key] = []
    known = path.parent / f"{name}.d" if len(directories) == 1 else _CHANGED_IN / f"{name}.d"
    return Unit(name, path, known, values, installed, drop_ins[-1].name if drop_ins else "")


def _drop_ins(name: str, directories: Sequence[str]) -> list[Path]:
    """Drop-ins in the order in which they apply: by their names, of equal names the one of the first directory; those
    of `sidelog-x.service` also in `sidelog-.service.d`, and of every service in `service.d`.
    """
    stem = name.removesuffix(".service")
    folders = [f"{name}.d"]
    if "@" in stem:
        folders.append(f"{stem.partition('@')[0]}@.service.d")
    parts = stem.partition("@")[0].split("-")
    folders += [f"{'-'.join(parts[:count])}-.service.d" for count in range(len(parts) - 1, 0, -1)]
    found: dict[str, Path] = {}
    for folder in (*folders, "service.d"):
        for directory in directories:
            for path in sorted(Path(directory, folder).glob("*.conf")):
                found.setdefault(path.name, path)
    return [path for _, path in sorted(found.items()) if os.path.realpath(path) != os.devnull]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SidelogError.of("SL141.unreadable", path, why=error) from None


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """(key, value) of each line of [Service] (systemd.syntax(7))."""
    section = ""
    for line in _CONTINUED.sub(" ", text).splitlines():
        line = line.strip()  # noqa: PLW2901
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # a quote that is not closed
        return value.split()


def _assignments(words: Sequence[str]) -> Mapping[str, str]:
    pairs = (word.partition("=") for word in words)
    return {name.strip(): value for name, equals, value in pairs if equals}
