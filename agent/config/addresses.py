"""Addresses: where the HTTP server listens, by which names it is reached (the section `http`), and URLs of others."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING

from agent.config.convert import shown
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from agent.config.convert import ConfigFindings
    from agent.config.layers import KeyPath
    from agent.config.schema import HttpConfig

_PORTS = range(1, 65_536)
_MOST_SOCKET_BYTES = 107  # unix(7): sun_path has 108 with its end
_EVERYWHERE = frozenset(("", "0.0.0.0", "::"))  # noqa: S104 - a browser asks for a name instead
_HOST = lazy(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?", re.ASCII)


def is_private(listen: str) -> bool:
    """Whether none but this machine reaches an address of `http.listen`: loopback, or a Unix socket."""
    if listen.startswith("unix:"):
        return True
    host = (listen_address(listen) or ("", 0))[0]
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else host.lower() == "localhost"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_url(text: str) -> bool:
    """Whether a text is an http:// or https:// URL."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - most configurations have none

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) in _PORTS
    except ValueError:
        return False
    return good and text.isprintable() and " " not in text


def listen_address(listen: str) -> tuple[str, int] | None:
    """Host and port of `127.0.0.1:9880`, `[::1]:9880` or `:9880` (every address); None when it is neither."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([A-Za-z0-9.-]*)):(\d{1,5})", listen, re.ASCII)
    if not match or int(match[3]) not in _PORTS:
        return None
    return match[1] or match[2] or "", int(match[3])


def page_address(http: HttpConfig) -> str:
    """Where a browser finds the pages: `http://127.0.0.1:9880`; under the first of `hosts` where others reach them."""
    name = http.hosts[0] if http.hosts else ""
    if ":" in name:
        name = f"[{name}]"
    if http.behind_proxy and name:
        return f"https://{name}"
    host, port = listen_address(http.listen) or ("localhost", 0)  # a socket, which ssh can bring to a port
    if not is_private(http.listen) and name:
        host = name
    elif host in _EVERYWHERE:
        host = "localhost"
    elif ":" in host:
        host = f"[{host}]"
    return f"{'http' if http.tls is None else 'https'}://{host}{f':{port}' if port else ''}"


def check_http(http: HttpConfig, findings: ConfigFindings) -> None:
    """Add a finding for what is wrong with the section."""
    path: KeyPath = ("http", "listen")
    if http.listen.startswith("unix:"):
        socket = http.listen.removeprefix("unix:")
        if not socket.startswith("/") or len(os.fsencode(socket)) > _MOST_SOCKET_BYTES or "\0" in socket:
            findings.add("SL104.socket", path, value=shown(http.listen), most=_MOST_SOCKET_BYTES)
    elif listen_address(http.listen) is None:
        findings.add("SL104.listen", path, value=shown(http.listen))
    elif not is_private(http.listen) and http.tls is None and not http.behind_proxy:
        findings.add("SL104.open", path, value=shown(http.listen))
    for place, host in enumerate(http.hosts):
        if not (_HOST.fullmatch(host) or _is_address(host)):
            findings.add("SL104.host", ("http", "hosts", place), value=shown(host))
