"""`sidelog audit`: proves that every byte of every file is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.common import Bar, Command, Context, echo_json, json_option, paint, safe_text, use_color, with_context
from agent.core.errors import EXIT_DONE, EXIT_FAILED
from agent.core.text import counted
from agent.views.audit import audit_books, audit_document, audit_files

if TYPE_CHECKING:
    from agent.store.compare import FileAudit

_GAPS_SHOWN = 10
_UNCOMPARED = {
    "no": "not compared",
    "gone": "the file is gone",
    "replaced": "the file is gone, another one has its place",
    "truncated": "the file was truncated",
    "unreadable": "the file cannot be read",
}


@click.command(cls=Command)
@json_option("One JSON array.")
@click.option("--quick", is_flag=True, help="Only add up the books; compare no file.")
@with_context
def command(context: Context, *, as_json: bool, quick: bool) -> int:
    """Prove, per file, that bytes read = events + blank lines + gaps, and that the events are the file's bytes.

    What still exists is read again and compared with the store, byte for byte. Works beside a running agent; what
    is written meanwhile is not judged. Exits 1 on any difference.
    """
    connection, config = context.open_store()
    if quick:
        files = audit_books(connection, config.store.path)
    else:
        with Bar("comparing") as bar:
            files = audit_files(
                connection,
                config.store.path,
                lambda done, total, compared: bar.step(done, total, f"{compared / 1e6:,.0f} MB"),
            )
    connection.close()
    if as_json:
        echo_json([audit_document(file) for file in files])
    else:
        for file in files:
            click.echo("\n".join(_lines(file)))
        click.echo(_verdict(files), err=True)
    return EXIT_DONE if all(file.complete for file in files) else EXIT_FAILED


def _lines(file: FileAudit) -> list[str]:
    color = use_color()
    mark = paint("ok ", "green", enabled=color) if file.complete else paint("DIFFERS", "red", enabled=color)
    read, gaps = file.offset - file.start_offset, counted(len(file.gaps), "gap")
    balance = (
        f"{mark} {safe_text(file.path)}: {counted(read, 'byte')} read = {file.event_bytes:,} in"
        f" {counted(file.events, 'event')} + {file.blank_bytes:,} blank + {file.gap_bytes:,} in {gaps};"
        f" {_compared(file)}"
    )
    lines = [balance, *(f"    gap {gap.reason}: bytes {gap.start} to {gap.end}" for gap in file.gaps[:_GAPS_SHOWN])]
    if len(file.gaps) > _GAPS_SHOWN:
        lines.append(f"    … and {counted(len(file.gaps) - _GAPS_SHOWN, 'gap')} more: sidelog audit --json")
    lines += [f"    {safe_text(file.current_path)} at {offset}: {safe_text(what)}" for offset, what in file.differences]
    if file.difference_count > len(file.differences):
        lines.append(f"    … and {counted(file.difference_count - len(file.differences), 'difference')} more")
    return lines


def _compared(file: FileAudit) -> str:
    parts = [_UNCOMPARED.get(file.compared) or f"{file.compared_bytes:,} compared"]
    if file.compared == "partly":
        parts.append("the file's end is gone")
    if file.expired_bytes:
        parts.append(f"{file.expired_bytes:,} expired")
    if file.redacted_events:
        parts.append(f"{counted(file.redacted_events, 'event')} redacted, their lines counted only")
    return ", ".join(parts)


def _verdict(files: list[FileAudit]) -> str:
    wrong = sum(not file.complete for file in files)
    compared = sum(file.compared_bytes for file in files)
    read = sum(file.offset - file.start_offset for file in files)
    gaps = sum(len(file.gaps) for file in files)
    all_files = counted(len(files), "file")
    verdict = (
        f"{wrong:,} of {all_files} {'differs' if wrong == 1 else 'differ'}" if wrong else f"{all_files}, no difference"
    )
    return f"audit: {verdict}; {counted(read, 'byte')} read, {compared:,} compared, {counted(gaps, 'gap')}"
