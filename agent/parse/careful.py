"""One line of JSON, read so that nothing is lost: what is odd about it becomes a reason, never an exception.

A record is the line itself wherever SQLite's `json_valid` takes it; otherwise an object built from it, while the
original bytes stay beside it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import orjson

from agent.core.fields import exact_int
from agent.core.patterns import lazy
from agent.parse.exports import MESSAGE, RESOURCE_LOGS, unfolded

BOM = b"\xef\xbb\xbf"
MAX_DEPTH = 900  # SQLite's json_valid stops at 1,000 levels, orjson at 1,024
_SAFE_BRACKETS = 500
_MOST_TRIES = 4  # places in a text where an object may begin, each read once at the most
_BEGIN = lazy(r'\{\s{0,8}"')
_SURROGATE = lazy("[\ud800-\udfff]")
_ESCAPED_BYTE = 0xDC80  # where surrogateescape begins to put bytes that are no UTF-8


class JsonLine(msgspec.Struct):
    """A line that is a JSON object. `verbatim`: `text` is the line as it lies in the file (less BOM and CR)."""

    record: dict[str, Any]
    text: str
    verbatim: bool
    error: str | None = None


class NotAnObjectError(ValueError):
    """The line is no JSON object; the argument says what it is instead."""


def read_object(line: bytes) -> JsonLine:
    """Decode a line without its newline, carriage return and byte order mark.

    Raises:
        NotAnObjectError: it is no JSON, or JSON but no object, or nested deeper than 900 levels.
    """
    try:
        record = orjson.loads(line)
    except (orjson.JSONDecodeError, RecursionError):
        return _read_leniently(line)
    if type(record) is not dict:
        raise NotAnObjectError(f"a JSON {_kind(record)}, not an object")
    if too_deep(line):
        raise NotAnObjectError("nested too deep")
    duplicate = _duplicate_key(record, line)
    error = None if duplicate is None else f"duplicate key {duplicate!r}"
    if (RESOURCE_LOGS in record or MESSAGE in record) and (made := unfolded(record)) is not None:
        return JsonLine(made, dump(made), verbatim=False, error=error)
    if error is not None:
        return JsonLine(record, dump(record), verbatim=False, error=error)
    return JsonLine(record, line.decode(), verbatim=True)


def find_object(line: bytes, *, json: bool, only_json: bool) -> tuple[JsonLine | None, str | None]:
    """The object that a line is; or why it is none, where that is worth saying: a text file's lines are no broken JSON,
    but what begins as an object, or is another JSON value, says so.

    Args:
        line: without its newline, carriage return and byte order mark.
        json: it may be an object.
        only_json: nothing else is expected.
    """
    first = line.lstrip(b" \t\r\n")[:1]
    if not (json and may_be_json(line, first, only_json=only_json)):
        return None, "not JSON" if only_json else None
    try:
        return read_object(line), None
    except NotAnObjectError as error:
        reason = str(error)
        is_worth_saying = first == b"{" or only_json or not reason.startswith("not JSON")
        return None, reason if is_worth_saying else None
    except RecursionError:
        return None, "nested too deep"


def locate(text: str) -> tuple[int, JsonLine] | None:
    """Where the object begins that a text ends with, and the object; None where it ends with none.

    Args:
        text: without newline; bytes that are no UTF-8 may be surrogates. It takes time linear in its length.
    """
    if text[-1:] != "}":
        return None
    for count, match in enumerate(_BEGIN.finditer(text)):
        if count == _MOST_TRIES:
            break
        try:
            return match.start(), read_object(text[match.start() :].encode("utf-8", "surrogateescape"))
        except (NotAnObjectError, RecursionError, UnicodeEncodeError):
            continue
    return None


def may_be_json(line: bytes, first: bytes, *, only_json: bool) -> bool:
    """Whether it is worth trying to read a line as JSON.

    Args:
        line: without its newline, carriage return and byte order mark.
        first: its first byte that is no blank; nothing where there is none.
        only_json: nothing else is expected.
    """
    if not first or first not in b'{["-0123456789tfn':
        return False
    return first == b"{" or only_json or not surely_text(line)


def surely_text(line: bytes) -> bool:
    """Whether a line that begins like a JSON value other than an object is none, so that trying it can be left out.

    The lines of most text logs begin with the digit of an instant. False says nothing.
    """
    line = line.lstrip(b" \t\r\n")
    first = line[:1]
    if b"\0" in line:
        return False
    if first in b"-0123456789":
        return _NO_NUMBER.match(line) is not None
    if first == b"[":
        return line.rstrip()[-1:] != b"]" and line.count(b"[") < _SHALLOW
    if first == b'"':
        return line.rstrip()[-1:] != b'"'
    return line.strip() not in _CONSTANTS


_NO_NUMBER = lazy(rb"-[^0-9I]|-?[0-9]+(?:[^0-9.eE\s]|\.[^0-9]|\.[0-9]+[^0-9eE\s]|\s+\S)")
_CONSTANTS = frozenset({b"true", b"false", b"null"})
_SHALLOW = 100  # brackets, which no recursion limit minds


def _duplicate_key(record: dict[str, Any], line: bytes) -> str | None:
    """The first key that comes twice in an object. Written again the record has fewer quotes then.

    The exact look costs ten times more. Below 254 levels, which orjson does not write, it may be too deep itself.
    """
    try:
        if line.count(b'"') == orjson.dumps(record).count(b'"') and b"\\u0022" not in line:
            return None
    except TypeError:
        pass
    pairs = _Pairs()
    try:
        json.loads(line.decode(), object_pairs_hook=pairs, parse_int=exact_int)
    except RecursionError:
        return None
    return pairs.key


class _Pairs:
    """Builds objects for `json.loads` and remembers the first key that came twice."""

    key: str | None = None

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if self.key is None and len(record) != len(pairs):
            seen: set[str] = set()
            self.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return record


def _read_leniently(line: bytes) -> JsonLine:
    """What orjson refuses: NaN, lone surrogates, bytes that are no UTF-8, huge numbers; or no JSON at all."""
    errors = []
    text = line.decode("utf-8", "surrogateescape")
    if "\x00" in text:
        raise NotAnObjectError("NUL bytes: not UTF-8 text")
    bad = _SURROGATE.search(text)
    if bad is not None:
        errors.append(f"invalid UTF-8 at byte {len(text[: bad.start()].encode())}")
    constants: list[str] = []
    pairs = _Pairs()
    record = _load_leniently(text, constants, pairs)
    if type(record) is not dict:
        raise NotAnObjectError(f"a JSON {_kind(record)}, not an object")
    if too_deep(line):
        raise NotAnObjectError("nested too deep")
    if constants:
        errors.append(f"{constants[0]} is not JSON")
    if pairs.key is not None:
        errors.append(f"duplicate key {scrub(pairs.key)!r}")
    clean = _scrub_value(record)
    if bad is None and clean != record:
        errors.append("lone surrogate")
    if not errors:  # only a number beyond a double: valid JSON as it stands
        return JsonLine(record, text, verbatim=True)
    return JsonLine(clean, dump(clean), verbatim=False, error=", ".join(errors))


def _load_leniently(text: str, constants: list[str], pairs: _Pairs) -> Any:
    """JSON with NaN and Infinity as their names, which are noted in `constants`."""

    def constant(name: str) -> str:
        constants.append(name)
        return name

    try:
        return json.loads(text, parse_constant=constant, parse_int=exact_int, object_pairs_hook=pairs)
    except RecursionError:
        raise NotAnObjectError("nested too deep") from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # as "Invalid control character at" ends
        raise NotAnObjectError(f"not JSON: {what} at character {error.pos + 1}") from None


def too_deep(line: bytes) -> bool:
    """Whether brackets outside strings nest deeper than MAX_DEPTH; only asked of valid JSON."""
    if line.count(b"{") + line.count(b"[") <= _SAFE_BRACKETS:
        return False
    depth = 0
    for match in _BRACKETS.finditer(line):
        char = match[0][:1]
        if char in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif char in b"}]":
            depth -= 1
    return False


_BRACKETS = lazy(rb'[{}\[\]]|"(?:[^"\\]|\\.)*"', re.DOTALL)


def dump(record: dict[str, Any]) -> str:
    """An object as JSON text; integers of any size as they are."""
    try:
        return orjson.dumps(record).decode()
    except TypeError:
        return json.dumps(_finite(record), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if type(value) is dict:
        return {key: _finite(inner) for key, inner in value.items()}
    if type(value) is list:
        return [_finite(inner) for inner in value]
    return str(value) if type(value) is float and abs(value) == float("inf") else value


def scrub(text: str) -> str:
    r"""Text without surrogates: a byte that is no UTF-8 becomes `\xNN`, a lone surrogate `\uNNNN`."""
    return _SURROGATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if _ESCAPED_BYTE <= code <= 0xDCFF else f"\\u{code:04x}"  # noqa: PLR2004


def _scrub_value(value: Any) -> Any:
    if type(value) is str:
        return scrub(value)
    if type(value) is dict:
        return {scrub(key): _scrub_value(inner) for key, inner in value.items()}
    return [_scrub_value(inner) for inner in value] if type(value) is list else value


def decode_text(line: bytes) -> tuple[str, str | None]:
    r"""A text line and what is wrong with it: bytes that are no UTF-8 become `\\xNN`."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return line.decode("utf-8", "backslashreplace"), f"invalid UTF-8 at byte {error.start}"
    return text, "NUL bytes" if "\x00" in text else None


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", int: "number", float: "number", bool: "boolean"}
    return names.get(type(value), "null")
