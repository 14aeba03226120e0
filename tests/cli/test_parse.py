"""`sidelog parse`: summary, events, pictures; of any file and of a pipe; from an unknown log to a pattern."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys

import pytest
import yaml
import zstandard

from agent.core.named_patterns import NAMED

pytestmark = pytest.mark.measured

PROGRAM = [sys.executable, "-m", "agent", "parse"]
TILL = "".join(
    f"22/11/2026 05:39:{n:02d} | {('WARN', 'ERROR', 'INFO')[n % 3]} | till-{n % 4} | drawer {n} it's stuck\n"
    for n in range(30)
)
PATTERN = r"^(?P<timestamp>[\d/]+ [\d:]+) \| (?P<severity>\w+) \| (?P<till>\S+) \| (?P<message>.*)"


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "till.log"
    file.write_text(TILL)
    return file


def summary(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) {2,}(.*)$", text, re.MULTILINE))


def test_the_summary(sidelog, log):
    said = sidelog("parse", "--pattern", PATTERN, log)
    assert (said.code, said.err) == (0, "")
    found = summary(said.out)
    assert found["format"] == "pattern 1 100.0 %"
    assert (found["lines"], found["events"]) == ("30", "30")
    assert found["severity"] == "100.0 %  30  ERROR 10  WARN 10  INFO 10"
    assert found["message"] == "100.0 %  30"
    assert "not read" not in said.out or "no timestamp" in said.out


def test_the_picture_marks_what_was_found_where(sidelog, log):
    shown, marks = sidelog("parse", "--pattern", PATTERN, "-n", 1, log).out.splitlines()[:2]
    assert shown == "    1 | 22/11/2026 05:39:00 | WARN | till-0 | drawer 0 it's stuck"
    assert marks == "      | ttttttttttttttttttt   ssss   aaaaaa   mmmmmmmmmmmmmmmmmmm"


def test_one_document(sidelog, log):
    document = json.loads(sidelog("parse", "--json", "--pattern", PATTERN, "-n", 2, log).out)
    assert (document["lines"], document["events"], document["severity"]["share"]) == (30, 30, 1.0)
    assert [one["attributes"] for one in document["first_events"]] == [{"till": "till-0"}, {"till": "till-1"}]
    assert document["first_events"][0]["parts"][0] == {"name": "timestamp", "start": 0, "end": 19}
    assert document["proposals"] == []


def test_events_as_a_query_prints_them(sidelog, log):
    said = sidelog("parse", "-o", "json", "--pattern", PATTERN, log)
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert len(rows) == 30
    assert list(rows[0])[:14] == [
        "id", "timestamp", "observed_timestamp", "severity_number", "severity_text", "body", "attributes", "resource",
        "trace_id", "span_id", "source", "path", "offset", "group",
    ]  # fmt: skip
    assert (rows[1]["id"], rows[1]["severity_text"], rows[1]["body"]) == (2, "ERROR", "drawer 1 it's stuck")
    assert (rows[1]["attributes"], rows[1]["path"], rows[1]["group"]) == ({"till": "till-1"}, str(log), None)
    assert rows[1]["offset"] == TILL.index("\n") + 1


def test_from_an_unknown_log_to_a_pattern_in_the_configuration(sidelog, log, tmp_path):
    """The proposed command runs as it is printed, and the proposed lines are a configuration that reads the log so."""
    moved = re.sub(r"^(.{19}) \| (\w+) \| (till-\d) \|", r"\3 # \2 # \1 #", TILL, flags=re.MULTILINE)
    log.write_text(moved)  # `auto` takes no such signs for what is between the parts of a head
    said = sidelog("parse", log)
    command = next(line for line in said.out.splitlines() if line.startswith("  sidelog parse"))
    again = sidelog(*shlex.split(command)[1:])
    assert summary(again.out)["severity"].startswith("100.0 %")
    assert "In the configuration" not in again.out
    text = said.out.split("In the configuration:\n")[1].rsplit("docs/patterns.md", 1)[0]
    assert yaml.safe_load(text)["sources"][0]["include"] == [str(log)]
    (tmp_path / "sidelog.yaml").write_text(text)
    by_source = sidelog("parse", "--source", "till", log)
    assert summary(by_source.out)["severity"].startswith("100.0 %")
    assert sidelog("run", "--once", "--store", tmp_path / "s.db").code == 0
    assert sidelog("query", "--count", "-p", "error", "--store", tmp_path / "s.db").out == "10\n"


def test_a_log_that_is_read_well_needs_nothing(sidelog, tmp_path):
    file = tmp_path / "a.log"
    file.write_text('{"timestamp":"2026-11-22T05:39:26Z","level":"info","msg":"x"}\n' * 3)
    said = sidelog("parse", file)
    assert "Nothing needs to be configured" in said.out
    assert summary(said.out)["fields"] == "timestamp at timestamp, severity at level, message at msg"


def test_lines_that_no_pattern_fits_are_shown_and_get_a_proposal(sidelog, tmp_path, log):
    log.write_text(NAMED["redis"].sample + "\n" + TILL)
    said = sidelog("parse", "--format", "redis", "-n", 1, log)
    assert summary(said.out)["format"] == "no pattern fits 96.7 %, pattern 1 3.2 %"
    assert "Not read:\n    2 | 22/11/2026" in said.out
    assert "30 of 30 lines" in said.out


def test_named_patterns_are_listed(sidelog):
    said = sidelog("parse", "--list")
    assert all(f"{name} " in said.out and NAMED[name].sample in said.out for name in NAMED)
    rows = json.loads(sidelog("parse", "--list", "--json").out)
    assert {row["name"]: row["pattern"] for row in rows} == {name: one.text for name, one in NAMED.items()}


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_logs_and_pipes(log, packed):
    data = packed(TILL.encode())
    log.with_suffix(".1").write_bytes(data)
    for arguments, given in (([log.with_suffix(".1")], b""), (["-"], data), ([], data), (["-"], TILL.encode())):
        done = subprocess.run(
            [*PROGRAM, "-o", "json", *arguments], input=given, capture_output=True, timeout=50, check=True
        )
        assert done.stdout.count(b"\n") == 30


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.log"], 1, "SL560]: nowhere.log cannot be read: No such file"),
        (["."], 1, "SL560]: . cannot be read: Is a directory"),
        (["--pattern", "(?<a>x)", "till.log"], 2, "SL130]: --pattern: the pattern has '(?<a>' at character 1"),
        (["--pattern", "(?P<a>x)", "--pattern", "(", "till.log"], 2, "SL130]: --pattern 2: the pattern is wrong at"),
        (["--format", "nginx-eror", "till.log"], 2, "there is no format nginx-eror, did you mean 'nginx-error'?"),
        (["--source", "none", "till.log"], 2, "SL561]: the configuration has no source none"),
        (["--format", "text", "--pattern", "(?P<a>x)", "till.log"], 2, "SL561]: sidelog parse takes one of"),
        (["-o", "json", "--json", "till.log"], 2, "SL561]: -o prints the events"),
        (["-o", "csv", "till.log"], 2, "SL501]"),
        (["damaged.gz"], 1, "SL560]: damaged.gz is compressed, and cannot be decompressed"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(sidelog, log, arguments, code, said):
    (log.parent / "damaged.gz").write_bytes(gzip.compress(TILL.encode())[:60])
    found = sidelog("parse", *arguments)
    assert found.code == code
    assert said in found.err


def test_without_a_file_at_a_terminal_it_does_not_wait(log):
    main, other = pty.openpty()
    try:
        done = subprocess.run(PROGRAM, stdin=other, capture_output=True, timeout=50, check=False)
    finally:
        os.close(main)
        os.close(other)
    assert done.returncode == 2
    assert b"SL561" in done.stderr


def test_hostile_bytes_reach_no_terminal(tmp_path):
    file = tmp_path / "a.log"
    file.write_bytes(b"2026-11-22 05:39:26 ERROR \x1b]0;x\x07 \xe2\x80\xae \xff \x9b2J\n" * 3)
    done = subprocess.run([*PROGRAM, "--color", "always", file], capture_output=True, timeout=50, check=True)
    text = re.sub(r"\x1b\[[\d;]*m", "", done.stdout.decode())
    assert text.replace("\n", "").isprintable()
    assert "\\x1b]0;x\\x07" in text
    assert b"\x1b[33m" in done.stdout
    plain = subprocess.run([*PROGRAM, file], capture_output=True, timeout=50, check=True)
    assert plain.stdout.decode() == text


def test_a_reader_that_leaves_makes_no_noise(log):
    log.write_text(TILL * 2000)
    with subprocess.Popen([*PROGRAM, "-o", "json", log], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.stdout.close()
        assert (running.wait(50), running.stderr.read()) == (141, b"")


def test_an_interruption_shows_what_was_read():
    with subprocess.Popen(
        [*PROGRAM, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdin.write(TILL.encode() * 400)  # more than the pipe holds: most of it is read when this returns
        running.stdin.flush()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=50)
    assert running.returncode == 130
    assert (err, b"lines " in out) == (b"", True)


def test_the_settings_of_a_source(sidelog, log, tmp_path):
    (tmp_path / "sidelog.yaml").write_text(
        f"sources:\n  - name: till\n    include: [/x]\n    format: {{pattern: '{PATTERN}'}}\n"
        "    labels: {service.name: shop}\n    redact: [till]\n"
    )
    row = json.loads(sidelog("parse", "--source", "till", "-o", "json", log).out.splitlines()[0])
    assert (row["source"], row["resource"]["service.name"]) == ("till", "shop")
    assert row["attributes"] == {"till": "[redacted]"}
    assert "did you mean 'till'" in sidelog("parse", "--source", "tll", log).err


def test_the_help_of_the_program_imports_no_patterns():
    code = (
        "import sys; from agent.cli.main import run_command_line; run_command_line(['--help']);"
        "assert not [m for m in sys.modules if m.startswith(('agent.views', 'agent.parse', 'agent.core.named'))]"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50, check=False).returncode == 0
