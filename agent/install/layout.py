"""Where the service's files lie on a machine, and what comes with the program to be put there."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

USER = "sidelog"  # and its group
CONFIG = "/etc/sidelog/sidelog.yaml"
CONFIG_DIRECTORY = "/etc/sidelog"
HOOKS = "/etc/sidelog/hooks"
ENVIRONMENT = "/etc/default/sidelog"
UNIT = "/etc/systemd/system/sidelog.service"
BACKUP_UNITS = ("/etc/systemd/system/sidelog-backup.service", "/etc/systemd/system/sidelog-backup.timer")
PACKAGED_UNIT = "/usr/lib/systemd/system/sidelog.service"  # of a package of the distribution
SYSUSERS = "/etc/sysusers.d/sidelog.conf"
TMPFILES = "/etc/tmpfiles.d/sidelog.conf"
NOTE = "/etc/sidelog/.installed.json"  # what was written where
SHARE = "/usr/local/share/sidelog"
EXAMPLES = "/usr/local/share/sidelog/drop-ins"  # to choose from
TO_CHOOSE_FROM = {  # what comes with the program -> where it lies
    "systemd/examples": EXAMPLES,
    "etc/grafana": "/usr/local/share/sidelog/grafana",
    "etc/prometheus": "/usr/local/share/sidelog/prometheus",
}
COMMAND = "/usr/local/bin/sidelog"  # as the unit has it
STATE = "/var/lib/sidelog"
BACKUPS = "/var/backups/sidelog"  # of the nightly backup
VERSIONS = "/opt/sidelog"  # an environment a version
CURRENT = "/opt/sidelog/current"
PREVIOUS = "/opt/sidelog/previous"


class Layout(NamedTuple):
    """A machine, or what is to become one.

    Args:
        root: what its `/` is.
    """

    root: Path = Path("/")

    @property
    def is_here(self) -> bool:
        """Whether it is the machine that this runs on."""
        return self.root.absolute() == Path("/")

    @property
    def is_packaged(self) -> bool:
        """Whether a package of the distribution has installed the service: then unit, user and folders are its own."""
        return self.at(PACKAGED_UNIT).exists()

    def at(self, place: str) -> Path:
        """A place of the machine as a path here."""
        return self.root / place.removeprefix("/")


class Program(NamedTuple):
    """The sidelog that runs.

    Args:
        words: what starts it.
        environment: the virtual environment that it lies in.
    """

    words: list[str]
    environment: Path

    @property
    def version_name(self) -> str | None:
        """The name of its directory, where it lies in `/opt/sidelog`; None elsewhere."""
        is_one = self.environment.parent == Path(VERSIONS) and self.environment.name not in ("current", "previous")
        return self.environment.name if is_one else None


def this_program() -> Program:
    """The installed command, or Python with the package."""
    environment = Path(sys.prefix)
    if environment.is_symlink():  # started as /opt/sidelog/current/bin/sidelog
        environment = environment.resolve()
    called = Path(sys.argv[0]).absolute()
    if called.name == "sidelog" and os.access(called, os.X_OK):
        return Program([str(called)], environment)
    found = shutil.which("sidelog", path=str(Path(sys.executable).parent)) or shutil.which("sidelog")
    return Program([found] if found else [sys.executable, "-m", "agent"], environment)


def shared(name: str) -> str:
    """A text file that comes with the program, such as `systemd/sidelog.service`."""
    return _shared(name).read_text(encoding="utf-8")


def shared_names(directory: str, pattern: str) -> list[str]:
    """The names of files that come with the program, such as those of `etc/hooks`, sorted."""
    return sorted(f"{directory}/{file.name}" for file in _shared(directory).glob(pattern))


def _shared(name: str) -> Path:
    """Below `agent/_share` when installed, else of the source tree."""
    package = Path(__file__).parent.parent
    candidates = (package / "_share" / name, package.parent / name)
    return next(file for file in candidates if file.exists())
