"""Which id-like tokens a frame holds: a small Bloom filter, so that a search for one id opens only its frames.

A token is a run of at least MIN_TOKEN ASCII letters and digits that is not part of a longer one: trace and request
ids, the last part of a UUID, long numbers. Case does not count. Shorter runs are mostly words, which are everywhere.

Finding them by a regular expression over all characters costs 9 µs per line of 300 bytes. Here every letter and digit
is first turned into one and the same byte, so that the expression begins with a literal: a third of that.

The filter is an array of 64-bit words; a token sets up to four bits in one of them, so that one word answers. With
16 bits per token one frame in 200 is opened in vain.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import NamedTuple

MIN_TOKEN = 12
EVENT_BYTES = 4  # of filter per event, at the most
NO_BOUND = 0xFFFF  # as `longest`: anything may be in the frame
_WORD_BYTES = 8
_TOKENS_PER_WORD = 4
_MOST_WORDS = 1 << 20
_CLASSES = bytes(0x61 if byte < 0x80 and chr(byte).isalnum() else 0x20 for byte in range(256))  # noqa: PLR2004 - ASCII
_RUN = re.compile(b"(" + b"a" * MIN_TOKEN + b"a*)")
_ANY_RUN = re.compile("[0-9A-Za-z]+")
_ESCAPE = b"\\u00"  # JSON's way to write a character below U+0100
_ASCII_DIGITS = frozenset(b"%d" % digit for digit in range(2, 8))  # below U+0020 there is nothing to search for


class Filter(NamedTuple):
    """What is kept of a frame: the words (empty: no filter) and the length of its longest run, NO_BOUND where the
    filter may not have been shown everything.
    """

    words: bytes
    longest: int


def build(data: bytes, events: int) -> Filter:
    """The filter of a frame.

    Args:
        data: its content.
        events: their number; the filter has at most EVENT_BYTES for each.
    """
    parts = _RUN.split(data.translate(_CLASSES))  # what is between runs, and runs: a third of the time of finditer
    lengths = list(map(len, parts))
    longest = min(max(lengths[1::2], default=MIN_TOKEN - 1), NO_BOUND - 1)
    places = list(accumulate(lengths))
    if has_escaped_ascii(data):
        longest = NO_BOUND
    tokens = {data[start:end] for start, end in zip(places[::2], places[1::2], strict=False)}
    size = min(events * EVENT_BYTES // _WORD_BYTES, len(tokens) // _TOKENS_PER_WORD + 1, _MOST_WORDS)
    if not size:
        return Filter(b"", longest)
    words, masks = [0] * size, _masks()
    for hashed in map(zlib.crc32, map(bytes.lower, tokens)):
        words[hashed * size >> 32] |= masks[hashed & 0xFFFF]
    return Filter(b"".join([word.to_bytes(_WORD_BYTES, "little") for word in words]), longest)


def _mask(number: int) -> int:
    """Up to four bits of a word, from the lower 16 bits of a token's hash; its upper bits choose the word."""
    third, fourth = number * 0x9E37 >> 10, number * 0x85EB >> 9
    return 1 << (number & 63) | 1 << (number >> 6 & 63) | 1 << (third & 63) | 1 << (fourth & 63)


@cache
def _masks() -> list[int]:
    """All masks: made once by a process that makes filters, for looking one up is a quarter of making it."""
    return list(map(_mask, range(1 << 16)))


def has_escaped_ascii(data: bytes) -> bool:
    r"""Whether escapes of JSON hide an ASCII letter, digit or sign somewhere: `\u0041` is an A, `\u00f6` no ASCII.

    A loop over `find` takes 0.1 ms per MiB where a regular expression takes 1 ms.
    """
    place = data.find(_ESCAPE)
    while place >= 0:
        if data[place + len(_ESCAPE) : place + len(_ESCAPE) + 1] in _ASCII_DIGITS:
            return True
        place = data.find(_ESCAPE, place + 6)
    return False


@dataclass(frozen=True, slots=True)
class Probe:
    """A token that a match must hold, if no run of the frame is longer than `unless_longer` (None: in any case)."""

    place: int  # 32 bits: which word
    mask: int
    unless_longer: int | None

    def passes(self, word: bytes, longest: int) -> bool:
        """Whether a frame with this word, and this longest run, may hold the token."""
        if longest == NO_BOUND or (self.unless_longer is not None and longest > self.unless_longer):
            return True
        return int.from_bytes(word, "little") & self.mask == self.mask

    def may_be_in(self, filter_: Filter) -> bool:
        """The same for a whole filter."""
        size = len(filter_.words) // _WORD_BYTES
        if not size:
            return True
        start = (self.place * size >> 32) * _WORD_BYTES
        return self.passes(filter_.words[start : start + _WORD_BYTES], filter_.longest)


def probes(text: str, *, whole: bool) -> list[Probe]:
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
        bounded = whole or (start > 0 and end < len(text))
        hashed = zlib.crc32(run[0].lower().encode())
        found.append(Probe(hashed, _mask(hashed & 0xFFFF), None if bounded else end - start))
    return found


def word_sql(column: str) -> str:
    """The SQL expression for the word of a filter in `column` that the one parameter `place` leads to: eight bytes of
    a blob instead of all.
    """
    return f"substr({column}, 1 + {_WORD_BYTES} * ((? * (length({column}) / {_WORD_BYTES})) >> 32), {_WORD_BYTES})"
