"""A redacted log is read as the events that are stored of the log itself, each at its place, and hides its secrets."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser
from agent.parse.logredactor import LogRedactor
from tests.sources import parsing

CANARY = "hunter2"
LIMITS = (
    4096,
    300,
    130,
)  # bytes of a line; what redaction makes of some of the lines below is on the other side of one
SETTINGS, *_ = REDACTED = [parsing(redact=["password", "token"], max_line_bytes=limit) for limit in LIMITS]
PLAIN = [parsing(max_line_bytes=limit) for limit in LIMITS]
OBSERVED = 1_795_327_455 * 10**9
TIME = "2026-11-22T03:04:05.678901234Z"


def docker(text: str, **more) -> bytes:
    return json.dumps({"log": text, "stream": "stdout", "time": TIME, **more}).encode()


def cri(text: str, tag: str = "F", stream: str = "stdout") -> bytes:
    return f"{TIME} {stream} {tag} {text}".encode()


SECRET = json.dumps({"timestamp": TIME, "message": "in", "password": CANARY, "deep": [{"Token": [CANARY, 2]}]})
IN_BYTES = list(f"\x01 password={CANARY}".encode())
JOURNAL = json.dumps({"PRIORITY": "3", "MESSAGE": IN_BYTES})
FIELD = json.dumps({"MESSAGE": "plain", "tags": ["a"], "_CMDLINE": IN_BYTES})
FIELDS = json.dumps({"MESSAGE": "plain", "OBJECT_1": [IN_BYTES, "x"], "_EXE": [1, 2]})
SPELT = ",".join(map(str, CANARY.encode())).encode()
EXPORTED = {
    "body": {"stringValue": f"password={CANARY}"},
    "attributes": [{"key": "token", "value": {"stringValue": CANARY}}],
}
LINES = {
    "json": SECRET.encode(),
    "short value": b'{"message":"m","password":1}',
    "json without": b'{"timestamp":"2026-11-22T03:04:05Z","level":"error","message":"plain"}',
    "json in json": json.dumps({"message": f'{{"password": "{CANARY}"}}', "level": "warn"}).encode(),
    "escaped key": json.dumps({"message": "m", "password": CANARY}).replace("password", "p\\u0061ssword").encode(),
    "twice": f'{{"password":"{CANARY}","password":"[redacted]"}}'.encode(),
    "carriage return": SECRET.encode() + b"\r",
    "byte order mark": b"\xef\xbb\xbf" + SECRET.encode(),
    "text": f"2026-11-22 05:39:26,123 ERROR a.b: password={CANARY}, token: {CANARY}{CANARY}".encode(),
    "quoted text": f'INFO login password="{CANARY} {CANARY}" ok'.encode(),
    "trace": b"Traceback (most recent call last):",
    "indented": f'  File "a.py", line 3, in f(password={CANARY})'.encode(),
    "end of a trace": f"ValueError: token={CANARY}".encode(),
    "redacted before": b"a password=[redacted] b",
    "not UTF-8": b"INFO \xff\xfe here",
    "broken json": b'{"a":1,"password":"hunter2", "b"',
    "json of bad bytes": b'{"password":"hunter2","b":"\xff"}',
    "json of bad bytes in text": b'{"message":"password=hunter2 \xff"}',
    "not a number": b'{"password":"hunter2","b":NaN}',
    "bad bytes and a secret": b"INFO \xe4 password=hunter2 \xff there",
    "bad byte before a key": b"INFO \xe4password=hunter2",
    "docker broken json": docker('{"a":1,"token":"hunter2", "b"\n'),
    "docker carriage return": docker(SECRET + "\r\n"),
    "docker spaced": docker("see password: a, b\n"),
    "message of it": b'{"level": "warn", "message": "see password: a, b"}\r',
    "object begins": b"{",
    "object begins with a key": f'{{"a":1,"password":"{CANARY}",'.encode(),
    "hidden member": f'"password": "{CANARY}",'.encode(),
    "hidden object begins": b'  "password": {',
    "member": b'    "old": "x"',
    "object ends": b"}",
    "object ends and another follows": b"  },",
    "object with a comma": SECRET.encode() + b",",
    "object in brackets": b"[" + SECRET.encode() + b"]",
    "bracket": b"[",
    "end of brackets": b"]",
    "behind a record separator": b"\x1e" + SECRET.encode(),
    "in text": b"2026-11-22 05:39:26,123 ERROR a.b: " + SECRET.encode(),
    "docker several lines at once": docker(json.dumps({"a": 1, "password": CANARY}, indent=1) + "\n"),
    "docker behind a record separator": docker(f"\x1e{SECRET}\n"),
    "docker object begins": docker("{\n"),
    "docker hidden member": docker(f'"password": "{CANARY}"\n'),
    "docker object ends": docker("}\n"),
    "message in bytes": JOURNAL.encode(),
    "message in bytes over lines": JOURNAL.replace(", ", ",\r").encode(),
    "docker message in bytes": docker(f"{JOURNAL}\n"),
    "message in bytes in text": f"app: {JOURNAL}".encode(),
    "field in bytes": FIELD.encode(),
    "field in bytes over lines": FIELD.replace(", ", ",\r").replace(":", " :").encode(),
    "docker field in bytes": docker(f"{FIELD}\n"),
    "fields in bytes in text": f"app: {FIELDS}".encode(),
    "exported": json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [EXPORTED, EXPORTED]}]}]}).encode(),
    "in text as a value": f'INFO token={{"a":"{CANARY}","b":"{CANARY}"}}'.encode(),
    "blank": b"",
    "holes": b"\0\0\0\0",
    "behind a long hole": b"\0" * 100 + SECRET.encode(),
    "torn": b"INFO torn password=" + CANARY.encode() + b"\0" * 70 + docker(SECRET + "\n") + b"\0" * 64,
    "behind a hole": b"\0\0\0" + SECRET.encode(),
    "too long": b"x" * 5000 + f" password={CANARY}".encode(),
    "too long for an event": b'{"a":"' + b"y" * 4050 + f'","password":"{CANARY * 30}"}}'.encode(),
    "longer": b"INFO " + b"token=1 " * 20,
    "longer json": json.dumps({"token": 1, "message": "password=1 " * 12}).encode(),
    "longer trace": b"ValueError: " + b"token=1 " * 12,
    "longer indented": b"  at a.b" + b" token=1" * 10,
    "shorter": f"INFO token={CANARY * 41}".encode(),
    "shorter indented": f"  token={CANARY * 20}".encode(),
    "docker longer": docker("INFO " + "token=1 " * 15 + "\n"),
    "docker longer begins": docker("INFO " + "token=1 " * 5),
    "docker longer goes on": docker(" token='\u00fc\\' \t" + "token=1 " * 5),
    "cri longer begins": cri("INFO " + "token=1 " * 8, "P"),
    "cri shorter begins": cri("INFO token=" + CANARY * 10 + " and ", "P"),
    "cri end": cri("end"),
    "docker": docker(SECRET + "\n"),
    "docker text": docker(f"password={CANARY}\n"),
    "docker lines": docker(f"INFO a\ntoken={CANARY}\n"),
    "docker attrs": docker("plain\n", attrs={"token": CANARY}),
    "docker begins": docker(SECRET[:60]),
    "docker goes on": docker(SECRET[60:] + "\n"),
    "docker part": docker("INFO something, and "),
    "cri bytes": cri("INFO token=").replace(b"token", b"\xad token") + CANARY.encode(),
    "cri part": cri("\u00fc and ", "P"),
    "cri": cri(SECRET),
    "cri begins": cri(SECRET[:66], "P"),
    "cri goes on": cri(SECRET[66:]),
    "cri other": cri("INFO token=" + CANARY, stream="stderr"),
    "cri other begins": cri("INFO token=" + CANARY * 9 + " and ", "P", "stderr"),
    "cri other traces": cri("Traceback (most recent call last):", stream="stderr"),
    "cri traces": cri("Traceback (most recent call last):"),
    "cri indented part": cri(f"  f(token={CANARY})", "P"),
}
LOGS = st.lists(st.sampled_from(sorted(LINES)), max_size=8)


def log_of(names: list[str], end: bytes = b"\n") -> bytes:
    return b"\n".join(LINES[name] for name in names) + end


def redacted(data: bytes, *cuts: int, settings=SETTINGS):
    """The redacted log, and how its places are found."""
    redactor = LogRedactor(settings)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parts = [redactor.feed(data[a:b]) for a, b in pairwise(places)]
    parts.append(redactor.finish())
    found = b"".join(parts)
    return found, redactor.positions(0, len(found))


def redacted_again(data: bytes, positions, settings):
    """A log that was redacted before, redacted once more."""
    redactor = LogRedactor(settings)
    redactor.again = True
    parts, start, before = [], 0, 0
    for end, shift in zip(*positions, strict=True):
        parts.append(redactor.feed(data[start:end]))
        redactor.lengthen(shift - before)
        start, before = end, shift
    parts += [redactor.feed(data[start:]), redactor.finish()]
    found = b"".join(parts)
    return found, redactor.positions(0, len(found))


def events(data: bytes, settings, in_log=None):
    parser = FileParser(settings)
    batch = LineBatch(FileGeneration(1, "s", "/p", 0, 0, 0), 0, data, OBSERVED, final=True)
    out = parser.feed(batch, in_log=in_log)
    rows = zip(out.offsets, out.timestamps, out.severities, out.loggers, out.records, strict=True)
    raws, errors = out.raws, out.parse_errors
    return [(*row, original_of(row[-1], raws.get(index)), errors.get(index)) for index, row in enumerate(rows)], out


@settings(deadline=None)
@given(LOGS, st.sampled_from([b"\n", b""]), st.lists(st.integers(0, 20_000), max_size=4), st.sampled_from([0, 1, 2]))
@example(["docker begins", "docker goes on", "text"], b"\n", [], 0)
@example(["docker begins", "cri", "docker goes on"], b"\n", [], 0)
@example(["docker begins"], b"", [30], 0)
@example(["too long for an event", "json"], b"\n", [5000], 0)
@example(["cri shorter begins", "cri shorter begins", "cri end"], b"\n", [], 2)
@example(["cri begins", "cri other", "cri goes on"], b"", [], 0)
@example(["cri begins", "cri other begins", "cri goes on", "cri other"], b"\n", [30], 0)
@example(["cri traces", "cri indented part", "cri other traces", "cri end", "cri other"], b"\n", [], 0)
@example(["cri other begins", "cri shorter begins", "cri other", "cri shorter begins", "cri end"], b"\n", [], 2)
@example(["docker longer begins", "docker longer goes on"], b"\n", [], 2)
@example(["trace", "object in brackets"], b"\n", [], 0)
@example(["trace", "object with a comma", "behind a record separator"], b"\n", [], 0)
@example(["trace", "longer indented", "longer trace"], b"\n", [], 1)
def test_it_is_read_as_what_is_stored_of_the_log(names, end, cuts, limit):
    data = log_of(names, end)
    found, positions = redacted(data, *cuts, settings=REDACTED[limit])
    stored, _ = events(data, REDACTED[limit])
    archived, out = events(found, PLAIN[limit], positions.in_log)
    assert [(positions.in_log(offset), *rest) for offset, *rest in archived] == stored
    assert CANARY.encode() not in found
    assert SPELT not in b"".join(found.split())
    assert [raw for raw in out.raws.values() if isinstance(raw, bytes) and CANARY.encode() in raw] == []
    assert len(found) + positions.shift == len(data)


@settings(deadline=None)
@given(LOGS, st.sampled_from([0, 1, 2]))
def test_what_was_redacted_stays_as_it_is(names, limit):
    once, positions = redacted(log_of(names), settings=REDACTED[limit])
    again, places = redacted_again(once, positions, REDACTED[limit])
    assert again == once
    assert [places.in_log(place) for place in range(len(once))] == [
        positions.in_log(place) for place in range(len(once))
    ]


@settings(deadline=None)
@given(LOGS, st.integers(0, 8))
def test_a_preview_is_the_end(names, number):
    redactor = LogRedactor(SETTINGS, located=False)
    parts = [LINES[name] + b"\n" for name in names]
    head = [redactor.feed(part) for part in parts[:number]]
    preview = redactor.preview()
    assert b"".join(head) + preview == redacted(b"".join(parts[:number]))[0]
    rest = [redactor.feed(part) for part in parts[number:]]
    assert b"".join([*head, *rest, redactor.finish()]) == redacted(b"".join(parts))[0]


def test_what_was_no_wrapper_does_not_become_one():
    """It would be taken for the rest of the line before."""
    torn = LINES["docker"].replace(b"T03", b"T\xff3")
    data = b"\n".join([LINES["docker part"], torn, LINES["docker"]]) + b"\n"
    found, positions = redacted(data)
    stored, archived = events(data, SETTINGS)[0], events(found, PLAIN[0])[0]
    assert [positions.in_log(row[0]) for row in archived] == [row[0] for row in stored]
    assert len(stored) == 3


def test_parts_of_two_runtimes_are_joined_whatever_their_bytes():
    data = b"\n".join(
        [cri("a \xff", "P").replace(b"\xc3\xbf", b"\xff"), docker(f"token={CANARY}\n").replace(b"out", b"out")]
    )
    assert CANARY.encode() not in redacted(data)[0]
    assert CANARY not in repr(events(data, SETTINGS))


def test_a_log_without_such_keys_is_the_same_to_the_byte():
    data = b'{"a":1}\r\n\xff\xfe\n\0\0x\nplain: text\n' * 20 + b"no newline"
    assert redacted(data, 3, 70)[0] == data


def test_positions_are_asked_for_part_by_part():
    redactor = LogRedactor(SETTINGS)
    line = LINES["text"] + b"\n"
    short = len(redacted(line)[0])
    found = redactor.feed(line * 3)
    assert len(found) == 3 * short
    first = redactor.positions(0, 2 * short)
    assert [first.in_log(place) for place in (0, short, 2 * short)] == [0, len(line), 2 * len(line)]
    assert redactor.positions(2 * short, short).shift == len(line) - short


@pytest.mark.parametrize("piece", [b"password=hunter2 ", b"y" * 1000 + b" "])
def test_a_line_of_any_length_takes_bounded_memory_and_time(piece):
    redactor = LogRedactor(SETTINGS)
    found = b"".join(redactor.feed(piece * (2**20 // len(piece))) for _ in range(40)) + redactor.finish()
    assert b"hunter2" not in found
    assert redactor.positions(0, len(found)).shift == 40 * (2**20 // len(piece)) * len(piece) - len(found)
