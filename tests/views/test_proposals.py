"""Proposed patterns: they compile, match the lines that they were made of, and find what a person would name."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.line_patterns import problem_with
from agent.core.named_patterns import NAMED
from agent.parse.patterns import LinePatterns
from agent.views.proposals import proposals
from tests.parse.effort import examples

CASES = {
    "till": (
        lambda n: f"[22.11.2026 05:39:{n:02d}] <{('warn', 'error', 'info')[n % 3]}> till-{n % 4} drawer {n} stuck",
        {"timestamp": "22.11.2026 05:39:07", "severity": "error", "message": "till-3 drawer 7 stuck"},
    ),
    "bars": (
        lambda n: f"05:39:{n:02d}.123|{('WARN', 'ERROR', 'INFO')[n % 3]}|worker.{n % 4}|{n}|drawer {n} stuck",
        {"timestamp": "05:39:07.123", "severity": "ERROR", "logger": "worker.3", "number": "7",
         "message": "drawer 7 stuck"},
    ),
    "pairs": (
        lambda n: f"2026-11-22T05:39:{n:02d}Z WARN user=u{n} order.id={n} took {n} ms",
        {"timestamp": "2026-11-22T05:39:07Z", "severity": "WARN", "user": "u7", "order__id": "7",
         "message": "took 7 ms"},
    ),
    "syslog": (
        lambda n: f"Nov {n + 1:2d} 05:39:26 web1 shopd[{4711 + n}]: {('drawer stuck', 'cash is short')[n % 2]} {n}",
        {"timestamp": "Nov  8 05:39:26", "field": "web1", "logger": "shopd", "pid": "4718",
         "message": "cash is short 7"},
    ),
    "access": (
        lambda n: f'10.0.0.{n} "GET /cart/{n} HTTP/1.1" {200 + n} {n * 3} {n}ms',
        {"client__address": "10.0.0.7", "quoted": "GET /cart/7 HTTP/1.1", "http__response__status_code": "207",
         "number": "21", "message": "7ms"},
    ),
    "android": (
        lambda n: f"11-22 05:39:{n:02d}.811  1702  {n} {'DIWE'[n % 4]} ShopManager: printing {n}",
        {"timestamp": "11-22 05:39:07.811", "number": "1702", "number_2": "7", "severity": "E", "logger": "ShopManager",
         "message": "printing 7"},
    ),
    "cells": (
        lambda n: f"{'WEN'[n % 3]}~{1795300000 + n}~gate{n % 4}~veh={n}~{('opened', 'closed by guard')[n % 2]}",
        {"severity": "E", "timestamp": "1795300007", "field": "gate3", "veh": "7", "message": "closed by guard"},
    ),
    "a mark between blanks is no word": (
        lambda n: f"till-{n % 4} # {('ok', 'warning', 'failure')[n % 3]} # 22/11/2026 05:39:{n:02d} # drawer {n} stuck",
        {"field": "till-3", "severity": "warning", "timestamp": "22/11/2026 05:39:07", "message": "drawer 7 stuck"},
    ),
    "two brackets": (
        lambda n: f"<<{n:02d}h>> {{PLC-{n % 4}}} lvl=4 :: valve {n}",
        {"thread": "07h", "field": "PLC-3", "lvl": "4", "message": "valve 7"},
    ),
    "logger behind the level": (
        lambda n: f"{n} 2026/11/22 05:39:26 INFO com.shop.Pay$Card{n} took {n}",
        {"number": "7", "timestamp": "2026/11/22 05:39:26", "severity": "INFO", "logger": "com.shop.Pay$Card7",
         "message": "took 7"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_person_would_name_is_found(name):
    line, wanted = CASES[name]
    (proposal,) = proposals([line(number) for number in range(25)])
    assert (proposal.lines, proposal.of, proposal.name) == (25, 25, None)
    assert re.match(proposal.text, line(7)).groupdict() == wanted


@pytest.mark.parametrize("name", ["tomcat", "redis", "celery", "haproxy", "nginx-error"])
def test_a_layout_that_has_a_name_is_proposed_by_it(name):
    (proposal,) = proposals([NAMED[name].sample] * 20)
    assert (proposal.name, proposal.text, proposal.lines) == (name, NAMED[name].text, 20)


def test_lines_of_two_layouts_get_two_patterns():
    tills = [CASES["till"][0](number) for number in range(25)]
    bars = [CASES["bars"][0](number) for number in range(15)]
    first, second = proposals([*tills, *bars])
    assert (first.lines, first.of, second.lines, second.of) == (25, 40, 15, 15)


@pytest.mark.parametrize("lines", [[], ["", "  x"], ["the caravan went on", "day after day", "and so did we all"]])
def test_prose_and_nothing_give_none(lines):
    assert proposals(lines) == []


parts = st.sampled_from([
    "2026-11-22 05:39:26,123", "Nov 22 05:39:26", "1795325966", "ERROR", "info", "[main]", "[", "]", "(x", "a.b.C",
    "17",
    "k=v", "k=", '"q r"', '"', "10.0.0.7", ":", " - ", "|", " ", "  ", "\t", "\x1b[31m", "ö", "日本", "-", "{", "}",
    "<5>", "\\", "'",
    "%{X}", "(?P<a>", "#", "\u2028", "E", "a", "word", "__", "=", "é=1", "1_2",
])  # fmt: skip
hostile = st.lists(parts, max_size=12).map("".join) | st.lists(parts, max_size=12).map(" ".join) | st.text(max_size=60)


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(hostile.map(lambda line: line.replace("\n", " ")), max_size=12), st.integers(1, 4))
@example(["__=1 5 ERROR x"], 3)
@example(["a.b=1 1-a=2 ERROR x"], 3)
def test_a_proposal_compiles_and_matches_the_lines_that_it_was_made_of(lines, times):
    lines = lines * times
    left = [line[:300] for line in lines if line.strip() and not line[0].isspace()]
    for proposal in proposals(lines):
        assert problem_with(proposal.text) is None
        assert proposal.text.isprintable()
        fits = LinePatterns([proposal.text])
        matched = [line for line in left if not fits.find_head(line).error]
        assert (len(matched), len(left)) == (proposal.lines, proposal.of)
        assert len(matched) >= 0.6 * len(left) > 0
        left = [line for line in left if line not in matched]


@pytest.mark.parametrize(
    "line", ["[" * 10_000, '"' * 10_000, "a=" * 5_000, "1:" * 5_000, " " + "x " * 5_000, "x" * 100_000]
)
def test_hostile_lines_take_no_time(line):
    began = time.process_time()
    proposals([line] * 500)
    assert time.process_time() - began < 10
