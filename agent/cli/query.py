"""`sidelog query`: search the events of the store, count them, or follow what is stored."""

from __future__ import annotations

import sys
import time
from contextlib import closing, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from agent.cli.common import (
    PATH,
    Command,
    Context,
    engine_option,
    print_errors,
    print_warnings,
    safe_text,
    terminal_columns,
    use_color,
    utc_option,
    with_context,
    zone,
)
from agent.core.errors import EXIT_DONE, EXIT_FAILED, SidelogError, UsageError
from agent.core.stored import StoredEvent
from agent.core.text import counted
from agent.core.times import parse_length, parse_time
from agent.core.values import whole_number
from agent.query import open_engine
from agent.query.language import Grouping, Query, Selection, all_equal, parse_terms, severity_query
from agent.query.predicate import compile_pattern, grep_pattern
from agent.query.render import FORMS, Output
from agent.query.syntax import QueryError, read_names
from agent.query.terms import Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from agent.clickhouse.address import ClickHouseAddress
    from agent.config import Config
    from agent.query.aggregate import Bucket
    from agent.query.context import Surroundings
    from agent.query.cursor import CursorFile
    from agent.query.engine import Engine, Position
    from agent.query.measures import Measure

DEFAULT_LINES = 100
_LINES = click.IntRange(0, 1_000_000)  # around an event

EPILOG = """\b
A TERM is a word or "quoted phrase", FIELD=VALUE, !=, >, >=, <, <=, FIELD~REGEX, or !TERM. FIELD=A* is how a
value begins, FIELD=* any value. All TERMs must hold; FIELD=A FIELD=B means either, as does OR between them,
with parentheses around. FIELD is severity, logger, service, source, path, message, trace_id, span_id, group,
category, state, or a path into the line such as http.status, attributes.path or "Response Code"; over a
ClickHouse (--engine) agent, too.
"""


class Request(msgspec.Struct):
    """The command line, understood."""

    selection: Selection
    output: Output
    lines: int | None
    grouping: Grouping | None
    measures: Sequence[Measure]  # beside the counts of `grouping`
    around: Surroundings | None
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
        found = whole_number(value)
        if found is None:
            self.fail(f"{value!r} is no number of lines; give a number or `all`", param, ctx)
        return found


@click.command(cls=Command, epilog=EPILOG)
@click.argument("terms", nargs=-1, metavar="[TERM]...")
@click.option("-S", "--since", metavar="TIME", help="From this time on: 15m, '1h ago', today, 2026-11-22, @EPOCH.")
@click.option("-U", "--until", metavar="TIME", help="Before this time.")
@click.option("-p", "--severity", metavar="LEVEL", help="This level and above; warn..error for a range.")
@click.option("-s", "--source", "sources", multiple=True, metavar="NAME", help="Only this source (repeatable).")
@click.option("-g", "--grep", metavar="REGEX", help="Only messages that match; case counts if it has a capital.")
@click.option("-n", "--lines", type=LinesType(), metavar="N|all", help="The newest N events (default 100), or all.")
@click.option("-r", "--reverse", is_flag=True, help="Newest first.")
@click.option("-f", "--follow", is_flag=True, help="Go on with events as they are stored.")
@click.option("-A", "--after", "after", type=_LINES, metavar="N", help="And N lines of the same log after each event.")
@click.option("-B", "--before", "before", type=_LINES, metavar="N", help="And N lines of it before each event.")
@click.option("-C", "--context", "around", type=_LINES, metavar="N", help="Both.")
@click.option("-o", "--output", "form", type=click.Choice(FORMS), default="short", help="How to print (default short).")
@click.option("--fields", metavar="A,B", help="Print these fields only.")
@click.option("--count", "counting", is_flag=True, help="Print how many events match.")
@click.option("--by", metavar="FIELD,…", help="Count per value of these fields, largest first.")
@click.option("--every", metavar="DURATION", help="Count per time bucket, such as 1m.")
@click.option("--agg", metavar="F:FIELD,…", help="And sum, avg, min, max or p95 of fields: avg:size,p95:duration_ms.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only the N largest values of --by.")
@click.option("--hot", is_flag=True, help="Only the store.")
@click.option("--archives", is_flag=True, help="Only the archives.")
@click.option("--cursor-file", type=PATH, metavar="FILE", help="Go on after what the last such call printed.")
@click.option("--bundle", type=PATH, metavar="FILE", help="Write one HTML file about the group or trace that TERM is.")
@click.option("--csv-safe", is_flag=True, help="In csv, put ' before text that a spreadsheet would compute.")
@engine_option
@utc_option
@with_context
def command(context: Context, **options: Any) -> int:
    """Search the events: the newest that match all TERMs, oldest first."""
    if options["bundle"] is not None:
        from agent.cli.bundle import write_bundle

        return write_bundle(context, options)
    try:
        request = understand(options, time.time_ns())
    except QueryError as error:
        click.echo(safe_text(error.pointer(), "\n"), err=True)
        raise
    config = context.config()
    path, directory = config.store.path, config.archive_directory
    fleet = context.fleet(config)
    stored, archived = request.stored, request.archived
    if fleet is not None and context.verbosity >= 0:
        _tell_lag(config, fleet)
    with closing(open_engine(path, directory, stored=stored, archived=archived, twin=True, fleet=fleet)) as engine:
        return _answer(request, engine)


