"""What the analysis of a query says must be there is there in each event that matches, and engines say the same."""

from __future__ import annotations

import json
from contextlib import closing
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.alert.event import LiveEvent, LiveFile
from agent.alert.matching import RuleIndex
from agent.core import event as kernel
from agent.core.errors import UsageError
from agent.core.groups import GroupTraits
from agent.query.analysis import ALL_SEVERITIES, ERROR_SEVERITIES, RequiredText
from agent.query.language import Query, Selection, parse_query
from agent.query.sqlite.plan import make_plan
from agent.query.terms import NOT_IGNORED, Term
from agent.store.events import Files
from tests.query.cases import FILES, QUERIES, ROWS
from tests.query.stores import BASE, EventRow, add_events, make_store

GROUPS = st.integers(0, 4)
ANY_GROUP = (Term("group", "=", "", prefix=True),)


@pytest.fixture(scope="module")
def store():
    with closing(make_store(":memory:", files=FILES)) as store:
        yield store


LABELLED = {
    number: LiveFile(number, file.source, file.path, file.resource, None, (0, 0, 0), 0)
    for number, file in enumerate(FILES, 1)
}
CATEGORIES = {number: GroupTraits(f"category{number % 3}", "ongoing") for number in range(1, 5)}


def grouped(rows, group):
    """The rows; those that are errors have the group, where it is not 0."""
    for row in rows:
        row.group = group or None if row.severity in ERROR_SEVERITIES else None
    return rows


def event_of(row, id_=1):
    """As rules see it, which is as everyone sees it, but that what is read of it is kept."""
    record = row.record if isinstance(row.record, str) else json.dumps(row.record)
    head = (id_, row.timestamp, BASE, row.severity, row.file, row.offset)
    return LiveEvent(kernel.EventRow(*head, row.group, record, row.raw, row.parse_error), LABELLED[row.file])


# ---------------------------------------------------------------- the slow and obvious twin


def lower(text):
    """In small letters, as far as they are ASCII."""
    return "".join(character.lower() if character.isascii() else character for character in text)


def stands(required: RequiredText, event) -> bool:
    """Whether an event's record holds a text, or there is a way round it."""
    if hiding(required) in event.record or (required.composed and '"@mt"' in event.record):
        return True
    if required.is_labelled(event.file.resource):
        return True
    if required.field is None and isinstance(event.raw, bytes) and stands_in_line(required, event.raw):
        return True
    if required.folded:
        return lower(required.text) in lower(event.record)
    return required.text in event.record


def hiding(required: RequiredText) -> str:
    """What may stand for a character of it: any escape, or the number of one that is printed as it is."""
    text = required.text[:-1] if required.is_key else required.text
    return "\\" if set(text) & set('"\\/') or not text.isprintable() else "\\u"


def stands_in_line(required: RequiredText, raw: bytes) -> bool:
    """Whether the line beside a record holds a text, or may hold it behind an escape, or where SQL does not look."""
    if hiding(required).encode() in raw:
        return True
    if required.folded:
        return b"\0" in raw or required.text.lower().encode() in raw.lower()
    return required.text.encode() in raw


def possible(analysis, event, decided=lambda _condition, _event: True) -> bool:
    """Whether an analysis lets an event through; `decided` judges conditions that no text is required for."""

    def stands_for(condition) -> bool:
        if condition.branches:
            return any(possible(branch, event, decided) for branch in condition.branches)
        if condition.required:
            return any(stands(required, event) for required in condition.required)
        return decided(condition, event)

    return (
        event.severity_number in analysis.severities
        and analysis.accepts_file(event.file)
        and all(map(stands_for, analysis.conditions))
    )


# ---------------------------------------------------------------- the rule, and that engines keep to it


