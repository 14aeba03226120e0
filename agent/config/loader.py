"""Puts a configuration together: defaults < file < conf.d/*.yaml beside it < environment < `--set` < `--store`."""

from __future__ import annotations

import glob
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agent.config.convert import INVALID, ConfigFindings, to_struct
from agent.config.layers import Key, KeyPath, Layer, MergedDocument, PlainScalar
from agent.config.schema import Config, default_store_path
from agent.config.validate import validate
from agent.core.errors import ConfigError, UsageError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

SYSTEM_FILE = Path("/etc/sidelog/sidelog.yaml")
LOCAL_FILE = Path("sidelog.yaml")
PREFIX = "SIDELOG_"
SECTIONS = ("store", "sources", "archive", "alerts", "hooks", "http", "forward", "engine")
_MAGIC = lazy(r"[*?\[]")
_STEP = lazy(r"""(?:^|\.)(?:([A-Za-z0-9_-]+)|"([^"]+)")|\[(\d{1,6})\]""", re.ASCII)


class InvalidConfigError(ConfigError):
    """A configuration with one finding or more; it speaks with the voice of the first.

    Args:
        findings: what is wrong.
        matches: place, name and `match` of each rule that says what it counts, for those who can read that.
    """

    def __init__(self, findings: Sequence[ConfigError], matches: Sequence[tuple[str, str, str]] = ()) -> None:
        first = findings[0]
        super().__init__(first.code, first.operation, first.subject, first.message, hint=first.hint)
        self.findings = tuple(findings)
        self.matches = tuple(matches)


