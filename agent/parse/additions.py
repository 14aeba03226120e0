"""Lines that belong to the event before them, though they are not indented and may have a head of their own.

PostgreSQL's DETAIL, HINT, STATEMENT and others: the server writes all lines of an event at once, each with the prefix
of `log_line_prefix`, the level, a colon and two spaces, which no other program writes there:
https://www.postgresql.org/docs/current/runtime-config-logging.html

MySQL's slow query log: an event is the statement and the comments before it:
https://dev.mysql.com/doc/refman/8.4/en/slow-query-log.html

The second line of java.util.logging's records: the first one has the instant and who says something, the second one the
level and what is said: https://docs.oracle.com/en/java/javase/21/docs/api/java.logging/java/util/logging/SimpleFormatter.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.core.patterns import lazy
from agent.parse.formats._levels import POSTGRES_ADDING, SEVERITIES

if TYPE_CHECKING:
    from agent.parse.formats import FindHead, Head

_MARK = ":  "
_WORDS = tuple(f"{word}{_MARK}" for word in POSTGRES_ADDING)
_MARK_BYTES = _MARK.encode()
_WORD_BYTES = tuple(word.encode() for word in _WORDS)
LEVELS = ("SEVERE: ", "WARNING: ", "INFO: ", "CONFIG: ", "FINE: ", "FINER: ", "FINEST: ")  # of java.util.logging
LEVEL_FIRSTS = frozenset(level[0] for level in LEVELS)
_LEVEL_BYTES = tuple(level.encode() for level in LEVELS)
# Class and method, or the name of a logger. One without a dot could be a word that somebody waits for.
_SAYER = lazy(r"[A-Za-z_$][\w$]{0,80}(?:\.[\w$<>]{1,80}){1,20}(?: [\w$<>]{1,100})?$")


_TIME, _USER = "# Time: ", "# User@Host: "
_BLOCK = (_TIME, _USER)


def begins_block(text: str) -> bool:
    """Whether a line begins an event of MySQL's slow query log, to which all lines up to the next one belong."""
    return text.startswith(_BLOCK)


def begins_next_block(texts: list[str], text: str) -> bool:
    """Whether a line is the first one of the event behind one with these lines."""
    is_of_same = len(texts) == 1 and texts[0].startswith(_TIME) and text.startswith(_USER)
    return begins_block(text) and not is_of_same


def may_follow(head: Head, text: str) -> bool:
    """Whether lines may follow that add to an event with this first line."""
    if head.level is not None:
        return text.startswith(_MARK, head.end - len(_MARK)) and head.end > len(_MARK)
    return lacks_level(head, text)


def lacks_level(head: Head, text: str) -> bool:
    """Whether a line may be the first one of a record of java.util.logging."""
    if head.timestamp is None or head.severity or head.logger is not None or head.end == 0 or head.message is not None:
        return False
    return _SAYER.match(text, head.end) is not None


def may_add(line: bytes) -> bool:
    """A cheap look: False where the line adds to no event for sure."""
    return line.startswith(_LEVEL_BYTES) or may_add_any(line)


def may_add_any(lines: bytes) -> bool:
    """The same of PostgreSQL's lines for many."""
    return _MARK_BYTES in lines and any(word in lines for word in _WORD_BYTES)


def begins_at(text: str, read_head: FindHead) -> int:
    """Where in a line that adds to the event before it what it adds begins, with its name; 0 where it adds nothing."""
    if not any(word in text for word in _WORDS):
        return 0
    head = read_head(text)
    if head.level not in POSTGRES_ADDING or not may_follow(head, text):
        return 0
    return head.end - len(_MARK) - len(head.level)


def completed(head: Head, text: str, following: str) -> Head | None:
    """The head of a record of java.util.logging; None where its two lines, with a newline between them, are none."""
    if not following.startswith(LEVELS) or not lacks_level(head, text):
        return None
    level = following.partition(":")[0]
    return msgspec.structs.replace(
        head,
        level=level,
        severity=SEVERITIES[level],
        logger=text[head.end :].partition(" ")[0],
        end=len(text) + 1 + len(level) + len(": "),
    )
