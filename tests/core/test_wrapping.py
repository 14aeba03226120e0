"""Lines of container runtimes come back byte for byte of what is kept of them, which is little."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.wrapping import Wrapped, code_of, lines_of
from tests.parse.test_streams import parse

TIMES = st.builds(
    "{}T{}{}{}".format,
    st.sampled_from(["2026-11-22", "1970-01-01", "2116-02-20", "2024-02-29", "2023-02-29", "1969-12-31", "9999-12-31"]),
    st.sampled_from(["05:39:26", "00:00:00", "23:59:60", "24:00:00"]),
    st.sampled_from(["", ".1", ".123456789", ".000000000", ".000000001", ".1234567890"]),
    st.sampled_from(["Z", "+00:00", "-00:00", "+05:30", "-12:00", "+14:00", "+05:45", "+15:59", "+23:30", "+99:00"]),
)
BODIES = st.one_of(
    st.text(max_size=20), st.binary(max_size=6).map(lambda data: data.decode("utf-8", "replace")),
    st.sampled_from(['{"a":1}', "{}", "{ }", '{"a":1 }', '{"log.iostream":"x"}', '{"a":"<&>"}', "\u2028\u2029", "a\r",
                     "a\nb", "2026-11-22 05:39:26 INFO a: b", "tab\tand \x1b[31m\x7f", "ERROR: no", "\ufeff{}", "  x",
                     '{"a":1,"a":2}']),
)  # fmt: skip


def go(text: str) -> str:
    """A string of JSON as Docker writes it."""
    plain = json.dumps(text, ensure_ascii=False).replace("\\t", "\\u0009").replace("\\b", "\\u0008")
    found = plain.replace("\\f", "\\u000c")
    for character in "<>&\u2028\u2029":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return found


FORMS = {
    "cri": lambda text, time, tag: f"{time} stderr {tag} {text}",
    "go": lambda text, time, tag: f'{{"log":{go(text + chr(10) * (tag == "F"))},"stream":"stderr","time":"{time}"}}',
    "compact": lambda text, time, tag: json.dumps(
        {"log": text + "\n" * (tag == "F"), "stream": "stderr", "time": time}, ensure_ascii=False, separators=(",", ":")
    ),
    "spaced": lambda text, time, tag: json.dumps({"log": text + "\n" * (tag == "F"), "stream": "stderr", "time": time}),
    "others": lambda text, time, tag: json.dumps({"stream": "stderr", "log": text + "\n", "time": time}),
    "attrs": lambda text, time, tag: json.dumps({"log": text + "\n", "stream": "stderr", "time": time, "attrs": {}}),
}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(FORMS)), BODIES, TIMES, st.sampled_from("FFP")), min_size=1, max_size=6),
    st.sampled_from(["", "\r"]),
)
@example([("go", "a\\tb <\t>", "2026-11-22T05:39:26.5Z", "F")], "")
def test_lines_come_back_as_they_were(lines, end):
    rows = [
        FORMS[form](text if form != "cri" else text.replace("\n", " "), time, tag) for form, text, time, tag in lines
    ]
    data = "".join(row + end + "\n" for row in rows).encode("utf-8", "replace")
    out = parse(data)
    held = b"".join(original_of(record, out.raws.get(row)) + b"\n" for row, record in enumerate(out.records))
    gaps = sum(gap.end - gap.start for gap in out.gaps)
    assert len(held) + out.blank_bytes + gaps == len(data)
    if not gaps and not out.blank_bytes:
        assert held == data
        assert (
            b"".join(original_of(record.encode(), out.raws.get(row)) + b"\n" for row, record in enumerate(out.records))
            == data
        )


@pytest.mark.parametrize("form", ["cri", "go", "compact", "spaced"])
@pytest.mark.parametrize(
    "time", ["2026-11-22T05:39:26.123456789Z", "2026-11-22T05:39:26.1Z", "2026-11-22T05:39:26+01:00"]
)
@pytest.mark.parametrize("text", ['{"level":"info","message":"m"}', "plain text"])
def test_of_a_usual_line_only_its_time_is_kept(form, time, text):
    data = (FORMS[form](text, time, "F") + "\n").encode()
    out = parse(data)
    assert len(out.raws[0]) == 13
    assert original_of(out.records[0], out.raws[0]) + b"\n" == data


@pytest.mark.parametrize("form", ["cri", "go", "compact", "spaced"])
def test_of_several_lines_the_text_is_kept_once(form):
    time = "2026-11-22T05:39:26.123456789Z"
    texts = ["Traceback (most recent call last):", '  File "x.py", line 3, in f', "ValueError: bad"]
    data = "".join(FORMS[form](text, time, "F") + "\n" for text in texts).encode()
    out = parse(data)
    assert len(out) == 1
    assert len(out.raws[0]) < len("\n".join(texts)) + 20 * len(texts)
    parts = "".join(FORMS[form](text, time, tag) + "\n" for text, tag in (('{"a":"' + "x" * 99, "P"), ('b"}', "F")))
    out = parse(parts.encode())
    assert len(out.raws[0]) < 50
    assert original_of(out.records[0], out.raws[0]) + b"\n" == parts.encode()


def test_what_comes_back_otherwise_has_no_code():
    part = Wrapped(b"\xff", "stdout", "2026-11-22T05:39:26Z", partial=False)
    record = '{"message":"\\\\xff","log.iostream":"stdout"}'
    raw = b"2026-11-22T05:39:26Z stdout F \xff"
    assert code_of(raw, record, [part]) is None
    assert code_of(raw + b"\r", record, [part]) is None
    assert code_of(raw, "{}", [part]) is None
    assert code_of(raw, record, [part, part]) is None
    assert code_of(raw + b"\n" + raw, record, [part, part._replace(time="yesterday")]) is None
    good = Wrapped(b"x", "stdout", "2026-11-22T05:39:26Z", partial=False)
    code = code_of(b"2026-11-22T05:39:26Z stdout F x", record, [good])
    assert code is not None
    assert code.endswith("x")
    assert lines_of(code, record) == b"2026-11-22T05:39:26Z stdout F x"
