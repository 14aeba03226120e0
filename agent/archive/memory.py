"""Memory for frames: megabytes that are taken and given back all the time."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_KEPT_BYTES = 64 << 20
_LARGEST_BYTES = 32 << 20  # glibc takes no more


def keep_freed_memory() -> None:
    """Let malloc keep large blocks that are freed for the next ones, where it is glibc's.

    Otherwise it gives each of them back to the system, which clears every page of the next one: half of the time of a
    search, a tenth of that of making archives.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
