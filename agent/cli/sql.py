"""`sidelog sql`: one read-only SQL statement on the store."""

from __future__ import annotations

import csv
import io
import sqlite3
import sys
from typing import Any

import click
import orjson

from agent.cli.common import Command, Context, safe_text, with_context
from agent.core.errors import EXIT_DONE
from agent.core.text import escape_json
from agent.query.sqlite.guard import GuardedStatement
from agent.store.reader import reading_error

_ROWS = 1_000  # read, aligned and written at a time
_WIDEST_COLUMN = 80  # a wider cell pushes the rest of its line; it is not cut

Rows = list[tuple[Any, ...]]


@click.command(cls=Command)
@click.argument("statement")
@click.option("--json", "form", flag_value="json", help="Print one JSON array of objects.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV with a header.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="Stop the statement after so long (default 30).",
)
@with_context
def command(context: Context, *, statement: str, form: str | None, timeout_s: float) -> int:
    """Run one read-only SQL STATEMENT on the store; the view `logs` has the events."""
    connection, config = context.open_store()
    try:
        guarded = GuardedStatement(connection, statement, timeout_s)
        names = guarded.start()
        {"json": _print_json, "csv": _print_csv, None: _print_table}[form](guarded, names)
    except sqlite3.Error as error:
        raise reading_error(error, config.store.path) from None
    return EXIT_DONE


def _write(text: str | bytes) -> None:
    sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace"))


def _print_json(guarded: GuardedStatement, names: list[str]) -> None:
    between = b"[\n"
    while rows := guarded.rows(_ROWS):
        for row in rows:
            data = orjson.dumps(dict(zip(names, row, strict=True)), default=_text)
            _write(between + (escape_json(data.decode()).encode() if sys.stdout.isatty() else data))
            between = b",\n"
    _write(b"[]\n" if between == b"[\n" else b"\n]\n")


def _print_csv(guarded: GuardedStatement, names: list[str]) -> None:
    rows: Rows = [tuple(names)]
    while rows:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([[_text(cell, "") for cell in row] for row in rows])
        text = buffer.getvalue()
        _write(safe_text(text, "\n\t") if sys.stdout.isatty() else text)
        rows = guarded.rows(_ROWS)


def _print_table(guarded: GuardedStatement, names: list[str]) -> None:
    """Columns as wide as the first rows need; numbers to the right; nothing in a cell can drive the terminal."""
    widths = [len(safe_text(name)) for name in names]
    first = True
    while (rows := guarded.rows(_ROWS)) or first:
        cells = [[safe_text(_text(cell)) for cell in row] for row in rows]
        if first:
            for line in cells:
                widths = [max(width, min(_WIDEST_COLUMN, len(cell))) for width, cell in zip(widths, line, strict=True)]
            if names:
                _write(_line([safe_text(name) for name in names], widths, (False,) * len(names)))
                _write(_line(["-" * width for width in widths], widths, (False,) * len(names)))
        for row, line in zip(rows, cells, strict=True):
            _write(_line(line, widths, tuple(isinstance(cell, int | float) for cell in row)))
        first = False
        if not rows:
            break


def _line(cells: list[str], widths: list[int], right: tuple[bool, ...]) -> str:
    padded = [
        cell.rjust(width) if is_number else cell.ljust(width)
        for cell, width, is_number in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip() + "\n"


def _text(value: Any, null: str = "NULL") -> str:
    """A cell as text: bytes as SQL's hexadecimal literal."""
    if value is None:
        return null
    return f"x'{value.hex()}'" if isinstance(value, bytes) else str(value)
