"""What all commands share: their common options, output for machines and for terminals, errors in one form.

Nothing heavy is imported before it is needed: a command pays only for what it uses.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

import click

from agent.core.patterns import lazy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from agent.config import Config
    from agent.core.errors import SidelogError

Command = TypeVar("Command", bound="Callable[..., Any]")

COLORS = ("auto", "always", "never")
# C0, DEL, C1, and the marks that reorder text: what could drive a terminal or hide what a line says.
_UNSAFE = lazy("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SHORT_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Shell:
    """What the options that every command takes have said; before or after the command's name."""

    def __init__(self, color: str = "auto") -> None:
        self.config_path: Path | None = None
        self.store: Path | None = None
        self.overrides: tuple[str, ...] = ()
        self.verbosity = 0  # -q makes it smaller, each -v larger
        self.color = color

    def use_color(self, stream: IO[Any]) -> bool:
        """Whether to colour what goes to a stream: `--color`, else NO_COLOR (https://no-color.org), else a terminal."""
        if self.color != "auto":
            return self.color == "always"
        return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def shell() -> Shell:
    """The settings of the command that is running; defaults outside of one."""
    context = click.get_current_context(silent=True)
    return context.find_root().ensure_object(Shell) if context else Shell()


def use_color(stream: IO[Any] | None = None) -> bool:
    """Whether the running command should colour its output to a stream (default: standard output)."""
    return shell().use_color(stream or sys.stdout)


def verbosity() -> int:
    """-1 with `-q`, 0, 1 with `-v`, 2 with `-vv`."""
    return shell().verbosity


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Store what was given in the root's Shell, so that an option may stand before or after the command."""
    if value in (None, 0, ()):
        return
    state = context.find_root().ensure_object(Shell)
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


def _option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(*names, expose_value=False, callback=_remember, **settings)


_FILE = click.Path(path_type=Path)
OUTPUT_OPTIONS = (
    _option("--color", type=click.Choice(COLORS), help="Colour the output (default: on a terminal)."),
    _option("-v", "--verbose", count=True, help="Say more; twice: everything."),
    _option("-q", "--quiet", count=True, help="Say only what failed."),
)
CONFIG_OPTIONS = (
    _option("-c", "--config", "config_path", type=_FILE, metavar="FILE", help="Configuration to use."),
    _option("--store", type=_FILE, metavar="FILE", help="Store to use, instead of the configuration's."),
    _option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, such as store.path=FILE."),
)


def output_options(function: Command) -> Command:
    """Add `--color`, `-v` and `-q` to a command that needs no configuration."""
    for option in reversed(OUTPUT_OPTIONS):
        function = option(function)
    return function


def config_options(function: Command) -> Command:
    """Add the options of every command; the function gets `config_path`, `store` and `overrides` as keywords."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        state = shell()
        chosen = {"config_path": state.config_path, "store": state.store, "overrides": state.overrides}
        return function(*args, **chosen, **kwargs)

    wrapped: Any = output_options(command)
    for option in reversed(CONFIG_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def find_config(config_path: Path | None) -> Path | None:
    """The configuration file that applies (see `agent.config.find_file`), or None."""
    from agent.config.loader import find_file

    return find_file(config_path)


def load_config(config_path: Path | None, store: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """The configuration that applies; without any file the defaults with the default store.

    Raises:
        ConfigError: it is wrong (exit code 78).
    """
    from agent.config.loader import find_file, load

    return load(find_file(config_path), store=store, overrides=tuple(overrides))


def open_store(
    config_path: Path | None, store: Path | None = None, overrides: Iterable[str] = ()
) -> tuple[sqlite3.Connection, Config]:
    """The store of the configuration that applies, open for reading until the command ends, and that configuration.

    Raises:
        ConfigError: the configuration is wrong.
        StoreError: the store is missing, damaged or newer than the program; nothing is created.
    """
    from agent.store.reader import open_reader

    config = load_config(config_path, store, overrides)
    connection = open_reader(config.store.path)
    click.get_current_context().call_on_close(connection.close)
    return connection, config


def echo_json(document: Any) -> None:
    """Print one JSON document (an object or a list of rows) to standard output."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    try:
        data = orjson.dumps(document, option=options, default=str)
    except orjson.JSONEncodeError:  # a file name that is not UTF-8
        from agent.core.paths import to_text

        data = orjson.dumps(_with_texts(document, to_text), option=options, default=str)
    click.echo(data)


def _with_texts(document: Any, change: Callable[[str], str]) -> Any:
    """A document with all its texts changed."""
    if isinstance(document, dict):
        return {_with_texts(key, change): _with_texts(value, change) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_with_texts(value, change) for value in document]
    return change(document) if isinstance(document, str) else document


def safe_text(text: str, keep: str = "") -> str:
    r"""A text that cannot drive a terminal: control and bidi characters become visible escapes (`\x1b`, `\u202e`).

    Args:
        text: anything, such as a message out of a log.
        keep: control characters that may stay, such as "\n\t" for a stack trace.
    """
    if text.isprintable():  # a third of the regular expression's time, and true of nearly every message
        return text
    return _UNSAFE.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def _escaped(character: str) -> str:
    short = _SHORT_ESCAPES.get(character)
    code = ord(character)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def print_error(error: SidelogError, state: Shell | None = None) -> None:
    """Print an error to stderr: `sidelog: error[SL101]: sentence`, and its hint; of several findings each."""
    state = state or shell()
    for one in getattr(error, "findings", (error,)):
        label = paint(f"error[{one.code}]", "red", enabled=state.use_color(sys.stderr))
        sys.stderr.write(f"sidelog: {label}: {safe_text(one.message)}\n")
        if one.hint:
            sys.stderr.write(f"  hint: {safe_text(one.hint)}\n")


def print_errors(errors: Iterable[SidelogError]) -> None:
    """Name what could not be read; the rest was printed."""
    for error in errors:
        print_error(error)


def paint(text: str, color: str, *, enabled: bool, bold: bool = False) -> str:
    """The text in a colour of click's names, where colour is enabled."""
    return click.style(text, fg=color, bold=bold or None) if enabled else text


# ---------------------------------------------------------------- progress


class Bar:
    """Shown from the first step on, gone at the end of the block.

    Args:
        what: a word for what is being done.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._progress: Any = None
        self._task: Any = None
        self._shown = sys.stderr.isatty() and verbosity() >= 0

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task(self._what, total=None, note="")
            self._progress.start()
        return self

    def step(self, done: float, total: float, note: str = "") -> None:
        """Draw that `done` of `total` units are done."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
