"""Running a stranger's SELECT: what it may touch, how long it may take, how much it may build."""

from __future__ import annotations

import sqlite3
import time

from agent.core.errors import SidelogError, UsageError

_STEPS_BETWEEN_LOOKS = 10_000  # virtual machine steps, some 0.1 ms
_LONGEST_VALUE_BYTES = 64 * 1024 * 1024  # zeroblob(2e9) and the like must not take the machine's memory
_FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
_PRAGMAS_WITH_ARGUMENT = {"table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
_PRAGMAS = _PRAGMAS_WITH_ARGUMENT | {
    "application_id", "collation_list", "compile_options", "database_list", "data_version", "encoding",
    "freelist_count", "function_list", "journal_mode", "page_count", "page_size", "schema_version", "table_list",
    "user_version",
}  # fmt: skip
_TABLE_FUNCTIONS = ("json_each", "json_tree", "pragma_table_info")
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Called by SQLite while it compiles a statement: reading is allowed, and nothing else."""
    allowed = action in _ALLOWED
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in _FORBIDDEN_FUNCTIONS
    elif action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        allowed = name in _PRAGMAS and (not second or name in _PRAGMAS_WITH_ARGUMENT)
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class GuardedStatement:
    """One read-only statement on a connection, with a time limit for all of it, its rows included."""

    def __init__(self, connection: sqlite3.Connection, statement: str, timeout_s: float) -> None:
        self._statement = statement
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._connection = connection
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.execute("PRAGMA query_only = 1")
        for function in _TABLE_FUNCTIONS:  # their first use declares a table, which would be refused later
            connection.execute(f"SELECT 1 FROM {function}('[]')").close()  # noqa: S608 - a name of this module
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(self._overdue, _STEPS_BETWEEN_LOOKS)
        self._cursor: sqlite3.Cursor | None = None

    def _overdue(self) -> bool:
        return time.monotonic() > self._deadline

    def start(self) -> list[str]:
        """Begin the statement; the names of its columns, made distinct.

        Raises:
            UsageError: SL520 it is no SQL, SL521 it would do more than read, SL522 it is several statements.
            SidelogError: SL523, it took too long.
            sqlite3.DatabaseError: the store is damaged.
        """
        try:
            self._cursor = self._connection.execute(self._statement)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise self._explained(error) from None
        names: list[str] = []
        for column in self._cursor.description or ():
            name, number = column[0], 2
            while name in names:
                name, number = f"{column[0]}_{number}", number + 1
            names.append(name)
        return names

    def rows(self, count: int) -> list[tuple[object, ...]]:
        """The next rows, at most `count`; raises what `start` raises."""
        assert self._cursor is not None
        try:
            return self._cursor.fetchmany(count)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> Exception:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name == "SQLITE_INTERRUPT":
            return SidelogError.of("SL523", self._statement, seconds=f"{self._timeout_s:g}")
        if "one statement" in str(error):
            return UsageError.of("SL522", self._statement)
        if name in ("SQLITE_AUTH", "SQLITE_READONLY") or "not authorized" in str(error):
            return UsageError.of("SL521", self._statement, why=error)
        if isinstance(error, sqlite3.DatabaseError) and name not in ("", "SQLITE_ERROR", "SQLITE_TOOBIG"):
            return error
        return UsageError.of("SL520", self._statement, why=error)
