"""Text in bulk: the rows that its lines give one by one, whatever stands beside them and wherever batches end."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model import LineBatch
from agent.parse import textevent, textpath
from agent.parse.decode import FileParser
from tests.parse.effort import examples
from tests.parse.test_cases import CASES
from tests.parse.test_heads import free, shaped
from tests.parse.test_shortcuts import more
from tests.parse.test_twin import OBSERVED, columns, parse_once, run_split, tailed
from tests.sources import parsing

SAID = [
    "order 7 placed", "route /a/b answered 200", 'said "no" \\ tab\there', "\u00f6 \u2028 \x01 \x7f", "ValueError: x",
    "Traceback (most recent call last):", "java.lang.IllegalStateException: x", "/app/x.js:3", "panic: x", "x" * 300,
    "ERROR: x", "level=error msg=x", "[info] x", "a.b:3:in `f'", 'x "[object] (A(code: 0): y at /a:1)', "(x):", "", " ",
    "  two", "log stdout F x", "PHP Fatal error:  x", "password=x", "DETAIL:  x",
]  # fmt: skip
AFTER = [
    "  indented", "\tat a.b.C.d(C.java:12)", "", "Caused by: a.b.CException: y", "... 3 more", "main.f", "Stack trace:",
    "#0 {main}", "[CIRCULAR REFERENCE:x]", '{"level":"info","message":"m"}', "{broken", "42", "[1]", "true", "\u00e4",
    "\ufeffbom", "x\r", "stack traceback:", "Start Call: x", "2026-11-22 05:39:26.1 UTC [7] ERROR:  x",
    "2026-11-22 05:39:26.1 UTC [7] DETAIL:  x", "plain words", "2026-11-22T05:39:26Z stdout F x",
]  # fmt: skip
USUAL = [
    "2026-11-22 05:39:{n:02d},123 {level} shop.pay: {said}", "{level} {said}", "[22/Nov/2026 05:39:{n:02d}] {said}",
    "[2026-11-22T05:39:{n:02d}.5+01:00] app.{level}: {said}", "Nov 22 05:39:{n:02d} web1 shop[663]: {said}",
    "2026-11-22T05:39:{n:02d}.123456+01:00 web1 shop[663]: {said}", "<{n}>Dec {n:2d} 05:39:26 web1 su: {said}",
    '<134>1 2026-11-22T05:39:{n:02d}Z web1 shop 663 ORD [a@1 k="v" k="w\\"" l="{n}"] {said}',
    "<{n}>1 - - - - - - {said}",
    '192.0.2.{n} - bob [22/Nov/2026:05:39:{n:02d} +0000] "GET /a?b={n} HTTP/1.1" 200 12 "-" "{said}"',
    '192.0.2.{n} - - [22/Nov/2026:05:39:26 +0000] "GET /a HTTP/1.1" 50{digit} {n}', "05:39:{n:02d}.5 {level} {said}",
    '::1 - - [22/Nov/2026:05:39:26 +0000] "{said}" 404 - "https://a" "x" rt=0.{n} 0.012',
    'time=2026-11-22T05:39:{n:02d}.5Z level={level} logger=a.b msg="{said}" user={n} dur=1.5ms ok',
    "ts=179532{n:04d}.25 caller=a.go:{n} level={level} err={digit} msg={said}",
    "at=info method=GET service={n}ms {said}",
    "2026-11-22 05:39:26.1 UTC [7] {level}:  {said}", "{said}", "@400000006921{n:04d}00000000 {said}",
]  # fmt: skip
LEVELS = ["INFO", "INFO", "INFO", "DEBUG", "WARNING", "ERROR", "info", "error", "x"]
CONFIGS = [
    parsing(), parsing(), parsing(), parsing(format="text"), parsing(format="combined"), parsing(format="syslog"),
    parsing(format="logfmt"), parsing(multiline="off"), parsing(max_line_bytes=200), parsing(redact=["password"]),
    parsing(timezone="Europe/Berlin"), parsing(multiline="start", multiline_start=r"^\S"),
]  # fmt: skip


class Texts:
    """Regions of text by chance: hypothesis would take a second for as many lines."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def region(self) -> bytes:
        return "".join(f"{line}\n" for _ in range(self.chance.randrange(1, 5)) for line in self.run()).encode()

    def run(self) -> list[str]:
        """Lines of one layout or two, and others among them now and then."""
        chance = self.chance
        layouts, odd = chance.sample(USUAL, chance.choice([1, 1, 2])), chance.choice([0, 0.02, 0.1, 0.4])
        said = chance.choice([SAID[:4], SAID[:4], SAID])
        lines = [self.line(chance.choice(layouts), said) for _ in range(chance.randrange(1, 40))]
        every = chance.choice([0, 0, 0, 2, 7])
        lines = [one for at, line in enumerate(lines) for one in ([self.object(at)] * (every and at % every) + [line])]
        return [chance.choice(AFTER) if chance.random() < odd else line for line in lines]

    def line(self, layout: str, said: list[str]) -> str:
        chance = self.chance
        return layout.format(
            n=chance.choice([chance.randrange(60), 26, 61]), level=chance.choice(LEVELS), said=chance.choice(said),
            digit=chance.randrange(10),
        )  # fmt: skip

    def object(self, number: int) -> str:
        return json.dumps({"timestamp": "2026-11-22T05:39:26.5Z", "level": "info", "n": number})


