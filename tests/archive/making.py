"""Archives made in tests."""

import hashlib
from pathlib import Path

from agent.archive.container import ArchiveWriter
from agent.archive.metadata import ArchiveMetadata


def metadata(data: bytes = b"", **changes) -> ArchiveMetadata:
    facts = {
        "id": 1, "source": "app", "path": "/var/log/app.log", "sequence": 1, "created": 5, "modified": 4,
        "lines": data.count(b"\n") + (data[-1:] not in (b"", b"\n")), "raw_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    return ArchiveMetadata(**(facts | changes))


def write(path: Path, *frames: bytes, level: int = 3, **changes) -> str:
    """An archive of these frames; its link."""
    with path.open("wb") as file:
        writer = ArchiveWriter(file, level)
        for frame in frames:
            writer.add(frame, frame.count(b"\n") + (not frame.endswith(b"\n")))
        return writer.finish(metadata(b"".join(frames), **changes))
