"""Whether logs could be rotated as the configuration says: rights, pidfiles, commands. Changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.readiness import ok, warning, writable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.cli.readiness import Finding
    from agent.config import Config, RotateConfig
    from agent.tail.discover import Scan


def rotation(config: Config, scan: Scan) -> Iterator[Finding]:
    """Findings about each source that has `rotate`.

    Args:
        config: valid.
        scan: what the sources match.
    """
    for index, source in enumerate(config.sources):
        if source.rotate is None:
            continue
        place = f"sources[{index}].rotate"
        folders = {os.path.dirname(found.path) for found in scan.files if found.source.name == source.name}  # noqa: PTH120
        closed = [folder for folder in sorted(folders) if writable(place, Path(folder), "SL820").level != "ok"]
        if closed:
            hint = "let the agent's user write there; docs/rotation.md says how in the service"
            yield warning("SL820", place, f"{', '.join(closed)} cannot be written: no log there can be renamed", hint)
        else:
            yield ok(place, "the directories of its logs can be written")
        for key in ("signal", "command"):
            if getattr(source.rotate, key) is not None:
                yield _telling(f"{place}.{key}", source.name, source.rotate)


def _telling(place: str, source: str, rotate: RotateConfig) -> Finding:
    from agent.rotate.errors import RotateError
    from agent.rotate.telling import prepare

    try:
        prepare(source, rotate).close()
    except RotateError as error:
        return warning(error.code, place, error.message, error.hint)
    return ok(place, "the application can be told")
