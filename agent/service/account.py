"""Who a unit's program runs as, and doing something as that one: in a child that gives up what is beyond its rights."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import pwd
import struct
import sys
import warnings
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import SidelogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import NoReturn

    from agent.service.unit import Unit

# Capabilities that decide who may do what with files (capabilities(7)).
_CAPABILITIES = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3}
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS = 8


class Account(msgspec.Struct, frozen=True):
    """A user with all groups. `keeps`: the numbers of the capabilities that it has with that, whoever it is."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str = "/"
    keeps: tuple[int, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether it is who runs this."""
        return self.uid == os.geteuid() and not (self.uid == 0 and len(self.keeps) < len(_CAPABILITIES))

    def group_names(self) -> list[str]:
        """The names of its groups, the primary one first."""
        return [group_name(gid) for gid in dict.fromkeys((self.gid, *self.groups))]


def group_name(gid: int) -> str:
    """The name of a group, its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def current() -> Account:
    """Who runs this."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        known = pwd.getpwuid(uid)
        name, home = known.pw_name, known.pw_dir
    except KeyError:
        name, home = str(uid), "/"
    keeps = tuple(_CAPABILITIES.values()) if uid == 0 else ()
    return Account(name, uid, gid, tuple(os.getgroups()), home, keeps)


def of_user(name: str) -> Account:
    """The account of a user.

    Raises:
        SidelogError: SL142, there is none.
    """
    known = _known_user(name)
    keeps = tuple(_CAPABILITIES.values()) if known.pw_uid == 0 else ()
    groups = tuple(os.getgrouplist(known.pw_name, known.pw_gid))
    return Account(known.pw_name, known.pw_uid, known.pw_gid, groups, known.pw_dir, keeps)


def of_unit(unit: Unit) -> Account:
    """Who a unit's program runs as.

    Raises:
        SidelogError: SL142, the user or a group that it names does not exist, or the user is made at each start.
    """
    known = _user_of(unit)
    gid = _group_id(named) if (named := unit.text("Group")) else known.pw_gid
    groups = {*os.getgrouplist(known.pw_name, gid), *(_group_id(one) for one in unit.words("SupplementaryGroups"))}
    granted = "CapabilityBoundingSet" if known.pw_uid == 0 else "AmbientCapabilities"
    keeps = [number for name, number in _CAPABILITIES.items() if _grants(unit, granted, name)]
    if unit.flag("PrivateUsers"):  # they count in a user namespace that no file of this machine belongs to
        keeps = []
    return Account(known.pw_name, known.pw_uid, gid, tuple(sorted(groups)), known.pw_dir, tuple(keeps))


def _grants(unit: Unit, key: str, capability: str) -> bool:
    """Whether a list of capabilities has one. Without any list the bounding set has all, the ambient set none."""
    values = unit.values.get(key)
    if values is None:
        return key == "CapabilityBoundingSet"
    has = bool(values) and values[0].startswith("~")
    for value in values:
        negated = value.startswith("~")
        if capability in value.removeprefix("~").split():
            has = not negated
    return has


def _user_of(unit: Unit) -> pwd.struct_passwd:
    """The user of a unit. One that the manager makes (`DynamicUser=`) is there while the unit runs."""
    if not unit.flag("DynamicUser"):
        return _known_user(unit.text("User", "root"))
    name = unit.text("User", unit.name.removesuffix(".service"))
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise SidelogError.of("SL142.dynamic", unit.name, user=name) from None


def _known_user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        raise SidelogError.of("SL142", name, user=name) from None


def _group_id(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise SidelogError.of("SL142.group", name, group=name) from None


# ---------------------------------------------------------------- in its place


def run_as(account: Account, environ: Mapping[str, str], work: Callable[[], bytes]) -> bytes:
    """What a function gives when it is called as another user, with these variables; only root can.

    The child is forked and starts no program: nothing of the other user's runs with root's rights. The function is
    called before the fork, too, for the imports alone: that user may not be able to read this program. So it must
    change nothing.

    Raises:
        OSError: no child could be made, or the function has raised an error, whose words this one repeats.
    """
    with _variables(environ), contextlib.suppress(Exception):
        work()
    source, sink = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads, none of which holds what is used here
        pid = os.fork()
    if pid == 0:
        os.close(source)
        _child(account, environ, work, sink)
    os.close(sink)
    with open(source, "rb") as pipe:  # noqa: PTH123
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        words = said.decode(errors="replace") or f"ended with status {os.waitstatus_to_exitcode(status)}"
        raise ChildProcessError(errno.ECHILD, words)
    return said


@contextlib.contextmanager
def _variables(environ: Mapping[str, str]) -> Iterator[None]:
    """These variables alone in the environment, for the block."""
    former = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


def _child(account: Account, environ: Mapping[str, str], work: Callable[[], bytes], sink: int) -> NoReturn:
    status = 1
    try:
        _become(account)
        with _variables(environ):
            said = work()
        status = 0
    except BaseException as error:  # noqa: BLE001 - nothing of the parent's may go on in the child
        said = f"{type(error).__name__}: {error}".encode(errors="replace")
    try:
        with open(sink, "wb") as pipe:
            pipe.write(said)
    except OSError:
        status = 1
    os._exit(status)


def _become(account: Account) -> None:
    """Be another user for good.

    Raises:
        OSError: this process may not.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if account.keeps:
        library.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    wanted = sum(1 << number for number in account.keeps)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    data = struct.pack("6I", wanted, wanted, 0, 0, 0, 0)  # effective, permitted, inheritable; their upper halves
    if library.capset(header, data) and account.uid == 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")
