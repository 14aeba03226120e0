"""`sidelog query --bundle FILE.html GROUP|TRACE`: one file about an error group or a trace."""

from __future__ import annotations

import os
import shlex
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from agent.cli.common import Context, print_errors, safe_text
from agent.core.errors import EXIT_DONE, EXIT_FAILED, SidelogError, UsageError
from agent.core.groups import GroupFilter
from agent.core.times import parse_time
from agent.core.values import whole_number
from agent.query import open_engine
from agent.query.language import parse_terms
from agent.query.terms import Term

if TYPE_CHECKING:
    from pathlib import Path

    from agent.query.engine import Engine
    from agent.views.bundle import Bundle

_MEANT = frozenset({"terms", "bundle", "since", "until", "hot", "archives"})  # what goes together with --bundle


def write_bundle(context: Context, options: dict[str, Any]) -> int:
    """Make the file that the options of `query` ask for.

    Raises:
        UsageError: SL518, other options have no meaning here; SL542, the terms name no one group or trace.
        SidelogError: SL542, there is no such group or trace, or the file cannot be written.
    """
    from agent.cli.bundle_page import page
    from agent.views.bundle import redacted

    running = click.get_current_context()
    for option in running.command.params:
        name = str(option.name)
        if name in options.keys() - _MEANT and running.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError.of("SL518.bundle", max(option.opts, key=len))
    kind, value = _subject(options["terms"])
    now = time.time_ns()
    since, until = (None if options[name] is None else parse_time(options[name], now) for name in ("since", "until"))
    config = context.config()
    stored, archived = options["hot"] or not options["archives"], options["archives"] or not options["hot"]
    path, directory = config.store.path, config.archive_directory
    fleet = context.fleet(config)
    with closing(open_engine(path, directory, stored=stored, archived=archived, fleet=fleet)) as engine:
        found = _found(engine, kind, value, (since, until), now)
        if found is None:
            raise SidelogError.of("SL542", value)
        command = shlex.join(["sidelog", "query", *options["terms"]])
        _write(options["bundle"], page(redacted(found, config), command, now))
        print_errors(errors := engine.errors)
    click.echo(f"written {safe_text(str(options['bundle']))}", err=True)
    return EXIT_FAILED if errors else EXIT_DONE


def _subject(terms: tuple[str, ...]) -> tuple[str, str]:
    """`group`, `trace_id` or neither of them, with the value that is asked for."""
    parts = parse_terms(terms).terms
    term = parts[0] if len(parts) == 1 else None
    if isinstance(term, Term) and not term.negated:
        if term.field is None:
            return "", term.value
        if term.field in ("group", "trace_id") and term.is_equality:
            return term.field, term.value
    raise UsageError.of("SL542.terms", " ".join(terms))


def _found(engine: Engine, kind: str, value: str, span: tuple[int | None, int | None], now: int) -> Bundle | None:
    """A number is that of a group where there is such a group; ids of traces may be numbers, too."""
    from agent.views.bundle import group_bundle, trace_bundle

    number = whole_number(value)
    if kind != "trace_id" and number is not None and engine.groups(GroupFilter(group=number), now, trends=False):
        return group_bundle(engine, number, now)
    return None if kind == "group" else trace_bundle(engine, value, *span)


def _write(path: Path, data: bytes) -> None:
    """Make a new file, readable by its owner alone.

    Raises:
        SidelogError: SL542, it is there already, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SidelogError.of("SL542.exists", path) from None
    except (OSError, ValueError) as error:
        raise SidelogError.of("SL542.write", path, why=error) from None
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(data)
    except OSError as error:  # a full disk: half a file says less than none
        with suppress(OSError):
            path.unlink()
        raise SidelogError.of("SL542.write", path, why=error) from None
