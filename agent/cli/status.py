"""`sidelog status`: the health of the whole agent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.alert.rules import shown_key
from agent.cli.common import (
    Command,
    Context,
    echo_json,
    engine_option,
    json_option,
    paint,
    safe_text,
    shown_time,
    use_color,
    utc_option,
    with_context,
)
from agent.cli.forward import target_line
from agent.core.errors import EXIT_DONE, EXIT_FAILED, ConfigError
from agent.core.text import counted
from agent.store.reader import open_reader
from agent.views import status

if TYPE_CHECKING:
    import sqlite3

_FILES_SHOWN = 20
_LOOK_INTERVAL_S = 0.1


@click.command(cls=Command)
@json_option()
@utc_option
@click.option("-a", "--all", "show_all", is_flag=True, help="Every file, not only the first and the late ones.")
@engine_option
@with_context
def command(context: Context, *, as_json: bool, show_all: bool) -> int:
    """Show the health of the agent: files with their lag, rates, gaps, its own errors.

    Exits 1 when something is wrong. An agent that was stopped as it should be is not wrong, one that died is. With
    --engine: the agents that forward there, and how far each has come.
    """
    if context.engine is not None:
        return _show_fleet(context, as_json=as_json)
    path, fault = _store_path(context)
    connection = open_reader(path)
    document = _judged(connection, path)
    connection.close()
    if fault is not None:
        document["healthy"] = False
        document["problems"].append(f"{fault.code}: {fault.message}")
    if as_json:
        echo_json(document)
    else:
        for line in _lines(document, show_all=show_all):
            click.echo(line)
    return EXIT_DONE if document["healthy"] else EXIT_FAILED


def _show_fleet(context: Context, *, as_json: bool) -> int:
    from agent.views.fleet import fleet_document

    fleet = context.fleet(context.config())
    assert fleet is not None
    document = fleet_document(fleet, time.time_ns())
    if as_json:
        echo_json(document)
        return EXIT_DONE
    for row in document["agents"]:
        last = f"last event {shown_time(row['last_event'])}" if row["last_event"] else "no events"
        seen = f"seen {shown_time(row['seen'])}" if row["seen"] else "never seen"
        lag = f", {counted(row['lag_events'], 'event')} behind" if row["lag_events"] else ""
        click.echo(f"{safe_text(row['host'] or '-')}  {safe_text(row['agent'])}  {last}, {seen}{lag}")
    if not document["agents"]:
        click.echo("no agent has forwarded anything there", err=True)
    return EXIT_DONE


def _judged(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """The document of `status --json`, after a second look where a file seems stuck that was changed only just now."""
    snapshot = status.look(connection, path)
    end = time.monotonic() + status.SECOND_LOOK_S
    while snapshot.is_doubtful and time.monotonic() < end:
        time.sleep(_LOOK_INTERVAL_S)
        snapshot.look_again(connection)
    return snapshot.document()


def _store_path(context: Context) -> tuple[Path, ConfigError | None]:
    """Where the store lies, also when the configuration has been spoiled since the agent was started: that is when
    one wants to see its status.

    Raises:
        ConfigError: it is so wrong that it does not even say where the store lies.
    """
    try:
        return context.config().store.path, None
    except ConfigError as error:
        found = context.store or _written_store(context.find_config())
        if found is None:
            raise
        return found, error


def _written_store(file: Path | None) -> Path | None:
    """`store.path` as it stands in a configuration file that can be parsed but is not valid."""
    from agent.config.documents import read  # a sixth of the command's time, for a file that is wrong

    try:
        section = read(file).document.get("store") if file else None
    except ConfigError:
        return None
    written = section.get("path") if isinstance(section, dict) else None
    return file.parent / Path(written).expanduser() if file and isinstance(written, str) else None


def _lines(document: dict[str, Any], *, show_all: bool) -> list[str]:
    color = use_color()
    agent, store, events = document["agent"], document["store"], document["events"]
    word, hue = _verdict(document)
    lines = [f"{paint(word, hue, enabled=color)}: agent {_agent_text(agent)}"]
    lines += [
        f"  {paint('!', 'red', enabled=color)} {safe_text(problem)}" for problem in status.brief_problems(document)
    ]
    lines.append(
        f"events  {events['total']:,} stored; last minutes {events['per_second']:,.1f}/s,"
        f" errors {events['errors_per_second']:,.2f}/s"
    )
    lines.append(f"store   {safe_text(store['path'])}  {_size(store['bytes'])} (+{_size(store['wal_bytes'])} WAL)")
    if document["archive"]["files"]:
        lines.append(_archive_line(document["archive"]))
    lines += _alert_lines(document)
    lines += map(target_line, document["forward"])
    lines += _file_lines(document["files"], show_all=show_all)
    lines += [
        f"gap     {safe_text(gap['path'])} bytes {gap['from']}–{gap['to']}: {gap['reason']} ({shown_time(gap['time'])})"
        for gap in document["gaps"][:10]
    ]
    return lines + [_finding_line(finding) for finding in document["findings"][:10]]


def _finding_line(finding: dict[str, Any]) -> str:
    """One line for all own errors of a code, with the newest one's sentence."""
    word = "warning" if status.is_warning(finding) else "error  "
    parts = [f"{finding['code']} {'active' if finding['active'] else 'over'}"]
    parts += [f"{finding['subjects']:,} findings"] if finding["subjects"] > 1 else []
    parts.append(f"{finding['count']:,} ×")
    parts += [f"the newest of {shown_time(finding['last_seen'])}"] if finding["subjects"] > 1 else []
    return f"{word} {', '.join(parts)}: {safe_text(finding['message'])}"


