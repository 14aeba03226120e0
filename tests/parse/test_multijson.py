"""Objects over several lines are what the same object is in one line, and what only looks like one is what it was."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.fields import load_record
from agent.parse.decode import FileParser
from agent.parse.multijson import Scan
from tests.parse.effort import examples
from tests.parse.test_twin import check_accounting, columns, parse_once, run_split
from tests.sources import parsing

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
objects = st.dictionaries(
    st.sampled_from(["time", "level", "msg", "a", "é", '"', "\\"]), values, min_size=1, max_size=5
)
styles = st.sampled_from([{"indent": 2}, {"indent": "\t"}, {"indent": 0}, {"indent": 1, "separators": (",", " : ")}])


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(objects, min_size=1, max_size=4), styles, st.booleans(), st.lists(st.integers(0, 600), max_size=4))
def test_printed_over_lines_is_printed_in_one(found, style, ascii_only, cuts):
    pretty = "".join(json.dumps(one, ensure_ascii=ascii_only, **style) + "\n" for one in found).encode(
        "utf-8", "replace"
    )
    plain = "".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in found).encode("utf-8", "replace")
    several, one_line = parse_once(pretty), parse_once(plain)
    assert several.severities == one_line.severities
    assert several.loggers == one_line.loggers
    assert list(map(load_record, several.records)) == list(map(load_record, one_line.records))
    check_accounting(pretty, several)
    assert run_split(pretty, cuts, parsing()) == run_split(pretty, [], parsing())


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(objects, min_size=1, max_size=5), st.sampled_from(["[\n{0}\n]\n", "[{0}]\n", "[\n  {0}\n]\n"]))
def test_elements_of_an_array_are_events(found, around):
    data = around.format(",\n".join(map(json.dumps, found))).encode()
    out = parse_once(data)
    assert [load_record(record) for record in out.records] == found
    check_accounting(data, out)


@settings(max_examples=examples(100), deadline=None)
@given(objects, styles)
def test_a_scan_ends_with_the_object_and_refuses_another(found, style):
    scan = Scan()
    lines = json.dumps(found, **style).encode().split(b"\n")
    for line in lines:
        assert not scan.done
        assert scan.add(line)
    assert scan.done
    assert not scan.add(b"{")


@pytest.mark.parametrize("line", [b'{"a":[', b"{", b'"a":{', b"[", b"[{", b'{"a":1,', b",", b'{"a":"', b"\x1e{"])
def test_lines_that_never_end_an_object_take_linear_time(line):
    def took(count: int) -> float:
        data = (line + b"\n") * count
        parser = FileParser(parsing())
        began = time.process_time()
        out = parse_once(data, parser)
        assert out.end == len(data)
        return time.process_time() - began

    took(100)
    assert took(8_000) < 40 * max(took(1_000), 0.005)


def test_the_same_object_alone_in_a_file_of_text():
    data = b'2026-11-22 05:39:26 INFO a\n{\n"level": "error",\n"msg": "m"\n}\n2026-11-22 05:39:27 INFO b\n'
    out = parse_once(data)
    assert out.severities == [9, 17, 9]
    assert columns(out) == columns(parse_once(data))
