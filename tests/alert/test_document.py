"""The command that a page gives to show its events: what a shell makes of it finds them and no others."""

import shlex
from types import SimpleNamespace

import pytest

from agent.alert.document import query_command, summary
from agent.alert.state import StateChange
from agent.query.language import parse_query, parse_terms


def event(**fields):
    return SimpleNamespace(fields=fields, resource={}, record="", raw=None, service=fields.get("service"), group=None)


def command(match: str, key: dict) -> list[str]:
    words = shlex.split(query_command({"match": match, "window": 60, "form": "count"}, key, 10**18, None))
    assert words[:3] == ["sidelog", "query", "--since"]
    return words[4:]


@pytest.mark.parametrize(
    ("match", "key"),
    [
        ("", {"service": "a"}),
        ("service=a service=b", {"service": "a"}),
        ("service=a OR service=b", {"service": "a"}),
        ("(user=x OR n>2) !word", {"service": "a", "n": None}),
        ('"Response Code">=500', {"Response Code": "500", "service": "a b*"}),
        ('message="a OR b" user=x*', {"service": "(a)"}),
    ],
)
def test_the_terms_are_those_of_the_rule_and_of_the_key(match, key):
    rule, found = parse_query(match), parse_terms(command(match, key))
    for service in ("a", "b", "a b*", "(a)"):
        for more in ({"user": "x"}, {"n": 3}, {"Response Code": 500}, {"message": "a OR b", "user": "xy"}):
            one = event(service=service, **more)
            one.body = more.get("message", "")
            in_state = all(value is None or str(one.fields.get(name)) == value for name, value in key.items())
            assert found.matches(one) == (rule.matches(one) and in_state)


FACTS = {"form": "count", "window": 60, "threshold": 5.0}


@pytest.mark.parametrize(
    ("state", "titles", "said"),
    [
        ("firing", [], "r: 9 events in 1m (threshold 5)"),
        ("firing", ["OSError: gone"], "r: 9 events in 1m (threshold 5), OSError: gone"),
        ("repeat", ["OSError: gone", "KeyError"], "r: still 9 events in 1m (threshold 5), mostly OSError: gone"),
        ("firing", ["m" * 300], f"r: 9 events in 1m (threshold 5), {'m' * 200}…"),
        ("resolved", ["OSError: gone"], "r: resolved after 1s"),
    ],
)
def test_a_summary_says_what_broke(state, titles, said):
    change = StateChange(rule="r", key="{}", state=state, at=10**9, started_at=0, value=9.0)
    assert summary(FACTS, change, groups=[{"title": title} for title in titles]) == said
