"""What a unit's sandbox leaves of the machine: what it hides, what it makes read-only, which addresses it blocks.

By the settings alone (systemd.exec(5), systemd.resource-control(5)), so that it can be told without starting the unit.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.service.unit import Unit

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - what PrivateTmp= replaces
_SYSTEM = {"full": ("/usr", "/boot", "/efi", "/etc"), "yes": ("/usr", "/boot", "/efi")}
_NAMED_NETWORKS = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}
_INTERNET = ("AF_INET", "AF_INET6")


class Restriction(NamedTuple):
    """A setting that stands in the way, and the lines of a drop-in that take it away."""

    setting: str
    cure: tuple[str, ...]


class _Mount(NamedTuple):
    path: str
    restriction: Restriction | None  # None: here it is open


class Sandbox:
    """The sandbox of a unit; without a unit there is none.

    Args:
        unit: with all drop-ins.
    """

    def __init__(self, unit: Unit | None) -> None:
        self.unit = unit
        self._closed: list[_Mount] = []  # nothing in them can be opened again
        self._seen: list[_Mount] = []
        self._written: list[_Mount] = []
        if unit is not None:
            self._closed += self._inaccessible(unit)
            self._seen += self._visibility(unit)
            self._written += self._read_only(unit)

    def hides(self, path: str) -> Restriction | None:
        """What hides a path from the unit's program; None where it can be seen."""
        for one in dict.fromkeys((path, os.path.realpath(path))):
            for mount in self._closed:
                if _lies_in(one, mount.path):
                    return mount.restriction
            if (found := _nearest(one, self._seen)) is not None and found.restriction is not None:
                return found.restriction._replace(cure=_with_directory(found.restriction.cure, one))
        return None

    def protects(self, path: str) -> Restriction | None:
        """What makes a path read-only for the unit's program; None where it does not."""
        real = os.path.realpath(path)
        found = _nearest(real, self._written)
        if found is None or found.restriction is None:
            return None
        return found.restriction._replace(cure=(f"ReadWritePaths={real}",))

    def makes(self, path: str) -> bool:
        """Whether the manager makes a directory at the start and gives it to the unit's user, or what it lies in."""
        if self.unit is None:
            return False
        made = (one for paths in self.unit.directories().values() for one in paths)
        return any(_lies_in(os.path.normpath(path), one) for one in made)

    def _inaccessible(self, unit: Unit) -> Iterator[_Mount]:
        if unit.text("ProtectHome").lower() not in ("", "no", "false", "off", "0", "read-only", "tmpfs"):
            restriction = Restriction(f"ProtectHome={unit.text('ProtectHome')}", ("ProtectHome=read-only",))
            yield from (_Mount(path, restriction) for path in _HOMES)
        closed = [_plain(word) for word in unit.words("InaccessiblePaths")]
        for path in closed:
            rest = " ".join(one for one in closed if one != path)
            cure = ("InaccessiblePaths=", *([f"InaccessiblePaths={rest}"] if rest else []))
            yield _Mount(path, Restriction(f"InaccessiblePaths={path}", cure))

    def _visibility(self, unit: Unit) -> Iterator[_Mount]:
        if unit.text("ProtectHome").lower() == "tmpfs":
            restriction = Restriction("ProtectHome=tmpfs", ("BindReadOnlyPaths=-{directory}",))
            yield from (_Mount(path, restriction) for path in _HOMES)
        if unit.flag("PrivateTmp") or unit.text("PrivateTmp").lower() == "disconnected":
            restriction = Restriction(f"PrivateTmp={unit.text('PrivateTmp')}", ("PrivateTmp=no",))
            yield from (_Mount(path, restriction) for path in _TEMPORARY)
        for word in unit.words("TemporaryFileSystem"):
            path = _plain(word.partition(":")[0])
            yield _Mount(path, Restriction(f"TemporaryFileSystem={path}", ("BindReadOnlyPaths=-{directory}",)))
        for path, _ in _bound(unit):
            yield _Mount(path, None)

    def _read_only(self, unit: Unit) -> Iterator[_Mount]:
        level = unit.text("ProtectSystem").lower()
        level = "yes" if unit.flag("ProtectSystem") else level
        restriction = Restriction(f"ProtectSystem={unit.text('ProtectSystem')}", ())
        if level == "strict":
            yield _Mount("/", restriction)
            yield from (_Mount(path, None) for path in ("/dev", "/proc", "/sys"))
        yield from (_Mount(path, restriction) for path in _SYSTEM.get(level, ()))
        if unit.text("ProtectHome").lower() == "read-only":
            yield from (_Mount(path, Restriction("ProtectHome=read-only", ())) for path in _HOMES)
        if unit.flag("PrivateTmp") or level == "strict":
            private = unit.flag("PrivateTmp") or unit.text("PrivateTmp").lower() == "disconnected"
            yield from (_Mount(path, None) for path in _TEMPORARY if private)
        for word in unit.words("ReadOnlyPaths"):
            yield _Mount(_plain(word), Restriction(f"ReadOnlyPaths={_plain(word)}", ()))
        for path, writable in _bound(unit):
            yield _Mount(path, None if writable else Restriction(f"BindReadOnlyPaths={path}", ()))
        for word in unit.words("ReadWritePaths"):
            yield _Mount(_plain(word), None)
        yield from (_Mount(path, None) for paths in unit.directories().values() for path in paths)

    # ------------------------------------------------------------ programs and the network

    def forbids_execution(self, path: str) -> Restriction | None:
        """What keeps the unit's program from starting another one; None where nothing does."""
        if self.unit is None:
            return None
        mounts = [
            _Mount(_plain(word), Restriction(f"NoExecPaths={_plain(word)}", (f"ExecPaths={path}",)))
            for word in self.unit.words("NoExecPaths")
        ]
        mounts += [_Mount(_plain(word), None) for word in self.unit.words("ExecPaths")]
        found = _nearest(os.path.realpath(path), mounts)
        return found and found.restriction

    def compiles(self) -> bool:
        """Whether programs may make code at run time."""
        return self.unit is None or not self.unit.flag("MemoryDenyWriteExecute")

    def cuts_off(self) -> Restriction | None:
        """What keeps the unit's program from any other machine, whatever its address; None where nothing does."""
        unit = self.unit
        if unit is None:
            return None
        if unit.flag("PrivateNetwork"):
            return Restriction("PrivateNetwork=yes", ("PrivateNetwork=no",))
        values = unit.values.get("RestrictAddressFamilies", [])
        if not values:
            return None
        allows = not values[0].startswith("~")
        listed: set[str] = set()
        for value in values:
            words = set(value.removeprefix("~").split())
            listed = listed | words if value.startswith("~") != allows else listed - words
        if any((family in listed) == allows for family in _INTERNET):
            return None
        line = f"RestrictAddressFamilies={' '.join(_INTERNET)}"
        reset = ("RestrictAddressFamilies=",) if "none" in listed else ()
        return Restriction(f"RestrictAddressFamilies={' '.join(values)}", (*reset, line))

    def blocks(self, addresses: Iterable[Address]) -> Restriction | None:
        """What blocks all of the addresses; None where one of them can be reached, or none is known and not all are
        blocked.
        """
        unit = self.unit
        if unit is None or not (denied := _networks(unit.words("IPAddressDeny"))):
            return None
        allowed = _networks(unit.words("IPAddressAllow"))
        known = list(addresses)
        everything = [net for net in denied if net.prefixlen == 0]
        only_here = all(net.is_loopback for net in allowed)
        blocked = [one for one in known if not _holds(allowed, one) and _holds(denied, one)]
        if len(blocked) < len(known) or not (known or (everything and only_here)):
            return None
        setting = f"IPAddressDeny={' '.join(unit.words('IPAddressDeny'))}"
        return Restriction(setting, ("IPAddressDeny=", "IPAddressAllow="))


