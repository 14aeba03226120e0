"""`sidelog query`: search the events of the store, count them, or follow what is stored."""

from __future__ import annotations

import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from agent.cli.common import config_options, has_archives, open_store, print_errors, safe_text, use_color
from agent.core.errors import EXIT_DONE, EXIT_FAILED, UsageError
from agent.core.times import parse_duration, parse_time
from agent.query.language import Grouping, Query, QueryError, all_equal, parse_terms, severity_query
from agent.query.predicate import compile_pattern, grep_pattern
from agent.query.render import FORMS, Output
from agent.query.selection import Selection
from agent.query.sqlite.plan import newest_id
from agent.query.sqlite.scan import Scan
from agent.query.terms import Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from agent.core.errors import SidelogError
    from agent.query.cursor import CursorFile
    from agent.query.events import StoredEvent
    from agent.query.sqlite.follow import Follower

DEFAULT_LINES = 100
_WRITE_BYTES = 65_536  # output is collected to this before it is written

EPILOG = """\b
A TERM is a word or "quoted phrase", FIELD=VALUE, !=, >, >=, <, <=, FIELD~REGEX, or !TERM. All must hold;
FIELD=A FIELD=B means either. FIELD is severity, logger, service, source, path, message, trace_id, span_id,
group, category, or a path into the line such as http.status.
\b
  sidelog query -p error -S 1h
  sidelog query timeout service=shop 'http.status>=500'
  sidelog query -f '!healthcheck'
  sidelog query -S today --by logger,severity --top 10
"""


class Request(msgspec.Struct):
    """The command line, understood."""

    selection: Selection
    output: Output
    lines: int | None
    grouping: Grouping | None
    newest_first: bool
    follow: bool
    cursor: CursorFile | None
    stored: bool  # false with --archives: nothing of the store
    archived: bool  # false with --hot: nothing of the archives


