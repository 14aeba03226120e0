"""Regular expressions that are compiled when they are first used: most commands need few of the hundred there are."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast

_METHODS = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn")


class _Lazy:
    """Becomes its pattern, method by method, at the first use: afterwards a call costs what it costs there."""

    def __init__(self, text: str | bytes, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        compiled = re.compile(self._text, self._flags)  # 0.1 to 1 ms
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


def lazy(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A pattern of the module `re`.

    Args:
        text: the regular expression; wrong ones raise re.error at the first use, so only constants of ours.
        flags: of `re`.
    """
    return cast("re.Pattern[AnyStr]", _Lazy(text, flags))
