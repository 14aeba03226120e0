r"""A pattern for the lines of an unknown log, made of the lines: what they have in common becomes groups.

Each line is cut into tokens, an instant, a level, a number, something in brackets, a word; then they are walked through
side by side, as long as most have the same kind of token there. Words that nothing else follows are the message. Lines
that go another way are tried once more among themselves. A proposal matches the lines that it was made of: it is tried
on them, and what is beyond the last place where that holds is left to the message.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from agent.core import severity
from agent.core.line_patterns import problem_with
from agent.core.named_patterns import NAMED
from agent.core.patterns import lazy
from agent.parse.patterns import LinePatterns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.parse.settings import ParseSettings
    from agent.views.parsing import LogReading

_MOST_LINES = 500  # that are looked at
_MOST_CHARACTERS = 300  # of each
_MOST_COLUMNS = 60
_MOST_PATTERNS = 3
_WELL_READ = 0.95  # so many of the events have an instant and a severity: nothing needs to be proposed
_COMMON = 0.6  # so many of the lines have the same kind of token, or a pattern ends there
_FEW_LEFT = 0.05  # so few lines are left that no pattern is made for them
_MANY_FIELDS = 3  # make a pattern worth while that has neither instant nor level
_MOSTLY = 0.8  # a pattern that has a name is proposed where it fits so many
_AHEAD = 14  # tokens behind a word in which something that is no message may stand

_WEEKDAY = r"(?:[A-Z][a-z]{2},? )?"
_MONTH = r"[A-Z][a-z]{2,8}"
_CLOCK = r"\d\d?:\d\d(?::\d\d(?:[.,:]\d+)?)?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
# What is taken for an instant; the first that fits at a place.
_INSTANTS = (
    rf"\d{{4}}[-/.]\d\d?[-/.]\d\d?[T ] ?{_CLOCK}{_ZONE}",
    rf"\d\d?/{_MONTH}/\d{{4}}[: ]{_CLOCK}{_ZONE}",
    rf"\d\d?[-. /]{_MONTH}[-. /]\d{{4}},? {_CLOCK}{_ZONE}",
    rf"\d\d?[./-]\d\d?[./-]\d{{2,4}},? {_CLOCK}(?: [AP]M)?{_ZONE}",
    rf"{_WEEKDAY}{_MONTH} +\d\d?(?:,? \d{{4}})?,? {_CLOCK}(?: [AP]M)?{_ZONE}(?: \d{{4}})?",
    rf"{_WEEKDAY}\d\d? {_MONTH} \d{{4}},? {_CLOCK}{_ZONE}",
    rf"\d{{8}}[ T-]{_CLOCK}{_ZONE}",
    r"\d{6} \d{6}(?!\d)",
    rf"\d\d-\d\d {_CLOCK}",
    r"\d{2}:\d{2}:\d{2}(?:[.,]\d+)?",
    r"1\d{9}(?:\.\d+|\d{3}(?:\d{3}){0,2})?(?![\d.])",
)
_WORD_CLASSES = (r"[\w.-]+", r"[\w.$/:-]+", r"[\w.$/:@#-]+")
_ANY_WORD = r"[^\s\[\](){}<>\"=,;|]+"
# Kind, what it is at a place of the line, and what stands for it in a pattern (empty: the text itself).
_KINDS = (
    ("space", r"[ \t]+", ""),
    ("address", r"(?:\d{1,3}\.){3}\d{1,3}(?![\w.])", r"[\d.]+"),
    ("pair", r"[A-Za-z_][\w.-]{0,40}=(?=[\w\"/.:+-])", ""),
    ("quoted", r'"[^"]*"', r'[^"]*'),
    ("number", r"-?\d+(?![\w.:/-])|\d+(?=: |\]|:$)", r"-?\d+"),
    ("level", r"[A-Za-z]+(?![\w.-])", r"[A-Za-z]+"),
    ("word", rf"{_ANY_WORD[:-1]}*[^\s\[\](){{}}<>\"=,;|:]", ""),
)
_TOKENS = tuple((kind, lazy(text)) for kind, text, _ in _KINDS)
_INSTANT = lazy("|".join(f"({text})" for text in _INSTANTS))
_GROUPS = {kind: text for kind, _, text in _KINDS if text}
_CLOSING = {"[": "]", "(": ")", "<": ">", "{": "}"}
_LEVELS = frozenset({
    "trace", "debug", "info", "information", "notice", "warn", "warning", "error", "err", "critical", "crit", "fatal",
    "severe", "emerg", "verbose",
})  # fmt: skip
_STATUS = "http__response__status_code"
_NOT_MESSAGE = frozenset({"instant", "level", "quoted", "address"})


class Proposal(NamedTuple):
    """A pattern, the name of one that is there where it has one, and how many of the lines it fits."""

    text: str
    name: str | None
    lines: int
    of: int


class _Token(NamedTuple):
    kind: str  # of `_KINDS`, `instant N`, `inside X` for what stands between brackets, or the character itself
    text: str


def proposals(lines: Sequence[str]) -> list[Proposal]:
    """Patterns for lines, the one that fits most of them first; none where they have nothing in common.

    Args:
        lines: first lines of events.
    """
    left = [line[:_MOST_CHARACTERS] for line in lines[:_MOST_LINES] if line.strip() and not line[0].isspace()]
    least = max(1, int(_FEW_LEFT * len(left)))
    found: list[Proposal] = []
    while len(left) >= least and len(found) < _MOST_PATTERNS:
        made = [one for one in (_named(left), _made(left)) if one is not None]
        if not made:
            break
        proposal = max(made, key=lambda one: one.text.count("(?P<"))  # of two that say as much the one with a name
        found.append(proposal)
        fits = LinePatterns([proposal.text])
        left = [line for line in left if fits.find_head(line).error]
    return found


def proposals_for(reading: LogReading, settings: ParseSettings) -> list[Proposal]:
    """Patterns for a log that was read; none where it was read well, or is not text.

    Args:
        reading: of the log.
        settings: by which it was read; where they have patterns, for the lines that none of these fits.
    """
    lines, patterns = reading.samples, settings.line_patterns
    if patterns is not None:
        return proposals([line for line in lines if patterns.pieces(line) is None])
    is_text = reading.formats["text"] > len(lines) / 2
    is_read = min(reading.share(reading.with_instant), reading.share(reading.with_severity)) >= _WELL_READ
    return proposals(lines) if is_text and not is_read else []


def _fitting(text: str, lines: list[str]) -> int:
    """How many lines a pattern fits, within its budget of time."""
    patterns = LinePatterns([text])
    return sum(not patterns.find_head(line).error for line in lines)


def _named(lines: list[str]) -> Proposal | None:
    """One that has a name and fits nearly all; of several the one that says most."""
    found: list[tuple[int, int, Proposal]] = []
    for name, named in NAMED.items():
        if _fitting(named.text, [lines[0], lines[len(lines) // 2], lines[-1]]):
            count = _fitting(named.text, lines)
            found.append((count, named.text.count("(?P<"), Proposal(named.text, name, count, len(lines))))
    count, _, proposal = max(found, default=(0, 0, None))
    return proposal if count >= _MOSTLY * len(lines) else None


def _made(lines: list[str]) -> Proposal | None:
    columns = _columns([list(_tokens(line)) for line in lines])
    while _says_something(columns):
        text = _pattern(columns)
        if problem_with(text) is None and (count := _fitting(text, lines)) >= _COMMON * len(lines):
            return Proposal(text, None, count, len(lines))
        columns.pop()
    return None


def _says_something(columns: list[_Column]) -> bool:
    fields = [column.kind for column in columns if column.is_field]
    return len(fields) >= _MANY_FIELDS or any(kind == "level" or kind.startswith("instant") for kind in fields)


# ---------------------------------------------------------------- tokens


def _tokens(line: str) -> Iterator[_Token]:
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
        other = _CLOSING.get(token.text, "")
        if other and line.find(other, at) > at:
            closing = other


def _inside(text: str, closing: str) -> Iterator[_Token]:
    """What stands before a closing bracket: an instant, a level, a number, or anything."""
    token = _token(text, 0)
    if token.text == text and token.kind not in {"word", "space"}:
        yield token
    elif text.isalpha() and len(text) > 1 and severity.read(text) > 0:
        yield _Token("level", text)
    else:
        yield _Token(f"inside {closing}", text)


def _token(line: str, at: int) -> _Token:
    match = _INSTANT.match(line, at)
    if match is not None:
        return _Token(f"instant {match.lastindex}", match[0])
    for kind, pattern in _TOKENS:
        match = pattern.match(line, at)
        if match is None or not match[0]:
            continue
        if kind == "level" and not _is_level(line, at, match.end()):
            continue
        return _Token(f"pair {match[0]}" if kind == "pair" else kind, match[0])
    return _Token(line[at], line[at])


def _is_level(line: str, start: int, end: int) -> bool:
    """Whether a word may be a level: whether it is one is seen where most lines have one there."""
    word, before, after = line[start:end], line[start - 1 : start], line[end : end + 1]
    if len(word) == 1:
        return word in "VDIWEF" and before in {"", " "} and after in {" ", "/"}
    return word.lower() in _LEVELS or (word.isupper() and severity.read(word) > 0)


# ---------------------------------------------------------------- columns


class _Column(NamedTuple):
    kind: str
    texts: list[str]
    before: str  # the kind before it

    @property
    def is_field(self) -> bool:
        """Whether it becomes a group."""
        return self.kind in {*_GROUPS, _STATUS, "word"} or self.kind.startswith(("instant", "inside"))


def _columns(rows: list[list[_Token]]) -> list[_Column]:
    live, columns = rows, list[_Column]()
    while len(columns) < _MOST_COLUMNS:
        at = len(columns)
        kinds = Counter(row[at].kind for row in live if len(row) > at)
        if not kinds:
            break
        kind, count = kinds.most_common(1)[0]
        if count < _COMMON * len(rows):
            break
        live = [row for row in live if len(row) > at and row[at].kind == kind]
        if kind in {"word", "number"} and not _is_part_of_head(live, at, columns):
            break
        before = [column.kind for column in columns[-2:]]
        if kind == "number" and _is_status(live, at, before):
            kind = _STATUS
        columns.append(_Column(kind, [row[at].text for row in live], before[-1] if before else ""))
    while columns and columns[-1].kind in {"word", "number"}:
        columns.pop()
    return columns


def _is_part_of_head(live: list[list[_Token]], at: int, columns: list[_Column]) -> bool:
    """Whether a word or a number belongs to what stands before the message: it is a value, something follows that is
    no message, or punctuation sets it apart.
    """
    before = [column.kind for column in columns[-3:]]
    if before[-2:] == [":", "space"] and any(column.kind.startswith("instant") for column in columns):
        return False  # `… program[17]: the message`
    if before and (
        before[-1].startswith(("pair", "[", "(", "#"))
        or _is_status(live, at, before)
        or before[-2:] == [_STATUS, "space"]
    ):
        return True
    ahead = [Counter(row[at + step].kind for row in live if len(row) > at + step) for step in range(1, _AHEAD)]
    most = [kinds.most_common(1)[0] for kinds in ahead if kinds]
    usual = [kind for kind, count in most if count >= _COMMON * len(live)]
    seen = {column.kind for column in columns}
    if "level" not in seen and "[" in usual[:4]:  # `host program[17]: `
        return True
    if "level" not in seen or not any(kind.startswith("instant") for kind in seen):
        if any(kind in _NOT_MESSAGE or kind.startswith(("instant", "inside", "pair")) for kind in usual):
            return True
    elif sum(_LOGGER.fullmatch(row[at].text) is not None for row in live) >= _MOSTLY * len(live):
        return True
    return bool(usual) and (
        usual[0] in {":", "|", "["}
        or usual[:2] in (["space", "-"], ["space", "|"], ["space", ":"])
        or any(kind.startswith("pair") for kind in usual[:2])
    )


def _is_status(live: list[list[_Token]], at: int, before: list[str]) -> bool:
    """Whether numbers behind something in quotes are the status of an answer of HTTP."""
    return before[-2:] == ["quoted", "space"] and all(_HTTP_STATUS.fullmatch(row[at].text) for row in live)


# ---------------------------------------------------------------- the pattern


def _pattern(columns: list[_Column]) -> str:
    names, parts = _Names(), ["^"]
    for index, column in enumerate(columns):
        following = columns[index + 1].kind if index + 1 < len(columns) else ""
        parts.append(_part(column, following, names))
    rest = r"(?P<message>.*)$"
    return "".join(parts) + (rest if columns[-1].kind in {"space", ":", "|", "]"} or not columns else " *" + rest)


def _part(column: _Column, following: str, names: _Names) -> str:
    kind, texts = column.kind, column.texts
    if kind == "space":
        return " " if set(texts) == {" "} else r"[ \t]+"
    if not column.is_field:
        return _literal(texts[0])
    if kind.startswith("instant"):
        return f"(?P<{names.of('timestamp')}>{_instant(texts, _INSTANTS[int(kind.split()[1]) - 1])})"
    if kind.startswith("inside"):
        return f"(?P<{names.inside(texts)}>[^{re.escape(kind[-1])}]*)"
    name = names.word(texts, column.before, following) if kind == "word" else names.of(_name_of(kind, column.before))
    group = f"(?P<{name}>{_class_of(texts) if kind == 'word' else _GROUPS.get(kind, '[0-9]{3}')})"
    return f'"{group}"' if kind == "quoted" else group


def _literal(text: str) -> str:
    """What stands for a text itself; what cannot be printed as its number."""
    return "".join(
        (re.escape(one) if one not in "-=:/,<>\"'@%!#&;~`" else one) if one.isprintable() else _numbered(ord(one))
        for one in text
    )


def _numbered(code: int) -> str:
    return rf"\x{code:02x}" if code < 0x100 else rf"\u{code:04x}" if code < 0x10000 else rf"\U{code:08x}"  # noqa: PLR2004


def _name_of(kind: str, before: str) -> str:
    if before.startswith("pair"):
        return re.sub(r"\W", "_", before.split()[1].rstrip("=").replace(".", "__"), flags=re.ASCII)
    if kind == "number":
        return "pid" if before in {"[", "#", "("} else "number"
    return {"level": "severity", "address": "client__address", _STATUS: _STATUS}.get(kind, kind)


def _instant(texts: list[str], known: str) -> str:
    """What stands for these instants: as they are written, or all that is known where they differ."""
    runs, exact = _RUNS.findall(texts[0]), ""
    for index, run in enumerate(runs):
        before = runs[max(0, index - 3) : index]
        if run.isdigit() and before[-1:] in ([","], ["."]) and before[:1] == [":"]:
            exact += r"\d+"  # of a second
        elif run.isdigit() and before[-2:-1] and before[-2].isalpha() and before[-1].isspace():
            exact += r"\d\d?"  # of a month that has a name
        else:
            exact += _shape_of(run, before[-1:] != [] and before[-1].isalpha())
    compiled = re.compile(exact)
    return exact if all(compiled.fullmatch(text) for text in texts) else known


def _shape_of(run: str, behind_a_name: bool) -> str:  # noqa: FBT001
    if run.isdigit():
        short = {1: r"\d\d?", 2: r"\d\d", 4: r"\d{4}", 6: r"\d{6}", 8: r"\d{8}"}
        return short.get(len(run), r"\d+")
    if run.isalpha():
        return run if run in {"T", "Z", "UTC", "GMT"} else rf"\w{{{len(run)}}}" if len(run) > 1 else r"\w"
    if run.isspace():
        return " +" if behind_a_name or len(run) > 1 else " "
    return run if run in "-:/," else re.escape(run)


def _class_of(texts: list[str]) -> str:
    for found in _WORD_CLASSES:
        compiled = re.compile(found)
        if all(compiled.fullmatch(text) for text in texts):
            return found
    return _ANY_WORD


class _Names:
    """Names of groups, each given once."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def of(self, name: str) -> str:
        """This name, with a number behind it where it was given before."""
        self._given[name] += 1
        return name if self._given[name] == 1 else f"{name}_{self._given[name]}"

    def inside(self, texts: list[str]) -> str:
        """For what stands between brackets."""
        if not self._given["logger"] and all(_LOGGER.fullmatch(text) for text in texts):
            return self.of("logger")
        return self.of("thread") if not self._given["thread"] else self.of("field")

    def word(self, texts: list[str], before: str, following: str) -> str:
        """For a word: with dots, or set apart by a colon or a dash, it names the logger."""
        if before.startswith("pair"):
            return self.of(_name_of("word", before))
        dotted = sum("." in text for text in texts) > len(texts) / 2
        apart = following in {"[", "("} or (following in {":", "space"} and self._given["severity"] > 0)
        if not self._given["logger"] and (dotted or apart):
            return self.of("logger")
        return self.of("field")


_HTTP_STATUS = lazy(r"[1-5]\d\d")
_RUNS = lazy(r"\d+|[A-Za-z]+| +|[^\dA-Za-z ]")
_LOGGER = lazy(r"[A-Za-z_$][\w$]*(?:[./][\w$]+)+")
