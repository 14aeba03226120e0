"""The command `sidelog`: finds the command's module, runs it, and turns whatever it raises into words and a code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from agent import __version__
from agent.cli.common import CONFIG_OPTIONS, OUTPUT_OPTIONS, Context, Group, print_error
from agent.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, SidelogError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from click.shell_completion import CompletionItem

EXIT_PIPE = 141  # 128 + SIGPIPE: the reader of a pipe has left

# The help of each command stands here, so that `sidelog --help` imports none of their modules.
COMMANDS = {
    "Collect": {
        "run": "Follow log files and store every event.",
        "check": "Tell whether a configuration is ready to run.",
        "init": "Write a commented configuration, or install the service.",
        "remove": "Remove the service; stores and archives stay.",
        "upgrade-check": "Say what this version would do to the store.",
        "roll-back": "Go back to the version before.",
    },
    "Look": {
        "query": "Search the events.",
        "errors": "Show and manage groups of errors.",
        "alerts": "Show, test and silence alert rules.",
        "status": "Show the health of the agent.",
        "sql": "Run read-only SQL on the store.",
        "web": "Serve the pages and the API of a store.",
        "mcp": "Serve read-only questions to a language model.",
        "parse": "Show how lines would be read; find a pattern for them.",
    },
    "Keep": {
        "archive": "List, verify and restore archived logs.",
        "audit": "Prove that every byte of every file is accounted for.",
        "selftest": "Kill an agent again and again on your disk, and count the lines.",
        "backup": "Copy the store while it is in use.",
        "restore": "Bring a backup back.",
        "verify": "Check the store, and repair it.",
        "forward": "Forward events to a ClickHouse.",
    },
    "Help": {
        "token": "Say who may ask over HTTP.",
        "explain": "Explain an error code.",
        "completion": "Print the script by which a shell completes.",
        "version": "Print the version; look for a newer one.",
    },
}
_PLACES = {  # of the commands that are not `command` in the module of their name
    "backup": "store:back_up",
    "restore": "store:restore",
    "verify": "store:verify",
    "remove": "init:remove",
    "upgrade-check": "upgrade:check",
    "roll-back": "upgrade:roll_back",
    "explain": "check:explain",
}


class LazyGroup(Group):
    """Imports a command's module when that command is called, and lists only those that exist."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands that are installed."""
        del ctx
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The click command of that name, of its module in `agent.cli`, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = _PLACES.get(cmd_name, f"{cmd_name}:command").partition(":")
        command: click.Command = getattr(importlib.import_module(f"agent.cli.{module}"), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """The table above, without importing anything, and the options."""
        from click.shell_completion import CompletionItem

        rows = [row for section in COMMANDS.values() for row in section.items() if row[0].startswith(incomplete)]
        found = [CompletionItem(name, help=text) for name, text in rows]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above, without importing anything."""
        available = set(self.list_commands(ctx))
        for section, commands in COMMANDS.items():
            if rows := [(name, text) for name, text in commands.items() if name in available]:
                with formatter.section(section):
                    formatter.write_dl(rows, col_max=13)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"sidelog {__version__}")
        context.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        )
    ],
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Follow log files into one SQLite file, group the errors, and ask questions about all of it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(EXIT_USAGE)


for _decorate in (*CONFIG_OPTIONS, *OUTPUT_OPTIONS):
    _decorate(cli)


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code: the command's own, or the one of the error that it raised. Nothing is raised.
    """
    state = Context()
    _open_streams()
    try:
        code = _invoke(list(arguments), state)
        sys.stdout.flush()
    except SidelogError as error:
        code = _failed(error, state)
    except click.ClickException as error:
        code = _failed(_usage_error(error), state)
    except BrokenPipeError:
        code = EXIT_PIPE
    except (KeyboardInterrupt, click.Abort):
        code = EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where a fault of the program becomes a sentence
        code = _failed(_unexpected(error, state), state)
    code = _close_output(code, state)
    _close_errors()
    return code


def _open_streams() -> None:
    """Give a process that was started without standard streams some, before a store could get their numbers."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: PTH123, SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks is no failure


def _invoke(arguments: list[str], state: Context) -> int:
    if "_SIDELOG_COMPLETE" in os.environ:
        from agent.cli.completion import answer

        return answer(cli, os.environ["_SIDELOG_COMPLETE"])
    try:
        with cli.make_context("sidelog", arguments, obj=state) as context:
            result: Any = cli.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return result if isinstance(result, int) else EXIT_DONE


def _failed(error: SidelogError, state: Context) -> int:
    """Print an error and give its exit code, also when nobody listens any more."""
    try:
        print_error(error, state)
        sys.stderr.flush()
    except OSError:
        pass
    return error.exit_code


def _usage_error(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "sidelog"
    words = " ".join(error.format_message().split()).rstrip(".")
    words = words.replace("is not a valid integer range", "is no whole number")  # of click's own
    return UsageError.of("SL501.usage", path, problem=words[:1].lower() + words[1:])


def _unexpected(error: Exception, state: Context) -> SidelogError:
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    if isinstance(error, OSError) and error.filename is None and error.errno in full:
        return SidelogError.of("SL502", "standard output", why=error)
    if state.verbosity > 1:
        import traceback

        traceback.print_exception(error)
    message = f"something unexpected happened: {type(error).__name__}: {error}"
    hint = "this is a fault of sidelog; run the command again with -vv and report what it prints"
    return SidelogError("SL999", "run a command", "sidelog", message, hint=hint)


def _close_output(code: int, state: Context) -> int:
    """Write what is still buffered; afterwards the interpreter's own flush at exit has nothing to complain about."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or EXIT_PIPE
    except OSError as error:
        code = code or _failed(_unexpected(error, state), state)
    except ValueError:  # closed already
        return code
    else:
        return code
    _discard(sys.stdout)
    return code or EXIT_FAILED


def _close_errors() -> None:
    """The same for stderr. What cannot be said there, on a full disk for instance, changes no exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    except ValueError:  # closed already
        return


def _discard(stream: TextIO) -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), stream.fileno())
