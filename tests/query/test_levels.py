"""A level is asked for under every name with which it is written."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.query import command
from agent.core import severity
from agent.core.errors import UsageError
from agent.query.language import parse_query
from agent.query.predicate import severity_numbers
from tests.query.stores import EventRow, make_store

LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"]
SLOG = ["DEBUG-4", "DEBUG+1", "INFO+2", "WARN+1", "ERROR+2", "ERROR+9"]
STEPS = [f"{level}{step}" for level in LEVELS for step in (1, 2, 3, 4)]
NAMES = [*severity.NAMES, *SLOG, *STEPS]


def accepted(text):
    """The numbers that a query of one term on severity accepts."""
    (term,) = parse_query(text).terms
    return severity_numbers(term)


@pytest.mark.parametrize("scale", ["auto", "clef"])
@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_found_under_the_name_with_which_it_was_written(name, scale):
    """By `-p NAME`, `severity=NAME` and in ranges, in any case."""
    for spelled in (name.lower(), name.upper(), name.title()):
        stored = severity.read(spelled, scale)
        assert 1 <= stored <= severity.HIGHEST
        low, high = severity.number_range(spelled)
        assert (low <= stored, high) == (True, severity.HIGHEST)
        assert stored in accepted(f"severity={spelled}")
        assert stored in accepted(f"severity>={spelled}") & accepted(f"severity<={spelled}")
        low, high = severity.number_range(f"{spelled}..{spelled}")
        assert low <= stored <= high
        assert stored not in accepted(f"severity!={spelled}") | accepted(f"severity>{spelled}")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("info", (9, 12)), ("INFORMATION", (9, 12)), ("notice", (10, 10)), ("err", (17, 20)), ("dpanic", (20, 20)),
        ("crit", (21, 24)), ("alert", (22, 22)), ("emerg", (24, 24)), ("severe", (17, 20)), ("finer", (2, 2)),
        ("ERROR+2", (19, 19)), ("info2", (10, 10)), ("INFO1", (9, 9)), ("verbose", (1, 8)), ("0", (0, 0)),
        ("17", (17, 17)), ("60", (21, 24)), ("40000", (17, 20)), (" Warn ", (13, 16)),
    ],
)  # fmt: skip
def test_a_name_stands_for_its_level_or_for_one_number_between_levels(name, numbers):
    assert severity.level_range(name) == numbers


@pytest.mark.parametrize("text", ["25", "30", "40", "50", "99", "1000000", "1.5", "warn5", "İnfo+1", "ınfo2", "٣"])
def test_what_is_no_level_is_refused(text):
    with pytest.raises(UsageError) as caught:
        severity.level_range(text)
    assert caught.value.code == "SL512"


def test_a_number_with_two_meanings_is_refused_with_both():
    with pytest.raises(UsageError) as caught:
        severity.level_range("50")
    assert "error to pino and critical to Python" in caught.value.hint


@given(st.text(max_size=10))
def test_any_text_is_a_level_or_an_error_with_a_code(text):
    try:
        low, high = severity.level_range(text)
    except UsageError as error:
        assert error.code == "SL512"  # noqa: PT017 - either outcome is right
    else:
        assert 0 <= low <= high <= severity.HIGHEST


def test_the_command_finds_what_the_parser_stored(tmp_path):
    """`query -p notice` used to refuse a level that events were stored with."""
    names = ["debug", "info", "notice", "warning", "err", "crit", "alert", "emerg"]
    rows = [EventRow({"msg": name}, severity=severity.read(name)) for name in names]
    make_store(tmp_path / "store.db", rows).close()
    for place, name in enumerate(names):
        options = ["--store", str(tmp_path / "store.db"), "-o", "json", "-n", "all", "-p", name]
        result = CliRunner().invoke(command, options, catch_exceptions=False)
        found = [json.loads(line)["body"] for line in result.stdout.splitlines()]
        assert found == names[place:], name
