"""The commented configuration and the reference say what the schema says, no more and no less."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path

import msgspec
import pytest

from agent.cli.init import configuration
from agent.config import documents
from agent.config.schema import Config, HookConfig, RuleConfig, SourceConfig, WhenConfig
from agent.install.layout import shared

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "configuration.md"


def uncommented(text):
    """The commented keys (`#key`) made real; words (`# like this`) stay."""
    return re.sub(r"^( *)#(?=\S)", r"\1", text, flags=re.MULTILINE)


def keys_of(struct, prefix=""):
    """Dotted paths of all keys below a struct, without the names of sources, rules and hooks."""
    hints = typing.get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        yield prefix + field.encode_name
        for inner in structs_in(hints[field.name]):
            yield from keys_of(inner, f"{prefix}{field.encode_name}.")


def structs_in(hint):
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and issubclass(hint, msgspec.Struct):
        return [hint] if hint.__name__.endswith("Config") else []
    return [struct for argument in typing.get_args(hint) for struct in structs_in(argument)]


def test_the_example_is_valid_as_it_is(workshop):
    config = workshop.load(shared("etc/sidelog.yaml"))
    assert [source.name for source in config.sources] == ["app"]
    assert config.store.path == Path("/var/lib/sidelog/sidelog.db")


def test_the_example_is_valid_with_everything_uncommented_and_has_every_key(workshop):
    text = uncommented(shared("etc/sidelog.yaml"))
    config = workshop.load(text)
    assert config.archive
    assert config.hooks.keys() == {"page", "chat"}
    _, lines = documents.parse(text, ".yaml", "f")
    written = {".".join(str(key) for key in path if isinstance(key, str)) for path in lines}
    written = {path.replace("hooks.page.", "hooks.").replace("hooks.chat.", "hooks.") for path in written}
    wanted = {
        key for key in keys_of(Config) if not key.startswith(("alerts.when.", "sources.multiline.", "sources.format."))
    }
    # They exclude others that are there.
    alternatives = {
        "sources.rotate.at",
        "sources.rotate.command",
        "hooks.webhook.key",
        "forward.otlp",
        "forward.headers",
    }
    assert wanted - alternatives <= written
    assert all(" instead of" in text.lower() and f"   {key.rpartition('.')[2]}: " in text for key in alternatives)


@pytest.mark.parametrize("system", [True, False])
def test_the_values_shown_are_the_defaults(workshop, system):
    shown = workshop.load(uncommented(configuration(system=True)))
    plain = workshop.load(configuration(system=system))
    assert plain.store.flush_interval == shown.store.flush_interval
    assert plain.store.retention == shown.store.retention
    assert plain.store.min_free == shown.store.min_free
    taken = {"exclude", "fields", "labels", "redact", "rotate"}  # examples of keys that are empty by default
    for name in set(SourceConfig.__struct_fields__) - taken:
        assert getattr(shown.sources[0], name) == getattr(plain.sources[0], name), name
    default = RuleConfig(name="x", when=WhenConfig(count=50))
    for name in ("window", "for_", "repeat", "severity"):
        assert getattr(shown.alerts[0], name) == getattr(default, name), name
    for name in ("timeout", "retries", "concurrency"):
        assert getattr(shown.hooks["page"], name) == getattr(HookConfig(), name), name
    assert shown.archive == msgspec.structs.replace(type(shown.archive)(), directory=shown.archive.directory)


def test_a_users_own_example_leaves_the_store_at_its_default(workshop):
    text = configuration(system=False)
    assert "  #path: /var/lib/sidelog/sidelog.db\n" in text
    assert workshop.load(text, SIDELOG_STORE__PATH="/mine.db").store.path == Path("/mine.db")


def test_every_snippet_of_the_reference_is_valid(workshop):
    snippets = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) >= 6
    for snippet in snippets:
        workshop.load(snippet)


def test_every_key_has_its_row_in_the_reference_and_every_row_a_key():
    text = REFERENCE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    written = {
        f"{section}.{key}"
        for section, body in sections.items()
        for key in re.findall(r"^\| `([a-z_.]+)` \|", body, re.MULTILINE)
    }
    assert set(sections) == set(Config.__struct_fields__)
    forms = {f"alerts.when.{name}" for name in WhenConfig.__struct_fields__}
    assert all(f"{name.rpartition('.')[2]}: " in sections["alerts"] for name in forms)
    wanted = set(keys_of(Config)) - forms - set(sections) - {"store.retention", "archive.retention"}
    assert written == wanted
