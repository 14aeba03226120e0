"""A command to paste into a shell: of this program, with the configuration and the store of the running command."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from agent.config import HttpConfig

if TYPE_CHECKING:
    from agent.cli.common import Context
    from agent.config import Config


def pasted(context: Context, config: Config, *words: str) -> str:
    """The command that does something with what the running one works on, typed in any directory by any user.

    Args:
        context: of the running command.
        config: as it reads it.
        words: of the command.
    """
    file = context.find_config()
    said = set(os.environ) | {_key_of(text) for text in context.overrides}
    options = [] if file is None else ["-c", str(file)]
    if file is None or context.store is not None or said & {"SIDELOG_STORE__PATH", "store.path"}:
        options += ["--store", os.fsdecode(config.store.path)]
    listen = config.http.listen if config.http is not None else HttpConfig().listen
    chosen = file is None and listen != HttpConfig().listen
    if chosen or said & {"SIDELOG_HTTP__LISTEN", "http.listen"}:
        options += ["--set", f"http.listen={listen}"]
    return shlex.join([*_program(), *words, *options])


def _key_of(override: str) -> str:
    """The key of an option `--set KEY=VALUE`."""
    return override.partition("=")[0].strip()


def _program() -> list[str]:
    """`sidelog` where a shell finds it by that name, else its path."""
    from agent.install.layout import this_program

    words = this_program().words
    found = shutil.which("sidelog")
    is_known = found is not None and len(words) == 1 and os.path.realpath(found) == os.path.realpath(words[0])
    return ["sidelog"] if is_known else words
