"""What a unit's sandbox leaves of the network: which addresses the unit's program reaches, and whether it finds them.

By the settings alone: systemd.exec(5), systemd.resource-control(5).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from agent.service.sandbox import Restriction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.service.unit import Unit

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAMED_NETWORKS = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}
_FAMILIES = {4: "AF_INET", 6: "AF_INET6"}
_RESOLVER = Path("/etc/resolv.conf")


def cuts_off(unit: Unit, addresses: Iterable[Address] = ()) -> Restriction | None:
    """What keeps a unit's program from all of the addresses, by their kind; without any, from every other machine.

    Args:
        unit: with all drop-ins.
        addresses: of one receiver: any of them will do.
    """
    known = list(addresses)
    if unit.flag("PrivateNetwork"):
        return Restriction("PrivateNetwork=yes", ("PrivateNetwork=no",))
    interfaces = set(unit.words("RestrictNetworkInterfaces"))
    if interfaces == {"lo"} and not any(address.is_loopback for address in known):
        return Restriction("RestrictNetworkInterfaces=lo", ("RestrictNetworkInterfaces=",))
    values = unit.values.get("RestrictAddressFamilies", [])
    if not values:
        return None
    allows = not values[0].startswith("~")
    listed: set[str] = set()
    for value in values:
        words = set(value.removeprefix("~").split())
        listed = listed | words if value.startswith("~") != allows else listed - words
    wanted = {_FAMILIES[address.version] for address in known} or set(_FAMILIES.values())
    if any((family in listed) == allows for family in wanted):
        return None
    line = f"RestrictAddressFamilies={' '.join(sorted(wanted))}"
    reset = ("RestrictAddressFamilies=",) if "none" in listed else ()
    return Restriction(f"RestrictAddressFamilies={' '.join(values)}", (*reset, line))


def blocks(unit: Unit, addresses: Iterable[Address]) -> Restriction | None:
    """What blocks all of the addresses; None where one of them can be reached, or none is known and not all are
    blocked.
    """
    denied, allowed = _rules(unit)
    known = list(addresses)
    blocked = [one for one in known if not _holds(allowed, one) and _holds(denied, one)]
    if len(blocked) < len(known) or not denied:
        return None
    everything = {net.version for net in denied if net.prefixlen == 0} == {4, 6}
    if not known and not (everything and all(net.is_loopback for net in allowed)):
        return None
    return Restriction(f"IPAddressDeny={' '.join(unit.words('IPAddressDeny'))}", ("IPAddressDeny=", "IPAddressAllow="))


def blocks_names(unit: Unit) -> Restriction | None:
    """What blocks all servers that tell the addresses of names, where others are allowed; None where one can be asked.

    A resolver on this machine, such as systemd-resolved, is one that can.
    """
    servers = _name_servers()
    found = blocks(unit, servers) if servers else None
    return found and found._replace(cure=(f"IPAddressAllow={' '.join(map(str, servers))}",))


def _name_servers() -> list[Address]:
    try:
        lines = _RESOLVER.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for words in (line.split() for line in lines):
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                found.append(ipaddress.ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return found


def _rules(unit: Unit) -> tuple[list[Network], list[Network]]:
    """What is denied and what is allowed."""
    return _networks(unit.words("IPAddressDeny")), _networks(unit.words("IPAddressAllow"))


def _networks(words: Iterable[str]) -> list[Network]:
    found = []
    for word in words:
        for text in _NAMED_NETWORKS.get(word, (word,)):
            try:
                found.append(ipaddress.ip_network(text, strict=False))
            except ValueError:  # the manager ignores it likewise
                continue
    return found


def _holds(networks: Iterable[Network], address: Address) -> bool:
    plain = on_the_wire(address)
    return any(plain in network for network in networks)


def on_the_wire(address: Address) -> Address:
    """The address that packets carry: that of IPv4 where IPv6 only wraps it."""
    return getattr(address, "ipv4_mapped", None) or address
