"""Each block of README.md and of the administrator's first pages is executed by a test that reads the page."""

import re
from pathlib import Path

import pytest

from agent.config.loader import load

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_RECIPE, _OPERATIONS = "tests/install/test_recipe.py", "tests/integration/test_operations.py"
_ALERT = "tests/integration/test_readme_alert.py"
# Page -> section -> the language of each of its blocks, and the test that does what it says.
EXECUTED = {
    "README.md": {
        "": {"console": "tests/service/test_readme_demo.py"},
        "What it does": {"console": "tests/integration/test_readme_queries.py"},
        "As a service": {"console": _RECIPE, "yaml": _RECIPE},
        "Alerts": {"yaml": _ALERT, "sh": _ALERT},
        "Archives": {"yaml": "tests/wiring/test_recipes.py"},
    },
    "docs/service.md": {
        title: {"sh": _RECIPE}
        for title in ("Install", "Without systemd", "Upgrade", "Roll back", "Remove", "In a container")
    },
    "docs/permissions.md": {
        "Is it ready?": {"console": _RECIPE},
        "Healing": {"console": _RECIPE},
        "Reading by a team": {"yaml": _RECIPE, "ini": _RECIPE, "sh": _RECIPE},
    },
    "docs/onboarding.md": {
        "One: is it well, and what does it follow?": {"sh": _OPERATIONS},
        "Two: look": {"sh": _OPERATIONS},
        "Five: count": {"sh": _OPERATIONS},
        "Seven: what is broken": {"sh": _OPERATIONS},
        "Nine: who is told": {"sh": _OPERATIONS},
    },
}


def sections(page):
    """Title -> its blocks, (language, text); the first one is the page's beginning."""
    first, *others = re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE)
    parts = {"": first} | {part.partition("\n")[0]: part for part in others}
    return {title: found for title, part in parts.items() if (found := BLOCK.findall(part))}


@pytest.mark.parametrize("page", EXECUTED)
def test_each_block_has_a_test_that_reads_the_page(page):
    found = {title: {language for language, _ in blocks} for title, blocks in sections(page).items()}
    assert found == {title: {*tests} for title, tests in EXECUTED[page].items()}
    for tests in EXECUTED[page].values():
        for test in tests.values():
            text = (ROOT / test).read_text()
            assert page.rpartition("/")[2] in text or f'"{Path(page).stem}"' in text, f"{test} does not read {page}"


def test_ci_does_what_readme_says_of_the_tests():
    """`make test-parts` and `make test` are what a change has to pass."""
    (_, text), *_ = sections("README.md")[""]
    targets = re.findall(r"^\$ make (\S+)", text, re.MULTILINE)
    assert targets[0] == "run"
    assert {*targets[1:]} == {
        *re.findall(r"^(?:exec )?make --no-print-directory (\S+)", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    }


def test_archives_are_kept_as_readme_says(tmp_path):
    ((_, text),) = sections("README.md")["Archives"]
    (tmp_path / "sidelog.yaml").write_text(text)
    archive = load(tmp_path / "sidelog.yaml").archive
    assert archive is not None
    assert (archive.retention.age, archive.retention.size) == (52 * 7 * 86_400, 50 * 2**30)
