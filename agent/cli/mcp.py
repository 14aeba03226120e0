"""`sidelog mcp`: the store for programs of language models."""

from __future__ import annotations

import importlib.util

import click

from agent.cli.common import Command, Context, engine_option, with_context
from agent.core.errors import SidelogError


@click.command(cls=Command)
@engine_option
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
    fleet = context.fleet(config)
    place = Place(config.store.path, config.archive_directory, config.alerts, fleet=fleet)
    if fleet is None:
        context.open_store()[0].close()  # what is wrong with it is said now
    with place.engine():
        pass
    return serve(place)
