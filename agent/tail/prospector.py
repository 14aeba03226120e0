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
from agent.core.holes import before_hole
from agent.core.model import HEAD_BYTES
from agent.tail import files, locate
from agent.tail.discover import DirectoryScan, Discovery, FoundFile
from agent.tail.identity import FileKey, Match
from agent.tail.reader import LineReader
from agent.tail.rotated_names import is_rotation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from agent.core.model import FileGeneration
    from agent.tail.discover import SourceSettings
    from agent.tail.harvester import Harvester
    from agent.tail.recovery import Recovery
    from agent.tail.registry import Registry


_BORN_KEPT_S = 5.0  # renames reach us within milliseconds; a busy machine may take longer


class _Suspect(msgspec.Struct):
    """A new file that may be a copy being made of one that is followed."""

    size: int
    mtime_ns: int
    unchanged_since: float


class Prospector:
    """Finds files to harvest: keeps the registry in accordance with the disk."""

    def __init__(
        self,
        registry: Registry,
        sources: Sequence[SourceSettings],
        avoid: Collection[Path],
        *,
        recovery: Recovery,
        at_end: bool,
        once: bool,
    ) -> None:
        self._registry = registry
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

    def source_of(self, file: FileGeneration) -> SourceSettings | None:
        """The source that a known file belongs to now: by its own name, or else by that of the place where it lies."""
        source = self.discovery.source_of(file.path)
        return self.discovery.source_of(file.current_path) if source is None and file.current_path else source

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
        return path in self._born or any(
            harvester.file.current_path == path for harvester in self._registry.harvesters.values()
        )

    async def settle(self, scan: DirectoryScan) -> None:
        """Bring the registry in line with `scan`: find moved files, resume known ones, begin new ones."""
        self._report(scan)
        await self._find_moved(scan)
        self._add_born(scan)
        self._unsettled = False
        lost: list[FileGeneration] = []
        fresh: list[FoundFile] = []
        for found in scan.files:
            if found.key not in self._registry.by_key:
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

    async def _begin_fresh(self, fresh: list[FoundFile]) -> None:
        """Begin new files, but no copies of those that are followed. Shorter names come first: a file and a copy that
        is just being made of it may both be seen for the first time, and a rotated name is longer than its original.
        """
        names = self._followed_names() if fresh else {}
        for found in sorted(fresh, key=lambda found: len(found.path)):
            if found.key in self._registry.by_key or self._is_suspect(found, names):
                continue
            harvester = await self._registry.begin(found, at_end=self._at_end and found.source.start == "end")
            if harvester is not None:
                _add_name(names, harvester)

    def _report(self, scan: DirectoryScan) -> None:
        conditions = self._registry.conditions
        for error in scan.refused.values():
            conditions.begin(error)
        for path, failure in scan.errors.items():
            conditions.begin(TailError.of("SL209", path, why=failure))
        conditions.keep(set(scan.refused), "SL202", "SL203")
        conditions.keep(set(scan.errors), "SL209")

    async def _find_moved(self, scan: DirectoryScan) -> None:
        """Give every harvester the path under which its file lies now; end those whose file is gone and closed."""
        paths = {found.path: found.key for found in scan.files}
        astray = []
        for harvester in self._registry.harvesters.values():
            path = harvester.file.current_path
            if paths.get(path) != harvester.key:
                astray.append(harvester)
            elif path == harvester.file.path and harvester.file.state == "rotated" and not harvester.short_copy:
                harvester.change(state="active")  # renamed back
                harvester.globbed = True
                self._registry.save(harvester.file)
        for harvester in astray:
            place = _where(harvester)
            if place is None:
                if harvester.fd >= 0:  # deleted, or moved out of sight: the open file says which
                    self._rotate(harvester, harvester.file.current_path)
                    harvester.globbed = False
                elif locate.is_gone(harvester.file):  # read as far as it was seen; what came then may be in an archive
                    await self._recovery.take(harvester)
            elif place != harvester.file.current_path:
                self._rotate(harvester, place)

    def _rotate(self, harvester: Harvester, place: str) -> None:
        """The harvester's file lies at `place` now, or nowhere: then `place` is where it was last seen."""
        file = harvester.file
        if file.state != "rotated":
            harvester.last_growth = time.monotonic()  # the grace time begins with the renaming
        state = "active" if place == file.path and not _is_replaced(harvester) else "rotated"
        if (place, state) != (file.current_path, file.state):
            harvester.change(current_path=place, state=state)
            self._registry.save(harvester.file)
        harvester.globbed = self.discovery.source_of(place) is not None

    def _add_born(self, scan: DirectoryScan) -> None:
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
                scan.files.append(FoundFile(target, source, key, status.st_size, status.st_mtime_ns, origin))

    def _unseen(self, scan: DirectoryScan) -> list[FileGeneration]:
        """Known, unfinished files of the present patterns whose inode no scan found, or that of another followed file
        is now: renamed, copied or gone.
        """
        seen = {found.key for found in scan.files}
        unseen = []
        for file in self._registry.dormant.values():
            key = FileKey(file.device, file.inode)
            if self._registry.is_over(file) or (key in seen and key not in self._registry.by_key):
                continue
            if self.source_of(file) is not None and self._is_settled(file):
                unseen.append(file)
        return unseen

    async def _resume_known(self, found: FoundFile) -> list[FileGeneration] | None:
        """Resume the known file that lies at `found`: None. Otherwise the known ones that it displaced."""
        candidates = [f for f in self._registry.dormant.values() if (f.device, f.inode) == found.key]
        candidates.sort(key=lambda file: (not self._registry.is_over(file), file.id), reverse=True)
        if not all(map(self._is_settled, candidates)):
            return None
        displaced = []
        for file in candidates:
            try:
                match = locate.compare_path(found.path, self._registry.positions.row(file))
            except (OSError, TailError) as error:
                self._registry.conditions.begin(
                    error if isinstance(error, TailError) else files.open_error(found.path, error)
                )
                return None
            if match is Match.SAME or (match is Match.SHORTENED and file.state == "rotated"):
                source = self.discovery.source_of(file.path) or found.source
                await self._registry.resume(file, source, found.path, found.key, globbed=True)
                return None
            if self._registry.is_over(file):
                break
            if match is Match.SHORTENED:
                await self._registry.conclude(
                    file, LineReader(file, found.source.max_line, self._registry.positions.row(file).offset)
                )
                # Exactly behind the bytes that are left: those of a torn last line are stored already.
                await self._registry.begin(found, offset=found.size)
                return None
            displaced.append(file)
        return displaced

    def _is_settled(self, file: FileGeneration) -> bool:
        settled = self._registry.positions.is_settled(file.id)
        self._unsettled |= not settled
        return settled

    async def _search(self, file: FileGeneration) -> None:
        """Find a known file under another name, by its inode or else by its content; or declare it finished."""
        source = self.source_of(file)
        if source is None or file.id not in self._registry.dormant:
            return
        key, row = FileKey(file.device, file.inode), self._registry.positions.row(file)
        directories = {os.path.dirname(file.path), os.path.dirname(file.current_path or file.path)}
        path = locate.find_inode(key, directories) if key not in self._registry.by_key else None
        if path is not None:
            try:
                if locate.compare_path(path, row) is Match.DIFFERENT:
                    path = None
            except (OSError, TailError):
                path = None
        if path is None:
            copy = locate.find_content(row, self._registry.generations())
            path, key = copy or (None, key)
        if path is not None:
            globbed = self.discovery.source_of(path) is not None
            await self._registry.resume(file, source, path, key, globbed=globbed)
        else:
            await self._recovery.settle(file, source, row.position)

    def _is_suspect(self, found: FoundFile, names: dict[str, list[tuple[str, Harvester]]]) -> bool:
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
        if not all(harvester.links for harvester in originals):
            return True
        return now - suspect.unchanged_since < self._registry.timing.copy_grace_s

    def _resembling(self, found: FoundFile, names: dict[str, list[tuple[str, Harvester]]]) -> list[Harvester]:
        directory, name = os.path.split(found.path)
        return [
            harvester
            for original, harvester in names.get(directory, ())
            if name.startswith(original[0])  # spares the regular expression: 1,000 new files beside 1,000 old ones
            and is_rotation(name, original)
            and _begins_like(found.path, harvester)
        ]

    def _followed_names(self) -> dict[str, list[tuple[str, Harvester]]]:
        """The base names under which the harvesters began, by directory."""
        names: dict[str, list[tuple[str, Harvester]]] = {}
        for harvester in self._registry.harvesters.values():
            _add_name(names, harvester)
        return names


