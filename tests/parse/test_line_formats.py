"""Access logs, syslog and logfmt: what a line is made of is read of it, and any line is read, in linear time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import severity
from agent.core.model import LineBatch
from agent.parse.decode import FileParser
from agent.parse.formats import combined, line_rules, logfmt, syslog
from tests.parse.effort import examples
from tests.parse.test_cases import OBSERVED
from tests.parse.test_twin import check_accounting, check_valid, parse_once, tailed
from tests.sources import parsing

FORMATS = {"combined": combined.FORMAT, "syslog": syslog.FORMAT, "logfmt": logfmt.FORMAT}
CLF, BSD, ISO = "22/Nov/2026:05:39:26 +0000", "Nov 22 05:39:26", "2026-11-22T05:39:26.123456+01:00"
LETTERS = "abcXYZ0189._~%-"
words = st.text(LETTERS, min_size=1, max_size=12)
anything = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=30)
optional = st.none() | words.filter(lambda word: word != "-")


# ---------------------------------------------------------------- a line made of parts


@settings(max_examples=examples(300), deadline=None)
@given(
    client=st.sampled_from(["192.0.2.7", "2001:db8::7", "::1", "host-7.example"]),
    user=st.none() | st.sampled_from(["ann", "Ann Lee", "ann@shop.example", "ö"]),
    method=st.sampled_from(["GET", "POST", "PROPFIND", "VERSION-CONTROL"]),
    path=st.text(LETTERS + "/:öß*|", max_size=12).map("/{}".format),
    query=st.none() | st.text(LETTERS + "&=/?", min_size=1, max_size=12),
    version=st.sampled_from(["1.0", "1.1", "2.0", "2", "3.0"]),
    status=st.integers(100, 599),
    size=st.none() | st.integers(0, 2**40),
    referer=st.none() | anything.filter(lambda text: text not in ("-", "", '""')),
    agent=st.none() | anything.filter(lambda text: text not in ("-", "", '""')),
    host=st.none() | st.sampled_from(["shop.example", "localhost", "192.0.2.1"]),
    seconds=st.none() | st.integers(0, 9_999_999),
)
def test_the_parts_of_a_request_are_read(**part):
    def quoted(text):
        return "-" if text is None else text.replace("\\", "\\\\").replace('"', '\\"')

    query = "" if part["query"] is None else f"?{part['query']}"
    line = (
        f"{'' if part['host'] is None else part['host'] + ':443 '}{part['client']} - {part['user'] or '-'} [{CLF}]"
        f' "{part["method"]} {part["path"]}{query} HTTP/{part["version"]}" {part["status"]}'
        f' {"-" if part["size"] is None else part["size"]} "{quoted(part["referer"])}" "{quoted(part["agent"])}"'
    )
    if part["seconds"] is not None:
        line += f" {part['seconds'] // 1000}.{part['seconds'] % 1000:03d}"
    head = combined.find(line)
    assert head is not None
    assert (head.timestamp, head.message) == (CLF, f"{part['method']} {part['path']} {part['status']}")
    assert head.severity == (17 if part["status"] >= 500 else 13 if part["status"] >= 400 else 9)
    found = {
        "client.address": part["client"],
        "user.name": part["user"],
        "http.request.method": part["method"],
        "url.path": part["path"],
        "url.query": part["query"],
        "network.protocol.version": part["version"],
        "http.response.status_code": part["status"],
        "http.response.body.size": part["size"],
        "http.request.header.referer": part["referer"],
        "user_agent.original": part["agent"],
        "server.address": part["host"],
        "server.port": None if part["host"] is None else 443,
        "http.server.request.duration": None if part["seconds"] is None else part["seconds"] / 1000,
    }
    assert head.attributes == {name: value for name, value in found.items() if value is not None}


@settings(max_examples=examples(300), deadline=None)
@given(
    st.none() | st.integers(0, 191),
    st.sampled_from([BSD, "Nov  2 05:39:26", f"{BSD}.123", ISO, "2026-11-22T05:39:26Z", "Nov 22 2026 05:39:26"]),
    st.sampled_from(["web1", "web-1.shop.example", "10.0.0.9", "2001:db8::9"]),
    st.sampled_from(["sshd", "postfix/smtpd", "systemd-logind", "com.apple.cts", "sshd(pam_unix)", "CRON", "_a"]),
    st.none() | st.integers(0, 2**22),
    anything.filter(lambda text: not text.startswith("(")),
)
def test_the_parts_of_a_line_of_syslog_are_read(  # noqa: PLR0917 - hypothesis names them
    priority, instant, host, tag, pid, message
):
    number = "" if pid is None else f"[{pid}]"
    line = f"{'' if priority is None else f'<{priority}>'}{instant} {host} {tag}{number}: {message}"
    for find in (syslog.find, syslog.find_surely):
        head = find(line)
        assert head is not None
        assert (head.timestamp, head.logger) == (instant, tag)
        assert head.attributes["host.name"] == host
        assert head.attributes.get("process.pid") == pid
        assert head.message is not None or line[head.end :] == message
        if priority is not None:
            assert head.severity == severity.read(priority % 8)
            assert head.attributes["syslog.facility"] == syslog._FACILITIES[priority // 8]


parameters = st.dictionaries(st.text("abc.-_1", min_size=1, max_size=6), anything, max_size=3)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.integers(0, 191),
    st.sampled_from([ISO, "2026-11-22T05:39:26Z", None]),
    st.tuples(optional, optional, optional, optional),
    st.dictionaries(st.sampled_from(["a@1", "origin", "x.y@32473"]), parameters, max_size=3),
    st.none() | anything.filter(lambda text: not text.startswith("\ufeff")),
    st.sampled_from(["", "\ufeff"]),
)
def test_the_parts_of_rfc_5424_are_read(  # noqa: PLR0917 - hypothesis names them
    priority, instant, names, data, message, bom
):
    def escaped(text):
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")

    elements = "".join(
        "".join([f"[{name}", *(f' {key}="{escaped(value)}"' for key, value in inner.items()), "]"])
        for name, inner in data.items()
    )
    header = " ".join(name or "-" for name in names)
    line = f"<{priority}>1 {instant or '-'} {header} {elements or '-'}{'' if message is None else f' {bom}{message}'}"
    head = syslog.find(line)
    host, name, pid, message_id = names
    assert (head.timestamp, head.logger, line[head.end :]) == (instant, name, message or "")
    process = {"process.pid": int(pid)} if pid is not None and pid.isdigit() else {"syslog.procid": pid}
    found = {
        "syslog.facility": syslog._FACILITIES[priority // 8],
        "host.name": host,
        **process,
        "syslog.msgid": message_id,
        "syslog.structured_data": data or None,
    }
    assert head.attributes == {key: value for key, value in found.items() if value is not None}


keys = st.text("abcdxyz._-/@1ö", min_size=1, max_size=8).filter(lambda key: key[0] not in "1.-/ö" and key != "t")
values = st.one_of(anything, words, st.integers(-99, 99).map(str))


def written(value: str) -> str:
    """As logfmt has it."""
    if value and not any(character in '"=\\' or character.isspace() for character in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\r", "\\r") + '"'


def as_read(value: str):
    number = value.removeprefix("-")
    is_integer = number.isascii() and number.isdigit() and (number[0] != "0" or value == "0") and len(number) < 16
    return int(value) if is_integer and written(value) == value else value


@settings(max_examples=examples(300), deadline=None)
@given(
    st.dictionaries(keys, values, min_size=1, max_size=6), st.sampled_from(["info", "error", "WARN", "debug"]), anything
)
def test_the_pairs_of_logfmt_are_read(pairs, level, message):
    pairs = {key: value for key, value in pairs.items() if key not in ("service", "level", "msg")}
    everything = {"ts": ISO, "level": level, **pairs, "msg": message}
    line = " ".join(f"{key}={written(value)}" for key, value in everything.items())
    for find in (logfmt.find, logfmt.find_surely):
        head = find(line)
        assert head is not None
        assert head.attributes == {key: as_read(value) for key, value in everything.items()}
        assert (head.timestamp, head.level, head.severity) == (ISO, level, severity.read(level))
        assert head.message == message or "message" in pairs


free = st.lists(
    st.sampled_from([*'ab="=\\ \t', 'a="b c"', "k=v", ' x="', '" ', "level=info", " msg=a b", "1", "-7", "ö", "\xa0"]),
    max_size=12,
).map("".join)


@settings(max_examples=examples(500), deadline=None)
@given(free)
def test_pairs_that_are_split_are_those_that_the_pattern_finds(text):
    found = logfmt._plain_pairs(text) if "\\" not in text else None
    assert found is None or list(found.items()) == list(logfmt._pairs(text).items())


# ---------------------------------------------------------------- any line

pieces = st.lists(
    st.one_of(
        anything,
        st.sampled_from([
            *(f"[{CLF}] ", BSD, ISO, "<13>", "<13>1 ", " web1 ", "sshd[7]: ", '"GET / HTTP/1.1" ', "500 ", '"-" '),
            *(" - ", "level=info ", "msg=", 'a="b" ', "[a@1 ", 'k="v"', "] ", "%ASA-4-1: ", "kernel: [ 1.5] "),
            *('"', "\\", "\0", "\r"),
        ]),
    ),
    max_size=10,
).map("".join)  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(pieces, min_size=1, max_size=4), st.sampled_from(["auto", *FORMATS, "docker"]))
def test_any_lines_are_events(lines, name):
    data = "".join(f"{line}\n" for line in lines).encode()
    out = FileParser(parsing(format=name)).feed(LineBatch(tailed(), 0, data, OBSERVED, final=True))
    check_accounting(data, out)
    check_valid(out)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.binary(max_size=40) | pieces.map(str.encode), max_size=4).map(b"\n".join), st.sampled_from([*FORMATS])
)
def test_any_bytes_are_kept(data, name):
    out = FileParser(parsing(format=name)).feed(LineBatch(tailed(), 0, data, OBSERVED, final=True))
    check_accounting(data, out)


@settings(max_examples=examples(200), deadline=None)
@given(pieces, st.sampled_from([*FORMATS]))
def test_a_line_of_another_format_than_the_declared_one_says_so(line, name):
    head = line_rules(name).find_head(line)
    assert head.error == ("" if FORMATS[name].find(line) is not None else f"not {name}")
    assert line_rules("auto").find_head(line).error == ""


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_found_surely_is_found(name):
    for line in ("", " ", "a", "plain text", "2026-11-22 05:39:26 INFO a.b: x", '{"level":"info"}', "a = 1, b = 2"):
        assert (FORMATS[name].find_surely or FORMATS[name].find)(line) is None


SIZE = 300_000  # its square is a quarter of an hour of `re`
HARD = [
    f'a - - [{CLF}] "' + "\\" * 7,
    f'a - - [{CLF}] "{{}}" 200 7',
    f'a - - [{CLF}] "GET /{{}} HTTP/1.1" 200 7',
    f'a - - [{CLF}] "GET /" 200 7 "{{}}',
    f'a - - [{CLF}] "GET /" 200 7 "-" "-" {{}}',
    f'{{}} - - [{CLF}] "GET /" 200 7',
    f"{BSD} {{}}",
    f"{BSD} web1 {{}}: x",
    f"{BSD} web1 kernel: [ {{}}] x",
    "<13>1 - - - - - {}",
    "<13>1 - - - - - [a {}",
    '<13>1 - - - - - [a k="{}',
    "<13>{}",
    "level=info msg={}",
    'level=info msg="{}',
    "level=info {}",
    "{}",
]
FILLS = [
    " ",
    "a",
    '"',
    "\\",
    '\\"',
    "=",
    "a=",
    'a="',
    "[",
    "] ",
    " a",
    "a.",
    ":",
    "1",
    "<",
    '="\\',
    "%",
    "\xa0",
    ' "',
    "-",
]


@pytest.mark.parametrize("form", HARD)
def test_a_long_line_that_is_hard_is_read(form):
    for fill in FILLS:
        line = form.replace("{}", fill * (SIZE // len(fill)))
        for known in FORMATS.values():
            if not known.starts or line[0] in known.starts:
                known.find(line)
                (known.find_surely or known.find)(line)


@pytest.mark.parametrize(
    "line",
    [
        f'a - - [{CLF}] "GET / HTTP/1.1" ٢٠٠ 7',
        f'a - - [{CLF}] "GET / HTTP/1.1" 200 ٧٧٧',
        f'a - - [{CLF}] "GET / HTTP/1.1" 200 7 "-" "-" ٠.١٢٣',
        f"{BSD} web1 app[٦٦٣]: x",
        f"{BSD} web1 kernel: [ ١٢.٣٤٥] x",
        "level=info msg=x n=٧٧٧",
    ],
)
def test_digits_of_other_scripts_stay_as_they_are(line):
    """Archives look for the digits of a number in the line."""
    [record] = parse_once(f"{line}\n".encode()).records
    numbers = {value for value in json.loads(record).values() if type(value) is float or value in (663, 777, 12, 200)}
    assert numbers <= {200}
    assert "٢٠٠" not in line or 200 not in numbers


def test_a_megabyte_of_pairs_is_remembered_by_nobody():
    logfmt._roles.cache_clear()
    parse_once(b"level=info msg=x " + b"".join(b"k%d=1 " % number for number in range(100_000)) + b"\n")
    assert logfmt._roles.cache_info().currsize == 0
