r"""A regular expression as the module `re` reads it, written for the module `regex` so that it means the same there.

Both read much of each other's language, and differ where nobody looks: `foo{e}` is fuzzy matching in `regex` and a text
in `re`, `[[:alpha:]]` a class there and a set here, `\w` has combining marks there and none here, `\s` lacks the four
separators of ASCII. So nothing is passed on as it was written: it is written anew from the tree that `re` makes of it.
Two differences stay: characters that Unicode got after the running Python, which `regex` knows already, and letters
beyond ASCII without regard to case, which it folds by Unicode's own table.
"""

from __future__ import annotations

import re
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_SPACES = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # str.isspace
_ASCII_SETS = {op.CATEGORY_DIGIT: "0-9", op.CATEGORY_SPACE: r"\t-\r\x20", op.CATEGORY_WORD: "0-9A-Za-z_"}
_UNICODE_SETS = {op.CATEGORY_DIGIT: r"\p{Nd}", op.CATEGORY_SPACE: _SPACES, op.CATEGORY_WORD: r"\p{L}\p{N}_"}
_OPPOSITES = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
}
_FOLDED = {"i": "\u0130\u0131", "k": "\u212a", "s": "\u017f"}  # what `re` takes for these letters of ASCII, too
_EITHER = 0x80  # below it upper and lower case are written out
_QUANTIFIERS = {op.MAX_REPEAT: "", op.MIN_REPEAT: "?", op.POSSESSIVE_REPEAT: "+"}
_SIMPLE_PLACES = {
    op.AT_BEGINNING_STRING: r"\A",
    op.AT_END_STRING: r"\Z",
}


def as_regex(text: str) -> str:
    """The expression for the module `regex`.

    Args:
        text: an expression that `re` can compile.

    Raises:
        KeyError: the tree has something that is not known here.
    """
    tree = _parser.parse(text)
    return _sequence(tree, tree.state.flags)


def _sequence(tree: Any, flags: int) -> str:
    return "".join([_part(kind, value, flags) for kind, value in tree])


def _part(kind: Any, value: Any, flags: int) -> str:  # noqa: C901, PLR0911 - one case for each kind
    match kind:
        case op.LITERAL | op.NOT_LITERAL:
            return _set([(op.LITERAL, value)], flags, negated=kind is op.NOT_LITERAL)
        case op.ANY:
            return "(?s:.)" if flags & re.DOTALL else "."
        case op.IN:
            negated = value[0][0] is op.NEGATE
            return _set(value[1:] if negated else value, flags, negated=negated)
        case op.AT:
            return _place(value, flags)
        case op.BRANCH:
            return f"(?:{'|'.join([_alternative(branch, flags) for branch in value[1]])})"
        case op.SUBPATTERN:
            number, added, removed, inner = value
            opening = "(?:" if number is None else f"(?P<g{number}>"
            return f"{opening}{_sequence(inner, (flags | added) & ~removed)})"
        case op.ATOMIC_GROUP:
            return f"(?>{_sequence(value, flags)})"
        case op.ASSERT | op.ASSERT_NOT:
            opening = ("(?<" if value[0] < 0 else "(?") + ("=" if kind is op.ASSERT else "!")
            return f"{opening}{_sequence(value[1], flags)})"
        case op.GROUPREF:
            return f"(?i:(?P=g{value}))" if flags & re.IGNORECASE else f"(?P=g{value})"
        case op.GROUPREF_EXISTS:
            number, yes, no = value
            otherwise = "" if no is None else _sequence(no, flags)
            return f"(?(g{number}){_sequence(yes, flags)}|{otherwise})"
        case op.FAILURE:
            return "(?!)"
        case _:
            least, most, inner = value
            upto = "" if most is op.MAXREPEAT else most
            return f"(?:{_sequence(inner, flags)}){{{least},{upto}}}{_QUANTIFIERS[kind]}"


def _alternative(branch: Any, flags: int) -> str:
    """One of several alternatives. Where two of them are negated sets, `regex` takes them for one set that is neither:
    `[^a]|[^b]` does not match an a there.
    """
    if len(branch) == 1:
        kind, value = branch[0]
        if kind is op.NOT_LITERAL:
            return _not(_set([(op.LITERAL, value)], flags, negated=False))
        if kind is op.IN and value[0][0] is op.NEGATE:
            return _not(_set(value[1:], flags, negated=False))
        if kind is op.SUBPATTERN and value[0] is None:
            _, added, removed, inner = value
            return _alternative(inner, (flags | added) & ~removed)
    return _sequence(branch, flags)


def _not(one: str) -> str:
    """Any character but this one."""
    return f"(?!{one})(?s:.)"


def _place(place: Any, flags: int) -> str:
    if place is op.AT_BEGINNING:
        return r"(?m:^)" if flags & re.MULTILINE else r"\A"
    if place is op.AT_END:
        return r"(?m:$)" if flags & re.MULTILINE else r"(?=\n?\Z)"
    if place in _SIMPLE_PLACES:
        return _SIMPLE_PLACES[place]
    word = f"[{(_ASCII_SETS if flags & re.ASCII else _UNICODE_SETS)[op.CATEGORY_WORD]}]"
    if place is op.AT_BOUNDARY:
        return f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
    if place is op.AT_NON_BOUNDARY:
        somewhere = "" if re.search(r"\B", "") else r"(?!\A\Z)"  # before Python 3.14 an empty text has no such place
        return f"(?:{somewhere}(?:(?<={word})(?={word})|(?<!{word})(?!{word})))"
    raise KeyError(place)


# ---------------------------------------------------------------- characters


def _set(items: Any, flags: int, *, negated: bool) -> str:
    r"""One character of a set. Of negated categories such as `\S` it is written as one of several sets."""
    categories = _ASCII_SETS if flags & re.ASCII else _UNICODE_SETS
    inside, others = [], []
    for kind, value in items:
        if kind is op.CATEGORY and value in _OPPOSITES:
            others.append(_not(f"[{categories[_OPPOSITES[value]]}]"))
        elif kind is op.CATEGORY:
            inside.append(categories[value])
        elif kind is op.RANGE:
            inside.append(_range(value[0], value[1], flags))
        else:
            inside.append(_range(value, value, flags))
    own = "".join(inside)
    if own and not others:
        found = f"[{'^' * negated}{own}]"
        return f"(?i:{found})" if _is_folded(items, flags) else found
    either = "|".join([f"[{own}]"] * bool(own) + others)
    if negated:
        either = _not(f"(?:{either})")
    return f"(?i:{either})" if _is_folded(items, flags) else f"(?:{either})"


def _range(low: int, high: int, flags: int) -> str:
    found = _character(low) if low == high else f"{_character(low)}-{_character(high)}"
    if not flags & re.IGNORECASE:
        return found
    for letter in range(ord("a"), ord("z") + 1):
        if low <= letter <= high or low <= letter - 32 <= high:
            found += chr(letter) + chr(letter - 32)
            if not flags & re.ASCII:
                found += _FOLDED.get(chr(letter), "")
    if not flags & re.ASCII and (low <= ord("\u0130") <= high or low <= ord("\u0131") <= high):
        found += "iI" + _FOLDED["i"]
    return found


def _is_folded(items: Any, flags: int) -> bool:
    """Whether letters beyond ASCII are in it that match in either case."""
    if not flags & re.IGNORECASE or flags & re.ASCII:
        return False
    last = [value if kind is op.LITERAL else value[1] for kind, value in items if kind is not op.CATEGORY]
    return any(one >= _EITHER for one in last)


def _character(number: int) -> str:
    return f"\\U{number:08x}"
