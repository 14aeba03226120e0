"""What a format makes and no line holds, as names of attributes and words of levels: archives find it like the store.

Over all cases of tests/cases, each event by itself: whatever else lies in its frame hides a mistake.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from agent.archive.frames import FrameParser, index_frame
from agent.core.event import original_of
from agent.core.fields import load_record
from agent.core.line_patterns import names_in
from agent.core.stored import FileInfo, StoredEvent
from agent.query.archives.needles import may_match, needles, token_probes
from agent.query.language import Query, Selection, parse_query
from agent.query.terms import Term
from tests.archive.test_tokens import may_be_in
from tests.parse.test_cases import CASES, OBSERVED
from tests.query.tiers import Tiers
from tests.sources import parsing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.query.engine import Engine

FILE = FileInfo(-1, "app", "/var/log/app.log", {}, None, (0, 0, 0), 0)
WORD = re.compile(r"\w+|[^\s\"\\]+")
MOST_WORDS = 40  # of an event: a trace has more, which stand in its lines


@pytest.mark.parametrize("case", CASES)
def test_no_word_of_an_event_is_skipped(case):
    settings = parsing(**case.get("settings", {}))
    made = " ".join(name for text in settings.patterns for name in names_in(text)).casefold()
    data = case["bytes"].encode("latin-1") if "bytes" in case else case["input"].encode()
    for event in events_of(data, settings):
        lines = original_of(event.record, event.raw) + b"\n"
        parser = FrameParser(settings, None, OBSERVED)
        [*alone] = events_of(lines, settings)
        frame = index_frame(lines, 0, settings, parser)
        for query in queries(load_record(event.record)):
            if any(map(query.matches, alone)):
                wanted = needles(query, [FILE], made)
                assert may_match(lines, wanted, frame.shape), (query, wanted)
                for alternatives in token_probes(query, [FILE], made):
                    assert any(
                        frame.shape & one.hidden_in or all(may_be_in(probe, frame.tokens) for probe in one.probes)
                        for one in alternatives
                    ), query


def events_of(data: bytes, settings: Any) -> Iterator[StoredEvent]:
    batch = FrameParser(settings, None, OBSERVED).parse(data, 0)
    for index, offset in enumerate(batch.offsets):
        yield StoredEvent(batch.row(index, -1, offset, number=-1, observed=OBSERVED, group=None), FILE)


def queries(record: dict[str, Any]) -> Iterator[Query]:
    """For each name of a field, for each value and for the words of both."""
    words = {}
    for name, value in pairs(record):
        for text in (name, value):
            words |= dict.fromkeys(([text] if text.strip() else []) + WORD.findall(text)[:MOST_WORDS])
        if value:
            field = "attributes.severity" if name == "severity" else name  # which may be no level
            yield Query((Term(field, "=", value),))
    for word in words:
        yield Query((Term(None, "", word),))
        yield Query((Term(None, "", word.upper()),))


def pairs(record: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from pairs(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value if isinstance(value, str) else str(value)


NAMED = (r"^(?P<transactionnumber>\d+) (?P<customer__identification>\w+)(?: (?P<message>.*))?",)
COLOURED = (
    b"\x1b[2m2026-11-22T05:39:26.123456Z\x1b[0m \x1b[31mERROR\x1b[0m \x1b[2mnotificationservice\x1b[0m\x1b[2m:\x1b[0m"
    b" lost 4bf92f3577b34da6\n"
)
ACCESS = b'192.0.2.7 - - [22/Nov/2026:05:39:26 +0000] "GET / HTTP/1.1" 500 12 "-" "\\x22notificationservice\\x22"\n'
ELASTICSEARCH = b"[2026-11-22T05:39:26,123][WARN ][o.e.n.Node               ] [es1] low disk\n"


@pytest.mark.parametrize(
    ("log", "changes", "asked"),
    [
        (
            b"12 shop sold\n13 shop\n",
            {"patterns": NAMED},
            ["transactionnumber", "identification", "sold"],
        ),
        (b'{"a":1}\n{"a":2}\n', {"format": "text"}, ["message", "a"]),
        (b'{"a":1}\n{broken}\n', {}, ["message", "broken"]),
        (b'{"a":1}\n{broken \xff}\n', {}, ["message", "broken"]),
        (ELASTICSEARCH, {}, ["elasticsearch.node.name", "elasticsearch", "es1", "low disk"]),
        (COLOURED, {}, ["logger=notificationservice", "notificationservice", "4bf92f3577b34da6", "[31m"]),
        (b"2026-11-22 05:39:26 ER\x1b[1mROR lost\n", {}, ["error lost", "lost"]),
        (b"\x1b[36mI1122 05:39:26.123456   17 server\x1b[0m.go:42] up\n", {}, ["server.go", "code.file.path"]),
        (b'{"MESSAGE":[108,111,115,116,255]}\n{"MESSAGE":"found"}\n', {}, ["lost", "xff", "found", "message=found"]),
        (ACCESS, {}, ['user_agent.original="\\"notificationservice\\""', "notificationservice"]),
    ],
)
def test_archives_give_what_the_store_gives(tmp_path, log, changes, asked):
    settings = parsing(**({"format": "pattern"} if "patterns" in changes else {}), **changes)
    with Tiers(tmp_path, settings) as tiers:
        tiers.store("app.log", log)
        store = tiers.engine(archived=False)
        found = {text: records(store, text) for text in asked}
        assert all(found.values()), found
        tiers.archive("app.log", log)
        tiers.expire()
        archives = tiers.engine(stored=False)
        assert {text: records(archives, text) for text in asked} == found


def records(engine: Engine, text: str) -> list[str]:
    return [event.record for event in engine.events(Selection(parse_query(text)))]
