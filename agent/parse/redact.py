"""Values of configured keys are replaced before anything is stored: in JSON at any depth, in text by pattern."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLACEMENT = "[redacted]"


class Redactor:
    """Replaces the values of some keys, compared without regard to case."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {key.lower() for key in keys}
        names = "|".join(sorted((re.escape(key) for key in keys), key=len, reverse=True))
        self._present = re.compile(names.encode(), re.IGNORECASE)
        # key=value, key: value, "key": "value"; bounded repetition before the value keeps it linear.
        self._pair = re.compile(
            rf"""((?<![A-Za-z0-9_])["']?(?:{names})["']?\s{{0,4}}[=:]\s{{0,4}}(?:(?:bearer|basic|token)\s{{1,4}})?)"""
            r"""("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&}\]]+)""",
            re.IGNORECASE,
        )

    def may_apply(self, data: bytes) -> bool:
        """Whether any key name occurs; a JSON escape could hide a letter of one, so a backslash-u counts too."""
        return self._present.search(data) is not None or b"\\u" in data

    def value(self, value: Any) -> tuple[Any, bool]:
        """The JSON value with replacements, and whether there were any. The input is left as it is."""
        if type(value) is dict:
            changed = False
            rebuilt: dict[str, Any] = {}
            for key, inner in value.items():
                if key.lower() in self._keys:
                    rebuilt[key], touched = REPLACEMENT, inner != REPLACEMENT
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
        """Text with the values of `key=value` and `key: value` replaced."""
        return self._pair.sub(rf"\1{REPLACEMENT}", text)