def find_file(chosen: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The configuration file: the chosen one, $SIDELOG_CONFIG, ./sidelog.yaml, /etc/sidelog/sidelog.yaml, or None.

    A file that is named but does not exist is returned all the same, so that loading it says so.
    """
    if chosen is not None:
        return Path(os.path.abspath(chosen))  # noqa: PTH100 - a symbolic link keeps its name
    if named := environ.get("SIDELOG_CONFIG"):
        return Path(os.path.abspath(named))  # noqa: PTH100
    return next((Path(os.path.abspath(file)) for file in (LOCAL_FILE, SYSTEM_FILE) if _is_there(file)), None)  # noqa: PTH100


def _is_there(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except PermissionError:
        # `sudo -u sidelog` leaves one in a directory of another user, where nothing is meant for that one. Who may not
        # look for the system's own file is told so when it is loaded.
        return file.is_absolute()
    except OSError:
        return False


def load(
    path: Path | None,
    *,
    store: Path | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The validated configuration of a file (None: defaults alone) with everything that overrides it.

    Args:
        path: the file, as `find_file` gives it.
        store: replaces `store.path`, relative to the working directory.
        overrides: `KEY=VALUE` texts of `--set`.
        environ: where SIDELOG_* variables, HOME and XDG_STATE_HOME are looked up.

    Raises:
        InvalidConfigError: everything that is wrong with it, each finding with its file and path.
        ConfigError: SL101 to SL104, a file that cannot be read at all.
        UsageError: SL501, an override that is not KEY=VALUE.
    """
    if path is None:
        return _finish(MergedDocument(Layer("defaults", Path.cwd(), {})), store, overrides, environ)
    from agent.config import documents  # noqa: PLC0415 - without a file no parser is needed

    file = Path(os.path.abspath(path))  # noqa: PTH100
    merged = MergedDocument(documents.read(file))
    for extra in drop_ins(file):
        merged.extend(documents.read(extra, file.parent))
    return _finish(merged, store, overrides, environ)


def drop_ins(file: Path) -> list[Path]:
    """The `conf.d/*.yaml` beside a configuration file, in the order in which they apply; hidden ones not.

    Raises:
        ConfigError: SL101, the directory cannot be read.
    """
    directory = file.parent / "conf.d"
    try:
        names = os.listdir(directory)  # noqa: PTH208 - Path.glob finds nothing where it may not look
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError.of("SL101", directory, why=error) from None
    return [directory / name for name in sorted(names) if name.endswith(".yaml") and not name.startswith(".")]


def for_patterns(
    patterns: Sequence[str],
    store: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    overrides: Sequence[str] = (),
    names: Collection[str] = (),
) -> Config:
    """The configuration of `run PATTERN…` without a file: nothing is archived, nothing is deleted.

    Patterns in one directory share a source, which is named after it; equal names get a number.

    Args:
        patterns: as they were given.
        store: instead of the default one.
        environ: variables.
        overrides: of `--set`.
        names: those of the patterns that are names of files, whatever wildcards are in them.

    Raises:
        ConfigError: as `load`.
    """
    by_directory: dict[str, list[str]] = {}
    for pattern in patterns:
        absolute = os.path.abspath(os.path.expanduser(pattern))  # noqa: PTH100, PTH111 - a pattern is no path yet
        if pattern in names:
            by_directory.setdefault(os.path.dirname(absolute), []).append(glob.escape(absolute))  # noqa: PTH120
        else:
            by_directory.setdefault(_directory(absolute), []).append(absolute)
    taken: dict[str, None] = {}
    sources = []
    for directory, group in by_directory.items():
        name = _unused(_source_name(directory), taken)
        taken[name] = None
        sources.append({"name": name, "include": group})
    document = {"store": {"retention": {"age": None, "size": None}}, "sources": sources}
    return _finish(MergedDocument(Layer("patterns", Path.cwd(), document)), store, overrides, environ)


def _finish(merged: MergedDocument, store: Path | None, overrides: Sequence[str], environ: Mapping[str, str]) -> Config:
    for label, path, value in (*from_environment(environ), *from_options(overrides)):
        merged.put(Layer(label, Path.cwd(), {}), path, value)
    _default_paths(merged.document, environ)
    findings = ConfigFindings(merged)
    config = to_struct(Config, merged.document, (), findings)
    if config is not INVALID:
        validate(config, findings)
    if findings.errors:
        raise InvalidConfigError(findings.errors, _matches(merged))
    assert isinstance(config, Config)
    return config if store is None else with_store(config, store)


def _matches(merged: MergedDocument) -> list[tuple[str, str, str]]:
    """Place, name and `match` of the rules as they are written."""
    rules = merged.get(("alerts",))
    return [
        (str(merged.place(("alerts", index, "match"))), str(rule.get("name", "")), str(rule["match"]))
        for index, rule in enumerate(rules if isinstance(rules, list) else [])
        if isinstance(rule, dict) and isinstance(rule.get("match"), str)
    ]


def with_store(config: Config, store: Path) -> Config:
    """The same configuration with another store file, relative to the working directory."""
    absolute = Path(os.path.abspath(store))  # noqa: PTH100
    return msgspec.structs.replace(config, store=msgspec.structs.replace(config.store, path=absolute))


def _default_paths(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    section = document.setdefault("store", {})
    if isinstance(section, dict):
        section.setdefault("path", str(default_store_path(environ)))


def _directory(pattern: str) -> str:
    """The directory of a pattern, up to the first part with a wildcard; of a directory itself, that one."""
    head = Path(pattern).parent
    while _MAGIC.search(str(head)):
        head = head.parent
    return str(head)


def _source_name(directory: str) -> str:
    """A valid source name from the last part of a directory."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(directory).name).strip("-.")
    return name[:64] or "root"


def _unused(name: str, names: Mapping[str, None]) -> str:
    if name not in names:
        return name
    return next(f"{name}-{number}" for number in range(2, len(names) + 3) if f"{name}-{number}" not in names)


# ---------------------------------------------------------------- the environment and --set


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


def from_options(assignments: Sequence[str]) -> Iterator[tuple[str, KeyPath, Any]]:
    """(label, path, value) of every `KEY=VALUE`.

    Raises:
        UsageError: SL501, it has no `=` or its key is not a path.
    """
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        path = split_path(key.strip())
        if not equals or not path:
            raise UsageError.of("SL501.set", assignment)
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
        return PlainScalar(text)
    from agent.config.documents import parse  # noqa: PLC0415 - brings YAML, which a plain value does not need

    try:
        value, _ = parse(text, ".yaml", label)
    except ConfigError:
        raise ConfigError.of("SL102.override", label) from None
    return value