@settings(max_examples=300, deadline=None)
@given(ROWS, QUERIES, GROUPS)
@example([EventRow({"service": "shop"}, file=3)], Query((Term("service.name", "~", "sho"),)), 0)
@example([EventRow({"service": "shop"}, file=3)], Query((Term("service.name", "=", "shop"),)), 0)
@example([EventRow('{"x":"K"}')], Query((Term(None, "", "k"),)), 0)
@example([EventRow({"@mt": "{user}", "user": "ann"})], Query((Term("message", "=", "ann"),)), 0)
@example([EventRow({"@mt": "a{x}", "x": "nn"})], Query((Term("message", "~", "ann"),)), 0)
@example([EventRow({"x": True})], Query((Term("message", "~", "True"),)), 0)
@example([EventRow({"message": "\u212ane"})], Query((Term("message", "~", "(?i:kne)"),)), 0)
@example([EventRow('{"message":"\\u0061nn"}')], Query((Term("message", "~", "ann"),)), 0)
def test_what_must_be_there_is_there_in_each_match(rows, query, group):
    for event in map(event_of, grouped(rows, group)):
        if query.matches(event, CATEGORIES):
            assert possible(query.analysis, event)
            sources = query.analysis.sources
            assert sources is None or event.source in sources


@settings(max_examples=200, deadline=None)
@given(ROWS, QUERIES, GROUPS)
@example([EventRow({}), EventRow({}, severity=17)], Query((Term("group", "=", "\ud800"),)), 0)
@example([EventRow({}, raw=b"a\\b")], Query((Term(None, "", '"user"'),)), 0)
def test_the_plan_in_sql_says_what_the_analysis_says(store, rows, query, group):
    """To the letter: nothing more is let through, and what needs no predicate is what matches."""
    store.execute("DELETE FROM events")
    add_events(store, grouped(rows, group))
    ids = [row[0] for row in store.execute("SELECT id FROM events ORDER BY id")]
    events = list(map(event_of, rows, ids))
    plan = make_plan(Selection(query), Files(store))

    def decided(condition, event):
        of_groups = condition.field in ("group", "category", "state")
        if (of_groups and condition.is_equality) or condition.terms in (NOT_IGNORED, ANY_GROUP):
            return Query(condition.terms).matches(event, CATEGORIES)
        return True

    found = set()
    if not plan.empty:
        found = {row[0] for row in store.execute(f"SELECT e.id FROM events e WHERE true{plan.sql}", plan.parameters)}
    assert found == {event.id for event in events if possible(query.analysis, event, decided)}
    if not plan.residual:
        assert found == {event.id for event in events if query.matches(event, CATEGORIES)}


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(QUERIES, min_size=1, max_size=4), GROUPS)
def test_live_rules_find_what_matches_and_nothing_else(rows, queries, group):
    """Whichever way an event is looked up: by severity, by a field's value, by a text, or by the predicate alone."""
    events = list(map(event_of, grouped(rows, group)))
    texts = list(dict.fromkeys(str(query) for query in queries if readable(str(query))))
    rules = [SimpleNamespace(name=text, match=text, per=[], when=SimpleNamespace(form="count")) for text in texts]
    index = RuleIndex(rules)
    for source in {event.source for event in events}:
        batch = [event for event in events if event.source == source]
        looked_at = set(index.rows(source, [event.severity_number for event in batch]))
        for row, event in enumerate(batch):
            step = index.step(source, event.severity_number)
            matching = {str(match.query) for match in step.matching(event, CATEGORIES)}
            assert matching == {text for text in texts if parse_query(text).matches(event, CATEGORIES)}
            assert row in looked_at or not matching
            needed = step.present(
                [one.record for one in batch], [one.raw for one in batch if isinstance(one.raw, bytes)]
            )
            counted = [lane for lane, _ in step.counting(event, CATEGORIES, needed)]
            assert sorted(counted) == sorted(index.lane_of[text].number for text in matching)


def readable(text):
    try:
        parse_query(text)
    except UsageError:
        return False
    return True


# ---------------------------------------------------------------- what it says of some queries


@pytest.mark.parametrize(
    ("text", "severities"),
    [
        ("", ALL_SEVERITIES),
        ("severity>=error", ERROR_SEVERITIES),
        ("severity=warn severity=error", frozenset(range(13, 21))),
        ("severity>=error severity<warn", frozenset()),
        ("group=3", ERROR_SEVERITIES),
        ("category~time severity<fatal", frozenset(range(17, 21))),
        ("category!=timeout", ALL_SEVERITIES),
        ("!group=3", ALL_SEVERITIES),
    ],
)
def test_which_severities_can_match(text, severities):
    assert parse_query(text).analysis.severities == severities


