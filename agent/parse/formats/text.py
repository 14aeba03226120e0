"""Plain text: the leading instant, level and logger of the layouts that applications write, without configuration.

Three tables hold the layouts: by how a line begins (`_BEGINNINGS`), by what follows an instant (`_AFTER_INSTANT`), and
by what follows an instant and a level (`_AFTER_LEVEL`). The first in its table that fits counts. The first two are told
apart by one character, so that a line meets one or two patterns instead of all eighteen (3 µs instead of 25). A layout
is added by its function or pattern, its row, and its cases in `tests/cases/text.toml`.
"""

from __future__ import annotations

import re
from string import ascii_letters, ascii_uppercase, digits
from typing import TYPE_CHECKING

from agent.core import severity
from agent.core.patterns import lazy
from agent.parse.formats import NOTHING, Head, TextFormat, by_first
from agent.parse.timestamps import CLF, ISO, SYSLOG

if TYPE_CHECKING:
    from collections.abc import Callable


def _known(level: str) -> int:
    return max(0, severity.read(level))


# Levels that count in capitals alone, and those that count in any case where punctuation sets them apart.
_UPPER = frozenset({
    "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "SEVERE", "CRITICAL", "FATAL", "PANIC", "ALERT",
    "EMERG", "EMERGENCY", "ERR", "CRIT", "SUCCESS", "FINE", "FINER", "FINEST", "CONFIG", "VERBOSE", "DPANIC",
})  # fmt: skip
_ANY = {name: _known(name) for name in (*_UPPER, "INFORMATION", "DBG", "INF", "WRN", "FTL", "TRC", "VRB")}
_WORD = r"[A-Za-z]+"  # where a level stands; whether it is one is looked up
_NAME = r"[A-Za-z_$][\w$./:<>#-]{0,120}"
_AFTER_NAME = r"(?:\s+-|:|\s+:)\s"
_LONGEST_HEAD = 512  # characters of a line in which its head is looked for

# The patterns are anchored, without nested repetition over the same characters: linear in the length of the line.


def find_head(line: str) -> Head:
    """The head of a line; an empty one where no layout is seen. Looks at the first 512 characters."""
    head = line[:_LONGEST_HEAD]
    for find in _LINES.get(head[:1], _ANY_LINES):
        found = find(head)
        if found is not None:
            return found
    return NOTHING


# ---------------------------------------------------------------- how a line begins

_INSTANT = lazy(rf"(?:<(\d{{1,3}})>)?\[?({ISO}|{CLF}|{SYSLOG})\]?(?=[\s,|\]:;-]|$)", re.ASCII)
_ACCESS = lazy(rf"\S{{1,64}} \S{{1,64}} \S{{1,64}} \[({CLF})\] ", re.ASCII)
_KLOG = lazy(r"([IWEF])(\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?) +\d+ ([^\s\]]+:\d+)\] ", re.ASCII)
_RUBY = lazy(rf"[DIWEFA], \[({ISO}) #\d+\] +(\w+) -- ([^:]{{0,120}}): ", re.ASCII)
_PYTHON_ROOT = lazy(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):([\w.-]{1,120}):", re.ASCII)
_BRACKET_LEVEL = lazy(rf"\[({_WORD})\]:?\s+")
_LEVEL_COLON = lazy(r":\s+")
_LEVEL_SPACE = lazy(rf"\s+(?:\[({_NAME})\]\s+|-\s+)?")
_LETTERS = lazy(_WORD)


def _instant(head: str) -> Head | None:
    """An instant, perhaps in brackets or after syslog's priority; then what `_AFTER_INSTANT` knows."""
    match = _INSTANT.match(head)
    if match is None:
        return None
    written, begin = match[2], match.end()
    priority = _known(str(int(match[1]) % 8)) if match[1] else 0
    if written[0].isalpha():
        tag = _SYSLOG_TAG.match(head, begin)
        if tag is not None:
            return Head(written, None, priority, tag[1], tag.end())
    following = _NEXT.match(head, begin)
    if following is not None:
        word, at = following[1], following.end()
        for find in _NEXTS.get(word[0], ()):
            found = find(head, written, begin, word, at)
            if found is not None:
                return found
    rest = head[begin:]
    return Head(written, None, priority, None, begin + len(rest) - len(rest.lstrip(" \t|:,-")))


