"""The words that stand for a level in the head of a line of text, and what each is worth.

What a level is worth is `agent.core.severity`'s; here are the words that count in a line, where that table alone would
take too much (`ok`, `all` and `c` are levels of a JSON field, and words of a text), and those that only texts have.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from agent.core import severity

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of texts alone: four letters of logrus and of .NET, MySQL's [System], PostgreSQL's LOG and the lines that add to the
# one before (https://www.postgresql.org/docs/current/runtime-config-logging.html), VMware's two letters, PHP's errors.
_OF_TEXTS = {
    "debu": 5, "erro": 17, "fata": 21, "trac": 1, "pani": 22, "trce": 1, "dbug": 5, "fail": 17, "system": 9,
    "debug1": 5, "debug2": 5, "debug3": 5, "debug4": 5, "debug5": 5, "fault": 21, "pnc": 22,
    "statement": 9, "detail": 9, "hint": 9, "context": 9, "query": 9, "location": 9,
    "db": 5, "in": 9, "no": 10, "wa": 13, "er": 17, "cr": 21, "al": 22, "em": 24,
    "fatal error": 21, "parse error": 21, "core error": 21, "compile error": 21, "recoverable fatal error": 21,
    "catchable fatal error": 21, "user error": 17, "core warning": 13, "compile warning": 13, "user warning": 13,
    "deprecated": 10, "user deprecated": 10, "user notice": 10, "strict standards": 10,
    ".": 5, "-": 9, "*": 10, "#": 13, "s": 24, "v": 1, "dpnc": 20,
}  # fmt: skip


class _Severities(dict[str | None, int]):
    """A level as written to its severity. It holds what the patterns below let through: a few hundred spellings."""

    def __missing__(self, level: str | None) -> int:
        number = 0 if level is None else _OF_TEXTS.get(level.lower()) or max(0, severity.read(level))
        if len(self) < _MOST_SPELLINGS:
            self[level] = number
        return number


_MOST_SPELLINGS = 1024
SEVERITIES = _Severities()

_MAIN = (
    "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "SEVERE", "CRITICAL", "FATAL", "PANIC", "EMERG",
    "ERR", "CRIT",
)  # fmt: skip
_MORE = (
    "ALERT", "EMERGENCY", "SUCCESS", "FINE", "FINER", "FINEST", "CONFIG", "VERBOSE", "DPANIC", "FAILURE", "DEBUG1",
    "DEBUG2", "DEBUG3", "DEBUG4", "DEBUG5", "INFORMATION",
)  # fmt: skip
_SHORT = ("DBG", "INF", "WRN", "FTL", "TRC", "VRB", "PNC", "DEBU", "ERRO", "FATA", "TRAC", "PANI")
POSTGRES_ADDING = ("STATEMENT", "DETAIL", "HINT", "CONTEXT", "QUERY", "LOCATION")  # to the line before them
_POSTGRES = ("LOG", *POSTGRES_ADDING)


def any_of(words: Iterable[str]) -> str:
    """A pattern of any of the words, longest first; each letter is looked at once instead of once a word."""
    found = []
    for first, group in groupby(sorted(set(words)), key=lambda word: word[:1]):
        rests = [word[1:] for word in group]
        longer = any_of(rest for rest in rests if rest)
        if first:
            found.append(first + (f"(?:{longer})?" if longer and "" in rests else longer))
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})" if found else ""


def _in_three_cases(words: Iterable[str]) -> str:
    return any_of(form for word in words for form in (word, word.lower(), word.capitalize()))


# Texts of regular expressions without groups that are kept.
MAIN = any_of(_MAIN)  # in capitals, in which they count without punctuation wherever a line begins
CAPITALS = any_of((*_MAIN, *_MORE, *_SHORT, "FAULT"))  # and where a line has begun with an instant
WORDS = _in_three_cases((*_MAIN, *_MORE, *_SHORT))  # where they stand apart, by a mark or in a column
BRACKETED = _in_three_cases((*_MAIN, *_MORE, *_SHORT, "NOTE", "SYSTEM", "FAULT"))
LETTERS = "[VDIWEFCT]"
FIRST_WORDS = _in_three_cases((*_MAIN, "EMERGENCY", "DPANIC"))  # a line's first word, with a colon: no prose begins so
POSTGRES = any_of(_POSTGRES)  # with a colon and two spaces
FIVE_LETTERS = any_of((*_MAIN, *_SHORT, *_POSTGRES, "ALERT", "FINE"))  # that could be the name of a zone
FIRST_LETTERS = "".join(
    sorted({form[0] for word in (*_MAIN, *_MORE, *_SHORT, *_POSTGRES) for form in (word, word.lower())})
)
