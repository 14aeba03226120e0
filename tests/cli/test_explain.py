"""Every code has a text that helps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import agent
from agent.core.catalogue import codes, explain

OWN = [code for code in codes() if re.match(r"SL(1\d\d|50\d|999)", code)]


def test_a_code_is_explained_whatever_its_case(sidelog):
    said = sidelog("explain", "sl103")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("# SL103: unknown key\n")
    assert sidelog("explain", " SL103 ").out == said.out


def test_without_a_code_all_are_listed_with_their_titles(sidelog):
    said = sidelog("explain")
    assert [line.split(":")[0] for line in said.out.splitlines()] == codes()
    assert "SL101: the configuration cannot be found or read" in said.out


@pytest.mark.parametrize(
    ("code", "hint"),
    [("SL13", "near it are SL"), ("nonsense", "sidelog explain lists all"), ("../errors", "lists all"), ("", "")],
)
def test_an_unknown_code_is_wrong_usage_with_the_nearest(sidelog, code, hint):
    said = sidelog("explain", code)
    assert (said.code, said.out) == (2, "")
    assert "error[SL504]: there is no error code" in said.err
    assert hint in said.err


@pytest.mark.parametrize("code", OWN)
def test_a_text_has_title_and_three_sections(code):
    text = explain(code)
    assert re.match(rf"# {code}: [a-z].*\n", text)
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["What happened", "Why", "What to do"]
    assert 8 <= len(text.splitlines()) <= 25
    assert max(len(line) for line in text.splitlines()) <= 120


def test_every_code_that_is_raised_has_a_text():
    source = Path(agent.__file__).parent
    raised = {
        code for file in source.rglob("*.py") for code in re.findall(r'"(SL\d{3})"', file.read_text(encoding="utf-8"))
    }
    assert raised
    assert raised - set(codes()) == set()
