"""`sidelog parse`: how lines would be read, to try a format or a pattern, or to find one for an unknown log."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from agent.cli.common import (
    PATH,
    Command,
    Context,
    echo_json,
    json_option,
    safe_text,
    terminal_columns,
    use_color,
    with_context,
)
from agent.core.errors import EXIT_DONE, EXIT_INTERRUPTED, SidelogError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.parse.settings import ParseSettings
    from agent.views.parsing import LogReading
    from agent.views.proposals import Proposal

_CHUNK_BYTES = 1 << 17
_WIDTH = 160  # of what is piped
_SHOWN = 5
_MOST_REASONS = 8
_GAPS = {"over_long": "longer than `max_line`", "hole": "NUL bytes, which hold no line"}
_NO_TEXT = ("NUL bytes", "invalid UTF-8")  # how the reasons begin of lines that are no text

EPILOG = "Groups of a pattern: timestamp severity message logger trace_id span_id service; any other is an attribute."


@click.command(cls=Command, epilog=EPILOG)
@click.argument("file", required=False, type=PATH, metavar="FILE|-")
@click.option("--format", "form", metavar="NAME", help="A format (default auto), or a named pattern.")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="REGEX", help="A pattern with named groups; several: in order."
)
@click.option("--source", metavar="NAME", help="As the configuration says of this source.")
@click.option("--list", "listing", is_flag=True, help="The named patterns.")
@click.option(
    "-n", "--lines", "shown", type=click.IntRange(0, 1000), default=_SHOWN, help="Lines to picture (default 5)."
)
@click.option("-o", "--output", type=click.Choice(("json",)), help="Print the events, as `query -o json` does.")
@json_option()
@with_context
def command(context: Context, file: Path | None, as_json: bool, **options: Any) -> int:
    """Show how lines would be read: what was found where, and in how many."""
    if options["listing"]:
        return _list(as_json)
    form, patterns, source, output = (options[name] for name in ("form", "patterns", "source", "output"))
    if file is None and sys.stdin.isatty():
        raise UsageError.of("SL561.file", "sidelog parse")
    if sum((form is not None, bool(patterns), source is not None)) > 1:
        raise UsageError.of("SL561.together", "sidelog parse")
    if output and as_json:
        raise UsageError.of("SL561.output", "-o")
    settings, resource = _settings(context, form, patterns, source)
    from agent.views.parsing import LogReader

    name = "-" if file is None else str(file)
    path = name if name == "-" else os.path.abspath(name)  # noqa: PTH100 - a link keeps its name
    with _opened(name) as (content, modified):
        reader = LogReader(settings, source or "parse", path, resource, modified)
        if output:
            return _print_events(reader, content)
        code = EXIT_DONE
        try:
            reader.survey(content, options["shown"])
        except KeyboardInterrupt:  # what was read until then is shown
            code = EXIT_INTERRUPTED
    reading = reader.reading
    from agent.views.proposals import proposals_for

    proposed = proposals_for(reading, settings)
    if as_json:
        echo_json({**reading.document(), "proposals": [one._asdict() for one in proposed]})
        return code
    color = use_color()
    width = terminal_columns() or _WIDTH
    for line in (*_pictures(reading, width, color), *_summary(reading), *_advice(reading, settings, proposed, name)):
        click.echo(line, color=color)
    return code


def _list(as_json: bool) -> int:
    from agent.core.named_patterns import NAMED

    if as_json:
        echo_json(
            [
                {"name": name, "about": one.about, "pattern": one.text, "sample": one.sample}
                for name, one in NAMED.items()
            ]
        )
        return EXIT_DONE
    width = max(map(len, NAMED))
    for name, one in NAMED.items():
        click.echo(f"{name:{width}}  {one.about}\n{'':{width}}  {one.sample}")
    return EXIT_DONE


def _settings(
    context: Context, form: str | None, patterns: tuple[str, ...], source: str | None
) -> tuple[ParseSettings, dict[str, Any]]:
    """How to read, and the resource of the events."""
    import msgspec

    from agent.config.schema import REGISTERED, SourceConfig
    from agent.core.named_patterns import NAMED
    from agent.core.stored import resource_json
    from agent.parse.patterns import PATTERN
    from agent.parse.settings import PLAIN, ParseSettings

    if source is not None:
        chosen = _source(context, source)
        return ParseSettings.from_source(chosen), msgspec.json.decode(resource_json(chosen.labels))
    resource = msgspec.json.decode(resource_json({}))
    plain = ParseSettings.from_source(SourceConfig(name="parse", include=[]))
    if patterns:
        _check_patterns(patterns)
        return msgspec.structs.replace(plain, format=PATTERN, patterns=patterns), resource
    if form in NAMED:
        return msgspec.structs.replace(plain, format=PATTERN, patterns=(NAMED[form].text,)), resource
    if form is not None and form not in REGISTERED:
        from agent.config.convert import close_to

        near = close_to(form, (*REGISTERED, *NAMED))
        raise UsageError.of("SL561.format", form, value=safe_text(form), near=near, formats=", ".join(REGISTERED))
    return msgspec.structs.replace(plain, format=form or PLAIN.format), resource


def _source(context: Context, name: str) -> Any:
    sources = context.config().sources
    found = next((one for one in sources if one.name == name), None)
    if found is None:
        from agent.config.convert import close_to

        names = [one.name for one in sources]
        known = ", ".join(names) or "none"
        raise UsageError.of("SL561.source", name, value=safe_text(name), near=close_to(name, names), known=known)
    return found


def _check_patterns(patterns: tuple[str, ...]) -> None:
    from agent.core.line_patterns import problem_with

    for number, text in enumerate(patterns, 1):
        problem = problem_with(text)
        if problem is not None:
            place = "--pattern" if len(patterns) == 1 else f"--pattern {number}"
            raise UsageError.of(problem.key, place, **problem.facts)


# ---------------------------------------------------------------- what was read, for people


def _pictures(reading: LogReading, width: int, color: bool) -> Iterator[str]:
    from agent.views.picture import LEGEND

    for title, pictures in (("", reading.pictures), ("Not read:", reading.unread)):
        if pictures and title:
            yield title
        for one in pictures:
            yield from one.drawn(width, color=color)
        if pictures:
            yield ""
    if reading.pictures:
        yield f"{LEGEND}\n"


def _summary(reading: LogReading) -> Iterator[str]:
    formats = [f"{name} {_percent(count, reading.formats.total())}" for name, count in reading.formats.most_common()]
    from agent.views import short_iso

    yield f"format     {', '.join(formats) or 'none: there is no event'}"
    if reading.fields:
        yield f"fields     {', '.join(f'{role} at {safe_text(path)}' for role, path in reading.fields.items())}"
    yield f"lines      {reading.lines}"
    yield f"events     {reading.events}"
    time = ""
    if reading.first is not None and reading.last is not None:
        time = f"  {short_iso(reading.first)} to {short_iso(reading.last)}"
    yield f"instant    {_share(reading, reading.with_instant)}{time}"
    levels = "  ".join(f"{name} {count}" for name, count in reading.levels.items())
    yield f"severity   {_share(reading, reading.with_severity)}  {levels}".rstrip()
    yield f"message    {_share(reading, reading.with_message)}"
    for reason, count in reading.reasons.most_common(_MOST_REASONS):
        yield f"not read   {_share(reading, count)}  {safe_text(reason)}"
    for reason, count in reading.gaps.items():
        yield f"gaps       {count}  {_GAPS.get(reason, reason)}"


def _share(reading: LogReading, count: int) -> str:
    return f"{_percent(count, reading.events):>7}  {count}"


def _percent(count: int, of: int) -> str:
    """Never rounded up to all of them, nor down to none."""
    tenths = count * 1000 // of if of else 0
    return f"{max(tenths, 1 if count else 0) / 10:.1f} %"


def _advice(reading: LogReading, settings: ParseSettings, proposed: Sequence[Proposal], name: str) -> Iterator[str]:
    """What to do next."""
    if not reading.events:
        return
    if not proposed:
        from agent.views.proposals import needs_pattern

        if settings.format == "auto" and reading.with_instant == reading.events:
            yield "\nNothing needs to be configured: `format: auto` reads it."
        elif sum(count for why, count in reading.reasons.items() if why.startswith(_NO_TEXT)) > reading.events / 2:
            yield "\nMost of this is no text in UTF-8. Of UTF-16, as some programs of Windows write it, try:"
            yield f"  iconv -f UTF-16 -t UTF-8 {shlex.quote(name)} | sidelog parse -"
        elif not settings.patterns and needs_pattern(reading):
            yield "\nThese lines have too little in common for a proposal. Begin with one part that you know:"
            yield f"  sidelog parse --pattern '^(?P<timestamp>\\S+ \\S+) (?P<message>.*)$' {shlex.quote(name)}"
            yield "docs/patterns.md says what groups there are, and what else a pattern can do."
        return
    yield "\nA pattern made of these lines; rename its groups, then try it:"
    words = [f"--pattern {shlex.quote(one.text)}" for one in proposed if one.name is None]
    if settings.patterns:
        yield "(for those that no pattern fits, behind the ones that you have)"
    if len(words) == len(proposed):
        yield f"  sidelog parse {' '.join(words)} {shlex.quote(name)}"
    elif len(proposed) == 1:
        yield f"  sidelog parse --format {proposed[0].name} {shlex.quote(name)}"
    yield "In the configuration:"
    yield "  sources:"
    yield f"    - name: {re.sub(r'[^A-Za-z0-9]+', '-', Path(name).stem).strip('-')[:64] or 'app'}"
    yield f"      include: [{_quoted(os.path.abspath(name) if name != '-' else '/var/log/app.log')}]"  # noqa: PTH100
    yield "      format:"
    for one in proposed:
        entry = f"include: {one.name}" if one.name is not None else f"pattern: {_quoted(one.text)}"
        yield f"        - {entry}  # {one.lines} of {one.of} lines"
    yield "docs/patterns.md says what groups there are, and what else a pattern can do."


def _quoted(text: str) -> str:
    """In single quotes, as YAML reads it."""
    return "'" + safe_text(text).replace("'", "''") + "'"


# ---------------------------------------------------------------- the log


@contextmanager
def _opened(name: str) -> Iterator[tuple[Iterator[bytes], int]]:
    """The bytes of a log, decompressed, and when it was last written (Unix ns; 0 of a pipe); `-` is standard input.

    Raises:
        SidelogError: SL560, it cannot be read, or what is left of it cannot be decompressed.
    """
    if name == "-":
        yield _pieces(sys.stdin.buffer, name), _modified(sys.stdin.buffer)
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - what fails inside of the block is no fault of this file
    except OSError as error:
        raise SidelogError.of("SL560", name, why=error) from None
    with file:
        yield _pieces(file, name), _modified(file)


def _modified(file: Any) -> int:
    found = os.fstat(file.fileno())
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) else 0


def _pieces(file: Any, name: str) -> Iterator[bytes]:
    from agent.core.decompress import DamagedError, compression, pieces

    try:
        kind = compression(file.peek(8)[:8])
        if kind is not None:
            yield from pieces(_seekable(file) if kind == "zstd" else file, kind)
            return
        while piece := file.read1(_CHUNK_BYTES):
            yield piece
    except DamagedError as error:
        raise SidelogError.of("SL560.damaged", name, why=str(error)) from None
    except OSError as error:
        raise SidelogError.of("SL560", name, why=error) from None


def _seekable(file: BinaryIO) -> BinaryIO:
    """The same content where one may skip about, as in a pipe one may not."""
    if file.seekable():
        return file
    from tempfile import TemporaryFile

    copy: Any = TemporaryFile()  # noqa: SIM115 - closed when nobody has it any more
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy  # type: ignore[no-any-return]


def _print_events(reader: Any, content: Iterator[bytes]) -> int:
    from agent.query.render import Output

    Output(form="json", terminal=sys.stdout.isatty()).write(
        sys.stdout.buffer, map(reader.stored, reader.events(content))
    )
    return EXIT_DONE
