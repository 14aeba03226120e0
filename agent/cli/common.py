"""What all commands share: their common options, output for machines and for terminals, errors in one form.

Nothing heavy is imported before it is needed: a command pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from datetime import UTC
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

import click

from agent.core.text import escape

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from datetime import tzinfo
    from types import TracebackType

    from agent.clickhouse.address import ClickHouseAddress
    from agent.config import Config
    from agent.core.errors import SidelogError

Function = TypeVar("Function", bound="Callable[..., Any]")

COLORS = ("auto", "always", "never")
PATH = click.Path(path_type=Path, readable=False)  # who opens it has better words than click, and another exit code
_LINE_SEPARATORS = "\u2028\u2029"  # no terminal takes them for line ends
_NOTE_CHARS = 40  # beside the bar; of a longer one, such as a path, the end
_BAR_COLUMNS = 30
_REDRAW_S = 0.1
_COLUMNS = 80  # of a terminal that does not say
_ERASE = "\x1b[K"  # what stands behind the cursor on its line: ECMA-48, EL


class Context:
    """What the options that every command takes have said, before or after the command's name; and what follows."""

    def __init__(self, color: str = "auto") -> None:
        self.config_path: Path | None = None
        self.store: Path | None = None
        self.overrides: tuple[str, ...] = ()
        self.verbosity = 0  # -1 with `-q`, 1 with `-v`, 2 with `-vv`
        self.color = color
        self.utc = False
        self.engine: str | None = None  # of `engine_option`
        self._told = False  # of variables that are ignored

    def use_color(self, stream: IO[Any]) -> bool:
        """Whether to colour what goes to a stream: `--color`, else NO_COLOR (https://no-color.org), else a terminal."""
        if self.color != "auto":
            return self.color == "always"
        return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()

    def find_config(self) -> Path | None:
        """The configuration file that applies (see `agent.config.find_file`), or None."""
        from agent.config.loader import find_file

        return find_file(self.config_path)

    def config(self) -> Config:
        """The configuration that applies; without any file the defaults with the default store.

        Raises:
            ConfigError: it is wrong (exit code 78).
        """
        self._tell_slips()
        return self.config_of(self.find_config())()

    def config_of(self, file: Path | None) -> Callable[[], Config]:
        """What reads this file as the configuration that applies."""
        from agent.config.loader import load

        return functools.partial(load, file, store=self.store, overrides=self.overrides)

    def _tell_slips(self) -> None:
        """Name variables that look like ours and are ignored, once."""
        if self._told or not any(name[:2].upper() == "SI" for name in os.environ):  # `misspelt` looks at no others
            return
        from agent.config.misspelt import misspelt

        self._told = True
        print_warnings(misspelt(os.environ))

    def fleet(self, config: Config) -> ClickHouseAddress | None:
        """The ClickHouse that is asked, by `--engine` or the configuration; None: the store.

        Raises:
            UsageError: SL657, there is no such engine.
        """
        from agent.query import fleet_of

        return fleet_of(config, self.engine, local=self.store is not None)

    def open_store(self) -> tuple[sqlite3.Connection, Config]:
        """The store of the configuration that applies, open for reading until the command ends, and that configuration.

        Raises:
            ConfigError: the configuration is wrong.
            StoreError: the store is missing, damaged or newer than the program; nothing is created.
        """
        from agent.store.reader import open_reader

        config = self.config()
        connection = open_reader(config.store.path)
        click.get_current_context().call_on_close(connection.close)
        return connection, config


def current() -> Context:
    """The context of the command that is running; defaults outside of one."""
    running = click.get_current_context(silent=True)
    return running.find_root().ensure_object(Context) if running else Context()


def use_color(stream: IO[Any] | None = None) -> bool:
    """Whether the running command should colour its output to a stream (default: standard output)."""
    return current().use_color(stream or sys.stdout)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Store what was given in the root's Context, so that an option may stand before or after the command."""
    if value in (None, 0, ()):
        return
    state = context.find_root().ensure_object(Context)
    if parameter.name == "verbose":
        state.verbosity += value
    elif parameter.name == "quiet":
        state.verbosity -= value
    elif parameter.name == "overrides":
        state.overrides += value
    else:
        setattr(state, str(parameter.name), value)
    if parameter.name == "color":
        context.color = context.find_root().color = {"always": True, "never": False}.get(value)


def _option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    return click.option(*names, expose_value=False, callback=_remember, **settings)


OUTPUT_OPTIONS = (
    _option("--color", type=click.Choice(COLORS), help="Colour the output (default: on a terminal)."),
    _option("-v", "--verbose", count=True, help="Say more; twice: everything."),
    _option("-q", "--quiet", count=True, help="Say only what failed."),
)
CONFIG_OPTIONS = (
    _option("-c", "--config", "config_path", type=PATH, metavar="FILE", help="Configuration to use."),
    _option("--store", type=PATH, metavar="FILE", help="Store to use, instead of the configuration's."),
    _option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as store.path=FILE."),
)


