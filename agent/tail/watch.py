"""Waking up: inotify through watchdog, for directories all the time and for files only while they are idle.

A directory's watch tells of names: created, moved, deleted, permissions changed. Never of writing: one busy file
would cost 40 % of a core in watchdog's thread. Instead every idle file has a watch of its own that the kernel removes
after its first event (IN_ONESHOT), and is polled from then on until it is calm again. So a busy file costs no events
at all, and a lone line among 1,000 idle files wakes nothing but its own file.

watchdog's `InotifyFD` is used rather than its `Observer`: the observer holds every rename back for 0.5 s to pair it,
with all events of that directory behind it, has one thread per watched directory, and does not tell a handler that
the kernel's queue overflowed.
"""

# ruff: noqa: PTH116, PTH118, PTH120 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec

try:
    from watchdog.observers.inotify_c import InotifyConstants as In
    from watchdog.observers.inotify_c import InotifyFD
except (ImportError, OSError):  # not Linux, or a C library without inotify
    InotifyFD = None  # type: ignore[assignment, misc]

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchdog.observers.inotify_c import InotifyEvent

_KEPT_MOVES = 1024  # first halves of renames; the other halves follow at once, or never
_CATCH_UP_S = 1.0  # 0.2 ms on an idle machine


class Events(msgspec.Struct):
    """What happened since the last look."""

    names: set[tuple[str, str]] = set()  # (directory, base name) whose meaning may have changed
    renames: list[tuple[str, str]] = []  # (from, to), in order
    created: dict[str, bool] = {}  # by path: whether the last event there made a file, or moved one there
    files: set[int] = set()  # tokens of files that were written to; their watches are gone
    lost: bool = False  # the kernel's queue overflowed, or a directory went away: look at everything


