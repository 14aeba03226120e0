"""Each key has one default, in the schema; the documentation and the commented example name the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.config.schema import (
    ArchiveConfig,
    ArchiveRetentionConfig,
    BatchConfig,
    Config,
    EngineConfig,
    ForwardConfig,
    HoldConfig,
    HookConfig,
    HttpConfig,
    MultilineConfig,
    RetentionConfig,
    RotateConfig,
    RuleConfig,
    SignalConfig,
    SourceConfig,
    StoreConfig,
    WebhookConfig,
)
from agent.core import units
from agent.parse.settings import ParseSettings
from agent.tail.discover import SourceSettings

REFERENCE = Path(__file__).parents[2] / "docs" / "configuration.md"
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "store": StoreConfig,
    "store.retention": RetentionConfig,
    "sources": SourceConfig,
    "sources.multiline": MultilineConfig,
    "sources.rotate": RotateConfig,
    "sources.rotate.signal": SignalConfig,
    "archive": ArchiveConfig,
    "archive.retention": ArchiveRetentionConfig,
    "alerts": RuleConfig,
    "hooks": HookConfig,
    "hooks.webhook": WebhookConfig,
    "http": HttpConfig,
    "forward": ForwardConfig,
    "forward.batch": BatchConfig,
    "forward.hold": HoldConfig,
    "engine": EngineConfig,
}


def documented():
    """(section, key, default) of the rows of the reference whose default is a value in backticks."""
    text = REFERENCE.read_text(encoding="utf-8")
    for section, body in re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
        for path, default in re.findall(r"^\| `([a-z_.]+)` \| `([^`]*)` \|", body, re.MULTILINE):
            inner, _, key = f"{section}.{path}".rpartition(".")
            yield inner, key, default


def read(struct, key, text):
    """A default of the reference as the schema would hold it."""
    field = next(field for field in msgspec.structs.fields(struct) if field.encode_name == key)
    for parse in (units.parse_seconds, units.parse_size):
        try:
            return field.default, parse(text)
        except ValueError:
            continue
    words: dict[str, Any] = {"true": True, "false": False}
    return field.default, words.get(text, int(text) if text.isdigit() else text)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference is not part of an installation")
def test_the_reference_names_the_defaults_of_the_schema():
    rows = list(documented())
    wrong = []
    for section, key, text in rows:
        default, told = read(SECTIONS[section], key, text)
        if default != told:
            wrong.append((section, key, text, default))
    assert wrong == []
    assert len(rows) > 25


def test_what_a_room_is_told_has_no_defaults_of_its_own():
    """Else a key would have two, of which a change reaches one."""
    for settings in (ParseSettings, SourceSettings):
        assert settings.__struct_defaults__ == (), settings


def test_the_settings_of_rooms_are_those_of_the_configuration():
    source = SourceConfig(name="app", include=["/x"])
    tailed, parsed = SourceSettings.from_source(source, 0.1), ParseSettings.from_source(source)
    assert tailed.look_interval_s == 0.1
    assert tailed.max_line == parsed.max_line_bytes == source.max_line
    assert parsed.multiline_timeout_s == MultilineConfig(start="x").timeout
    assert (parsed.format, parsed.timezone, parsed.multiline) == (source.format, source.timezone, source.multiline)


def test_archives_lie_beside_the_store_unless_they_are_told_where():
    beside = Config(store=StoreConfig(path=Path("/s/a.db")))
    assert beside.archive_directory == Path("/s/archive")
    told = msgspec.structs.replace(beside, archive=ArchiveConfig(directory=Path("/far")))
    assert told.archive_directory == Path("/far")
