"""Documents that faces show: what the command line prints as JSON, and a server gives. Nothing here prints or waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.core.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Callable


def iso(instant: int | None) -> str | None:
    """An instant (Unix ns) in RFC 3339 with nanoseconds, `Z`; None stays None."""
    return None if instant is None else format_utc(instant)


def short_iso(instant: int) -> str:
    """The same for people: without zeros at its end."""
    return format_utc(instant).rstrip("Z").rstrip("0").rstrip(".") + "Z"


def encode_document(document: Any) -> bytes:
    """A document (an object or a list of rows) as JSON; file names that are not UTF-8 become text (`core.text`)."""
    import orjson  # noqa: PLC0415 - 8 ms with all that it imports, of which text for people needs nothing

    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(document, option=options, default=str)
    except orjson.JSONEncodeError:  # a lone surrogate, out of a file's name
        from agent.core.text import to_text  # noqa: PLC0415

        return orjson.dumps(_with_texts(document, to_text), option=options, default=str)


def _with_texts(document: Any, change: Callable[[str], str]) -> Any:
    """A document with all its texts changed."""
    if isinstance(document, dict):
        return {_with_texts(key, change): _with_texts(value, change) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_with_texts(value, change) for value in document]
    return change(document) if isinstance(document, str) else document
