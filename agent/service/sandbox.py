"""What a unit's sandbox leaves of the files of the machine: what it hides, makes read-only, lets nobody run.

By the settings alone, so that it can be told without starting the unit: systemd.exec(5), and src/core/namespace.c of
systemd 252 for the order in which they count. Of the network: `agent.service.network`.
"""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, NamedTuple

from agent.service.access import HOMES, TEMPORARY, lies_in, ways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.service.unit import Unit

_SYSTEM = {"full": ("/usr", "/boot", "/efi", "/etc"), "yes": ("/usr", "/boot", "/efi")}
_DEVICES_LEFT = ("/dev/shm", "/dev/pts", "/dev/mqueue", "/dev/hugepages", "/dev/null")  # noqa: S108 - by PrivateDevices=


class Restriction(NamedTuple):
    """A setting that stands in the way, and the lines of a drop-in that take it away."""

    setting: str
    cure: tuple[str, ...]


class _Kind(enum.IntEnum):
    """What becomes of a path. Where several are meant for one path, the first in this order counts."""

    CLOSED = 0  # nothing below it can be opened again
    SHOWN = 1  # mounted from elsewhere
    REPLACED = 2
    READ_ONLY = 3
    WRITABLE = 4
    NO_EXECUTION = 5
    EXECUTION = 6
    EMPTIED = 7
    LEFT_WRITABLE = 8  # an exception from ProtectSystem=strict


class _Mount(NamedTuple):
    path: str
    kind: _Kind
    setting: str = ""
    read_only: bool = False  # of what is mounted there


class Sandbox:
    """The sandbox of a unit; without a unit there is none.

    Args:
        unit: with all drop-ins.
    """

    def __init__(self, unit: Unit | None) -> None:
        self.unit = unit
        self._mounts: list[_Mount] = [] if unit is None else sorted(_mounts(unit), key=lambda one: (one.path, one.kind))

    def hides(self, path: str) -> Restriction | None:
        """What hides a path from the unit's program, itself or a link on the way; None where it can be seen."""
        for one in ways(path):
            above = self._above(one)
            closing = [mount for mount in above if mount.kind is _Kind.CLOSED]
            if closing:
                return Restriction(closing[0].setting, self._opened(closing[0], one))
            views = [mount for mount in _counting(above) if mount.kind in _VIEWS]
            if views and views[-1].kind is not _Kind.SHOWN:
                return Restriction(views[-1].setting, self._opened(views[-1], one))
        return None

    def _opened(self, mount: _Mount, path: str) -> tuple[str, ...]:
        """The lines that show a path again."""
        key = mount.setting.partition("=")[0]
        if key == "InaccessiblePaths":
            return self._without(key, path)
        if key == "ProtectHome" and mount.kind is _Kind.CLOSED:
            return ("ProtectHome=read-only",)
        if key in ("PrivateTmp", "PrivateDevices"):
            return (f"{key}=no",)
        directory = path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120
        return (f"BindReadOnlyPaths={written(f'-{directory}', in_pair=True)}",)

    def protects(self, path: str) -> Restriction | None:
        """What makes a path read-only for the unit's program; None where it does not."""
        real = os.path.realpath(path)
        found = [mount for mount in _counting(self._above(real)) if mount.kind in _DECIDE_WRITING]
        if not found or not (found[-1].read_only or found[-1].kind is _Kind.READ_ONLY):
            return None
        return Restriction(found[-1].setting, self._made_writable(found[-1], real))

    def _made_writable(self, mount: _Mount, path: str) -> tuple[str, ...]:
        """The lines that let a path be written. What a setting names itself no `ReadWritePaths=` opens."""
        key = mount.setting.partition("=")[0]
        if mount.path != path or mount.kind is _Kind.EMPTIED:
            return (f"ReadWritePaths={written(path)}",)
        if key == "ReadOnlyPaths":
            return (*self._without(key, path, alone=True), f"ReadWritePaths={written(path)}")
        if key == "BindReadOnlyPaths":
            return (*self._without(key, path, alone=True), f"BindPaths={written(path, in_pair=True)}")
        return (f"{key}=no",)

    def makes(self, path: str) -> bool:
        """Whether the manager makes a directory at the start and gives it to the unit's user, or what it lies in."""
        return self.unit is not None and any(lies_in(os.path.normpath(path), one) for one in _made(self.unit))

    def forbids_execution(self, path: str) -> Restriction | None:
        """What keeps the unit's program from starting another one; None where nothing does."""
        real = os.path.realpath(path)
        found = [mount for mount in self._above(real) if mount.kind in (_Kind.NO_EXECUTION, _Kind.EXECUTION)]
        if not found:
            return None
        nearest = min(mount for mount in found if mount.path == found[-1].path)
        if nearest.kind is _Kind.EXECUTION:
            return None
        again = self._without("NoExecPaths", real, alone=True) if nearest.path == real else ()
        return Restriction(nearest.setting, (*again, f"ExecPaths={written(real)}"))

    def compiles(self) -> bool:
        """Whether programs may make code at run time."""
        return self.unit is None or not self.unit.flag("MemoryDenyWriteExecute")

    # ------------------------------------------------------------ lists

    def _above(self, path: str) -> list[_Mount]:
        """What is mounted at a path and above it, from the root on."""
        return [mount for mount in self._mounts if lies_in(path, mount.path)]

    def _without(self, key: str, path: str, *, alone: bool = False) -> tuple[str, ...]:
        """A setting anew, without the entries that a path lies in; `alone`: without those that name it."""
        assert self.unit is not None
        names = {
            word: os.path.realpath(plain(_destination(word) if key.startswith("Bind") else word))
            for word in self.unit.words(key)
        }
        rest = [
            written(word) for word, named in names.items() if (path != named if alone else not lies_in(path, named))
        ]
        return (f"{key}=", *([f"{key}={' '.join(rest)}"] if rest else []))


