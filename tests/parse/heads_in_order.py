"""The layouts of text lines one after the other, as documented: what `find_head` must find, whatever it skips."""

from __future__ import annotations

import re

from agent.core import severity
from agent.parse.formats import Head
from agent.parse.timestamps import CLF, ISO, SYSLOG

_UPPER = (
    "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL|PANIC|ALERT|EMERG|EMERGENCY|ERR|CRIT|SUCCESS"
    "|FINE|FINER|FINEST|CONFIG|VERBOSE|DPANIC"
)
_ANY = f"(?ai:{_UPPER}|INFORMATION|DBG|INF|WRN|FTL|TRC|VRB)"
_NAME = r"[A-Za-z_$][\w$./:<>#-]{0,120}"

# Anchored, without nested repetition over the same characters: linear in the length of the line.
_LEADING = re.compile(rf"(?:<(\d{{1,3}})>)?\[?({ISO}|{CLF}|{SYSLOG})\]?(?=[\s,|\]:;-]|$)", re.ASCII)
_ACCESS = re.compile(rf"\S{{1,64}} \S{{1,64}} \S{{1,64}} \[({CLF})\] ", re.ASCII)
_KLOG = re.compile(r"([IWEF])(\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})?) +\d+ ([^\s\]]+:\d+)\] ", re.ASCII)
_RUBY = re.compile(rf"[DIWEFA], \[({ISO}) #\d+\] +(\w+) -- ([^:]{{0,120}}): ", re.ASCII)
_PYTHON_ROOT = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):([\w.-]{1,120}):", re.ASCII)

_AFTER_INSTANT = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\s+(?P<level>{_ANY})\s+\d+\s+---\s+(?:\[[^\]]*\]\s+)+(?P<logger>\S{{1,120}})\s+: ?",  # Spring Boot
        rf"\s*\|\s*(?P<level>{_ANY})\s*\|\s*(?P<logger>[^\s|]{{1,120}}) - ",  # loguru
        rf"\s+-\s+(?P<logger>{_NAME})\s+-\s+(?P<level>{_ANY})\s+-\s+",  # Python's tutorial
        rf"\s+-\s+(?P<level>{_ANY})\s+-\s+(?P<logger>[A-Za-z_][\w.]{{0,120}})\s+-\s+",
        rf"\s+\[[^\]]{{0,120}}\]\s+(?P<level>{_ANY})\s+(?P<logger>{_NAME})(?:\s+-|:|\s+:)\s",  # logback, log4j
        rf"\s+(?P<level>(?:{_UPPER}))\s+\[[^\]]{{0,120}}\]\s+(?P<logger>{_NAME})(?:\s+-|:|\s+:)\s",
        rf"\s+(?P<level>(?:{_UPPER}))\s+(?P<logger>[A-Za-z_$][\w$]*(?:[./][\w$<>]+)+)(?::\d+)?(?:\s+-|:|\s+:)\s",
        rf"\s+(?P<level>(?:{_UPPER}))\s+(?P<logger>[A-Za-z_$][\w$-]*)\s+-\s",
        rf"\s+(?P<logger>[A-Za-z_][\w-]{{0,60}})\.(?P<level>(?:{_UPPER})):\s",  # Monolog
        rf"[\s|:,-]*\[\s*(?P<level>{_ANY})\s*\][\s|:-]*",
        rf"[\s|:,-]*(?P<level>(?:{_UPPER}))\b[\s|:\]-]*",
        rf"[\s|:,-]*(?P<level>{_ANY})\s*[|:][\s|:-]*",
    )
)
_WITHOUT_INSTANT = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\[(?P<level>{_ANY})\]:?\s+",
        rf"(?P<level>{_ANY}):\s+",
        rf"(?P<level>(?:{_UPPER}))\s+(?:\[(?P<logger>{_NAME})\]\s+|-\s+)?",
    )
)
_SYSLOG_TAG = re.compile(r"\s+[\w.:-]{1,255}\s+(?P<logger>[\w./@-]{1,64})(?:\[\d+\])?: ", re.ASCII)
_SYSLOG_INSTANT = re.compile(SYSLOG, re.ASCII)
_LONGEST_HEAD = 512  # characters of a line in which its head is looked for


def read_head_in_order(line: str) -> Head:  # noqa: PLR0911 - one return per layout
    first = line[:1]
    if not first or first.isspace():
        return Head()
    head = line[:_LONGEST_HEAD]
    match = _LEADING.match(head)
    if match is not None:
        return _after_instant(head, match)
    match = _KLOG.match(head)
    if match is not None:
        return Head(match[2], match[1], severity.read(match[1]), match[3], match.end())
    match = _RUBY.match(head)
    if match is not None:
        return Head(match[1], match[2], _known(match[2]), match[3].strip() or None, match.end())
    match = _PYTHON_ROOT.match(head)
    if match is not None:
        return Head(None, match[1], severity.read(match[1]), match[2], match.end())
    for pattern in _WITHOUT_INSTANT:
        match = pattern.match(head)
        if match is not None:
            return _named(None, match, 0)
    match = _ACCESS.match(head)
    return Head(match[1]) if match is not None else Head()


def _after_instant(head: str, instant: re.Match[str]) -> Head:
    rest, begin = head[instant.end() :], instant.end()
    priority = _known(str(int(instant[1]) % 8)) if instant[1] else 0
    if _SYSLOG_INSTANT.fullmatch(instant[2]):
        tag = _SYSLOG_TAG.match(rest)
        if tag is not None:
            return Head(instant[2], None, priority, tag["logger"], begin + tag.end())
    for pattern in _AFTER_INSTANT:
        match = pattern.match(rest)
        if match is not None:
            return _named(instant[2], match, begin)
    blank = len(rest) - len(rest.lstrip(" \t|:,-"))
    return Head(instant[2], None, priority, None, begin + blank)


def _named(timestamp: str | None, match: re.Match[str], begin: int) -> Head:
    parts = match.groupdict()
    return Head(timestamp, parts["level"], _known(parts["level"]), parts.get("logger"), begin + match.end())


def _known(level: str) -> int:
    return max(0, severity.read(level))
