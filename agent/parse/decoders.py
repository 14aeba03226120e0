"""Compiled decoders of a chunk's lines: of instant, severity and logger.

A struct type and its decoders take 30 KB; they are made once for each combination of paths, so that a thousand files
of one application share them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from agent.core import dialects
from agent.core.fallback import DERIVING
from agent.core.fields import load_record
from agent.core.patterns import lazy
from agent.core.severity import telling_keys
from agent.parse import exports, fields
from agent.parse.formats import docker

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agent.core.fields import Path

ROLES = ("timestamp", "severity", "logger")
INSTANT: Path = ("instant",)
_TYPES: dict[str, Any] = {"timestamp": str | int | float | None, "severity": str | int | None, "logger": str | None}
_TWO_KEYS: Path = ("timestampSeconds",)  # needs a second key: careful path
_MOST_HARMLESS = 64  # keys that a Probe remembers, and times that it does
_MOST_MET = 4096  # numbers that are remembered; of levels there are ten
COMBINATIONS = 64  # as many applications, each with its own names, hardly write on one machine
_NO_FIELD_NAME = lazy(r'["\\\x00-\x1f]')
_NEVER = Annotated[int, msgspec.Meta(ge=1, le=0)]  # no value at all, null neither
_NO_NAME = int | float | None  # before a name no number counts
_Tree = dict[str, Any]  # key -> role name, None (forbidden) or another type that it may have, or a nested _Tree


class Instant(msgspec.Struct, gc=False, rename={"seconds": "epochSecond", "nanos": "nanoOfSecond"}):
    """log4j2's split instant."""

    seconds: int
    nanos: int = 0


class Columns(NamedTuple):
    """How the three columns are read of many lines at once."""

    decoder: msgspec.json.Decoder[Any]
    getters: dict[str, list[attrgetter[Any]]]  # role -> how to get from a struct to the value
    # The keys besides the own one beside which a line has to be looked at closer: `severity` and `logger` where it has
    # none at its own path, `scale` where its level is a number, whose own are those of `severity.telling_keys`.
    telling: dict[str, frozenset[str]]


@lru_cache(maxsize=COMBINATIONS)
def compiled_columns(
    own: tuple[Path | None, ...], known: tuple[tuple[Path, ...], ...], needed: frozenset[str], refused: str
) -> Columns | None:
    """The decoders for paths.

    Args:
        own: of each of ROLES, the path in this file's lines.
        known: of each of ROLES, every path that it may have, in their order.
        needed: the keys that a line must have.
        refused: the key that no line may have, whatever its value; none where it is empty.

    Returns:
        None where a path is both a value and an object, needs two keys, or has a key that is refused or no field's.
    """
    if not all(map(is_field_name, chain.from_iterable(chain(*known, filter(None, own))))):
        return None
    tree = _tree(own, known)
    if tree is None or type(tree.get(refused)) in (str, dict):
        return None
    if refused:
        tree[refused] = _NEVER
    paths = dict(zip(ROLES, own, strict=True))
    getters: dict[str, list[attrgetter[Any]]] = {}
    decoder = msgspec.json.Decoder(_struct(tree, [], paths, getters, needed))
    others = {role: frozenset(path[0] for path in found) for role, found in zip(ROLES, known, strict=True)}
    own_keys = {path[0] for path in own if path is not None and len(path) == 1}
    levels = others["severity"] | dialects.FIRST_KEYS["severity"]
    telling = {
        "severity": (levels | DERIVING) - own_keys,
        "logger": (others["logger"] | dialects.FIRST_KEYS["logger"]) - own_keys,
        "scale": levels - own_keys,
    }
    return Columns(decoder, getters, telling)


def is_field_name(key: str) -> bool:
    """Whether msgspec takes it as a field's name."""
    return _NO_FIELD_NAME.search(key) is None


def _tree(own: tuple[Path | None, ...], known: tuple[tuple[Path, ...], ...]) -> _Tree | None:
    """What the struct looks at; None where a path is both a value and an object."""
    tree: _Tree = {}
    for role, path in zip(ROLES, own, strict=True):
        if path == _TWO_KEYS or (path is not None and not _put(tree, path, role)):
            return None
    for role, path, others in zip(ROLES, own, known, strict=True):
        if path is None and role != "timestamp":
            continue  # a Probe looks at each line; a hundred names here would cost 0.6 µs a line
        for other in others:
            if other == path:
                break
            nothing = _NO_NAME if role == "severity" else None
            if not _put(tree, other, nothing) and not (role != "timestamp" and _is_object(tree, other)):
                return None
    tree.setdefault(docker.STREAM, None)  # its lines are JSON too, but the event is inside
    tree.setdefault(fields.CLEF_TIMESTAMP, None)
    for key in exports.KEYS:  # the record is made of such a line
        tree.setdefault(key, exports.PLAIN_VALUES[key])
    return tree


def _is_object(tree: _Tree, path: Path) -> bool:
    """Whether the struct takes nothing but an object at this path, which is no level and no name."""
    node: Any = tree
    for key in path:
        node = node.get(key) if type(node) is dict else None
    return type(node) is dict


