"""What sidelog is made of is known, locked and licensed; exemptions from the rules on security have their reasons."""

import json
import re
import runpy
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import agent
from agent.install.layout import shared

ROOT = Path(__file__).parents[2]
AGENT = Path(agent.__file__).parent
PERMISSIVE = {  # licences that a package of sidelog's may have without somebody thinking about it
    *("MIT", "MIT-0", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ISC", "Zlib", "PSF-2.0", "CNRI-Python"),
    *("MPL-2.0", "CC0-1.0", "Unlicense", "LicenseRef-Public-Domain"),
}


@pytest.fixture(scope="module")
def sbom():
    return runpy.run_path(str(ROOT / "etc/sbom.py"))


def parts(document):
    return {one["name"]: one for one in document["components"]}


def is_cyclonedx(document):
    """What the specification asks of the parts that are used."""
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", document["serialNumber"])
    own = document["metadata"]["component"]
    components = document["components"]
    refs = [one["bom-ref"] for one in [own, *components]]
    assert len(refs) == len({*refs})
    assert own["type"] == "application"
    for one in components:
        assert one.keys() <= {"type", "bom-ref", "name", "version", "purl", "licenses", "externalReferences"}
        assert one["type"] == "library"
        assert one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}"
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one["name"])
    assert sorted(one["ref"] for one in document["dependencies"]) == sorted(refs)
    assert all(set(one["dependsOn"]) <= set(refs) for one in document["dependencies"])


def test_the_sbom_names_what_is_installed(sbom):
    document = sbom["installed_document"]()
    is_cyclonedx(document)
    found = parts(document)
    assert {name: one["version"] for name, one in found.items()} == {name: metadata.version(name) for name in found}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split("[<>=~! ]", one)[0].lower() for one in wanted} <= found.keys()
    reached, waiting = set(), [document["metadata"]["component"]["bom-ref"]]
    graph = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    while waiting:
        if (ref := waiting.pop()) not in reached:
            reached.add(ref)
            waiting += graph[ref]
    assert reached == graph.keys()
    assert not {"pytest", "ruff", "mypy"} & found.keys()


def test_each_package_says_a_licence_that_may_be_combined_with_sidelogs(sbom):
    for name, one in parts(sbom["installed_document"]()).items():
        assert "licenses" in one, f"{name} says no licence that etc/sbom.py knows"
        words = set(re.split(r" (?:AND|OR|WITH) |[()]", one["licenses"][0]["expression"])) - {""}
        assert words <= PERMISSIVE, f"{name} is under {words}"


def test_the_list_of_licences_is_that_of_what_is_installed(sbom):
    assert (ROOT / "docs/licences.md").read_text() == sbom["licences_page"](), "run `make sbom`"


def test_what_is_locked_is_what_is_wanted_and_each_file_has_its_hash(sbom):
    """`pip install --require-hashes` takes nothing that is not in the file."""
    document = sbom["locked_document"]()
    is_cyclonedx(document)
    locked = parts(document)
    installed = parts(sbom["installed_document"]()).keys()
    assert installed <= locked.keys(), "run `make lock`"
    elsewhere = re.findall(r"^([\w.-]+)==\S+ *;", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked.keys() - {*map(sbom["normal"], elsewhere)} <= installed, (
        "sidelog does not want all of it: `make lock`"
    )
    for one in locked.values():
        [files] = one["externalReferences"]
        assert files["hashes"]
    developing = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE))
    developing = {sbom["normal"](name): version for name, version in developing.items()}
    differing = {name for name, one in locked.items() if developing.get(name, one["version"]) != one["version"]}
    assert differing == set(), "run `make lock`"


def test_the_wheel_gets_an_sbom_for_as_long_as_it_is_built(sbom):
    """What a real wheel has, `make wheel-test` looks at."""
    hook = runpy.run_path(str(ROOT / "etc/hatch_build.py"))["SbomBuildHook"](str(ROOT), {}, None, None, "", "wheel")
    data = {"sbom_files": []}
    hook.initialize("editable", data)
    assert data["sbom_files"] == []
    hook.initialize("standard", data)
    [file] = map(Path, data["sbom_files"])
    assert json.loads(file.read_text()) == sbom["locked_document"]()
    hook.finalize("standard", data, "")
    assert not file.exists()


def test_the_environments_template_and_the_backups_units_come_with_the_program():
    for name in ("etc/sidelog.default", "systemd/sidelog-backup.service", "systemd/sidelog-backup.timer"):
        assert shared(name) == (ROOT / name).read_text()


def test_rules_on_security_hold_and_each_exemption_has_a_reason():
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert rules["select"] == ["ALL"]
    assert [rule for rule in rules["ignore"] if re.fullmatch(r"S\d*", rule)] == ["S101"]
    assert not [rule for found in rules["per-file-ignores"].values() for rule in found if rule == "S"]
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.findall(r'^ +(?:"\w+", )*"S\d+".*$', text[text.index("[tool.ruff.lint]") :], re.MULTILINE)
    assert len(listed) > 6
    assert [line for line in listed if not re.search(r"# \w", line)] == []
    bare = []
    folders = (AGENT, *(ROOT / name for name in ("etc", "tests", "benchmarks")))
    for path in [path for folder in folders for path in folder.rglob("*.py")]:
        for line in path.read_text().splitlines():
            found = re.search(r"#(?: ruff:)? noqa: ((?:[A-Z]+\d+(?:, )?)+)(.*)", line)
            exempts = found and any(re.fullmatch(r"S\d+", rule) for rule in found[1].split(", "))
            if exempts and not found[2].strip(" -") and path.parent != AGENT / "store/migrations":  # frozen
                bare.append(f"{path}: {line.strip()}")
    assert bare == []
