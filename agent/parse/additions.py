"""Lines with a head of their own that belong to the event before them: PostgreSQL's DETAIL, HINT, STATEMENT and others.

The server writes all lines of an event at once, each with the prefix of `log_line_prefix`, the level, a colon and two
spaces: https://www.postgresql.org/docs/current/runtime-config-logging.html. By the two spaces, which no other program
writes there, most other lines are told apart in 0.1 µs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.parse.formats._levels import POSTGRES_ADDING

if TYPE_CHECKING:
    from agent.parse.formats import FindHead, Head

_MARK = ":  "
_WORDS = tuple(f"{word}{_MARK}" for word in POSTGRES_ADDING)
_MARK_BYTES = _MARK.encode()
_WORD_BYTES = tuple(word.encode() for word in _WORDS)


def may_follow(head: Head, text: str) -> bool:
    """Whether lines may follow that add to an event with this first line."""
    return text.startswith(_MARK, head.end - len(_MARK)) and head.end > len(_MARK) and head.level is not None


def may_add(line: bytes) -> bool:
    """A cheap look at one line or many: False where none adds to an event for sure."""
    return _MARK_BYTES in line and any(word in line for word in _WORD_BYTES)


def begins_at(text: str, read_head: FindHead) -> int:
    """Where in a line that adds to the event before it what it adds begins, with its name; 0 where it adds nothing."""
    if not any(word in text for word in _WORDS):
        return 0
    head = read_head(text)
    if head.level not in POSTGRES_ADDING or not may_follow(head, text):
        return 0
    return head.end - len(_MARK) - len(head.level)
