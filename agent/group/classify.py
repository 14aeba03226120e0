"""The category of an error and what a person can do about it: by its exception's name, else by the words it says."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from agent.core.patterns import lazy
from agent.group.kinds import KINDS, SUGGESTIONS, VAGUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.group.kinds import Kind

UNKNOWN = "unknown"
_CHARS = 500  # what kind of trouble it is stands at the beginning
_WORD = lazy(r"[a-z]+|\d+")
_CAMEL = lazy(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PACKAGE = lazy(r".*[.:/\\#$](?=\w)")
_ENDING = lazy(r"(?<=\w)(?:Error|Exception|Failure|Warning)$")
_TYPE_IN_TEXT = lazy(r"\b[\w.$:]{1,200}(?:Error|Exception)\b")


def classify(exception_type: str | None, message: str) -> str:
    """One of network, filesystem, configuration, validation, dependency, resource, permission, user input, unknown."""
    kind = _find(exception_type, message)
    return kind.category if kind else VAGUE.get(_PACKAGE.sub("", (exception_type or "")[:_CHARS]), UNKNOWN)


def suggestion(exception_type: str | None, message: str) -> str:
    """A sentence that says what to look at first."""
    kind = _find(exception_type, message)
    return kind.suggestion if kind else SUGGESTIONS[classify(exception_type, message)]


def _find(exception_type: str | None, message: str) -> Kind | None:
    kind = _of_type(exception_type[:_CHARS]) if exception_type else None
    return kind or _of_text(message[:_CHARS])


@lru_cache(1_024)  # the same few types come again in every transaction
def _of_type(name: str) -> Kind | None:
    simple = _PACKAGE.sub("", name)
    if simple in VAGUE:
        return None
    if (rank := _TYPES.get(_bare(simple))) is not None:
        return KINDS[rank]
    return _of_words([word.lower() for word in _CAMEL.findall(simple)])


def _of_text(text: str) -> Kind | None:
    if kind := _of_words(_WORD.findall(text.lower())):
        return kind
    return next((kind for name in _TYPE_IN_TEXT.findall(text) if (kind := _of_type(name))), None)


def _of_words(words: list[str]) -> Kind | None:
    """The first kind in the table of which a sequence of words is among these."""
    ranks = [
        rank
        for at, word in enumerate(words)
        for rest, rank in _WORDS.get(word, ())
        if words[at + 1 : at + 1 + len(rest)] == rest
    ]
    return KINDS[min(ranks)] if ranks else None


def _bare(name: str) -> str:
    """A type's name as the table is searched for it: without `Error` or the like, in small letters."""
    return _ENDING.sub("", name).lower()


def _index_of_types(kinds: Iterable[Kind]) -> dict[str, int]:
    """Bare name -> place in the table; the first counts."""
    found: dict[str, int] = {}
    for rank, kind in enumerate(kinds):
        for name in kind.types.split():
            found.setdefault(_bare(name), rank)
    return found


def _index_of_words(kinds: Iterable[Kind]) -> dict[str, list[tuple[list[str], int]]]:
    """First word -> the words after it and the place in the table."""
    found: dict[str, list[tuple[list[str], int]]] = {}
    for rank, kind in enumerate(kinds):
        for sequence in filter(None, kind.words.split(",")):
            first, *rest = _WORD.findall(sequence)
            found.setdefault(first, []).append((rest, rank))
    return found


_TYPES = _index_of_types(KINDS)
_WORDS = _index_of_words(KINDS)
