"""`sidelog mcp`: the store for programs of language models."""

from __future__ import annotations

import importlib.util
from contextlib import closing

import click

from agent.cli.common import Command, Context, with_context
from agent.core.errors import SidelogError


@click.command(cls=Command)
@with_context
def command(context: Context) -> int:
    """Serve read-only questions about the store over MCP, on standard input and output.

    Programs that talk to a language model start it: search, counts, errors, alerts and status are its tools. Answers
    are short, and say of themselves that they are data.
    """
    if importlib.util.find_spec("mcp") is None:
        raise SidelogError.of("SL920", "mcp")
    from agent.answers.place import Place
    from agent.mcp.server import serve

    config = context.config()
    connection, _ = context.open_store()
    with closing(connection):  # what is wrong with it is said now
        pass
    return serve(Place(config.store.path, config.archive_directory, config.alerts))
