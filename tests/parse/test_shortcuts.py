"""Every shortcut gives what the long way gives: lines alone, runs in traces, instants looked up, text or JSON."""

from __future__ import annotations

import json
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.model import LineBatch
from agent.parse import assemble, careful, multiline, textevent
from agent.parse.decode import FileParser, ParseSettings
from agent.parse.instants import timestamps
from tests.parse.effort import examples
from tests.parse.test_heads import free, shaped
from tests.parse.test_twin import OBSERVED, TIMESTAMPS, columns, configs, pieces, streams, tailed
from tests.sources import parsing

more = st.one_of(
    pieces, shaped.map(str.encode), free.map(str.encode), st.text(max_size=20).map(lambda t: b"\t" + t.encode()),
    st.sampled_from([b"2026-11-22 05:39:26 INFO a: x", b"2026-11-22 05:39:26 ERROR a: x", b"2026/11/22 05:39:26 go",
                     b"Caused by: a.b.CException: y", b"... 3 more", b"\tat a.b.C.d(C.java:12)", b"    {", b"  \x0c{}",
                     b"2026-11-22T05:39:26Z stdout F x", b"  x\r", b"true", b"12", b"-1.5e3", b"\xef\xbb\xbf  bom",
                     b"password=x", b"2026-11-22 05:39:26 INFO password: x"]),
)  # fmt: skip
contained = st.builds(
    lambda line, stream, wrap: wrap(line.decode("utf-8", "replace").replace("\n", " "), stream),
    more, st.sampled_from(["stdout", "stdout", "stderr"]),
    st.sampled_from([
        lambda text, stream: json.dumps({"log": text + "\n", "stream": stream, "time": "2026-11-22T05:39:26Z"},
                                        separators=(",", ":")).encode(),
        lambda text, stream: f"2026-11-22T05:39:26.5Z {stream} F {text}".encode(),
        lambda text, stream: f"2026-11-22T05:39:26.5Z {stream} P {text}".encode(),
        lambda text, _: text.encode(),
    ]),
)  # fmt: skip
contained_texts = st.lists(contained, max_size=30).map(lambda lines: b"".join(line + b"\n" for line in lines))
texts = st.lists(more, max_size=30).map(lambda lines: b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines))
shortcut_configs = st.one_of(
    configs,
    st.sampled_from([parsing(format="text"), parsing(redact=["password"]), parsing(format="json")]),
)


def parse(data: bytes, config: ParseSettings, *, final: bool):
    parser = FileParser(config)
    out = parser.feed(LineBatch(tailed(), 0, data, OBSERVED, final=final))
    held = parser.flush()
    return columns(out), columns(held), out.tail_open, held.tail_open, parser.profile


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(texts, texts, contained_texts, streams), shortcut_configs, st.booleans())
def test_lines_alone_and_runs_of_a_trace_give_the_same_rows(data, config, final):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textevent, "takes", lambda *_: (False, False))
        patch.setattr(textevent, "append_contained", lambda *_: False)
        patch.setattr(multiline, "take_indented", lambda *_: 0)
        patch.setattr(careful, "surely_text", lambda _: False)
        patch.setattr(multiline, "may_open_trace", lambda _: True)
        usual = parse(data, config, final=final)
    assert parse(data, config, final=final) == usual