def both(data: bytes, config, *, final: bool, modified: int = 0):
    """What a parser gives in bulk and line by line, for two batches of the same file."""
    found = []
    cut = data.rfind(b"\n", 0, len(data) // 3) + 1
    for in_bulk in (True, False):
        parser, rows = FileParser(config), []
        parser._look_ahead(data * 9)
        for begin, end in ((0, cut), (cut, len(data))):
            if not in_bulk:
                parser._bulk = parser._bulk_paths()._replace(runs=None)
            batch = LineBatch(tailed(), begin, data[begin:end], OBSERVED, final=final and end > cut, modified=modified)
            out = parser.feed(batch)
            rows.append((columns(out), out.tail_open))
        held = parser.flush()
        found.append((rows, columns(held), held.tail_open, parser.profile.calendar))
    return found


@settings(max_examples=examples(400), deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from(CONFIGS), st.booleans(), st.sampled_from([0, OBSERVED - 40 * 86_400 * 10**9])
)
def test_text_in_bulk_gives_the_rows_of_its_lines_one_by_one(seed, config, final, modified):
    in_bulk, by_line = both(Texts(seed).region(), config, final=final, modified=modified)
    assert in_bulk == by_line


any_line = st.one_of(more, shaped.map(str.encode), free.map(str.encode))


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(any_line, min_size=1, max_size=12), st.sampled_from(CONFIGS), st.integers(1, 9), st.booleans())
def test_lines_of_any_shape_in_bulk(lines, config, times, final):
    data = b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines * times)
    in_bulk, by_line = both(data, config, final=final)
    assert in_bulk == by_line


@pytest.mark.parametrize("config", [parsing(), parsing(format="text")])
def test_lines_of_all_cases_in_bulk(config):
    """Each line of the known formats several times, alone and beside those of its kind."""
    inputs = [case.values[0].get("input", "") for case in CASES]
    every = [line for text in inputs for line in text.split("\n") if line[:1] != "{"]  # which a batch knows less of
    for begin in range(0, len(every), 20):
        some = every[begin : begin + 20]
        data = "".join(f"{line}\n" for line in [*some, *some[:1] * 9, *some[9:10] * 9]).encode()
        in_bulk, by_line = both(data, config, final=True)
        assert in_bulk == by_line


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 5000), max_size=6))
def test_events_of_text_do_not_depend_on_where_batches_end(seed, cuts):
    data = Texts(seed).region()
    assert run_split(data, cuts, parsing()) == run_split(data, [], parsing())


@pytest.mark.parametrize("layout", [layout for layout in USUAL if "{said}" in layout])
def test_usual_text_goes_in_bulk(layout, monkeypatch):
    """Otherwise the twin would prove nothing: of a hundred lines the last alone, which may go on."""
    texts, real = [], textpath.EventRows.append

    def append(self, lines, *rest):
        texts.extend(lines)
        return real(self, lines, *rest)

    monkeypatch.setattr(textpath.EventRows, "append", append)
    data = "".join(layout.format(n=n % 60, level="INFO", said=f"order {n}", digit=2) + "\n" for n in range(100))
    out = parse_once(data.encode())
    assert len(out) == 100
    assert texts == data.split("\n")[:99]


def test_an_odd_line_keeps_those_beside_it_in_bulk(monkeypatch):
    lines = [f"2026-11-22 05:39:{n % 60:02d},123 INFO a.b: order {n}" for n in range(300)]
    lines[50:51] = [
        "2026-11-22 05:39:26,123 ERROR a.b: x",
        "Traceback (most recent call last):",
        "  File x",
        "KeyError: 1",
    ]
    lines[200] = "x\u00f6 {}"
    taken = []
    monkeypatch.setattr(textevent, "append", lambda *_: taken.append(1) or False)
    out = parse_once("\n".join(lines).encode() + b"\n")
    assert len(out) == 300
    assert len(taken) < 20
