"""A block of records counted in columns: which match, and how many have which values."""

from __future__ import annotations

import json
from itertools import compress, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, UnsetType

from agent.core.errors import SidelogError
from agent.core.fields import decode_record
from agent.core.patterns import lazy
from agent.core.values import pick
from agent.query.columns import MISSING, ODD, ODD_JSON, FieldColumns, FieldPaths, UnfitError, field_paths
from agent.query.fragments import encode
from agent.query.masks import BlockRows, Masks, label_values
from agent.query.terms import LINE, NAMED_FIELDS, terms_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.core.stored import FileInfo
    from agent.query.engine import Fragment
    from agent.query.terms import Conjunction

_OFTEN = 0.05  # so many odd rows of a block: it is worth to make sure that they lack a field

_WRITTEN_ALIKE = frozenset((str, int, type(None), UnsetType))
_NEGATIVE_ZERO = lazy(rb"[\s:\[,]-0[\s\],}]")


class BlockColumns(NamedTuple):
    """The fields of a block's records, by their names."""

    counted: dict[str, list[Any]]  # of `by`: values, or their JSON where equal values may be written in two ways
    values: dict[str, list[Any]]
    kinds: dict[str, set[type]]  # of `values`
    odd: dict[str, set[int]]  # places of records whose field has to be looked for otherwise
    length: int


class BlockKeys(NamedTuple):
    """What a block says."""

    keys: Iterable[Any]  # of each record that matches: what is counted, as a tuple where it is not one value
    odd: list[int]  # places of records that have to be looked at one by one


class BlockQuestion:
    """What is asked of records of files in which fields stand at the same places.

    Args:
        conditions: about fields of the line.
        by: fields of the line whose values are counted, each once.
        files: that the records are of.

    Raises:
        UnfitError: a field has no place of its own in these files' records.
    """

    def __init__(self, conditions: Conjunction, by: Sequence[str], files: Sequence[FileInfo]) -> None:
        self._by = by
        self._masks = Masks(conditions, files)
        asked = dict.fromkeys(str(term.field) for term in terms_of(conditions))
        self._names = [*self._by, *(name for name in asked if name not in self._by)]
        self._asked = tuple(asked)
        profile = files[0].profile if files else None
        places = [field_paths(name, profile) for name in self._names]
        self._fields = [place for place in places if place is not None]
        if len(self._fields) < len(places):
            raise UnfitError
        self._strict = any(not place.paths and place.role for place in self._fields)
        self._raw: set[str] = set()  # fields whose values are counted as they are written
        self._columns = self._make_columns()
        self.needs_files = self._masks.needs_files or any(
            label_values(file, name) for file in files for name in self._by
        )

    def _make_columns(self) -> FieldColumns:
        return FieldColumns(self._fields, [name in self._raw for name in self._names], strict=self._strict)

    def keys(self, records: bytes, beside: Sequence[Sequence[Any]], files: Sequence[int] | None) -> BlockKeys:
        """What is to be counted of a block.

        Args:
            records: a JSON array of objects.
            beside: columns of what stands beside the records, by which they are counted before their fields.
            files: the file of each record, where `needs_files` says so.

        Raises:
            UnfitError: it cannot be read in columns.
        """
        read = self.columns(records)
        length, odd = read.length, set().union(*read.odd.values())
        try:
            mask = self._masks.of(BlockRows(read.values, read.kinds, length, files))
        except SidelogError as error:  # an expression took too long; maybe another condition leaves that event out
            raise UnfitError from error
        if odd:
            mask = mask or [True] * length
            for place_number in odd:
                mask[place_number] = False
        counted = [*beside, *(read.counted[name] for name in self._by)]
        if not counted:
            return BlockKeys(repeat((), length if mask is None else sum(mask)), sorted(odd))
        keys = keys_of(counted)
        return BlockKeys(keys if mask is None else compress(keys, mask), sorted(odd))

    def columns(self, records: bytes) -> BlockColumns:
        """The fields that are asked for.

        Args:
            records: a JSON array of objects.

        Raises:
            UnfitError: it cannot be read in columns.
        """
        columns, kinds = self._read(records)
        length = len(next(iter(columns.values()), ()))
        odd: dict[str, set[int]] = {}
        values = {}
        for name, place in zip(self._names, self._fields, strict=True):
            column = columns[name]
            found = odd[name] = set()
            if name in self._raw:
                found.update(_odd_json(column, place, strict=self._strict))
                if name not in self._asked:
                    continue
                known = {one: value_of_json(one) for one in set(column)}
                column = [known[one] for one in column]
                kinds[name] = set(map(type, column))
            found.update(_odd_values(column, kinds[name], place, strict=self._strict))
            if place.role == "trace_id":
                column = [one.rpartition("/traces/")[2] if type(one) is str else one for one in column]
            values[name] = column
        if not self._strict and len(set().union(*odd.values())) > _OFTEN * length:
            self._make_strict()
        return BlockColumns(columns, values, kinds, odd, length)

    def _read(self, records: bytes) -> tuple[dict[str, list[Any]], dict[str, set[type]]]:
        """The columns, and the types of their values, by the names of fields. Those that are counted by are values as
        long as equal ones are written alike, which takes half the time of JSON.
        """
        while True:
            columns = dict(zip(self._names, self._columns.read(records), strict=True))
            kinds = {name: set(map(type, column)) for name, column in columns.items() if name not in self._raw}
            more = {
                name
                for name in self._by
                if name in kinds and _may_be_written_apart(columns[name], kinds[name], records)
            }
            if not more:
                return columns, kinds
            self._raw |= more
            self._columns = self._make_columns()

    def _make_strict(self) -> None:
        self._strict = True
        try:
            self._columns = self._make_columns()
        except UnfitError:
            self._strict = False


