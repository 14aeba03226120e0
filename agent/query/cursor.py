"""A file that remembers how far a reader has come, in the order of storage."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.core.errors import SidelogError, UsageError

if TYPE_CHECKING:
    from agent.query.engine import Position


class SavedCursor(NamedTuple):
    """A place in the order of storage."""

    position: Position  # of a store: the id of the last event that was printed; 0: none
    store_id: str | None = None  # of what the position is of; None: not known, as in files of older versions


class CursorFile:
    """The id of the last event that was printed, and that of its store, in a small JSON file.

    It is replaced as a whole, so that a reader killed at any instant leaves the old or the new position.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> SavedCursor:
        """What was stored; the beginning where there is no file yet.

        Raises:
            UsageError: SL516, the file is no cursor.
            SidelogError: SL517, it cannot be read.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return SavedCursor(0)
        except UnicodeDecodeError:
            text = ""
        except OSError as error:
            raise SidelogError.of("SL517.read", self.path, why=error) from None
        try:
            content = json.loads(text)
            after_id, store_id = content["after_id"], content.get("store_id")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            after_id = store_id = None
        good = 0 <= after_id < 2**63 if type(after_id) is int else isinstance(after_id, str) and ":" in after_id
        if not good or not isinstance(store_id, str | None):
            raise UsageError.of("SL516", self.path)
        return SavedCursor(after_id, store_id)

    def write(self, position: Position, store_id: str | None) -> None:
        """Remember a place; the file is readable by its owner only.

        Raises:
            SidelogError: SL517, it cannot be written.
        """
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)  # mode 0600
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps({"after_id": position, "store_id": store_id}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.path)
        except OSError as error:
            if temporary:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
            raise SidelogError.of("SL517.write", self.path, why=error) from None
