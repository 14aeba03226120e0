"""Finding files: patterns to paths, with one listing per directory and scan, and the directories to watch."""

# ruff: noqa: PTH100, PTH111, PTH112, PTH116, PTH118, PTH119, PTH120, PTH206 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import errno
import fnmatch
import json
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec

from agent.config.convert import close_to
from agent.core.containerpaths import file_resource
from agent.core.errors import TailError
from agent.core.patterns import lazy
from agent.core.stored import resource_json
from agent.tail import files
from agent.tail.links import LinkResolver, existing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from agent.config import Config, JournalConfig, SourceConfig
    from agent.core.model import FileGeneration
    from agent.tail.identity import FileKey
    from agent.tail.journalctl import JournalSelection

# Few lines wait for their commit as long as `flush_interval` says, and may wait for their reading as well. Not longer:
# a log that its application truncates loses what was written after the last look.
_LONGEST_PAUSE_S = 0.25
_MAGIC = lazy(r"[*?\[]")


class SourceSettings(msgspec.Struct, frozen=True):
    """One source: which files it takes and how. Patterns are globs (`*`, `?`, `[…]`, `**`); `exclude` matches the
    whole path or the base name; `max_line` is in bytes without the newline.
    """

    name: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    start: Literal["beginning", "end"]
    max_line: int
    resource: str  # JSON object: the resource attributes of its events, as far as they are not a file's own
    look_interval_s: float  # a file that grows by little is looked at this often, or as one that grows by much
    journal: JournalSelection | None  # what it reads instead of files

    def owns(self, file: FileGeneration) -> bool:
        """Whether what is read of the file from now on has the same source and resource as what was read before."""
        if self.name != file.source:
            return False
        known, own = file.resource, self.resource_of(file)
        return known == own or json.loads(known) == json.loads(own)  # labels in another order

    def resource_of(self, file: FileGeneration) -> str:
        """The resource attributes of the events of a file: the source's, and those of the container that wrote it."""
        return file_resource(self.resource, file.path, file.current_path)

    @staticmethod
    def from_source(source: SourceConfig, flush_interval_s: float) -> SourceSettings:
        """What the configuration says of a source's files, and how long lines may wait for their commit."""
        return SourceSettings(
            name=source.name,
            include=tuple(source.include),
            exclude=tuple(source.exclude),
            start=source.start,
            max_line=source.max_line,
            resource=resource_json(source.labels),
            look_interval_s=min(flush_interval_s, _LONGEST_PAUSE_S),
            journal=None if source.journal is None else _selection(source.journal),
        )


def _selection(journal: JournalConfig) -> JournalSelection:
    from agent.tail.journalctl import JournalSelection  # noqa: PLC0415 - asyncio, for a command that reads nothing

    return JournalSelection.from_config(journal)


def tail_settings(config: Config) -> list[SourceSettings]:
    """Which files each source takes, in the order of the configuration: the first that matches a file has it."""
    return [SourceSettings.from_source(source, config.store.flush_interval) for source in config.sources]


class FoundFile(msgspec.Struct):
    """A regular file that a source wants."""

    path: str
    source: SourceSettings
    key: FileKey
    size: int
    mtime_ns: int
    real: str  # the path without symbolic links
    origin: str = ""  # the path that the source matched, where the file was renamed before it could be seen