def keys_of(columns: Sequence[Sequence[Any]]) -> Iterable[Any]:
    """What is counted of each row of at least one column: its value, or a tuple of several."""
    return columns[0] if len(columns) == 1 else zip(*columns, strict=True)


def _may_be_written_apart(column: Sequence[Any], kinds: set[type], records: bytes) -> bool:
    """Whether two values that are equal may be two in JSON (1 and 1.0, 0 and -0, 1 and true), or cannot be counted."""
    if not kinds <= _WRITTEN_ALIKE:
        return True
    return int in kinds and 0 in column and _NEGATIVE_ZERO.search(records) is not None


def value_of_json(fragment: bytes) -> Any:
    """The value in a column of JSON: UNSET where the record has none, ODD where it has to be looked at."""
    if fragment == MISSING:
        return UNSET
    if fragment == ODD_JSON:
        return ODD
    return decode_record(f'{{"":{fragment.decode()}}}')[""]


def _odd_json(column: Sequence[bytes], place: FieldPaths, *, strict: bool) -> Iterable[int]:
    odd = {one for one in set(column) if _is_odd_json(one, place, strict=strict)}
    return [number for number, one in enumerate(column) if one in odd] if odd else ()


def _is_odd_json(fragment: bytes, place: FieldPaths, *, strict: bool) -> bool:
    if fragment == ODD_JSON:
        return True
    if place.role is None:
        return False
    if fragment == MISSING:
        return not (strict and place.exhaustive)
    return fragment[:1] != b'"' or fragment == b'""'


def _odd_values(column: Sequence[Any], kinds: set[type], place: FieldPaths, *, strict: bool) -> Iterable[int]:
    if place.role is None:
        if list not in kinds and type(ODD) not in kinds:
            return ()
        return [number for number, one in enumerate(column) if one is ODD or type(one) is list]
    if kinds <= {str} and "" not in column:
        return ()
    known = strict and place.exhaustive
    return [
        number
        for number, one in enumerate(column)
        if (type(one) is not str or not one) and not (one is UNSET and known)
    ]


def fragment_of(name: str, value: Any, file: FileInfo | None) -> Fragment:
    """What a field's value is counted as.

    Args:
        name: of the field.
        value: as a column has it: bytes are its JSON in the line, UNSET and MISSING none.
        file: whose labels stand for what the line lacks.
    """
    if value is UNSET or value == MISSING:
        return _label(name, file)
    if not isinstance(value, bytes):
        value = encode(value)
    elif b"\\" in value and value.startswith(b'"'):
        value = encode(json.loads(value))
    if name == "trace_id" and b"/traces/" in value:
        value = encode(str(json.loads(value)).rpartition("/traces/")[2])
    return bytes(value)


def _label(name: str, file: FileInfo | None) -> Fragment:
    if file is None or (name in NAMED_FIELDS and name != "service") or name.startswith(LINE):
        return None
    if name == "service":
        found = label_values(file, name)
        return encode(found[0]) if found else None
    there, label = pick(file.resource, tuple(name.split(".")))
    return encode(label) if there else None
