r"""logfmt: `ts=2026-11-22T05:39:26Z level=error msg="connection \"db\" lost" attempt=3`.

As go-kit, logrus, slog's TextHandler, zerolog, Heroku's router, Grafana and Prometheus write it. The record has the
keys of the line, so that the same names count as in a JSON line (`core.fields.ALIASES`); a key without a value is true,
of a key that comes twice the last value counts, integers are numbers, and everything else is text, which compares as a
number where it is one. A line without a message is its own.
https://brandur.org/logfmt https://pkg.go.dev/github.com/go-logfmt/logfmt

The pattern of a pair also finds those of all lines of a chunk at once, where none of its quotes reaches over a line.
"""

from __future__ import annotations

from functools import lru_cache
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.core import severity
from agent.core.fields import ALIASES
from agent.core.patterns import lazy
from agent.parse.formats import ROLE_KEYS, Head, TextFormat

if TYPE_CHECKING:
    import re

_PAIR = lazy(r'([^\s="]+)(?:(=)(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^\s"]\S*+)?))?|\S++')
_BEGIN = lazy(r'[A-Za-z_@][^\s="]{0,127}=')
_ESCAPE = lazy(r"\\(?:u([0-9A-Fa-f]{4})|(.))")
_SHORT = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_MOST_DIGITS = 15  # of an integer that every reader of JSON keeps
_INSTANT = lazy(r"\d{4}[-/]\d\d[-/]\d\d|\d{9,19}(?:\.\d+)?$|\d\d/[A-Z][a-z]{2}/\d{4}:|[A-Z][a-z]{2}[ ,]", 0)
_WORDS = lazy(r'[^\s"]\S*(?:\s++(?![^\s="]+=)\S+)*')
_AUDIT = lazy(r"audit\((\d{9,12}\.\d{1,9}):\d+\):?")  # Linux's audit daemon: `type=SYSCALL msg=audit(INSTANT:ID): …`
_DURATION = lazy(r"\d+(?:\.\d+)?(?:ms|µs|us|s)")
_USUAL_LENGTH = 4096  # characters of a line whose keys may be remembered
_MORE_NAMES = {"timestamp": ("t",), "severity": ("at",), "logger": (), "message": ()}  # Grafana's, Heroku's
_NAMES = {
    role: {name: rank for rank, name in enumerate([*(path[0] for path in ALIASES[role] if len(path) == 1), *more])}
    for role, more in _MORE_NAMES.items()
}
_REASONS = ("err", "error", "desc", "reason")  # which are the message where there is none
_CERTAIN = frozenset(("msg", "message"))  # keys of a message that few others mean something by


class _Roles(NamedTuple):
    """Keys of a line that may hold instant, level, logger and message, in the order in which they count."""

    timestamp: list[str]
    severity: list[str]
    logger: list[str]
    message: list[str]


@lru_cache(maxsize=256)
def _roles(keys: tuple[str, ...]) -> _Roles:
    return _Roles(*(sorted([key for key in keys if key in names], key=names.__getitem__) for names in _NAMES.values()))


def find(line: str) -> Head | None:
    """The head of a line that begins with a pair."""
    return _find(line, sure=False)


def find_surely(line: str) -> Head | None:
    """The head of a line that is logfmt beyond doubt: it consists of pairs, one of them an instant, a level or a
    message.
    """
    return _find(line, sure=True)


def _find(line: str, *, sure: bool) -> Head | None:
    if _BEGIN.match(line) is None:
        return None
    fields = _plain_pairs(line) if "\\" not in line else None
    if fields is None:
        fields = _pairs(line)
    bare = sum(value is True for value in fields.values()) if True in fields.values() else 0
    if sure and (bare * 2 > len(fields) or len(fields) - bare < 2):  # noqa: PLR2004 - prose has one, perhaps
        return None
    roles = _roles(tuple(fields)) if len(line) <= _USUAL_LENGTH else _roles.__wrapped__(tuple(fields))
    return _head(line, fields, roles, sure=sure, bare=bare > 0)


def _pairs(line: str) -> dict[str, Any]:
    """The pairs of any line."""
    fields: dict[str, Any] = {}
    for key, equals, quoted, plain in _PAIR.findall(line):
        if plain:
            fields[key] = _value(plain)
        elif equals:
            fields[key] = _unescaped(quoted) if "\\" in quoted else quoted
        elif key:
            fields.setdefault(key, True)
    return fields


