"""Which file is where: comparing what lies on the disk with what is followed and what is known from before.

A look never concludes from what it could not see: a directory that cannot be listed changes nothing.
"""

# ruff: noqa: PTH116, PTH118, PTH120, PTH123 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import TailError
from agent.core.model import HEAD_BYTES
from agent.tail import files, locate
from agent.tail.discover import Discovery, Found, Scan
from agent.tail.identity import FileKey, Match
from agent.tail.reader import LineReader
from agent.tail.recovery import Place
from agent.tail.rotated_names import is_rotation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from agent.core.model import TailedFile
    from agent.tail.recovery import Recovery
    from agent.tail.roster import Roster
    from agent.tail.settings import SourceSettings
    from agent.tail.stream import Stream


_BORN_KEPT_S = 5.0  # renames reach us within milliseconds; a busy machine may take longer


class _Suspect(msgspec.Struct):
    """A new file that may be a copy being made of one that is followed."""

    size: int
    mtime_ns: int
    unchanged_since: float


class Census:
    """Keeps the roster in accordance with the disk."""

    def __init__(
        self,
        roster: Roster,
        sources: Sequence[SourceSettings],
        avoid: Collection[Path],
        *,
        recovery: Recovery,
        at_end: bool,
        once: bool,
    ) -> None:
        self._roster = roster
        self._recovery = recovery
        self._avoid = avoid
        self._at_end = at_end  # files found by the very first look begin at their end where the source says so
        self._once = once
        self._suspects: dict[FileKey, _Suspect] = {}
        self._unsettled = False
        # renamed a moment ago: present path -> (path at the beginning, when); kept for a while, because the file may
        # have been renamed again, and its place taken by the next one, before this is looked at
        self._born: dict[str, tuple[str, float]] = {}
        self.discovery = Discovery(sources, avoid)

    @property
    def undecided(self) -> bool:
        """Whether a file is left alone, because it may be a copy in the making or its lines are on their way to the
        store: look again soon.
        """
        return bool(self._suspects) or self._unsettled

    def set_sources(self, sources: Sequence[SourceSettings]) -> None:
        """Follow other patterns from the next look on."""
        self.discovery = Discovery(sources, self._avoid)

    def renamed(self, source: str, target: str) -> None:
        """A rename was observed: a file may have been born and renamed between two looks."""
        origin, _ = self._born.pop(source, (source, 0.0))
        if self.discovery.source_of(origin) is not None:
            self._born[target] = origin, time.monotonic()
        else:
            self._born.pop(target, None)

    def concerns(self, directory: str, name: str) -> bool:
        """Whether an event about this name can change what is followed."""
        if self.discovery.wants_name(name):
            return True
        path = os.path.join(directory, name)
        return path in self._born or any(stream.file.current_path == path for stream in self._roster.streams.values())

    async def settle(self, scan: Scan) -> None:
        """Bring the roster in line with `scan`: find moved files, resume known ones, begin new ones."""
        self._report(scan)
        await self._find_moved(scan)
        self._add_born(scan)
        self._unsettled = False
        lost: list[TailedFile] = []
        fresh: list[Found] = []
        for found in scan.files:
            if found.key not in self._roster.by_key:
                displaced = await self._resume_known(found)
                if displaced is not None:
                    fresh.append(found)
                    lost += displaced
        lost += self._unseen(scan)
        for file in lost:
            await self._search(file)
        await self._begin_fresh(fresh)
        self._at_end = False
        present = {found.key for found in fresh}
        self._suspects = {key: suspect for key, suspect in self._suspects.items() if key in present}

    async def _begin_fresh(self, fresh: list[Found]) -> None:
        """Begin new files, but no copies of those that are followed. Shorter names come first: a file and a copy that
        is just being made of it may both be seen for the first time, and a rotated name is longer than its original.
        """
        names = self._followed_names() if fresh else {}
        for found in sorted(fresh, key=lambda found: len(found.path)):
            if found.key in self._roster.by_key or self._is_suspect(found, names):
                continue
            stream = await self._roster.begin(found, at_end=self._at_end and found.source.start == "end")
            if stream is not None:
                _add_name(names, stream)

    def _report(self, scan: Scan) -> None:
        conditions = self._roster.conditions
        for error in scan.refused.values():
            conditions.begin(error)
        for path, failure in scan.errors.items():
            conditions.begin(_listing_error(path, failure))
        conditions.keep(set(scan.refused), "SL202", "SL203")
        conditions.keep(set(scan.errors), "SL209")

    async def _find_moved(self, scan: Scan) -> None:
        """Give every stream the path under which its file lies now; end those whose file is gone and closed."""
        paths = {found.path: found.key for found in scan.files}
        astray = []
        for stream in self._roster.streams.values():
            path = stream.file.current_path
            if paths.get(path) != stream.key:
                astray.append(stream)
            elif path == stream.file.path and stream.file.state == "rotated" and not stream.short_copy:
                stream.file.state = "active"  # renamed back
                stream.globbed = True
                self._roster.mark(stream.file)
        for stream in astray:
            place = _where(stream)
            if place is None:
                if stream.fd >= 0:  # deleted, or moved out of sight: the open file says which
                    self._rotate(stream, stream.file.current_path)
                    stream.globbed = False
                elif locate.is_gone(stream.file):  # read as far as it was seen; what came then may be in an archive
                    await self._recovery.take(stream)
            elif place != stream.file.current_path:
                self._rotate(stream, place)

    def _rotate(self, stream: Stream, place: str) -> None:
        """The stream's file lies at `place` now, or nowhere: then `place` is where it was last seen."""
        file = stream.file
        if file.state != "rotated":
            stream.last_growth = time.monotonic()  # the grace time begins with the renaming
        state = "active" if place == file.path and not _is_replaced(stream) else "rotated"
        if (place, state) != (file.current_path, file.state):
            file.current_path, file.state = place, state
            self._roster.mark(file)
        stream.globbed = self.discovery.source_of(place) is not None

    def _add_born(self, scan: Scan) -> None:
        """Files that were created under a followed name and renamed before anybody looked."""
        keys = {found.key for found in scan.files}
        paths = {found.path for found in scan.files}
        oldest = time.monotonic() - _BORN_KEPT_S
        self._born = {target: (origin, at) for target, (origin, at) in self._born.items() if at >= oldest}
        for target, (origin, _) in self._born.items():
            source = self.discovery.source_of(origin)
            if source is None or target in paths:
                continue
            try:
                status = files.check(target)
            except OSError:
                continue
            if isinstance(status, os.stat_result) and (key := files.file_key(status)) not in keys:
                scan.files.append(Found(target, source, key, status.st_size, status.st_mtime_ns, origin))

    def _unseen(self, scan: Scan) -> list[TailedFile]:
        """Known, unfinished files of the present patterns whose inode no scan found, or that of another followed file
        is now: renamed, copied or gone.
        """
        seen = {found.key for found in scan.files}
        unseen = []
        for file in self._roster.dormant.values():
            key = FileKey(file.device, file.inode)
            if self._roster.is_over(file) or (key in seen and key not in self._roster.by_key):
                continue
            source = self.discovery.source_of(file.path)
            if source is not None and source.name == file.source and self._is_settled(file):
                unseen.append(file)
        return unseen

    async def _resume_known(self, found: Found) -> list[TailedFile] | None:
        """Resume the known file that lies at `found`: None. Otherwise the known ones that it displaced."""
        candidates = [f for f in self._roster.dormant.values() if (f.device, f.inode) == found.key]
        candidates.sort(key=lambda file: (not self._roster.is_over(file), file.id), reverse=True)
        if not all(map(self._is_settled, candidates)):
            return None
        displaced = []
        for file in candidates:
            try:
                match = locate.compare_path(found.path, file)
            except (OSError, TailError) as error:
                self._roster.conditions.begin(
                    error if isinstance(error, TailError) else files.open_error(found.path, error)
                )
                return None
            if match is Match.SAME or (match is Match.SHORTENED and file.state == "rotated"):
                await self._roster.resume(file, found.source, found.path, found.key, globbed=True)
                return None
            if self._roster.is_over(file):
                break
            if match is Match.SHORTENED:
                await self._roster.conclude(file, LineReader(file, found.source.max_line, file.offset))
                # Exactly behind the bytes that are left: those of a torn last line are stored already.
                await self._roster.begin(found, offset=found.size)
                return None
            displaced.append(file)
        return displaced

    def _is_settled(self, file: TailedFile) -> bool:
        settled = self._roster.is_settled(file)
        self._unsettled |= not settled
        return settled

    async def _search(self, file: TailedFile) -> None:
        """Find a known file under another name, by its inode or else by its content; or declare it finished."""
        source = self.discovery.source_of(file.path)
        if source is None or file.id not in self._roster.dormant:
            return
        key = FileKey(file.device, file.inode)
        directories = {os.path.dirname(file.path), os.path.dirname(file.current_path or file.path)}
        path = locate.find_inode(key, directories) if key not in self._roster.by_key else None
        if path is not None:
            try:
                if locate.compare_path(path, file) is Match.DIFFERENT:
                    path = None
            except (OSError, TailError):
                path = None
        if path is None:
            copy = locate.find_content(file, self._roster.generations())
            path, key = copy or (None, key)
        if path is not None:
            globbed = self.discovery.source_of(path) is not None
            await self._roster.resume(file, source, path, key, globbed=globbed)
        else:
            await self._recovery.settle(file, source, Place(file.offset, file.marker_length, file.marker_hash))

    def _is_suspect(self, found: Found, names: dict[str, list[tuple[str, Stream]]]) -> bool:
        """Whether to leave a new file alone, because it may be a copy: it has the name of a rotation and the head of
        a file that is followed. If that is about to be truncated (copytruncate) or deleted (renamecopy), the copy
        changed a moment ago; if it is deleted already, its end decides.
        """
        if self._once:
            return False
        originals = self._resembling(found, names)
        if not originals:
            return False
        now = time.monotonic()
        suspect = self._suspects.get(found.key)
        if suspect is None or (suspect.size, suspect.mtime_ns) != (found.size, found.mtime_ns):
            self._suspects[found.key] = _Suspect(found.size, found.mtime_ns, now)
            return True
        if not all(stream.links for stream in originals):
            return True
        return now - suspect.unchanged_since < self._roster.timing.copy_grace_s

    def _resembling(self, found: Found, names: dict[str, list[tuple[str, Stream]]]) -> list[Stream]:
        directory, name = os.path.split(found.path)
        return [
            stream
            for original, stream in names.get(directory, ())
            if name.startswith(original[0])  # spares the regular expression: 1,000 new files beside 1,000 old ones
            and is_rotation(name, original)
            and _begins_like(found.path, stream)
        ]

    def _followed_names(self) -> dict[str, list[tuple[str, Stream]]]:
        """The base names under which the streams began, by directory."""
        names: dict[str, list[tuple[str, Stream]]] = {}
        for stream in self._roster.streams.values():
            _add_name(names, stream)
        return names


