"""Which file is where: comparing what lies on the disk with what is followed and what is known from before.

A look never concludes from what it could not see: a directory that cannot be listed changes nothing.
"""

# ruff: noqa: PTH116, PTH118, PTH120 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

from agent.core.errors import TailError
from agent.core.model import MARKER_BYTES
from agent.tail import files, locate
from agent.tail.discover import DirectoryScan, Discovery, FoundFile
from agent.tail.identity import FileKey, Match
from agent.tail.reader import LineReader
from agent.tail.suspects import CopySuspects

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from agent.core.model import FileGeneration
    from agent.tail.discover import SourceSettings
    from agent.tail.harvester import Harvester
    from agent.tail.recovery import Recovery
    from agent.tail.registry import Registry


_COPY_TRIES = 3  # the next rotation may give a copy another name before it is opened
_BORN_KEPT_S = 5.0  # renames reach us within milliseconds; a busy machine may take longer


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
        run: Callable[..., Awaitable[Any]],
    ) -> None:
        self._registry = registry
        self._run = run
        self._recovery = recovery
        self._avoid = avoid
        self._at_end = at_end  # files found by the very first look begin at their end where the source says so
        self._early: set[FileKey] = set()  # those of them that could not be begun then
        self._suspects = CopySuspects(registry, once=once)
        self._copies: set[str] | None = None  # directories of new files, as a scan of this round has shown
        self._unsettled = False
        # renamed a moment ago: present path -> (path at the beginning, when); kept for a while, because the file may
        # have been renamed again, and its place taken by the next one, before this is looked at
        self._born: dict[str, tuple[str, float]] = {}
        self._created: dict[str, tuple[bool, float]] = {}  # as `created` was told a moment ago, and when
        self._names: set[tuple[str, str]] = set()  # of links and their targets, as the last scan met them
        self._aliases: dict[str, str] = {}  # as the last scan met them
        self.discovery = Discovery(sources, avoid)

    @property
    def undecided(self) -> bool:
        """Whether a file is left alone, because it may be a copy in the making or its lines are on their way to the
        store: look again soon.
        """
        return bool(self._suspects.directories) or self._unsettled

    def set_sources(self, sources: Sequence[SourceSettings]) -> None:
        """Follow other patterns from the next look on."""
        self.discovery = Discovery(sources, self._avoid)

    def source_of(self, file: FileGeneration) -> SourceSettings | None:
        """The source that a known file belongs to now: by its own name, or else by that of the place where it lies."""
        source = self.discovery.source_of(file.path)
        return self.discovery.source_of(file.current_path) if source is None and file.current_path else source

    def renamed(self, source: str, target: str) -> None:
        """A rename was observed: a file may have been born and renamed between two looks."""
        origin, _ = self._born.pop(source, (self._aliases.get(source, source), 0.0))
        if self.discovery.source_of(origin) is not None:
            self._born[target] = origin, time.monotonic()
        else:
            self._born.pop(target, None)

    def created(self, names: Mapping[str, bool]) -> None:
        """By path: whether what lies there was created under that name, or came from another one."""
        now = time.monotonic()
        self._created.update((path, (is_new, now)) for path, is_new in names.items())

    def concerns(self, directory: str, name: str) -> bool:
        """Whether an event about this name can change what is followed."""
        if (directory, name) in self._names or self.discovery.wants(directory, name):
            return True
        path = os.path.join(directory, name)
        return path in self._born or any(
            harvester.file.current_path == path for harvester in self._registry.harvesters.values()
        )

    def begin_round(self) -> None:
        """What was seen of new files is old now."""
        self._copies = None

    async def take_copy(self, harvester: Harvester) -> bool:
        """Whether a copy of the harvester's file was found, beside it or where new files lie (logrotate's olddir); the
        harvester goes on in it.
        """
        if await self._take_copy(harvester, set()):
            return True
        elsewhere = await self._run(self._copy_directories)
        return bool(elsewhere) and await self._take_copy(harvester, elsewhere)

    async def _take_copy(self, harvester: Harvester, elsewhere: set[str]) -> bool:
        registry, reader = self._registry, harvester.reader
        for _ in range(_COPY_TRIES):
            place = harvester.head, reader.position, reader.recent, registry.generations()
            copy = await self._run(locate.find_copy, harvester.file, *place, elsewhere)
            if copy is None:
                break
            if await registry.take_over(harvester, *copy):
                self._read_on(harvester)
                return True
        return False

    def _copy_directories(self) -> set[str]:
        if self._copies is None:
            known = self._registry.generations()
            fresh = (found.path for found in self.discovery.scan().files if found.key not in known)
            self._copies = set(map(os.path.dirname, fresh))
        return self._copies

    def _read_on(self, harvester: Harvester) -> None:
        harvester.globbed = self._is_globbed(harvester)
        harvester.last_growth, harvester.next_poll = time.monotonic(), 0.0

    async def settle(self, scan: DirectoryScan) -> None:
        """Bring the registry in line with `scan`: find moved files, resume known ones, begin new ones."""
        self._report(scan)
        self._names = scan.names
        self._aliases = scan.aliases
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
        elsewhere = {os.path.dirname(found.path) for found in fresh}
        for file in lost:
            await self._search(file, elsewhere)
        await self._begin_fresh(fresh)
        self._at_end = False

    async def _begin_fresh(self, fresh: list[FoundFile]) -> None:
        """Begin new files, but no copies of those that are followed. Shorter names come first: a file and a copy that
        is just being made of it may both be seen for the first time, and a rotated name is longer than its original.
        """
        self._suspects.look(fresh)
        self._early.intersection_update({found.key for found in fresh})
        for found in sorted(fresh, key=lambda found: len(found.path)):
            if self._at_end and found.source.start == "end":
                self._early.add(found.key)
            if found.key in self._registry.by_key or self._suspects.holds(found):
                continue
            harvester = await self._registry.begin(found, at_end=found.key in self._early)
            if harvester is not None:
                self._early.discard(found.key)
                self._suspects.add(harvester)

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
        places = {found.real: found for found in scan.files}
        astray = []
        for harvester in self._registry.harvesters.values():
            file = harvester.file
            found = places.get(file.current_path)
            if found is None or found.key != harvester.key:
                astray.append(harvester)
            elif found.path == file.path and file.state == "rotated" and not harvester.short_copy:
                harvester.change(state="active")  # renamed back
                harvester.globbed = True
                self._registry.save(harvester.file)
        keys = {found.key: found.real for found in scan.files}
        for harvester in astray:
            place = keys.get(harvester.key) or _where(harvester)
            if place is None:
                if await self._is_replaced_by_itself(harvester, paths.get(harvester.file.path)):
                    continue
                if harvester.fd >= 0:  # deleted, or moved out of sight: the open file says which
                    self._rotate(harvester, harvester.file.current_path)
                    harvester.globbed = False
                elif locate.is_gone(harvester.file) and not await self.take_copy(harvester):
                    await self._recovery.take(harvester)  # what came after it was read may be in an archive
            else:
                self._rotate(harvester, place)

    async def _is_replaced_by_itself(self, harvester: Harvester, key: FileKey | None) -> bool:
        """Whether a deleted file's name is that of a longer copy of it now, as rsync renames one over it; the harvester
        goes on there. A file that an application has created under that name is a new log, however it begins; where
        nobody saw how it came, as after a restart, it must be long enough to be told from one with the same banner.
        """
        path, reader = harvester.file.path, harvester.reader
        is_new, _ = self._created.get(path, (None, 0.0))
        if key is None or key in self._registry.by_key or is_new or not (harvester.head and reader.position):
            return False
        if is_new is None and len(reader.recent) < MARKER_BYTES:
            return False
        if harvester.fd >= 0 and os.fstat(harvester.fd).st_nlink:
            return False
        if not locate.goes_on(path, harvester.head, reader.position, reader.recent):
            return False
        if not await self._registry.take_over(harvester, path, key, state="active"):
            return False
        self._read_on(harvester)
        return True

    def _rotate(self, harvester: Harvester, place: str) -> None:
        """The harvester's file lies at `place` now, or nowhere: then `place` is where it was last seen."""
        file = harvester.file
        state = "rotated" if harvester.short_copy or _is_replaced(harvester) else "active"
        if (place, state) != (file.current_path, file.state):
            if file.state != "rotated":
                harvester.last_growth = time.monotonic()  # the grace time begins with the renaming
            harvester.change(current_path=place, state=state)
            self._registry.save(harvester.file)
        harvester.globbed = self._is_globbed(harvester)

    def _is_globbed(self, harvester: Harvester) -> bool:
        file = harvester.file
        return file.state == "active" or self.discovery.source_of(file.current_path) is not None

    def _add_born(self, scan: DirectoryScan) -> None:
        """Files that were created under a followed name and renamed before anybody looked."""
        keys = {found.key for found in scan.files}
        paths = {path for found in scan.files for path in (found.path, found.real)}
        oldest = time.monotonic() - _BORN_KEPT_S
        self._born = {target: (origin, at) for target, (origin, at) in self._born.items() if at >= oldest}
        self._created = {path: event for path, event in self._created.items() if event[1] >= oldest}
        for target, (origin, _) in self._born.items():
            source = self.discovery.source_of(origin)
            if source is None or target in paths:
                continue
            try:
                status = files.check(target)
            except OSError:
                continue
            if isinstance(status, os.stat_result) and (key := files.file_key(status)) not in keys:
                size, mtime_ns = status.st_size, status.st_mtime_ns
                scan.files.append(FoundFile(target, source, key, size, mtime_ns, os.path.realpath(target), origin))

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
        candidates = self._registry.dormant.of_inode(found.key)
        candidates.sort(key=lambda file: (not self._registry.is_over(file), file.id), reverse=True)
        if not all(map(self._is_settled, candidates)):
            return None
        displaced = []
        for file in candidates:
            source = self.discovery.source_of(file.path) or found.source
            rotated = file.state == "rotated"
            match = await self._registry.resume(file, source, found.path, found.key, globbed=True, shortened=rotated)
            if match in {None, Match.SAME} or (match is Match.SHORTENED and rotated):
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

    async def _search(self, file: FileGeneration, elsewhere: set[str]) -> None:
        """Find a known file under another name, by its inode or else by its content; or declare it finished.

        Args:
            file: that no scan found.
            elsewhere: directories in which new files lie: a copy of it may be among them (logrotate's olddir).
        """
        source = self.source_of(file)
        if source is None or file.id not in self._registry.dormant:
            return
        key, row = FileKey(file.device, file.inode), self._registry.positions.row(file)
        path = locate.find_inode(key, locate.directories_of(file)) if key not in self._registry.by_key else None
        match = Match.DIFFERENT if path is None else await self._resume(file, source, path, key)
        if match in {Match.SAME, Match.SHORTENED}:
            return
        copy = locate.find_content(row, self._registry.generations(), elsewhere)
        if copy is not None:
            await self._resume(file, source, *copy)
        elif match is not None:  # nothing follows from what cannot be read
            await self._recovery.settle(file, source, row.position)

    async def _resume(self, file: FileGeneration, source: SourceSettings, path: str, key: FileKey) -> Match | None:
        globbed = self.discovery.source_of(path) is not None
        return await self._registry.resume(file, source, path, key, globbed=globbed, shortened=True)


def _where(harvester: Harvester) -> str | None:
    """The path of the harvester's file: where it was, where its name leads, or a name in one of those directories."""
    for path in (harvester.file.current_path, os.path.realpath(harvester.file.path)):
        try:
            if files.is_file_as(os.stat(path), harvester.key):
                return path
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                return path  # not to be seen is not the same as gone
    return locate.find_inode(harvester.key, locate.directories_of(harvester.file))


def _is_replaced(harvester: Harvester) -> bool:
    try:
        return not files.is_file_as(os.stat(harvester.file.path), harvester.key)
    except OSError:
        return True