class Watcher:
    """Directory and file watches of one inotify instance; `wake` is called in its thread when there is something."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._events = Events()
        self._moved_from: dict[int, list[str]] = {}  # by the rename's cookie: the path in each watch of its directory
        self._fd: Any = None
        self._directories: dict[str, tuple[_DirectoryWatch, tuple[int, int]]] = {}
        self._files: dict[int, _FileWatch] = {}
        self._marked = -1  # a file of no directory, whose changes nobody but `catch_up` makes

    @property
    def running(self) -> bool:
        """Whether events come at all."""
        return self._fd is not None and self._fd.is_alive()

    def start(self) -> None:
        """Begin to take events.

        Raises:
            OSError: the limit of inotify instances is reached (EMFILE), or the system has no inotify (ENOSYS).
        """
        if InotifyFD is None:
            raise OSError(38, os.strerror(38))  # ENOSYS
        self._fd = InotifyFD()
        self._fd.start()

    def stop(self) -> None:
        """Remove all watches and end the thread."""
        if self._fd is not None:
            self._fd.stop()
            self._fd.join()
            self._fd = None
        if self._marked >= 0:
            os.close(self._marked)
            self._marked = -1
        self._directories.clear()
        self._files.clear()

    def take(self) -> Events:
        """Everything since the last call."""
        with self._lock:
            events, self._events = self._events, Events()
            while len(self._moved_from) > _KEPT_MOVES:
                del self._moved_from[next(iter(self._moved_from))]
        return events

    def catch_up(self) -> None:
        """Wait until everything that has happened by now is there to be taken; a second at most.

        inotify(7) tells of events in their order: once a change of our own is told of, all before it are noted.
        """
        if not self.running:
            return
        mark = _Mark()
        with contextlib.suppress(OSError):  # no more watches or descriptors: what is not known yet comes later
            if self._marked < 0:
                self._marked = os.memfd_create("sidelog")
            if mark.add(self._fd, f"/proc/self/fd/{self._marked}"):
                os.fchmod(self._marked, 0o600)
                mark.told.wait(_CATCH_UP_S)
                mark.remove(self._fd)

    def watch_directories(self, wanted: set[str]) -> bool:
        """Watch exactly these directories; whether one is watched that was not before, so that a look is due.

        Raises:
            OSError: the limit of watches is reached (ENOSPC); what could be watched is.
        """
        added = False
        for path in [path for path in self._directories if path not in wanted]:
            self._forget(path)
        for path in wanted:
            try:
                status = os.stat(path)
            except OSError:
                continue
            known = self._directories.get(path)
            if known is not None:
                if known[1] == (status.st_dev, status.st_ino) and not known[0].gone:
                    continue
                self._forget(path)
            watch = _DirectoryWatch(self, path)
            if watch.add(self._fd):
                self._directories[path] = (watch, (status.st_dev, status.st_ino))
                added = True
        return added

    def _forget(self, path: str) -> None:
        watch, _ = self._directories.pop(path)
        watch.remove(self._fd)

    def arm(self, token: int, path: str) -> None:
        """Wake when the file at `path` (or `/proc/self/fd/N`) is written to, once.

        Raises:
            OSError: the limit of watches is reached (ENOSPC), or there is no such file.
        """
        watch = _FileWatch(self, token)
        if watch.add(self._fd, path):
            self._files[token] = watch

    def disarm(self, token: int) -> None:
        """The file is not waited for any more."""
        watch = self._files.pop(token, None)
        if watch is not None and self._fd is not None:
            watch.remove(self._fd)

    # called in the thread of inotify

    def notice(self, directory: str, event: InotifyEvent) -> None:
        """Note an event of a directory."""
        name = os.fsdecode(event.name)
        with self._lock:
            if event.is_create or event.is_moved_to:
                self._events.created[os.path.join(directory, name)] = event.is_create
            if event.is_moved_from:
                self._moved_from.setdefault(event.cookie, []).append(os.path.join(directory, name))
            elif event.is_moved_to and (sources := self._moved_from.get(event.cookie)):
                # A directory that is watched under two paths, one of them through a link, tells both halves twice.
                source = next((path for path in sources if os.path.dirname(path) == directory), sources[0])
                self._events.renames.append((source, os.path.join(directory, name)))
            self._events.names.add((directory, name))
        self._wake()

    def notice_file(self, token: int) -> None:
        """Note that a file was written to."""
        with self._lock:
            self._events.files.add(token)
        self._wake()

    def notice_loss(self) -> None:
        """Note that events are missing, or that a watched directory is gone."""
        with self._lock:
            self._events.lost = True
        self._wake()


class _Watch:
    """A watch as watchdog knows it: a descriptor, and this object as the receiver of its events."""

    def __init__(self) -> None:
        self._wd = -1

    def _add(self, inotify: Any, path: str, mask: int) -> bool:
        self._wd = inotify.add_callback(os.fsencode(path), mask, self, id(self))
        if self._wd >= 0:
            return True
        inotify.remove_callbacks([(self._wd, id(self))])  # watchdog takes a lack of permission for success
        return False

    def remove(self, inotify: Any) -> None:
        inotify.remove_callbacks([(self._wd, id(self))])


class _DirectoryWatch(_Watch):
    def __init__(self, watcher: Watcher, path: str) -> None:
        super().__init__()
        self._watcher = watcher
        self._path = path
        self.gone = False

    def add(self, inotify: Any) -> bool:
        mask = In.IN_CREATE | In.IN_MOVE | In.IN_DELETE | In.IN_ATTRIB | In.IN_DELETE_SELF | In.IN_MOVE_SELF
        return self._add(inotify, self._path, mask | In.IN_ONLYDIR | In.IN_EXCL_UNLINK)

    def on_event(self, event: InotifyEvent) -> None:
        if event.name:
            self._watcher.notice(self._path, event)
        elif event.is_delete_self or event.is_move_self:
            self.gone = True
            self._watcher.notice_loss()

    def on_watch_deleted(self, _wd: int) -> None:
        self.gone = True
        self._watcher.notice_loss()

    def on_queue_overflow(self) -> None:
        self._watcher.notice_loss()


class _Mark(_Watch):
    """A change of a file of our own, behind which the wait for all earlier events is over."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def add(self, inotify: Any, path: str) -> bool:
        return self._add(inotify, path, In.IN_ATTRIB | In.IN_ONESHOT)

    def on_event(self, _event: InotifyEvent) -> None:
        self.told.set()

    def on_watch_deleted(self, _wd: int) -> None:
        self.told.set()

    def on_queue_overflow(self) -> None:
        """The mark itself may be among the lost events."""
        self.told.set()


class _FileWatch(_Watch):
    def __init__(self, watcher: Watcher, token: int) -> None:
        super().__init__()
        self._watcher = watcher
        self._token = token

    def add(self, inotify: Any, path: str) -> bool:
        return self._add(inotify, path, In.IN_MODIFY | In.IN_ONESHOT)

    def on_event(self, _event: InotifyEvent) -> None:
        self._watcher.notice_file(self._token)

    def on_watch_deleted(self, _wd: int) -> None:
        """The kernel removes the watch after its one event."""

    def on_queue_overflow(self) -> None:
        self._watcher.notice_loss()
