"""`sidelog explain CODE`: the long text of an error code."""

from __future__ import annotations

import click

from agent.cli.common import output_options, safe_text
from agent.core.errors import EXIT_USAGE, UsageError, codes, explain


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
    hint = f"near it are {', '.join(near)}" if near else "sidelog explain lists all codes"
    error = UsageError("SL504", "explain a code", code, f"there is no error code '{safe_text(code)}'", hint=hint)
    assert error.exit_code == EXIT_USAGE
    return error
