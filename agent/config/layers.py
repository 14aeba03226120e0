"""Documents laid over each other, with the memory of where every value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

Key = str | int
KeyPath = tuple[Key, ...]

APPENDED = ("sources", "alerts", "forward")  # lists that a drop-in file extends instead of replacing them


class PlainScalar(str):
    """A scalar of the environment or `--set`: a number, truth value or text, as its place in the schema wants."""

    __slots__ = ()


class Layer(msgspec.Struct, frozen=True):
    """One document: a file, an environment variable or a `--set`.

    `base` is where its relative paths start; `lines` the 1-based line of each value, where the format tells it.
    """

    label: str
    base: Path
    document: dict[str, Any]
    lines: dict[KeyPath, int] = {}


class Origin(msgspec.Struct, frozen=True):
    """Where a value stands in the layer that it came from."""

    layer: Layer
    path: KeyPath

    def __str__(self) -> str:
        """`FILE:LINE: sources[0].include`, shorter where there is no line or the value is the whole document."""
        line = next((n for i in range(len(self.path), -1, -1) if (n := self.layer.lines.get(self.path[:i]))), None)
        where = f"{self.layer.label}:{line}" if line else self.layer.label
        return f"{where}: {dotted(self.path)}" if self.path else where


def dotted(path: KeyPath) -> str:
    """`sources[0].labels."service.name"`: the spelling that `--set` takes."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            plain = key.replace("_", "").replace("-", "").isalnum()
            text += ("." if text else "") + (key if plain else f'"{key}"')
    return text


class MergedDocument:
    """The layers merged: `document`, and for every path in it the place where a person wrote it."""

    def __init__(self, first: Layer) -> None:
        self.document: dict[str, Any] = {}
        self._origins: dict[KeyPath, Origin] = {(): Origin(first, ())}
        self._overlay(self.document, first.document, (), first)

    def extend(self, layer: Layer) -> None:
        """Lay a document over what is there: mappings merge, the lists of APPENDED are appended, all else replaces."""
        rest = dict(layer.document)
        for name in APPENDED:
            there, more = self.document.get(name), rest.get(name)
            if isinstance(there, list) and isinstance(more, list):
                del rest[name]
                for index, item in enumerate(more):
                    self._origins[name, len(there)] = Origin(layer, (name, index))
                    there.append(item)
        self._overlay(self.document, rest, (), layer)

    def put(self, layer: Layer, path: KeyPath, value: Any) -> None:
        """Set one value; missing mappings on the way are made, a list may grow by one.

        Raises:
            ConfigError: SL104, the path leads through something that is neither.
        """
        here: Any = self.document
        for depth, key in enumerate(path[:-1]):
            if isinstance(key, str) and isinstance(here, dict) and not isinstance(here.get(key), dict | list):
                here[key] = [] if isinstance(path[depth + 1], int) else {}
                self._claim(path[: depth + 1], Origin(layer, path[: depth + 1]))
            elif isinstance(key, int) and isinstance(here, list) and key == len(here):
                here.append({})
            here = self._step(here, key, layer, path)
        last = path[-1]
        if isinstance(last, int) and isinstance(here, list) and last == len(here):
            here.append(None)
        self._step(here, last, layer, path, missing_ok=True)
        here[last] = value
        self._claim(path, Origin(layer, path))

    def place(self, path: KeyPath) -> Origin:
        """Where the value at this path, or what it lies in, was written."""
        length = next(length for length in range(len(path), -1, -1) if path[:length] in self._origins)
        origin = self._origins[path[:length]]
        return Origin(origin.layer, origin.path + path[length:])

    def get(self, path: KeyPath) -> Any:
        """The value as written, or None."""
        here: Any = self.document
        for key in path:
            try:
                here = here[key]
            except (KeyError, IndexError, TypeError):
                return None
        return here

    def _overlay(self, here: dict[str, Any], more: dict[str, Any], path: KeyPath, layer: Layer) -> None:
        for key, value in more.items():
            inner = (*path, key)
            if isinstance(value, dict) and isinstance(here.get(key), dict):
                self._overlay(here[key], value, inner, layer)
                continue
            self._claim(inner, Origin(layer, inner))
            if isinstance(value, dict):
                here[key] = {}
                self._overlay(here[key], value, inner, layer)
            else:
                here[key] = list(value) if isinstance(value, list) else value

    def _claim(self, path: KeyPath, place: Origin) -> None:
        """The value at `path` is another one now: what was known of its inside is void."""
        for known in [known for known in self._origins if known[: len(path)] == path]:
            del self._origins[known]
        self._origins[path] = place

    @staticmethod
    def _step(here: Any, key: Key, layer: Layer, path: KeyPath, *, missing_ok: bool = False) -> Any:
        if isinstance(here, dict) and isinstance(key, str):
            return here.get(key) if missing_ok else here[key]
        if isinstance(here, list) and isinstance(key, int) and key < len(here):
            return here[key]
        if isinstance(here, list):
            raise ConfigError.of("SL104.element", Origin(layer, path), index=key)
        raise ConfigError.of("SL104.plain", Origin(layer, path), key=key)
