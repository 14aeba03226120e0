"""Reading the query language: from text to terms and parentheses. The grammar is in `language`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from agent.core.errors import UsageError
from agent.core.patterns import lazy
from agent.query.terms import Parentheses, Term

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPERATORS = ("!=", ">=", "<=", "=", ">", "<", "~")  # longer ones first

_BLANKS = " \t\r\n\v\f"
_FIELD = lazy(r'[^\s"!<>=~]([^\s"<>=~]*?)(?=!=|[<>=~])')
_SYMBOL = lazy("|".join(map(re.escape, OPERATORS)))
_OR = lazy(r"OR(?=[\s)]|$)")
_MAY_HAVE_OR = lazy(r"(?:^|\s)OR(?:\s|$)")
_OF_PARENTHESES = ("(", "!(")
_MOST_DEEP = 50  # parentheses in parentheses; what reads and matches them is recursive


class QueryError(UsageError):
    """A term cannot be read. `subject` is what was given, `position` the index of the character at fault."""

    position = 0

    @classmethod
    def at(cls, key: str, text: str, position: int, /, **facts: Any) -> Self:
        """As `of`, for a place in the text of a query."""
        error = cls.of(key, text, at=position + 1, **facts)
        error.position = position
        return error

    def pointer(self) -> str:
        """Two lines: the text around the place, and a caret under it."""
        start = max(0, self.position - _SHOWN)
        shown = "".join(c if c.isprintable() else "?" for c in self.subject[start : self.position + _SHOWN])
        return f"{shown}\n{' ' * (self.position - start)}^"


_SHOWN = 60  # characters of the query on each side of the caret


def read_text(text: str) -> tuple[Term | Parentheses, ...]:
    """The parts of a query in one string, with blanks between.

    Raises:
        QueryError: SL510 a term or a parenthesis cannot be read; SL511 a quote is not closed.
    """
    return _Tree(_Tokens().of_text(text)).all()


def read_arguments(arguments: Sequence[str]) -> tuple[Term | Parentheses, ...]:
    """The parts of a query on a command line: an argument is one term, and blanks in it are part of its word or value;
    or it is read as one string, because it begins with a parenthesis or has an `OR` outside of quotes.

    Raises:
        QueryError: as `read_text`.
    """
    tokens = _Tokens()
    return _Tree(token for text in arguments for token in tokens.of_argument(text)).all()


def read_names(text: str) -> tuple[str, ...]:
    """The names of fields in a list with commas between; in quotes a name may have commas.

    Raises:
        QueryError: SL511 a quote is not closed; SL510.comma something follows a closing quote.
    """
    names, position = [], 0
    while True:
        begin = _after_blanks(text, position)
        if text.startswith('"', begin):
            name, position = _quoted(text, begin)
            position = _after_blanks(text, position)
            if position < len(text) and text[position] != ",":
                raise QueryError.at("SL510.comma", text, position)
        else:
            end = text.find(",", position)
            name, position = text[begin : None if end < 0 else end].strip(), len(text) if end < 0 else end
        names.append(name)
        if position >= len(text):
            return tuple(names)
        position += 1


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


# ---------------------------------------------------------------- what stands where


class _Token(NamedTuple):
    """A term, or one of `OR`, `(`, `!(`, `)`, and where it stands."""

    what: Term | str
    text: str
    at: int


class _Tokens:
    """Divides text into tokens; knows how many parentheses are open."""

    def __init__(self) -> None:
        self._open = 0

    def of_argument(self, text: str) -> Iterator[_Token]:
        """The tokens of one argument."""
        if text == "OR" or text.startswith(_OF_PARENTHESES) or (text and not text.strip(")")) or _has_or(text):
            yield from self.of_text(text)
            return
        term, end = self._term(text, 0, whole=True)
        yield _Token(term, text, 0)
        yield from self._closing(text, end)

    def _closing(self, text: str, start: int) -> Iterator[_Token]:
        """What follows a term to the end of its argument: parentheses that close."""
        for position in range(start, len(text)):
            if text[position] != ")" or not self._open:
                raise QueryError.at("SL510.argument", text, position)
            self._open -= 1
            yield _Token(")", text, position)

    def of_text(self, text: str) -> Iterator[_Token]:
        """The tokens of one string."""
        position = 0
        while position < len(text):
            at, character = position, text[position]
            if character in _BLANKS:
                position += 1
            elif text.startswith(_OF_PARENTHESES, at):
                self._open += 1
                position += 1 + (character == "!")
                yield _Token(text[at:position], text, at)
            elif character == ")":
                if not self._open:
                    raise QueryError.at("SL510.close", text, at)
                self._open -= 1
                position = self._end(text, at + 1)
                yield _Token(")", text, at)
            elif _OR.match(text, at):
                position += 2
                yield _Token("OR", text, at)
            else:
                term, end = self._term(text, at, whole=False)
                position = self._end(text, end)
                yield _Token(term, text, at)

    def _end(self, text: str, end: int) -> int:
        """The end of a part, behind which a blank has to stand, or a parenthesis that closes."""
        if end < len(text) and text[end] not in _BLANKS and not (text[end] == ")" and self._open):
            raise QueryError.at("SL510.blank", text, end)
        return end

    def _term(self, text: str, start: int, *, whole: bool) -> tuple[Term, int]:
        """The term at `start` and the position after it; `whole`: an unquoted word reaches to the text's end."""
        negated = text.startswith("!", start)
        position = start + negated
        if text.startswith("!", position):
            raise QueryError.at("SL510.negated", text, position)
        field, end = _field(text, position)
        if field is None:
            value, end = self._value(text, position, whole=whole)
            if not value:
                raise QueryError.at("SL510.empty", text, position)
            if _SYMBOL.match(text, position):
                raise QueryError.at("SL510.field", text, position, symbol=text[position])
            return Term(None, "", value, negated), end
        found = _SYMBOL.match(text, end)
        assert found is not None  # _field looked ahead to it
        symbol, begin = found[0], found.end()
        value, end = self._value(text, begin, whole=whole)
        may_begin = symbol in ("=", "!=")
        if not value and not text.startswith('"', begin) and not may_begin:
            raise QueryError.at("SL510.value", text, begin, field=field, symbol=symbol)
        if may_begin and not text.startswith('"', begin) and value.endswith("*"):
            return Term(field, symbol, value[:-1], negated, prefix=True), end
        if may_begin and text.startswith('"', begin) and text.startswith("*", end):
            return Term(field, symbol, value, negated, prefix=True), end + 1
        return Term(field, symbol, value, negated), end

    def _value(self, text: str, start: int, *, whole: bool) -> tuple[str, int]:
        if text.startswith('"', start):
            return _quoted(text, start)
        end = len(text) if whole else start
        while end < len(text) and text[end] not in _BLANKS:
            end += 1
        for _ in range(self._open):  # in parentheses `b)` is b and the end of them, `f(b)` a word
            if not text.endswith(")", start, end) or text.count(")", start, end) <= text.count("(", start, end):
                break
            end -= 1
        return text[start:end], end


