"""`sidelog errors`: groups, their samples, and their state."""

import json
import os
import pty
import time

import pytest

from agent.cli import errors as module
from tests.cli.stores import HOSTILE, error_batch, make

TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 7, in add\n    x\nValueError: no item\n'


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
    promised = ["id", "title", "culprit", "severity", "category", "state", "first_seen", "last_seen", "count", "trend"]
    assert set(promised) <= set(found[0])
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


@pytest.mark.parametrize(("verb", "state"), [("resolve", "resolved"), ("ignore", "ignored"), ("reopen", "ongoing")])
def test_a_state_can_be_given_and_is_said(sidelog, store, verb, state):
    said = sidelog("errors", verb, "2", "--store", store)
    assert (said.code, said.out, said.err.strip()) == (0, "", f"group 2 is {state}")
    assert rows(sidelog, store)[0]["state"] == state


def test_show_adds_the_trace_and_the_newest_samples_as_query_prints_them(sidelog, store):
    found = rows(sidelog, store, "show", "2")
    assert found["stacktrace"] == TRACE
    assert [sample["body"] for sample in found["samples"]] == [f"order {n} failed" for n in (6, 5, 4, 3, 2)]
    sample = found["samples"][0]
    assert (sample["severity_text"], sample["source"], sample["group"]) == ("ERROR", "app", 2)
    assert sample["attributes"]["n"] == 6
    assert sample["resource"] == {"service.name": "shop"}
    assert found["count"] == 7
    assert "innermost frame" in found["suggestion"]


def test_show_for_people_keeps_the_traces_lines_and_nothing_else(sidelog, store):
    said = sidelog("errors", "show", "2", "--store", store)
    assert said.code == 0
    assert TRACE.rstrip() in said.out
    assert "category validation\nA value is not what the code expects" in said.out
    assert "culprit shop/cart.py:add" in said.out
    assert "7 events" in said.out
    hostile = sidelog("errors", "show", "1", "--store", store)
    assert "\\x1b[2J" in hostile.out
    assert "\x1b" not in hostile.out


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
    monkeypatch.delenv("NO_COLOR")
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
    assert module._trend(counts) == marks


@pytest.mark.parametrize(
    ("seconds", "text"), [(-50, "0s ago"), (5, "5s ago"), (125, "2m ago"), (7_300, "2h ago"), (200_000, "2d ago")]
)
def test_how_long_ago(seconds, text, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now)
    assert module._ago(now - seconds * 10**9) == text
