"""Which logs are due: rotated away, fully stored, and unchanged for a while. Everything here blocks.

A log is known by its inode where it was renamed; where it was copied or compressed, by its beginning, and then by the
bytes before the offset up to which it is stored, which the worker compares. One that belongs to a file which is still
being read waits: archiving never overtakes reading.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from agent.archive.logfile import LogFile, changed_ns, version_at
from agent.archive.protocol import ArchiveJob, StoredGeneration
from agent.core.containerpaths import file_resource
from agent.core.errors import ArchiveError, TailError
from agent.core.model import HEAD_BYTES, newest_of_logs
from agent.store.archives import FileVersion
from agent.tail import files, holes, locate
from agent.tail.identity import FileKey, Match, head_hash
from agent.tail.rotated_names import DirectoryNames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import ArchiveConfig
    from agent.core.model import FileRow
    from agent.store.archives import ArchivedLog
    from agent.tail.discover import Discovery

# ruff: noqa: PTH112, PTH116, PTH118, PTH119, PTH120 - paths are str here, as in tail


class SourceFacts(msgspec.Struct, frozen=True):
    """What an archive keeps of its source: how its lines are parsed, and its resource attributes (JSON)."""

    settings: dict[str, Any]
    resource: str


class ArchivePlan(msgspec.Struct):
    """What there is to do. `waiting` logs are not due yet, `present` ones are archived and still there."""

    jobs: list[ArchiveJob] = []
    waiting: list[str] = []
    present: list[ArchivedLog] = []
    gone: list[ArchivedLog] = []
    errors: list[ArchiveError] = []
    compared: frozenset[int] = frozenset()  # ids of the generations that the logs were compared with
    found: dict[int, int] = {}  # of archives whose generation was not known: their ids -> those of the generations


class ArchivingSummary(msgspec.Struct):
    """What a round did."""

    archived: int = 0
    raw_bytes: int = 0
    bytes: int = 0
    known: int = 0  # logs whose content is archived already
    deleted: int = 0
    removed: int = 0  # archives that retention took away
    waiting: int = 0
    failed: list[str] = []


class ArchivePlanner:
    """Looks at the directories of the sources once.

    Args:
        discovery: the sources' patterns.
        facts: by source; sources that are not in it are left alone.
        files: all generations that the store knows.
        logs: those that are archived already.
        config: a log is due when it has not changed for the time `quiet`; so is one that was not rotated away after the
            time `inactive`, if there is one.
        now_ns: Unix ns.
        skip: logs that could not be archived as they are.
        unknown: of the archives that are of no known generation: their ids -> their sources.
    """

    def __init__(
        self,
        discovery: Discovery,
        facts: Mapping[str, SourceFacts],
        files: list[FileRow],
        logs: list[ArchivedLog],
        config: ArchiveConfig,
        *,
        now_ns: int,
        skip: frozenset[FileVersion] = frozenset(),
        unknown: Mapping[int, str] | None = None,
    ) -> None:
        self._discovery = discovery
        self._facts = facts
        self._files, self._known_by = newest_of_logs(files)
        self._stored_as: dict[int, tuple[str, str]] = {}  # of logs: source and resource of the last stored lines
        for file in files:  # the last generation of a log may have no lines yet
            log = self._known_by[file.id]
            if file.offset > file.start_offset or log not in self._stored_as:
                self._stored_as[log] = file.source, file.resource
        self._quiet_ns = int(config.quiet * 1e9)
        self._inactive_ns = None if config.inactive is None else int(config.inactive * 1e9)
        self._now_ns = now_ns
        self._skip = skip
        self._unknown = unknown or {}
        self._plan = ArchivePlan(compared=frozenset(file.id for file in files))
        self._archived = {log.version: log for log in logs}
        self._by_key: dict[FileKey, list[FileRow]] = defaultdict(list)
        self._originals: dict[str, dict[str, str]] = defaultdict(dict)  # directory -> base name -> source
        self._owners: dict[int, str] = {}  # of files: whose they are now, if anybody's
        for file in self._files:
            owner = discovery.source_of(file.path)
            name = file.source if owner is None else owner.name
            if name in facts:
                self._owners[file.id] = name
                self._by_key[FileKey(file.device, file.inode)].append(file)
        self._find_originals()

    def _find_originals(self) -> None:
        """The names from which rotation may have made others: those of the logs, and those of the targets of links,
        also of links that lead elsewhere now. A directory is looked at under one of its paths only, the one that the
        patterns match where there is one.
        """
        named, targets = [], []
        for file in self._files:
            if (source := self._owners.get(file.id)) is not None:
                named.append((file.path, source))
                if file.current_path and (file.state == "active" or _is_linked(file.path)):
                    targets.append((file.current_path, source))
        for found in self._discovery.scan().files:
            if found.source.name in self._facts:
                named.append((found.path, found.source.name))
                targets.append((found.real, found.source.name))
        paths: dict[str, str] = {}  # by the real one
        reals: dict[str, str] = {}
        for path, source in named + targets:
            directory, name = os.path.split(path)
            real = reals.get(directory) or reals.setdefault(directory, os.path.realpath(directory))
            self._originals[paths.setdefault(real, directory)][name] = source

    def find(self) -> ArchivePlan:
        """The plan; its jobs are in the order of the logs' last changes."""
        seen: set[FileVersion] = set()
        for directory, originals in sorted(self._originals.items()):
            names = DirectoryNames(originals)
            for path, status in sorted(locate.regular_files(directory), key=lambda pair: pair[0]):
                version = FileVersion.of(status)
                known = self._archived.get(version)
                if known is not None:
                    seen.add(version)
                    self._plan.present.append(known._replace(path=path))
                    self._find_generation(known.archive_id, path, status)
                elif status.st_size and version not in self._skip:
                    self._look(path, status, names)
        self._plan.gone = [log for version, log in self._archived.items() if version not in seen and _is_gone(log.path)]
        self._plan.jobs.sort(key=lambda job: job.version.mtime_ns)
        return self._plan

    def _find_generation(self, archive_id: int, path: str, status: os.stat_result) -> None:
        """A log that was archived before anybody read it may be followed since: then the store has its lines too."""
        source = self._unknown.get(archive_id)
        with contextlib.suppress(OSError, TailError):  # looked at again in the next round
            if source is not None and (file := self._followed(path, status, source)) is not None:
                self._plan.found[archive_id] = self._known_by[file.id]

    def _look(self, path: str, status: os.stat_result, names: DirectoryNames) -> None:
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

    def _was_rotated(self, path: str, status: os.stat_result, file: FileRow | None, names: DirectoryNames) -> bool:
        """Whether a file that the patterns match is a rotated one all the same: renamed since it was first seen, or
        found under a rotation's name.
        """
        if file is not None and path != file.path:
            if file.state != "active" and _is_linked(file.path):
                return not _leads_to(file.path, status)
            return names.rotated_from(os.path.basename(path)) is not None
        return names.was_left(path, status.st_mtime_ns)

    def _will_be_followed(self, path: str) -> bool:
        """Whether tail is going to read it: of what the patterns match it leaves out what is compressed."""
        if self._discovery.source_of(path) is None:
            return False
        with LogFile(path) as log:
            return log.compression is None

    def _judge(self, path: str, status: os.stat_result, source: str, original: str, file: FileRow | None) -> None:
        if file is not None and _has_more(path, file.offset, status.st_size):
            self._plan.waiting.append(path)
            return
        candidates = self._resembling(path, source) if file is None else []
        version = FileVersion.of(status)
        if version_at(path) != version:  # renamed since it was listed: what was compared is another log
            self._plan.waiting.append(path)
            return
        facts = self._facts[source]
        kept = {self._stored_as[self._known_by[one.id]] for one in ([file] if file is not None else candidates)}
        # A log that was followed keeps the source and the labels that its last lines were stored with.
        log_path = file.path if file is not None else os.path.join(os.path.dirname(path), original)
        own = kept.pop() if len(kept) == 1 else (source, file_resource(facts.resource, log_path, path))
        self._plan.jobs.append(
            ArchiveJob(
                source=own[0],
                path=os.fsencode(path),
                log_path=os.fsencode(log_path),
                version=version,
                followed=self._stored(file) if file is not None else None,
                candidates=tuple(
                    self._stored(one) for one in candidates if one.state == "finished" or self._may_be(one)
                ),
                settings=facts.settings,
                resource=own[1],
            )
        )

    def _is_excluded(self, source: str, path: str) -> bool:
        settings = next((one for one in self._discovery.sources if one.name == source), None)
        return settings is None or self._discovery.excluded(settings, path)

    def _followed(self, path: str, status: os.stat_result, source: str) -> FileRow | None:
        """The generation that this inode holds, if it does."""
        for file in self._by_key.get(files.file_key(status), ()):
            if self._owners[file.id] == source and locate.compare_path(path, file) is Match.SAME:
                return file
        return None

    def _resembling(self, path: str, source: str) -> list[FileRow]:
        """Generations of the source, from this directory, that begin like the log."""
        with LogFile(path) as log:
            head = b""
            for data in log.contents():
                head += data
                if len(head) >= HEAD_BYTES:
                    break
        folder = os.path.dirname(path)
        return [file for file in self._files if self._owners.get(file.id) == source and _begins(head, file, folder)]

    def _stored(self, file: FileRow) -> StoredGeneration:
        finished, known_by = file.state == "finished", self._known_by[file.id]
        return StoredGeneration(
            known_by, file.offset, file.marker_length, file.marker_hash, file.profile, finished, file.first_seen
        )

    def _may_be(self, file: FileRow) -> bool:
        """Whether a log that begins like this unfinished file may hold what is still to be read of it: unless that
        lies where it was.
        """
        path = locate.find_inode(FileKey(file.device, file.inode), locate.directories_of(file))
        try:
            return path is None or locate.compare_path(path, file) is not Match.SAME
        except (OSError, TailError):
            return True


def _begins(head: bytes, file: FileRow, folder: str) -> bool:
    if not 0 < file.head_length <= len(head) or head_hash(head[: file.head_length]) != file.head_hash:
        return False
    return folder in locate.directories_of(file)


def _has_more(path: str, offset: int, size: int) -> bool:
    """Whether there is something behind an offset of a log; NULs at its end, which nobody has filled, are nothing.

    Raises:
        OSError: it cannot be read.
        TailError: it may not be read.
    """
    if size <= offset:
        return False
    fd = files.open_checked(path)
    try:
        return holes.skip(fd, offset, size, size)[1]
    finally:
        os.close(fd)


def _is_linked(path: str) -> bool:
    """Whether a path leads over symbolic links."""
    return os.path.realpath(path) != path


def _leads_to(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False


def _is_gone(path: str) -> bool:
    """Whether there is no file of this name although its directory is there. One that cannot be looked at may be."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return os.path.isdir(os.path.dirname(path))
    except OSError:
        return False
    return False
