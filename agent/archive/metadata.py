r"""What an archive says of itself, so that the index can be made again from the files alone: a skippable frame.

    magic 0x184D2A51, size, b"sidelog\0", the SHA-256 of what follows, and the JSON of `ArchiveMetadata`

That SHA-256 is the archive's link: the next archive of the same source names it, so that none can be changed or taken
out unnoticed.
"""

from __future__ import annotations

import msgspec

from agent.archive import seekable
from agent.core.simd import sha256
from agent.store.archives import ChainEntry  # noqa: TC001 - msgspec looks at it

VERSION = 1
REDACTED_VERSION = (
    2  # of a log whose source has `redact`: programs before it took each place in an archive for the log's
)
METADATA_MAGIC = 0x184D2A51
MOST_METADATA_BYTES = 1 << 20
_SIGNATURE = b"sidelog\0"
_LINK_BYTES = 32


class MetadataError(ValueError):
    """The frame says nothing of an archive, or not what was written."""


class ArchiveMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an archive says of itself, so that the index can be made again from the files alone."""

    version: int = VERSION
    id: int
    source: str
    path: str  # under which the log was followed (agent.core.text.to_text)
    file_id: int | None = None  # of the store's table `files`; None: it was never followed
    sequence: int  # 1 for the first archive of the source
    previous: str = ""  # link of the source's archive before this, hexadecimal
    created: int  # Unix ns
    modified: int  # Unix ns: when the log was last written
    lines: int
    raw_bytes: int
    sha256: str  # of the content, which is the log, or the redacted log; hexadecimal
    resource: str = "{}"
    profile: str | None = None
    settings: dict[str, object] = {}  # how its lines are parsed
    replaces: tuple[ChainEntry, ...] = ()  # their content is the beginning of this one's
    redacted: tuple[str, ...] = ()  # the keys whose values were replaced; these five are of version 2
    log_bytes: int = 0  # of the log itself
    positions: str = ""  # SHA-256 of all frames of positions, hexadecimal
    first_seen: int | None = None  # Unix ns: of the file generation, whose bytes cannot be compared with these


encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(ArchiveMetadata)


def encode_metadata(metadata: ArchiveMetadata) -> tuple[bytes, str]:
    """The skippable frame, and the archive's link."""
    said = encoder.encode(metadata)
    link = sha256(said)
    return seekable.skippable(_SIGNATURE + link + said, METADATA_MAGIC), link.hex()


def decode_metadata(frame: bytes) -> tuple[ArchiveMetadata, str]:
    """What a skippable frame says, and the archive's link.

    Raises:
        MetadataError: it is none, was altered, or cannot be read.
    """
    begin = seekable.HEADER_BYTES + len(_SIGNATURE)
    if len(frame) <= begin + _LINK_BYTES:
        frame = b""
    if frame[:begin] != seekable.skippable(frame[seekable.HEADER_BYTES :], METADATA_MAGIC)[:begin] or (
        frame[begin - len(_SIGNATURE) : begin] != _SIGNATURE
    ):
        raise MetadataError("it says nothing of its origin: sidelog did not make it")
    said, link = frame[begin + _LINK_BYTES :], frame[begin : begin + _LINK_BYTES]
    if sha256(said) != link:
        raise MetadataError("what it says of itself was altered")
    try:
        return _decoder.decode(said), link.hex()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MetadataError(f"what it says of itself cannot be read ({error})") from None
