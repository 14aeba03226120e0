"""What the index needs of a frame's bytes, a whole frame at a time: its lines, and its id-like tokens.

A regular expression that finds tokens, and a loop that hashes them, take 10 µs per line of 300 bytes. With numpy, which
the extra `fast` brings, it is 0.6 µs and without it 2.4, for the same bytes. Only what makes archives imports this:
numpy takes 0.1 s to load and 15 MB.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agent.archive.parts import id_parts
from agent.archive.tokens import BLOCK_BYTES, EVENT_BYTES, NO_BOUND, TOKENS_PER_BLOCK, TokenFilter, as_read
from agent.core.patterns import lazy
from agent.core.simd import count, find

try:
    from agent.archive.scan_numpy import NumpyTokens as FrameTokens
    from agent.archive.scan_numpy import is_utf8
except ImportError:
    from agent.archive.scan_plain import PlainTokens as FrameTokens  # type: ignore[assignment]
    from agent.archive.scan_plain import is_utf8

SHORT_LINE = (
    1800  # bytes: how short lines are is not worth to be known; what `parse.fast` asks of longer ones costs more
)
_MOST_BYTES = 4 << 20  # of a frame; a larger one is one event, whose filter would have four bytes
_CROWDED = 2  # times as many tokens as there is room for: one frame in 30 is opened in vain
_ESCAPED_ASCII = lazy(rb"\\u00[2-7].", re.DOTALL)  # below U+0020 there is nothing to search for


class LineFacts(NamedTuple):
    """The lines of a frame."""

    number: int  # one without its newline included
    longest: int  # bytes, without the newline; SHORT_LINE where none is longer
    objects: bool  # each line begins with `{` and ends with `}` and a newline
    escaped: bool  # escapes of JSON hide an ASCII letter, digit or sign: `\\u0041` is an A, `\\u00f6` no ASCII
    valid: bool  # UTF-8 all through


def lines(data: bytes) -> LineFacts:
    """Look at the lines of a frame."""
    ends = count(data, b"\n")
    open_line = bool(data) and not data.endswith(b"\n")
    objects = data.startswith(b"{") and data.endswith(b"}\n") and count(data, b"}\n{") == ends - 1
    escaped = find(data, b"\\u00") >= 0 and _ESCAPED_ASCII.search(data) is not None
    return LineFacts(ends + open_line, _longest(data), objects, escaped, data.isascii() or is_utf8(data))


def _longest(data: bytes) -> int:
    """Line ends are looked for SHORT_LINE apart, so that most of many short lines are passed over."""
    longest, at = SHORT_LINE, 0
    while len(data) - at > longest:
        end = data.rfind(b"\n", at, at + SHORT_LINE + 1)
        if end < 0:
            end = data.find(b"\n", at + SHORT_LINE + 1)
            longest = max(longest, (end if end >= 0 else len(data)) - at)
            if end < 0:
                break
        at = end + 1
    return longest


def build(data: bytes, events: int) -> TokenFilter:
    """The filter of a frame.

    Args:
        data: its content.
        events: their number; the filter has at most EVENT_BYTES for each.
    """
    if len(data) > _MOST_BYTES:
        return TokenFilter(b"", NO_BOUND, 0)
    if plain := as_read(data):
        data = b"%b\n%b" % (data, plain)
    found = FrameTokens(data)
    parts = id_parts(data, found.longest)
    longest, most = min(found.longest, NO_BOUND - 1), events * EVENT_BYTES // BLOCK_BYTES
    if found.number > _CROWDED * most * TOKENS_PER_BLOCK:
        ids = FrameTokens(data, ids_alone=True)
        if ids.number * 2 < found.number:
            found, longest = ids, NO_BOUND
    size = min(most, found.number // TOKENS_PER_BLOCK + 1)
    return TokenFilter(found.blocks(size), longest, parts.packed())
