"""Can the groups that are to read the store and the archives do so, and can the agent give them anything?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.sharing import group_id
from agent.core.text import is_seen
from agent.service.access import has_access_list
from agent.service.account import group_name
from agent.service.fix import Fix, hint
from agent.views.diagnostic import error, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config import Config
    from agent.service.viewpoint import Viewpoint
    from agent.views.diagnostic import Diagnostic

_LISTS = 0o050  # a group may look into a directory


def team(config: Config, view: Viewpoint) -> Iterator[Diagnostic]:
    """Findings about `store.group` and `archive.group`; none where they are not set."""
    wanted = [("store.group", config.store.group, config.store.path.parent, "the store")]
    if config.archive is not None:
        wanted.append(("archive.group", config.archive.group, config.archive_directory, "the archives"))
    for key, group, directory, what in wanted:
        if group is None:
            continue
        found = [
            *_member(key, group, view),
            *_mode(key, group, directory, view),
            *_way(config, key, directory, what, view),
        ]
        yield from found or [ok(key, f"the group {group} can be let read {what}")]


def _member(key: str, group: str, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the agent can give files to the group."""
    gid, account = group_id(group), view.account
    alone = view.unit is not None and view.unit.flag("PrivateUsers")  # there it knows its primary group and no other
    if account.uid == 0 or gid == account.gid or (gid in account.groups and not alone):
        return
    if view.unit is None:
        fixes: tuple[Fix, ...] = (Fix(command=("usermod", "-aG", group), target=account.name),)
    else:
        fixes = (Fix(line=f"Group={group}"), Fix(line=f"SupplementaryGroups={group_name(account.gid)}"))
    facts = {"group": group, "user": account.name, "cure": hint(fixes, view.unit)}
    yield error("SL148.member", key, key=key, fixes=fixes, **facts)


def _mode(key: str, group: str, directory: Path, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the manager gives the directory a mode at each start that keeps the group out."""
    if view.unit is None or not view.sandbox.makes(str(directory)):
        return
    mode = view.unit.text("StateDirectoryMode", "0755")
    if mode.isdecimal() and int(mode, 8) & _LISTS != _LISTS:
        fixes = (Fix(line="StateDirectoryMode=0750"),)
        facts = {"mode": mode, "group": group, "key": key, "cure": hint(fixes, view.unit)}
        yield error("SL148.mode", key, fixes=fixes, **facts)


def _way(config: Config, key: str, directory: Path, what: str, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the group can pass all directories above the one that is given to it."""
    group = config.store.group if key == "store.group" else config.archive and config.archive.group
    given = {config.store.path.parent} if config.store.group == group else set()
    for above in Path(os.path.realpath(directory)).parents:
        if above in given or not is_seen(above):
            continue
        status = above.stat()
        bit = 0o010 if status.st_gid == group_id(str(group)) else 0o001
        if not status.st_mode & bit and not has_access_list(str(above)):
            lasting = not view.sandbox.makes(str(above))  # else the manager sets its mode anew
            step = Fix(command=("setfacl", "-m", f"g:{group}:x"), target=str(above))
            fixes = (step,) if lasting else ()
            cure = f"{step.text()}, or " if lasting else ""
            facts = {"group": group, "directory": above, "what": what, "cure": cure}
            yield error("SL148.way", key, fixes=fixes, **facts)
            return
