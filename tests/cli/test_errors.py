"""`sidelog errors`: groups, their samples, and their state."""

import contextlib
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.cli import errors, group_text
from agent.cli.common import CONFIG_OPTIONS, OUTPUT_OPTIONS
from agent.core import text
from tests.cli.stores import HOSTILE, error_batch, make, tailed

TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 7, in add\n    x\nValueError: no item\n'
ROOT = Path(__file__).parents[2]
PROMISED = ["id", "title", "culprit", "severity", "category", "state", "first_seen", "last_seen", "count", "trend"]


@pytest.fixture
def store(tmp_path):
    """Two groups: one of three events with a stack trace, one with a hostile title."""
    path = tmp_path / "s.db"
    lines = [
        {"message": HOSTILE, "logger": "evil"},
        *(
            {"message": f"order {n} failed", "logger": "shop", "exc_type": "ValueError", "stack_trace": TRACE, "n": n}
            for n in range(7)
        ),
    ]
    batch, groups = error_batch(lines)
    make(path, batches=[batch], groups=groups)
    return path


def rows(sidelog, store, *arguments):
    said = sidelog("errors", *arguments, "--json", "--store", store)
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_the_list_has_the_promised_fields_and_the_last_seen_comes_first(sidelog, store):
    found = rows(sidelog, store)
    assert [row["id"] for row in found] == [2, 1]
    assert list(found[0])[:10] == PROMISED
    one = found[0]
    assert (one["title"], one["culprit"], one["count"]) == ("ValueError: order 0 failed", "shop/cart.py:add", 7)
    assert (one["severity"], one["category"], one["state"]) == ("ERROR", "validation", "new")
    assert one["trend"][-1] + one["trend"][-2] == 7
    assert len(one["trend"]) == 24
    assert one["first_seen"] < one["last_seen"] < "9"
    assert one["last_seen"].endswith("Z")
    assert rows(sidelog, store, "list") == found


def test_json_may_be_asked_for_before_the_subcommand(sidelog, store):
    said = sidelog("errors", "--json", "list", "--store", store)
    assert json.loads(said.out) == rows(sidelog, store)
    assert json.loads(sidelog("errors", "--json", "show", "1", "--store", store).out)["id"] == 1


def test_the_list_for_people_is_one_harmless_line_per_group(sidelog, store):
    said = sidelog("errors", "--store", store)
    assert said.code == 0
    first, second = said.out.splitlines()
    assert "ValueError: order 0 failed" in first
    assert "7 ×" in first
    assert "0s ago" in first or "s ago" in first
    assert "\\x1b[2J" in second
    for control in "\x1b\x07\u202e\x9b\x7f\r":
        assert control not in said.out


def test_a_state_filter_shows_only_that_state(sidelog, store):
    assert sidelog("errors", "resolve", "1", "--store", store).code == 0
    assert [row["id"] for row in rows(sidelog, store, "list", "--state", "resolved")] == [1]
    both = rows(sidelog, store, "list", "--state", "resolved", "--state", "new")
    assert {row["id"] for row in both} == {1, 2}
    wrong = sidelog("errors", "list", "--state", "gone", "--store", store)
    assert wrong.code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--category", "validaton"), "the category 'validaton'; did you mean 'validation'?"),
        (("--service", "nowhere"), "no error was seen in a service 'nowhere'"),
        (("-S", "1h", "-U", "2h"), "nothing lies between --since"),
        (("-g", "ORDER"), None),
        (("--category", "network"), None),
    ],
)
def test_an_empty_list_says_what_exists_nowhere(sidelog, store, arguments, words):
    said = sidelog("errors", "list", "--json", *arguments, "--store", store)
    assert (said.code, json.loads(said.out)) == (0, [])
    assert ("warning[SL519]" in said.err, (words or "") in said.err) == (words is not None, True)


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), [2, 1]),
        (("-p", "fatal"), []),
        (("-p", "..error"), [2, 1]),
        (("--category", "validation"), [2]),
        (("--service", "shop"), []),
        (("-g", "ORDER"), []),
        (("-g", "order"), [2]),
        (("-S", "1h"), [2, 1]),
        (("-S", "+1h"), []),
        (("-U", "1h"), []),
        (("--sort", "count"), [2, 1]),
        (("--sort", "count", "-r"), [1, 2]),
        (("--sort", "first-seen"), [2, 1]),
        (("--sort", "trend", "-n", "1"), [2]),
    ],
)
def test_the_list_can_be_filtered_and_sorted(sidelog, store, arguments, ids):
    assert [row["id"] for row in rows(sidelog, store, "list", *arguments)] == ids
    assert [row["id"] for row in rows(sidelog, store, *arguments)] == ids, "`list` may be left out"


