"""`sidelog check`: is this configuration ready to run on this machine, for this user?"""

from __future__ import annotations

import click

from agent.cli.common import Context, echo_json, json_option, paint, safe_text, use_color, with_context
from agent.views.readiness import Diagnostic, configuration_diagnostics, readiness_document, worst

_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command(short_help="Tell whether a configuration is ready to run.")
@with_context
@json_option("Print one JSON document.")
def command(context: Context, *, as_json: bool) -> int:
    """Say whether the configuration is valid and whether this machine lets the agent do what it asks.

    One line per finding, each problem with a code and a hint. Exit code 78: the configuration is wrong; 1: the
    machine is not ready; 0: nothing worse than warnings.
    """
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
