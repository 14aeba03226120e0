"""What a query can match, worked out once: each engine narrows down by it what it looks at, and so do live rules.

A term goes one way: `language` reads it, this module says what must be there for it to hold, an engine says that in its
own words (`sqlite.plan` as clauses and an index, `sqlite.rollup` as whether it has counts of that, `archives.plan` and
`archives.needles` as frames and bytes, `alert.matching` as tables that events are looked up in).

One rule holds for all of it: **a match is never denied; other events may be let through.** What is let through has to
pass the query's predicate (`Query.matches`), which alone says what a term means. An engine may leave that out for the
conditions that it says in full: severities, files, groups.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import msgspec

from agent.core.fallback import may_be_composed
from agent.core.severity import ERRORS_FROM, HIGHEST
from agent.core.stored import resource_service
from agent.core.values import lookup, number
from agent.query.predicate import BUILT_IN, compile_conditions, severity_numbers
from agent.query.searched import is_exact_case
from agent.query.terms import LINE, NAMED_FIELDS, Either

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.core.stored import FileInfo
    from agent.query.predicate import Check, Matchable
    from agent.query.terms import Alternatives, Conjunction, Term

ALL_SEVERITIES = frozenset(range(HIGHEST + 1))
ERROR_SEVERITIES = frozenset(range(ERRORS_FROM, HIGHEST + 1))  # of an event that has an error group

_OF_FILES = ("source", "path")
_OF_GROUPS = ("group", "category", "state")
_NOT_OF_THE_LINE = frozenset(("severity", *_OF_FILES, *_OF_GROUPS, *BUILT_IN))
_OF_THE_LINE_ALONE = ("logger", "trace_id", "span_id", "message")  # no label of a file gives them
_OF_NUMBERS = "-0123456789"  # with which numbers begin
_WORDS = ("True", "False", "inf", "nan")  # as messages that are made of values have them, and JSON has not
_SERVICE_LABEL = "service.name"  # a line may name it under another key


class RequiredText(msgspec.Struct, frozen=True):
    """A text that stands in the record of each event for which a term holds.

    There are four ways round it, which whoever looks for it has to let through:

    - a text that is searched for in all of the event may stand in its line beside the record (`searched`);
    - an escape of JSON may stand for any character of it, so that a record with a backslash says nothing;
    - a message may be put together from a template and other fields (`composed`);
    - a label of the event's file may give the value in place of the line (`is_labelled`).

    In a line that is not its record, as an archive has them, more can hide it; `archives.needles` knows what.
    """

    text: str  # not empty, without surrogates
    field: str | None = None  # None: it is searched for in all of the event
    folded: bool = False  # ASCII, and ASCII letters of either case are alike
    is_key: bool = False  # the end of the key under which a value stands, with its quote; else the value itself
    is_prefix: bool = False  # only how the value begins
    is_part: bool = False  # letters somewhere in the value

    @property
    def is_value(self) -> bool:
        """Whether it is the value of a field, or how that begins."""
        return self.field is not None and not self.is_key and not self.is_part

    @property
    def composed(self) -> bool:
        """Whether an event whose record has a template (`@mt`) may have the value without its record holding it."""
        return self.field == "message"

    @property
    def may_be_labelled(self) -> bool:
        """Whether a label of a file can give the value at all."""
        return self.field is not None and not _is_of_the_line_alone(self.field)

    def is_labelled(self, resource: dict[str, Any]) -> bool:
        """Whether events of a file with these resource attributes may have the value without their records holding
        it.
        """
        if self.field is None or not self.may_be_labelled:
            return False
        if self.field == "service":
            label = resource_service(resource)
            return label is not None and (label.startswith(self.text) if self.is_prefix else label == self.text)
        return bool(lookup(resource, tuple(self.field.split("."))))


class Condition(msgspec.Struct, frozen=True):
    """One of its terms must hold, and they are about one field; or, where it has branches, all of one of these."""

    terms: Alternatives | Either
    required: tuple[RequiredText, ...] = ()  # one for each term; empty where a term can hold without any such text
    branches: tuple[Analysis, ...] = ()

    @property
    def field(self) -> str | None:
        """What it is about; None: the event's text, or several fields."""
        return None if isinstance(self.terms, Either) else self.terms[0].field

    @property
    def is_equality(self) -> bool:
        """Whether it says that a field has one of `values`."""
        return not isinstance(self.terms, Either) and all(term.is_equality for term in self.terms)

    @property
    def values(self) -> tuple[str, ...]:
        """What its terms compare with."""
        return () if isinstance(self.terms, Either) else tuple(term.value for term in self.terms)


