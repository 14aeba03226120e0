"""`sidelog forward`: the way to a ClickHouse, and the tables there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.common import Context, Group, print_error, with_context
from agent.core.errors import EXIT_DONE

if TYPE_CHECKING:
    from agent.clickhouse.address import ClickHouseAddress
    from agent.clickhouse.layout import TableLayout


@click.group(cls=Group)
@with_context
def command(_: Context) -> None:
    """Forward events to a ClickHouse, for one place over many machines."""


@command.command("schema")
@click.option("--target", metavar="NAME|URL", help="Of this target or address alone.")
@click.option("--cluster", metavar="NAME", help="On all servers of a cluster, spread over its shards.")
@click.option("--replicated", is_flag=True, help="With tables that copy themselves to their replicas.")
@click.option("--print", "only_print", is_flag=True, help="Print the statements, and do nothing.")
@with_context
def schema(context: Context, *, target: str | None, cluster: str | None, replicated: bool, only_print: bool) -> int:
    """Make the tables in ClickHouse, or bring them to this version; again without harm.

    Without --target that is done for each target of the configuration, and where there is none for its engine.
    """
    from agent.clickhouse import targets

    for address, ttl_days in targets.find(context.config(), target):
        if only_print:
            _print_statements(address, cluster, replicated=replicated, ttl_days=ttl_days)
        else:
            _make(context, address, cluster, replicated=replicated, ttl_days=ttl_days)
    return EXIT_DONE


def _make(
    context: Context, address: ClickHouseAddress, cluster: str | None, *, replicated: bool, ttl_days: int | None
) -> None:
    from agent.clickhouse import schema as tables

    for url in tables.make(address, cluster, replicated=replicated, ttl_days=ttl_days):
        click.echo(f"{url}: this server is too old to delete events by their age; ttl does nothing there", err=True)
    if context.verbosity >= 0:
        click.echo(f"{address.shown}: tables of version {tables.VERSION}", err=True)


def _print_statements(
    address: ClickHouseAddress, cluster: str | None, *, replicated: bool, ttl_days: int | None
) -> None:
    from agent.clickhouse import schema as tables

    layout = _layout(address, cluster, replicated=replicated)
    for statement in tables.statements(layout):
        click.echo(f"{statement};\n")
    if ttl_days and layout.is_current:
        click.echo(f"{tables.ttl_statement(layout, ttl_days)};\n")


def _layout(address: ClickHouseAddress, cluster: str | None, *, replicated: bool) -> TableLayout:
    """As the server wants it; where none can be asked, as a current one would."""
    from agent.clickhouse.client import ClickHouseClient
    from agent.clickhouse.faults import ClickHouseError
    from agent.clickhouse.layout import TableLayout
    from agent.clickhouse.schema import layout_of

    client = ClickHouseClient(address)
    try:
        return layout_of(client, cluster, replicated=replicated)
    except ClickHouseError as error:
        print_error(error)
        click.echo("these are the statements for a current server", err=True)
        return TableLayout(address.database, is_current=True, has_words=True, cluster=cluster, replicated=replicated)
    finally:
        client.close()
