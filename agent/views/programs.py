"""Can the agent start what it is to start, and reach whom it is to tell: the unit's program, hooks, webhooks?"""

from __future__ import annotations

import ipaddress
import os
import shlex
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.core.errors import SidelogError
from agent.hooks import program as hooks
from agent.service import access, network
from agent.service.fix import Fix, hint
from agent.views.diagnostic import Diagnostic, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.config import HookConfig
    from agent.config.secret import Secret
    from agent.service.sandbox import Restriction, Sandbox
    from agent.service.unit import Unit
    from agent.service.viewpoint import Viewpoint

    Addresses = list[ipaddress.IPv4Address | ipaddress.IPv6Address]

_FIRST_LINE_BYTES = 256  # that Linux reads of a script's first line
_MARKS = "-@:+!|"  # before the program of ExecStart=
_COMPILERS = ("node", "nodejs", "java", "dotnet", "pypy", "pypy3", "deno", "bun", "luajit")
_HTTPS = 443
_PORTS = {"http": 80, "https": _HTTPS}
_HOSTS = Path("/etc/hosts")


def unit_program(view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the program of an installed unit can be started by its user."""
    if view.unit is None or not view.unit.installed:
        return
    words = view.unit.words("ExecStart")
    if not words:
        return
    program = words[0].lstrip(_MARKS)
    needed = [program, *_interpreters(program)]
    if hidden := hidden_part(program, view.sandbox):
        part, restriction = hidden
        yield error("SL143.hidden", view.unit.name, program=part, setting=restriction.setting)
    elif not all(access.may(part, os.X_OK) for part in needed) or not access.may(program, os.R_OK):
        found = next(filter(None, (access.obstacle(part, os.X_OK) for part in needed)), None)
        fixes = access.grants(found, view.account, in_unit=True) if found else ()
        key = "SL143" if os.path.lexists(program) else "SL143.missing"
        facts = {"program": program, "user": view.account.name, "cure": hint(fixes, view.unit, "install sidelog anew")}
        yield error(key, view.unit.name, fixes=fixes, **facts)


def hidden_part(program: str, sandbox: Sandbox) -> tuple[str, Restriction] | None:
    """What a sandbox hides of a program, itself or what its first line names, and by what; None: all can be seen."""
    for part in (program, *_interpreters(program)):
        if (restriction := sandbox.hides(part)) is not None:
            return part, restriction
    return None


def hook_program(name: str, hook: HookConfig, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether a hook's program can run and only its owner can change it."""
    if not hook.exec:
        return
    place, program = f"hooks.{name}.exec", hooks.find(hook.exec[0])
    if (why := hooks.unstartable(hook.exec)) is not None:
        yield error("SL117.command", place, program=program, why=why)
    elif (restriction := view.sandbox.hides(program) or view.sandbox.forbids_execution(program)) is not None:
        fixes = tuple(Fix(line=line) for line in restriction.cure)
        facts = {"program": program, "setting": restriction.setting, "hint": hint(fixes, view.unit)}
        yield error("SL117.sandbox", place, fixes=fixes, **facts)
    elif shutil.which(program, path=hooks.SEARCH_PATH) is None:
        yield _not_started(place, program, view)
    elif (why := hooks.unsafe(program)) is not None:
        fixes = _closed(program)
        facts = {"program": program, "why": why, "hint": hint(fixes, None)}
        yield error("SL117.open", place, fixes=fixes, **facts)
    elif (problem := _script_problem(place, program, view)) is not None:
        yield problem
    else:
        yield ok(place, f"{program} can be run")


def _not_started(place: str, program: str, view: Viewpoint) -> Diagnostic:
    """Why a program that somebody names cannot be started: it is not there, or who is meant may not."""
    found = access.obstacle(program, os.X_OK) if "/" in program else None
    if found is None:
        return error("SL117" if not access.may(program, os.F_OK) else "SL117.mode", place, program=program)
    if found.path != program:
        fixes = access.grants(found, view.account, in_unit=view.unit is not None)
        facts = {"program": program, "user": view.account.name, "part": found.path, "hint": hint(fixes, view.unit)}
        return error("SL117.closed", place, fixes=fixes, **facts)
    if _is_noexec(program):  # which no mode changes
        return error("SL117.noexec", place, program=program)
    fixes = (Fix(command=("chmod", "a+rx"), target=os.path.realpath(program)),)
    facts = {"program": program, "hint": hint(fixes, view.unit)}
    return error("SL117.mode", place, fixes=fixes, **facts)


def _is_noexec(path: str) -> bool:
    """Whether a file lies on a file system that runs no programs; a directory can be passed there."""
    return os.path.isfile(path) and bool(os.statvfs(path).f_flag & os.ST_NOEXEC)  # noqa: PTH113


def _closed(program: str) -> tuple[Fix, ...]:
    """What gives a program to root, and takes from all others the right to change it."""
    fixes = []
    for part in (program, os.path.dirname(program)):  # noqa: PTH120
        status = Path(part).stat()
        if status.st_uid not in (0, os.geteuid()):
            fixes.append(Fix(command=("chown", "root"), target=os.path.realpath(part)))
        if status.st_mode & 0o022:
            fixes.append(Fix(command=("chmod", "go-w"), target=os.path.realpath(part)))
    return tuple(fixes)


def _script_problem(place: str, program: str, view: Viewpoint) -> Diagnostic | None:
    """What is wrong with a program that has the right to be run: the interpreter of a script."""
    try:
        interpreter = _interpreter(program)
    except OSError:  # a binary runs all the same, a script does not
        fixes = (Fix(command=("chmod", "a+r"), target=os.path.realpath(program)),)
        facts = {"program": program, "user": view.account.name, "hint": hint(fixes, view.unit)}
        return warning("SL117.unread", place, fixes=fixes, **facts)
    for part in interpreter:
        if (problem := _interpreter_problem(place, program, part, view)) is not None:
            return problem
    if interpreter and Path(interpreter[-1]).name in _COMPILERS and not view.sandbox.compiles():
        fixes = (Fix(line="MemoryDenyWriteExecute=no"),)
        facts = {"program": program, "interpreter": interpreter[-1], "hint": hint(fixes, view.unit)}
        return error("SL117.jit", place, fixes=fixes, **facts)
    return None


def _interpreter_problem(place: str, program: str, name: str, view: Viewpoint) -> Diagnostic | None:
    """Why what a script's first line names cannot be started: it is not there, or is closed, hidden or forbidden."""
    found = shutil.which(name, path=hooks.SEARCH_PATH)
    if found is None:
        blocked = access.obstacle(name, os.X_OK) if "/" in name else None
        if blocked is None:
            return error("SL117.interpreter", place, program=program, interpreter=name)
        if _is_noexec(blocked.path):
            return error("SL117.noexec", place, program=name)
        fixes = access.grants(blocked, view.account, in_unit=view.unit is not None)
        facts = {"program": program, "interpreter": name, "part": blocked.path, "user": view.account.name}
        return error("SL117.interpreter-closed", place, fixes=fixes, hint=hint(fixes, view.unit), **facts)
    restriction = view.sandbox.hides(found) or view.sandbox.forbids_execution(found)
    if restriction is None:
        return None
    fixes = tuple(Fix(line=line) for line in restriction.cure)
    facts = {"program": program, "interpreter": found, "setting": restriction.setting}
    return error("SL117.interpreter-sandbox", place, fixes=fixes, hint=hint(fixes, view.unit), **facts)


def _interpreter(program: str) -> list[str]:
    """The programs that a script's first line names: the interpreter, and what `env` is to find; none of a binary.

    Raises:
        OSError: the file cannot be read.
    """
    with open(program, "rb") as file:  # noqa: PTH123
        first = file.read(_FIRST_LINE_BYTES).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return []
    words = shlex.split(os.fsdecode(first[2:]), comments=False) if b"'" not in first and b'"' not in first else []
    words = words or os.fsdecode(first[2:]).split()
    if not words:
        return [""]
    if Path(words[0]).name != "env":
        return words[:1]
    return [words[0], *[word for word in words[1:] if not word.startswith("-") and "=" not in word][:1]]


def _interpreters(program: str) -> list[str]:
    """The programs that a script's first line names, each with its whole path; none of what cannot be read."""
    try:
        named = _interpreter(program)
    except OSError:
        return []
    return [part if "/" in part else shutil.which(part, path=hooks.SEARCH_PATH) or part for part in named]


def hook_secrets(hook: HookConfig, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the secrets that a hook refers to are there, and fit their place. Their text goes nowhere."""
    looks: list[tuple[Secret, Callable[[], str]]]
    looks = [(secret, secret.resolve_header) for secret in hook.headers.values()]
    if (service := hook.service) is not None:
        looks += [(secret, secret.resolve) for secret in (service.url, service.key) if secret is not None]
    for secret, look in looks:
        try:
            look()
        except SidelogError as problem:
            found = None if secret.file is None else access.obstacle(str(secret.file), os.R_OK)
            fixes = access.grants(found, view.account, in_unit=view.unit is not None) if found else ()
            problem.hint = hint(fixes, view.unit, problem.hint)
            yield Diagnostic.of(problem, fixes=fixes)


# ---------------------------------------------------------------- the network


def webhook(name: str, hook: HookConfig, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the unit lets requests out to where a webhook lies. Its address may be a secret, and is not shown."""
    if hook.webhook is None or view.unit is None:
        return
    try:
        url = hook.webhook.resolve()
    except SidelogError:  # said by `hook_secrets`
        return
    yield from let_out(url, f"hooks.{name}.webhook", view)


def let_out(url: str, place: str, view: Viewpoint, key: str = "SL147") -> Iterator[Diagnostic]:
    """Whether the unit lets requests out to where a URL lies, which is not shown.

    Args:
        url: of a webhook, or of a target of `forward`.
        place: in the configuration.
        view: of the unit, if there is one.
        key: of the error.
    """
    if view.unit is None:
        return
    try:
        parts = urlsplit(url)
        host, port = _first_hop(parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, _HTTPS))
    except ValueError:  # said when it is called
        return
    restriction = _barrier(view.unit, host, port)
    if restriction is None:
        yield ok(place, "the unit lets its requests out")
        return
    fixes = tuple(Fix(line=line) for line in restriction.cure)
    facts = {"setting": restriction.setting, "hint": hint(fixes, view.unit)}
    yield error(key, place, fixes=fixes, **facts)


def _first_hop(scheme: str, host: str, port: int) -> tuple[str, int]:
    """Who a request is sent to: the host itself, or the proxy of the agent's environment."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - for who has a webhook

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return host, port
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return parts.hostname or "", parts.port or _PORTS["http"]


def _barrier(unit: Unit, host: str, port: int) -> Restriction | None:
    """What stops requests to a host; a name is looked up only where that decides."""
    literal = _literal(host)
    found = network.cuts_off(unit, literal) or network.blocks(unit, literal)
    if found is not None or literal:
        return _narrowed(found, literal) if found and literal else found
    if not unit.words("IPAddressDeny") and not unit.values.get("RestrictAddressFamilies"):
        return None
    addresses = _resolved(host, port)
    found = network.cuts_off(unit, addresses) or network.blocks(unit, addresses)
    return found or (None if _is_told_here(host) else network.blocks_names(unit))


def _narrowed(found: Restriction, literal: Addresses) -> Restriction:
    """What lets one address through, where an address and no name stands in the configuration."""
    if not found.setting.startswith("IPAddressDeny="):
        return found
    addresses = (str(network.on_the_wire(address)) for address in literal)
    return found._replace(cure=(f"IPAddressAllow={' '.join(addresses)}",))


def _literal(host: str) -> Addresses:
    """The addresses that a host is, or that `localhost` stands for; none of a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    try:
        return [ipaddress.ip_address(host.partition("%")[0])]
    except ValueError:
        return []


def _resolved(host: str, port: int) -> Addresses:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # no such name now; nothing is said of it
        return []
    return [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in found]


def _is_told_here(host: str) -> bool:
    """Whether this machine knows the address of a name without asking another one."""
    try:
        lines = _HOSTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(host in line.partition("#")[0].split()[1:] for line in lines)