class Analysis(msgspec.Struct, frozen=True, dict=True):
    """What must be true of an event that a query matches. All of it must be; of each condition one alternative."""

    severities: frozenset[int]  # numbers 0 to 24; ERROR_SEVERITIES at most where the event must have an error group
    files: tuple[Condition, ...]  # about source and path: the event's file decides, without the event
    conditions: tuple[Condition, ...]  # all others
    fields: frozenset[str | None]  # that the query speaks of; None: the event's text

    def accepts_file(self, file: FileInfo) -> bool:
        """Whether events of a file can match, by its source and path."""
        # Of an event these conditions read no more than that.
        return self._accepts_file(cast("Matchable", file), {}) and all(
            any(branch.accepts_file(file) for branch in one.branches) for one in self._narrowing
        )

    @cached_property
    def _accepts_file(self) -> Check:
        return compile_conditions([condition.terms for condition in self.files])

    @cached_property
    def narrows_files(self) -> bool:
        """Whether there can be a file that it does not accept."""
        return bool(self.files or self._narrowing)

    @cached_property
    def _narrowing(self) -> list[Condition]:
        """Conditions each branch of which accepts some files only."""
        return [one for one in self.conditions if one.branches and all(b.narrows_files for b in one.branches)]

    @cached_property
    def sources(self) -> frozenset[str] | None:
        """The sources of which one must be an event's, where the query names them (`source=`); None: any."""
        named = [frozenset(one.values) for one in self.files if one.field == "source" and one.is_equality]
        for one in (*self.files, *self.conditions):
            of_branches = [branch.sources for branch in one.branches]
            if of_branches and None not in of_branches:
                named.append(frozenset().union(*filter(None, of_branches)))
        return frozenset.intersection(*named) if named else None

    def speaks_only_of(self, fields: Collection[str]) -> bool:
        """Whether these fields of an event say whether it matches."""
        return self.fields.issubset(fields)


def analyse(conditions: Conjunction) -> Analysis:
    """Work out what conditions can match, all of them together.

    Raises:
        UsageError: SL512 an unknown level; SL513 a bad regular expression on severity.
    """
    severities = ALL_SEVERITIES
    files: list[Condition] = []
    others: list[Condition] = []
    fields: set[str | None] = set()
    for terms in conditions:
        if isinstance(terms, Either):
            branches = tuple(map(analyse, terms.branches))
            named = frozenset().union(*(branch.fields for branch in branches))
            fields |= named
            severities &= frozenset().union(*(branch.severities for branch in branches))
            condition = Condition(terms, branches=branches)
            (files if named.issubset(_OF_FILES) else others).append(condition)
            continue
        field = terms[0].field
        fields.add(field)
        if field == "severity":
            severities &= frozenset().union(*map(severity_numbers, terms))
        elif field in _OF_FILES:
            files.append(Condition(terms))
        else:
            if field in _OF_GROUPS and not any(map(_is_denial, terms)):
                severities &= ERROR_SEVERITIES
            others.append(Condition(terms, _required(terms)))
    return Analysis(severities, tuple(files), tuple(others), frozenset(fields))


def _is_denial(term: Term) -> bool:
    """Whether an event that lacks the field satisfies the term."""
    return term.negated or term.operator == "!="


def _required(terms: Alternatives) -> tuple[RequiredText, ...]:
    found = []
    for term in terms:
        required = _required_text(term)
        if required is None:
            return ()
        found.append(required)
    return tuple(found)


def _required_text(term: Term) -> RequiredText | None:
    """What the record of an event must hold for a term to be true of it; None where there is no such text."""
    field, value = term.field, term.value
    if _is_denial(term) or field in _NOT_OF_THE_LINE or _has_surrogate(value):
        return None
    if field is None:
        folded = not is_exact_case(value)
        # Only ASCII folds in the same way everywhere: the Kelvin sign is a k for str.casefold, and none for LIKE.
        return RequiredText(value, folded=folded) if value and (value.isascii() or not folded) else None
    if term.operator == "=" and not _may_be_written_otherwise(term):
        return RequiredText(value, field, is_prefix=term.prefix)
    if field == "message" and term.operator == "~":
        return _required_letters(term)
    return _required_key(field)


def _required_key(field: str) -> RequiredText | None:
    """The end of the key under which a field stands."""
    if field in NAMED_FIELDS or field == _SERVICE_LABEL:
        return None  # it may stand under any key
    # A key with dots stands as it is or as several keys; its last part ends a key either way, unless it is an index.
    key = field.rpartition(".")[2]
    if not key or key.isdigit() or _has_surrogate(key):
        return None
    return RequiredText(f'{key}"', field, is_key=True)


def _required_letters(term: Term) -> RequiredText | None:
    """What a message in which an expression is found has of the record: letters, which no form of a value changes."""
    from agent.core.expressions.literal import required_letters  # noqa: PLC0415 - most commands have no expression

    letters = required_letters(term.value)
    if letters is None or any(letters.text in word for word in _WORDS):
        return None
    return RequiredText(letters.text, term.field, folded=letters.folded, is_part=True)


def _is_of_the_line_alone(field: str) -> bool:
    """Whether no label of a file gives it."""
    return field in _OF_THE_LINE_ALONE or field.startswith(LINE)


def _may_be_written_otherwise(term: Term) -> bool:
    """Whether a record may hold a value that is equal to this one in another form: 500 as 5e2, a list with blanks, a
    request in parts. A service is a string or none.
    """
    value = term.value
    if not value or value[0] in "[{" or (term.field == "message" and may_be_composed(value)):
        return True
    return term.field != "service" and (value[0] in _OF_NUMBERS if term.prefix else number(value) is not None)


def _has_surrogate(text: str) -> bool:
    """Whether half of a surrogate pair is in it, which no UTF-8 can hold."""
    return any("\ud800" <= character <= "\udfff" for character in text)