def _field(text: str, start: int) -> tuple[str | None, int]:
    """The field of the term at a place, None where it has none, and the position of its operator."""
    if not text.startswith('"', start):
        found = _FIELD.match(text, start)
        return (None, start) if found is None else (found[0], found.end())
    name, end = _quoted(text, start)
    if not _SYMBOL.match(text, end):
        return None, start
    if not name:
        raise QueryError.at("SL510.field", text, end, symbol=text[end])
    return name, end


def _quoted(text: str, start: int) -> tuple[str, int]:
    characters: list[str] = []
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == '"':
            return "".join(characters), position + 1
        if character == "\\" and text[position + 1 : position + 2] in ('"', "\\"):
            position += 1
            character = text[position]
        characters.append(character)
        position += 1
    raise QueryError.at("SL511", text, start)


def _has_or(text: str) -> bool:
    """Whether a text, read as one string, has an `OR`."""
    if not _MAY_HAVE_OR.search(text):
        return False
    try:
        return any(token.what == "OR" for token in _Tokens().of_text(text))
    except QueryError:  # a phrase with a quote or a parenthesis in it
        return False


# ---------------------------------------------------------------- what belongs together


class _Tree:
    """Puts tokens together."""

    def __init__(self, tokens: Iterator[_Token]) -> None:
        self._tokens = tokens

    def all(self) -> tuple[Term | Parentheses, ...]:
        """The parts of the query."""
        branches = self._branches(None, 0)
        return branches[0] if len(branches) == 1 else (Parentheses(branches),)

    def _branches(self, opening: _Token | None, depth: int) -> tuple[tuple[Term | Parentheses, ...], ...]:
        """What stands between two parentheses, divided by `OR`; without an opening one, everything."""
        branches: list[list[Term | Parentheses]] = [[]]
        last = opening
        for token in self._tokens:
            if isinstance(token.what, Term):
                branches[-1].append(token.what)
            elif token.what == "OR":
                if not branches[-1]:
                    raise QueryError.at("SL510.or", token.text, token.at)
                branches.append([])
            elif token.what == ")":
                _refuse_empty(branches[-1], last, token)
                return tuple(map(tuple, branches))
            else:
                if depth == _MOST_DEEP:
                    raise QueryError.at("SL510.deep", token.text, token.at, most=_MOST_DEEP)
                inner = self._branches(token, depth + 1)
                branches[-1].append(Parentheses(inner, negated=token.what == "!("))
            last = token
        if opening is not None:
            raise QueryError.at("SL510.open", opening.text, opening.at)
        if last is not None:
            _refuse_empty(branches[-1], last, last)
        return tuple(map(tuple, branches))


def _refuse_empty(branch: list[Term | Parentheses], last: _Token | None, end: _Token) -> None:
    if not branch:
        key = "SL510.or" if last is not None and last.what == "OR" else "SL510.nothing"
        raise QueryError.at(key, end.text, end.at)
