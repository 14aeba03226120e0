"""What this version would do to a store, and the way back to the version before.

Versions lie side by side, `/opt/sidelog/VERSION`, behind one link, `/opt/sidelog/current`. A newer one migrates the
store at its first start and leaves a copy of what it was (`store.former`). To go back is to let the link lead to the
version before, and to put that copy in the store's place, if the older version cannot read the store of now. From there
it reads on what the logs have had since.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from agent import __version__
from agent.core.errors import EXIT_CONFIG, SidelogError, StoreError
from agent.core.units import format_size
from agent.install import layout
from agent.install.files import Done, point
from agent.install.system import is_booted, run_tool
from agent.store import former, schema
from agent.store.backup import restore
from agent.store.lock import owner
from agent.store.reader import open_older_reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.install.layout import Layout

_COPY_BYTES_PER_S = 100e6  # of a copy that is flushed, on a modest disk
_ASK_S = 60.0
_SCHEMA = "from agent.store.schema import VERSION; print(VERSION)"


class UpgradePlan(NamedTuple):
    """What this version would do to a store at its first start.

    Args:
        store: its path.
        version: its schema version; None: there is no store yet.
        bytes: its size.
        changes: each migration: the version that it leads to, and what it does.
        space: what the copy takes of the disk, and what there is; None: no copy is to be made.
        running: the process of the agent that has it now.
        copies: of the store as it was before earlier migrations.
        problem: what would keep this version from migrating it.
    """

    store: Path
    version: int | None
    bytes: int
    changes: list[tuple[int, str]]
    space: former.Space | None
    running: int | None
    copies: list[former.FormerStore]
    problem: StoreError | None

    @property
    def seconds(self) -> int:
        """About how long the first start takes."""
        return math.ceil(self.bytes / _COPY_BYTES_PER_S) + 1 if self.changes else 0

    @property
    def copy(self) -> Path | None:
        """Where the copy will lie; None: there will be none."""
        return former.former_path(self.store, self.version) if self.version and self.space and self.changes else None

    def document(self) -> dict[str, Any]:
        """The document of `upgrade-check --json`."""
        problem = self.problem
        return {
            "ready": problem is None,
            "version": __version__,
            "schema": schema.VERSION,
            "store": {"path": str(self.store), "schema": self.version, "bytes": self.bytes},
            "migrations": [{"schema": number, "change": words} for number, words in self.changes],
            "copy": self.copy and str(self.copy),
            "needed_bytes": self.space and self.space.needed,
            "free_bytes": self.space and self.space.free,
            "seconds": self.seconds,
            "agent": self.running,
            "copies": [{"path": str(one.path), "schema": one.version, "bytes": one.bytes} for one in self.copies],
            "problem": problem and problem.document(),
        }

    def sentences(self) -> Iterator[str]:
        """The same in words, a line each."""
        if self.version is None:
            yield f"there is no store at {self.store} yet: this version begins one, of schema version {schema.VERSION}"
            return
        now = f"{self.store}: schema version {self.version}, {format_size(self.bytes)}"
        if not self.changes:
            yield f"{now}, as this version has it: nothing is migrated, and either version runs on it"
        else:
            yield f"{now}; this version, {__version__}, brings it to {schema.VERSION}:"
            yield from (f"  {number}: {words}" for number, words in self.changes)
            yield "an older sidelog does not open it afterwards, and no migration is taken back in place"
            yield self._way_back()
            yield f"about {self.seconds} s at the first start; lines that come meanwhile are read afterwards"
        for one in self.copies:
            yield f"kept from before: {one.path}, schema version {one.version}, {format_size(one.bytes)}"
        if self.running is not None:
            yield f"process {self.running} runs on it, and goes on until it is restarted"

    def _way_back(self) -> str:
        if self.space is None or self.copy is None:
            return "no copy is kept (store.migration_copy: false): there is no way back"
        room = f"{format_size(self.space.needed)} needed, {format_size(self.space.free)} free"
        return f"the way back: first it is copied to {self.copy} ({room}); `sidelog roll-back` brings that back"


def plan(store: Path, *, min_free_bytes: int, migration_copy: bool) -> UpgradePlan:
    """What this version would do to a store, which is only read.

    Raises:
        StoreError: as `open_reader`: it is newer than this version, damaged, or cannot be read.
    """
    if former.version_of(store) is None:
        return UpgradePlan(store, None, 0, [], None, None, [], None)
    from agent.store import migrations  # noqa: PLC0415 - with sqlite-utils, which takes 80 ms

    running = owner(store)
    with contextlib.closing(open_older_reader(store)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        changes = migrations.changes(version)
        space = former.space(connection, store, min_free_bytes) if changes and migration_copy else None
        size = former.size(connection)
        problem = None
        try:
            if changes:
                former.refuse_without_room(store, version, space)
                schema.rehearse(connection)
        except StoreError as error:
            problem = error
    pid = running.pid if running else None
    return UpgradePlan(store, version, size, changes, space, pid, former.former_stores(store), problem)


# ---------------------------------------------------------------- back


def roll_back(place: Layout, store: Path, config: Path | None = None) -> Iterator[Done]:
    """Go back to the version before; the service, if systemd runs it, is stopped for it and started again.

    Args:
        place: the machine.
        store: the configuration's.
        config: the configuration's file; None: there is none.

    Yields:
        What was done, as it is done.

    Raises:
        SidelogError: SL620, it takes root; SL625, there is no version before, or it does not start, or not with this
            configuration; SL621, a tool of the system failed.
        StoreError: SL421, there is no copy of the store that the version before can read; as `backup.restore`.
    """
    if place.is_here and os.geteuid() != 0:
        raise SidelogError.of("SL620", "sidelog roll-back")
    name = _former_version(place, store)
    environment = place.at(layout.VERSIONS) / name
    copy = _copy_for(store, name, _schema_version(environment))
    if config is not None:
        _refuse_config(environment, config)
    was_running = is_booted(place) and run_tool(["systemctl", "is-active", "--quiet", "sidelog"], may_fail=True)
    if was_running:
        run_tool(["systemctl", "stop", "sidelog"])
        yield Done("stopped", "sidelog.service")
    try:
        if copy is not None:
            made = restore(copy.path, store, force=True)
            yield Done("restored", str(store), f"what {copy.path.name} was; what it was until now is {made.former}")
        former_name = str(place.at(layout.CURRENT).readlink())
        yield point(place, layout.CURRENT, name)
        yield point(place, layout.PREVIOUS, former_name)
        yield from _renew_service(place, environment)
    finally:
        if was_running:
            run_tool(["systemctl", "start", "sidelog"])
    if was_running:
        yield Done("started", "sidelog.service")


def _former_version(place: Layout, store: Path) -> str:
    """The name of the version before."""
    link = place.at(layout.PREVIOUS)
    if not link.is_symlink():
        copies = former.former_stores(store)
        copy = copies[0].path if copies else f"{store}.vN"
        raise SidelogError.of("SL625", layout.PREVIOUS, copy=copy)
    return str(link.readlink())


def _schema_version(environment: Path) -> int:
    """The schema version that the sidelog of an environment has."""
    python = environment / "bin" / "python"
    try:
        done = subprocess.run(  # noqa: S603 - a version of our own, which was installed here
            [python, "-I", "-c", _SCHEMA], capture_output=True, text=True, timeout=_ASK_S, check=False, cwd="/",
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return int(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise SidelogError.of("SL625.broken", environment) from None


def _refuse_config(environment: Path, config: Path) -> None:
    """Raise where an older version does not understand the configuration: it would end at once, after the change."""
    try:
        done = subprocess.run(  # noqa: S603 - a version of our own, which was installed here
            [environment / "bin" / "sidelog", "--quiet", "check", "-c", config], capture_output=True, text=True,
            errors="replace", timeout=_ASK_S, check=False, cwd="/", stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return  # that it starts at all is known; what the machine has to say about it keeps nobody from going back
    if done.returncode == EXIT_CONFIG:
        said = next((line for line in (done.stdout + done.stderr).splitlines() if "error" in line), "")
        facts = {"config": config, "said": " ".join(said.split()), "command": done.args[0]}
        raise SidelogError.of("SL625.configuration", environment, **facts)


def _renew_service(place: Layout, environment: Path) -> Iterator[Done]:
    """Let an older version have its unit and drop-ins again: a newer unit may start what it does not know."""
    command = [str(environment / "bin" / "sidelog"), "--quiet", "init", "--system"]
    if place.is_here:
        renewed = run_tool(command, may_fail=True)
        note = f"as {environment.name} has them" if renewed else f"as they are: `{' '.join(command)}` failed"
        yield Done("renewed" if renewed else "kept", layout.UNIT, f"unit and drop-ins {note}")


def _copy_for(store: Path, name: str, version: int) -> former.FormerStore | None:
    """The copy that an older version goes on with; None where it reads the store of now, or there is none at all."""
    now = former.version_of(store)
    if now is None or now <= version:
        return None
    for copy in former.former_stores(store):
        if copy.version <= version:
            return copy
    raise StoreError.of("SL421", store, name=name, version=version, now=now)
