"""What is compiled or remembered about records: which paths cannot be read together, and bounds of the memory."""

from __future__ import annotations

import json

import msgspec
import pytest

from agent.core.fields import Profile
from agent.parse import fields
from agent.parse.decode import FileParser
from agent.parse.decoders import compiled_columns
from agent.parse.fields import Shapes
from tests.parse.test_twin import careful, columns, parse_once
from tests.sources import parsing

NOTHING = ((), (), ())


@pytest.mark.parametrize(
    ("own", "known"),
    [
        ((("timestampSeconds",), None, None), NOTHING),
        ((("log",), ("log", "level"), None), NOTHING),
        ((("log", "time"), ("log",), None), NOTHING),
        ((("time",), ("level",), None), ((("level", "at"), ("time",)), (), ())),
        ((("time",), ("level",), None), ((("level",), ("time",)), (), ())),
        ((('a"b',), ("level",), None), NOTHING),
        ((("time",), None, None), ((), (("a", "b\\c"),), ())),
    ],
)
def test_paths_that_cross_or_cannot_be_named_are_not_compiled(own, known):
    assert compiled_columns(own, known, frozenset(), "") is None


def test_what_lies_below_a_name_that_counts_before_is_forbidden_with_it():
    found = compiled_columns((("time",), None, None), ((("at",), ("at", "s"), ("time",)), (), ()), frozenset(), "")
    assert found is not None
    line = found.decoder.decode(b'{"time":1,"at":null}')
    assert [getter(line) for getter in found.getters["timestamp"]] == [1]
    with pytest.raises(msgspec.ValidationError):
        found.decoder.decode(b'{"time":1,"at":{"s":2}}')


@pytest.mark.parametrize("names", [{"timestamp": "log", "severity": "log.level"}, {"timestamp": "timestampSeconds"}])
def test_a_file_whose_paths_cannot_be_compiled_is_read_line_by_line(names):
    config = parsing(fields=names)
    record = {"log": 1795325966, "timestampSeconds": 1795325966, "timestampNanos": 7, "level": "error", "message": "m"}
    data = json.dumps(record).encode() + b"\n"
    parser = FileParser(config)
    out = parse_once(data * 40, parser)
    assert columns(out) == columns(careful(data * 40, parser.profile, config))
    assert {instant // 10**9 for instant in out.timestamps} == {1795325966}


def test_shapes_of_many_or_wide_records_are_not_kept(monkeypatch):
    monkeypatch.setattr(fields, "_MOST_SHAPES", 3)
    paths = {role: ((role,),) for role in ("timestamp", "severity", "logger", "message", "service")}
    known = Shapes(paths, Profile())
    for number in range(10):
        assert known.of({"message": "m", f"key{number}": 1}).message == (("message",),)
    assert len(known._shapes) <= 3
    wide = {f"key{number}": 1 for number in range(200)}
    assert known.of({**wide, "logger": "l"}).logger == (("logger",),)
    assert all(len(keys) < 200 for keys in known._shapes)
