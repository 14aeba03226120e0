"""`sidelog upgrade-check` and `roll-back`: what this version would do to the store, and the way to the one before."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.common import Command, Context, echo_json, json_option, print_error, safe_text, with_context
from agent.core.errors import EXIT_DONE


@click.command(cls=Command, short_help="Say what this version would do to the store.")
@json_option()
@with_context
def check(context: Context, *, as_json: bool) -> int:
    """Say what this version would do to the store at its first start: which migrations, whether they can be taken back,
    how much space and about how much time that takes.

    Nothing is changed. Call it by its whole path before the upgrade: /opt/sidelog/VERSION/bin/sidelog upgrade-check.
    Exits with 3 where this version would refuse the store.
    """
    from agent.cli.init import service_config
    from agent.install import upgrade

    store = service_config(context)[0].store
    plan = upgrade.plan(store.path, min_free_bytes=store.min_free, migration_copy=store.migration_copy)
    if as_json:
        echo_json(plan.document())
    else:
        for line in plan.sentences():
            click.echo(safe_text(line))
    if plan.problem is None:
        return EXIT_DONE
    if not as_json:
        print_error(plan.problem)
    return plan.problem.exit_code


@click.command(cls=Command, short_help="Go back to the version before.")
@with_context
def roll_back(context: Context) -> int:
    """Let the version before run again, as root: the service is stopped, /opt/sidelog/current leads to that version,
    and where it cannot read the store, the copy that the migration has left takes its place.

    It goes on where that copy was: what the log files have had since is read again. The newer store is not deleted; its
    new name is said. Where this version does not even start, call it by the path of the one before:
    /opt/sidelog/VERSION/bin/sidelog roll-back.
    """
    from agent.cli.init import say, service_config
    from agent.install import upgrade
    from agent.install.layout import CONFIG, Layout

    if context.config_path is None and Path(CONFIG).is_file():  # not one that lies in the working directory
        context.config_path = Path(CONFIG)
    config, file = service_config(context)
    say(upgrade.roll_back(Layout(Path("/")), config.store.path, file))
    return EXIT_DONE
