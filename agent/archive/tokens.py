"""Which id-like tokens a frame holds: a small Bloom filter, so that a search for one id opens only its frames.

A token is a run of at least MIN_TOKEN ASCII letters and digits that is not part of a longer one: trace and request
ids, the last part of a UUID, long numbers. Case does not count. Shorter runs are mostly words, which are everywhere.

The filter is an array of blocks of four 64-bit words (a split block Bloom filter, as Parquet's); a token sets up to
two bits in each word of one of them, so that one block answers. With 16 bits per token one frame in 1,000 is opened
in vain.

Ids are hexadecimal or decimal, mostly. Where other tokens are so many that the filter says little, as the pieces of a
JWT in every line, it has the ids alone. And an id may be part of a run that is longer, of which nothing in the filter
tells; a JWT or base64 has few such digits in a row: 13 among a million characters, 9 where runs begin; `xxxxx…` none.
So a frame's shape says how long such a part can be.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from agent.core.patterns import lazy
from agent.core.simd import find

MIN_TOKEN = 12
EVENT_BYTES = 4  # of filter per event, at the most
NO_BOUND = 0xFFFF  # as the longest run: anything may be in the frame
MOST_PART = 0xFF  # a longer part counts as one of so many bytes
WORD_BYTES = 8
BLOCK_WORDS = 4
BLOCK_BYTES = BLOCK_WORDS * WORD_BYTES
TOKENS_PER_BLOCK = 16
HASHED_WORDS = 8  # of a token's beginning; of a longer one also the last
MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio (Knuth, TAOCP 6.4)
IS_TOKEN = bytes(byte < 0x80 and chr(byte).isalnum() for byte in range(256))  # noqa: PLR2004 - ASCII
ID_DIGITS = frozenset("0123456789abcdef")
IS_ID = bytes(byte < 0x80 and chr(byte).lower() in ID_DIGITS for byte in range(256))  # noqa: PLR2004 - ASCII
_64_BITS = (1 << 64) - 1
_ANY_RUN = lazy("[0-9A-Za-z]+")
_COLOUR = lazy(rb"\x1b\[[0-9;:?]{0,32}[A-Za-z]")  # as the format `text` sees through them
_QUOTE = rb"\x22"  # as nginx writes one


class TokenFilter(NamedTuple):
    """What is kept of a frame: the blocks (empty: no filter), the length of its longest run, and what its shape says of
    parts. NO_BOUND as that length: the filter may not have been shown everything; where the shape says something of
    parts, it has all ids at least.
    """

    blocks: bytes
    longest: int
    parts: int


class IdParts(NamedTuple):
    """How long a text of hexadecimal digits is, in bytes, that is part of a run and not all of it: 0 below MIN_TOKEN,
    MOST_PART at the most. Decimal ones have no bound of their own: where there are hexadecimal ids, parts of them are
    decimal, 21 digits of 7,000 ids.
    """

    longest: int
    behind_dash: int  # at the beginning of a run behind a `-`, as the last part of a UUID stands

    def packed(self) -> int:
        """As a frame's shape has them, which has further bits below."""
        return self.longest << _LONGEST | self.behind_dash << _BEHIND_DASH | HAS_PARTS


HAS_PARTS = 1 << 7
_LONGEST, _BEHIND_DASH = 8, 16  # the lowest bit of each


def token_hash(token: bytes) -> int:
    """64 bits of a token in small letters, at least eight bytes: its length and its words, multiplied in turn.

    The upper 32 bits choose the filter's block, the lower 48 the bits in it: six of them name one bit of a word.
    """
    found = len(token)
    whole = range(0, min(len(token) // WORD_BYTES, HASHED_WORDS) * WORD_BYTES, WORD_BYTES)
    for start in (*whole, len(token) - WORD_BYTES):
        word = int.from_bytes(token[start : start + WORD_BYTES], "little")
        found = (found ^ word) * MULTIPLIER & _64_BITS
        found ^= found >> 32
    return found


def _mask(hashed: int) -> int:
    """The bits of a block."""
    found = 0
    for number in range(2 * BLOCK_WORDS):
        found |= 1 << (number // 2 * 64 + (hashed >> 6 * number & 63))
    return found


def as_read(data: bytes) -> bytes:
    """Lines of text without what formats see through, colours and escaped quotes, for it hides where words begin; empty
    where there is none of it.
    """
    if find(data, b"\x1b[") >= 0:
        data = _COLOUR.sub(b"", data)
    elif find(data, _QUOTE) < 0:
        return b""
    return data.replace(_QUOTE, b'"')


class TokenProbe(msgspec.Struct, frozen=True):
    """A token that a match must hold, unless it may be part of a longer run there."""

    place: int  # 32 bits: which block
    mask: int
    length: int
    is_part: bool  # it may be
    bound: int  # of an id: where the shape of a frame has the length that a part can have; 0: it is none

    def passes(self, block: bytes, longest: int, shape: int) -> bool:
        """Whether a frame may hold the token, which has this block, a longest run of this length, and this shape."""
        if self.bound and shape & HAS_PARTS:
            if self.is_part and shape >> self.bound & MOST_PART >= min(self.length, MOST_PART):
                return True
        elif longest == NO_BOUND or (self.is_part and longest > self.length):
            return True
        return int.from_bytes(block, "little") & self.mask == self.mask


def probes(text: str, *, whole: bool) -> list[TokenProbe]:
    """What must be in a frame that holds `text`; an empty list says nothing.

    Args:
        text: the text that is looked for, in any case. Case must fold as ASCII does.
        whole: nothing but the text lies between separators, as with a field's whole value; else it may be a part of
            something longer at both ends.
    """
    found = []
    for run in _ANY_RUN.finditer(text):
        start, end = run.span()
        if end - start < MIN_TOKEN:
            continue
        # Before the run may stand the letters of an escape: JSON has \u00f6 for ö and \n for a newline.
        before = text[start - 1 : start]
        bounded = (whole or (start > 0 and end < len(text))) and (not before or " " <= before <= "~")
        token = run[0].lower()
        hashed = token_hash(token.encode())
        bound = _bound(before) if ID_DIGITS.issuperset(token) else 0
        found.append(TokenProbe(hashed >> 32, _mask(hashed), len(token), not bounded, bound))
    return found


def _bound(before: str) -> int:
    return _BEHIND_DASH if before == "-" else _LONGEST


def block_sql(column: str) -> str:
    """The SQL expression for the block of a filter in `column` that the one parameter `place` leads to: 32 bytes of a
    blob instead of all.
    """
    return f"substr({column}, 1 + {BLOCK_BYTES} * ((? * (length({column}) / {BLOCK_BYTES})) >> 32), {BLOCK_BYTES})"
