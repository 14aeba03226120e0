"""What is behind a group of errors: shares of its events beside those of others, and what was new when it began."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.groups import GroupFilter
from agent.query import open_engine
from agent.views.error_origin import origin_document
from agent.views.error_table import table_document
from tests.integration.harness import Box

MINUTES = 120
BEGAN = 20  # minutes before the end


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    yield made
    made.kill()


class Lines:
    """Lines of a log, by minutes before now."""

    def __init__(self) -> None:
        self._end = datetime.now(UTC)
        self._lines: list[tuple[float, str]] = []

    def add(self, minutes: float, level: str, message: str, **fields: object) -> None:
        at = self._end - timedelta(minutes=minutes)
        row = {"timestamp": at.isoformat(), "level": level, "message": message} | fields
        self._lines.append((-minutes, json.dumps(row)))

    def write(self, box: Box) -> None:
        box.log.write_text("\n".join(line for _, line in sorted(self._lines)) + "\n")
        box.once()


def usual(lines: Lines, changed: float = 0, **new: object) -> None:
    """An event every half minute; from `changed` minutes before the end on with other fields."""
    for step in range(2 * MINUTES):
        minutes = MINUTES - step / 2
        fields = {"version": "1.0", "region": f"r{step % 4}", "worker": step}
        lines.add(minutes, "info", f"served {step}", **(fields | (new if minutes <= changed else {})))


def origin(box: Box, title: str = "boom") -> dict:
    with closing(open_engine(box.store, box.root / "archive")) as engine:
        [group] = [one for one in engine.groups(GroupFilter(), time.time_ns()) if one.title == title]
        return origin_document(engine, group)


def test_a_version_that_came_shortly_before_is_new_and_more_frequent(box):
    lines = Lines()
    usual(lines, BEGAN + 2, version="1.1")
    for step in range(20):
        lines.add(BEGAN - step, "error", "boom", version="1.1", region=f"r{step % 4}", worker=step)
    lines.write(box)
    found = origin(box)
    assert found["new"] == [{"field": "version", "value": "1.1", "share": 1.0}]
    assert found["more_often"] == []  # all events of that time have it
    assert found["events"] == 20


def test_what_its_events_have_more_often_is_told_with_both_shares(box):
    lines = Lines()
    usual(lines)
    for step in range(40):
        lines.add(MINUTES - 3 * step, "error", "boom", version="1.0", region="r3" if step % 4 else "r1", shard=7)
    lines.write(box)
    found = origin(box)
    assert found["new"] == []
    by_value = {(row["field"], row["value"]): row for row in found["more_often"]}
    assert by_value["shard", "7"] == {"field": "shard", "value": "7", "share": 1.0, "others": 0.0}
    region = by_value["region", "r3"]
    assert (region["share"], round(region["others"], 1)) == (0.75, 0.2) or region["others"] == 0.25
    assert not {"severity", "message", "group"} & {field for field, _ in by_value}


def test_of_few_events_nothing_is_told(box):
    lines = Lines()
    usual(lines)
    lines.add(50, "error", "boom", version="9.9", shard=7)
    lines.write(box)
    found = origin(box)
    assert (found["events"], found["more_often"]) == (1, [])


def test_a_field_that_is_new_itself_and_one_without_events_before_are_no_change(box):
    lines = Lines()
    usual(lines)
    for step in range(10):
        lines.add(BEGAN - step, "error", "boom", version="1.0", release="x")
        lines.add(MINUTES + 500 - step, "error", "older", version="0.1")
    lines.write(box)
    assert origin(box)["new"] == []
    assert origin(box, "older")["new"] == []  # nothing is known of the time before it


def test_a_table_has_shares_of_all_events_and_goes_on_where_it_ended(box):
    lines = Lines()
    for number in range(4):
        for step in range(2**number):
            trace = f'Traceback (most recent call last):\n  File "/srv/m{number}.py", line 1, in f\nBad{number}: x'
            lines.add(step, "error", "x", exc_info=trace, service=f"s{number % 2}")
    lines.write(box)

    def table(limit: int, offset: int, **wanted: list[str]) -> dict:
        with closing(open_engine(box.store, box.root / "archive")) as engine:
            return table_document(
                engine, GroupFilter(**wanted), time.time_ns(), sort="count", limit=limit, offset=offset
            )

    whole = table(10, 0)
    assert [round(row["share"], 3) for row in whole["groups"]] == [0.533, 0.267, 0.133, 0.067]
    assert [row["services"] for row in whole["groups"]] == [["s1"], ["s0"], ["s1"], ["s0"]]
    assert (whole["matching"], whole["total"], whole["events"], whole["states"]["new"]) == (4, 4, 15, 4)
    assert table(3, 0)["groups"] + table(3, 3)["groups"] == whole["groups"]
    some = table(10, 0, services=["s0"])
    assert (some["matching"], some["total"], len(some["groups"])) == (2, 4, 2)
    assert some["groups"][0]["share"] == whole["groups"][1]["share"]  # of all, whatever is asked for
