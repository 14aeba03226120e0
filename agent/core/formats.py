"""The names of the formats of log lines. A format is registered here; `agent.parse.formats` has the module of its name.

`auto` takes each line for what it looks like, and tries the formats in the order in which they stand here.
"""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["auto", "json", "text", "logfmt", "cri", "docker", "syslog", "combined"]
PLANNED = ("logfmt", "syslog", "combined")  # a configuration may name them, and is told that this version lacks them
REGISTERED: tuple[str, ...] = tuple(name for name in get_args(Format) if name not in PLANNED)
