"""No value of a redacted key reaches a record, the original bytes, a sample or what grouping gets, whatever its way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.event import REDACTED, original_of
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser, join
from agent.parse.redact import Redactor
from tests.sources import parsing

CANARY = "hunter2"
SETTINGS = parsing(redact=["password", "schlüssel"])
PIECES = [
    "password", "PassWord", "pas\u017fword", "api-key", "s\u0131i", "S\u212ai", "ski", "SK\u0130", "schl\u00fcssel",
    "SCHL\u00dcSSEL", "pass", "word", "=", ": ", '"', "x", " ", "\\u0070", "{", "}", ",", "\u00f6", "\u00a0", "\n",
    '{"A":[115,107,105,61,49]}', '"B"', "[115,107,105,61,49]", "[115,107,105,61,49,",
]  # fmt: skip
HEAD = b"2026-11-22 05:39:26,123 ERROR a.b: failed\n"


def batch(data: bytes, offset: int = 0, **more) -> LineBatch:
    return LineBatch(FileGeneration(1, "s", "/p", 0, 0, 0), offset, data, 1_795_327_455 * 10**9, **more)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        b"  password=hunter2",
        b'    login(user, password="hunter2")',
        b"PayError: refused password: 'hunter2'",
        b'  {\\"password\\": \\"hunter2 hunter2\\"}',
    ],
)
def test_a_late_continuation_is_redacted_like_the_first_lines(line, restart):
    trace = b'Traceback (most recent call last):\n  File "a.py", line 1, in f\n'
    parser = FileParser(SETTINGS)
    parser.feed(batch(HEAD + trace + line + b"\n" + (b"" if line.startswith(b" ") else b"\n")))
    stored = parser.flush()
    record, raw = stored.records[0], stored.raws[0]
    if restart:
        parser = FileParser(SETTINGS, parser.profile)
    out = parser.feed(batch(line + b"\n", stored.end, final=True), tail_open=True)
    shown = repr((stored, out))
    if out.continuation is not None:
        shown += repr(join(record, raw, out.continuation))
    assert CANARY not in shown
    assert "[redacted]" in shown


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2", "PassWord: hunter2 x", '"password": "hunter2 \\" hunter2"', "SCHLÜSSEL=hunter2",
        '{\\"password\\":\\"hunter2 hunter2\\"}', '{\\\\\\"password\\\\\\":\\\\\\"hunter2 x\\\\\\"}',
        "a\\npassword=hunter2",
        '"pass\\u0077ord": "hunter2"', "pas\u017fword=hunter2", '{\\"password\\":\\"a \\\\\\" hunter2\\", \\"b\\": 1}',
        "password=bearer hunter2", 'f(password=x)password": "hunter2", "a": 1', "password=x|password: hunter2",
        "password=password='hunter2 hunter2'", "password:x/password=y:password: hunter2 z",
        '{\\"pass\\\\u0077ord\\":\\"hunter2\\"}',
    ],
)  # fmt: skip
def test_a_value_is_found_however_it_is_written(text):
    redactor = Redactor(SETTINGS.redact)
    assert redactor.may_apply(text.encode())
    assert CANARY not in redactor.text(text)
    for line in (text, json.dumps({"a": text}), json.dumps([text]), json.dumps({"a": text})[:-1]):
        data = f"{line}\n2026-11-22 05:39:26 INFO {line}\n".encode() * 3
        wrapped = json.dumps({"log": f"{line}\n", "stream": "stdout", "time": "2026-11-22T05:39:26Z"}).encode() + b"\n"
        for whole in (data, wrapped, wrapped * 40, wrapped[:-3] + b"\n"):
            assert CANARY not in repr(FileParser(SETTINGS).feed(batch(whole, final=True)))
        short = parsing(redact=SETTINGS.redact, max_line_bytes=10)
        assert CANARY not in repr(FileParser(short).feed(batch(wrapped, final=True)))


@pytest.mark.parametrize("key", ["MESSAGE", "_CMDLINE", "OBJECT_1", "E_"])
@pytest.mark.parametrize("many", [False, True])
def test_a_value_in_bytes_is_read_as_the_text_that_it_is(key, many):
    """journald writes any field so that is no printable UTF-8."""
    value = list(b"\x01 password=hunter2")
    line = json.dumps({"SYSLOG_IDENTIFIER": "x", key: [value, "y"] if many else value}).encode()
    escaped = json.dumps({"log": f"{line.decode()}\n", "stream": "stdout", "time": "2026-11-22T05:39:26Z"}).encode()
    for one in (line, escaped, b"app: " + line):
        assert Redactor(SETTINGS.redact).may_apply(one)
        for count in (1, 40):
            out = FileParser(SETTINGS).feed(batch((one + b"\n") * count, final=True))
            assert str(list(CANARY.encode()))[1:-1] not in repr(out).replace(",", ", ").replace("  ", " ")
            assert CANARY not in repr(out)
            assert all("\\u0001 password=[redacted]" in record for record in out.records)


@pytest.mark.parametrize(
    "text",
    [
        '{"_CMDLINE":[112,97,115,115,119,111,114,100,61,104,117,110,116,101,114,50],',
        '{"_CMDLINE" : [\t112,\t 97,\t115,115,119,111,114,100,61,104,117,110,116,101,114,50\t',
        '{\\"E_1\\":[[112,97,115,115,119,111,114,100,61,104,117,110,116,101,114,50],\\"x\\"]} behind',
    ],
)
def test_a_value_in_bytes_is_found_where_its_line_is_no_object(text):
    redactor = Redactor(SETTINGS.redact)
    for one in (text, json.dumps({"a": text}), json.dumps({"a": json.dumps(text)})):
        assert redactor.may_apply(one.encode())
        assert "116,101" not in redactor.line(one.encode()).decode()
    for long in (f"x {text}\n" * 3, f"{text}{' ' * 100}\n"):
        out = FileParser(parsing(redact=SETTINGS.redact, max_line_bytes=80)).feed(batch(long.encode(), final=True))
        assert "116,101" not in repr(out)
        assert REDACTED in repr(out)


def test_numbers_that_say_nothing_to_hide_stay_numbers():
    line = b'{"VALUES":[112,97],"_EXE":[112,97],"list":[112]}\n'
    assert FileParser(SETTINGS).feed(batch(line * 5, final=True)).records == [line.decode().strip()] * 5


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.booleans())
@settings(max_examples=500)
def test_where_something_is_replaced_it_may_be(pieces, odd):
    """Whoever asks whether a key may occur would skip it otherwise."""
    text = "".join(pieces)
    for redactor in (Redactor(["password", "api-key", "Ski"]), Redactor(["schlüssel", "ski"])):
        for data in (text.encode(), json.dumps({"a": text}, ensure_ascii=odd).encode()):
            if redactor.line(data) != data:
                assert redactor.may_apply(data)


@pytest.mark.parametrize("body", ["plain\n", '{"a":1}\n', "2026-11-22 05:39:26 ERROR x\n", "a part of a line"])
def test_what_a_container_runtime_puts_beside_a_line_is_redacted(body):
    labels = {"password": CANARY, "team": "shop"}
    record = {"log": body, "stream": "stdout", "attrs": labels, "time": "2026-11-22T05:39:26Z"}
    line = json.dumps(record).encode() + b"\n"
    for count in (1, 5):
        out = FileParser(SETTINGS).feed(batch(line * count, final=True))
        assert CANARY not in repr(out)
        for row in range(len(out)):
            original = original_of(out.records[row], out.raws.get(row))
            assert original.startswith(b'{"log": ')
            assert b'"team": "shop"' in original
            assert REDACTED.encode() in original


def test_what_follows_a_value_stays():
    redactor = Redactor(SETTINGS.redact)
    assert redactor.text('{\\"password\\":\\"x y\\",\\"b\\":1}') == '{\\"password\\":[redacted]\\",\\"b\\":1}'
    assert redactor.text("password=x: invalid") == "password=[redacted] invalid"
    assert redactor.text("password=x)password: y z") == "password=[redacted] z"
    assert redactor.text("password=passwords: y") == "password=[redacted] y"
    assert redactor.text("password=x; next \\u0041") == "password=[redacted]; next \\u0041"


def test_long_hostile_texts_take_no_long_time():
    redactor = Redactor(SETTINGS.redact)
    for text in (
        'password=\\"' + "\\" * 100_000,
        "password" * 20_000,
        "password=" * 20_000,
        "password=x" * 20_000,
        "password=" + "x." * 20_000,
        "password=)" * 10_000 + "\\",
        '\\"password' * 20_000,
        "password=\\u00" * 20_000,
        '{"A":' + "[112," * 20_000,
        '{"A":[' + "112,\\n " * 20_000 + "x",
    ):
        assert isinstance(redactor.text(text), str)
