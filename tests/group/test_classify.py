"""The category and the suggestion of an error: by its type, else by what it says."""

import tomllib
from pathlib import Path

import pytest

from agent.group.classify import classify, suggestion
from agent.group.kinds import KINDS, SUGGESTIONS, VAGUE

CASES = tomllib.loads((Path(__file__).parent / "categories.toml").read_text(encoding="utf-8"))["cases"]
CATEGORIES = {
    "network", "filesystem", "configuration", "validation", "dependency", "resource", "permission", "user input",
    "unknown",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "category"), CASES)
def test_the_category_is_that_of_the_type_or_else_of_the_message(kind, message, category):
    assert classify(kind or None, message) == category


def test_every_category_has_a_suggestion_and_no_other_exists():
    assert set(SUGGESTIONS) == CATEGORIES
    assert {kind.category for kind in KINDS} == CATEGORIES - {"unknown"}
    assert set(VAGUE.values()) <= CATEGORIES


@pytest.mark.parametrize("text", [*(kind.suggestion for kind in KINDS), *SUGGESTIONS.values()])
def test_a_suggestion_is_a_sentence(text):
    assert text[0].isupper()
    assert text[-1] in ".?"
    assert "  " not in text


def test_the_suggestion_is_of_the_kind_and_else_of_the_category():
    assert "listens" in suggestion("ConnectionRefusedError", "")
    assert "listens" in suggestion("OSError", "[Errno 111] Connection refused")
    assert suggestion("OSError", "odd") == SUGGESTIONS["filesystem"]
    assert suggestion(None, "odd") == SUGGESTIONS["unknown"]


def test_each_name_of_the_table_has_the_category_of_its_kind_or_of_one_before_it():
    """A name that another kind claims first would be dead."""
    for rank, kind in enumerate(KINDS):
        categories = {one.category for one in KINDS[: rank + 1]}
        for name in kind.types.split():
            assert name not in VAGUE
            assert classify(f"a.b.{name}", "") in categories
        for words in filter(None, kind.words.split(",")):
            assert classify(None, words.strip()) in categories


def test_only_the_beginning_of_a_text_counts():
    assert classify(None, "x" * 600 + " timeout") == "unknown"
    assert classify("x" * 600 + "Timeout", "") == "unknown"


@pytest.mark.parametrize("pattern", ["a", "a.", "A", "Error", "a b ", "$", "no such "])
def test_hostile_text_ends(pattern):
    """A megabyte of anything: what is quadratic in it would take minutes."""
    text = pattern * (1_000_000 // len(pattern))
    assert classify(text, text) in CATEGORIES
