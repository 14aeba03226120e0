"""`make audit`: weaknesses of locked versions are found, and where nobody could be asked nothing is called good."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADVISORY = """\
id: PYSEC-2022-1
aliases: [CVE-2022-9]
modified: '2024-02-03T00:00:00Z'
affected:
- package: {{name: Py_YAML, ecosystem: PyPI}}
  ranges:
  - {{type: GIT, events: [{{introduced: abc}}]}}
  - type: ECOSYSTEM
    events: [{events}]
  versions: [{versions}]
"""


def audit(folder, *options):
    run = [sys.executable, str(ROOT / "etc/audit.py"), "--lock", str(folder / "lock.txt"), *options]
    return subprocess.run(run, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture
def copy(tmp_path):
    """A copy of the database, and a lock of one version."""

    def make(version, events="", versions="", more=""):
        (tmp_path / "lock.txt").write_text(f"click==8.0 \\\n    --hash=sha256:{'a' * 64}\npy-yaml=={version} ; x\n")
        folder = tmp_path / "vulns/py-yaml"
        folder.mkdir(parents=True)
        (folder / "PYSEC-2022-1.yaml").write_text(ADVISORY.format(events=events, versions=versions) + more)
        return audit(tmp_path, "--advisories", str(tmp_path))

    return make


@pytest.mark.parametrize(
    ("version", "events", "versions"),
    [
        ("1.5", "{introduced: '1.0'}, {fixed: '2.0'}", ""),
        ("1.0", "{fixed: '2.0'}, {introduced: '1.0'}", ""),
        ("1.9.1", "{introduced: '0'}, {fixed: 1.10}", ""),
        ("3.1", "{introduced: '0'}, {fixed: '2.0'}, {introduced: '3'}, {last_affected: '3.1'}", ""),
        ("2.0rc1", "{introduced: '0'}, {fixed: '2.0'}", ""),
        ("2004.4", "", "2004d, '2004.4.0'"),
    ],
)
def test_a_version_that_an_advisory_is_about_is_named(copy, version, events, versions):
    done = copy(version, events, versions)
    assert (done.returncode, done.stderr) == (1, "")
    first, last = done.stdout.splitlines()
    assert first.startswith(f"py-yaml {version}: PYSEC-2022-1 (CVE-2022-9), ")
    assert first.endswith(("fixed in 2.0", "fixed in 1.10", "not fixed yet"))
    assert last == "1 known weaknesses in 2 locked packages, by 1 advisories, the newest of 2024-02-03"


@pytest.mark.parametrize(
    ("version", "events", "more"),
    [
        ("2.0", "{introduced: '1.0'}, {fixed: '2.0'}", ""),
        ("0.9", "{introduced: '1.0'}, {fixed: '2.0'}", ""),
        ("3.2", "{introduced: '3'}, {last_affected: '3.1'}", ""),
        ("1.5", "{introduced: '1.0'}, {fixed: '2.0'}", "withdrawn: '2023-01-01T00:00:00Z'\n"),
    ],
)
def test_a_version_that_it_is_not_about_is_not(copy, version, events, more):
    done = copy(version, events, more=more)
    assert done.returncode == 0
    assert done.stdout == "no known weaknesses in 2 locked packages, by 1 advisories, the newest of 2024-02-03\n"


def test_no_advisories_are_no_good_news(tmp_path):
    done = audit(tmp_path, "--advisories", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"make audit: there are no advisories in {tmp_path}/vulns\n  Nothing was audited.")


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """What becomes of an answer of pip-audit; the real one wants its service."""
    monkeypatch.syspath_prepend(str(ROOT / "etc"))
    import audit as module

    def answer(script):
        program = tmp_path / "pip-audit"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        return module.by_service(program, tmp_path / "lock.txt")

    yield answer
    del sys.modules["audit"], sys.modules["sbom"]


def test_the_service_that_does_not_answer_is_a_sentence(ask, capsys):
    """pip-audit ends with a traceback where there is no network, and with 0 where its index knows no package."""
    with pytest.raises(SystemExit) as caught:
        ask("printf 'Traceback:\\n  File x\\nrequests.ConnectionError: no route\\n\\n' >&2; exit 1")
    assert caught.value.code == 2
    [first, *_] = capsys.readouterr().err.splitlines()
    assert first == "make audit: pip-audit could not ask its service: requests.ConnectionError: no route"


def test_what_the_service_knows_is_told(ask):
    bad = {"id": "PYSEC-1", "fix_versions": ["2"], "aliases": ["CVE-1"], "description": "x"}
    said = {"dependencies": [{"name": "a", "version": "1", "vulns": [bad]}, {"name": "b", "version": "1", "vulns": []}]}
    assert [*map(str, ask(f"echo '{json.dumps(said)}'; exit 1"))] == ["a 1: PYSEC-1 (CVE-1), fixed in 2"]
    assert ask("echo '{\"dependencies\": []}'") == []