def _archive_line(archive: dict[str, Any]) -> str:
    line = f"archive {counted(archive['files'], 'file')}, {_size(archive['bytes'])}"
    if archive["oldest_event"] is not None:
        line += f", since {shown_time(archive['oldest_event'])[:10]}"
    if archive["searchable_share"] is not None:
        line += f"; of the events that have left the store {archive['searchable_share']:.0%} can still be searched"
    return line


def _alert_lines(document: dict[str, Any]) -> list[str]:
    lines = []
    for row in [row for row in document["alerts"] if row["state"] != "ok"][:_FILES_SHOWN]:
        key = f" ({safe_text(shown_key(row['key']))})" if row["key"] else ""
        quiet = f", {row['quiet']}" if row["quiet"] else ""
        value = f"{row['value']:g} of {row['threshold']:g}"
        lines.append(
            f"alert   {safe_text(row['rule'])}{key} {row['state']} since {shown_time(row['since'])}, {value}{quiet}"
        )
    evicted = {row["rule"]: row["evicted"] for row in document["alerts"] if row["evicted"]}
    lines += [f"alert   {safe_text(rule)}: {counted(count, 'idle key')} given up" for rule, count in evicted.items()]
    for hook in document["hooks"]:
        counts = f"{hook['delivered']} delivered, {hook['waiting']} waiting, {hook['dead']} dead"
        fault = f"; last: {safe_text(hook['last_error'])}" if hook["last_error"] else ""
        lines.append(f"hook    {safe_text(hook['name'])}: {counts}, circuit {hook['circuit']}{fault}")
    return lines


def _verdict(document: dict[str, Any]) -> tuple[str, str]:
    """The first word, and its colour: what does not run is not healthy, though nothing may be wrong with it."""
    if not document["healthy"]:
        return "unhealthy", "red"
    return ("healthy", "green") if document["agent"]["running"] else ("stopped", "yellow")


def _agent_text(agent: dict[str, Any]) -> str:
    if agent["running"]:
        return f"runs as process {agent['pid']} since {shown_time(agent['started_at'])}, version {agent['version']}"
    if agent["died"]:
        return f"died (was process {agent['pid']}, started {shown_time(agent['started_at'])})"
    if agent["stopped_at"]:
        return f"ended at {shown_time(agent['stopped_at'])}"
    return "has never run on this store"


def _file_lines(files: list[dict[str, Any]], *, show_all: bool) -> list[str]:
    late = [file for file in files if file["lag_bytes"]]
    shown = files if show_all else [*late, *(file for file in files if not file["lag_bytes"])][:_FILES_SHOWN]
    lines = [f"files   {len(files):,} followed, {len(late):,} with unread bytes"]
    for file in shown:
        lag = f"{_size(file['lag_bytes'])} behind, {file['lag_seconds']:.1f} s" if file["lag_bytes"] else "up to date"
        moved = f" (now {safe_text(file['current_path'])})" if file["current_path"] != file["path"] else ""
        if not file["path"].startswith("/"):  # it lies nowhere: what else is known of it is how it is read
            moved = moved.replace("(now ", "(", 1)
        lines.append(
            f"  {safe_text(file['source']):12} {safe_text(file['path'])}{moved}"
            f"  {counted(file['events'], 'event')}, {lag}"
        )
    if len(shown) < len(files):
        lines.append(f"  … and {len(files) - len(shown):,} more: sidelog status --all")
    return lines


def _size(count: int) -> str:
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >> power:
            return f"{count / 2**power:.1f} {unit}"
    return f"{count} B"
