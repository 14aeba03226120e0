"""Why an answer is empty: what cannot match is named with the nearest name that exists, and nothing else is."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.query.engine import LogName
from agent.query.language import Query, Selection, parse_query
from agent.query.reasons import nearest, reasons, unknown_fields
from agent.query.union import UnionEngine
from tests.query.conformance import ENGINES, ListEngine
from tests.query.test_conformance import HOSTILE, TERMS, _is_valid, line, plain_log

if TYPE_CHECKING:
    from agent.query.terms import Term

LOGS = {
    "shop.log": line(9, "ready", status=200, http={"path": "/pay", "code": "200"}, tags=[{"name": "x"}], user_id="ann")
    + line(8, "lost", "error", status=500, **{"Response Code": 7}),
    "web.log": line(7, "served", status=204),
}
NUMBER = count()


@pytest.fixture(scope="module", params=["list", "sqlite", "archives", "union, half gone"])
def engine(request, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "reasons"
    root.mkdir(exist_ok=True)
    with ENGINES[request.param](root / str(next(NUMBER)), LOGS) as made:
        yield made.engine


def said(engine, text: str, since=None, until=None) -> list[str]:
    return [reason.message for reason in reasons(engine, Selection(parse_query(text), since, until))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source=ap", "there is no source 'ap'; did you mean 'app'?"),
        ("source=ap*", None),
        ("source=xy*", "there is no source 'xy*'"),
        ("source~^xyz", "there is no source '^xyz'"),
        ("path=/var/log/shp.log", "did you mean '/var/log/shop.log'?"),
        ("source=app path~/nowhere/", "no log with the path '/nowhere/'"),
        ("!path~shop !path~web", "no log satisfies all of '!path~shop !path~web'"),
        ("levl=error", "none of the newest 3 events has a field 'levl'; did you mean 'level'?"),
        ("path~shop levl=error", "none of the newest 2 events with path~shop has a field 'levl'"),
        ("response_code>5", "a field 'response_code'; did you mean 'Response Code'?"),
        ("code=200", "a field 'code'; did you mean 'http.code'?"),
        ("tags.nam=x", "a field 'tags.nam'; did you mean 'tags.name'?"),
        ("userid~a OR x", "did you mean 'user_id'?"),
        ("(ready (levl=a OR x)) OR y", "did you mean 'level'?"),
        ("!(levl!=a OR x)", "did you mean 'level'?"),
        ("attributes.source=app", "a field 'attributes.source'"),
        ("status>=abc", "no value of status is >= abc, which is no number: they are 204, 500, 200"),
        ("user_id<5", "no value of user_id is < 5: they are no numbers but 'ann'"),
        ("logger>=abc", None),
        ("http.code>=100", None),
        ("http.code>=abc", None),
        ("observed_timestamp>=2026", "they are no numbers but '20"),
        ("severity>=error severity<warn", "no severity satisfies all of 'severity>=error severity<warn'"),
        ("state=resolvd", "there is no state 'resolvd'; did you mean 'resolved'?"),
        ("state=re*", None),
        ("state=ignored", None),
        ("group=99", "there is no error group 99"),
        ("group=1.5", "there is no error group 1.5"),
        ("group=1", None),
        ("category=ressource", "the category 'ressource'; did you mean 'resource'?"),
        ("category=network", None),
        ("ready AND lost", "'AND' is searched for as a word"),
        ("AND", None),
        ('"NOT ready"', "'NOT ready' is searched for as one text, with the word NOT in it"),
        ('user_id="ann AND logger=x"', "'ann AND logger=x' is searched for as one text, with the word AND in it"),
        ('"this or that"', None),
        ("read*", "the `*` of 'read*' is searched for as it is"),
        ('"* *"', None),
        ("nothing", None),
        ("status=7 user_id=bob !levl=x levl!=x service=none trace_id=x", None),
    ],
)
def test_what_can_match_nothing_is_said(engine, text, words):
    found = said(engine, text)
    assert len(found) == (words is not None), found
    assert words is None or words in found[0]


def test_each_name_is_said_once_and_all_of_them(engine):
    found = said(engine, "source=x levl=a levl=b stats>3")
    assert [words.split(";")[0] for words in found] == [
        "there is no source 'x'",
        "none of the newest 3 events has a field 'levl'",
        "none of the newest 3 events has a field 'stats'",
    ]


def test_a_span_that_ends_before_it_begins_is_said(engine):
    assert "nothing lies between --since 1970-01-01T00:00:00" in said(engine, "", 10, 10)[0]
    assert said(engine, "", 10, 11) == []


def test_names_of_fields_that_are_printed_or_counted_by(engine):
    [only] = unknown_fields(engine, Query(), ["status", "service", "tiem", "offset", "attributes.user_id", "tiem"])
    assert "a field 'tiem'" in only.message


def test_of_an_engine_without_events_that_alone_is_said():
    empty = ListEngine({})
    assert said(empty, "levl=x source=y") == ["no event is stored"]
    assert list(unknown_fields(empty, Query(), ["levl"])) == []
    assert [one.code for one in reasons(None, Selection(parse_query("levl=a state=x")), {LogName("a", "")})] == [
        "SL519"
    ]


def test_a_field_that_few_events_have_is_looked_for_beyond_the_sample(engine, monkeypatch):
    monkeypatch.setattr("agent.query.reasons.SAMPLED_EVENTS", 1)
    found = said(engine, "user_id=bob") + [one.message for one in unknown_fields(engine, Query(), ["user_id"])]
    assert (found == []) == engine.can_follow, "archives have no part that can be searched quickly"


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("shp", ["shop", "web"], "shop"),
        ("SHOP", ["shop"], "shop"),
        ("status", ["http.status", "stat"], "http.status"),
        ("http-status", ["http.status"], "http.status"),
        ("status", ["state", "http.response.status_code"], "http.response.status_code"),
        ("zzz", ["shop"], None),
        ("shop", ["shop"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_name(name, known, near):
    assert nearest(name, known) == (f"; did you mean {near!r}?" if near else "")


@given(st.lists(plain_log(), min_size=1, max_size=2), st.lists(TERMS, min_size=1, max_size=8))
@settings(max_examples=60, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_said_of_a_term_that_matches(logs, terms):
    """Whatever stands in the lines: what is said to be nowhere is nowhere."""
    engine = ListEngine({str(number): data for number, data in enumerate((*logs, b"".join(HOSTILE)))})
    for term in terms:
        selection = Selection(Query((term,)))
        if _is_valid((selection,)) and not _is_word(term) and any(engine.events(selection)):
            assert [reason.message for reason in reasons(engine, selection)] == [], term


def _is_word(term: Term) -> bool:
    return term.field is None and term.value.endswith("*")


def test_of_an_engine_of_archives_it_is_archives_that_have_nothing():
    assert said(UnionEngine(), "x") == ["no event is archived"]
