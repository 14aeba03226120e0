r"""Lines cut into tokens, or at a mark into cells, from which `proposals` makes a pattern: an instant, a level, a
number, what stands in brackets, a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent.core import severity
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WEEKDAY = r"(?:[A-Z][a-z]{2},? )?"
_MONTH = r"[A-Z][a-z]{2,8}"
_CLOCK = r"\d\d?:\d\d(?::\d\d(?:[.,:]\d+)?)?"
_APART = r"(?:[T_]| {1,2}|, ?|[;\t]|\] ?\[| \| )"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
# What is taken for an instant; the first that fits at a place.
INSTANTS = (
    rf"\d{{4}}[-/.]\d\d?[-/.]\d\d?{_APART}{_CLOCK}{_ZONE}",
    rf"\d\d?/{_MONTH}/\d{{4}}[: ]{_CLOCK}{_ZONE}",
    rf"\d\d?[-. /]{_MONTH}[-. /]\d{{4}},? {_CLOCK}{_ZONE}",
    rf"\d\d?[./-]\d\d?[./-]\d{{2,4}},? {_CLOCK}(?: [AP]M)?{_ZONE}",
    rf"{_WEEKDAY}{_MONTH} +\d\d?(?:,? \d{{4}})?,? {_CLOCK}(?: [AP]M)?{_ZONE}(?: \d{{4}})?",
    rf"{_WEEKDAY}\d\d? {_MONTH} \d\d(?:\d\d)?,? {_CLOCK}{_ZONE}",
    rf"\d{{8}}[ T-]{_CLOCK}{_ZONE}",
    r"\d{6} \d{6}(?!\d)",
    rf"\d\d-\d\d {_CLOCK}",
    r"\d{2}:\d{2}:\d{2}(?:[.,]\d+)?",
    r"1\d{9}(?:\.\d+|\d{3}(?:\d{3}){0,2})?(?![\d.])",
)
ANY_WORD = r"[^\s\[\](){}<>\"=,;|]+"
# Kind, what it is at a place of the line, and what stands for it in a pattern (empty: the text itself).
KINDS = (
    ("space", r"[ \t]+", ""),
    ("address", r"(?:\d{1,3}\.){3}\d{1,3}(?![\w.])", r"[\d.]+"),
    ("pair", r"[A-Za-z_][\w.-]{0,40}=(?=[\w\"/.:+-])", ""),
    ("quoted", r'"[^"]*"', r'[^"]*'),
    ("number", r"-?\d+(?![\w.:/-])|\d+(?=: |\]|:$)", r"-?\d+"),
    ("level", r"[A-Za-z]+(?![\w.-])", r"[A-Za-z]+"),
    ("word", rf"(?={ANY_WORD[:-1]}*\w){ANY_WORD[:-1]}*[^\s\[\](){{}}<>\"=,;|:]", ""),  # punctuation alone is none
)
_TOKENS = tuple((kind, lazy(text)) for kind, text, _ in KINDS)
INSTANT = lazy("|".join(f"({text})" for text in INSTANTS))
GROUPS = {kind: text for kind, _, text in KINDS if text}
STATUS = "http__response__status_code"
_CLOSING = {"[": "]", "(": ")", "<": ">", "{": "}"}
_LEVELS = frozenset({
    "trace", "debug", "info", "information", "notice", "warn", "warning", "error", "err", "critical", "crit", "fatal",
    "severe", "emerg", "verbose",
})  # fmt: skip


class Token(NamedTuple):
    """A piece of a line."""

    kind: str  # of `KINDS`, `instant N`, `inside X` for what stands between brackets, or the character itself
    text: str


class Column(NamedTuple):
    """What stands at the same place of several lines."""

    kind: str  # as of a Token, `cell` for what stands between two marks, or the status of an answer of HTTP
    texts: list[str]
    before: str  # the kind before it

    @property
    def is_field(self) -> bool:
        """Whether it becomes a group."""
        return self.kind in {*GROUPS, STATUS, "word"} or self.kind.startswith(("instant", "inside", "cell"))


def tokens(line: str) -> Iterator[Token]:
    """The tokens of a line, which together are the line."""
    at, closing = 0, ""
    while at < len(line):
        if closing:  # all up to the bracket, unless it is something by itself
            end = line.find(closing, at)
            yield from _inside(line[at:end], closing)
            at, closing = end, ""
            continue
        token = _token(line, at)
        yield token
        at += len(token.text)
        other = "" if line.startswith(token.text, at) else _CLOSING.get(token.text, "")  # of `<<` the second one
        if other and line.find(other, at) > at:
            closing = other


def _inside(text: str, closing: str) -> Iterator[Token]:
    """What stands before a closing bracket: an instant, a level, a number, or anything."""
    token = _token(text, 0)
    if token.text == text and token.kind not in {"word", "space"}:
        yield token
    elif text.isalpha() and len(text) > 1 and severity.read(text) > 0:
        yield Token("level", text)
    else:
        yield Token(f"inside {closing}", text)


def _token(line: str, at: int) -> Token:
    match = INSTANT.match(line, at)
    if match is not None:
        return Token(f"instant {match.lastindex}", match[0])
    for kind, pattern in _TOKENS:
        match = pattern.match(line, at)
        if match is None or not match[0]:
            continue
        if kind == "level" and not _is_level(line, at, match.end()):
            continue
        return Token(f"pair {match[0]}" if kind == "pair" else kind, match[0])
    return Token(line[at], line[at])


def _is_level(line: str, start: int, end: int) -> bool:
    """Whether a word may be a level: whether it is one is seen where most lines have one there."""
    word, before, after = line[start:end], line[start - 1 : start], line[end : end + 1]
    if len(word) == 1:
        return word in "VDIWEF" and before in {"", " "} and after in {" ", "/"}
    return word.lower() in _LEVELS or (word.isupper() and severity.read(word) > 0)


# ---------------------------------------------------------------- cells

_MARKS = "~^*#;|!%$@,\t\x1f\xa7\xa6"
_FEWEST_MARKS = 2  # in a line
_ALIKE = 0.95  # so many of the lines have as many marks, and so many of a column's texts are of its kind
_MOST_LEVELS = 12  # different names of levels in a log
_PAIR = lazy(r"([A-Za-z_][\w.-]{0,40})=")


def cells(lines: Sequence[str]) -> list[Column]:
    """Columns of lines that a mark cuts into the same number of cells, up to the last mark; none where none does."""
    found = max(((_marks_in(mark, lines), mark) for mark in _MARKS), default=(0, ""))
    count, mark = found
    if count < _FEWEST_MARKS:
        return []
    rows = [line.split(mark, count)[:-1] for line in lines if line.count(mark) >= count]
    columns: list[Column] = []
    for texts in zip(*rows, strict=True):
        columns += [*_of_cell(list(texts), mark), Column(mark, [mark] * len(texts), "cell")]
    return columns


def _marks_in(mark: str, lines: Sequence[str]) -> int:
    """How many of a mark nearly all lines have."""
    counts = sorted(line.count(mark) for line in lines)
    return counts[int((1 - _ALIKE) * len(counts))] if counts else 0


def _of_cell(texts: list[str], mark: str) -> list[Column]:
    """A column of cells: `name=` and its value where all have the same name."""
    pair = _PAIR.match(texts[0])
    if pair is not None and all(text.startswith(pair[0]) for text in texts):
        name = f"pair {pair[0]}"
        values = [text.removeprefix(pair[0]) for text in texts]
        return [Column(name, [pair[0]] * len(texts), mark), Column(_kind_of(values, mark), values, name)]
    return [Column(_kind_of(texts, mark), texts, mark)]


def are_levels(names: set[str]) -> bool:
    """Whether these are the names of a log's levels: some are words that mean something else as well."""
    is_few = 1 < len(names) <= _MOST_LEVELS
    return is_few and all(name.isalpha() and severity.read(name) > 0 for name in names)


def _kind_of(texts: list[str], mark: str) -> str:
    instants = [INSTANT.fullmatch(text) for text in texts]
    if all(instants) and len({match.lastindex for match in instants if match is not None}) == 1:
        return f"instant {instants[0].lastindex}" if instants[0] is not None else ""
    names = set(texts)
    if are_levels(names):
        return "level"
    for kind, pattern in _TOKENS:
        if kind in {"address", "number"} and all(pattern.fullmatch(text) for text in names):
            return kind
    return f"cell {mark}"