def test_without_any_word_it_is_the_list(sidelog, store, tmp_path):
    (tmp_path / "sidelog.yaml").write_text(f"store: {{path: {store}}}\n")
    assert sidelog("errors").out == sidelog("errors", "list").out != ""


def test_nothing_that_passes_the_filter_is_said(sidelog, store):
    said = sidelog("errors", "-g", "nowhere", "--store", store)
    assert (said.code, said.out, said.err.strip()) == (0, "", "no such errors")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("-p", "loud"), "SL512"),
        (("-p", "fatal..error"), "SL512"),
        (("-g", "("), "SL513"),
        (("-S", "whenever"), "SL514"),
        (("--sort", "beauty"), "SL501"),
        (("-n", "0"), "SL501"),
        (("shwo", "1"), "SL501"),
    ],
)
def test_a_filter_that_cannot_be_read_is_wrong_usage(sidelog, store, arguments, code):
    said = sidelog("errors", *arguments, "--store", store)
    assert (said.code, said.out) == (2, "")
    assert f"error[{code}]" in said.err


def test_the_help_of_all_commands_is_there_without_naming_one(sidelog):
    for option in ("-h", "--help"):
        said = sidelog("errors", option)
        assert said.code == 0
        assert "ignore" in said.out


def test_every_order_of_the_store_can_be_asked_for():
    from agent.store import groups

    assert tuple(groups.SORTS) == errors.SORTS


@pytest.mark.parametrize(
    ("options", "said", "shown"),
    [
        (("--until-count", "1000"), "until 1,000 more events have come", "ignored for 1,000 more events, "),
        (("--for", "2d"), "until it comes back after 2", "1d left), "),
        (("--until-count", "1", "--for", "1h"), "until 1 more event has come or it comes back after 2", "59m left), "),
        (("--for", "0s"), "until it comes back after 2", "(over: it comes back), "),
        (("--for", "900000d"), "until it comes back after ", "left), "),
        ((), "group 2 is ignored", "group 2, ignored, "),
    ],
)
def test_what_ends_an_ignored_state_is_said_and_shown(sidelog, store, options, said, shown):
    done = sidelog("errors", "ignore", "2", *options, "--store", store)
    assert (done.code, done.out) == (0, "")
    assert said in done.err
    assert shown in sidelog("errors", "show", "2", "--store", store).out
    (row,) = rows(sidelog, store, "list", "--state", "ignored")
    assert (row["ignored_until"] is not None) == ("--for" in options)
    assert row["ignored_events_left"] == (int(options[1]) if "--until-count" in options else None)


@pytest.mark.parametrize("wrong", [("--until-count", "0"), ("--until-count", "x"), ("--for", "soon"), ("--for", "-1h")])
def test_a_limit_that_is_none_is_wrong_usage(sidelog, store, wrong):
    assert sidelog("errors", "ignore", "2", *wrong, "--store", store).code == 2
    assert rows(sidelog, store)[0]["state"] == "new"


