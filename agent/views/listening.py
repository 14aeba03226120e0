"""Whether the HTTP server can be had as configured: its address, its certificate, and what the unit leaves of both."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import is_private, listen_address
from agent.core.errors import HttpError
from agent.service import access, network
from agent.service.fix import Fix, hint
from agent.views.diagnostic import Diagnostic, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config import HttpConfig, TlsConfig
    from agent.service.viewpoint import Viewpoint

_PLACE = "http.listen"
_PRIVILEGED = 1024  # ports below are root's, or of who has CAP_NET_BIND_SERVICE
_CAPABILITY = "CAP_NET_BIND_SERVICE"
_ELSEWHERE = (ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1"))  # RFC 5737, 3849
_ANSWER_S = 1.0


def serving(http: HttpConfig, view: Viewpoint) -> Iterator[Diagnostic]:
    """What is to be said of the section `http`."""
    if http.listen.startswith("unix:"):
        yield _unix(http.listen.removeprefix("unix:"), view)
    else:
        yield port(http.listen, view)
        if not is_private(http.listen):
            yield from _reachable(http.listen, view)
    if http.tls is not None:
        yield _certificate(http.tls, view)


# ---------------------------------------------------------------- the address


def listening_family(host: str) -> tuple[socket.AddressFamily, bool]:
    """The family of a host's sockets, and whether they are to serve both families."""
    if host:
        return (socket.AF_INET6 if ":" in host else socket.AF_INET), False
    both = socket.has_dualstack_ipv6()
    return (socket.AF_INET6 if both else socket.AF_INET), both


def port(listen: str, view: Viewpoint | None = None) -> Diagnostic:
    """Whether a `HOST:PORT` can be listened on."""
    address = listen_address(listen)
    assert address is not None
    host, number = address
    family, both = listening_family(host)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        try:
            probe.bind((host, number))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                return warning("SL119.used", _PLACE, address=listen)
            if problem.errno == errno.EACCES and number < _PRIVILEGED and view is not None and view.unit is not None:
                return _privileged(listen, view)
            return error("SL119.refused", _PLACE, address=listen, why=problem)
    return ok(_PLACE, f"{listen} is free")


def _privileged(listen: str, view: Viewpoint) -> Diagnostic:
    unit = view.unit
    assert unit is not None
    if _CAPABILITY in unit.words("AmbientCapabilities") and not unit.flag("PrivateUsers"):
        return ok(_PLACE, f"the unit may listen at {listen}")
    lines = (f"AmbientCapabilities={_CAPABILITY}", f"CapabilityBoundingSet={_CAPABILITY}", "PrivateUsers=no")
    fixes = tuple(Fix(line=line) for line in lines)
    facts = {"address": listen, "hint": hint(fixes, unit)}
    return error("SL119.privileged", _PLACE, fixes=fixes, **facts)


def _reachable(listen: str, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the unit lets requests of other machines in, as whoever listens beyond this one expects."""
    if view.unit is None:
        return
    clients = [one for one in _ELSEWHERE if (one.version == 6) == (":" in listen.rpartition(":")[0])]  # noqa: PLR2004
    restriction = network.cuts_off(view.unit, clients) or network.blocks(view.unit, clients)
    if restriction is not None:
        fixes = tuple(Fix(line=line) for line in restriction.cure)
        facts = {"address": listen, "setting": restriction.setting, "hint": hint(fixes, view.unit)}
        yield warning("SL119.blocked", _PLACE, fixes=fixes, **facts)


def _unix(path: str, view: Viewpoint) -> Diagnostic:
    directory = os.path.dirname(path)  # noqa: PTH120
    try:
        found = os.lstat(path)
    except OSError:
        found = None
    if found is not None and not stat.S_ISSOCK(found.st_mode):
        return error("SL119.file", _PLACE, address=path)
    if found is not None and is_answered(path):
        return warning("SL119.used", _PLACE, address=path)
    if view.sandbox.makes(directory):
        return ok(_PLACE, f"{path} can be made")
    restriction = view.sandbox.hides(directory) or view.sandbox.protects(directory)
    if restriction is not None:
        fixes = tuple(Fix(line=line) for line in restriction.cure)
        facts = {"address": path, "why": restriction.setting, "hint": hint(fixes, view.unit)}
        return error("SL119.refused", _PLACE, fixes=fixes, **facts)
    if not access.may(directory, os.W_OK | os.X_OK):
        missing = not os.path.isdir(directory)  # noqa: PTH112
        why = OSError(errno.ENOENT if missing else errno.EACCES, os.strerror(errno.ENOENT if missing else errno.EACCES))
        return error("SL119.directory", _PLACE, address=path, directory=directory, why=why)
    return ok(_PLACE, f"{path} can be made")


def is_answered(path: str) -> bool:
    """Whether somebody listens at a Unix socket.

    Raises:
        OSError: it may not be asked.
    """
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(_ANSWER_S)
        try:
            other.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (TimeoutError, BlockingIOError):  # its queue is full
            return True
    return True


# ---------------------------------------------------------------- the certificate


def tls_fault(tls: TlsConfig) -> HttpError | None:
    """Why a certificate and its key cannot be used; None where they can."""
    import ssl  # noqa: PLC0415 - few have one

    for path in (tls.certificate, tls.key):
        try:
            with Path(path).open("rb") as file:
                file.read(1)
        except OSError as problem:
            return HttpError.of("SL914", path, why=problem)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            return HttpError.of("SL914.mismatch", tls.key, certificate=tls.certificate)
        return HttpError.of("SL914.content", tls.certificate, key=tls.key)
    except (OSError, ValueError):
        return HttpError.of("SL914.content", tls.certificate, key=tls.key)
    return None


def _certificate(tls: TlsConfig, view: Viewpoint) -> Diagnostic:
    fault = tls_fault(tls)
    if fault is None:
        for path in (tls.certificate, tls.key):
            if (restriction := view.sandbox.hides(str(path))) is not None:
                fixes = tuple(Fix(line=line) for line in restriction.cure)
                facts = {"why": restriction.setting, "hint": hint(fixes, view.unit)}
                return Diagnostic.of(HttpError.of("SL914", path, **facts), fixes=fixes)
        return ok("http.tls", f"{tls.certificate} and its key fit")
    found = None
    with suppress(OSError):
        found = access.obstacle(fault.subject, os.R_OK)
    fixes = access.grants(found, view.account, in_unit=view.unit is not None) if found else ()
    fault.hint = hint(fixes, view.unit, fault.hint or "")
    return Diagnostic.of(fault, fixes=fixes)