def _tell_lag(config: Config, fleet: ClickHouseAddress) -> None:
    """Say what of this machine's own events the answer cannot have yet."""
    from agent.views.fleet import not_forwarded

    for name, events in not_forwarded(config, fleet).items():
        click.echo(f"sidelog: {counted(events, 'event')} of this machine not forwarded to {name} yet", err=True)


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
    if options["counting"] or any(options[name] is not None for name in ("by", "every", "agg")):
        by = _names(options["by"], "--by")
        every = None if options["every"] is None else parse_length(options["every"], "SL518.every")
        grouping = Grouping(by, every, options["top"], is_local=zone() is None)
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
            terminal=(width := terminal_columns()) is not None,
            width=width or 0,
            zone=zone(),
            csv_safe=options["csv_safe"],
        ),
        lines=None if lines == "all" else lines,
        grouping=grouping,
        measures=_measures(options["agg"]),
        around=_around(options),
        newest_first=options["reverse"],
        follow=options["follow"],
        cursor=_cursor(options["cursor_file"]),
        stored=options["hot"] or not options["archives"],
        archived=options["archives"] or not options["hot"],
    )


def _names(text: str | None, option: str) -> tuple[str, ...]:
    if text is None:
        return ()
    names = read_names(text)
    if not all(names):
        raise UsageError.of("SL518.names", text, option=option)
    return names


def _measures(text: str | None) -> Sequence[Measure]:
    if text is None:
        return ()
    from agent.query.measures import read_measures

    return read_measures(text)


def _around(options: dict[str, Any]) -> Surroundings | None:
    both = options["around"] or 0
    before, after = (both if options[name] is None else options[name] for name in ("before", "after"))
    if not before and not after:
        return None
    from agent.query.context import Surroundings

    return Surroundings(before, after)


def _refuse_contradictions(options: dict[str, Any], grouping: Grouping | None) -> None:
    if any(options[name] for name in ("before", "after", "around")):
        for name in ("follow", "cursor_file", "reverse"):
            if options[name]:
                raise UsageError.of("SL518.context", f"--{name.replace('_', '-')}")
        if grouping is not None:
            raise UsageError.of("SL518.context", "counting")
    if options["top"] is not None and (grouping is None or not grouping.by):
        raise UsageError.of("SL518.top", options["top"])
    if grouping is not None:
        for name in ("follow", "cursor_file"):
            if options[name]:
                raise UsageError.of("SL518.counting", f"--{name.replace('_', '-')}")
    if options["reverse"] and (options["follow"] or options["cursor_file"]):
        raise UsageError.of("SL518.reverse", "-r")


def _cursor(path: Path | None) -> CursorFile | None:
    if path is None:
        return None
    from agent.query.cursor import CursorFile

    return CursorFile(path)


# ---------------------------------------------------------------- answering