@pytest.mark.parametrize(("verb", "state"), [("resolve", "resolved"), ("ignore", "ignored"), ("reopen", "ongoing")])
def test_a_state_can_be_given_and_is_said(sidelog, store, verb, state):
    said = sidelog("errors", verb, "2", "--store", store)
    assert (said.code, said.out, said.err.strip()) == (0, "", f"group 2 is {state}")
    assert rows(sidelog, store)[0]["state"] == state


def test_show_adds_the_trace_and_samples_as_query_prints_them(sidelog, store):
    found = rows(sidelog, store, "show", "2")
    assert found["stacktrace"] == TRACE
    bodies = [sample["body"] for sample in found["samples"]]
    assert (bodies[0], bodies[-1], len(bodies)) == ("order 6 failed", "order 0 failed", 5), "the latest … the first"
    sample = found["samples"][0]
    assert (sample["severity_text"], sample["source"], sample["group"]) == ("ERROR", "app", 2)
    assert sample["attributes"]["n"] == 6
    assert sample["resource"] == {"service.name": "shop"}
    assert found["count"] == 7
    assert "innermost frame" in found["suggestion"]
    assert list(found)[:10] == PROMISED
    assert (len(found["trend_days"]), found["trend_days"][-1] + found["trend_days"][-2]) == (30, 7)
    assert found["services"] == [{"service": None, "count": 7}]
    assert (found["trace_id"], found["trace_events"]) == (None, [])


def test_show_has_the_services_and_what_else_happened_in_the_latest_samples_trace(sidelog, tmp_path):
    """A request's last lines, whatever their severity, say what led to the error."""
    path = tmp_path / "s.db"
    lines = [
        {"message": "asked", "trace_id": "a\x1b1"},
        {"message": "other", "trace_id": "b2"},
        {"message": "cannot", "trace_id": "a\x1b1", "service": "till"},
        {"message": "cannot", "trace_id": "a\x1b1"},
    ]
    batch, groups = error_batch(lines[2:])
    quiet, _ = error_batch(lines[:2], file=tailed(2), now=time.time_ns() - 10**9)
    quiet.events.severities, quiet.group_ids = [9, 9], {}
    make(path, batches=[quiet, batch], groups=groups)
    found = rows(sidelog, path, "show", "1")
    assert found["trace_id"] == "a\x1b1"
    assert [event["body"] for event in found["trace_events"]] == ["asked", "cannot", "cannot"]
    assert found["services"] == [{"service": None, "count": 1}, {"service": "till", "count": 1}]
    said = sidelog("errors", "show", "1", "--store", path).out
    assert "services (none) 1, till 1" in said
    assert "last events of trace a\\x1b1" in said
    assert " INFO  app asked" in said


def test_show_for_people_keeps_the_traces_lines_and_nothing_else(sidelog, store):
    said = sidelog("errors", "show", "2", "--store", store)
    assert said.code == 0
    assert TRACE.rstrip() in said.out
    assert "category validation\nA value is not what the code expects" in said.out
    assert "culprit shop/cart.py:add" in said.out
    assert "7 events, first 2" in said.out
    assert "s ago)" in said.out
    assert re.search(r"last 24 hours \[[ ▄█▁-▇]{24}\] 7 events, at most \d in one hour", said.out)
    assert re.search(r"last 30 days  \[.{30}\] 7 events, at most \d in one day", said.out)
    hostile = sidelog("errors", "show", "1", "--store", store)
    assert "\\x1b[2J" in hostile.out
    assert "\x1b" not in hostile.out


@pytest.mark.parametrize(("verb", "state"), [("resolve", "resolved"), ("ignore", "ignored"), ("reopen", "ongoing")])
def test_several_groups_get_a_state_at_once(sidelog, store, verb, state):
    said = sidelog("errors", verb, "2", "1", "2", "--store", store)
    assert (said.code, said.out, said.err.strip()) == (0, "", f"groups 2 and 1 are {state}")
    assert {row["state"] for row in rows(sidelog, store)} == {state}


