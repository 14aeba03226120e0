"""What the page of a group says of how much it has looked at, without a browser."""

from __future__ import annotations

import html
import re

import pytest

from tests.integration.harness import append, event


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
