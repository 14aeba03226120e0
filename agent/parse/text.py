"""Plain text lines: the leading instant, level and logger of the common layouts, without configuration.

Layouts are tried in a fixed order and the first that fits counts. Most of them are told apart by one character, so
that a line meets one or two patterns instead of all eighteen (3 µs instead of 25).
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from agent.core import severity
from agent.core.patterns import lazy
from agent.parse.timestamps import CLF, ISO, SYSLOG


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

# Anchored, without nested repetition over the same characters: linear in the length of the line.
_LEADING = lazy(rf"(?:<(\d{{1,3}})>)?\[?({ISO}|{CLF}|{SYSLOG})\]?(?=[\s,|\]:;-]|$)", re.ASCII)
_ACCESS = lazy(rf"\S{{1,64}} \S{{1,64}} \S{{1,64}} \[({CLF})\] ", re.ASCII)
_KLOG = lazy(r"([IWEF])(\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?) +\d+ ([^\s\]]+:\d+)\] ", re.ASCII)
_RUBY = lazy(rf"[DIWEFA], \[({ISO}) #\d+\] +(\w+) -- ([^:]{{0,120}}): ", re.ASCII)
_PYTHON_ROOT = lazy(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):([\w.-]{1,120}):", re.ASCII)
_BRACKET_LEVEL = lazy(rf"\[({_WORD})\]:?\s+")
_LEVEL_COLON = lazy(r":\s+")
_LEVEL_SPACE = lazy(rf"\s+(?:\[({_NAME})\]\s+|-\s+)?")
_LETTERS = lazy(_WORD)

# After an instant.
_NEXT = lazy(rf"\s*({_WORD}|.)", re.DOTALL)
_AFTER_LEVEL = lazy(  # Spring Boot; log4j; Python's usual order; the same with a plain name
    r"\s+(?:\d+\s+---\s+(?:\[[^\]]*\]\s+)+(\S{1,120})\s+: ?"
    rf"|\[[^\]]{{0,120}}\]\s+({_NAME}){_AFTER_NAME}"
    rf"|([A-Za-z_$][\w$]*(?:[./][\w$<>]+)+)(?::\d+)?{_AFTER_NAME}"
    r"|([A-Za-z_$][\w$-]*)\s+-\s)"
)
_MONOLOG = lazy(r"\s+([A-Za-z_][\w-]{0,60})\.([A-Z]+):\s")
_LOGURU = lazy(rf"\s*\|\s*({_WORD})\s*\|\s*([^\s|]{{1,120}}) - ")
_DASHES = lazy(rf"\s+-\s+({_NAME})\s+-\s+([A-Za-z_][\w.]{{0,120}})\s+-\s+")  # Python's tutorial; level first
_THREAD = lazy(rf"\s+\[[^\]]{{0,120}}\]\s+({_WORD})\s+({_NAME}){_AFTER_NAME}")  # logback, log4j
_IN_BRACKETS = lazy(rf"[\s|:,-]*\[\s*({_WORD})\s*\][\s|:-]*")
_BARE = lazy(rf"[\s|:,-]*({_WORD})")
_BARE_END = lazy(r"\b[\s|:\]-]*")
_COLON_END = lazy(r"\s*[|:][\s|:-]*")
_SYSLOG_TAG = lazy(r"\s+[\w.:-]{1,255}\s+([\w./@-]{1,64})(?:\[\d+\])?: ", re.ASCII)
_SPRING_GROUP = 1  # of _AFTER_LEVEL: the only one that takes levels in any case
_LONGEST_HEAD = 512  # characters of a line in which its head is looked for


class Head(msgspec.Struct):
    """What stands before a text line's message. `end` is where the message begins; absent parts are None or 0."""

    timestamp: str | None = None
    level: str | None = None
    severity: int = 0
    logger: str | None = None
    end: int = 0

    def __bool__(self) -> bool:
        return self.timestamp is not None or self.severity > 0


_NOTHING = Head()  # shared: nobody changes a head


def read_head(line: str) -> Head:
    """The head of one text line; an empty one where no known layout is seen. Linear in the first 512 characters."""
    return _remembered(line[:_LONGEST_HEAD])


def find_head(line: str) -> Head:
    """The same without remembering it."""
    head = line[:_LONGEST_HEAD]
    first = head[:1]
    if not first or first.isspace():
        return _NOTHING
    found = None
    if first.isascii() and first.isalpha():
        match = _LEADING.match(head) if head[3:4] == " " else None
        found = _lettered(head) if match is None else _after_instant(head, match)
    elif first in "0123456789[<":
        match = _LEADING.match(head)
        if match is not None:
            return _after_instant(head, match)
        if first == "[":
            match = _BRACKET_LEVEL.match(head)
            number = _ANY.get(match[1].upper()) if match is not None else None
            if match is not None and number is not None:
                return Head(None, match[1], number, None, match.end())
    if found is None and "] " in head:
        match = _ACCESS.match(head)
        if match is not None:
            return Head(match[1])
    return found or _NOTHING