def _plain_pairs(line: str) -> dict[str, Any] | None:
    """The same for a line without a backslash where each quote is one around a whole value, which most lines are: half
    the time. None for another one.
    """
    fields: dict[str, Any] = {}
    parts = line.split('"')
    last = len(parts) - 1
    if last & 1:
        return None
    for index in range(0, last + 1, 2):
        part = parts[index]
        quoted = index < last
        if (quoted and part[-1:] != "=") or (index and part and not part[0].isspace()):
            return None
        for token in part.split():
            key, equals, value = token.partition("=")
            if value:
                fields[key] = value if value[-1] not in digits else _value(value)
            elif equals:
                fields[key] = ""
            else:
                fields.setdefault(key, True)
        if quoted:
            if not token.endswith("=") or token.count("=") != 1:
                return None
            fields[key] = parts[index + 1]
    return None if "" in fields else fields


def _value(text: str) -> int | str:
    number = text[1:] if text[0] == "-" else text
    plain = number.isdigit() and number.isascii() and len(number) <= _MOST_DIGITS and (number[0] != "0" or text == "0")
    return int(text) if plain else text


def _head(line: str, fields: dict[str, Any], roles: _Roles, *, sure: bool, bare: bool) -> Head | None:
    number, level, level_key = _level(fields, roles)
    written, timestamp_key = _instant(fields, roles, sure=number > 0)
    if sure and written is None and number == 0 and _CERTAIN.isdisjoint(fields):
        return None
    logger_key = roles.logger[0] if roles.logger else ROLE_KEYS[2]
    logger = fields[logger_key] if roles.logger else None
    message, message_key = _message(line, fields, roles, bare=bare)
    if message is not None and message.startswith("audit(") and (audit := _AUDIT.fullmatch(message)) is not None:
        written, message, message_key = written or audit[1], None, ROLE_KEYS[3]
    service = fields.get("service")
    if type(service) is str and _DURATION.fullmatch(service):
        fields["service_time"] = fields.pop("service")  # Heroku's router: a time, and no name
    name = logger if type(logger) is str and logger else None
    end, keys = 0 if message is None else len(line), (timestamp_key, level_key, logger_key, message_key)
    return Head(written, level, number, name, end, message, fields, keys)


@lru_cache(maxsize=1024, typed=True)
def _severity_of(value: int | str, key: str) -> int:
    return severity.look_up(value, (key,))


def _level(fields: dict[str, Any], roles: _Roles) -> tuple[int, str | None, str]:
    """Severity, level as it is written and its key, of the first key whose value is one."""
    for key in roles.severity:
        value = fields[key]
        number = _severity_of(value, key) if value is not True else 0
        if number > 0:
            return number, str(value), key
    return 0, None, ROLE_KEYS[1]


def _instant(fields: dict[str, Any], roles: _Roles, *, sure: bool) -> tuple[str | None, str]:
    """The instant as it is written, and its key; where the line is `sure` to be logfmt the only one that there is, for
    one that is none says so when it is read.
    """
    for key in roles.timestamp:
        written = str(fields[key])
        if (sure and len(roles.timestamp) == 1) or _INSTANT.match(written):
            if key in _MORE_NAMES["timestamp"]:
                del fields[key]  # no reader of the record knows this name
                return written, ROLE_KEYS[0]
            return written, key
    return None, ROLE_KEYS[0]


def _message(line: str, fields: dict[str, Any], roles: _Roles, *, bare: bool) -> tuple[str | None, str]:
    """The message and its key; None where the whole line is the message. `bare`: there are keys without a value."""
    if roles.message:
        key = roles.message[0]
        return _with_words(line, key, fields) if bare else str(fields[key]), key
    reason = next((fields[key] for key in _REASONS if key in fields), None)
    return (reason if type(reason) is str and reason else None), ROLE_KEYS[3]


def _with_words(line: str, key: str, fields: dict[str, Any]) -> str:
    """The message with the words that follow it, where a person has left out its quotes; they are no keys then."""
    start = 0 if line.startswith(f"{key}=") else line.find(f" {key}=") + 1
    match = _WORDS.match(line, start + len(key) + 1) if line.startswith(key, start) else None
    if match is None:
        return str(fields[key])
    for word in match[0].split():
        if fields.get(word) is True:
            del fields[word]
    return match[0].rstrip()


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    if match[1] is not None:
        code = int(match[1], 16)
        return match[0] if 0xD800 <= code <= 0xDFFF else chr(code)  # noqa: PLR2004 - half of a pair of surrogates
    return _SHORT.get(match[2], match[0])


FORMAT = TextFormat(ascii_letters + "_@", find, find_surely)