def test_each_of_several_ignored_groups_has_the_limit_for_itself(sidelog, store):
    done = sidelog("errors", "ignore", "1", "2", "--until-count", "3", "--store", store)
    assert done.err == "groups 1 and 2 are ignored, each until 3 more events have come\n"


@pytest.mark.parametrize(
    ("ids", "told"), [((2, 9), "no error group 9, so"), ((9, 1, 8, 7), "no error groups 9, 8 and 7, so that none")]
)
def test_where_one_of_several_groups_is_unknown_none_is_changed(sidelog, store, ids, told):
    said = sidelog("errors", "resolve", *ids, "--store", store)
    assert (said.code, said.out) == (1, "")
    assert "error[SL540]: there" in said.err
    assert told in said.err
    assert [row["state"] for row in rows(sidelog, store)] == ["new", "new"]


def test_times_are_local_and_utc_when_asked_for(sidelog, store, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        seen = rows(sidelog, store, "show", "2")["last_seen"]
        local = sidelog("errors", "show", "2", "--store", store).out
        utc = sidelog("errors", "show", "2", "--utc", "--store", store).out
        assert sidelog("errors", "--utc", "show", "2", "--store", store).out == utc
    finally:
        monkeypatch.undo()
        time.tzset()
    assert f"last {seen[:19].replace('T', ' ')} (" in utc
    assert f"last {seen[:19].replace('T', ' ')} (" not in local
    sample = r"\n  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ERROR app order 6 failed: ValueError: no item\n"
    assert re.search(sample, local), "no nanoseconds"


def test_samples_say_which_request_they_are_of(sidelog, tmp_path):
    lines = [
        {"message": "x", "trace_id": "t1", "http": {"request_id": "r\x1b9", "path": "/cart"}, "n": 1},
        {"message": "x", "X-Request-Id": "q", "url": "no path", "id": 5},
        {"message": "x", "record": {"elapsed": {"repr": "1"}, "extra": {"request_id": "r7", "path": "/pay"}}},
        {"message": "x", "mdc": {"requestId": "r8"}, "Properties": {"RequestPath": "/pay"}},
    ]
    batch, groups = error_batch(lines)
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    said = sidelog("errors", "show", "1", "--store", tmp_path / "s.db").out
    assert "\n      trace_id=t1 http.request_id=r\\x1b9 http.path=/cart in /var/log/app-1.log\n" in said
    assert "\n      X-Request-Id=q in /var/log/app-1.log\n" in said
    assert "\n      record.extra.request_id=r7 record.extra.path=/pay in /var/log/app-1.log\n" in said
    assert "\n      mdc.requestId=r8 Properties.RequestPath=/pay in /var/log/app-1.log\n" in said


def test_samples_say_what_broke_where_their_messages_do_not(sidelog, tmp_path):
    """The same words each time, and an exception whose message differs: that one tells them apart."""
    lines = [{"message": "unhandled\nerror", "stack_trace": TRACE.replace("no item", f"no item {n}")} for n in range(2)]
    batch, groups = error_batch(lines)
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    said = sidelog("errors", "show", "1", "--store", tmp_path / "s.db").out
    assert [line.partition("app ")[2] for line in said.splitlines() if " ERROR app " in line] == [
        "unhandled (+1 line): ValueError: no item 1",
        "unhandled (+1 line): ValueError: no item 0",
    ]


def test_frames_of_libraries_are_folded_unless_all_are_wanted(sidelog, tmp_path):
    frame = '  File "/v/site-packages/web/app.py", line 1, in call\n    f()\n'
    trace = TRACE.replace("  File", frame * 40 + "  File", 1)
    batch, groups = error_batch([{"message": "x", "exc_type": "ValueError", "stack_trace": trace}])
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    said = sidelog("errors", "show", "1", "--store", tmp_path / "s.db").out
    assert "site-packages" not in said
    assert "  ... 40 frames of libraries\n" in said
    assert "(without 40 frames of libraries: --full shows them)" in said
    assert 'File "shop/cart.py", line 7, in add' in said
    full = sidelog("errors", "show", "1", "--full", "--store", tmp_path / "s.db").out
    assert full.count("site-packages") == 40
    assert rows(sidelog, tmp_path / "s.db", "show", "1")["stacktrace"] == trace


@pytest.mark.parametrize("verb", ["show", "resolve", "ignore", "reopen"])
def test_a_group_that_is_not_there_is_one_sentence(sidelog, store, verb):
    said = sidelog("errors", verb, "99", "--store", store)
    assert said.code == 1
    assert "error[SL540]: there is no error group 99" in said.err


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "99999999999999999999999"])
def test_what_cannot_be_an_id_is_wrong_usage(sidelog, store, wrong):
    assert sidelog("errors", "show", "--store", store, "--", wrong).code == 2


