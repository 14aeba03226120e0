"""Compiled decoders of instant, severity and logger: one for each combination of paths, shared by all its files.

A struct type and its decoders take 30 KB; a thousand files of one application share them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.core.patterns import lazy
from agent.parse import fields
from agent.parse.formats import docker

if TYPE_CHECKING:
    from agent.core.fields import Path

ROLES = ("timestamp", "severity", "logger")
INSTANT: Path = ("instant",)
_TYPES: dict[str, Any] = {"timestamp": str | int | float | None, "severity": str | int | None, "logger": str | None}
_TWO_KEYS: Path = ("timestampSeconds",)  # needs a second key: careful path
_COMBINATIONS = 64  # as many applications, each with its own names, hardly write on one machine
_NO_FIELD_NAME = lazy(r'["\\\x00-\x1f]')
_Tree = dict[str, Any]  # key -> role name, None (forbidden), or a nested _Tree


class Instant(msgspec.Struct, gc=False, rename={"seconds": "epochSecond", "nanos": "nanoOfSecond"}):
    """log4j2's split instant."""

    seconds: int
    nanos: int = 0


class Columns(NamedTuple):
    """How the three columns are read of many lines at once."""

    decoder: msgspec.json.Decoder[Any]
    getters: dict[str, list[attrgetter[Any]]]  # role -> how to get from a struct to the value
    probes: dict[str, msgspec.json.Decoder[Any]]  # severity and logger: refuses a line with another name of the role


@lru_cache(maxsize=_COMBINATIONS)
def compiled_columns(own: tuple[Path | None, ...], known: tuple[tuple[Path, ...], ...]) -> Columns | None:
    """The decoders for paths.

    Args:
        own: of each of ROLES, the path in this file's lines.
        known: of each of ROLES, every path that it may have, in the order in which they count.

    Returns:
        None where a path is both a value and an object, needs two keys, or has a key that no field can be named.
    """
    if not all(map(is_field_name, chain.from_iterable(chain(*known, filter(None, own))))):
        return None
    tree = _tree(own, known)
    if tree is None:
        return None
    paths = dict(zip(ROLES, own, strict=True))
    getters: dict[str, list[attrgetter[Any]]] = {}
    decoder = msgspec.json.Decoder(_struct(tree, [], paths, getters))
    others = dict(zip(ROLES, known, strict=True))
    probes = {role: _probe(paths[role], others[role]) for role in ("severity", "logger")}
    return Columns(decoder, getters, probes)


def is_field_name(key: str) -> bool:
    """Whether msgspec takes it as a field's name; a configured one may be anything."""
    return _NO_FIELD_NAME.search(key) is None


def _tree(own: tuple[Path | None, ...], known: tuple[tuple[Path, ...], ...]) -> _Tree | None:
    """What the struct looks at; None where a path is both a value and an object."""
    tree: _Tree = {}
    for role, path in zip(ROLES, own, strict=True):
        if path == _TWO_KEYS or (path is not None and not _put(tree, path, role)):
            return None
    for path, others in zip(own, known, strict=True):
        for other in others:
            if other == path:
                break
            if not _put(tree, other, None):
                return None
    tree.setdefault(docker.STREAM, None)  # its lines are JSON too, but the event is inside
    tree.setdefault(fields.CLEF_TIMESTAMP, None)
    return tree


def _struct(
    tree: _Tree,
    above: list[attrgetter[Any]],
    paths: dict[str, Path | None],
    getters: dict[str, list[attrgetter[Any]]],
) -> type[msgspec.Struct]:
    """A struct type of a tree; notes in `getters` how to get at the roles in it."""
    members: list[tuple[str, Any, Any]] = []
    names = {}
    for number, (key, leaf) in enumerate(tree.items()):
        name = f"f{number}"
        names[name] = key
        getter = [*above, attrgetter(name)]
        if type(leaf) is dict:
            members.append((name, _struct(leaf, getter, paths, getters) | None, None))
        elif leaf is None:
            members.append((name, None, None))
        else:
            getters[leaf] = getter
            kind = Instant | None if paths[leaf] == INSTANT else _TYPES[leaf]
            members.append((name, kind, None))
    return msgspec.defstruct("Line", members, rename=names, gc=False)


def _probe(own: Path | None, known: tuple[Path, ...]) -> msgspec.json.Decoder[Any]:
    """A decoder that refuses a line with any other name of the role, at the top level."""
    keys = {path[0] for path in known}
    if own is not None and len(own) == 1:
        keys -= {own[0]}
    members: list[tuple[str, Any, Any]] = [(f"f{n}", None, None) for n in range(len(keys))]
    names = {f"f{n}": key for n, key in enumerate(sorted(keys))}
    return msgspec.json.Decoder(msgspec.defstruct("Probe", members, rename=names, gc=False))


def _put(tree: _Tree, path: Path, leaf: str | None) -> bool:
    """Add a path to the tree; False where it crosses another one. What lies below a forbidden key is forbidden."""
    node = tree
    for key in path[:-1]:
        node = node.setdefault(key, {})
        if type(node) is not dict:
            return node is None and leaf is None
    if path[-1] in node:
        return leaf is None and node[path[-1]] is None
    node[path[-1]] = leaf
    return True
