"""For whom a configuration is looked at: who runs this, another user, or a unit's user in the unit's sandbox."""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from agent.core.errors import SidelogError, UsageError
from agent.service import account as accounts
from agent.service import unit as units
from agent.service.account import Account  # noqa: TC001 - a field of a struct
from agent.service.sandbox import Sandbox
from agent.service.unit import Unit  # noqa: TC001

PREFIX = "SIDELOG_"


class Viewpoint(msgspec.Struct, frozen=True):
    """Who is to find the machine ready, and what stands between that one and the machine.

    `service`: an installed unit that this is not about, because whoever runs this may not look as its user. `problem`:
    why it is not for the unit's user, who is meant.
    """

    account: Account
    unit: Unit | None = None
    service: Unit | None = None
    problem: SidelogError | None = None

    @property
    def sandbox(self) -> Sandbox:
        """What the unit leaves of the machine."""
        return Sandbox(self.unit)

    def environment(self) -> dict[str, str]:
        """The variables that the one who is meant has; what the caller's have of sidelog's own lies over them."""
        own = {name: text for name, text in os.environ.items() if name.startswith(PREFIX)}
        if self.unit is not None:
            return self.unit.environment(self.account.name, self.account.home) | own
        mine = {name: text for name, text in os.environ.items() if not name.startswith("XDG_")}
        return mine | {"HOME": self.account.home, "USER": self.account.name, "LOGNAME": self.account.name}

    def described(self) -> str:
        """In words, for a person."""
        groups = ", ".join(self.account.group_names())
        if self.unit is None:
            return f"judged for the user {self.account.name} (groups {groups})"
        kind = "" if self.unit.installed else ", which is not installed"
        return f"judged for the user {self.account.name} (groups {groups}) in the sandbox of {self.unit.path}{kind}"


def choose(*, user: str | None = None, unit: str | None = None, system: bool = False) -> Viewpoint:
    """For whom to look. Without a wish: root looks for the service, if it is installed or meant; others for
    themselves, in the sandbox of the service where they are its user.

    Args:
        user: the wish to look for this user, without any sandbox.
        unit: the wish to look for the user of this unit, a name or a file.
        system: the configuration is that of the service: root means it also where its unit is not installed, and
            others are told that they look for themselves.

    Raises:
        SidelogError: SL141, there is no such unit, or it cannot be read; SL142, its user or that user does not exist.
        UsageError: SL501, both wishes, or only root can look as that one.
    """
    if user is not None and unit is not None:
        raise UsageError.of("SL501.viewpoint", "--as-user")
    me = accounts.current()
    if user is not None:
        return _allowed(Viewpoint(accounts.of_user(user)), me)
    if unit is None:
        return _by_itself(me, system=system)
    if (named := units.find(unit)) is None:
        raise SidelogError.of("SL141", unit, unit=unit)
    return _allowed(Viewpoint(accounts.of_unit(named), named), me)


def _by_itself(me: Account, *, system: bool) -> Viewpoint:
    """For whom to look where nobody has a wish."""
    try:
        found = units.find() or (_meant() if system and me.uid == 0 else None)
    except SidelogError:
        if me.uid == 0:
            raise
        found = None  # a drop-in with a secret in it, perhaps: it is not theirs
    if found is None:
        return Viewpoint(me)
    try:
        account = accounts.of_unit(found)
    except SidelogError as problem:
        return Viewpoint(me, found, problem=problem)
    if me.uid == account.uid != 0:
        return Viewpoint(me, found)
    if me.uid == 0:
        return Viewpoint(account, found)
    return Viewpoint(me, service=found if system else None)


def _meant() -> Unit | None:
    """The unit that comes along, where a service manager runs or its user exists; in a container root is meant."""
    unit = units.packaged()
    with suppress(SidelogError):
        accounts.of_unit(unit)
        return unit
    return unit if units.is_booted() else None


def unit_config(viewpoint: Viewpoint) -> str | None:
    """The configuration file that the unit's program is told of, by an option or by its environment."""
    who, unit = viewpoint.account, viewpoint.unit
    if unit is None:
        return None
    words = unit.words("ExecStart")
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-c", "--config"):
            return following
        if word.startswith("--config="):
            return word.removeprefix("--config=")
    return unit.environment(who.name, who.home).get("SIDELOG_CONFIG")


def _allowed(wanted: Viewpoint, me: Account) -> Viewpoint:
    if me.uid not in (0, wanted.account.uid):
        raise UsageError.of("SL501.root-view", "--as-user", user=wanted.account.name)
    return wanted