def _answer(request: Request, engine: Engine) -> int:
    out = sys.stdout.buffer
    request.output.categories = engine.categories
    if request.grouping is not None:
        rows, without_number = _count(request, request.grouping, engine, out)
        found = any(row.count for row in rows)
        empty = [name for at, name in enumerate(request.grouping.by) if not any(row.values[at] for row in rows)]
        empty += without_number
    else:
        out.write(request.output.header())
        if request.cursor is not None and engine.can_follow:
            found, position = _print_from_cursor(request, request.cursor, engine, out)
        else:
            position = engine.position()
            events = engine.events(request.selection, request.lines, newest_first=request.newest_first, upto=position)
            if request.around is not None:
                found = _write_stretches(out, events, request.around, engine, position, request.output)
            else:
                found = request.output.write(out, events)
        empty = [name for name in request.output.fields if name in request.output.missing]
    out.flush()
    print_errors(errors := engine.errors)
    if empty or not found:
        with suppress(SidelogError):  # the answer stands, whatever befalls the store now
            print_warnings(_reasons(request, engine, empty if found else None))
    if request.follow:
        _follow(request, engine, position, out)
    return EXIT_FAILED if errors else EXIT_DONE


def _count(
    request: Request, grouping: Grouping, engine: Engine, out: BinaryIO
) -> tuple[Sequence[Bucket], Sequence[str]]:
    """Print counts and aggregates; answers the rows, and the fields of which an aggregate found no number at all."""
    from agent.query.aggregate import buckets, render_buckets

    if not request.measures:
        rows = buckets(engine.counts(request.selection, grouping.counted), grouping)
        out.write(render_buckets(rows, grouping, request.output))
        return rows, []
    from agent.query.measures import measured, number_text

    found = measured(engine, request.selection, grouping, request.measures)
    columns = {
        measure.text: [None if (number := row.numbers[at]) is None else number_text(number) for row in found]
        for at, measure in enumerate(request.measures)
    }
    rows = [row.bucket for row in found]
    out.write(render_buckets(rows, grouping, request.output, columns))
    return rows, [one.field for one in request.measures if not any(columns[one.text])]


def _write_stretches(  # noqa: PLR0917 - what the lines around need
    out: BinaryIO,
    matches: Iterable[StoredEvent],
    around: Surroundings,
    engine: Engine,
    position: Position,
    output: Output,
) -> bool:
    """Print events with the lines around them, and tell whether there were any. For people `--` stands between two
    stretches, as grep has it; for machines each event is one as any other.
    """
    from agent.query.context import in_context

    found = False
    for stretch in in_context(engine, matches, around, position):
        if found and output.form in ("short", "verbose", "logfmt", "raw"):
            out.write(b"--\n")
        found = output.write(out, stretch) or found
    return found


def _reasons(request: Request, engine: Engine, empty: Sequence[str] | None) -> Iterable[SidelogError]:
    """Why nothing was found (None), or nothing in some fields."""
    from agent.query.reasons import reasons, unknown_fields, without_numbers

    if empty is not None:
        measured = [measure.field for measure in request.measures if measure.field in empty]
        return chain(unknown_fields(engine, Query(), empty), without_numbers(engine, measured))
    nothing_new = request.cursor is not None and not request.selection.query.terms  # as it should be, mostly
    return [] if nothing_new or request.lines == 0 else reasons(engine, request.selection)


def _print_from_cursor(request: Request, cursor: CursorFile, engine: Engine, out: BinaryIO) -> tuple[bool, Position]:
    """Print what is stored after the cursor, `request.lines` at the most, and move it there. Whether there was any such
    event, and the cursor's new position.
    """
    position, store_id = cursor.read()
    if store_id not in (None, engine.store_id):
        click.echo(
            "sidelog: the cursor is of another store, which this one has replaced; beginning with its oldest event",
            err=True,
        )
        position = 0
    elif isinstance(now := engine.position(), int) and isinstance(position, int) and position > now:
        click.echo("sidelog: the store is newer than the cursor; beginning with its oldest event", err=True)
        position = 0

    def events() -> Iterator[StoredEvent]:
        nonlocal position
        left = request.lines
        if left == 0:
            return
        for item in engine.follow(request.selection, position, wait=False):
            if not isinstance(item, StoredEvent):
                position = item
                return
            yield item
            position = engine.passed(position, item)
            if left is not None and (left := left - 1) == 0:
                return  # there may be more

    found = request.output.write(out, events())
    cursor.write(position, engine.store_id)
    return found, position


def _follow(request: Request, engine: Engine, position: Position, out: BinaryIO) -> None:
    render = request.output.renderer()
    try:
        for item in engine.follow(request.selection, position):
            if isinstance(item, StoredEvent):
                out.write(render(item))
                continue
            out.flush()
            if request.cursor is not None:
                request.cursor.write(item, engine.store_id)
    except KeyboardInterrupt:
        out.flush()  # the usual way to end it