_remembered = lru_cache(maxsize=4)(find_head)  # a line is looked at as a continuation and then as a beginning


def _lettered(head: str) -> Head | None:  # noqa: PLR0911 - one return per layout
    """The head of a line that begins with a letter but no instant."""
    match = _LETTERS.match(head)
    assert match is not None
    word, at = match[0], match.end()
    if at == 1:
        match = _KLOG.match(head)
        if match is not None:
            return Head(match[2], match[1], severity.read(match[1]), match[3], match.end())
        match = _RUBY.match(head)
        if match is not None:
            return Head(match[1], match[2], _known(match[2]), match[3].strip() or None, match.end())
        return None
    number = _ANY.get(word.upper())
    if number is None:
        return None
    match = _PYTHON_ROOT.match(head)
    if match is not None:
        return Head(None, word, number, match[2], match.end())
    match = _LEVEL_COLON.match(head, at)
    if match is not None:
        return Head(None, word, number, None, match.end())
    match = _LEVEL_SPACE.match(head, at) if word in _UPPER else None
    return None if match is None else Head(None, word, number, match[1], match.end())


def _after_instant(head: str, instant: re.Match[str]) -> Head:
    written, begin = instant[2], instant.end()
    priority = _known(str(int(instant[1]) % 8)) if instant[1] else 0
    if written[0].isalpha():
        tag = _SYSLOG_TAG.match(head, begin)
        if tag is not None:
            return Head(written, None, priority, tag[1], tag.end())
    following = _NEXT.match(head, begin)
    if following is not None:
        word = following[1]
        if word[0].isalpha() and word.isascii():
            found = _worded(written, head, begin, word, following.end())
        else:
            find = _PUNCTUATED.get(word)
            found = None if find is None else find(written, head, begin)
        if found is not None:
            return found
    rest = head[begin:]
    return Head(written, None, priority, None, begin + len(rest) - len(rest.lstrip(" \t|:,-")))


def _worded(written: str, head: str, begin: int, word: str, at: int) -> Head | None:
    """A word follows the instant and ends at `at`: a level, or the channel before one."""
    number = _ANY.get(word.upper())
    if not head[at : at + 1].isspace():
        found = _monolog(written, head, begin)
        if found is not None:
            return found
    elif number is not None:
        match = _AFTER_LEVEL.match(head, at)
        group = match.lastindex if match is not None else None
        if match is not None and group is not None and (group == _SPRING_GROUP or word in _UPPER):
            return Head(written, word, number, match[group], match.end())
    return None if number is None else _bare_level(written, head, word, at, number)


def _bare_level(written: str, head: str, word: str, at: int, number: int) -> Head | None:
    match = _BARE_END.match(head, at) if word in _UPPER else None
    if match is None:
        match = _COLON_END.match(head, at)
    return None if match is None else Head(written, word, number, None, match.end())


def _monolog(written: str, head: str, begin: int) -> Head | None:
    match = _MONOLOG.match(head, begin)
    if match is None or match[2] not in _UPPER:
        return None
    return Head(written, match[2], _ANY[match[2]], match[1], match.end())


def _loguru(written: str, head: str, begin: int) -> Head | None:
    match = _LOGURU.match(head, begin)
    number = _ANY.get(match[1].upper()) if match is not None else None
    if match is None or number is None:
        return _punctuated(written, head, begin)
    return Head(written, match[1], number, match[2], match.end())


def _dashes(written: str, head: str, begin: int) -> Head | None:
    match = _DASHES.match(head, begin)
    if match is not None:
        for logger, level in (match.groups(), match.groups()[::-1]):
            number = _ANY.get(level.upper())
            if number is not None:
                return Head(written, level, number, logger, match.end())
    return _punctuated(written, head, begin)


def _bracket(written: str, head: str, begin: int) -> Head | None:
    match = _THREAD.match(head, begin)
    number = _ANY.get(match[1].upper()) if match is not None else None
    if match is not None and number is not None:
        return Head(written, match[1], number, match[2], match.end())
    return _punctuated(written, head, begin)


def _punctuated(written: str, head: str, begin: int) -> Head | None:
    """A level in brackets or alone, after any punctuation."""
    match = _IN_BRACKETS.match(head, begin)
    number = _ANY.get(match[1].upper()) if match is not None else None
    if match is not None and number is not None:
        return Head(written, match[1], number, None, match.end())
    match = _BARE.match(head, begin)
    number = _ANY.get(match[1].upper()) if match is not None else None
    if match is None or number is None:
        return None
    return _bare_level(written, head, match[1], match.end(), number)


_PUNCTUATED = {"-": _dashes, "|": _loguru, "[": _bracket, ":": _punctuated, ",": _punctuated, "_": _monolog}