_VIEWS = (_Kind.SHOWN, _Kind.REPLACED, _Kind.EMPTIED)
_DECIDE_WRITING = (*_VIEWS, _Kind.READ_ONLY, _Kind.WRITABLE, _Kind.LEFT_WRITABLE)


def _mounts(unit: Unit) -> Iterator[_Mount]:
    """All that the settings of a unit mount, with the places that links lead to."""
    for mount in _named(unit):
        yield mount._replace(path=os.path.realpath(mount.path))


def _named(unit: Unit) -> Iterator[_Mount]:
    dynamic = unit.flag("DynamicUser")  # implies these settings
    home = unit.text("ProtectHome").lower() or ("read-only" if dynamic else "")
    if home in ("read-only", "tmpfs"):
        kind = _Kind.READ_ONLY if home == "read-only" else _Kind.EMPTIED
        yield from (_Mount(path, kind, f"ProtectHome={home}", read_only=True) for path in HOMES)
    elif unit.flag("ProtectHome"):
        yield from (_Mount(path, _Kind.CLOSED, f"ProtectHome={unit.text('ProtectHome')}") for path in HOMES)
    if dynamic or unit.flag("PrivateTmp") or unit.text("PrivateTmp").lower() == "disconnected":
        setting = f"PrivateTmp={unit.text('PrivateTmp') or 'yes'}"
        yield from (_Mount(path, _Kind.REPLACED, setting) for path in TEMPORARY)
    if unit.flag("PrivateDevices"):
        yield _Mount("/dev", _Kind.REPLACED, "PrivateDevices=yes", read_only=True)
        yield from (_Mount(path, _Kind.SHOWN) for path in _DEVICES_LEFT)
    yield from _system(unit, "strict" if dynamic else "")
    for key, kind in _ACCESS.items():
        yield from (_Mount(plain(word), kind, f"{key}={plain(word)}") for word in unit.words(key))
    for word in unit.words("TemporaryFileSystem"):
        path, _, options = word.partition(":")
        setting = f"TemporaryFileSystem={plain(path)}"
        yield _Mount(plain(path), _Kind.EMPTIED, setting, read_only="ro" in options.split(","))
    for key in ("BindPaths", "BindReadOnlyPaths"):
        for word in unit.words(key):
            path = plain(_destination(word))
            yield _Mount(path, _Kind.SHOWN, f"{key}={path}", read_only=key == "BindReadOnlyPaths")
    # Those that the manager makes are mounted too, so that nothing above hides them or makes them read-only.
    configuration = (f"/etc/{word}" for word in unit.words("ConfigurationDirectory"))
    yield from (_Mount(path, _Kind.SHOWN) for path in (*configuration, *_made(unit)))


def _made(unit: Unit) -> list[str]:
    return [path for paths in unit.directories().values() for path in paths]


_ACCESS = {
    "InaccessiblePaths": _Kind.CLOSED,
    "ReadOnlyPaths": _Kind.READ_ONLY,
    "ReadWritePaths": _Kind.WRITABLE,
    "NoExecPaths": _Kind.NO_EXECUTION,
    "ExecPaths": _Kind.EXECUTION,
}


def _system(unit: Unit, default: str) -> Iterator[_Mount]:
    """What `ProtectSystem=` does. Homes are the business of `ProtectHome=`: `strict` leaves them writable."""
    level = "yes" if unit.flag("ProtectSystem") else unit.text("ProtectSystem", default).lower()
    setting = f"ProtectSystem={unit.text('ProtectSystem', default)}"
    if level == "strict":
        yield _Mount("/", _Kind.READ_ONLY, setting)
        yield from (_Mount(path, _Kind.LEFT_WRITABLE) for path in ("/dev", "/proc", "/sys", *HOMES))
    yield from (_Mount(path, _Kind.READ_ONLY, setting) for path in _SYSTEM.get(level, ()))


# ---------------------------------------------------------------- paths


def plain(word: str) -> str:
    """A path of a list without the marks before it: `-` where it may be missing, `+` below the root directory."""
    return os.path.normpath(word.lstrip("-+"))


def written(word: str, *, in_pair: bool = False) -> str:
    """A path as a word of a setting (systemd.syntax(7)); `in_pair`: where a colon would end it."""
    text = word.replace("\\", "\\\\").replace("%", "%%")
    text = text.replace(":", "\\:") if in_pair else text
    return '"' + text.replace('"', '\\"') + '"' if set(text) & set(" \t'\"\\") else text


def _destination(word: str) -> str:
    """Where `SOURCE:DESTINATION:OPTIONS` mounts something."""
    source, _, rest = word.replace("\\:", "\0").partition(":")
    return (rest.partition(":")[0] or source).replace("\0", ":")


def _counting(mounts: list[_Mount]) -> Iterator[_Mount]:
    """Of several mounts of one path the one that counts; what makes others of them read-only holds for it."""
    for index, mount in enumerate(mounts):
        if index and mounts[index - 1].path == mount.path:
            continue
        same = [other for other in mounts if other.path == mount.path]
        barred = next((other for other in same if other.read_only or other.kind is _Kind.READ_ONLY), None)
        if barred is None or mount.kind is _Kind.CLOSED:
            yield mount
        else:
            yield mount._replace(read_only=True, setting=mount.setting if mount.read_only else barred.setting)
