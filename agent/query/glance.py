"""What of an event fits one line: what went wrong beside the message, and the fields that are worth a glance.

Everything of an event stands in `-o verbose` and `-o json`. Left out here is what says nothing, such as nulls, and what
logging libraries wrap around each line: loguru alone adds some twenty fields of its own to one of the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.severity import ERRORS_FROM
from agent.core.stored import resource_service
from agent.query.fragments import flattened

if TYPE_CHECKING:
    from agent.core.stored import StoredEvent

_ATTRIBUTES = 12  # so many follow a message
_NOTHING = frozenset({"", "null", "[]", "{}"})
_LOGURU = "record."
_LOGURU_OWN = "record.extra."  # what the application added
_LOGURU_FIELDS = frozenset({"record.elapsed.repr", "record.level.icon", "record.time.repr"})
# Each is of a library's format, the same in every line or a twin of what the line shows already.
_WRAPPING = frozenset(
    (
        "@version", "level_value", "levelno", "level_number", "endOfBatch", "loggerFqcn", "threadPriority",
        "relativeCreated", "msecs", "processName",
    )
)  # fmt: skip
_TWINS = (".repr", ".icon")  # of a field that has another form beside it


def glance(event: StoredEvent) -> tuple[str, list[tuple[str, str]]]:
    """What one line shows beside the message: type and message of the event's exception, as far as the message does
    not say them, and the fields that are worth it with their texts.
    """
    kind, said = _exception(event)
    body = event.body
    failed = ("" if kind.rpartition(".")[2] in body else kind, "" if said in body else said)
    return ": ".join(part for part in failed if part), _pairs(event, {kind, said})


def _exception(event: StoredEvent) -> tuple[str, str]:
    """Type and the first line of the message."""
    if event.severity_number < ERRORS_FROM:
        return "", ""
    from agent.parse.exceptions import of_record  # noqa: PLC0415 - 10 ms, for those alone who see an error

    found = of_record(event.fields)
    if found.type is None:  # what it says, if anything, is another field's text or the first line of a trace
        return "", ""
    return found.type, (found.message or "").strip().partition("\n")[0]


def _pairs(event: StoredEvent, said: set[str]) -> list[tuple[str, str]]:
    """Logger, service and attributes, without what was said and texts of several lines: these are for `verbose`."""
    own = flattened(event)
    names = {name for name, _ in own}
    pairs = [] if not event.logger or "logger" in names else [("logger", event.logger)]
    service = event.own_service
    if service and service != resource_service(event.file.resource) and "service" not in names:
        pairs.append(("service", service))
    shown = {value for _, value in pairs} | said
    is_loguru = not names.isdisjoint(_LOGURU_FIELDS)
    for name, value in own:
        if "\n" not in value and value not in shown and not _is_noise(name, value, names, is_loguru=is_loguru):
            pairs.append((name, value))
    return pairs[:_ATTRIBUTES]


def _is_noise(name: str, value: str, names: set[str], *, is_loguru: bool) -> bool:
    if value in _NOTHING or name in _WRAPPING:
        return True
    if is_loguru and name.startswith(_LOGURU):
        return not name.startswith(_LOGURU_OWN)
    if not name.endswith(_TWINS):
        return False
    beside = name.rpartition(".")[0] + "."
    return any(other.startswith(beside) and other != name for other in names)
