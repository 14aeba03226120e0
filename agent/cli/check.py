"""`sidelog check`: is this configuration ready to run here, for whom it is meant? `sidelog explain`: what is a code?"""

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
    from pathlib import Path

    from agent.service.viewpoint import Viewpoint
    from agent.views.diagnostic import Diagnostic

_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}
_MOST_ROUNDS = 5  # of healing: behind a directory that is opened there may be another that is closed


@click.command(cls=Command, short_help="Tell whether a configuration is ready to run.")
@click.option("--as-user", metavar="NAME", help="Judge for this user, without a sandbox (root only).")
@click.option("--unit", metavar="UNIT", help="Judge for this unit: a name, or the path of its file (root only).")
@click.option("--fix", is_flag=True, help="Print, as a shell script, what heals each finding.")
@click.option("--yes", is_flag=True, help="With --fix: do it (root only), and look again.")
@with_context
@json_option("Print one JSON document.")
def command(context: Context, *, as_user: str | None, unit: str | None, fix: bool, yes: bool, as_json: bool) -> int:
    """Say whether the configuration is valid and whether this machine lets the agent do what it asks.

    Where the service is installed, root gets the answer for the unit's user, in the unit's sandbox; others get their
    own. One line per finding, each problem with a code and a hint. Exit code 78: the configuration is wrong; 1: the
    machine is not ready; 0: nothing worse than warnings.
    """
    from agent.views.diagnostic import worst
    from agent.views.readiness import configuration_diagnostics, readiness_document

    _refuse(fix=fix, yes=yes)
    file, view = _subject(context, as_user, unit)
    diagnostics = configuration_diagnostics(file, context.config_of(file), view)
    if yes:
        for _ in range(_MOST_ROUNDS):
            if not _heal(diagnostics, view):
                break
            file, view = _subject(context, as_user, unit)
            diagnostics = configuration_diagnostics(file, context.config_of(file), view)
    if as_json:
        echo_json(readiness_document(file, view, diagnostics))
    elif fix and not yes:
        _print_script(diagnostics, view)
    else:
        for one in diagnostics:
            if one.level != "ok" or context.verbosity >= 0:
                _print(one)
    return worst(diagnostics)


def _refuse(*, fix: bool, yes: bool) -> None:
    import os

    if yes and not fix:
        raise UsageError.of("SL501.yes", "--yes")
    if yes and os.geteuid() != 0:
        raise UsageError.of("SL501.root-fix", "--yes")


def _subject(context: Context, as_user: str | None, unit: str | None) -> tuple[Path | None, Viewpoint]:
    """What is looked at, and for whom. The file that the unit names comes behind one in the working directory."""
    from pathlib import Path

    from agent.config import loader
    from agent.service import viewpoint

    file = context.find_config()
    is_system = file is not None and file == loader.SYSTEM_FILE
    view = viewpoint.choose(user=as_user, unit=unit, system=is_system)
    if (file is None or is_system) and (named := viewpoint.unit_config(view)) is not None:
        file = Path(named)
    return file, view


def _heal(diagnostics: list[Diagnostic], view: Viewpoint) -> bool:
    """Do what heals the findings, a line on stderr for each step; whether anything was done."""
    from agent.cli.common import print_error
    from agent.service.fix import apply

    done = False
    for step, problem in apply([fix for one in diagnostics for fix in one.fixes], view.unit):
        click.echo(f"+ {safe_text(step)}", err=True)
        if problem is not None:
            print_error(problem)
        done = done or problem is None
    return done


def _print_script(diagnostics: list[Diagnostic], view: Viewpoint) -> None:
    """The findings as comments, and below them the steps: all of it is a script."""
    from agent.service.fix import script

    if all(one.level == "ok" for one in diagnostics):
        click.echo("# nothing to heal")
    for one in diagnostics:
        if one.level != "ok":
            click.echo(f"# {one.level} {one.code} {safe_text(one.place)}: {safe_text(one.sentence)}")
            if not one.fixes:
                click.echo(f"#   by hand: {safe_text(one.hint)}")
    for line in script([fix for one in diagnostics for fix in one.fixes], view.unit):
        click.echo(safe_text(line))


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
