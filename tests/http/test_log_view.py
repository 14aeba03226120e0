"""What the page of logs offers as links, without a server: each is an address of the same page."""

from __future__ import annotations

import shlex
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.times import format_utc
from agent.http.event_view import ShownEvent
from agent.http.log_view import ROWS, LogAnswer, LogSearch
from agent.http.spans import read_span
from agent.query.language import parse_query
from agent.query.syntax import QueryError, read_arguments, read_text

S = 10**9
NOW = 1_800_000_000 * S


def parameters(address: str) -> dict[str, str]:
    return {name: texts[0] for name, texts in parse_qs(urlsplit(address).query).items()}


def row(instant: int, number: int = 1) -> ShownEvent:
    return ShownEvent(
        number, instant, "", format_utc(instant), "info", "INFO", "app", "", "m", "", None, "/l", [], "{}"
    )


def answer(given: dict[str, str], rows=(), total: int = 0, fields=()) -> LogAnswer:
    search = LogSearch.of(given)
    return LogAnswer(search, read_span(search.since, search.until, NOW), rows, total, fields)


def facets(q: str, field: str, *values: object):
    counted = [{"value": value, "count": 1} for value in values]
    return answer({"q": q}, fields=[{"field": field, "count": 4, "values": counted}]).fields[0].facets


@pytest.mark.parametrize(
    ("q", "filtered", "excluded"),
    [
        ("", "service=shop", "service!=shop"),
        ("declined", "declined service=shop", "declined service!=shop"),
        ("a OR b", "(a OR b) service=shop", "(a OR b) service!=shop"),
        ("service=shop declined", "declined", "declined service!=shop"),
        ("service!=shop", "service=shop", ""),
        ("service=shopping", "service=shopping service=shop", "service=shopping service!=shop"),
    ],
)
def test_a_filter_is_added_taken_back_or_turned(q, filtered, excluded):
    [facet] = facets(q, "service", "shop")
    assert parameters(facet.filter).get("q", "") == filtered
    assert parameters(facet.exclude).get("q", "") == excluded
    assert facet.active == (q in ("service=shop declined", "service!=shop"))
    assert facet.share == 25.0


@pytest.mark.parametrize(
    "value", ["a b", 'say "no"', "back\\slash", "(x)", "", "star*", "\x1b[31m\u202e", True, 1.5, "ö"]
)
def test_a_filter_means_its_value(value):
    [facet] = facets("", "odd name", value)
    [term] = parse_query(parameters(facet.filter)["q"]).terms
    text = value if isinstance(value, str) else str(value).lower()
    assert (term.field, term.operator, term.value, term.prefix) == ("odd name", "=", text, False)
    assert facet.text.isprintable()


def test_what_cannot_be_searched_is_no_filter():
    found = answer({}, fields=[{"field": "f", "count": 1, "values": [{"value": None, "count": 1}]}]).fields
    assert found == []
    assert [facet.text for facet in facets("", "f", "short", "x" * 201, [1], {"a": 1})] == ["short"]


def terms_of(command: str) -> list[str]:
    """What the command line gets as terms, of a command in the words of a shell."""
    words = shlex.split(command)
    assert words[:2] == ["sidelog", "query"]
    terms = words[2 : words.index("-S")]
    assert not any(term.startswith("-") for term in terms)
    return terms


LETTERS = "ab ()!\"=~>*\\-'"
QUERIES = (
    "a", "foo(", "a b", '"a b" c=d', "!a", "-1", "-x=1 b", "a OR (b c)", "severity>=warn", 'x="y z"', "f(a OR b)",
    '"a OR b"', '"say \\"no\\""', "it's", "!(a b) c", "a=1 a=2 OR b", "x=*", 'x="a b"*', "((a", ") b", "$HOME `x`",
)  # fmt: skip


@pytest.mark.parametrize("q", QUERIES)
def test_the_command_line_reads_the_same_query(q):
    same_query(q)


@given(st.text(LETTERS, max_size=14) | st.lists(st.sampled_from([*QUERIES, "OR", "(", ")"])).map(" ".join))
def test_the_command_line_reads_the_same_of_any_query(q):
    same_query(q)


def same_query(q: str) -> None:
    try:
        terms = read_text(q)
    except QueryError:
        return
    command = LogSearch.of({"q": q, "order": "oldest"}).command("sidelog query")
    assert command.endswith(f"-S 1h -n {ROWS}")
    assert read_arguments(terms_of(command)) == terms


def test_what_cannot_be_seen_is_typed_all_the_same():
    q = '"tab\there" \u202e\x1b[31m\'s'
    command = LogSearch.of({"q": q}).command("printf '%s\\0'")
    assert command.isprintable()
    words = subprocess.check_output(["bash", "-c", command], text=True).split("\0")
    assert read_arguments(words[: words.index("-S")]) == read_text(q)


def test_the_address_keeps_what_was_chosen():
    search = LogSearch.of(
        {"q": "a", "since": "6h", "order": "oldest", "view": "json", "columns": 'a.b,"c,d"', "x": "y"}
    )
    assert search.columns == ("a.b", "c,d")
    assert LogSearch.of(parameters(search.address())) == search
    assert parameters(search.address(q="b"))["q"] == "b"
    assert LogSearch.of({"view": "odd", "columns": '"open'}) == LogSearch.of({})


def test_a_permalink_and_downloads_have_fixed_times():
    found = answer({"q": "a", "since": "1h", "columns": "n"})
    fixed = {"since": format_utc(NOW - 3_600 * S).replace(".000000000", ""), "until": "2027-01-15T08:00:01Z"}
    assert parameters(found.permalink) == {"q": "a", "columns": "n", **fixed}
    asked = {"q": "a", "order": "newest", "limit": "100000", **fixed}
    assert parameters(found.ndjson) == asked
    assert parameters(found.csv) == {**asked, "fields": "timestamp,severity,source,n,message"}


def test_wider_is_three_times_as_long_and_not_into_the_future():
    given = {"since": "2026-01-01T10:00:00Z", "until": "2026-01-01T11:00:00Z"}
    assert parameters(answer(given).wider) == {"since": "2026-01-01T09:00:00Z", "until": "2026-01-01T12:00:00Z"}
    assert "until" not in parameters(answer({"since": "1h"}).wider)


def test_more_rows_begin_with_those_of_the_last_ones_instant():
    rows = [row(NOW - number * S) for number in range(ROWS)]
    assert answer({}, rows, ROWS).more == ""
    last = parameters(answer({}, rows, ROWS + 1).more)
    assert last["until"] == format_utc(rows[-1].instant + 1)
    oldest = parameters(answer({"order": "oldest"}, rows[::-1], ROWS + 1).more)
    assert oldest["since"] == "2027-01-15T08:00:00Z"
    same = parameters(answer({}, [row(NOW)] * ROWS, ROWS + 1).more)
    assert same["until"] == "2027-01-15T08:00:00Z"  # else it would lead to itself
