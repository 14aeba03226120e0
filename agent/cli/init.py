"""`sidelog init`: a commented configuration, and with `--system` the service. `sidelog remove`: the end of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import PATH, Command, Context, current, output_options, safe_text, with_context
from agent.core.errors import EXIT_DONE, ConfigError, SidelogError, UsageError
from agent.install import layout
from agent.install.files import InstalledFiles
from agent.install.layout import Layout, shared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.config import Config
    from agent.install.files import Done

STORE_LINE = "  path: /var/lib/sidelog/sidelog.db\n"  # of the service; a user's own store has its default place
ROOT_OPTION = click.option("--root", type=PATH, metavar="DIR", help="With --system: DIR in the place of /.")


@click.command(cls=Command, short_help="Write a commented configuration, or install the service.")
@click.option("--system", is_flag=True, help="Install the service, or renew it: user, directories, unit, hooks.")
@click.option("--force", is_flag=True, help="Replace what is there (with --system: changed hooks); FILE.old keeps it.")
@ROOT_OPTION
@click.argument("file", required=False, type=PATH)
@output_options
def command(file: Path | None, root: Path | None, *, system: bool, force: bool) -> None:
    """Write a configuration with every key explained to FILE (default: sidelog.yaml).

    Nothing is overwritten. With --system, as root: the service's user, its directories, the systemd unit, hooks and
    drop-ins, a link on the PATH, and /etc/sidelog/sidelog.yaml with the logs that this machine has. Called again, by
    this version or another, it renews all of it but the configuration.
    """
    if system:
        if file is not None:
            raise UsageError.of("SL501.file", file)
        _install_service(Layout(root or Path("/")), force=force)
        return
    if root is not None:
        raise UsageError.of("SL501.root", "--root")
    target = Path.cwd() / (file or "sidelog.yaml")
    files = InstalledFiles(Layout(Path("/")))
    if os.path.lexists(target) and not force:
        raise SidelogError.of("SL120.exists", file or "sidelog.yaml")
    files.own(str(target), configuration(system=os.geteuid() == 0))
    if current().verbosity >= 0:
        shown = safe_text(str(file or "sidelog.yaml"))
        click.echo(f"wrote {shown}; name your logs under `include`, then run: sidelog check", err=True)


def configuration(*, system: bool) -> str:
    """The commented configuration; for a user without the store's place of the service."""
    text = shared("etc/sidelog.yaml")
    return text if system else text.replace(STORE_LINE, STORE_LINE.replace("path:", "#path:"))


# ---------------------------------------------------------------- the service


def _install_service(place: Layout, *, force: bool) -> None:
    from agent.install.system import install, is_booted
    from agent.service import unit as units
    from agent.service.sandbox import Sandbox
    from agent.views.programs import hidden_part

    program = layout.this_program()
    say(install(place, program, force=force))
    unit = units.find(str(place.at(layout.PACKAGED_UNIT if place.is_packaged else layout.UNIT)))
    if hidden := hidden_part(program.words[0], Sandbox(unit)):
        click.echo(
            f"warning: the service cannot see {safe_text(hidden[0])}: install sidelog outside of home"
            " directories, for example in /opt/sidelog",
            err=True,
        )
    if current().verbosity >= 0:
        for line in next_steps(is_booted=is_booted(place), is_here=place.is_here):
            click.echo(line, err=True)


def next_steps(*, is_booted: bool, is_here: bool) -> list[str]:
    """What to type after an installation.

    Args:
        is_booted: systemd runs.
        is_here: it is for this machine, not for a tree that becomes one.
    """
    editor = os.environ.get("EDITOR", "nano")
    running = is_booted and Path("/run/systemd/units/invocation:sidelog.service").is_symlink()
    start = "systemctl restart sidelog" if running else "systemctl enable --now sidelog"
    steps = [(f"{editor} {layout.CONFIG}", "the logs to follow"), ("sidelog check", "can it read them?")]
    if is_here and not is_booted:
        steps += [(f"runuser -u {layout.USER} -- sidelog run", "systemd does not run here: the agent by hand")]
    else:
        steps += [(start, "")]
    steps += [("sidelog status", "")]
    width = max(len(step) for step, _ in steps) + 2
    return ["next:", *(f"  {step:<{width}}{'# ' + why if why else ''}".rstrip() for step, why in steps)]


def say(steps: Iterable[Done]) -> None:
    """Print what was done, as it is done; what was as it should be only with -v."""
    verbosity = current().verbosity
    for done in steps:
        if verbosity > 0 or (verbosity == 0 and (done.verb != "kept" or done.note)):
            note = f": {safe_text(done.note)}" if done.note else ""
            click.echo(f"{done.verb:<8} {safe_text(done.place)}{note}", err=True)


@click.command(cls=Command, short_help="Remove the service; stores and archives stay.")
@click.option("--system", is_flag=True, help="The service of this machine.")
@click.option("--purge", is_flag=True, help="Delete stores, archives and the configuration too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed, and what would stay.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
@ROOT_OPTION
@with_context
def remove(context: Context, root: Path | None, *, system: bool, purge: bool, dry_run: bool, yes: bool) -> int:
    """Remove the service that `sidelog init --system` has installed: stop it, and take away its unit, drop-ins, user
    and program.

    First it says what goes and what stays. Stores, archives and the configuration stay, and belong to root then: an
    archive may be the only copy of its log. With --purge they are deleted too.
    """
    from agent.install import removal

    if not system:
        raise UsageError.of("SL501.remove", "sidelog remove")
    place = Layout(root or Path("/"))
    store, archives = _places(context, place)
    planned = removal.plan(place, store, archives, purge=purge)
    if dry_run or context.verbosity >= 0:
        for line in removal.sentences(planned):
            click.echo(safe_text(line), err=not dry_run)
    if dry_run:
        return EXIT_DONE
    if not yes:
        if not sys.stdin.isatty():
            raise SidelogError.of("SL624.unsure", "the service")
        click.confirm("Delete all of it?" if purge else "Remove it?", abort=True, err=True)
    say(removal.remove(place, planned, store))
    return EXIT_DONE


def _places(context: Context, place: Layout) -> tuple[Path, Path]:
    """Where store and archives lie, by the configuration of that machine; its defaults where that is wrong or gone."""
    state = place.at(layout.STATE)
    if context.config_path is None and place.at(layout.CONFIG).is_file():
        context.config_path = place.at(layout.CONFIG)
    config = None
    try:
        if context.config_path is not None:
            config = service_config(context)[0] if place.is_here else context.config()
    except ConfigError:
        pass
    if config is None:
        return state / "sidelog.db", state / "archive"
    if place.is_here:
        return config.store.path, config.archive_directory
    return place.at(str(config.store.path)), place.at(str(config.archive_directory))


def service_config(context: Context) -> tuple[Config, Path | None]:
    """The configuration that applies, and its file. Where it is the service's: that which its unit names, with the
    variables of the unit, which may say where the store lies.

    Raises:
        ConfigError: it is wrong.
        SidelogError: SL141, root cannot read the unit.
    """
    from agent.config import loader
    from agent.service import viewpoint

    file = context.find_config()
    view = viewpoint.choose(system=True) if file in (None, loader.SYSTEM_FILE) else None
    if view is None or view.unit is None:
        return context.config(), file
    file = Path(named) if (named := viewpoint.unit_config(view)) else file
    given = view.environment()
    return loader.load(file, store=context.store, overrides=context.overrides, environ=given), file
