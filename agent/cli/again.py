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
    from agent.serving import TypedCommands


def pasted(context: Context, config: Config, *words: str) -> str:
    """The command that does something with what the running one works on, typed in any directory by any user.

    Args:
        context: of the running command.
        config: as it reads it.
        words: of the command.
    """
    file, said = context.find_config(), _said(context)
    options = _place(context, config)
    listen = config.http.listen if config.http is not None else HttpConfig().listen
    chosen = file is None and listen != HttpConfig().listen
    if chosen or said & {"SIDELOG_HTTP__LISTEN", "http.listen"}:
        options += ["--set", f"http.listen={listen}"]
    return shlex.join([*_program(), *words, *options])


def page_commands(context: Context, config: Config) -> TypedCommands:
    """What the pages of a server say to type.

    Args:
        context: of the command that serves.
        config: as it reads it.
    """
    from agent.serving import TypedCommands

    place = _place(context, config)
    if _said(context) & {"SIDELOG_ARCHIVE__DIRECTORY", "archive.directory"}:
        place += ["--set", f"archive.directory={os.fsdecode(config.archive_directory)}"]
    return TypedCommands(pasted(context, config, "token", "link"), shlex.join([*_program(), "query", *place]))


def _place(context: Context, config: Config) -> list[str]:
    """The options that name the configuration and the store."""
    file = context.find_config()
    options = [] if file is None else ["-c", str(file)]
    if file is None or context.store is not None or _said(context) & {"SIDELOG_STORE__PATH", "store.path"}:
        options += ["--store", os.fsdecode(config.store.path)]
    return options


def _said(context: Context) -> set[str]:
    """The keys and variables beside the configuration."""
    return set(os.environ) | {_key_of(text) for text in context.overrides}


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
