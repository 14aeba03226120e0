"""The entries of systemd's journal as `journalctl -o json` writes them, and the names that their fields have here.

https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format has the form: a value is a text, an array of bytes where
it is no printable UTF-8, null where it was too large, or an array of these where a field comes several times.
https://www.freedesktop.org/software/systemd/man/latest/systemd.journal-fields.html has the fields.
"""

from __future__ import annotations

from typing import Any

import orjson

from agent.core.patterns import lazy

# OpenTelemetry's names where it has one. No journal field has such a name: they are upper case.
NAMES = {
    "MESSAGE": "message",
    "SYSLOG_IDENTIFIER": "logger",
    "SYSLOG_FACILITY": "syslog.facility",
    "MESSAGE_ID": "systemd.message_id",
    "CODE_FILE": "code.file.path",
    "CODE_LINE": "code.line.number",
    "CODE_FUNC": "code.function.name",
    "TID": "thread.id",
    "_HOSTNAME": "host.name",
    "_MACHINE_ID": "host.id",
    "_PID": "process.pid",
    "_UID": "process.user.id",
    "_GID": "process.group.id",
    "_COMM": "process.executable.name",
    "_EXE": "process.executable.path",
    "_CMDLINE": "process.command_line",
    "_SYSTEMD_CGROUP": "process.linux.cgroup",
    "_SYSTEMD_UNIT": "systemd.unit",
    "_SYSTEMD_USER_UNIT": "systemd.user_unit",
    "_SYSTEMD_SLICE": "systemd.slice",
    "_SYSTEMD_INVOCATION_ID": "systemd.invocation_id",
}
INTEGERS = frozenset(
    ("process.pid", "process.user.id", "process.group.id", "syslog.facility", "code.line.number", "thread.id")
)
_JOURNAL_NAMES = {name: key for key, name in NAMES.items()}
_LONGEST_INTEGER = 18  # digits
_INTEGER = lazy("0|[1-9][0-9]*")
_TEXT = frozenset((str,))


def renamed(entry: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The fields of an entry by the names that they have here, in their order; numbers as numbers, bytes as text. And
    whether `line_of` the record is the entry as orjson writes it.
    """
    name_of = NAMES.get
    record = {name_of(key, key): value for key, value in entry.items()}
    is_plain = _TEXT.issuperset(map(type, record.values())) and _JOURNAL_NAMES.keys().isdisjoint(entry)
    if not is_plain:
        record = {name: text_of(value) for name, value in record.items()}
    for name in INTEGERS.intersection(record):
        value = record[name]
        if type(value) is str and len(value) <= _LONGEST_INTEGER and _INTEGER.fullmatch(value):
            record[name] = int(value)
    return record, is_plain


def line_of(record: dict[str, Any]) -> bytes:
    """The line of the entry of which `renamed` has made a record, if that has texts and numbers alone."""
    name_of = _JOURNAL_NAMES.get
    entry = {name_of(name, name): str(value) if type(value) is int else value for name, value in record.items()}
    return orjson.dumps(entry)


def text_of(value: Any) -> Any:
    r"""A value as text: bytes are UTF-8, and `\xNN` where they are none. Of several values a list."""
    if type(value) is not list:
        return value
    if _is_bytes(value):
        return bytes(value).decode("utf-8", "backslashreplace")
    return [text_of(one) if _is_bytes(one) else one for one in value]


def _is_bytes(value: Any) -> bool:
    return type(value) is list and bool(value) and all(type(one) is int and 0 <= one <= 0xFF for one in value)  # noqa: PLR2004


def decode(line: bytes) -> dict[str, Any] | None:
    """The entry that a line is; None where it is none."""
    try:
        entry = orjson.loads(line)
    except (orjson.JSONDecodeError, RecursionError):
        return None
    return entry if type(entry) is dict else None


def message_of(entry: dict[str, Any]) -> tuple[str, bytes | None]:
    """The message of an entry as text, and the bytes where the journal has them."""
    value = entry.get("MESSAGE")
    if type(value) is str or value is None:
        return value or "", None
    if type(value) is not list:
        return str(value), None
    text = text_of(value)
    return (text, bytes(value)) if type(text) is str else ("\n".join(map(str, text)), None)


def stream_of(entry: dict[str, Any]) -> str:
    """Names the standard output of a process, of which each line is an entry; empty for other entries."""
    if entry.get("_TRANSPORT") != "stdout":
        return ""
    return f"{entry.get('_STREAM_ID')}/{entry.get('_PID')}/{entry.get('SYSLOG_IDENTIFIER')}"
