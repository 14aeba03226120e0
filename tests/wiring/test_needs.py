"""No test is skipped silently: a missing part is named with what brings it, and any other skip is a known limit."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.needs import LIMITS, PARTS, ROOT

CASES = """
import pytest
from tests import needs

needs.PARTS["pigeon"] = needs.Part("pigeon", "apt pigeon", "false")

@needs.needs("pigeon")
def test_part(): pass

@needs.needs("pigeon")
def test_part_again(): pass

@needs.needs("jq" if not needs.missing("jq") else "util-linux")
def test_there(): pass

def test_limit(): needs.limited("fuse", "because")
"""
UNKNOWN = """
import pytest

def test_unknown(): pytest.skip("not today")

@pytest.mark.skipif(True, reason="never")
def test_mark(): pass
"""
MODULE = "import pytest\npytest.importorskip('no_such_library')\n"


def ran(folder, workers, ci, **files):
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-n", workers, "-p", "tests.conftest", "-p", "no:cacheprovider"]
    environ = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
    command += ["--continue-on-collection-errors", "-c", ROOT / "pyproject.toml", "--rootdir", folder, folder]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    ("workers", "ci", "counts"),
    [("1", "", "1 passed, 3 skipped in"), ("0", "true", "1 passed, 1 skipped, 2 errors in")],
    ids=["here", "ci"],
)
def test_a_missing_part_is_named_at_the_end_and_fails_in_ci(tmp_path, workers, ci, counts):
    lines = ran(tmp_path, workers, ci, cases=CASES).splitlines()
    assert counts in lines[-1]
    assert lines[-2] == "missing part: pigeon (apt pigeon), which 2 of the tests need: make test-parts brings it"


def test_a_skip_for_any_other_reason_is_a_failure(tmp_path):
    lines = ran(tmp_path, "0", "", tests=UNKNOWN, module=MODULE).splitlines()
    assert "1 failed, 2 errors in" in lines[-1]
    assert sum("was skipped for a reason that tests/needs.py does not know: " in line for line in lines) == 3


def test_parts_and_limits_have_names_of_their_own():
    assert len(PARTS) >= 10
    assert not PARTS.keys() & LIMITS.keys()


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("thing | apt thing | true", 0, ""),
        ("thing | apt thing one | false", 1, "thing is missing: install it (Debian: apt-get install thing one)\n"),
        ("thing | npm thing@1 | false", 1, "thing is missing: npm install --prefix build/node thing@1\n"),
        (
            "thing | pack one=@some/thing@1 | false",
            1,
            "thing is missing: npm pack @some/thing@1, unpacked into build/packed/one\n",
        ),
        (
            "thing | pip thing==1 | false",
            1,
            "thing is missing: python3 -m venv build/tools && build/tools/bin/pip install thing==1\n",
        ),
    ],
    ids=["there", "program", "package", "archive", "tool"],
)
def test_the_script_names_what_it_cannot_bring(tmp_path, row, code, said):
    """With a PATH that has neither apt-get nor npm."""
    for folder in ("etc", "bin"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "etc/test-parts.sh", tmp_path / "etc")
    (tmp_path / "etc/test-parts.txt").write_text(f"# a table\n{row}\n")
    for command in ("sh", "cut", "dirname", "grep", "tr", "id", "sed"):
        (tmp_path / "bin" / command).symlink_to(shutil.which(command))
    done = subprocess.run(
        [tmp_path / "etc/test-parts.sh"],
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.removeprefix("test-parts: this is not a Debian: programs have to be installed by hand\n") == (
        said and f"test-parts: {said}"
    )
