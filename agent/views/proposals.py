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

from agent.core.line_patterns import problem_with
from agent.core.named_patterns import NAMED
from agent.core.patterns import lazy
from agent.parse.patterns import LinePatterns
from agent.views.line_tokens import ANY_WORD, GROUPS, INSTANTS, STATUS, Column, Token, are_levels, cells, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

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

_WORD_CLASSES = (r"[\w.-]+", r"[\w.$/:-]+", r"[\w.$/:@#-]+")
_NAMES = {"word", "level"}  # as which the names of levels may be cut out of lines
_NOT_MESSAGE = frozenset({"instant", "level", "quoted", "address"})


class Proposal(NamedTuple):
    """A pattern, the name of one that is there where it has one, and how many of the lines it fits."""

    text: str
    name: str | None
    lines: int
    of: int


def proposals(lines: Sequence[str]) -> list[Proposal]:
    """Patterns for lines, the one that fits most of them first; none where they have nothing in common.

    Args:
        lines: first lines of events.
    """
    left = [line[:_MOST_CHARACTERS] for line in lines[:_MOST_LINES] if line.strip() and not line[0].isspace()]
    least = max(1, int(_FEW_LEFT * len(left)))
    found: list[Proposal] = []
    while len(left) >= least and len(found) < _MOST_PATTERNS:
        columns = (_columns([list(tokens(line)) for line in left]), cells(left))
        made = [one for one in (_named(left), *(_made(some, left) for some in columns)) if one is not None]
        if not made:
            break
        proposal = max(made, key=_says)  # of two that say as much the one with a name
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
    return proposals(lines) if needs_pattern(reading) else []


def needs_pattern(reading: LogReading) -> bool:
    """Whether a log that was read without patterns is text that was not read well."""
    is_text = reading.formats["text"] > len(reading.samples) / 2
    is_read = min(reading.share(reading.with_instant), reading.share(reading.with_severity)) >= _WELL_READ
    return is_text and not is_read


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


def _says(proposal: Proposal) -> tuple[int, int]:
    """How much a pattern says of a line: instant and level count before the number of its groups."""
    text = proposal.text
    return sum(f"(?P<{name}>" in text for name in ("timestamp", "severity")), text.count("(?P<")


def _made(columns: list[Column], lines: list[str]) -> Proposal | None:
    while _says_something(columns):
        text = _pattern(columns)
        if problem_with(text) is None and (count := _fitting(text, lines)) >= _COMMON * len(lines):
            return Proposal(text, None, count, len(lines))
        columns.pop()
    return None


def _says_something(columns: list[Column]) -> bool:
    fields = [column.kind for column in columns if column.is_field]
    return len(fields) >= _MANY_FIELDS or any(kind == "level" or kind.startswith("instant") for kind in fields)


# ---------------------------------------------------------------- columns


def _columns(rows: list[list[Token]]) -> list[Column]:
    live, columns = rows, list[Column]()
    while len(columns) < _MOST_COLUMNS:
        at = len(columns)
        kinds = Counter(row[at].kind for row in live if len(row) > at)
        if not kinds:
            break
        kind, count = kinds.most_common(1)[0]
        some = {kind}
        if kind in _NAMES and are_levels({row[at].text for row in live if len(row) > at and row[at].kind in _NAMES}):
            kind, some = "level", _NAMES
            count = sum(kinds[one] for one in _NAMES)
        if count < _COMMON * len(rows):
            break
        live = [row for row in live if len(row) > at and row[at].kind in some]
        if kind in {"word", "number"} and not _is_part_of_head(live, at, columns):
            break
        before = [column.kind for column in columns[-2:]]
        if kind == "number" and _is_status(live, at, before):
            kind = STATUS
        columns.append(Column(kind, [row[at].text for row in live], before[-1] if before else ""))
    while columns and columns[-1].kind in {"word", "number"}:
        columns.pop()
    return columns


def _is_part_of_head(live: list[list[Token]], at: int, columns: list[Column]) -> bool:
    """Whether a word or a number belongs to what stands before the message: it is a value, something follows that is
    no message, or punctuation sets it apart.
    """
    before = [column.kind for column in columns[-3:]]
    if before[-2:] == [":", "space"] and any(column.kind.startswith("instant") for column in columns):
        return False  # `… program[17]: the message`
    if before and (
        before[-1].startswith(("pair", "[", "(", "#"))
        or _is_status(live, at, before)
        or before[-2:] == [STATUS, "space"]
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


def _is_status(live: list[list[Token]], at: int, before: list[str]) -> bool:
    """Whether numbers behind something in quotes are the status of an answer of HTTP."""
    return before[-2:] == ["quoted", "space"] and all(_HTTP_STATUS.fullmatch(row[at].text) for row in live)


# ---------------------------------------------------------------- the pattern


def _pattern(columns: list[Column]) -> str:
    names, parts = _Names(), ["^"]
    for index, column in enumerate(columns):
        following = columns[index + 1].kind if index + 1 < len(columns) else ""
        parts.append(_part(column, following, names))
    rest = r"(?P<message>.*)$"
    return "".join(parts) + (rest if columns[-1].kind in {"space", ":", "|", "]"} else " *" + rest)


def _part(column: Column, following: str, names: _Names) -> str:
    kind, texts = column.kind, column.texts
    if kind == "space":
        return " " if set(texts) == {" "} else r"[ \t]+"
    if not column.is_field:
        return _literal(texts[0])
    if kind.startswith("instant"):
        return f"(?P<{names.of('timestamp')}>{_instant(texts, INSTANTS[int(kind.split()[1]) - 1])})"
    if kind.startswith("cell"):
        return f"(?P<{names.of(names.cell(texts, column.before))}>[^{re.escape(kind[-1])}]*)"
    if kind.startswith("inside"):
        return f"(?P<{names.inside(texts)}>[^{re.escape(kind[-1])}]*)"
    name = names.word(texts, column.before, following) if kind == "word" else names.of(_name_of(kind, column.before))
    group = f"(?P<{name}>{_class_of(texts) if kind == 'word' else GROUPS.get(kind, '[0-9]{3}')})"
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
    return {"level": "severity", "address": "client__address", STATUS: STATUS}.get(kind, kind)


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
    return ANY_WORD


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

    def cell(self, texts: list[str], before: str) -> str:
        """For what stands between two marks."""
        if before.startswith("pair"):
            return _name_of("cell", before)
        is_logger = not self._given["logger"] and all(_LOGGER.fullmatch(text) for text in texts)
        return "logger" if is_logger else "field"

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
