"""Every command has examples in its help, and each is a command line that is understood."""

import re
import shlex
from pathlib import Path

import click
import pytest

from agent.cli.examples import _EXAMPLES
from agent.cli.main import run_command_line
from agent.cli.query import understand
from tests.command_tree import entries

ENTRIES = {entry.path: entry for entry in entries()}
WIDTH = 120  # columns
CONTROL = {"|", "||", "&&", ">", ";"}  # what ends a command of a shell


def commands_of(line):
    """The arguments of each `sidelog` in a line of a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    words: list[list[str]] = [[]]
    for word in lexer:
        if word in CONTROL:
            words.append([])
        else:
            words[-1].append(word)
    return [arguments for name, *arguments in words if name == "sidelog"]


@pytest.fixture
def understood(monkeypatch):
    """Which commands were called with what, instead of what they do."""
    called = []

    def recorder(path):
        def record(**options):
            called.append((path, options))
            if path == "query":
                assert understand(options, 1_790_000_000_000_000_000)

        return record

    for path, entry in ENTRIES.items():
        if path:
            monkeypatch.setattr(entry.command, "callback", recorder(path))
    return called


def test_every_command_has_three_examples_and_there_are_none_of_others():
    assert _EXAMPLES.keys() == ENTRIES.keys(), "a row of agent.cli.examples for each command"
    for path, rows in _EXAMPLES.items():
        assert len(rows) >= 3, path
        assert len({line for line, _ in rows}) == len(rows), path
        for line, about in rows:
            assert about == about.strip(" ."), line


@pytest.mark.parametrize("path", _EXAMPLES)
def test_each_example_is_understood_and_shows_its_command(understood, capsys, path):
    for line, _ in _EXAMPLES[path]:
        found = commands_of(line)
        assert found, line
        for arguments in found:
            assert run_command_line(arguments) == 0, (line, capsys.readouterr().err)
        if path:
            assert path in {called for called, _ in understood}, line
        understood.clear()


ROOT = Path(__file__).parents[2]
MENTIONING = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "agent/explain").glob("*.md")])
STAND_FOR = dict.fromkeys(("N", "ID", "ID…"), "7") | {"TERM…": "timeout", "PATTERN…": "x.log", "TIME": "1h"}


def mentioned(page):
    """The lines in backquotes that call the program, without those that leave something out."""
    for line in re.findall(r"`(sidelog [^`\n]+)`", page.read_text()):
        words = [STAND_FOR.get(word, word) for word in line.split(" ")]
        if "…" not in " ".join(words) and not {"COMMAND", "[OPTIONS]"} & {*words}:
            yield " ".join(words)


@pytest.mark.parametrize("page", MENTIONING, ids=lambda page: page.name)
def test_what_a_page_mentions_is_understood(understood, capsys, page):
    for line in mentioned(page):
        for arguments in commands_of(line):
            code = run_command_line(arguments)
            said = capsys.readouterr().err
            assert code == 0 or re.search(r"missing argument|requires an argument", said), (line, said)


@pytest.mark.parametrize("path", _EXAMPLES)
def test_the_help_ends_with_them(sidelog, path):
    said = sidelog(*path.split(), "--help")
    shown = said.out.split("\nExamples:\n")[1].splitlines()
    assert [line.split("  # ")[0].strip() for line in shown] == [line for line, _ in _EXAMPLES[path]]
    assert max(map(len, shown)) <= WIDTH
    assert isinstance(ENTRIES[path].command, click.Group) or "Commands:" not in said.out
