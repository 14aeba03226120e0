"""Which logs are due: rotated away, fully stored, and unchanged for a while. Everything here blocks.

A log is known by its inode where it was renamed; where it was copied or compressed, by its beginning, and then by the
bytes before the offset up to which it is stored, which the worker compares. One that belongs to a file which is still
being read waits: archiving never overtakes reading.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from agent.archive.errors import ArchiveError
from agent.archive.job import Job, Place
from agent.archive.source import Log, Version, changed_ns
from agent.core.errors import TailError
from agent.core.model import HEAD_BYTES
from agent.core.patterns import lazy
from agent.tail import locate
from agent.tail.identity import FileKey, Match, head_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.core.model import FileRow
    from agent.store.archives import LogRow
    from agent.tail.discover import Discovery

# ruff: noqa: PTH112, PTH118, PTH119, PTH120 - paths are str here, as in tail


class SourceFacts(msgspec.Struct, frozen=True):
    """What an archive keeps of its source: how its lines are parsed, and its resource attributes (JSON)."""

    settings: dict[str, Any]
    resource: str


class Known(msgspec.Struct):
    """What the store knows: all file generations, and the logs that are archived already."""

    files: list[FileRow]
    logs: list[LogRow]


class Plan(msgspec.Struct):
    """What there is to do. `waiting` logs are not due yet, `present` ones are archived and still there."""

    jobs: list[Job] = []
    waiting: list[str] = []
    present: list[LogRow] = []
    gone: list[LogRow] = []
    errors: list[ArchiveError] = []


class Planner:
    """Looks at the directories of the sources once.

    Args:
        discovery: the sources' patterns.
        facts: by source; sources that are not in it are left alone.
        known: of the store.
        quiet_s: a log is due when it has not changed for this long.
        inactive_s: so is one that was not rotated away, after this long; None: never.
        now_ns: Unix ns.
        skip: logs that could not be archived as they are.
    """

    def __init__(
        self,
        discovery: Discovery,
        facts: Mapping[str, SourceFacts],
        known: Known,
        *,
        quiet_s: float,
        inactive_s: float | None,
        now_ns: int,
        skip: frozenset[Version] = frozenset(),
    ) -> None:
        self._discovery = discovery
        self._facts = facts
        self._known = known
        self._quiet_ns = int(quiet_s * 1e9)
        self._inactive_ns = None if inactive_s is None else int(inactive_s * 1e9)
        self._now_ns = now_ns
        self._skip = skip
        self._plan = Plan()
        self._archived = {Version(*log[:4]): log for log in known.logs}
        self._by_key: dict[FileKey, list[FileRow]] = defaultdict(list)
        self._originals: dict[str, dict[str, str]] = defaultdict(dict)  # directory -> base name -> source
        for file in known.files:
            if file.source in facts:
                self._by_key[FileKey(file.device, file.inode)].append(file)
                self._originals[os.path.dirname(file.path)][os.path.basename(file.path)] = file.source
        for found in discovery.scan().files:
            if found.source.name in facts:
                self._originals[os.path.dirname(found.path)][os.path.basename(found.path)] = found.source.name

    def find(self) -> Plan:
        """The plan; its jobs are in the order of the logs' last changes."""
        seen: set[Version] = set()
        for directory, originals in sorted(self._originals.items()):
            names = Names(originals)
            for path, status in _listing(directory):
                version = Version.of(status)
                known = self._archived.get(version)
                if known is not None:
                    seen.add(version)
                    self._plan.present.append(known._replace(path=path))
                elif status.st_size and version not in self._skip:
                    self._look(path, status, names)
        self._plan.gone = [log for version, log in self._archived.items() if version not in seen and _is_gone(log.path)]
        self._plan.jobs.sort(key=lambda job: job.version.mtime_ns)
        return self._plan

    def _look(self, path: str, status: os.stat_result, names: Names) -> None:
        name = os.path.basename(path)
        origin = names.origin(name)
        if origin is None or self._is_excluded(origin[1], path):
            return
        original, source = origin
        try:
            file = self._followed(path, status, source)
            idle_ns = self._now_ns - changed_ns(status, self._now_ns)
            if name == original and not self._was_rotated(path, status, file, names):
                if file is None or self._inactive_ns is None or idle_ns < self._inactive_ns:
                    return  # it is the file that is followed, or is going to be
            elif idle_ns < self._quiet_ns or (file is None and self._will_be_followed(path)):
                self._plan.waiting.append(path)
                return
            self._judge(path, status, source, original, file)
        except ArchiveError as error:
            self._plan.errors.append(error)
        except (OSError, TailError):
            self._plan.waiting.append(path)  # tail says what is wrong with it

    def _was_rotated(self, path: str, status: os.stat_result, file: FileRow | None, names: Names) -> bool:
        """Whether a file that the patterns match is a rotated one all the same: renamed since it was first seen, or
        found under a rotation's name.
        """
        if file is not None and path != file.path:
            return names.rotated_from(os.path.basename(path)) is not None
        return names.was_left(path, status.st_mtime_ns)

    def _will_be_followed(self, path: str) -> bool:
        """Whether tail is going to read it: of what the patterns match it leaves out what is compressed."""
        if self._discovery.source_of(path) is None:
            return False
        with Log(path) as log:
            return log.compression is None

    def _judge(self, path: str, status: os.stat_result, source: str, original: str, file: FileRow | None) -> None:
        candidates: list[FileRow] = []
        if file is None:
            candidates = self._resembling(path, source)
        if file is not None and file.offset < status.st_size:
            self._plan.waiting.append(path)
            return
        facts = self._facts[source]
        log_path = file.path if file is not None else os.path.join(os.path.dirname(path), original)
        self._plan.jobs.append(
            Job(
                source=source,
                path=os.fsencode(path),
                log_path=os.fsencode(log_path),
                version=Version.of(status),
                followed=_place(file) if file is not None else None,
                candidates=tuple(_place(one) for one in candidates if one.state == "finished" or self._may_be(one)),
                settings=facts.settings,
                resource=facts.resource,
            )
        )

    def _is_excluded(self, source: str, path: str) -> bool:
        settings = next((one for one in self._discovery.sources if one.name == source), None)
        return settings is None or self._discovery.excluded(settings, path)

    def _followed(self, path: str, status: os.stat_result, source: str) -> FileRow | None:
        """The generation that this inode holds, if it does."""
        for file in self._by_key.get(FileKey(status.st_dev, status.st_ino), ()):
            if file.source == source and locate.compare_path(path, file) is Match.SAME:
                return file
        return None

    def _resembling(self, path: str, source: str) -> list[FileRow]:
        """Generations of the source, from this directory, that begin like the log."""
        with Log(path) as log:
            head = b""
            for data in log.contents():
                head += data
                if len(head) >= HEAD_BYTES:
                    break
        folder = os.path.dirname(path)
        return [file for file in self._known.files if file.source == source and _begins(head, file, folder)]

    def _may_be(self, file: FileRow) -> bool:
        """Whether a log that begins like this unfinished file may hold what is still to be read of it: unless that
        lies where it was.
        """
        folders = {os.path.dirname(file.path), os.path.dirname(file.current_path or file.path)}
        path = locate.find_inode(FileKey(file.device, file.inode), folders)
        try:
            return path is None or locate.compare_path(path, file) is not Match.SAME
        except (OSError, TailError):
            return True