def test_a_store_without_errors_says_so_beside_the_data(sidelog, tmp_path):
    make(tmp_path / "s.db")
    said = sidelog("errors", "--store", tmp_path / "s.db")
    assert (said.code, said.out, said.err.strip()) == (0, "", "no errors")
    assert rows(sidelog, tmp_path / "s.db") == []


def test_a_missing_store_is_exit_code_three_and_not_made(sidelog, tmp_path):
    for arguments in ((), ("show", "1"), ("resolve", "1")):
        said = sidelog("errors", *arguments, "--store", tmp_path / "none.db")
        assert said.code == 3
        assert "SL401" in said.err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("arguments", [(), ("show", "1"), ("list", "-S", "1h")])
def test_damage_that_is_met_while_reading_is_exit_code_three(sidelog, store, arguments):
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("DROP TABLE group_minutes")
    said = sidelog("errors", *arguments, "--store", store)
    assert (said.code, said.out) == (3, "")
    assert "error[SL402]" in said.err


def test_a_title_that_utf8_cannot_say_is_said_in_escapes(sidelog, tmp_path):
    batch, groups = error_batch([{"message": "a\ud800b", "stack_trace": "x\udfff\n  at y"}])
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    [row] = rows(sidelog, tmp_path / "s.db")
    assert row["title"] == "a\\ud800b"
    assert rows(sidelog, tmp_path / "s.db", "show", "1")["stacktrace"] == "x\\udfff\n  at y"


def on_a_terminal(monkeypatch, *arguments):
    """What a command writes to a real terminal."""
    from agent.cli.main import run_command_line

    controller, terminal = pty.openpty()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        assert run_command_line([str(argument) for argument in arguments]) == 0
        monkeypatch.undo()
    said = b""
    try:
        while part := os.read(controller, 65_536):
            said += part
    except OSError:
        pass  # how a pty says that the other side is gone
    finally:
        os.close(controller)
    return said.decode()


