"""`sidelog forward`: the way to a ClickHouse, and the tables there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    Context,
    Group,
    echo_json,
    json_option,
    print_error,
    safe_text,
    shown_time,
    utc_option,
    with_context,
)
from agent.cli.forward_history import backfill, verify
from agent.core.errors import EXIT_DONE, EXIT_FAILED
from agent.core.text import counted

if TYPE_CHECKING:
    from agent.clickhouse.address import ClickHouseAddress
    from agent.clickhouse.layout import TableLayout


@click.group(cls=Group)
@with_context
def command(_: Context) -> None:
    """Forward events to a ClickHouse, for one place over many machines."""


@command.command("status")
@json_option()
@utc_option
@with_context
def status(context: Context, *, as_json: bool) -> int:
    """Show how far each target is: what waits, what it never got, and what it last said.

    Exits 1 when one has failed for longer than 5 minutes.
    """
    from agent.store.reader import open_reader
    from agent.views.forward import target_documents

    connection = open_reader(context.config().store.path)
    documents = target_documents(connection)
    connection.close()
    if as_json:
        echo_json(documents)
    else:
        for document in documents:
            click.echo(target_line(document))
            for line in _details(document):
                click.echo(f"  {line}")
        if not documents and context.verbosity >= 0:
            click.echo("nothing is forwarded: the agent of this store has no target", err=True)
    return EXIT_FAILED if any(document["unhealthy"] for document in documents) else EXIT_DONE


def target_line(document: dict[str, Any]) -> str:
    """One line for a target."""
    once = " at least once" if document["promise"] == "at least once" else ""
    parts = [f"{document['forwarded']:,} forwarded{once}"]
    if document["lag_events"]:
        parts.append(f"{counted(document['lag_events'], 'waits', 'wait')} for {document['lag_seconds']:,.1f} s")
    if document["rejected"]:
        parts.append(f"{document['rejected']:,} rejected")
    missing = sum(gap["events"] for gap in document["gaps"])
    if missing:
        parts.append(f"{missing:,} never sent")
    if document["failing_since"]:
        parts.append(f"failing since {shown_time(document['failing_since'])}, circuit {document['circuit']}")
    return f"forward {safe_text(document['name'])} {safe_text(document['url'])}  {', '.join(parts)}"


def _details(document: dict[str, Any]) -> list[str]:
    error = document["last_error"]
    lines = [f"last success {shown_time(document['last_success'])}"] if document["last_success"] else []
    if error is not None:
        lines.append(f"{error['code']} {shown_time(error['time'])}: {safe_text(error['message'])}")
    for gap in document["gaps"]:
        span = f"{shown_time(gap['first_timestamp'])} to {shown_time(gap['last_timestamp'])}"
        why = f" ({safe_text(gap['detail'])})" if gap["detail"] else ""
        events = counted(gap["events"], "event")
        lines.append(f"gap {gap['first']}–{gap['last']}: {events} of {span}, {gap['reason']}{why}")
    return lines


command.add_command(backfill)
command.add_command(verify)


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
