"""`sidelog check`: is this configuration ready to run here, for this user? `sidelog explain`: what does a code mean?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    Command,
    Context,
    echo_json,
    json_option,
    output_options,
    paint,
    safe_text,
    use_color,
    with_context,
)
from agent.core import catalogue
from agent.core.errors import UsageError

if TYPE_CHECKING:
    from agent.views.diagnostic import Diagnostic

_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command(cls=Command, short_help="Tell whether a configuration is ready to run.")
@with_context
@json_option("Print one JSON document.")
def command(context: Context, *, as_json: bool) -> int:
    """Say whether the configuration is valid and whether this machine lets the agent do what it asks.

    One line per finding, each problem with a code and a hint. Exit code 78: the configuration is wrong; 1: the
    machine is not ready; 0: nothing worse than warnings.
    """
    from agent.views.diagnostic import worst
    from agent.views.readiness import configuration_diagnostics, readiness_document

    file = context.find_config()
    diagnostics = configuration_diagnostics(file, context.config)
    if as_json:
        echo_json(readiness_document(file, diagnostics))
    else:
        for one in diagnostics:
            if one.level != "ok" or context.verbosity >= 0:
                _print(one)
    return worst(diagnostics)


def _print(diagnostic: Diagnostic) -> None:
    label = " ".join(part for part in (diagnostic.level, diagnostic.code) if part)
    painted = paint(label, _COLORS[diagnostic.level], enabled=use_color())
    text = f"{safe_text(diagnostic.place)}: {safe_text(diagnostic.sentence)}"
    click.echo(f"{painted}{' ' * (13 - len(label))} {text}")
    if diagnostic.hint:
        click.echo(f"{' ' * 14}hint: {safe_text(diagnostic.hint)}")


# ---------------------------------------------------------------- explain


@click.command(cls=Command, short_help="Explain an error code.")
@click.argument("code", required=False)
@output_options
def explain(code: str | None) -> None:
    """Print what an error code means, why it happens and what to do. Without CODE: list all codes."""
    if code is None:
        for name in catalogue.codes():
            click.echo((catalogue.explain(name) or name).splitlines()[0].removeprefix("# "))
        return
    text = catalogue.explain(code)
    if text is None:
        raise _unknown_code(code)
    click.echo(text.rstrip())


def _unknown_code(code: str) -> UsageError:
    """The error for a code that has no text, with the nearest ones."""
    import difflib

    near = difflib.get_close_matches(code.strip().upper(), catalogue.codes(), n=3, cutoff=0.6)
    if near:
        return UsageError.of("SL504.near", code, code=safe_text(code), near=", ".join(near))
    return UsageError.of("SL504", code, code=safe_text(code))
