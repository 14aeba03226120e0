"""What the page of a group says of how much it has looked at, without a browser."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.harness import append, event, wait_until


def words_of(page: str) -> str:
    """What is to be read of a page."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", page)))


@pytest.fixture
def order(box):
    """A box with twelve errors of one group within a minute, and others between them."""
    trace = 'Traceback (most recent call last):\n  File "/srv/pay.py", line 8, in pay\n    x\nDeclined: card {}'
    for number in range(12):
        more = {"exc_info": trace.format(number), "trace_id": f"t{number}", "version": "2"}
        append(box.log, b"".join(event(number, message="order placed", version="1") for _ in range(3)))
        append(box.log, event(number, "error", "order failed", **more))
    box.serve()
    box.stored(48)
    return box


def test_what_is_compared_is_a_sample_of_many(order):
    with order.browser() as session:
        words = words_of(session.get("/errors/1").text)
    assert re.search(r"By a sample of its newest events, (5|10) of 12, and \d+ others of the same time", words), words


def test_samples_say_what_tells_them_apart_and_how_many_they_are(order):
    with order.browser() as session:
        page = session.get("/errors/1").text
        at = re.search(r'href="(/errors/1\?at=[^"#]*)#samples"', page)[1]
        of_hour = session.get(html.unescape(at)).text
    words = words_of(page)
    assert "Samples 5 of 12 events" in words
    assert re.search(r"order failed Declined: card 11 n=11 ", words), words
    assert "Nothing else of the newest sample's trace was found around it." in words
    assert 'href="/trace/' not in page.partition("The same trace</h2>")[2]
    assert len(re.findall(r'class="differs">Declined: card \d+  n=\d+<', of_hour)) >= 5


def test_samples_that_are_alike_have_nothing_beside_them(box):
    append(box.log, b"".join(event(1, "error", "order failed") for _ in range(2)))
    box.serve()
    box.stored(2)
    with box.browser() as session:
        page = session.get("/errors/1").text
    assert "order failed</span>" in page
    assert "differs" not in page
    assert "of 2 events" not in words_of(page)


def test_events_in_archives_that_are_not_counted_are_named(box):
    box.configure(more={"archive": {"quiet": "1s"}})
    old = (datetime.now(UTC) - timedelta(hours=20)).isoformat()
    rows = [{"timestamp": old, "level": "error", "message": "order failed"}] * 3
    (box.logs / "app.log.1").write_text("".join(json.dumps(row) + "\n" for row in rows))
    append(box.log, event(1, "error", "order failed"))
    box.serve()
    box.stored(1)
    wait_until(lambda: box.sql("SELECT count(*) FROM archives")[0][0], 60, "an archive")
    assert box.say("query", "group=1", "--count") == "4"
    with box.browser() as session:
        words = words_of(session.get("/errors/1").text)
    assert "Archives have 3 events of this group, the oldest of the hour from " in words
    assert "sidelog query group=1 --count counts what store and archives have now." in words


def test_nothing_is_said_of_archives_without_events_of_it(order):
    with order.browser() as session:
        assert 'id="archived"' not in session.get("/errors/1").text
