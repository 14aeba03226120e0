"""No value of a redacted key reaches a record, the original bytes, a sample or what grouping gets, whatever its way."""

from __future__ import annotations

import json

import pytest

from agent.core.event import REDACTED, original_of
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser, join
from agent.parse.redact import Redactor
from tests.sources import parsing

CANARY = "hunter2"
SETTINGS = parsing(redact=["password", "schlüssel"])
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
        "password=bearer hunter2", '{\\"pass\\\\u0077ord\\":\\"hunter2\\"}',
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
    assert redactor.text("password=x; next \\u0041") == "password=[redacted]; next \\u0041"


def test_long_hostile_texts_take_no_long_time():
    redactor = Redactor(SETTINGS.redact)
    for text in (
        'password=\\"' + "\\" * 100_000,
        "password" * 20_000,
        '\\"password' * 20_000,
        "password=\\u00" * 20_000,
    ):
        assert isinstance(redactor.text(text), str)
