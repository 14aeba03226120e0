"""Where a ClickHouse is and who asks: of a configuration, or of an option `--engine URL`."""

from __future__ import annotations

import os
import re
from pathlib import Path  # noqa: TC003 - the struct has it
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from agent.core.errors import UsageError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import EngineConfig, ForwardConfig

DATABASE = "logs"
PASSWORD = "SIDELOG_ENGINE_PASSWORD"  # noqa: S105 - of the environment, for an address on the command line
_NAME = lazy(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_KEYS = ("database", "user")


class ClickHouseAddress(msgspec.Struct, frozen=True):
    """Servers that hold the same tables, and who asks them. What may be shown of it has no password."""

    urls: tuple[str, ...]
    database: str = DATABASE
    user: str | None = None
    password: str | None = None
    ca: Path | None = None

    def __repr__(self) -> str:
        """As it may be shown."""
        who = f"{self.user}@" if self.user else ""
        return f"<ClickHouse {who}{self.shown}>"

    __str__ = __repr__

    @property
    def shown(self) -> str:
        """The first server and the database, for messages."""
        return f"{self.urls[0]}?database={self.database}"

    def table(self, name: str) -> str:
        """A table's whole name, for SQL."""
        return f"{self.database}.{name}"

    @classmethod
    def of(cls, server: EngineConfig | ForwardConfig) -> ClickHouseAddress:
        """That of a configuration. The password is looked up now.

        Raises:
            ConfigError: SL110, the password cannot be had.
        """
        password = server.password.resolve_header() if server.password is not None else None
        urls = tuple(url.rstrip("/") for url in server.clickhouse or ())
        return cls(urls, server.database, server.user, password, server.ca)

    @classmethod
    def of_option(cls, text: str, environ: Mapping[str, str] = os.environ) -> ClickHouseAddress:
        """That of `http://HOST:PORT[?database=…&user=…]`; the password is in the environment.

        Raises:
            UsageError: SL657, it is no such address, or a password stands in it, which would be seen by others.
        """
        try:
            parts = urlsplit(text)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and text.isprintable()
        except ValueError:
            good = False
        if not good:
            raise UsageError.of("SL657.url", _without_secrets(text))
        found = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "password" in found or "key" in found or parts.username is not None or parts.password is not None:
            raise UsageError.of("SL657.password", _without_secrets(text), variable=PASSWORD)
        if unknown := next((key for key in found if key not in _KEYS), None):
            raise UsageError.of("SL657.key", _without_secrets(text), key=unknown)
        database = found.get("database", DATABASE)
        if not _NAME.fullmatch(database):
            raise UsageError.of("SL657.database", _without_secrets(text), database=database)
        url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        return cls((url,), database, found.get("user") or None, environ.get(PASSWORD) or None)


def _without_secrets(text: str) -> str:
    """What may be shown of an address: scheme, host and path."""
    return re.sub(r"//[^/?#]*@", "//", text.partition("?")[0])


def is_address(text: str) -> bool:
    """Whether what `--engine` was given is an address and no name."""
    return "://" in text
