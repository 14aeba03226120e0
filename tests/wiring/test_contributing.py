"""What CONTRIBUTING.md and docs/architecture.md say of the code is true: files, symbols, rooms, commands, targets."""

import importlib
import re
import tomllib
from itertools import groupby
from pathlib import Path

import pytest

import agent
from agent.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent.parent
GUIDE, WALKS, README = ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md", ROOT / "README.md"
PAGES = [GUIDE, WALKS]
INSTALLED = Path(agent.__file__).parent.parent
ROOMS = {path.stem for path in (INSTALLED / "agent").iterdir() if path.suffix == ".py" or path.is_dir()}
PLACEHOLDER = re.compile(r"SLNNN|v?NNN_NAME|NAME")
KINDS = ["log format", "alert rule type", "hook kind", "event column", "engine", "command", "page", "error code"]
KINDS += ["configuration key", "migration", "regular expression that a person writes"]


def text(page):
    """A page without its drawings and examples."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def code(page):
    return re.findall(r"`([^`\n]+)`", text(page))


def symbols(words):
    """`room.module.Class.method`, with or without `agent.`; files are none."""
    for word in words:
        name = word.removeprefix("agent.")
        if re.fullmatch(r"[a-z_]+(\.[A-Za-z_]\w*)+", name) and name.split(".")[0] in ROOMS and name[-3:] != ".py":
            yield name


def exists(name):
    """Whether a dotted name leads to a module of the agent or to something in one."""
    parts = name.split(".")
    found = importlib.import_module("agent")
    while parts:
        try:
            found = importlib.import_module(f"{found.__name__}.{parts[0]}")
        except ModuleNotFoundError:
            break
        parts = parts[1:]
        if not hasattr(found, "__path__"):
            break
    for part in parts:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def sections(page, above):
    """The title and text of each part of a section."""
    whole = text(page).split(f"\n## {above}\n")[1].split("\n## ")[0]
    return dict(part.split("\n", 1) for part in whole.split("\n### ")[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_symbol_is_there(page):
    found = sorted(set(symbols(code(page))))
    assert len(found) > 25
    assert [name for name in found if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_is_there(page):
    words = {word for word in code(page) if re.fullmatch(r"[\w./-]+", word)}
    names = {word for word in words if "/" in word or word.endswith((".md", ".toml", ".py", ".txt"))}
    names |= {word for word in re.findall(r"\]\(([^)#]+)\)", text(page)) if "://" not in word}
    assert names
    for name in names:
        folder = INSTALLED if name.removeprefix("../").startswith("agent/") else ROOT
        assert list(folder.glob(PLACEHOLDER.sub("*", name.removeprefix("../")))) or (page.parent / name).exists(), name


def test_nothing_is_told_by_its_line():
    for page in PAGES:
        assert re.findall(r"\.py:\d+|\blines? \d+", text(page)) == []


def test_the_table_of_rooms_is_the_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    wanted = [{name.removeprefix("agent.") for name in row.split(" | ")} for row in contracts[0]["layers"]]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| .* \|$", text(GUIDE), re.MULTILINE)
    assert [set(re.findall(r"\w+", row)) for row in rows] == wanted
    assert set().union(*wanted) == ROOMS - {"__init__", "__main__", "__pycache__", "explain", "_share"}


def test_every_recipe_names_its_test():
    recipes = sections(GUIDE, "Recipes")
    assert [title.split(" ", 1)[1] for title in recipes] == KINDS
    for title, said in recipes.items():
        tests = said.partition("\nTest: ")[2]
        named = re.findall(r"`(tests/[\w/.]+)`", tests)
        assert named, title
        assert all((ROOT / name).exists() for name in named), title


def test_each_walk_goes_one_way():
    """No walk comes back to a room that it has left."""
    walks = sections(WALKS, "The walks")
    assert len(walks) == 9
    for title, said in walks.items():
        steps = re.findall(r"^\d+\. `([a-z]+)\.", said, re.MULTILINE)
        assert len(steps) == len(re.findall(r"^\d+\. ", said, re.MULTILINE)) >= 4, title
        rooms = [room for room, _ in groupby(steps)]
        assert len(rooms) == len(set(rooms)), (title, rooms)


def test_the_commands_of_the_program_and_the_targets_of_make_are_there():
    commands = {name for section in COMMANDS.values() for name in section}
    table = README.read_text().split("\n## Commands\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", table, re.MULTILINE)
    assert {name.split(" ")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)} == commands
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [*PAGES, README]:
        said = page.read_text()
        assert set(re.findall(r"`make ([a-z-]+)", said)) <= targets, page
        assert set(re.findall(r"`sidelog ([a-z][a-z-]*)", said)) <= commands, page


def test_the_readme_leads_there():
    for page in PAGES:
        assert f"({page.relative_to(ROOT)})" in README.read_text()
