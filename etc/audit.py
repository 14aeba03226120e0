"""Known weaknesses in what `requirements.txt` locks.

    python etc/audit.py                    asks pip-audit's service, over the network
    python etc/audit.py --advisories DIR   looks into a copy of https://github.com/pypa/advisory-database, offline

Ends with 0 where none is known, 1 where there are some, 2 where that could not be found out.
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from packaging.version import InvalidVersion, Version
from sbom import LOCK, ROOT, locked, normal

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL = ROOT / "build/audit"  # an environment of pip-audit's own: what it wants would change the versions of the tests'
FOUND, UNKNOWN = 1, 2  # exit codes
_MODIFIED = re.compile(r"^modified: ['\"]?(\d{4}-\d\d-\d\d)", re.MULTILINE)


class Weakness(NamedTuple):
    """One that is known, of one package."""

    package: str
    version: str
    names: tuple[str, ...]  # of the weakness: its identifier, and others that it has elsewhere
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        """For a person."""
        others = f" ({', '.join(self.names[1:])})" if self.names[1:] else ""
        remedy = f"fixed in {', '.join(self.fixed)}" if self.fixed else "not fixed yet"
        return f"{self.package} {self.version}: {self.names[0]}{others}, {remedy}"


# ---------------------------------------------------------------- offline


def in_advisories(folder: Path, lock: Path) -> list[Weakness]:
    """What a copy of the advisory database knows of the locked packages."""
    return [
        Weakness(name, version, (said["id"], *said.get("aliases", [])), tuple(fixes(said, name)))
        for name, version, _ in locked(lock)
        for said in advisories(folder, name)
        if is_affected(said, name, version)
    ]


def advisories(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The advisories on a package that still hold."""
    for path in sorted((folder / "vulns" / name).glob("*.yaml")):
        # Texts alone: as a number, the version 1.10 is 1.1.
        said = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506 - it makes nothing but texts
        if "withdrawn" not in said:
            yield said


def ranges(said: dict[str, Any], name: str) -> Iterator[tuple[list[str], list[dict[str, str]]]]:
    """The versions that an advisory names for a package, and the events of each of its ranges."""
    for one in said.get("affected", []):
        if normal(one["package"]["name"]) == name:
            yield one.get("versions", []), []
            for part in one.get("ranges", []):
                if part["type"] == "ECOSYSTEM":  # the others are commits
                    yield [], part["events"]


def is_affected(said: dict[str, Any], name: str, version: str) -> bool:
    """Whether an advisory is about this version (https://ossf.github.io/osv-schema/#evaluation)."""
    ours = Version(version)
    for versions, events in ranges(said, name):
        if any(as_version(one) == ours for one in versions):
            return True
        affected = False
        for event in sorted(events, key=lambda one: as_version(next(iter(one.values())))):
            [(kind, value)] = event.items()
            if kind == "introduced":
                affected |= ours >= as_version(value)
            elif kind == "fixed":
                affected &= ours < as_version(value)
            elif kind == "last_affected":
                affected &= ours <= as_version(value)
        if affected:
            return True
    return False


def as_version(text: str) -> Version:
    """A version of an advisory; one that is none, as "2004d" of old, comes before all."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")


def fixes(said: dict[str, Any], name: str) -> list[str]:
    """The versions in which it is mended."""
    return [event["fixed"] for _, events in ranges(said, name) for event in events if "fixed" in event]


def newest(folder: Path) -> tuple[int, str]:
    """How many advisories there are, and the day of the newest."""
    days = [found[1] for path in folder.glob("vulns/*/*.yaml") if (found := _MODIFIED.search(path.read_text("utf-8")))]
    return len(days), max(days, default="")


# ---------------------------------------------------------------- pip-audit


def pip_audit() -> Path:
    """The program, installed where it is not yet."""
    program = TOOL / "bin/pip-audit"
    if not program.exists():
        venv.create(TOOL, with_pip=True, clear=True)
        install = [
            str(TOOL / "bin/python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "pip-audit",
        ]
        done = subprocess.run(install, capture_output=True, text=True, check=False)  # noqa: S603 - pip itself
        if done.returncode:
            give_up(f"pip-audit cannot be installed: {last_line(done.stderr)}")
    return program


def by_service(program: Path, lock: Path) -> list[Weakness]:
    """What pip-audit's service knows of the locked packages."""
    how = ["--strict", "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    ask = [str(program), *how, "--requirement", str(lock)]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)  # noqa: S603 - the program above
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        give_up(f"pip-audit could not ask its service: {last_line(done.stderr)}")
    return [
        Weakness(one["name"], one["version"], (bad["id"], *bad["aliases"]), tuple(bad["fix_versions"]))
        for one in packages
        for bad in one["vulns"]
    ]


def last_line(text: str) -> str:
    """What a program says in the end, which of a traceback is its reason."""
    said = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it does not say why")
    return said.removeprefix("ERROR:pip_audit._cli:")


def give_up(reason: str) -> None:
    """End: nothing is known."""
    sys.stderr.write(
        f"make audit: {reason}\n"
        "  Nothing was audited. Without a network: make audit ADVISORIES=DIR, where DIR is a copy of\n"
        "  https://github.com/pypa/advisory-database\n"
    )
    sys.exit(UNKNOWN)


def main() -> int:
    """Print what is known; the exit code."""
    parser = argparse.ArgumentParser(description="Known weaknesses in the locked dependencies")
    parser.add_argument("--advisories", type=Path, metavar="DIR", help="a copy of PyPA's advisory database")
    parser.add_argument("--lock", type=Path, default=ROOT / LOCK, metavar="FILE", help=f"instead of {LOCK}")
    options = parser.parse_args()
    if options.advisories is None:
        source, found = "pip-audit's service", by_service(pip_audit(), options.lock)
    else:
        count, day = newest(options.advisories)
        if not count:
            give_up(f"there are no advisories in {options.advisories}/vulns")
        source, found = f"{count:,} advisories, the newest of {day}", in_advisories(options.advisories, options.lock)
    sys.stdout.write("".join(f"{one}\n" for one in found))
    packages = len(locked(options.lock))
    sys.stdout.write(f"{len(found) or 'no'} known weaknesses in {packages} locked packages, by {source}\n")
    return FOUND if found else 0


if __name__ == "__main__":
    sys.exit(main())
