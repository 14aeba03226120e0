"""What each stage is told of the configuration: a stage knows its own settings, not the whole document."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import orjson

from agent.intake import IngestSettings
from agent.parse.decode import ParseSettings
from agent.tail.settings import SourceSettings

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config import Config


def tail_settings(config: Config) -> list[SourceSettings]:
    """Which files each source takes."""
    return [
        SourceSettings(
            name=source.name,
            include=tuple(source.include),
            exclude=tuple(source.exclude),
            start=source.start,
            max_line=source.max_line,
        )
        for source in config.sources
    ]


def parse_settings(config: Config) -> dict[str, ParseSettings]:
    """How the lines of each source are read, by its name."""
    return {source.name: ParseSettings.from_source(source) for source in config.sources}


def resources(config: Config) -> dict[str, str]:
    """The resource attributes of each source's events, as JSON objects, by its name."""
    host = socket.gethostname()
    return {source.name: orjson.dumps({"host.name": host, **source.labels}).decode() for source in config.sources}


def ingest_settings(config: Config) -> IngestSettings:
    """How lines are stored, and for how long."""
    store = config.store
    return IngestSettings(
        parse=parse_settings(config),
        resources=resources(config),
        flush_interval_s=store.flush_interval,
        min_free_bytes=store.min_free,
        retention_age_ns=None if store.retention.age is None else int(store.retention.age * 1e9),
        retention_size_bytes=store.retention.size,
    )


def archive_directory(config: Config) -> Path:
    """Where the archives lie, or would."""
    named = config.archive.directory if config.archive is not None else None
    return named or config.store.path.parent / "archive"
