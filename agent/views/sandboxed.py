"""What the sandbox of a unit means for the files that a configuration names beside logs, and for the check itself."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from agent.config import drop_ins
from agent.service.fix import Fix, hint
from agent.views.diagnostic import error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.config import Config
    from agent.service.viewpoint import Viewpoint
    from agent.views.diagnostic import Diagnostic

_OTHER_ROOTS = ("RootDirectory", "RootImage")


def another_root(view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the unit's program has another root directory, in which nothing is looked at here."""
    for key in _OTHER_ROOTS if view.unit is not None else ():
        assert view.unit is not None
        if (root := view.unit.text(key)) not in ("", "/"):
            yield warning("SL150", view.unit.name, setting=f"{key}={root}")


def named_files(config: Config, file: Path, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether the unit's program sees the configuration, and the files that it names."""
    named = [(str(one), "configuration", one) for one in (file, *drop_ins(file))]
    for name, hook in config.hooks.items():
        service = hook.service
        secrets = [*hook.headers.values(), *((service.url, service.key) if service is not None else ())]
        named += [(f"hooks.{name}", "secret", one.file) for one in secrets if one is not None and one.file is not None]
    for index, source in enumerate(config.sources):
        if source.rotate is not None and source.rotate.signal is not None:
            named.append((f"sources[{index}].rotate.signal", "pidfile", source.rotate.signal.pidfile))
    for place, what, path in named:
        if (restriction := view.sandbox.hides(str(path))) is not None:
            fixes = tuple(Fix(line=line) for line in restriction.cure)
            facts = {"what": what, "path": path, "setting": restriction.setting, "hint": hint(fixes, view.unit)}
            yield error("SL140.file", place, fixes=fixes, **facts)


def most_open_files(view: Viewpoint) -> int:
    """How many files the agent may have open: it raises its soft limit to the hard one, which a unit may set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if view.unit is None:
        return soft
    given = view.unit.text("LimitNOFILE").rpartition(":")[2]
    return int(given) if given.isdecimal() else resource.RLIM_INFINITY if given == "infinity" else hard
