"""What the index needs of a frame's bytes, a whole frame at a time by numpy: its lines, and its id-like tokens.

A regular expression that finds tokens, and a loop that hashes them, take 3.7 µs per line of 300 bytes; this takes 0.5,
and the facts about lines 0.4 where searching and decoding took 1.4. Only what makes archives imports this module: numpy
takes 0.1 s to load and 15 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent.archive.simd import find, translate
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
    TokenFilter,
    as_read,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Steps = NDArray[np.uint32]
    Places = NDArray[np.int64]
    Words = NDArray[np.uint64]

_NEWLINE, _OPEN, _CLOSE, _BACKSLASH, _U, _ZERO = b"\n{}\\u0"
_ESCAPED_ASCII = b"\\u00"  # how its escape begins
_STEP = 4  # bytes looked at as one: any run of MIN_TOKEN holds two whole ones in a row
_WHOLE_STEP = 0x01010101
_GATHER, _GATHERED = np.uint32(1 << 24 | 1 << 17 | 1 << 10 | 1 << 3), np.uint32(24)
_AT_THE_BEGINNING = np.array([(~bits & bits + 1).bit_length() - 1 for bits in range(1 << _STEP)])  # ones in a row
_AT_THE_END = np.array([_STEP - (~bits & 15).bit_length() for bits in range(1 << _STEP)])
_HIGH_BITS = np.uint64(0x8080808080808080)
_LOWER_CASE = np.uint64(0x2020202020202020)  # makes letters small and leaves digits as they are
_MULTIPLIER = np.uint64(MULTIPLIER)
_MOST_BYTES = 4 << 20  # of a frame; a larger one is one event, whose filter would have four bytes
_IS_TOKEN = bytes(byte < 0x80 and chr(byte).isalnum() for byte in range(256))  # noqa: PLR2004 - ASCII


class LineFacts(NamedTuple):
    """The lines of a frame."""

    number: int  # one without its newline included
    longest: int  # bytes, without the newline
    objects: bool  # each line begins with `{` and ends with `}` and a newline
    escaped: bool  # escapes of JSON hide an ASCII letter, digit or sign: `\\u0041` is an A, `\\u00f6` no ASCII
    valid: bool  # UTF-8 all through


def lines(data: bytes) -> LineFacts:
    """Look at the lines of a frame."""
    found = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(found == _NEWLINE)
    open_line = bool(data) and not data.endswith(b"\n")
    borders = np.concatenate(([-1], ends, [len(data)] if open_line else []))
    objects = False
    if len(ends) and not open_line and found[0] == _OPEN:
        objects = bool((found[ends - 1] == _CLOSE).all() and (found[ends[:-1] + 1] == _OPEN).all())
    longest = int(np.diff(borders).max(initial=1)) - 1
    return LineFacts(len(ends) + open_line, longest, objects, _has_escaped_ascii(data), _is_utf8(data))


def _has_escaped_ascii(data: bytes) -> bool:
    if find(data, _ESCAPED_ASCII) < 0:
        return False
    found = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(found[:-5] == _BACKSLASH)
    for distance, byte in ((1, _U), (2, _ZERO), (3, _ZERO)):
        places = places[found[places + distance] == byte]
    digits = found[places + 4]
    return bool(((digits >= ord("2")) & (digits <= ord("7"))).any())  # below U+0020 there is nothing to search for


def _is_utf8(data: bytes) -> bool:
    """Only what is not ASCII is decoded, with the eight ASCII characters behind it."""
    if data.isascii():
        return True
    number = len(data) // WORD_BYTES
    whole = np.frombuffer(data, np.uint64, number)
    asked = (whole & _HIGH_BITS) != 0
    asked[1:] |= asked[:-1]
    try:
        (whole[asked].tobytes() + data[number * WORD_BYTES :]).decode()
    except UnicodeDecodeError:
        return False
    return True


def build(data: bytes, events: int) -> TokenFilter:
    """The filter of a frame.

    Args:
        data: its content.
        events: their number; the filter has at most EVENT_BYTES for each.
    """
    if len(data) > _MOST_BYTES:
        return TokenFilter(b"", NO_BOUND)
    if plain := as_read(data):
        data = b"%b\n%b" % (data, plain)
    begins, ends = _tokens(data)
    if not len(begins):
        longest, hashes = MIN_TOKEN - 1, np.zeros(0, np.uint64)
    else:
        longest, hashes = min(int((ends - begins).max()), NO_BOUND - 1), _distinct(_hashes(data, begins, ends))
    size = min(events * EVENT_BYTES // BLOCK_BYTES, len(hashes) // TOKENS_PER_BLOCK + 1)
    return TokenFilter(_blocks(hashes, size), longest)


def _tokens(data: bytes) -> tuple[Places, Places]:
    """Where runs of at least MIN_TOKEN letters and digits begin and end."""
    steps = np.frombuffer(translate(data, _IS_TOKEN) + bytes(2 * _STEP - len(data) % _STEP), np.uint32)
    whole = steps == _WHOLE_STEP
    paired = np.zeros(len(steps) + 1, np.bool_)
    np.logical_and(whole[1:], whole[:-1], out=paired[1:-1])
    borders = np.flatnonzero(paired[1:] != paired[:-1])
    first, behind = borders[::2], borders[1::2] + 1  # the first whole step of a run, and the one behind its last
    # Before the first step of all comes the last, of zeros: no run goes on there.
    begins = first * _STEP - _AT_THE_END[_bits(steps[first - 1])]
    ends = behind * _STEP + _AT_THE_BEGINNING[_bits(steps[behind])]
    long = ends - begins >= MIN_TOKEN
    return begins[long], ends[long]


def _bits(steps: Steps) -> Steps:
    """The four bytes of a step, 0 or 1 each, as four bits, the first one the lowest."""
    return (steps * _GATHER) >> _GATHERED


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
