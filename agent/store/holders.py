"""Who keeps the WAL from being emptied: the readers with an open snapshot, found in /proc/locks."""

from __future__ import annotations

import os
from pathlib import Path

from agent.errors import StoreError
from agent.store import faults

# Bytes of the -shm file, WAL_READ_LOCK(0) to (4), https://www.sqlite.org/walformat.html#locks. On byte 128 every
# process holds a lock that has the store open, reading or not.
_READ_MARKS = range(123, 128)
_LOCK_FIELDS = 8  # of a line of /proc/locks, see proc_locks(5)


def snapshot_holders(store: Path, locks: Path = Path("/proc/locks")) -> list[int]:
    """The pids, this process's own excepted, that hold a read lock on the store's WAL index."""
    status = faults.identity(store.with_name(store.name + "-shm"))
    try:
        lines = locks.read_text().splitlines()
    except OSError:
        return []
    if status is None:
        return []
    found = set()
    for line in lines:
        fields = line.split()
        if fields[1:2] == ["->"] or len(fields) != _LOCK_FIELDS:
            continue
        inode, first, last = fields[5].rsplit(":", 1)[-1], fields[6], fields[7]
        if inode == str(status[1]) and last.isdigit() and _READ_MARKS[0] <= int(last) and int(first) <= _READ_MARKS[-1]:
            found.add(int(fields[4]))
    return sorted(found - {os.getpid(), -1})


def wal_error(store: Path, wal_bytes: int) -> StoreError:
    """SL414: the WAL cannot be emptied because somebody reads an old state."""
    pids = snapshot_holders(store)
    who = f"process {', '.join(map(str, pids))}" if pids else "a reader"
    return StoreError(
        "SL414",
        "checkpoint store",
        str(store),
        f"the write-ahead log of {store} has {wal_bytes >> 20} MiB: {who} keeps an old state open",
        hint="end that program's query or transaction; at 256 MiB reading pauses until then",
        retryable=True,
    )
