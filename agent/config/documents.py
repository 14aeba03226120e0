"""Reads one configuration file: YAML, TOML or JSON by its extension, into plain values with line numbers.

YAML is read by its core schema of version 1.2: `off`, `no` and `1:30` are texts, not truth values and not base 60.
A duplicate key is an error in every format, for the reader of such a file sees another value than the program.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from agent.config.layers import KeyPath, Layer
from agent.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 4 * 2**20  # a thousand sources take 0.5 MiB
_MAX_VALUES = 100_000  # after the expansion of aliases: "billion laughs" ends here
_MAX_DEPTH = 30  # the schema needs 6
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read(file: Path, base: Path | None = None) -> Layer:
    """The document of a file as a layer; relative paths in it start at `base`, or else beside the file.

    Raises:
        ConfigError: SL101, the file is absent or cannot be read; SL102, its syntax; SL104, it is no mapping.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError.of("SL101", file, why=error) from None
    if len(data) > _MAX_BYTES:
        raise _syntax(str(file), None, "is larger than 4 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 (byte 0x{data[error.start]:02X})"
        if data[:2] in _UTF16_MARKS:
            what = "is UTF-16, not UTF-8"
        raise _syntax(str(file), data[: error.start].count(b"\n") + 1, f"{what}; save it as UTF-8") from None
    document, lines = parse(text, file.suffix.lower(), str(file))
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError.of("SL104.document", file)
    return Layer(str(file), base or file.parent, document, lines)


def parse(text: str, suffix: str, label: str) -> tuple[Any, dict[KeyPath, int]]:
    """The value of a text (`.toml`, `.json`, anything else YAML) and the 1-based lines of what it holds.

    Raises:
        ConfigError: SL102, with the line.
    """
    try:
        if suffix == ".toml":
            return _toml(text, label), {}
        if suffix == ".json":
            return _json(text, label), {}
        return _yaml(text, label)
    except RecursionError:
        raise _syntax(label, None, "is nested too deeply") from None


def _syntax(label: str, line: int | None, what: str) -> ConfigError:
    return ConfigError.of("SL102", f"{label}:{line}" if line else label, what=what)


def _toml(text: str, label: str) -> Any:
    import tomllib  # noqa: PLC0415 - as yaml below

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"(.*) \(at line (\d+), column \d+\)", str(error))
        line = int(match[2]) if match else text.count("\n") + 1
        raise _syntax(label, line, f"TOML: {match[1] if match else error}") from None


