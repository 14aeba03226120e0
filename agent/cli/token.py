"""`sidelog token`: who may ask over HTTP."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import click

from agent.cli.common import (
    Context,
    Group,
    echo_json,
    json_option,
    safe_text,
    shown_time,
    user_name,
    utc_option,
    with_context,
)
from agent.config import HttpConfig, page_address
from agent.core.errors import EXIT_DONE, UsageError
from agent.core.times import instant_after, parse_length
from agent.store import access
from agent.store.edit import editing
from agent.views import iso

_NS = 10**9
_ROLE = click.Choice(access.ROLES)


@click.group(cls=Group)
@with_context
def command(_: Context) -> None:
    """Say who may ask over HTTP: links for people, tokens for programs."""


@command.command("link")
@click.option("--role", type=_ROLE, default="reader", help="What it may (default reader).")
@with_context
def link(context: Context, *, role: access.Role) -> int:
    """Print a link that opens the page in a browser: once, within a minute, for twelve hours."""
    from agent.store.grants import LINK_S, sign

    config = context.config()
    connection, _ = context.open_store()
    keys = access.read_keys(connection, config.store.path)
    if keys is None or (role == "operator" and keys.operator is None):
        with editing(config.store.path) as writing:
            keys = access.make_keys(writing, config.store.path)
    text = sign(keys, "link", role, int(time.time()), LINK_S)
    if text is None:
        raise UsageError.of("SL910", role)
    click.echo(f"{page_address(config.http or HttpConfig())}/link/{text}")
    return EXIT_DONE


@command.command("create")
@click.argument("name")
@click.option("--role", type=_ROLE, default="reader", help="What it may (default reader).")
@click.option("--expires", metavar="DURATION", help="After so long it opens nothing: 30d.")
@with_context
def create(context: Context, name: str, *, role: access.Role, expires: str | None) -> int:
    """Print a new token, this once; only a hash of it is kept."""
    now = time.time_ns()
    until = None if expires is None else instant_after(now, parse_length(expires))
    with editing(context.config().store.path) as connection:
        token = access.create_token(connection, name, role, now, until)
        if token is None:
            raise UsageError.of("SL911.taken", name)
        access.note(connection, now, user_name(), "create token", name, role)
    click.echo(token)
    return EXIT_DONE


@command.command("list")
@json_option()
@utc_option
@with_context
def list_tokens(context: Context, *, as_json: bool) -> int:
    """Show the tokens that there are."""
    connection, _ = context.open_store()
    with closing(connection):
        tokens = access.list_tokens(connection)
    rows: list[dict[str, Any]] = [
        {"name": one.name, "role": one.role, "created": iso(one.created), "expires": iso(one.expires)} for one in tokens
    ]
    if as_json:
        echo_json(rows)
        return EXIT_DONE
    for row in rows:
        until = f"until {shown_time(row['expires'])}" if row["expires"] else "for ever"
        click.echo(f"{row['role']:8}  {safe_text(row['name'])}  since {shown_time(row['created'])}, {until}")
    if not rows:
        click.echo("no tokens", err=True)
    return EXIT_DONE


@command.command("revoke")
@click.argument("name")
@with_context
def revoke(context: Context, name: str) -> int:
    """Let a token open nothing any more."""
    with editing(context.config().store.path) as connection:
        if not access.revoke_token(connection, name):
            raise UsageError.of("SL911", name)
        access.note(connection, time.time_ns(), user_name(), "revoke token", name)
    return EXIT_DONE


@command.command("rotate-key")
@with_context
def rotate_key(context: Context) -> int:
    """End every session and link that was opened or printed so far."""
    path = context.config().store.path
    with editing(path) as connection:
        access.make_keys(connection, path, anew=True)
        access.note(connection, time.time_ns(), user_name(), "rotate key", "")
    return EXIT_DONE