def _syslog(head: str) -> Head | None:
    """`Nov 22 05:39:26 host sshd[663]: …`."""
    return _instant(head) if head[3:4] == " " else None


def _klog(head: str) -> Head | None:
    match = _KLOG.match(head) if head[1:2].isdigit() else None
    return None if match is None else Head(match[2], match[1], severity.read(match[1]), match[3], match.end())


def _ruby(head: str) -> Head | None:
    match = _RUBY.match(head) if head[1:2] == "," else None
    return None if match is None else Head(match[1], match[2], _known(match[2]), match[3].strip() or None, match.end())


def _level_in_brackets(head: str) -> Head | None:
    match = _BRACKET_LEVEL.match(head)
    number = _ANY.get(match[1].upper()) if match is not None else None
    return None if match is None or number is None else Head(None, match[1], number, None, match.end())


def _level(head: str) -> Head | None:
    """`ERROR:root:…` of Python's basicConfig, `error: …`, `ERROR [pool] …`, `ERROR - …`."""
    match = _LETTERS.match(head)
    number = _ANY.get(match[0].upper()) if match is not None else None
    if match is None or number is None:
        return None
    word, at = match[0], match.end()
    match = _PYTHON_ROOT.match(head)
    if match is not None:
        return Head(None, word, number, match[2], match.end())
    match = _LEVEL_COLON.match(head, at)
    if match is not None:
        return Head(None, word, number, None, match.end())
    match = _LEVEL_SPACE.match(head, at) if word in _UPPER else None
    return None if match is None else Head(None, word, number, match[1], match.end())


def _access(head: str) -> Head | None:
    """Access logs of web servers: the instant is in the midst of the message."""
    match = _ACCESS.match(head) if "] " in head else None
    return None if match is None else Head(match[1])


_BEGINNINGS = (
    (digits + "[<", _instant),
    (ascii_uppercase, _syslog),
    (ascii_letters, _level),
    ("IWEF", _klog),
    ("DIWEFA", _ruby),
    ("[", _level_in_brackets),
    ("", _access),
)
_LINES, _ANY_LINES = by_first(_BEGINNINGS)

# ---------------------------------------------------------------- what follows an instant

_SYSLOG_TAG = lazy(r"\s+[\w.:-]{1,255}\s+([\w./@-]{1,64})(?:\[\d+\])?: ", re.ASCII)
_NEXT = lazy(rf"\s*({_WORD}|.)", re.DOTALL)
_MONOLOG = lazy(r"\s+([A-Za-z_][\w-]{0,60})\.([A-Z]+):\s")
_LOGURU = lazy(rf"\s*\|\s*({_WORD})\s*\|\s*([^\s|]{{1,120}}) - ")
_DASHES = lazy(rf"\s+-\s+({_NAME})\s+-\s+([A-Za-z_][\w.]{{0,120}})\s+-\s+")
_THREAD = lazy(rf"\s+\[[^\]]{{0,120}}\]\s+({_WORD})\s+({_NAME}){_AFTER_NAME}")
_IN_BRACKETS = lazy(rf"[\s|:,-]*\[\s*({_WORD})\s*\][\s|:-]*")
_BARE = lazy(rf"[\s|:,-]*({_WORD})")
_BARE_END = lazy(r"\b[\s|:\]-]*")
_COLON_END = lazy(r"\s*[|:][\s|:-]*")

# All of these get the line, the instant as it is written and where it ends; the word or character that follows, and
# where that ends.


