"""A directory with logs, a configuration and the store that some version of the agent has made of them.

Stores remember absolute paths and inodes, so that one that is unpacked elsewhere is told where its logs lie now.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import zstandard

HERE = Path(__file__).parent
MADE_IN = Path("/tmp/sidelog-store")  # the place of `make`, the same for all
_PLACES = (("files", "path"), ("files", "current_path"), ("archives", "path"), ("archives", "log_path"))
_KEPT = ("logs", "state/archive", "state/sidelog.db")


def known() -> dict[str, dict[str, Any]]:
    """What each store holds, by its name: the oracle."""
    return tomllib.loads((HERE / "stores.toml").read_text())


def write_config(root: Path, version: int, *, age: str | None = None) -> Path:
    """The configuration of a store, with what its schema version has: rules from 3 on, archives from 4 on."""
    document: dict[str, Any] = {
        "store": {
            "path": str(root / "state" / "sidelog.db"),
            "flush_interval": "50ms",
            "min_free": "1MiB",
            "retention": {"age": age, "size": None},
        },
        "sources": [
            {
                "name": "shop",
                "include": [f"{root}/logs/*.log"],
                "labels": {"service.name": "shop"},
                "max_line": "2KiB",
            }
        ],
    }
    if version >= 3:
        rule = {"name": "errors", "match": "severity>=error", "when": {"count": 1}, "window": "1h", "hooks": ["note"]}
        document |= {"alerts": [rule], "hooks": {"note": {"exec": ["/bin/cat"]}}}
    if version >= 4:
        document["archive"] = {"quiet": "1s"}
    config = root / "sidelog.json"
    config.write_text(json.dumps(document))
    return config


def pack(root: Path, name: str) -> None:
    """Keep the logs, archives and store under `root` as `NAME.tar.zst`."""
    with contextlib.closing(sqlite3.connect(root / "state" / "sidelog.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for part in _KEPT:
            if (root / part).exists():
                tar.add(root / part, part, filter=_anonymous)
    packed = zstandard.ZstdCompressor(level=19).compress(plain.getvalue())
    (HERE / f"{name}.tar.zst").write_bytes(packed)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def unpack(name: str, root: Path) -> Path:
    """Unpack a store under `root`, as if it had been made there; the path of the store."""
    plain = zstandard.ZstdDecompressor().decompress((HERE / f"{name}.tar.zst").read_bytes(), max_output_size=1 << 26)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for entry in tar:  # by hand: Debian 12's Python 3.11.2 has no filter for `extractall`, and 3.14 asks for one
            _extract(tar, entry, root)
    store = root / "state" / "sidelog.db"
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        _move(connection, root)
    return store


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, root: Path) -> None:
    """Make a directory or a file as `pack` has kept it, with its mode and its time."""
    place = root / entry.name
    if entry.isdir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(tar.extractfile(entry).read())
        os.utime(place, (entry.mtime, entry.mtime))
    place.chmod(entry.mode)


def _move(connection: sqlite3.Connection, root: Path) -> None:
    for table, column in _PLACES:
        if connection.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column)).fetchone():
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(MADE_IN), str(root)))
    for number, path in connection.execute("SELECT id, current_path FROM files").fetchall():
        with contextlib.suppress(FileNotFoundError):
            found = Path(path).stat()
            connection.execute(
                "UPDATE files SET device = ?, inode = ?, generation = 0 WHERE id = ?",
                (found.st_dev, found.st_ino, number),
            )
