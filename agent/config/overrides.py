"""Values from the environment (`SIDELOG_STORE__PATH`) and from `--set store.path=…`, as paths into the document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.config.layers import Key, KeyPath, Text
from agent.core.errors import ConfigError, UsageError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "SIDELOG_"
SECTIONS = ("store", "sources", "archive", "alerts", "hooks", "http")

_STEP = lazy(r"""(?:^|\.)(?:([A-Za-z0-9_-]+)|"([^"]+)")|\[(\d{1,6})\]""", re.ASCII)


def from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, KeyPath, Any]]:
    """(variable, path, value) of every variable that is meant for the configuration.

    A name without `__` counts only when it is a whole section: SIDELOG_CONFIG names the file, SIDELOG_RULE and its
    like come from a hook, and a service named sidelog makes some orchestrators set SIDELOG_PORT and more.
    """
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        words = name.removeprefix(PREFIX).lower().split("__")
        if len(words) > 1 or words[0] in SECTIONS:
            path: KeyPath = tuple(int(word) if word.isdecimal() and at else word for at, word in enumerate(words))
            yield name, path, scalar(environ[name], name)


def from_options(assignments: list[str] | tuple[str, ...]) -> Iterator[tuple[str, KeyPath, Any]]:
    """(label, path, value) of every `KEY=VALUE`.

    Raises:
        UsageError: SL501, it has no `=` or its key is not a path.
    """
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        path = split_path(key.strip())
        if not equals or not path:
            message = f"--set {assignment!r} is not KEY=VALUE"
            raise UsageError(
                "SL501", "read --set", assignment, message, hint="for example --set store.path=/tmp/sidelog.db"
            )
        yield "--set", path, scalar(value.strip(), f"--set {key.strip()}")


def split_path(text: str) -> KeyPath:
    """`sources[0].labels."service.name"` as its keys; empty when it is no path. `sources.0` is accepted too."""
    path: list[Key] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if not step:
            return ()
        word, quoted, index = step.groups()
        path.append(int(index) if index else int(word) if word and word.isdecimal() and path else quoted or word)
        at = step.end()
    return tuple(path) if path and isinstance(path[0], str) else ()


def scalar(text: str, label: str) -> Any:
    """A YAML value written on one line. What is a plain scalar stays text until its place in the schema is known.

    Raises:
        ConfigError: SL102, a list, mapping or quoted text that is not closed.
    """
    if text in ("", "~", "null"):
        return None
    if text[0] not in "[{\"'":
        return Text(text)
    from agent.config.documents import parse  # noqa: PLC0415 - brings YAML, which a path does not need

    try:
        value, _ = parse(text, ".yaml", label)
    except ConfigError:
        message = f"{label}: the value is not valid YAML on one line"
        hint = "a list is written [a, b], a mapping {key: value}, a text that begins like one in quotes"
        raise ConfigError("SL102", "read an override", label, message, hint=hint) from None
    return value
