"""The SQL of some questions as it is sent, for both lines of servers: what changes here changes what they cost."""

from __future__ import annotations

import pytest

from agent.core.groups import GroupTraits
from agent.query.clickhouse.plan import WORDS, make_plan
from agent.query.engine import LogName
from agent.query.language import parse_query


class Facts:
    """What a plan asks of what is there."""

    def __init__(self, *, current: bool) -> None:
        self.is_current = self.has_words = current
        self.categories = {7: GroupTraits("timeout", "new"), 9: GroupTraits("other", "ignored")}

    def logs(self):
        return {LogName("app", "/var/log/a.log"), LogName("web", "/var/log/b.log")}

    def resources(self):
        return {'{"service.name":"shop","env":"prod"}': {"service.name": "shop", "env": "prod"}}


EXACT = {
    "severity>=error": "severity_number >= 17",
    "severity=warn": "severity_number IN (13, 14, 15, 16)",
    "source=app source=web": "(source = 'app' OR source = 'web')",
    "path~a.log$": "(source, path) IN (('app', '/var/log/a.log'))",
    "logger=shop.* !service=x": "startsWith(logger, 'shop.') AND NOT (service = 'x')",
    "message=it's": r"message = 'it\'s'",
    r"path=a\b": r"path = 'a\\b'",
    "logger>m": "(logger > 'm' AND logger != '')",
    "group=7": "severity_number >= 17 AND `group` = 7",
    "group=*": "severity_number >= 17 AND (`group` != 0)",
    "state=ignored": "severity_number >= 17 AND `group` = 9",
    "!state=ignored": "NOT (`group` = 9)",
    "category~out": "severity_number >= 17 AND `group` = 7",
    "agent=abc": "agent = 'abc'",
    "trace_id!=a OR severity=fatal": "(NOT (trace_id = 'a') OR severity_number >= 21)",
}


@pytest.mark.parametrize("text", EXACT)
def test_what_columns_say_in_full(text):
    for current in (True, False):
        plan = make_plan(parse_query(text).analysis, Facts(current=current))
        assert (plan.sql.removeprefix(" AND "), plan.exact, plan.empty) == (EXACT[text], True, False)


@pytest.mark.parametrize("text", ["path~c$", "group=x", "state=none", "logger="])
def test_what_can_match_nothing_is_not_asked(text):
    assert make_plan(parse_query(f'{text}""' if text.endswith("=") else text).analysis, Facts(current=True)).empty


def test_a_text_is_looked_for_as_it_is_and_in_jsons_other_characters():
    old = make_plan(parse_query("k=ann").analysis, Facts(current=False))
    assert old.sql == r" AND (position(record, 'ann') > 0 OR (position(record, '\\u') > 0))"
    new = make_plan(parse_query("k=ann").analysis, Facts(current=True))
    assert new.sql == r" AND (position(record, 'ann') > 0 OR (hiding > 0 AND (position(record, '\\u') > 0)))"
    assert (old.exact, new.exact) == (False, False)
    labelled = make_plan(parse_query("env=prod").analysis, Facts(current=False))
    assert labelled.sql.endswith(r""" OR resource = '{"service.name":"shop","env":"prod"}')""")
    assert make_plan(parse_query("größe").analysis, Facts(current=True)).sql == ""


def test_the_index_of_words_is_asked_where_letters_stand_together():
    for text, words, rest in (
        ("timeout", "timeout", ""),
        ("Timeout", "timeout", " AND position(record, 'Timeout') > 0)"),
        ('"order 17 failed"', "failed", " AND positionCaseInsensitive(record, 'order 17 failed') > 0)"),
    ):
        plan = make_plan(parse_query(text).analysis, Facts(current=True))
        assert f"{WORDS} LIKE '%{words}%'{rest} OR (hiding > 0 AND" in plan.sql
        assert plan.searches
    for text in ("abc", "deadbeef", "4711", "a-b"):
        assert "LIKE" not in make_plan(parse_query(text).analysis, Facts(current=True)).sql