def _networks(words: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for word in words:
        for text in _NAMED_NETWORKS.get(word, (word,)):
            try:
                found.append(ipaddress.ip_network(text, strict=False))
            except ValueError:  # the manager ignores it likewise
                continue
    return found


def _holds(networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network], address: Address) -> bool:
    return any(address in network for network in networks)


# ---------------------------------------------------------------- paths


def _plain(word: str) -> str:
    """A path of a list without the marks before it: `-` where it may be missing, `+` below the root directory."""
    return os.path.normpath(word.lstrip("-+"))


def _bound(unit: Unit) -> Iterator[tuple[str, bool]]:
    """(where, whether it can be written) of what is mounted from elsewhere."""
    for key, writable in (("BindPaths", True), ("BindReadOnlyPaths", False)):
        for word in unit.words(key):
            source, _, rest = word.partition(":")
            yield _plain(rest.partition(":")[0] or source), writable


def _lies_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _nearest(path: str, mounts: list[_Mount]) -> _Mount | None:
    """What counts for a path: the mount that is nearest above it, of equal ones the last."""
    found = None
    for mount in mounts:
        if _lies_in(path, mount.path) and (found is None or len(mount.path) >= len(found.path)):
            found = mount
    return found


def _with_directory(cure: tuple[str, ...], path: str) -> tuple[str, ...]:
    directory = path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120
    return tuple(line.replace("{directory}", directory) for line in cure)