def test_where_the_encoding_lacks_blocks_there_are_ascii_marks(store, tmp_path):
    """Such as in a serial console's locale; nothing is an error there, and the line stays one of its width."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "HOME": str(tmp_path), "NO_COLOR": "1"}
    for arguments in (["errors"], ["errors", "show", "2"]):
        done = subprocess.run(
            [sys.executable, "-m", "agent", *arguments, "--store", str(store)],
            capture_output=True,
            env=environment,
            cwd=ROOT,
            check=True,
        )
        said = done.stdout.decode("ascii")
        assert "\\u258" not in said
        assert re.search(r"[ @#:.=+*-]{24}", said)
        assert ("7 x " in said) == (arguments == ["errors"])


def test_on_a_terminal_a_title_ends_at_its_edge(tmp_path, monkeypatch):
    batch, groups = error_batch([{"message": "word " * 60}])
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    monkeypatch.setenv("COLUMNS", "90")
    said = on_a_terminal(monkeypatch, "--color", "never", "errors", "--store", tmp_path / "s.db").splitlines()
    assert [len(line) for line in said] == [90]
    assert said[0].endswith("...")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_group_is_one_row_with_title_culprit_and_service(tmp_path, monkeypatch, width):
    """Whatever the language of the title, which may take two columns for a character."""
    lines = [
        {"message": title, "exc_type": "shop.errors.PaymentRefusedError", "service": "checkout",
         "stack_trace": TRACE.replace("add", function).replace("ValueError: no item", f"shop.errors.E: {title}")}
        for title, function in (
            ("card 4 was refused by the bank for good", "pay"), ("支払いが拒否されました" * 4, "refund"),
        )
    ]  # fmt: skip
    batch, groups = error_batch(lines)
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    monkeypatch.setenv("COLUMNS", str(width))
    said = on_a_terminal(monkeypatch, "--color", "never", "errors", "--store", tmp_path / "s.db").splitlines()
    assert len(said) == 2
    for line, culprit in zip(said, ("refund", "pay"), strict=True):
        assert text.columns(line) <= width
        assert "[checkout]" in line
        assert "PaymentRefused" in line
        assert width == 60 or f"cart.py:{culprit}" in line


def test_a_narrow_row_leaves_directories_and_packages_of_the_culprit_out_before_it_cuts_the_title(
    tmp_path, monkeypatch
):
    lines = [
        {"message": "no item of that name in the store", "service": "shop", "exc_type": "ValueError",
         "stack_trace": TRACE.replace("shop/", "/srv/very/long/way/to/the/shop/")},
        {"message": "the cart of this user is empty", "service": "shop", "exc_type": "java.lang.IllegalStateException",
         "stack_trace": "java.lang.IllegalStateException: x\n\tat com.example.shop.App.main(App.java:14)"},
    ]  # fmt: skip
    batch, groups = error_batch(lines)
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    monkeypatch.setenv("COLUMNS", "80")
    said = on_a_terminal(monkeypatch, "--color", "never", "errors", "--store", tmp_path / "s.db").splitlines()
    assert [" ".join(line.split()[5:]) for line in said] == [
        "IllegalStateException: the cart of... in App.main [shop]",
        "ValueError: no item of that nam... in cart.py:add [shop]",
    ]


@pytest.mark.parametrize("arguments", [("errors",), ("errors", "show", "1")])
def test_on_a_terminal_there_is_colour_and_no_title_can_drive_it(sidelog, store, monkeypatch, arguments):
    said = on_a_terminal(monkeypatch, *arguments, "--store", store)
    assert "\x1b[" in said
    assert "\\x1b]0;gone\\x07" in said
    for hostile in ("\x1b]0", "\x1b[2J", "\x07", "\u202e", "\x9b"):
        assert hostile not in said


@pytest.mark.parametrize(
    ("counts", "marks"),
    [([], ""), ([0, 0], "  "), ([1, 2, 4, 8], "▁▂▄█"), ([1, 10_000], "▁█"), ([0, 5], " █")],
)
def test_a_trend_is_as_high_as_its_share_and_never_hides_an_event(counts, marks):
    assert group_text.sparkline(counts) == marks


@pytest.mark.parametrize(
    ("seconds", "text"), [(-50, "0s ago"), (5, "5s ago"), (125, "2m ago"), (7_300, "2h ago"), (200_000, "2d ago")]
)
def test_how_long_ago(seconds, text, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now)
    assert group_text.ago(now - seconds * 10**9) == text


def test_the_documentation_has_every_command_option_state_and_order():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    shared = {name for option in (*CONFIG_OPTIONS, *OUTPUT_OPTIONS) for name in _options(option)}
    for name, one in errors.command.commands.items():
        assert f"`{name}" in page or f"errors {name}" in page
        for option in one.params:
            for spelling in {*option.opts} - shared:
                assert f"`{spelling}" in page or spelling in ("group", "groups"), spelling
    for word in (*errors.STATES, *(f"--sort {sort}" for sort in errors.SORTS)):
        assert f"`{word}`" in page


def _options(decorate):
    """The spellings of a shared option."""

    def function():
        pass

    decorate(function)
    return function.__click_params__[0].opts