class DirectoryScan(msgspec.Struct):
    """What one look at the disk gave. `errors` holds what could not be looked at: nothing follows from that."""

    files: list[FoundFile] = []
    directories: set[str] = set()
    names: set[tuple[str, str]] = set()  # directory and name: links on the way to files, and their targets
    aliases: dict[str, str] = {}  # where links lead, whether or not a file is there now -> the paths that match
    refused: dict[str, TailError] = {}
    errors: dict[str, OSError] = {}


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _fits(name: str, pattern: str) -> bool:
    """Whether one path component matches; a leading dot only an explicit one, as in the shell."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _matcher(pattern).match(name) is not None


class Discovery:
    """The sources' patterns, made absolute when it is built."""

    def __init__(self, sources: Sequence[SourceSettings], avoid: Collection[Path] = ()) -> None:
        self.sources = list(sources)
        self._patterns = [
            (source, os.path.abspath(os.path.expanduser(pattern)).split(os.sep)[1:])
            for source in sources
            for pattern in source.include
        ]
        self._names = {parts[-1] if parts[-1] != "**" else "*" for _, parts in self._patterns}
        self._avoid = {str(path.absolute()) for path in avoid} | {os.path.realpath(path) for path in avoid}

    def wants(self, directory: str, name: str) -> bool:
        """Whether a file of this base name could be matched in some directory, or a directory of this path is on the
        way to some: the cheap test for events.
        """
        if any(_fits(name, pattern) for pattern in self._names):
            return True
        parts = [*directory.split(os.sep)[1:], name]
        return any(_leads(parts, pattern) for _, pattern in self._patterns)

    def excluded(self, source: SourceSettings, path: str) -> bool:
        """Whether `exclude` of the source matches the path or its base name."""
        name = os.path.basename(path)
        return any(_matcher(p).match(path) or _matcher(p).match(name) for p in source.exclude)

    def source_of(self, path: str) -> SourceSettings | None:
        """The source that would follow a file at this absolute path."""
        parts = path.split(os.sep)[1:]
        for source, pattern in self._patterns:
            if _path_fits(parts, pattern) and not self.excluded(source, path):
                return source
        return None

    def scan(self) -> DirectoryScan:
        """Look for all files of all sources. Never raises: what cannot be read is in `errors`."""
        return _Scanner(self).run()

    def patterns(self) -> list[tuple[SourceSettings, list[str]]]:
        """Source and path components of every include pattern, in the order of the configuration."""
        return self._patterns

    def avoided(self) -> tuple[set[str], set[FileKey]]:
        """The paths never to follow, and the identities of those that exist (they may have other names)."""
        keys = set()
        for path in self._avoid:
            try:
                keys.add(files.file_key(os.stat(path)))
            except OSError:
                continue
        return self._avoid, keys


def unmatched(source: SourceConfig, scan: DirectoryScan) -> Iterator[TailError]:
    """What is to be said of patterns that no file matches: of all that can match none, because something that they name
    does not exist, and of the others where the source has no file at all.
    """
    others = []
    for pattern in source.include:
        if (missing := _missing_part(pattern)) is None:
            others.append(pattern)
            continue
        directory, part = missing
        near = close_to(part, _siblings(pattern, directory, part))
        yield TailError.of("SL111.absent", pattern, part=part, directory=directory, near=near)
    refused = any(pattern in scan.refused for pattern in others)
    if others and not refused and all(found.source.name != source.name for found in scan.files):
        yield TailError.of("SL111", source.name, patterns=", ".join(others))


def _missing_part(pattern: str) -> tuple[str, str] | None:
    """The directory, and the name in it that would have to be there and is not; None where all that stands before the
    first wildcard is there, or cannot be seen.
    """
    directory = os.sep
    for part in os.path.abspath(os.path.expanduser(pattern)).split(os.sep)[1:]:
        if _MAGIC.search(part):
            return None
        path = os.path.join(directory, part)
        try:
            os.lstat(path)
        except FileNotFoundError:
            return directory, part
        except OSError:
            return None
        directory = path
    return None


def _siblings(pattern: str, directory: str, part: str) -> list[str]:
    """What is there in place of a missing part: directories, or files if it is the last."""
    is_last = pattern.endswith(os.sep + part)
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() != is_last)
    except OSError:
        return []