def _add_name(names: dict[str, list[tuple[str, Stream]]], stream: Stream) -> None:
    directory, name = os.path.split(stream.file.path)
    names.setdefault(directory, []).append((name, stream))


def _begins_like(path: str, stream: Stream) -> bool:
    """Whether the file begins with the head of `stream`, as far as it is long enough. Of a stream whose file is empty,
    or was emptied before anything of it was read, no copy can be read twice.
    """
    try:
        head = stream.head
        if not head and stream.fd >= 0:
            head = os.pread(stream.fd, HEAD_BYTES, 0)
            if not head:
                return False
        with open(path, "rb", buffering=0) as file:
            return head.startswith(file.read(len(head)) or b"")
    except OSError:
        return False


def _where(stream: Stream) -> str | None:
    """The path of the stream's file: where it was, where its link led, or a name in one of those directories."""
    for path in (stream.file.current_path, stream.resolved):
        try:
            if files.file_key(os.stat(path)) == stream.key:
                return path
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                return path  # not to be seen is not the same as gone
    folders = {os.path.dirname(path) for path in (stream.file.current_path, stream.resolved)}
    return locate.find_inode(stream.key, folders)


def _is_replaced(stream: Stream) -> bool:
    try:
        return files.file_key(os.stat(stream.file.path)) != stream.key
    except OSError:
        return True


def _listing_error(path: str, error: OSError) -> TailError:
    return TailError(
        "SL209",
        "look for files",
        path,
        f"{path} cannot be looked at: {os.strerror(error.errno or 0)}",
        hint="let the agent's user list the directory (r and x for it)",
        retryable=True,
    )
