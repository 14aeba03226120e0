"""The command that another shell is given to paste: it works on the same store, from any directory."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from agent.cli.again import page_commands, pasted
from agent.cli.common import Context


def made(folder, *, file="", store=None, overrides=()):
    context = Context()
    context.config_path = folder / "sidelog.json" if file else None
    if file:
        context.config_path.write_text(file)
    context.store = store
    context.overrides = overrides
    return shlex.split(pasted(context, context.config(), "token", "link"))[1:]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("SIDELOG_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agent.config.loader.SYSTEM_FILE", tmp_path / "none.yaml")


def test_a_configuration_says_it_all(tmp_path):
    assert made(tmp_path, file="{}") == ["token", "link", "-c", f"{tmp_path}/sidelog.json"]


def test_what_overrides_it_is_said_too(tmp_path, monkeypatch):
    words = made(tmp_path, file="{}", overrides=("http.listen=127.0.0.1:9999", f"store.path={tmp_path}/a.db"))
    own = ["--store", f"{tmp_path}/a.db", "--set", "http.listen=127.0.0.1:9999"]
    assert words[4:] == own
    monkeypatch.setenv("SIDELOG_STORE__PATH", f"{tmp_path}/a.db")
    monkeypatch.setenv("SIDELOG_HTTP__LISTEN", "127.0.0.1:9999")
    assert made(tmp_path, file="{}")[4:] == own


def test_without_a_configuration_the_store_is_named(tmp_path):
    store = tmp_path / "with blank.db"
    assert made(tmp_path, store=store) == ["token", "link", "--store", str(store)]


@pytest.mark.parametrize("known", [True, False])
def test_the_program_is_one_that_the_shell_finds(tmp_path, monkeypatch, known):
    own = tmp_path / "bin with blank/sidelog"
    own.parent.mkdir()
    own.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent "$@"\n')
    own.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(own)])
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}" if known else "/usr/bin:/bin")
    said = pasted(Context(), Context().config(), "version")
    assert said.startswith("sidelog version" if known else f"'{own}' version")
    assert subprocess.check_output(["sh", "-c", said.partition(" --")[0]], text=True).startswith("sidelog")


def test_pages_say_what_searches_their_store_and_archives(tmp_path, monkeypatch):
    context = Context()
    context.config_path = tmp_path / "sidelog.json"
    context.config_path.write_text("{}")
    context.overrides = ("http.listen=127.0.0.1:9999", f"archive.directory={tmp_path}/old logs")
    typed = page_commands(context, context.config())
    assert typed.opener == pasted(context, context.config(), "token", "link")
    words = shlex.split(typed.searcher)
    start = words.index("query")
    place = ["-c", f"{tmp_path}/sidelog.json", "--set", f"archive.directory={tmp_path}/old logs"]
    assert words[start:] == ["query", *place]  # nothing of an address
    context.overrides = ()
    context.store = tmp_path / "s.db"
    assert page_commands(context, context.config()).searcher.endswith(f"sidelog.json --store {tmp_path}/s.db")
