"""Formats of lines: what the configuration takes has a module, and how formats stand beside each other."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import get_args, get_type_hints

import pytest

from agent.config.schema import REGISTERED, SourceConfig
from agent.core.model import LineBatch
from agent.parse import formats
from agent.parse.decode import FileParser, join
from agent.parse.formats import Head, TextFormat, Wrapper, line_rules, text
from tests.parse.test_cases import OBSERVED
from tests.parse.test_twin import check_accounting, tailed
from tests.sources import parsing


def test_each_registered_format_has_a_module_and_each_module_is_registered():
    modules = {module.name for module in pkgutil.iter_modules(formats.__path__) if module.name[0] != "_"}
    assert modules == set(REGISTERED) - {"auto", "json"}
    for name in modules:
        assert isinstance(import_module(f"agent.parse.formats.{name}").FORMAT, Wrapper | TextFormat)


def test_the_configuration_takes_what_is_registered():
    words, _ = get_args(get_type_hints(SourceConfig)["format"])
    assert get_args(words) == REGISTERED


def test_wrappers_are_told_apart_by_their_first_byte():
    wrappers = [import_module(f"agent.parse.formats.{name}").FORMAT for name in ("docker", "cri")]
    assert len(line_rules("auto").wrappers) == sum(len(wrapper.starts) for wrapper in wrappers)


def test_a_format_that_is_not_registered_is_read_as_json_and_text():
    found = line_rules("of a later version")
    assert found.json
    assert not found.wrappers
    assert not found.only_json


def read_pairs(line: str) -> Head | None:
    """Lines such as `@ level=error user=7 text`."""
    if not line.startswith("@ "):
        return None
    pairs = dict(part.split("=", 1) for part in line.split() if "=" in part)
    message = line.rpartition(" ")[2]
    severity = 17 if pairs["level"] == "error" else 9
    return Head(None, pairs["level"], severity, "own", len(line), message, {"user": pairs["user"], "message": "not it"})


@pytest.fixture
def own_format(monkeypatch):
    """Lines of `read_pairs` before text; under `text`, and under no other name."""
    find_head = formats._first_found([TextFormat("@", read_pairs), text.FORMAT])
    own = formats.LineRules({}, wrapped=False, json=False, only_json=False, find_head=find_head, read_head=find_head)
    for user in ("settings", "decode"):
        monkeypatch.setattr(f"agent.parse.{user}.line_rules", lambda name: own if name == "text" else line_rules(name))


@pytest.mark.usefixtures("own_format")
def test_lines_that_come_late_join_an_event_of_the_format_of_its_source():
    parser = FileParser(parsing(format="text"))
    first, late = b"@ level=error user=7 failed\n", b"    at a.b.C.d(C.java:12)\n"
    parser.feed(LineBatch(tailed(), 0, first, OBSERVED))
    stored = parser.flush()
    out = parser.feed(LineBatch(tailed(), len(first), late, OBSERVED, final=True), tail_open=True)
    record, _, error = join(stored.records[0], stored.raws[0], out.continuation)
    together = FileParser(parsing(format="text")).feed(LineBatch(tailed(), 0, first + late, OBSERVED, final=True))
    assert record == together.records[0]
    assert '"user":"7"' in record
    assert error.logger == "own"


@pytest.mark.usefixtures("own_format")
@pytest.mark.parametrize("trace", [b"", b"    at a.b.C.d(C.java:12)\n"])
def test_what_a_text_format_finds_is_in_the_record(trace):
    """On the short way of a line alone, and on the long one of an event of several lines."""
    data = b"@ level=error user=7 failed\n" + trace + b"@ level=info user=8 fine\n2026-11-22 05:39:26 INFO a.b: x\n"
    out = FileParser(parsing(format="text")).feed(LineBatch(tailed(), 0, data, OBSERVED, final=True))
    assert [record.count('"message"') for record in out.records] == [1, 1, 1]
    assert '"user":"7"' in out.records[0]
    assert '"message":"failed' in out.records[0]
    assert out.severities == [17, 9, 9]
    assert out.loggers == ["own", "own", "a.b"]
    assert out.errors[0].message == "failed"
    check_accounting(data, out)
