"""Common options before and after the command, colour, safe text."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import main
from agent.cli.common import Context, echo_json, paint, safe_text, use_color, with_context
from agent.core.errors import StoreError
from agent.core.text import to_text
from agent.store import schema


@pytest.fixture
def options(sidelog, monkeypatch):
    """What a command sees of the common options."""
    seen = {}

    @click.group()
    def group():
        """A command with subcommands."""

    @group.command()
    @with_context
    @click.argument("words", nargs=-1)
    def sub(context, words):
        seen.update(vars(context), words=words, use_color=use_color())

    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: group)

    def run(*arguments):
        seen.clear()
        assert sidelog(*arguments).code == 0
        return seen

    return run


@pytest.mark.parametrize(
    "line",
    [
        "-c a.yaml --store s.db --set x=1 --set y=2 -v explain sub word",
        "explain sub word -c a.yaml --store s.db --set x=1 --set y=2 -v",
        "-c b.yaml --set x=1 explain sub -c a.yaml --store s.db word --set y=2 -vv -q",
    ],
)
def test_options_stand_before_or_after_the_command(options, line):
    seen = options(*line.split())
    assert (str(seen["config_path"]), str(seen["store"]), seen["overrides"]) == ("a.yaml", "s.db", ("x=1", "y=2"))
    assert (seen["verbosity"], seen["words"]) == (1, ("word",))


def test_without_options_there_are_none(options):
    seen = options("explain", "sub")
    assert (seen["config_path"], seen["store"], seen["overrides"], seen["verbosity"]) == (None, None, (), 0)
    assert options("explain", "sub", "-q")["verbosity"] == -1


@pytest.mark.parametrize(
    ("line", "color"),
    [("--color always explain sub", True), ("explain sub --color=never", False), ("explain sub", False)],
)
def test_color_can_be_chosen(options, line, color):
    assert options(*line.split())["use_color"] is color


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("choice", "environ", "stream", "colored"),
    [
        ("auto", {}, Terminal(), True),
        ("auto", {"NO_COLOR": ""}, Terminal(), True),
        ("auto", {"NO_COLOR": "1"}, Terminal(), False),
        ("auto", {"TERM": "dumb"}, Terminal(), False),
        ("auto", {}, io.StringIO(), False),
        ("always", {"NO_COLOR": "1"}, io.StringIO(), True),
        ("never", {}, Terminal(), False),
    ],
)
def test_who_decides_about_color(monkeypatch, choice, environ, stream, colored):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert Context(color=choice).use_color(stream) is colored


def test_paint():
    assert paint("x", "red", enabled=False) == "x"
    assert paint("x", "red", enabled=True) == "\x1b[31mx\x1b[0m"


def test_hostile_text_is_made_visible():
    text = "a\x1b]0;owned\x07\x9b31m\x08\r\n\t\u202eb\x7f\u2066\u061c\u200f"
    shown = "a\\x1b]0;owned\\x07\\x9b31m\\x08\\r\\n\\t\\u202eb\\x7f\\u2066\\u061c\\u200f"
    assert safe_text(text) == shown
    assert safe_text("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"
    assert safe_text("größer — 日本 🎉\u2028") == "größer — 日本 🎉\u2028"


@given(st.text())
def test_no_text_drives_a_terminal(text):
    assert not re.search("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", safe_text(text))


def test_json_is_one_document(capsys):
    echo_json({"a": [1, "ö"], "path": pytest})
    assert capsys.readouterr().out.startswith('{\n  "a": [\n    1,\n    "ö"\n  ],\n  "path": "<module')


def test_json_may_tell_names_that_are_not_utf8(capsys):
    name = os.fsdecode(b"caf\xe9.log")
    echo_json({"rows": [{"path": name}, (name, 1)], name: None})
    text = to_text(name)
    assert json.loads(capsys.readouterr().out) == {"rows": [{"path": text}, [text, 1]], text: None}


def test_a_store_is_opened_for_reading(sidelog, tmp_path):
    path = tmp_path / "s.db"
    context = Context()
    context.store = path
    with pytest.raises(StoreError):
        context.open_store()
    assert not path.exists(), "a reader creates nothing"
    connection = sqlite3.connect(path, isolation_level=None)
    schema.prepare_file(connection)
    schema.migrate(connection)
    connection.close()
    with click.Context(click.Command("query")):
        reader, config = context.open_store()
        assert config.store.path == path
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM events")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.execute("SELECT 1")