def _struct(
    tree: _Tree,
    above: list[attrgetter[Any]],
    paths: dict[str, Path | None],
    getters: dict[str, list[attrgetter[Any]]],
    needed: frozenset[str] = frozenset(),
) -> type[msgspec.Struct]:
    """A struct type of a tree; notes in `getters` how to get at the roles in it."""
    members: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    names = {}
    for number, (key, leaf) in enumerate(tree.items()):
        name = f"f{number}"
        names[name] = key
        getter = [*above, attrgetter(name)]
        kind: Any = leaf
        if type(leaf) is dict:
            kind = _struct(leaf, getter, paths, getters) | None
        elif type(leaf) is str:
            getters[leaf] = getter
            kind = Instant | None if paths[leaf] == INSTANT else _TYPES[leaf]
        members.append((name, kind) if key in needed else (name, kind, None))
    for number, key in enumerate(sorted(needed.difference(tree))):
        names[f"n{number}"] = key
        members.append((f"n{number}", msgspec.Raw))
    return msgspec.defstruct("Line", members, rename=names, gc=False, kw_only=True)


class Probe:
    """Tells the lines that have one of some keys at their top level.

    It knows the keys of the lines that it has looked at closer and that have none: a struct of these alone takes
    0.3 µs a line, for a file's lines have few keys in one order; one of all the keys that are looked for takes 1.8.

    Args:
        keys: that are looked for.
    """

    def __init__(self, keys: frozenset[str]) -> None:
        self.keys = keys
        self.harmless: tuple[str, ...] = ()  # in the order of the lines, in which they are found at once
        self.decoder = _only(())
        self._most = _MOST_HARMLESS

    def is_clean(self, lines: bytes | str) -> bool:
        """Whether none of these lines, each one object, has any; False says nothing."""
        try:
            self.decoder.decode_lines(lines)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        return True

    def odd(self, rows: Sequence[int], records: list[str]) -> list[tuple[int, dict[str, Any]]]:
        """Those of the rows of which the records have one of the keys, with these decoded."""
        if self._are_clean(rows, records):
            return []
        found, was_odd = list[tuple[int, dict[str, Any]]](), False
        for place, row in enumerate(rows, 1):
            if not was_odd and self.is_clean(records[row]):  # behind an odd one mostly in vain
                continue
            record = load_record(records[row])
            was_odd = not self.keys.isdisjoint(record)
            if was_odd:
                found.append((row, record))
            elif self._learn(record.keys()) and self._are_clean(rows[place:], records):
                break
        return found

    def _are_clean(self, rows: Sequence[int], records: list[str]) -> bool:
        return not rows or self.is_clean("\n".join([records[row] for row in rows]))

    def _learn(self, keys: Collection[str]) -> bool:
        """Remember the keys of a line that has none of those that are looked for; whether there were new ones."""
        harmless = tuple(dict.fromkeys((*self.harmless, *filter(is_field_name, keys))))
        if len(harmless) > _MOST_HARMLESS or self._most <= 0 or harmless == self.harmless:
            return False
        self._most -= 1
        self.harmless = harmless
        self.decoder = _only(harmless)
        return True


class NumberProbe(Probe):
    """A Probe for lines with a number as their level: it looks for the keys that matter beside the numbers met so far,
    so that `reqId` beside pino's 30, which is on no scale that this key tells, is like any other.

    Args:
        keys: that are looked for beside every number.
        path: of the numbers.
    """

    def __init__(self, keys: frozenset[str], path: Path) -> None:
        super().__init__(keys)
        self._path = path
        self._met: set[Any] = set()

    def meet(self, numbers: set[Any]) -> None:
        """These are the numbers in what is looked at next."""
        if numbers <= self._met:
            return
        if len(self._met) > _MOST_MET:
            self._met.clear()
        self.keys |= telling_keys(numbers - self._met, self._path)
        self._met |= numbers
        self.harmless = tuple(key for key in self.harmless if key not in self.keys)
        self.decoder = _only(self.harmless)


@lru_cache(maxsize=COMBINATIONS)
def _only(keys: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """A decoder that refuses a line with any other key."""
    members: list[tuple[str, Any, Any]] = [(f"f{n}", msgspec.Raw, None) for n in range(len(keys))]
    names = {f"f{n}": key for n, key in enumerate(keys)}
    return msgspec.json.Decoder(msgspec.defstruct("Only", members, rename=names, gc=False, forbid_unknown_fields=True))


def _put(tree: _Tree, path: Path, leaf: Any) -> bool:
    """Add a path to the tree; False where it crosses another one. What lies below a forbidden key is forbidden."""
    node = tree
    for key in path[:-1]:
        node = node.setdefault(key, {})
        if type(node) is not dict:
            return type(node) is not str and type(leaf) is not str
    if path[-1] in node:
        return type(leaf) is not str and type(node[path[-1]]) not in (str, dict)
    node[path[-1]] = leaf
    return True