def test_usual_text_lines_take_the_shortcut(monkeypatch):
    """Otherwise the twin would prove nothing."""
    monkeypatch.setattr(assemble.Assembler, "_line", lambda _, line, *__: taken.append(line))
    taken: list[bytes] = []
    data = b"2026-11-22 05:39:26 INFO a.b: x\n" * 10 + b"2026-11-22 05:39:26 ERROR a.b: y\n" * 5 + b"plain\n" * 5
    FileParser(parsing()).feed(LineBatch(tailed(), 0, data, OBSERVED, final=True))
    assert taken == [b"plain"]  # the last one: what follows it is not known


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except ValueError as error:
        return type(error)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.one_of(
        st.sampled_from(TIMESTAMPS),
        st.text("0123456789-/T :.,+Z[]UC", max_size=34),
        st.builds(
            lambda day, hour, rest: f"2026-{day % 14:02d}-{day:02d}T{hour:02d}:30:{day:02d}{rest}",
            st.integers(0, 61), st.integers(0, 25),
            st.sampled_from(["", "Z", ".5", ",123456789123", ".1+02:00", " -0500", "+02", ".Z", " UTC", "z", "]", " "]),
        ),
    ),
    st.sampled_from(["UTC", "Europe/Berlin"]),
)  # fmt: skip
def test_an_instant_looked_up_is_the_one_parsed(value, zone):
    instants = timestamps.Instants(ZoneInfo(zone))
    wanted = outcome(timestamps.parse, value, ZoneInfo(zone), OBSERVED)
    assert [outcome(instants.parse, value, OBSERVED) for _ in range(2)] == [wanted] * 2


def test_what_is_looked_up_is_bounded(monkeypatch):
    monkeypatch.setattr(timestamps, "_MOST_KNOWN", 2)
    instants = timestamps.Instants(UTC)
    for minute in range(5):
        assert instants.parse(f"1970-01-01 00:0{minute}:01", OBSERVED) == (60 * minute + 1) * 10**9
        assert instants.parse(f"700101 000{minute}01", OBSERVED) == (60 * minute + 1) * 10**9
    assert len(instants._minutes) <= 2
    assert len(instants._known) <= 2


@pytest.mark.parametrize("month", ["Jan", "Feb", "May", "Jun", "Jul", "Dec"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
@pytest.mark.parametrize("day", [1, 15, 22, 28])
def test_an_instant_without_a_year_is_the_last_one_that_may_be_written(month, zone, day):
    found = timestamps.parse(f"{month} {day} 05:39:26", ZoneInfo(zone), OBSERVED)
    number = 1 + "JanFebMarAprMayJunJulAugSepOctNovDec".index(month) // 3
    written = [f"{year}-{number:02d}-{day:02d} 05:39:26" for year in range(2024, 2030)]
    years = [timestamps.parse(text, ZoneInfo(zone), timestamps.MAX_NS) for text in written]
    assert found == max(year for year in years if year <= OBSERVED + 86_400 * 10**9)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.one_of(
        st.text('0123456789-+.eE ,:/T[]"ftnull{}', max_size=12).map(str.encode), st.binary(max_size=6),
        st.sampled_from([b"-Infinity", b"-Inf", b"[" * 5000, b"[" * 50 + b"x", b"1.5", b"true ", b"\t0", b'"a" ',
                         b"1 2", b"1e5", b"nul"]),
    )
)  # fmt: skip
def test_what_is_surely_text_is_no_json(line):
    if line.lstrip(b" \t\r\n")[:1] in {bytes([n]) for n in b'"-0123456789[tfn'} and careful.surely_text(line):
        with pytest.raises(careful.NotAnObjectError, match=r"^not JSON"):
            careful.read_object(line)


@pytest.mark.parametrize(("lines", "noticed"), [(1, True), (3, True), (4, False), (40, False)])
def test_a_key_that_comes_twice_is_noticed_in_batches_of_up_to_three_lines(lines, noticed):
    parser = FileParser(parsing())
    first = b'{"timestamp":1795325966,"level":"info","a":1}\n' * 40
    parser.feed(LineBatch(tailed(), 0, first, OBSERVED))
    twice = b'{"timestamp":1795325966,"level":"info","a":1,"a":2}\n' * lines
    out = parser.feed(LineBatch(tailed(), len(first), twice, OBSERVED))
    assert out.parse_errors == (dict.fromkeys(range(lines), "duplicate key 'a'") if noticed else {})
    assert [original_of(record, out.raws.get(row)) + b"\n" for row, record in enumerate(out.records)] == [
        twice[: len(twice) // lines]
    ] * lines
