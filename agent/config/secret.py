"""Secrets in a configuration: `{env: NAME}`, `{file: PATH}` or the text itself. Resolved at use, never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_BYTES = 65_536  # a token or a URL; more is a wrong path, and /dev/zero must not fill the memory


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
            raise self._missing(f"the environment variable {self.env} {state}", "set it for the agent's process")
        return value

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            text = data.decode().rstrip("\r\n")
        except OSError as error:
            hint = "create it, readable by the agent's user alone"
            raise self._missing(f"the file {path} cannot be read: {error.strerror}", hint) from None
        except UnicodeDecodeError:
            raise self._missing(
                f"the file {path} is not UTF-8 text", "it must hold the secret and nothing else"
            ) from None
        if not text or len(data) > _MAX_BYTES:
            state = "is larger than 64 KiB" if text else "is empty"
            raise self._missing(f"the file {path} {state}", "it must hold the secret and nothing else")
        return text

    def _missing(self, what: str, hint: str) -> ConfigError:
        place = f"{self.place}: " if self.place else ""
        return ConfigError.of("SL110", self.place, hint=hint, place=place, what=what)
