"""`sidelog explain CODE`: the long text of an error code."""

from __future__ import annotations

import click

from agent.cli.common import output_options, safe_text
from agent.core.catalogue import codes, explain
from agent.core.errors import UsageError


@click.command(short_help="Explain an error code.")
@click.argument("code", required=False)
@output_options
def command(code: str | None) -> None:
    """Print what an error code means, why it happens and what to do. Without CODE: list all codes."""
    if code is None:
        for name in codes():
            click.echo(title(name))
        return
    text = explain(code)
    if text is None:
        raise unknown_code(code)
    click.echo(text.rstrip())


def title(name: str) -> str:
    """`SL101: the configuration cannot be read`: the first line of a code's text."""
    first = (explain(name) or name).splitlines()[0]
    return first.removeprefix("# ")


def unknown_code(code: str) -> UsageError:
    """The error for a code that has no text, with the nearest ones."""
    import difflib

    near = difflib.get_close_matches(code.strip().upper(), codes(), n=3, cutoff=0.6)
    if near:
        return UsageError.of("SL504.near", code, code=safe_text(code), near=", ".join(near))
    return UsageError.of("SL504", code, code=safe_text(code))
