"""What sidelog is made of: an SBOM (CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/) and the list of licences.

    python etc/sbom.py build/sbom.cdx.json      the packages that are installed, with their licences and their graph
    python etc/sbom.py --licences docs/licences.md

Both follow the dependencies of `pyproject.toml` through what is installed in this environment; the optional ones and
those of the tests are not sidelog's. `make sbom` writes both. In a wheel the SBOM is made by etc/hatch_build.py, from
the locked versions where the packages are not installed beside the build (`locked_document`).
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import json
import re
import tomllib
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = "requirements.txt"
# Packages that say their licence in words or by a classifier alone: its name in SPDX (https://spdx.org/licenses/).
WORDS = {
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: Public Domain": "LicenseRef-Public-Domain",
}
_SPDX = re.compile(r"\(?[A-Za-z0-9.+-]+\)?( (AND|OR|WITH) \(?[A-Za-z0-9.+-]+\)?)*")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)((?:(?!^\S).|\n)*)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

LICENCES = """\
# Licences

sidelog is under the [MIT licence](../LICENSE). What is installed with it, written by `make sbom` from what the packages
say of themselves:

| package | licence |
|---|---|
{rows}
"""


def project(root: Path = ROOT) -> dict[str, Any]:
    """The section `project` of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def normal(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(names: list[str]) -> dict[str, tuple[metadata.Distribution, list[str]]]:
    """The packages that these requirements have brought into this environment, by name; each with those that it wants
    itself. One that is not installed is not wanted here, as another Python's or another system's.
    """
    found: dict[str, tuple[metadata.Distribution, list[str]]] = {}
    waiting = [*names]
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        wanted = [spec for spec in package.requires or [] if "extra ==" not in spec]
        needs = sorted({normal(match[0]) for spec in wanted if (match := _NAME.match(spec))})
        found[name] = package, needs
        waiting += needs
    return dict(sorted(found.items()))


def licence(package: metadata.Distribution) -> str:
    """What a package says of its licence, in SPDX's form; empty where it says nothing that is known here."""
    said = package.metadata
    words = [said.get("License-Expression"), said.get("License")]
    words += [one for one in said.get_all("Classifier") or [] if one.startswith("License ::")]
    for word in filter(None, words):
        if word in WORDS:
            return WORDS[word]
        if _SPDX.fullmatch(word):
            return str(word)
    return ""


def component(name: str, version: str, licence: str = "", hashes: list[str] | None = None) -> dict[str, Any]:
    """A component of the SBOM. Hashes are those of the files that an index has of this version."""
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
    }
    if licence:
        found["licenses"] = [{"expression": licence}]
    if hashes:
        files = [{"alg": "SHA-256", "content": one} for one in hashes]
        found["externalReferences"] = [{"type": "distribution", "url": found["purl"], "hashes": files}]
    return found


def document(components: list[dict[str, Any]], graph: dict[str, list[str]]) -> dict[str, Any]:
    """An SBOM.

    Args:
        components: of all packages.
        graph: names of the packages that each one wants itself; `sidelog` is one.
    """
    said = project()
    own = component("sidelog", said["version"], said["license"]) | {"type": "application"}
    refs = {one["name"]: one["bom-ref"] for one in [own, *components]}
    wants = [
        {"ref": ref, "dependsOn": sorted(refs[one] for one in graph.get(name, []) if one in refs)}
        for name, ref in refs.items()
    ]
    # The same content has the same number: who builds again gets the same file.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([components, wants], sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": wants,
    }


def direct() -> list[str]:
    """Names of the packages that pyproject.toml wants."""
    return sorted(normal(match[0]) for one in project()["dependencies"] if (match := _NAME.match(one)))


def installed_document() -> dict[str, Any]:
    """The SBOM of this environment."""
    found = installed(direct())
    components = [component(name, package.version, licence(package)) for name, (package, _) in found.items()]
    return document(components, {"sidelog": direct()} | {name: needs for name, (_, needs) in found.items()})


def locked(lock: Path) -> list[tuple[str, str, list[str]]]:
    """Name, version and hashes of each package that a file locks."""
    text = lock.read_text("utf-8")
    return [(normal(name), version, _HASH.findall(rest)) for name, version, rest in _LOCKED.findall(text)]


def locked_document() -> dict[str, Any]:
    """The SBOM of the locked versions, where nothing is installed: without licences and further graph."""
    components = [component(name, version, hashes=hashes) for name, version, hashes in locked(ROOT / LOCK)]
    return document(components, {"sidelog": direct()})


def licences_page() -> str:
    """The page of licences."""
    rows = [f"| {name} | {licence(package)} |" for name, (package, _) in installed(direct()).items()]
    return LICENCES.format(rows="\n".join(rows))


def main() -> None:
    """Write one file, or both."""
    parser = argparse.ArgumentParser(description="Write what sidelog is made of")
    parser.add_argument("sbom", type=Path, nargs="?", help="file for the SBOM")
    parser.add_argument("--licences", type=Path, metavar="FILE", help="file for the list of licences")
    options = parser.parse_args()
    if options.sbom:
        options.sbom.parent.mkdir(parents=True, exist_ok=True)
        options.sbom.write_text(json.dumps(installed_document(), indent=2) + "\n", "utf-8")
    if options.licences:
        options.licences.write_text(licences_page(), "utf-8")


if __name__ == "__main__":
    main()