def _add_name(names: dict[str, list[tuple[str, Harvester]]], harvester: Harvester) -> None:
    directory, name = os.path.split(harvester.file.path)
    names.setdefault(directory, []).append((name, harvester))


def _begins_like(path: str, harvester: Harvester) -> bool:
    """Whether the file begins with the head of a followed one, as far as it is long enough. Of one that is empty, or
    was emptied before anything of it was read, no copy can be read twice.
    """
    try:
        head = harvester.head
        if not head and harvester.fd >= 0:
            head = before_hole(os.pread(harvester.fd, HEAD_BYTES, 0))
            if not head:
                return False
        with open(path, "rb", buffering=0) as file:
            return head.startswith(file.read(len(head)) or b"")
    except OSError:
        return False


def _where(harvester: Harvester) -> str | None:
    """The path of the harvester's file: where it was, where its link led, or a name in one of those directories."""
    for path in (harvester.file.current_path, harvester.resolved):
        try:
            if files.file_key(os.stat(path)) == harvester.key:
                return path
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                return path  # not to be seen is not the same as gone
    folders = {os.path.dirname(path) for path in (harvester.file.current_path, harvester.resolved)}
    return locate.find_inode(harvester.key, folders)


def _is_replaced(harvester: Harvester) -> bool:
    try:
        return files.file_key(os.stat(harvester.file.path)) != harvester.key
    except OSError:
        return True
