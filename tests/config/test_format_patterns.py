"""What `format` takes beside its words: patterns, names of patterns, lists of both; and what is wrong with one."""

from __future__ import annotations

import pytest

from agent.config import PatternConfig
from agent.core.line_patterns import MOST_CHARACTERS
from agent.core.named_patterns import NAMED

SOURCE = "sources:\n  - {name: app, include: [/x], format: %s}\n"
HERE = "sidelog.yaml:2: sources[0].format"


def test_one_pattern_a_name_and_a_list_of_them(workshop):
    one, name = "^(?P<message>.*)$", {"include": "redis"}
    for written, patterns in (
        (f"{{pattern: '{one}'}}", (one,)),
        ("{include: redis}", (NAMED["redis"].text,)),
        (f"[{{include: redis}}, {{pattern: '{one}'}}]", (NAMED["redis"].text, one)),
    ):
        assert workshop.load(SOURCE % written).sources[0].patterns == patterns
    assert workshop.load(SOURCE % "{include: redis}").sources[0].format == [PatternConfig(**name)]
    assert workshop.load(SOURCE % "auto").sources[0].patterns == ()


def test_a_pattern_comes_by_set_and_by_the_environment(workshop):
    text = SOURCE % "auto"
    by_set = workshop.load(text, sets=["sources[0].format={pattern: '(?P<a>x)'}"])
    assert by_set.sources[0].patterns == ("(?P<a>x)",)
    by_variable = workshop.load(text, SIDELOG_SOURCES__0__FORMAT="{include: redis}")
    assert by_variable.sources[0].patterns == (NAMED["redis"].text,)


@pytest.mark.parametrize(
    ("written", "code", "message", "hint"),
    [
        ("nginx-error", "SL104", ": 'nginx-error' is no format, but the name of a pattern", "{include: nginx-error}"),
        ("{include: postgres}", "SL130", ".include: there is no pattern 'postgres', did you mean 'postgresql'?",
         "--list"),
        ("{include: zzzz}", "SL130", ".include: there is no pattern 'zzzz'", "--list"),
        ("{include: 5}", "SL104", ".include: 5 is not a text", ""),
        ("{}", "SL105", ": neither 'pattern' nor 'include' is given", "(?P<timestamp>"),
        ("{pattern: null}", "SL105", ": neither 'pattern' nor 'include' is given", ""),
        ("{pattern: '(?P<a>x)', include: redis}", "SL108", ": 'pattern' and 'include' exclude each other", "list"),
        ("{patern: x}", "SL103", ".patern: unknown key 'patern', did you mean 'pattern'?", "include"),
        ("[]", "SL130", ": is an empty list", "format: auto"),
        ("[redis]", "SL104", "[0]: 'redis' is not a mapping", "pattern, include"),
        ("5", "SL104", ": 5 is none of auto, json", ""),
        ("[{include: redis}, {pattern: '('}]", "SL130",
         "[1].pattern: the pattern is wrong at character 1, before '('", ""),
        ("{pattern: ''}", "SL130", ".pattern: the pattern has no named group", "(?P<message>.*)"),
        ("{pattern: '^ERROR (.*)$'}", "SL130", ".pattern: the pattern has no named group", "(?P<message>.*)"),
        ("{pattern: '(?<a>x)'}", "SL130", ".pattern: the pattern has '(?<a>' at character 1, which", "write (?P<a>"),
        ('{pattern: "x (?\'a.b\'x)"}', "SL130", ".pattern: the pattern has \"(?'a.b'\" at character 3", "(?P<a__b>"),
        ("{pattern: '(?P<http.status>x)'}", "SL130",
         ".pattern: the pattern has a group named 'http.status' at character 5",
         "http__status"),
        ("{pattern: '%{IP:client} (?P<a>x)'}", "SL130",
         ".pattern: the pattern has %{IP:client} of Grok at character 1", ""),
        ("{pattern: '(?P<a>x) (?P<a>y)'}", "SL130",
         ".pattern: the pattern names two groups 'a', the second one at character 10",
         "two patterns"),
        ("{pattern: '(?P<severity>x) (?P<level>y)'}", "SL130",
         ".pattern: the groups 'severity' and 'level', at character 17, would both be the field 'level'", "leave one"),
        ("{pattern: '(?P<a__b>x) (?P<a___b>y)(?P<a>[)'}", "SL130", ".pattern: the pattern is wrong at character", ""),
        ('{pattern: "(?P<a>x)\\n"}', "SL130", ".pattern: the pattern has a line break at character 9", "single quotes"),
        ("{pattern: '(?P<a>" + "(" * 9 + "x" + ")*" * 9 + ")'}", "SL130",
         ".pattern: the pattern cannot be used: repetitions lie",
         "sidelog parse"),
        ("{pattern: '(?P<a>" + "x" * MOST_CHARACTERS + ")'}", "SL130",
         ".pattern: the pattern cannot be used: it has 4007 char", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place_and_what_heals_it(workshop, written, code, message, hint):
    ((found_code, found, found_hint),) = workshop.findings(SOURCE % written)
    assert found_code == code
    assert found.startswith(HERE + message), found
    assert hint in found_hint


def test_so_many_patterns_are_too_many(workshop):
    many = "[" + ", ".join(["{include: redis}"] * 65) + "]"
    ((code, message, hint),) = workshop.findings(SOURCE % many)
    assert (code, message) == ("SL130", f"{HERE}: has 65 patterns; 64 are allowed")
    assert "several sources" in hint


def test_a_verbose_pattern_may_have_line_breaks(workshop):
    pattern = "      pattern: |\n        (?x)\n        (?P<a>x)  # why\n"
    text = f"sources:\n  - name: app\n    include: [/x]\n    format:\n{pattern}"
    assert workshop.load(text).sources[0].patterns[0].startswith("(?x)\n")
