"""What the index needs of a frame's bytes, a whole frame at a time by numpy: its lines, and its id-like tokens.

A regular expression that finds tokens, and a loop that hashes them, take 3.7 µs per line of 300 bytes; this takes 0.8,
and the facts about lines 0.4 where searching and decoding took 1.4. Only what makes archives imports this module: numpy
takes 0.1 s to load and 15 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent.archive.simd import translate
from agent.archive.tokens import (
    BLOCK_BYTES,
    BLOCK_WORDS,
    EVENT_BYTES,
    HASHED_WORDS,
    MIN_TOKEN,
    MULTIPLIER,
    NO_BOUND,
    TOKENS_PER_BLOCK,
    WORD_BYTES,
    Filter,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.int64]
    Words = NDArray[np.uint64]

_NEWLINE, _OPEN, _CLOSE, _BACKSLASH, _U, _ZERO = b"\n{}\\u0"
_STEP = 4  # bytes looked at as one: any run of MIN_TOKEN holds two whole ones in a row
_WHOLE_STEP = 0x01010101
_HIGH_BITS = np.uint64(0x8080808080808080)
_LOWER_CASE = np.uint64(0x2020202020202020)  # makes letters small and leaves digits as they are
_MULTIPLIER = np.uint64(MULTIPLIER)
_MOST_BYTES = 4 << 20  # of a frame; a larger one is one event, whose filter would have four bytes
_IS_TOKEN = bytes(byte < 0x80 and chr(byte).isalnum() for byte in range(256))  # noqa: PLR2004 - ASCII


class Lines(NamedTuple):
    """The lines of a frame."""

    number: int  # one without its newline included
    longest: int  # bytes, without the newline
    objects: bool  # each line begins with `{` and ends with `}` and a newline
    escaped: bool  # escapes of JSON hide an ASCII letter, digit or sign: `\\u0041` is an A, `\\u00f6` no ASCII
    valid: bool  # UTF-8 all through


def lines(data: bytes) -> Lines:
    """Look at the lines of a frame."""
    found = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(found == _NEWLINE)
    open_line = bool(data) and not data.endswith(b"\n")
    borders = np.concatenate(([-1], ends, [len(data)] if open_line else []))
    objects = False
    if len(ends) and not open_line and found[0] == _OPEN:
        objects = bool((found[ends - 1] == _CLOSE).all() and (found[ends[:-1] + 1] == _OPEN).all())
    longest = int(np.diff(borders).max(initial=1)) - 1
    return Lines(len(ends) + open_line, longest, objects, _has_escaped_ascii(found), _is_utf8(data))


def _has_escaped_ascii(found: Bytes) -> bool:
    places = np.flatnonzero(found[:-5] == _BACKSLASH)
    for distance, byte in ((1, _U), (2, _ZERO), (3, _ZERO)):
        places = places[found[places + distance] == byte]
    digits = found[places + 4]
    return bool(((digits >= ord("2")) & (digits <= ord("7"))).any())  # below U+0020 there is nothing to search for


def _is_utf8(data: bytes) -> bool:
    """Only what is not ASCII is decoded, with the eight ASCII characters behind it."""
    if data.isascii():
        return True
    whole = np.frombuffer(data + bytes(2 * WORD_BYTES - len(data) % WORD_BYTES), np.uint64)
    asked = (whole & _HIGH_BITS) != 0
    asked[1:] |= asked[:-1]
    try:
        whole[asked].tobytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def build(data: bytes, events: int) -> Filter:
    """The filter of a frame.

    Args:
        data: its content.
        events: their number; the filter has at most EVENT_BYTES for each.
    """
    if len(data) > _MOST_BYTES:
        return Filter(b"", NO_BOUND)
    begins, ends = _tokens(data)
    if not len(begins):
        longest, hashes = MIN_TOKEN - 1, np.zeros(0, np.uint64)
    else:
        longest, hashes = min(int((ends - begins).max()), NO_BOUND - 1), _distinct(_hashes(data, begins, ends))
    size = min(events * EVENT_BYTES // BLOCK_BYTES, len(hashes) // TOKENS_PER_BLOCK + 1)
    return Filter(_blocks(hashes, size), longest)


def _tokens(data: bytes) -> tuple[Places, Places]:
    """Where runs of at least MIN_TOKEN letters and digits begin and end."""
    margin = _STEP  # on both sides, so that no run meets the border
    padded = bytes(margin) + translate(data, _IS_TOKEN) + bytes(2 * margin - len(data) % _STEP)
    inside = np.frombuffer(padded, np.uint8)
    whole = np.frombuffer(padded, np.uint32) == _WHOLE_STEP
    pairs = np.flatnonzero(whole[1:] & whole[:-1])
    if not len(pairs):
        return pairs, pairs
    gaps = np.flatnonzero(np.diff(pairs) != 1)
    begins = pairs[np.concatenate(([0], gaps + 1))] * _STEP
    ends = pairs[np.concatenate((gaps, [len(pairs) - 1]))] * _STEP + 2 * _STEP
    for _ in range(_STEP - 1):
        begins -= inside[begins - 1]
        ends += inside[ends]
    long = ends - begins >= MIN_TOKEN
    return begins[long] - margin, ends[long] - margin


def _hashes(data: bytes, begins: Places, ends: Places) -> Words:
    """`tokens.token_hash` of each token."""
    at: Words = np.ndarray((len(data) - WORD_BYTES + 1,), "<u8", data, 0, (1,))  # the eight bytes at any place
    lengths = ends - begins
    hashes = lengths.astype(np.uint64)
    for number in range(HASHED_WORDS):
        rows = np.flatnonzero(lengths >= WORD_BYTES * (number + 1))
        if not len(rows):
            break
        hashes[rows] = _mixed(hashes[rows], at[begins[rows] + WORD_BYTES * number])
    return _mixed(hashes, at[ends - WORD_BYTES])


def _mixed(hashes: Words, words: Words) -> Words:
    product = (hashes ^ (words | _LOWER_CASE)) * _MULTIPLIER
    return product ^ (product >> np.uint64(32))


def _distinct(hashes: Words) -> Words:
    """Sorted: a third of the time of `numpy.unique`."""
    found = np.sort(hashes)
    return found[np.concatenate(([True], found[1:] != found[:-1]))]


def _blocks(hashes: Words, size: int) -> bytes:
    """The blocks of a filter from distinct hashes in their order."""
    blocks = np.zeros((size, BLOCK_WORDS), "<u8")
    if size and len(hashes):
        places = ((hashes >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32)
        firsts = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
        for number in range(BLOCK_WORDS):
            first, second = (
                np.uint64(1) << ((hashes >> np.uint64(shift)) & np.uint64(63))
                for shift in (12 * number, 12 * number + 6)
            )
            blocks[places[firsts], number] = np.bitwise_or.reduceat(first | second, firsts)
    return blocks.tobytes()
