"""The tokens of a frame without numpy: numbers of Python in which many tokens lie side by side, in place of arrays.

A number of 100,000 digits is multiplied, shifted and masked at a few nanoseconds for eight bytes, where a loop takes
300 for each token. A *lane* is the part of such a number that belongs to one token; a mask cuts off what an operation
has moved into the neighbour.
"""

from __future__ import annotations

from array import array

from agent.archive.tokens import BLOCK_BYTES, HASHED_WORDS, ID_DIGITS, IS_TOKEN, MIN_TOKEN, MULTIPLIER, WORD_BYTES
from agent.core.simd import find, translate

_LOWER_CASE = bytes(byte | 0x20 for byte in range(256))  # makes letters small and leaves digits as they are
_RUN = b"\1" * MIN_TOKEN
_ID_DIGITS = "".join(ID_DIGITS).encode()
_WORD = (1 << 64) - 1
_HALF = (1 << 32) - 1
_MOST_HASHED = (HASHED_WORDS + 1) * WORD_BYTES  # bytes of a token: its beginning, and its last word
_BITS = 8 * BLOCK_BYTES  # of a block, one of which a byte can name
_BITS_OF_WORDS = 0xC0C0_8080_4040_0000  # the first bit of the word that each of a token's eight bits is in
_NEIGHBOUR = bytes(byte ^ 1 for byte in range(_BITS))


class PlainTokens:
    """The distinct tokens of a frame, as what is kept of them."""

    def __init__(self, data: bytes, *, ids_alone: bool = False) -> None:
        groups: dict[int, list[bytes]] = {}
        for token in set(_tokens(data)):
            if ids_alone and token.translate(None, _ID_DIGITS):
                continue
            if len(token) not in groups:
                groups[len(token)] = []
            groups[len(token)].append(token)
        self.longest = max(groups, default=MIN_TOKEN - 1)  # bytes
        self._hashes = b"".join(_hashes(tokens, length) for length, tokens in groups.items())
        self.number = len(self._hashes) // WORD_BYTES

    def blocks(self, size: int) -> bytes:
        """The filter of so many blocks."""
        members = [array("Q") for _ in range(size)]
        if size:
            for place, bits in zip(*_places_and_bits(self._hashes, size), strict=True):
                members[place].append(bits)
        # Of each block a table of its bits, in which a bit that is set has its neighbour's number in place of its own.
        named = map(array.tobytes, members)
        tables = b"".join(bytes.maketrans(bits, bits.translate(_NEIGHBOUR)) for bits in named)
        flags = int.from_bytes(tables, "little") ^ int.from_bytes(bytes(range(_BITS)) * size, "little")
        for shift in (7, 14, 28):  # the lowest bits of eight bytes go into the first of them
            flags |= flags >> shift
        return flags.to_bytes(size * _BITS, "little")[::8]


def is_utf8(data: bytes) -> bool:
    """Whether these bytes are text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _tokens(data: bytes) -> list[bytes]:
    """Runs of at least MIN_TOKEN letters and digits, in small letters."""
    marks, text = translate(data, IS_TOKEN) + b"\0", translate(data, _LOWER_CASE)
    found: list[bytes] = []
    add, end_of, end = found.append, marks.index, 0
    while (begin := find(marks, _RUN, end)) >= 0:
        end = end_of(0, begin)
        add(text[begin:end])
    return found


def _hashes(tokens: list[bytes], length: int) -> bytes:
    """`tokens.token_hash` of distinct tokens of one length."""
    if length > _MOST_HASHED:
        tokens = [token[: _MOST_HASHED - WORD_BYTES] + token[-WORD_BYTES:] for token in tokens]
    held = min(length, _MOST_HASHED)
    lane = max(2, -(-held // WORD_BYTES)) * WORD_BYTES  # two words at least: a product has as many
    words = int.from_bytes(bytes(lane - held).join(tokens), "little")
    low_word, low_half = _repeated(_WORD, lane, len(tokens)), _repeated(_HALF, lane, len(tokens))
    found = _repeated(length, lane, len(tokens))
    whole = range(0, min(length // WORD_BYTES, HASHED_WORDS) * WORD_BYTES, WORD_BYTES)
    for start in (*whole, held - WORD_BYTES):
        found = (found ^ words >> 8 * start & low_word) * MULTIPLIER & low_word
        found ^= found >> 32 & low_half
    return memoryview(found.to_bytes(lane * len(tokens), "little")).cast("Q")[:: lane // WORD_BYTES].tobytes()


def _places_and_bits(hashes: bytes, size: int) -> tuple[list[int], list[int]]:
    """For each hash which block it is in, and in eight bytes of a number the bits of it."""
    number = len(hashes) // WORD_BYTES

    def lanes(value: int) -> int:
        return _repeated(value, WORD_BYTES, number)

    def listed(value: int) -> list[int]:
        return memoryview(value.to_bytes(len(hashes), "little")).cast("Q").tolist()

    found, low_half = int.from_bytes(hashes, "little"), lanes(_HALF)
    places = (found >> 32 & low_half) * size >> 32 & low_half
    # 48 bits, then twice 24, four times 12, and eight times 6, each at the beginning of its byte
    for low, width, step in (
        (0x0000_0000_00FF_FFFF, 24, 8),
        (0x0000_0FFF_0000_0FFF, 12, 4),
        (0x003F_003F_003F_003F, 6, 2),
    ):
        found = found & lanes(low) | (found & lanes(low << width)) << step
    return listed(places), listed(found | lanes(_BITS_OF_WORDS))


def _repeated(value: int, lane: int, times: int) -> int:
    """A number that has a value in each of its lanes, of so many bytes."""
    return int.from_bytes(value.to_bytes(lane, "little") * times, "little")