class LinesType(click.ParamType[Any]):
    """A number of lines, or `all` (None)."""

    name = "lines"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number as given to `-n`."""
        if value == "all" or isinstance(value, int):
            return value
        if not value.isascii() or not value.isdigit() or len(value) > 18:  # noqa: PLR2004 - what 64 bits hold
            self.fail(f"{value!r} is no number of lines; give a number or `all`", param, ctx)
        return int(value)


@click.command(epilog=EPILOG)
@click.argument("terms", nargs=-1, metavar="[TERM]...")
@click.option("-S", "--since", metavar="TIME", help="From this time on: 15m, '1h ago', today, 2026-11-22, @EPOCH.")
@click.option("-U", "--until", metavar="TIME", help="Before this time.")
@click.option("-p", "--severity", metavar="LEVEL", help="This level and above; warn..error for a range.")
@click.option("-s", "--source", "sources", multiple=True, metavar="NAME", help="Only this source (repeatable).")
@click.option("-g", "--grep", metavar="REGEX", help="Only messages that match; case counts if it has a capital.")
@click.option("-n", "--lines", type=LinesType(), metavar="N|all", help="The newest N events (default 100), or all.")
@click.option("-r", "--reverse", is_flag=True, help="Newest first.")
@click.option("-f", "--follow", is_flag=True, help="Go on with events as they are stored.")
@click.option("-o", "--output", "form", type=click.Choice(FORMS), default="short", help="How to print (default short).")
@click.option("--fields", metavar="A,B", help="Print these fields only.")
@click.option("--count", "counting", is_flag=True, help="Print how many events match.")
@click.option("--by", metavar="FIELD,…", help="Count per value of these fields, largest first.")
@click.option("--every", metavar="DURATION", help="Count per time bucket, such as 1m.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only the N largest values of --by.")
@click.option("--hot", is_flag=True, help="Only the store.")
@click.option("--archives", is_flag=True, help="Only the archives.")
@click.option("--cursor-file", type=click.Path(), metavar="FILE", help="Go on after what the last such call printed.")
@click.option("--csv-safe", is_flag=True, help="In csv, put ' before text that a spreadsheet would compute.")
@config_options
def command(config_path: Path | None, store: Path | None, overrides: tuple[str, ...], **options: Any) -> int:
    """Search the events: the newest that match all TERMs, oldest first."""
    try:
        request = understand(options, time.time_ns())
    except QueryError as error:
        click.echo(safe_text(error.pointer(), "\n"), err=True)
        raise
    connection, config = open_store(config_path, store, overrides)
    try:
        return _answer(request, connection, config.store.path)
    except sqlite3.Error as error:
        from agent.store.reader import reading_error

        raise reading_error(error, config.store.path) from None


def understand(options: dict[str, Any], now_ns: int) -> Request:
    """What the options ask for.

    Raises:
        UsageError: an option or a combination of them makes no sense.
    """
    query = parse_terms(options["terms"])
    if options["severity"] is not None:
        query = query & severity_query(options["severity"])
    query = query & all_equal("source", options["sources"])
    if options["grep"] is not None:
        compile_pattern(options["grep"])
        query = query & Query((Term("message", "~", grep_pattern(options["grep"])),))
    selection = Selection(
        query,
        None if options["since"] is None else parse_time(options["since"], now_ns),
        None if options["until"] is None else parse_time(options["until"], now_ns),
    )
    grouping = None
    if options["counting"] or options["by"] is not None or options["every"] is not None:
        grouping = Grouping(_names(options["by"], "--by"), _bucket(options["every"]), options["top"])
    _refuse_contradictions(options, grouping)
    lines = options["lines"]
    if lines is None:
        lines = "all" if options["cursor_file"] else DEFAULT_LINES
    return Request(
        selection=selection,
        output=Output(
            form=options["form"],
            fields=_names(options["fields"], "--fields"),
            color=use_color(),
            terminal=sys.stdout.isatty(),
            csv_safe=options["csv_safe"],
        ),
        lines=None if lines == "all" else lines,
        grouping=grouping,
        newest_first=options["reverse"],
        follow=options["follow"],
        cursor=_cursor(options["cursor_file"]),
        stored=options["hot"] or not options["archives"],
        archived=options["archives"] or not options["hot"],
    )


def _names(text: str | None, option: str) -> tuple[str, ...]:
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise _usage(option, text, f"a name in {option} {text!r} is empty", "write names with commas between: a,b")
    return names


def _bucket(text: str | None) -> int | None:
    if text is None:
        return None
    length = parse_duration(text)
    if length <= 0:
        raise _usage("--every", text, f"--every {text!r} is no length of time", "write for example --every 1m")
    return length


def _refuse_contradictions(options: dict[str, Any], grouping: Grouping | None) -> None:
    if options["top"] is not None and (grouping is None or not grouping.by):
        raise _usage("--top", str(options["top"]), "--top needs --by", "name the fields whose largest counts to show")
    if grouping is not None:
        for name in ("follow", "cursor_file"):
            if options[name]:
                option = f"--{name.replace('_', '-')}"
                raise _usage(
                    option, "", f"{option} cannot be used with counting", "leave out --count, --by and --every"
                )
    if options["reverse"] and (options["follow"] or options["cursor_file"]):
        raise _usage("-r", "", "-r cannot be used with --follow or --cursor-file", "these follow the order of storage")


def _usage(option: str, value: str, message: str, hint: str) -> UsageError:
    return UsageError("SL518", f"read {option}", value, message, hint=hint)


def _cursor(path: str | None) -> CursorFile | None:
    if path is None:
        return None
    from pathlib import Path

    from agent.query.cursor import CursorFile

    return CursorFile(Path(path))


# ---------------------------------------------------------------- answering


def _answer(request: Request, connection: sqlite3.Connection, store: Path) -> int:
    out = sys.stdout.buffer
    if request.grouping is not None:
        return _count(request, request.grouping, connection, out)
    out.write(request.output.header())
    errors: Sequence[SidelogError] = ()
    if request.cursor is not None and request.stored:
        _print_from_cursor(request, connection, store, out)
        return EXIT_DONE
    scan = Scan(connection, request.selection)
    request.output.use_categories(scan.categories)
    if request.archived and has_archives(connection):
        from agent.query.union import Merged

        merged = Merged(connection, request.selection, scan if request.stored else None)
        _write(out, merged.events(request.lines, newest_first=request.newest_first), request.output)
        errors = merged.errors
    elif request.stored:
        _write(out, scan.events(request.lines, newest_first=request.newest_first), request.output)
    out.flush()
    print_errors(errors)
    if request.follow and request.stored:
        _follow(request, _follower(request, connection, store, scan.last_id), out)
    return EXIT_FAILED if errors else EXIT_DONE


def _count(request: Request, grouping: Grouping, connection: sqlite3.Connection, out: BinaryIO) -> int:
    from agent.query.aggregate import buckets, count_events, nothing, render_buckets

    errors: Sequence[SidelogError] = ()
    if request.archived and has_archives(connection):
        from agent.query.union import Merged

        scan = Scan(connection, request.selection) if request.stored else None
        merged = Merged(connection, request.selection, scan)
        rows = buckets(merged.counts(grouping), grouping)
        errors = merged.errors
    elif request.stored:
        rows = count_events(connection, request.selection, grouping, time.time_ns())
    else:
        rows = nothing(grouping)
    out.write(render_buckets(rows, grouping, request.output))
    out.flush()
    print_errors(errors)
    return EXIT_FAILED if errors else EXIT_DONE


def _write(out: BinaryIO, events: Iterable[StoredEvent], output: Output) -> int | None:
    """Print events; the id of the last one, None where there was none."""
    render = output.renderer()
    last, parts, size = None, [], 0
    for event in events:
        part = render(event)
        parts.append(part)
        size += len(part)
        last = event.id
        if size >= _WRITE_BYTES:
            out.write(b"".join(parts))
            parts, size = [], 0
    out.write(b"".join(parts))
    out.flush()
    return last


def _print_from_cursor(request: Request, connection: sqlite3.Connection, store: Path, out: BinaryIO) -> None:
    from itertools import islice

    assert request.cursor is not None
    after_id = request.cursor.read()
    scan = Scan(connection, request.selection)
    request.output.use_categories(scan.categories)
    if after_id > _highest_id(connection):
        click.echo("sidelog: the store is newer than the cursor; beginning with its oldest event", err=True)
        after_id = 0
    printed = 0

    def counted() -> Iterable[StoredEvent]:
        nonlocal printed
        for event in islice(scan.by_storage(after_id), request.lines):
            printed += 1
            yield event

    last = _write(out, counted(), request.output)
    if printed == request.lines and last is not None:
        after_id = last  # there may be more; otherwise all that is stored has been looked at
    elif request.lines != 0:
        after_id = max(after_id, scan.last_id)
    request.cursor.write(after_id)
    if request.follow:
        _follow(request, _follower(request, connection, store, after_id), out)


def _highest_id(connection: sqlite3.Connection) -> int:
    """The highest id ever given, also when retention has deleted its event."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else newest_id(connection)


def _follower(request: Request, connection: sqlite3.Connection, store: Path, after_id: int) -> Follower:
    from agent.core.errors import StoreError
    from agent.query.sqlite.follow import Follower
    from agent.store.reader import open_reader

    def identity() -> tuple[int, int] | None:
        try:
            found = store.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def reopen() -> sqlite3.Connection | None:
        try:
            return open_reader(store)
        except StoreError:
            return None  # the new file is still being made

    return Follower(connection, request.selection, after_id, identity=identity, reopen=reopen)


def _follow(request: Request, follower: Follower, out: BinaryIO) -> None:
    render = request.output.renderer()
    try:
        for event in follower:
            if event is not None:
                out.write(render(event))
                continue
            out.flush()
            if request.cursor is not None:
                request.cursor.write(follower.after_id)
    except KeyboardInterrupt:
        out.flush()  # the usual way to end it
    finally:
        follower.close()