def _json(text: str, label: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for key, value in items:
            if key in known:
                raise _syntax(label, None, f"the key '{key}' stands twice in one object")
            known[key] = value
        return known

    def constant(name: str) -> Any:
        raise _syntax(label, None, f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise _syntax(label, error.lineno, f"JSON: {error.msg}, column {error.colno}") from None
    except ValueError:  # more digits than an integer may have
        raise _syntax(label, None, "a number has too many digits") from None


def _yaml(text: str, label: str) -> tuple[Any, dict[KeyPath, int]]:
    import yaml  # noqa: PLC0415 - 40 ms, which TOML and JSON need not pay

    try:
        node = yaml.compose(text, Loader=loader_class())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if error.context_mark and any(said in (error.problem or "") for said in ("end of stream", "expected ':'")):
            mark = error.context_mark  # where the quote or the key begins, not where the parser gave up
        raise _syntax(label, mark.line + 1 if mark else None, f"YAML: {_in_words(text, error, mark)}") from None
    except yaml.reader.ReaderError:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        what = f"the control character {found[0]!r} cannot stand here" if found else "a character that is none"
        raise _syntax(label, text.count("\n", 0, found.start()) + 1 if found else None, f"YAML: {what}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _syntax(label, None, f"YAML: {str(error).splitlines()[0]}") from None
    builder = _YamlBuilder(label)
    return (None if node is None else builder.value(node, ())), builder.lines


_TAB = "a tab stands where YAML wants spaces; indent with spaces"
_ESCAPE = "a backslash in double quotes begins an escape; put the text in single quotes"
# What the parsers of PyYAML (in Python and libyaml) say, and what a person has done.
_YAML_WORDS = (
    (
        "mapping values are not allowed",
        "a ': ' in the middle of a text; put the text in quotes, or look at the indentation",
    ),
    ("expected ',' or ']'", "a list '[' is not closed, or lacks a comma"),
    ("expected ',' or '}'", "a mapping '{' is not closed, or lacks a comma"),
    ("unexpected end of stream", "a quote is not closed"),
    ("tab character", _TAB),
    ("unknown escape character", _ESCAPE),
    ("hexdecimal", _ESCAPE),
    ("hexadecimal", _ESCAPE),
    ("character escape code", _ESCAPE),
    ("undefined alias", "found undefined alias: a '*' begins one; put a pattern such as '*.log' in quotes"),
    ("could not find expected ':'", "a key without its ':', or without a blank behind that"),
    ("expected alphabetic or numeric", "a '*' or '&' begins an alias; put a pattern such as '*.log' in quotes"),
    (
        "did not find expected key",
        "a line that is indented otherwise than those beside it, or text behind a closed quote",
    ),
    ("expected <block end>", "a line that is indented otherwise than those beside it, or text behind a closed quote"),
    (
        "did not find expected '-'",
        "a line in a list that is indented otherwise than its '-', or a '-' without a blank behind it",
    ),
    ("expected a single document", "a second document begins with '---'"),
)


def _in_words(text: str, error: Any, mark: Any) -> str:
    """What is wrong, as a person would say it; the parser's own words where they are rare."""
    what = " ".join(part for part in (error.context, error.problem) if part)
    if "cannot start any token" in what:
        lines = text.splitlines()
        rest = lines[mark.line][mark.column :] if mark and mark.line < len(lines) else ""
        if rest.startswith("\t") or "\\t" in what:
            return _TAB
        return f"a value cannot begin with {rest[:1]!r}; put it in quotes"
    return next((words for said, words in _YAML_WORDS if said in what), what)


class _YamlBuilder:
    """Plain values from YAML nodes. Aliases are expanded, in a bounded number."""

    def __init__(self, label: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._label = label
        self._count = 0

    def value(self, node: Any, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._count += 1
        if self._count > _MAX_VALUES or len(path) > _MAX_DEPTH:
            raise _syntax(self._label, line, "holds too many values or is nested too deeply")
        if node.id == "mapping":
            return self._mapping(node, path)
        if node.id == "sequence" and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: Any, path: KeyPath) -> dict[str, Any]:
        if node.tag != "tag:yaml.org,2002:map":
            raise self._foreign(node)
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged |= self._merge(value_node, path, line)
                continue
            key = self._scalar(key_node) if key_node.id == "scalar" else None
            if not isinstance(key, str):
                raise _syntax(self._label, line, "a key is not a text; put it in quotes")
            if key in result:
                raise _syntax(self._label, line, f"the key '{key}' stands twice in one mapping")
            self.lines[(*path, key)] = line
            result[key] = self.value(value_node, (*path, key))
        return {**merged, **result}

    def _merge(self, node: Any, path: KeyPath, line: int) -> dict[str, Any]:
        """`<<: *other` or `<<: [*one, *two]`, where the first wins."""
        values = [self.value(item, path) for item in (node.value if node.id == "sequence" else [node])]
        if not all(isinstance(value, dict) for value in values):
            raise _syntax(self._label, line, "<< needs a mapping")
        return {key: item for value in reversed(values) for key, item in value.items()}

    def _scalar(self, node: Any) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        try:
            if kind in ("str", "merge"):
                return node.value
            if kind == "null":
                return None
            if kind == "bool":
                return node.value.lower() == "true"
            if kind == "int":
                base = {"0x": 16, "0o": 8}.get(node.value[:2], 10)
                return int(node.value[2:] if base != 10 else node.value, base)  # noqa: PLR2004
            if kind == "float":
                return float(node.value)
        except ValueError:
            raise _syntax(self._label, node.start_mark.line + 1, f"{node.value[:40]!r} is not a number") from None
        raise self._foreign(node)

    def _foreign(self, node: Any) -> ConfigError:
        return _syntax(self._label, node.start_mark.line + 1, f"the tag {node.tag} is not accepted")


# ---------------------------------------------------------------- YAML


_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
)


@functools.cache
def loader_class() -> Any:
    """The loader, libyaml's where PyYAML was built with it (10 times as fast)."""
    import yaml  # noqa: PLC0415 - as above

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class CoreLoader(base):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name is PyYAML's

    for name, pattern, first in _SCALARS:
        CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(rf"^(?:{pattern})$"), list(first))
    CoreLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
    return CoreLoader
