"""`sidelog web`: the pages and the API of a store, beside whatever agent there is."""

from __future__ import annotations

import click
from msgspec.structs import replace

from agent.cli.again import page_commands
from agent.cli.common import Command, Context, safe_text, with_context
from agent.config import HttpConfig, is_private, listen_address
from agent.core.errors import ConfigError


@click.command(cls=Command)
@click.option("--listen", metavar="ADDRESS", help="HOST:PORT or unix:/path (default: as configured).")
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
    context.open_store()
    click.echo(f"serving {safe_text(str(config.store.path))} at {safe_text(http.listen)}; Ctrl-C ends it", err=True)
    typed = page_commands(context, replace(config, http=http))
    return serve_alone(server_settings(config, http, typed))
