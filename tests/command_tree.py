"""Every command of the program as click has it, for the pages that are made of them and for tests."""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, NamedTuple

import click

from agent.cli.common import CONFIG_OPTIONS, OUTPUT_OPTIONS
from agent.cli.examples import examples_of
from agent.cli.main import COMMANDS, cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.cli.examples import Example


_BOUNDS = re.compile(r"\s*\[[^\]]*\bx\b[^\]]*\]$")  # of a number, as click shows them


class Entry(NamedTuple):
    """A command with the words that call it; none for the program itself."""

    path: str  # `errors show`
    command: click.Command
    context: click.Context

    @property
    def line(self) -> str:
        """What is typed: `sidelog errors show`."""
        return f"sidelog {self.path}".rstrip()

    @property
    def usage(self) -> str:
        """What stands behind it: `[OPTIONS] ID`."""
        return " ".join(self.command.collect_usage_pieces(self.context))

    @property
    def short(self) -> str:
        """What it does in a few words, as the list of commands has it, without its dot."""
        listed = {name: text for section in COMMANDS.values() for name, text in section.items()}
        return listed.get(self.path, self.paragraphs[0].partition(". ")[0]).rstrip(".")

    @property
    def paragraphs(self) -> list[str]:
        """What its help says, and behind it the epilog."""
        said = [inspect.cleandoc(text) for text in (self.command.help, self.command.epilog) if text]
        return [" ".join(part.replace("\b", "").split()) for text in said for part in re.split(r"\n\s*\n", text)]

    @property
    def options(self) -> list[tuple[str, str]]:
        """The options of its own, as they are written and what they do."""
        return [row for row in _options(self.command, self.context) if row not in common_options()]

    @property
    def examples(self) -> list[Example]:
        """Those of its help."""
        return examples_of(self.path)


def _options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    found = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = filter(None, (one.get_help_record(context) for one in found))
    return [(names, _BOUNDS.sub("", text)) for names, text in records]


@functools.cache
def common_options() -> list[tuple[str, str]]:
    """The options of every command, as in `Entry.options`."""

    @click.command
    def nothing() -> None: ...

    for decorate in (*CONFIG_OPTIONS, *OUTPUT_OPTIONS):
        decorate(nothing)
    return _options(nothing, click.Context(nothing, help_option_names=["-h", "--help"]))


def entries() -> Iterator[Entry]:
    """The program, then each command, a group's own behind it."""
    context = cli.make_context("sidelog", [], resilient_parsing=True)
    yield Entry("", cli, context)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield from _below(Entry(name, command, click.Context(command, parent=context, info_name=name)))


def _below(entry: Entry) -> Iterator[Entry]:
    yield entry
    if isinstance(entry.command, click.Group):
        for name, command in entry.command.commands.items():
            context = click.Context(command, parent=entry.context, info_name=name)
            yield from _below(Entry(f"{entry.path} {name}", command, context))
