r"""The text of an event, in which words and phrases are searched for: its record, and its line where that differs.

A record has what was understood of a line, in other words and another order: of `Nov 22 05:39:26 web1 sshd[663]: …` it
has host, tag and number by themselves, and nobody who looks for `sshd[663]` would find it there. So whatever stands in
the line is found as well, where the store keeps it beside the record (`agent.core.event`). Escapes of JSON are decoded
in both: `\u00f6` is ö. A line that is no JSON is searched as it is, byte by byte.

Everyone who asks whether a text is in an event asks here: the predicate, by `holds`; live rules, by `folded_text`; the
SQL that finds candidates, by `line_clause`, which lets through what may hold it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.core.patterns import lazy
from agent.core.wrapping import text_in

if TYPE_CHECKING:
    from collections.abc import Callable

_ESCAPE = lazy(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
Raw = bytes | int | str | None  # as `agent.core.event.original_of` takes it
_NEVER_TEXT = b"\xff"  # in no UTF-8: nothing that is searched for reaches over it


def decoded_text(record: str) -> str:
    r"""The text of a record with the escapes of JSON decoded: `\u00f6` is ö, `\"` a quote."""
    return _ESCAPE.sub(_unescaped, record) if "\\" in record else record


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    if len(escape) == 12:  # noqa: PLR2004 - a surrogate pair
        return chr(0x10000 + ((int(escape[2:6], 16) - 0xD800) << 10) + int(escape[8:], 16) - 0xDC00)
    if escape[1] == "u" and len(escape) == 6:  # noqa: PLR2004
        return chr(int(escape[2:], 16))  # noqa: FURB166 - it is no number with a prefix
    return _SHORT.get(escape[1], escape[1])


def is_exact_case(text: str) -> bool:
    """Whether a search text has a capital, so that case counts."""
    return any(character.isupper() for character in text)


def holds(text: str) -> Callable[[str, Raw], bool]:
    """Whether an event, by its record and its column `raw`, has a text. Case counts where it has a capital."""
    if is_exact_case(text):
        exact = text.encode("utf-8", "surrogatepass")
        return lambda record, raw: text in decoded_text(record) or exact in _line(raw)
    if text.isascii():  # folds ASCII only, as SQL's LIKE does: the Kelvin sign is no k
        folded = text.lower().encode()
        return lambda record, raw: folded in _encoded(record).lower() or folded in _line(raw).lower()
    wide = text.casefold()
    return lambda record, raw: (
        wide in decoded_text(record).casefold() or wide in _line(raw).decode("utf-8", "replace").casefold()
    )


def folded_text(record: str, raw: Raw) -> bytes:
    """All of it in lower case, as a text in ASCII without a capital sees it."""
    text = _encoded(record)
    return (b"%b%b%b" % (text, _NEVER_TEXT, line) if (line := _line(raw)) else text).lower()


def _encoded(record: str) -> bytes:
    return decoded_text(record).encode("utf-8", "surrogatepass")


def _line(raw: Raw) -> bytes:
    """What is kept of the line beside the record: the line, or the text inside a container's one; empty for nothing."""
    if isinstance(raw, str):
        raw = text_in(raw).encode()
    elif not isinstance(raw, bytes):
        return b""
    if raw[:1] != b"{" or b"\\" not in raw:
        return raw
    return decoded_text(raw.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- in SQL

_KEPT = "typeof(e.raw) IN ('blob', 'text')"
_MAY_HIDE = frozenset('"\\/')  # what JSON may write with a backslash, beside control characters


def line_clause(text: str, *, folded: bool) -> tuple[str, tuple[str | bytes, ...]]:
    """The SQL that is true for each row of `events e` whose line beside the record has a text, and its parameters.

    Args:
        text: that SQLite can take.
        folded: it is ASCII, and ASCII letters of either case are alike.
    """
    json = f"instr(CAST(e.raw AS BLOB), CAST('{hiding_escape(text)}' AS BLOB))"
    if not folded:
        return f"({_KEPT} AND (instr(CAST(e.raw AS BLOB), ?) OR {json}))", (text.encode(),)
    # LIKE ends at a NUL.
    sql = f"({_KEPT} AND (CAST(e.raw AS TEXT) LIKE ? ESCAPE '!' OR instr(CAST(e.raw AS BLOB), x'00') OR {json}))"
    return sql, (like_pattern(text),)


def hiding_escape(text: str) -> str:
    r"""What stands in JSON that has a text in other characters: `\u` before the number of one of them, else any `\`."""
    return "\\" if _MAY_HIDE & set(text) or not text.isprintable() else "\\u"


def like_pattern(text: str) -> str:
    """The pattern for `LIKE … ESCAPE '!'` for a text anywhere."""
    escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"
