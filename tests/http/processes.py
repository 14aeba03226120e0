"""The processes of a server, by what /proc says of them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def parents() -> dict[int, int]:
    """Of each process its parent."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return found


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    found, known = set(), parents()
    level = {pid}
    while level := {one for one, parent in known.items() if parent in level}:
        found |= level
    return found


def server_of(agent: int) -> int:
    """The server that an agent has started; 0 where it has none now."""
    for pid, parent in parents().items():
        with contextlib.suppress(OSError):
            if parent == agent and b"agent.http" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def nursery_of(server: int) -> int:
    """The process that a server forks its workers from: its only child, whatever numbers they have; 0 for none now.

    Numbers begin again at the bottom (32,768 of them by default), so the oldest process has not always the lowest.
    """
    return next((pid for pid, parent in parents().items() if parent == server), 0)


def private_bytes(server: int) -> int:
    """The memory of a server and its workers, shared pages in parts (PSS)."""
    total = 0
    for pid in {server, *descendants(server)}:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
