"""Lines of text as servers write them, with those that add to the line before them, split anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.parse import textevent
from tests.parse.effort import examples
from tests.parse.test_heads import LINES
from tests.parse.test_twin import columns, configs, parse_once, run_split

PREFIX = "2026-11-22 05:39:26.123 UTC [12] ann@shop "
POSTGRES = [
    *(f"{PREFIX}{word}:  x" for word in ["LOG", "ERROR", "DETAIL", "HINT", "STATEMENT", "CONTEXT", "WARNING"]),
    "2026-11-22 05:39:26 DETAIL: one blank", "2026-11-22 05:39:26 ERROR:  x", f"{PREFIX}LOG:  says DETAIL:  x",
    "\tVALUES (1)", "", "DETAIL:  x", "ValueError: x", f"{PREFIX}ERROR:  java.lang.Error: x", "\tat a.b(C.java:1)",
]  # fmt: skip
OTHER = [
    "1795325966", "[1795325966]", "1795325966.5 x", "[1795325966] x", "[1795325966 ,1]", "[05:39:26]", "05:39:26",
    "\x1b[31mERROR\x1b[0m: x", "\x1b[0m", "[1,2]", '"2026-11-22 05:39:26"', "<3>x", "- 1795325966 x",
]  # fmt: skip
streams = st.lists(st.sampled_from([*POSTGRES, *POSTGRES, *OTHER, *LINES]), max_size=16).map(
    lambda lines: "".join(f"{line}\n" for line in lines).encode()
)


@settings(max_examples=examples(200), deadline=None)
@given(streams, st.lists(st.integers(0, 1500), max_size=6), configs)
def test_events_do_not_depend_on_where_batches_end(data, cuts, config):
    whole = run_split(data, [], config)
    assert run_split(data, cuts, config) == whole


@settings(max_examples=examples(200), deadline=None)
@given(streams)
def test_the_short_way_gives_the_rows_of_the_long_one(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textevent, "takes", lambda *_: (False, False))
        long_way = parse_once(data)
    assert columns(parse_once(data)) == columns(long_way)
