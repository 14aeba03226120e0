r"""Patterns of log lines that a person wrote: regular expressions whose named groups say what the parts of a line are.

`^(?P<timestamp>\S+ \S+) (?P<severity>\w+) (?P<message>.*)` is one. The names of roles are those of the configuration's
`fields`; any other name is an attribute. A group's name has letters, digits and underscores alone, so that two
underscores stand for a dot, as in the variables of the environment: `http__response__status_code` is the attribute
`http.response.status_code`. `level`, `time` and `msg` are taken for the roles of `severity`, `timestamp` and `message`
where these are not there.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from agent.core.expressions import wrong_with
from agent.core.patterns import lazy

MOST_CHARACTERS = 4_000  # of one pattern: forty groups; compiling it takes 10 ms
MOST_PATTERNS = 64  # of one source: a line that none fits meets all of them
ROLES = ("timestamp", "severity", "message", "logger", "service", "trace_id", "span_id")
_SYNONYMS = {"level": "severity", "lvl": "severity", "time": "timestamp", "msg": "message"}
_KEYS = {"severity": "level"}  # of the record, where they are others than the names of the roles
_GROK = lazy(r"%\{[A-Z][A-Z0-9_]*(?::[^}]*)?\}")
_OTHER_GROUP = lazy(r"\(\?(?:<([A-Za-z_][\w.-]*)>|'([A-Za-z_][\w.-]*)')")
_BAD_NAME = lazy(r"\(\?P<([^>)=!]*)>")
_GROUP = lazy(r"\(\?P<(\w+)>")
_DOT = lazy(r"(?<=[^_])__(?=_*[^_])")
_VERBOSE = lazy(r"\(\?[aiLmsu]*x")


class Problem(NamedTuple):
    """Why a pattern is refused: a key of the catalogue, and the facts of its sentence."""

    key: str
    facts: dict[str, Any]


def roles_of(names: dict[str, int]) -> dict[str, int]:
    """The numbers of the groups that have a role, by role.

    Args:
        names: the names of all groups, and their numbers.
    """
    found = {role: names[role] for role in ROLES if role in names}
    for name, role in _SYNONYMS.items():
        if name in names and role not in found:
            found[role] = names[name]
    return found


def attributes_of(names: dict[str, int]) -> dict[str, int]:
    """The numbers of the groups that have none, by the name of their attribute."""
    taken = set(roles_of(names).values())
    return {attribute_name(name): number for name, number in names.items() if number not in taken}


def attribute_name(group: str) -> str:
    """What the attribute of a group is called: two underscores between its words are a dot."""
    return _DOT.sub(".", group)


def names_in(text: str) -> list[str]:
    """What the groups of a pattern are called in the records of its lines, whether they have a role or not."""
    return [attribute_name(name) for name in _GROUP.findall(text)]


def problem_with(text: str) -> Problem | None:
    """Why a text is refused as a pattern of lines; None where it is not."""
    if why := wrong_with(text, MOST_CHARACTERS):
        return _unreadable(text, why)
    if (grok := _GROK.search(text)) is not None:
        return Problem("SL130.grok", {"value": grok[0], "at": grok.start() + 1})
    if "\n" in text and not _VERBOSE.match(text):
        return Problem("SL130.newline", {"at": text.index("\n") + 1})
    names = dict(re.compile(text).groupindex)
    return _collision(text, names) if names else Problem("SL130.groups", {})


def _unreadable(text: str, why: str) -> Problem:
    """Why a text is no expression, or none that may be used."""
    if len(text) > MOST_CHARACTERS:
        return Problem("SL130", {"why": why})
    try:
        re.compile(text)
    except re.error as error:
        return _foreign(text) or _syntax(text, error)
    except (RecursionError, OverflowError):
        pass
    return Problem("SL130", {"why": why})


def _foreign(text: str) -> Problem | None:
    """What other tools write, and Python does not read."""
    other = _OTHER_GROUP.search(text)
    if other is not None:
        name = other[1] or other[2]
        return Problem("SL130.perl", {"value": other[0], "at": other.start() + 1, "better": f"(?P<{_usable(name)}>"})
    for named in _BAD_NAME.finditer(text):
        if not named[1].isidentifier():
            facts = {"value": named[1], "at": named.start(1) + 1, "better": _usable(named[1])}
            return Problem("SL130.name", facts)
    return None


def _usable(name: str) -> str:
    """A name that a group may have, for one that it may not."""
    found = re.sub(r"\W", "_", name.replace(".", "__"), flags=re.ASCII) or "name"
    return f"_{found}" if found[0].isdigit() else found


def _syntax(text: str, error: re.error) -> Problem:
    at = error.pos or 0
    if error.msg.startswith("redefinition of group name"):
        name = error.msg.split("'")[1]
        places = [found.start() for found in re.finditer(rf"\(\?P<{re.escape(name)}>", text)]
        return Problem("SL130.twice", {"name": name, "at": (places[1:] or [at])[0] + 1})
    return Problem("SL130.syntax", {"why": error.msg, "at": at + 1, "near": text[at : at + 20] or "its end"})


def _collision(text: str, names: dict[str, int]) -> Problem | None:
    """Two groups that would be the same field of an event."""
    keys: dict[str, str] = {}
    by_number = {number: name for name, number in names.items()}
    fields = [(_KEYS.get(role, role), number) for role, number in roles_of(names).items()]
    for key, number in (*fields, *attributes_of(names).items()):
        name = by_number[number]
        if key in keys:
            at = max(text.find(f"(?P<{one}>") for one in (name, keys[key])) + 1
            return Problem("SL130.collide", {"name": keys[key], "other": name, "key": key, "at": at})
        keys[key] = name
    return None
