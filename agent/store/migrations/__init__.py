"""The steps by which a store gets its schema, by sqlite-utils. Loaded where a store is new or of an older version.

Each version has a numbered module, which is frozen as soon as it has landed, for stores that it made may lie anywhere.
What is to be otherwise is a new number, added to `_STEPS` and to the frozen files of `tests/store/test_migrations.py`,
together with a store that it has made (`tests/stores/make.py`).
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from agent.store.migrations import (
    v001_events,
    v002_templates,
    v003_alerting,
    v004_archives,
    v005_removals,
    v006_shapes,
    v007_plain_ids,
    v008_line_codes,
    v009_access,
    v010_field_counts,
    v011_forward,
)

# sqlite-utils imports numpy where it is installed, to know its types: 17 MB and 0.1 s, which an agent would keep for
# life. A None here is Python's way to say that there is no such module.
_modules: dict[str, Any] = sys.modules
_is_hidden = _modules.setdefault("numpy", None) is None
try:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations
finally:
    if _is_hidden:
        del _modules["numpy"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# By the names that stores have noted in `_sqlite_migrations`: they are as frozen as the statements.
_STEPS: tuple[tuple[str, Callable[[sqlite3.Connection], None]], ...] = (
    ("events_and_files", v001_events.apply),
    ("templates", v002_templates.apply),
    ("alerting", v003_alerting.add_alerting),
    ("group_lives", v003_alerting.add_group_lives),
    ("archives", v004_archives.apply),
    ("archive_removals", v005_removals.apply),
    ("shapes", v006_shapes.apply),
    ("plain_ids", v007_plain_ids.apply),
    ("line_codes", v008_line_codes.apply),
    ("access", v009_access.apply),
    ("field_counts", v010_field_counts.apply),
    ("forward", v011_forward.apply),
)
_MASTER = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
_FORM = 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)'
_COMMENT = re.compile(r"--[^\n]*")
_SPACE = re.compile(r"\s+")


def _make_migrations() -> Migrations:
    found = Migrations("sidelog")
    for name, step in _STEPS:
        found(name=name)(lambda db, step=step: step(db.conn))
    return found


migrations = _make_migrations()


def apply(connection: sqlite3.Connection) -> None:
    """Take the steps that the store has not taken yet; inside a transaction."""
    migrations.apply(Database(connection, execute_plugins=False, recursive_triggers=False))


def changes(version: int) -> list[tuple[int, str]]:
    """What each migration of a store of this version does, in words: its number, and the first line of its module."""
    modules = {step.__module__: sys.modules[step.__module__].__doc__ or "" for _, step in _STEPS}
    said = [words.split("\n")[0].removeprefix("Version ").partition(": ") for words in modules.values()]
    return [(int(number), words) for number, _, words in said if int(number) > version]


def missing(connection: sqlite3.Connection) -> str | None:
    """What a migrated store lacks of a new one, in words, such as `the column state of the table files`; None: nothing.

    What it has beside that, such as an index that a user has made, is nobody's business.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        apply(new)
        wanted = list(_parts(new))
    found = set(_parts(connection))
    return next((words for words, form in wanted if (words, form) not in found), None)


def _parts(connection: sqlite3.Connection) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Each part of a schema in words and its form."""
    for kind, name, sql in connection.execute(_MASTER).fetchall():
        if kind != "table":
            yield f"the {kind} {name}", (_SPACE.sub(" ", _COMMENT.sub("", sql)),)
            continue
        yield f"the table {name}", ()
        for column, *form in connection.execute(_FORM, (name,)):
            yield f"the column {column} of the table {name}", tuple(form)