def _path_fits(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(parts)
        return any(_path_fits(parts[skip:], pattern[1:]) for skip in range(len(parts)))
    return bool(parts) and _fits(parts[0], pattern[0]) and _path_fits(parts[1:], pattern[1:])


def _leads(parts: list[str], pattern: list[str]) -> bool:
    """Whether the directory of a path is on the way to what matches a pattern."""
    for part, fits in zip(parts, pattern, strict=False):
        if fits == "**":
            return True
        if not _fits(part, fits):
            return False
    return len(parts) < len(pattern)


class _Scanner:
    """One scan: caches listings, because patterns share directories."""

    def __init__(self, discovery: Discovery) -> None:
        self.discovery = discovery
        self.scan = DirectoryScan()
        self.avoid_paths, self.avoid_keys = discovery.avoided()
        self.listings: dict[str, list[os.DirEntry[str]]] = {}
        self.links = LinkResolver()
        self.seen_paths: set[str] = set()

    def run(self) -> DirectoryScan:
        links: list[tuple[str, SourceSettings]] = []
        seen: set[FileKey] = set()
        for source, parts in self.discovery.patterns():
            for path, is_link in self.expand("/", parts):
                if path in self.seen_paths or self.discovery.excluded(source, path):
                    continue
                self.seen_paths.add(path)
                if is_link:
                    links.append((path, source))
                else:
                    self.take(path, source, seen, literal=not _MAGIC.search(parts[-1]))
        for path, source in links:  # last, so that a file with a link beside it goes by its own name
            self.take(path, source, seen, literal=False, is_link=True)
        self.scan.names = self.links.names
        self.scan.directories.update(directory for directory, _ in self.links.names)
        return self.scan

    def take(
        self, path: str, source: SourceSettings, seen: set[FileKey], *, literal: bool, is_link: bool = False
    ) -> None:
        """Add the file unless it is not regular, the agent's own, or found already under another name."""
        directory, name = os.path.split(path)
        real = self.links.lead(path) if is_link else os.path.join(self.links.real(directory), name)
        if real != path and self.discovery.source_of(real) is None:  # else a file there goes by its own name
            self.scan.aliases[real] = path
        try:
            status = files.check(path)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                self.scan.errors[path] = error
            return
        if isinstance(status, TailError):
            if literal or not os.path.isdir(path):
                self.scan.refused[path] = status
            return
        key = files.file_key(status)
        if key in seen or key in self.avoid_keys or self.is_avoided(path) or (is_link and self.is_avoided(real)):
            return
        seen.add(key)
        self.scan.files.append(FoundFile(path, source, key, status.st_size, status.st_mtime_ns, real))

    def is_avoided(self, path: str) -> bool:
        """Whether the path, or its directory without symbolic links, is or lies in one that is the agent's own."""
        directory, name = os.path.split(path)
        real = self.links.real(directory)
        if path in self.avoid_paths or os.path.join(real, name) in self.avoid_paths:
            return True
        while real not in self.avoid_paths:
            if real == "/":
                return False
            real = os.path.dirname(real)
        return True

    def listing(self, directory: str) -> list[os.DirEntry[str]]:
        """The entries, sorted by name; empty for what cannot be listed. Notes the directory to be watched."""
        known = self.listings.get(directory)
        if known is not None:
            return known
        entries: list[os.DirEntry[str]] = []
        real = self.links.real(directory)
        try:
            with os.scandir(directory) as iterator:
                entries = sorted(iterator, key=lambda entry: entry.name)
            self.scan.directories.add(directory)
        except (FileNotFoundError, NotADirectoryError):
            self.scan.directories.add(existing(directory)[0])
            self.links.names.add(existing(real))
        except OSError as error:
            self.scan.errors[directory] = error
        self.listings[directory] = entries
        return entries

    def expand(self, directory: str, parts: list[str]) -> Iterator[tuple[str, bool]]:
        """Paths below `directory` that match, each with whether it is a symbolic link."""
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from self.expand(directory, rest or ["*"])
            for entry in self.listing(directory):
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    yield from self.expand(entry.path, parts)
        elif rest and not _MAGIC.search(part):
            yield from self.expand(os.path.join(directory, part), rest)
        else:
            for entry in self.listing(directory):
                if not _fits(entry.name, part):
                    continue
                if not rest:
                    yield entry.path, entry.is_symlink()
                elif entry.is_dir() and (not entry.is_symlink() or _owns_target(entry)):
                    yield from self.expand(entry.path, rest)


def _owns_target(entry: os.DirEntry[str]) -> bool:
    return entry.stat(follow_symlinks=False).st_uid == entry.stat().st_uid