def _begins(head: bytes, file: FileRow, folder: str) -> bool:
    if not 0 < file.head_length <= len(head) or head_hash(head[: file.head_length]) != file.head_hash:
        return False
    return folder in (os.path.dirname(file.path), os.path.dirname(file.current_path or file.path))


def _place(file: FileRow) -> Place:
    finished = file.state == "finished"
    return Place(file.id, file.offset, file.marker_length, file.marker_hash, file.profile, finished)


def _listing(directory: str) -> list[tuple[str, os.stat_result]]:
    """Regular files with their status, by name; nothing where the directory cannot be listed."""
    try:
        with os.scandir(directory) as entries:
            files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
            found = [(entry.path, entry.stat(follow_symlinks=False)) for entry in files]
    except OSError:
        return []
    return sorted(found, key=lambda pair: pair[0])


def _is_gone(path: str) -> bool:
    """Whether there is no file of this name although its directory is there. One that cannot be looked at may be."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return os.path.isdir(os.path.dirname(path))
    except OSError:
        return False
    return False


# ---------------------------------------------------------------- from which log a name was rotated


# ruff: noqa: PTH118, PTH116 - paths are str here, as in tail


_COMPRESSED = lazy(r"\.(gz|zst)$")
_DIGITS = lazy(r"[0-9]+")


def is_compressed_name(name: str) -> bool:
    """Whether a base name ends like that of a compressed file."""
    return _COMPRESSED.search(name) is not None


class Names:
    """The names of one directory.

    Args:
        originals: base names of followed files (also of those that were), with their sources.
    """

    def __init__(self, originals: Mapping[str, str]) -> None:
        self._originals = originals
        self._families = {_family(name): source for name, source in originals.items() if _DIGITS.search(name)}

    def origin(self, name: str) -> tuple[str, str] | None:
        """The base name under which a log of this name was followed, or would have been, and its source.

        It is its own where it is one that is followed now. None where the name says that it is something else.
        """
        compressed = is_compressed_name(name)
        if name in self._originals and not compressed:
            return name, self._originals[name]
        found = self.rotated_from(name)
        if found is not None:
            return found, self._originals[found]
        if compressed:  # app-2026-11-21.log.gz beside app-2026-11-22.log, which it was called before it was compressed
            plain = _COMPRESSED.sub("", name)
            source = self._families.get(_family(plain))
            if source is not None:
                return plain, source
        source = self._originals.get(name)
        return None if source is None else (name, source)

    def rotated_from(self, name: str) -> str | None:
        """The followed file of whose name rotation makes this one; of several the one with the longest name."""
        return max((one for one in self._originals if locate.is_rotation(name, one)), key=len, default=None)

    def successors(self, name: str) -> list[str]:
        """The followed files that this name was made from by appending: app.log of app.log.1, but not of app1.log,
        which may as well be the log of a second process.
        """
        return [one for one in self._originals if name.startswith(one) and locate.is_rotation(name, one)]

    def was_left(self, path: str, modified_ns: int) -> bool:
        """Whether the file that this one was rotated from is there again, and has been written since.

        Some loggers count upwards: of app.log and app.log.1 the second one is then the one that is written now.
        """
        directory, name = os.path.split(path)
        for one in self.successors(name):
            try:
                if os.stat(os.path.join(directory, one)).st_mtime_ns >= modified_ns:
                    return True
            except OSError:
                continue
        return False


def _family(name: str) -> str:
    """Names that differ in their numbers only have the same."""
    return _DIGITS.sub("0", name)
