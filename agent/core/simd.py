"""Searching, translating and hashing megabytes of bytes, by SIMD: 4 to 12 times as fast as the methods of `bytes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stringzilla

_LOWER = bytes(range(256)).lower()


if TYPE_CHECKING:

    def find(data: bytes, needle: bytes, start: int = 0) -> int:
        """The place of the first occurrence from `start` on, or -1."""

    def translate(data: bytes, table: bytes) -> bytes:
        """Each byte as the table of 256 has it."""

else:  # asked for each token of a frame: a call of ours around theirs would cost as much
    find, translate = stringzilla.find, stringzilla.translate


def lower(data: bytes) -> bytes:
    """ASCII letters in lower case."""
    return translate(data, _LOWER)


def sha256(data: bytes) -> bytes:
    """The digest, of little: for much, hashlib is as fast or faster."""
    found: bytes = stringzilla.sha256(data)
    return found


def digest(data: bytes) -> int:
    """64 bits that show whether content was damaged on the way to the disk and back, at an eighth of the price of
    SHA-256; for one process, and not against a forger.
    """
    found: int = stringzilla.hash(data)
    return found


def count(data: bytes, needle: bytes) -> int:
    """How often some bytes occur, which do not overlap themselves."""
    found: int = stringzilla.count(data, needle)
    return found