class Command(click.Command):
    """A command whose help ends with its examples, in one form everywhere, and that names what a slip was to be."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the nearest option where there is none of a name."""
        given = list(args)
        if not ctx.resilient_parsing and any(word and not word[0].isascii() for word in given):
            from agent.cli.slips import typeset_option

            if slip := typeset_option(ctx, given):
                raise slip
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from agent.cli.slips import no_such_option

            raise no_such_option(error, ctx, given) from None
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # so that the hint names the command
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What more there is to say, then the examples."""
        from agent.cli.examples import examples_of

        super().format_epilog(ctx, formatter)
        examples = examples_of(ctx.command_path.partition(" ")[2])
        if not examples:
            return
        width = max(len(example.line) for example in examples)
        with formatter.section("Examples"):
            for line, about in examples:
                formatter.write(f"{'':{formatter.current_indent}}{line:{width}}  # {about}\n")


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name when there is no such command."""
        name = str(args[0])
        if not name.startswith("-") and name not in self.list_commands(ctx) and not ctx.resilient_parsing:
            from agent.cli.slips import near_command

            above = ctx.command_path.partition(" ")[2]
            ctx.fail(f"there is no command '{f'{above} {name}'.strip()}'{near_command(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def output_options(function: Function) -> Function:
    """Add `--color`, `-v` and `-q` to a command that needs no configuration."""
    for option in reversed(OUTPUT_OPTIONS):
        function = option(function)
    return function


def with_context(function: Function) -> Function:
    """Add the options of every command; the function gets a `Context` before its own arguments."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        return function(current(), *args, **kwargs)

    wrapped: Any = output_options(command)
    for option in reversed(CONFIG_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


# For commands that show times.
utc_option = _option("--utc", is_flag=True, help="Show times in UTC instead of local time.")
# For commands that ask for events.
engine_option = _option("--engine", metavar="NAME|URL", help="Ask a ClickHouse: a target's name, or its address.")


def json_option(text: str = "One JSON document.") -> Callable[[Function], Function]:
    """Add `--json`; the function gets `as_json`. A group's counts for its commands: `alerts --json history`."""
    return click.option("--json", "as_json", is_flag=True, flag_value=True, default=_given_to_group, help=text)


def _given_to_group() -> bool:
    group = click.get_current_context().parent
    return group is not None and bool(group.params.get("as_json"))


# ---------------------------------------------------------------- output


def echo_json(document: Any) -> None:
    """Print one JSON document (an object or a list of rows) to standard output."""
    from agent.views import encode_document

    click.echo(encode_document(document))


def safe_text(text: str, keep: str = "") -> str:
    r"""A text that cannot drive a terminal: control and bidi characters become visible escapes (`\x1b`, `\u202e`).

    Args:
        text: anything, such as a message out of a log.
        keep: control characters that may stay, such as "\n\t" for a stack trace.
    """
    return escape(text, keep + _LINE_SEPARATORS)


def zone() -> tzinfo | None:
    """The zone of the times that the running command shows to people; None: local ones."""
    return UTC if current().utc else None


def shown_time(instant: int | str, digits: int = 0) -> str:
    """An instant for people, with so many digits of the second.

    Args:
        instant: Unix ns, or RFC 3339 as documents have it.
        digits: at most 9.
    """
    from agent.core.times import format_local, parse_time

    return format_local(parse_time(instant, 0) if isinstance(instant, str) else instant, digits, zone())


def print_error(error: SidelogError, state: Context | None = None) -> None:
    """Print an error to stderr: `sidelog: error[SL101]: sentence`, and its hint; of several findings each."""
    state = state or current()
    for one in getattr(error, "findings", (error,)):
        _print_labelled("error", "red", one, state)


def _print_labelled(label: str, color: str, error: SidelogError, state: Context) -> None:
    painted = paint(f"{label}[{error.code}]", color, enabled=state.use_color(sys.stderr))
    sys.stderr.write(f"sidelog: {painted}: {safe_text(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"  hint: {safe_text(error.hint)}\n")


def print_errors(errors: Iterable[SidelogError]) -> None:
    """Name what could not be read; the rest was printed."""
    for error in errors:
        print_error(error)


def print_warnings(errors: Iterable[SidelogError]) -> None:
    """Say what keeps a command from doing more, as `print_error` does; with `-q` it is neither said nor looked for."""
    state = current()
    if state.verbosity >= 0:
        for error in errors:
            _print_labelled("warning", "yellow", error, state)


def terminal_columns(stream: IO[Any] | None = None) -> int | None:
    """How wide the terminal is, or `COLUMNS` says, that a stream goes to; None where that is none: nothing is cut.

    Args:
        stream: default: standard output.
    """
    stream = stream or sys.stdout
    if not stream.isatty():
        return None
    if (said := os.environ.get("COLUMNS", "")).isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def paint(text: str, color: str, *, enabled: bool, bold: bool = False) -> str:
    """The text in a colour of click's names, where colour is enabled."""
    return click.style(text, fg=color, bold=bold or None) if enabled else text


# ---------------------------------------------------------------- progress


class Bar:
    """One line on a terminal's stderr, shown from the first step on, gone at the end of the block.

    Args:
        what: a word for what is being done.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = self._next = 0.0
        self.is_shown = sys.stderr.isatty() and current().verbosity >= 0

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        return self

    def step(self, done: float, total: float, note: str = "") -> None:
        """Draw that `done` of `total` units are done; ten times a second at the most."""
        now = time.monotonic()
        if not self.is_shown or now < self._next:
            return
        self._next = now + _REDRAW_S
        share = min(done / total, 1.0) if total > 0 else 0.0
        left = (now - self._start) * (1 - share) / share if share else None
        filled = int(share * _BAR_COLUMNS)
        parts = [
            f"{self._what} [{'#' * filled}{' ' * (_BAR_COLUMNS - filled)}] {share:4.0%}",
            "" if left is None else f"{int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02}",
        ]
        said = " ".join(filter(None, parts))
        width = terminal_columns(sys.stderr) or _COLUMNS
        room = min(_NOTE_CHARS, width - len(said) - 2)  # a path's end tells more than its beginning
        end = safe_text(note)[-room:] if room > 0 else ""
        self._write(f"\r{f'{said} {end}'.rstrip()[: width - 1]}{_ERASE}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone is no reason to stop the work
            sys.stderr.write(text)
            sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._next:
            self._write(f"\r{_ERASE}")


def user_name() -> str:
    """Who runs this, for what is kept of changes."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        return "unknown"