@pytest.mark.parametrize(
    ("text", "required"),
    [
        ("timeout", RequiredText("timeout", folded=True)),
        ("Timeout", RequiredText("Timeout")),
        ("Größe", RequiredText("Größe")),
        ("größe", None),  # letters other than ASCII fold in more ways than one
        ("!timeout", None),
        ("user=ann", RequiredText("ann", "user")),
        ("user!=ann", None),
        ("http.status=500", RequiredText('status"', "http.status", is_key=True)),
        ("http.status>=500", RequiredText('status"', "http.status", is_key=True)),
        ("tags.0~x", None),
        ("message=ready", RequiredText("ready", "message")),
        ("message~ready", RequiredText("ready", "message", is_part=True)),
        ("message~(?i:ready)", RequiredText("ready", "message", folded=True, is_part=True)),
        ("message~a.c", None),
        ("message~True", None),
        ("logger=7", None),
        ("service=7", RequiredText("7", "service")),
        ("service.name~shop", None),  # a line may name its service under another key
        ("id=5", None),
        ("severity_text=ERROR", None),
        ("x=[1]", RequiredText('x"', "x", is_key=True)),
        ("user=a*", RequiredText("a", "user", is_prefix=True)),
        ("user=*", RequiredText('user"', "user", is_key=True)),
        (
            "http.status=5*",
            RequiredText('status"', "http.status", is_key=True),
        ),  # 500 may be written 5e2, and 5e2 be 500
        ("user!=a*", None),
        ("attributes.path=x", RequiredText("x", "attributes.path")),
        ("attributes.path~x", RequiredText('path"', "attributes.path", is_key=True)),
    ],
)
def test_which_text_a_record_must_hold(text, required):
    [condition] = parse_query(text).analysis.conditions
    assert condition.required == (() if required is None else (required,))


@pytest.mark.parametrize(
    ("text", "severities", "sources"),
    [
        ("severity>=error OR severity=0", {0, *range(17, 25)}, None),
        ("(source=a severity=fatal) OR (source=b severity=warn)", {*range(13, 17), *range(21, 25)}, {"a", "b"}),
        ("source=a OR (source=b word)", ALL_SEVERITIES, {"a", "b"}),
        ("source=a OR word", ALL_SEVERITIES, None),
        ("group=3 OR severity=info", {*range(9, 13), *ERROR_SEVERITIES}, None),
        ("!(severity<error OR source=x)", {0, *ERROR_SEVERITIES}, None),
        ("(source=a OR source=b) source=b", ALL_SEVERITIES, {"b"}),
    ],
)
def test_what_branches_have_in_common(text, severities, sources):
    analysis = parse_query(text).analysis
    assert analysis.severities == severities
    assert analysis.sources == sources


def test_branches_about_one_field_are_alternatives_of_it():
    """As several `=` are: engines look for them in the same way."""
    for text in ("user=a OR user=b", "(user=a OR (user=b))", "!(!user=a !user=b)", "user=a user=b"):
        [condition] = parse_query(text).analysis.conditions
        assert (condition.field, condition.values, condition.branches) == ("user", ("a", "b"), ())
        assert condition.is_equality
    [words] = parse_query("low OR full").analysis.conditions
    assert [required.text for required in words.required] == ["low", "full"]
    [mixed] = parse_query("user=a OR user=b OR word").analysis.conditions
    assert len(mixed.branches) == 2
    assert not mixed.is_equality


def test_an_alternative_without_a_text_leaves_none():
    """And alternatives are those of one field; what a file decides is apart from what an event does."""
    analysis = parse_query("source=a user=ann source=b user=bob path~x logger=a logger=7").analysis
    user, logger = analysis.conditions
    assert [required.text for required in user.required] == ["ann", "bob"]
    assert logger.required == ()
    assert [condition.field for condition in analysis.files] == ["source", "path"]
    assert analysis.sources == {"a", "b"}
    assert analysis.fields == {"source", "user", "path", "logger"}
    assert analysis.speaks_only_of(("source", "user", "path", "logger", "severity"))
    assert not parse_query("source=a word").analysis.speaks_only_of(("source",))
