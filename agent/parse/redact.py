"""Values of configured keys are replaced before anything is stored: in JSON at any depth, in text by pattern."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.core.event import REDACTED
from agent.core.journal import text_of
from agent.core.patterns import lazy
from agent.parse.careful import decode_text, dump, locate
from agent.parse.exports import may_be_bytes, may_have_bytes, without_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.careful import JsonLine

# Letters whose lower case, or whose match without regard to case, is an ASCII letter: K (Kelvin), ſ, İ and ı.
_FOLDED = lazy(rb"\xe2\x84\xaa|\xc5\xbf|\xc4[\xb0\xb1]")
_ESCAPED = lazy(r"\\{1,32}u(?!d[89a-f]|00[01])([0-9a-f]{4})", re.IGNORECASE)  # no control, no surrogate
# JSON inside a string, or cut off, has backslashes before its quotes, and \n before the next word.
_QUOTE = r"""(?:\\{0,32}["'])?"""
_BARE = r"[^\s,;&}\]]"  # of a value without quotes
_WORD = r"[^\s,;&}\]=:]"  # of one that runs into no key
_ESCAPED_VALUE = r"""(?P<quote>\\{1,32}["'])(?:(?!(?<!\\)(?P=quote))(?s:.))*"""


class Redactor:
    """Replaces the values of some keys, compared without regard to case."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {key.lower() for key in keys}
        names = "|".join(sorted((re.escape(key) for key in keys), key=len, reverse=True))
        self._lower = tuple(key.encode().lower() for key in keys)  # of ASCII's letters alone, as `may_apply` looks
        self._ascii = names.isascii()
        # key=value, key: value, "key": "value"; bounded repetition before the value keeps it linear. What was replaced
        # before stays as it is. A value without quotes may run into another key, whose value goes with it.
        key = (
            rf"""(?:(?<![A-Za-z0-9_])|(?<=\\[nrt])){_QUOTE}(?:{names}){_QUOTE}\s{{0,4}}[=:]\s{{0,4}}"""
            r"""(?:(?:bearer|basic|token)\s{1,4})?"""
        )
        whole = rf"""{re.escape(REDACTED)}|{_ESCAPED_VALUE}|"(?:[^"\\]|\\.)*"?|'[^']*'?"""
        inner = whole.replace("quote", "inner")
        self._pair = re.compile(
            rf"(?P<key>{key})(?:{whole}|{_WORD}++(?![=:])|(?=(?P<run>(?:{_BARE}*?{key})+))(?P=run)(?:{inner}|{_BARE}*)|{_BARE}+)",
            re.IGNORECASE,
        )

    def may_apply(self, data: bytes) -> bool:
        """Whether any key name may occur; a JSON escape could hide a letter of one, so a backslash-u counts too."""
        if b"\\u" in data or not (data.isascii() or (self._ascii and _FOLDED.search(data) is None)):
            return True
        lower = data.lower()  # a tenth of the price of a search without regard to case
        return any(key in lower for key in self._lower) or may_have_bytes(data)

    def record(self, line: JsonLine, original: bytes) -> bool:
        """Replace the values in an object; whether there was anything to replace. May meet the recursion limit.

        Args:
            line: is changed.
            original: the line itself, which may say more than the object: of a key that it has twice both values.
        """
        record, hidden = self.value(line.record)
        if not hidden and not line.verbatim:
            text = decode_text(original)[0]
            hidden = self.text(text) != text
        if hidden:  # what is kept is a sound line from now on
            line.record, line.text, line.error = record, dump(record), None
        return hidden

    def line(self, line: bytes) -> bytes:
        """A line of text with replacements, those in an object at its end as in a line that is one; bytes that are no
        UTF-8 stay, but in a value.
        """
        text = line.decode("utf-8", "surrogateescape")
        found = locate(text.rstrip())
        hidden = self.text(text) if found is None else self._with_object(text, *found)
        return line if hidden == text else hidden.encode("utf-8", "surrogateescape")

    def _with_object(self, text: str, begin: int, line: JsonLine) -> str:
        """The text that has an object from `begin` on, which may be the value of a key before it."""
        before = text[:begin]
        if any(match.end() > begin for match in self._pair.finditer(f"{before}x")):
            return self.text(f"{before}x")
        original = text[begin:].rstrip()
        try:
            hidden = self.record(line, original.encode("utf-8", "surrogateescape"))
        except RecursionError:
            return self.text(text)
        return self.text(before) + (line.text if hidden else original) + text[begin + len(original) :]

    def value(self, value: Any) -> tuple[Any, bool]:
        """The JSON value with replacements, and whether there were any. The input is left as it is."""
        if type(value) is dict:
            changed = False
            rebuilt: dict[str, Any] = {}
            for key, inner in value.items():
                if key.lower() in self._keys:
                    rebuilt[key], touched = REDACTED, inner != REDACTED
                elif type(inner) is list and may_be_bytes(key):
                    found, touched = self.value(text_of(inner))
                    rebuilt[key] = found if touched else inner
                else:
                    rebuilt[key], touched = self.value(inner)
                changed |= touched
            return (rebuilt, True) if changed else (value, False)
        if type(value) is list:
            items = [self.value(inner) for inner in value]
            return ([item for item, _ in items], True) if any(touched for _, touched in items) else (value, False)
        if type(value) is str:
            text = self.text(value)
            return text, text != value
        return value, False

    def text(self, text: str) -> str:
        """Text with the values of `key=value` and `key: value` replaced, and its escapes undone where one hid a key."""
        if "[" in text:
            text = without_bytes(text, lambda value: self.value(value)[1], REDACTED)
        if self._ascii and text.isascii() and "\\u" not in text:
            lower = text.lower()
            if not any(key in lower for key in self._keys):  # 0.2 µs instead of 3
                return text
        hidden, found = self._replace(text)
        if "\\u" in text:
            plain, more = self._replace(_ESCAPED.sub(lambda match: chr(int(match[1], 16)), text))
            if more > found:
                return plain
        return hidden

    def _replace(self, text: str) -> tuple[str, int]:
        return self._pair.subn(rf"\g<key>{REDACTED}", text)