def _level_and_logger(head: str, written: str, _: int, word: str, at: int) -> Head | None:
    """A level by itself, then what `_AFTER_LEVEL` knows; or no logger, where it is in capitals or a colon is next."""
    number = _ANY.get(word.upper())
    if number is None or not head[at : at + 1].isspace():
        return None
    match = _LOGGER_AFTER_LEVEL.match(head, at)
    group = match.lastindex if match is not None else None
    if match is not None and group is not None and (group == _SPRING_GROUP or word in _UPPER):
        return Head(written, word, number, match[group], match.end())
    return _bare_level(head, written, word, at)


def _channel_or_level(head: str, written: str, begin: int, word: str, at: int) -> Head | None:
    """A word with something right after it: Monolog's `app.ERROR: …`, or a level."""
    if head[at : at + 1].isspace():
        return None
    match = _MONOLOG.match(head, begin)
    if match is not None and match[2] in _UPPER:
        return Head(written, match[2], _ANY[match[2]], match[1], match.end())
    return _bare_level(head, written, word, at)


def _bare_level(head: str, written: str, word: str, at: int) -> Head | None:
    number = _ANY.get(word.upper())
    if number is None:
        return None
    match = _BARE_END.match(head, at) if word in _UPPER else None
    if match is None:
        match = _COLON_END.match(head, at)
    return None if match is None else Head(written, word, number, None, match.end())


def _level_then_logger(pattern: re.Pattern[str]) -> Callable[[str, str, int, str, int], Head | None]:
    """A layout whose pattern has two groups, level and logger."""

    def find(head: str, written: str, begin: int, *_: object) -> Head | None:
        match = pattern.match(head, begin)
        number = _ANY.get(match[1].upper()) if match is not None else None
        return None if match is None or number is None else Head(written, match[1], number, match[2], match.end())

    return find


def _dashes(head: str, written: str, begin: int, *_: object) -> Head | None:
    """Python's tutorial: `- logger - LEVEL - …`; or the level first."""
    match = _DASHES.match(head, begin)
    if match is not None:
        for logger, level in (match.groups(), match.groups()[::-1]):
            number = _ANY.get(level.upper())
            if number is not None:
                return Head(written, level, number, logger, match.end())
    return None


def _punctuated_level(head: str, written: str, begin: int, *_: object) -> Head | None:
    """A level in brackets or alone, after any punctuation."""
    match = _IN_BRACKETS.match(head, begin)
    number = _ANY.get(match[1].upper()) if match is not None else None
    if match is not None and number is not None:
        return Head(written, match[1], number, None, match.end())
    match = _BARE.match(head, begin)
    return None if match is None else _bare_level(head, written, match[1], match.end())


_AFTER_INSTANT: tuple[tuple[str, Callable[[str, str, int, str, int], Head | None]], ...] = (
    (ascii_letters, _level_and_logger),
    (ascii_letters + "_", _channel_or_level),
    ("-", _dashes),
    ("|", _level_then_logger(_LOGURU)),
    ("[", _level_then_logger(_THREAD)),  # Logback and log4j: `[main] ERROR c.x.Y - …`
    ("-|[:,", _punctuated_level),
)
_NEXTS, _ = by_first(_AFTER_INSTANT)

# ---------------------------------------------------------------- what follows an instant and a level

# Patterns with one group each, the logger; joined to one, for trying four by themselves takes four times as long.
_AFTER_LEVEL = (
    r"\d+\s+---\s+(?:\[[^\]]*\]\s+)+(\S{1,120})\s+: ?",  # Spring Boot
    rf"\[[^\]]{{0,120}}\]\s+({_NAME}){_AFTER_NAME}",  # log4j
    rf"([A-Za-z_$][\w$]*(?:[./][\w$<>]+)+)(?::\d+)?{_AFTER_NAME}",  # Python's usual order
    r"([A-Za-z_$][\w$-]*)\s+-\s",  # the same with a plain name
)
_SPRING_GROUP = 1  # the only one that takes levels in any case
_LOGGER_AFTER_LEVEL = lazy(rf"\s+(?:{'|'.join(_AFTER_LEVEL)})")

FORMAT = TextFormat("", find_head)
