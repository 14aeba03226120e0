"""Files that an installation brings: written whole or not at all, renewed, never taken from who has changed them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from agent.core.errors import SidelogError
from agent.install.layout import NOTE

if TYPE_CHECKING:
    from pathlib import Path

    from agent.install.layout import Layout


class Done(NamedTuple):
    """What was done, in a word, to what, and what is to be said of it."""

    verb: str  # wrote, renewed, kept, linked, made, removed, stays
    place: str
    note: str = ""


class InstalledFiles:
    """Writes files, and notes what they were, so that a later version knows those that nobody has changed.

    Args:
        layout: where.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._note = layout.at(NOTE)
        self.known: dict[str, str] = {}  # place -> SHA-256 of what was written
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self.known = dict(json.loads(self._note.read_text()).items())

    def own(self, place: str, text: str, mode: int = 0o644) -> Done:
        """A file of the program: always as this version has it. One that somebody has changed stays as FILE.old.

        Raises:
            SidelogError: SL120, the place cannot be written.
        """
        target = self._layout.at(place)
        found = self._read(target)
        if found == text:
            self.known[place] = _hash(text)
            return Done("kept", place)
        old = ""
        if found is not None and not self._is_ours(place, found):
            old = f"what was there is {target.name}.old now"
            _replace(target.with_name(f"{target.name}.old"), found, mode)
        self._write(place, text, mode)
        return Done("wrote" if found is None else "renewed", place, old)

    def offer(self, place: str, text: str, mode: int, *, force: bool) -> Done:
        """A file that may be changed: renewed where nobody has, else the new one lies beside it as FILE.new; with
        `force` it is renewed, and what was there stays as FILE.old.

        Raises:
            SidelogError: SL120, the place cannot be written.
        """
        found = self._read(self._layout.at(place))
        if force or found is None or found == text or self._is_ours(place, found):
            return self.own(place, text, mode)
        beside = f"{place}.new"
        _replace(self._layout.at(beside), text, mode)
        return Done("kept", place, f"it was changed here; this version's is {beside.rpartition('/')[2]}")

    def once(self, place: str, text: str, mode: int = 0o644) -> Done:
        """A file that is somebody's as soon as it is there: written where there is none.

        Raises:
            SidelogError: SL120, the place cannot be written.
        """
        target = self._layout.at(place)
        if os.path.lexists(target):
            return Done("kept", place)
        self._write(place, text, mode)
        return Done("wrote", place)

    def is_unchanged(self, place: str) -> bool:
        """Whether a file that this program has written is as it was written."""
        found = self._read(self._layout.at(place))
        return found is not None and self._is_ours(place, found)

    def save(self) -> None:
        """Write the note.

        Raises:
            SidelogError: SL120, it cannot be written.
        """
        text = json.dumps(self.known, indent=1, sort_keys=True) + "\n"
        if self._read(self._note) != text:
            _replace(self._note, text, 0o644)

    def _is_ours(self, place: str, found: str) -> bool:
        return self.known.get(place) == _hash(found)

    def _write(self, place: str, text: str, mode: int) -> None:
        _replace(self._layout.at(place), text, mode)
        self.known[place] = _hash(text)

    @staticmethod
    def _read(target: Path) -> str | None:
        try:
            return target.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SidelogError.of("SL120", target, why=error) from None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _replace(target: Path, text: str, mode: int) -> None:
    """Write a file under another name and give it its own: nobody sees half of it."""
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        make_directory(target.parent)
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
                os.fchmod(descriptor, mode)
                file.write(text)
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SidelogError.of("SL120", target, why=error) from None


def make_directory(directory: Path) -> None:
    """Make a directory that everybody may read, with those above it, whatever the umask is.

    Raises:
        OSError: it cannot be made.
    """
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir()
        directory.chmod(0o755)


def point(layout: Layout, place: str, target: str) -> Done:
    """Make a symbolic link, or let one lead elsewhere, in one step.

    Raises:
        SidelogError: SL120, the place cannot be written, or something else is there.
    """
    link = layout.at(place)
    partial = link.with_name(f".{link.name}.partial-{os.getpid()}")
    try:
        there = str(link.readlink()) if link.is_symlink() else None
        if there == target:
            return Done("kept", place)
        if there is None and os.path.lexists(link):
            raise SidelogError.of("SL120.link", link)
        make_directory(link.parent)
        partial.unlink(missing_ok=True)
        partial.symlink_to(target)
        partial.rename(link)
    except OSError as error:
        raise SidelogError.of("SL120", link, why=error) from None
    return Done("linked", place, f"to {target}")
