"""The catalogue of errors: each code is raised with the facts that its words ask for, explained, and documented."""

import ast
import errno
import re
import string
from pathlib import Path

import pytest

from agent.core import catalogue
from agent.core.errors import REASONS, ArchiveError, SidelogError, StoreError, UsageError

AGENT = Path(catalogue.__file__).parent.parent
DOCS = AGENT.parent / "docs"
CODE = re.compile(r"SL\d{3}(\.[a-z0-9-]+)?$")
MADE_BY_HAND = {"SL999"}  # where nothing may fail any more
MAKERS = {"of", "at", "add", "error", "warning"}  # what takes a key of the catalogue, a subject and facts


def fields(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def trees():
    for path in sorted(AGENT.rglob("*.py")):
        yield path.relative_to(AGENT), ast.parse(path.read_text())


def keys(node):
    """The keys of the catalogue that an expression gives: one, or either of two."""
    if isinstance(node, ast.IfExp):
        return keys(node.body) | keys(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and CODE.match(str(node.value)) else set()


def calls():
    """(place, name of what is called, key, keywords) of each `SomeError.of("SL…", …)` and its like."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for key in keys(node.args[0]):
                    yield f"{path}:{node.lineno}", name, key, {keyword.arg for keyword in node.keywords}


def mentioned():
    """Codes that stand as texts in the program."""
    found = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                code, _, _ = node.value.partition(".")
                if len(code) == 5 and code.startswith("SL") and code[2:].isdigit():
                    found.add(code)
    return found


def test_each_code_that_is_raised_gets_the_facts_that_its_words_ask_for():
    found = [call for call in calls() if call[1] in MAKERS]
    assert len(found) > 150
    for place, name, key, keywords in found:
        words = catalogue.words(key)
        wanted = fields(words.sentence) | (set() if "hint" in keywords else fields(words.hint))
        given = keywords - {"hint"} | ({"at"} if name == "at" else set())
        exact = given == wanted - {"subject"}
        assert None in given or exact, f"{place}: {key} asks for {wanted}, gets {given}"
        for reason in set(REASONS.values()):  # whichever the system may choose
            words = catalogue.words(key, reason)
            assert fields(words.sentence + words.hint) <= wanted | {"subject"}, f"{place}: {key}, {reason}"


def test_no_error_brings_words_of_its_own():
    made = {key for _, name, key, _ in calls() if name.endswith("Error")}
    assert made == MADE_BY_HAND


def test_each_code_is_raised_somewhere_and_explained():
    assert mentioned() - set(catalogue.codes()) == set()
    assert set(catalogue.codes()) - mentioned() == set()


def test_each_code_is_documented():
    listed = (DOCS / "codes.md").read_text()
    for code in catalogue.codes():
        title = catalogue.explain(code).splitlines()[0].removeprefix(f"# {code}: ")
        assert f"| {code} | {title} |" in listed, code


def test_every_text_has_its_title_and_parts():
    for code in catalogue.codes():
        text = catalogue.explain(code)
        assert text.startswith(f"# {code}: "), code
        assert len(text.splitlines()) >= 8, code
        assert "\n    operation: " not in text, "the head is for the program"
        assert "\n\n\n" not in text


def test_explaining_takes_a_code_in_any_case_and_nothing_else():
    assert catalogue.explain(" sl404 ").startswith("# SL404: ")
    for other in ("SL000", "", "../SL404", "SL404.md", "/etc/passwd", "\0", "SL404/../SL404"):
        assert catalogue.explain(other) is None


def test_a_head_has_variants_and_long_lines():
    text = """# SL1: a title

    operation: do it
    sentence: {a} is
      {b}
    sentence.other: nothing
    hint: do {a}
    retryable: yes

## What happened
"""
    assert catalogue.parse(text) == {
        "operation": "do it",
        "sentence": "{a} is {b}",
        "sentence.other": "nothing",
        "hint": "do {a}",
        "retryable": "yes",
    }
    with pytest.raises(ValueError, match="no key of the catalogue: 'hnt: x'"):
        catalogue.parse("# SL1: a\n\n    hnt: x\n")


def test_an_error_says_what_the_catalogue_has_for_it():
    error = SidelogError.of("SL523", "SELECT 1", seconds="30")
    assert (error.code, error.operation, error.subject) == ("SL523", "run SQL", "SELECT 1")
    assert error.message == "the statement took longer than 30 s and was stopped"
    assert error.hint.startswith("narrow it down")
    assert SidelogError.of("SL523", "SELECT 1", seconds="30", hint="wait").hint == "wait"
    assert type(UsageError.of("SL504.near", "x", code="x", near="y")) is UsageError
    assert UsageError.of("SL504.near", "x", code="x", near="y").hint == "near it are y"


def test_a_fact_may_be_a_path_or_what_the_system_says():
    error = UsageError.of("SL520", Path("/a"), why=OSError(28, "No space left on device"))
    assert error.message == "the statement cannot be run: No space left on device"
    assert UsageError.of("SL520", "x", why=OSError(28, "")).message.endswith("No space left on device")
    assert UsageError.of("SL520", "x", why=OSError("gone")).message.endswith("gone")
    assert SidelogError.of("SL504", "SL13", code="SL13").message == "there is no error code 'SL13'"
    assert error.subject == "/a"


def test_what_the_system_refuses_chooses_the_words_where_the_code_has_some_for_it():
    full, denied = OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EACCES, "Permission denied")
    assert ArchiveError.of("SL804", "/a", why=full).hint.startswith("free space")
    assert ArchiveError.of("SL804", "/a", why=denied).hint.startswith("look at the directory's permissions")
    assert ArchiveError.of("SL807.kept", "/a", why=denied).message.startswith("the archive /a is no longer kept")


def test_an_installation_in_pieces_still_says_the_facts(monkeypatch):
    monkeypatch.setattr(catalogue, "_FOLDER", Path("/nowhere"))
    monkeypatch.setattr(catalogue, "_read", {})
    error = StoreError.of("SL402", "/a.db", path="/a.db", why="torn")
    assert (error.code, error.message, error.exit_code) == ("SL402", "SL402: path: /a.db, why: torn", 3)
    assert StoreError.of("SL402", "/a.db").message == "SL402: /a.db"


def test_all_of_it_can_be_read_beforehand(monkeypatch):
    monkeypatch.setattr(catalogue, "_read", {})
    catalogue.load()
    monkeypatch.setattr(catalogue, "_FOLDER", Path("/nowhere"))
    assert UsageError.of("SL522", "x").message == "there is more than one statement"
