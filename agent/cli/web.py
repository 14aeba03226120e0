"""`sidelog web`: the pages and the API of a store, beside whatever agent there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from agent.cli.again import page_commands
from agent.cli.common import Command, Context, engine_option, safe_text, with_context
from agent.config import HttpConfig, is_private, listen_address
from agent.core.errors import ConfigError

if TYPE_CHECKING:
    from agent.clickhouse.address import ClickHouseAddress
    from agent.config import Config


@click.command(cls=Command)
@click.option("--listen", metavar="ADDRESS", help="HOST:PORT or unix:/path (default: as configured).")
@engine_option
@with_context
def command(context: Context, *, listen: str | None) -> int:
    """Serve the pages and the API of a store until Ctrl-C. Needs no agent.

    An agent whose configuration has `http:` serves them by itself. `sidelog token link` prints a link that opens the
    pages in a browser.
    """
    from agent.http.server import serve_alone
    from agent.serving import server_settings
    from agent.views.listening import tls_fault

    config = context.config()
    http = config.http or HttpConfig()
    if listen is not None:
        if listen_address(listen) is None and not listen.startswith("unix:/"):
            raise ConfigError.of("SL104.listen", "--listen", value=listen)
        if not (is_private(listen) or http.tls or http.behind_proxy):
            raise ConfigError.of("SL104.open", "--listen", value=listen)
        http = replace(http, listen=listen)
        context.overrides += (f"http.listen={listen}",)
    if http.tls is not None and (fault := tls_fault(http.tls)) is not None:
        raise fault
    fleet = context.fleet(config)
    if fleet is not None:
        _make_ready(config, fleet)
    context.open_store()
    what = safe_text(str(config.store.path) if fleet is None else fleet.shown)
    click.echo(f"serving {what} at {safe_text(http.listen)}; Ctrl-C ends it", err=True)
    typed = page_commands(context, replace(config, http=http))
    return serve_alone(replace(server_settings(config, http, typed), fleet=fleet))


def _make_ready(config: Config, fleet: ClickHouseAddress) -> None:
    """See that a fleet answers, and have a store beside it, which knows who may look at the pages."""
    from agent.query import open_engine

    open_engine(config.store.path, config.archive_directory, fleet=fleet).close()
    if not config.store.path.exists():
        from agent.store.opening import open_store

        open_store(config.store.path, min_free_bytes=config.store.min_free).close()
