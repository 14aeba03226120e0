"""Where events are forwarded to and asked for: what the sections `forward` and `engine` may say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.config.addresses import is_url
from agent.config.convert import shown
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config.convert import ConfigFindings
    from agent.config.layers import KeyPath
    from agent.config.schema import EngineConfig, ForwardConfig
    from agent.config.secret import Secret

_HEADER = lazy(r"[!#$%&'*+.^_`|~A-Za-z0-9-]+", re.ASCII)  # token of RFC 9110, section 5.6.2
_DATABASE = lazy(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)  # what ClickHouse takes without quotes
_OF_CLICKHOUSE = ("database", "user", "password", "ttl")


def check_forward(target: ForwardConfig, path: KeyPath, findings: ConfigFindings) -> None:
    """Add a finding for what is wrong with a target of `forward`."""
    written = findings.merged.get(path) or {}
    if ("clickhouse" in written) == ("otlp" in written):
        findings.add("SL108.targets" if "otlp" in written else "SL108.target", path)
    elif "otlp" in written:
        for key in _OF_CLICKHOUSE:
            if key in written:
                findings.add("SL108.otlp", (*path, key), key=key)
        _url(target.otlp or "", (*path, "otlp"), findings)
    else:
        if "headers" in written:
            findings.add("SL108.otlp-headers", (*path, "headers"))
        _server(target, path, findings)
    check_headers(target.headers, path, findings)


def check_engine(engine: EngineConfig, path: KeyPath, findings: ConfigFindings) -> None:
    """Add a finding for what is wrong with the section `engine`."""
    _server(engine, path, findings)


def _server(server: ForwardConfig | EngineConfig, path: KeyPath, findings: ConfigFindings) -> None:
    written = findings.merged.get((*path, "clickhouse"))
    if isinstance(written, list) and not written:
        findings.add("SL104", (*path, "clickhouse"), problem="names no server: such as http://ch1:8123")
    for index, url in enumerate(server.clickhouse or ()):
        _url(url, (*path, "clickhouse", index) if isinstance(written, list) else (*path, "clickhouse"), findings)
    if not _DATABASE.fullmatch(server.database):
        findings.add("SL104.database", (*path, "database"), value=shown(server.database))
    if server.user is not None and (not server.user or not server.user.isprintable()):
        findings.add("SL104", (*path, "user"), problem="is no user's name")


def _url(text: str, path: KeyPath, findings: ConfigFindings) -> None:
    """The text is not repeated, for there may be a password in it."""
    if not is_url(text):
        findings.add("SL104.url", path)
        return
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None:
        findings.add("SL104.credentials", path)
    elif parts.query or parts.fragment:
        findings.add("SL104.parameters", path)


def check_headers(headers: Mapping[str, Secret], path: KeyPath, findings: ConfigFindings) -> None:
    """Add a finding for each name or value that no header of HTTP can have.

    Args:
        headers: as the configuration has them.
        path: of the section that has them under `headers`.
        findings: what to add to.
    """
    for header, secret in headers.items():
        if not _HEADER.fullmatch(header):
            findings.add("SL104.header", (*path, "headers", header), value=shown(header))
        elif secret.literal is not None and not secret.literal.isprintable():
            findings.add("SL104", (*path, "headers", header), problem="holds a control character")
