"""Texts that must not be shown: tokens, passwords, URLs that hold one."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - the struct has it
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import ConfigError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_BYTES = 65_536  # a token or a URL; more is a wrong path, and /dev/zero must not fill the memory
_HEADER_VALUE = lazy(r"[!-~](?:[\t -~]*[!-~])?")  # RFC 9110, 5.5, without the bytes that it calls obsolete


class Secret(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """Where a secret text comes from. Exactly one of the three is set; `place` is `FILE: path` for messages."""

    env: str | None = None
    file: Path | None = None
    literal: str | None = None
    place: str = ""

    def __repr__(self) -> str:
        """What may be shown of it: its origin, never its text."""
        if self.env is not None:
            return f"<secret env:{self.env}>"
        return f"<secret file:{self.file}>" if self.file is not None else "<secret>"

    __str__ = __repr__

    def resolve(self, environ: Mapping[str, str] = os.environ) -> str:
        """The secret text, read anew each time so that a rotated token is picked up.

        Raises:
            ConfigError: SL110, the variable is not set, or the file is missing, unreadable, empty or not text.
        """
        if self.literal is not None:
            return self.literal
        if self.file is not None:
            return self._read(self.file)
        value = environ.get(str(self.env))
        if not value:
            state = "is empty" if value == "" else "is not set"
            raise ConfigError.of("SL110.variable", self.place, place=self._prefix, name=self.env, state=state)
        return value

    def resolve_header(self, environ: Mapping[str, str] = os.environ) -> str:
        """The secret text, as `resolve`, where it is to be the value of a header.

        Raises:
            ConfigError: SL110, as `resolve`, or it has characters that the library which sends it refuses, with an
                error that repeats all of it.
        """
        text = self.resolve(environ)
        if not _HEADER_VALUE.fullmatch(text):
            raise ConfigError.of("SL110.header", self.place, place=self._prefix, origin=self)
        return text

    def _read(self, path: Path) -> str:
        state = ""
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            text = data.decode().rstrip("\r\n")
        except OSError as error:
            raise ConfigError.of("SL110.file", self.place, place=self._prefix, file=path, why=error) from None
        except UnicodeDecodeError:
            state = "is not UTF-8 text"
        else:
            if not text or len(data) > _MAX_BYTES:
                state = "is larger than 64 KiB" if text else "is empty"
        if state:
            raise ConfigError.of("SL110.content", self.place, place=self._prefix, file=path, state=state)
        return text

    @property
    def _prefix(self) -> str:
        return f"{self.place}: " if self.place else ""
