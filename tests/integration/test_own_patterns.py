"""Sources with patterns of their own: found by query, grouped, alerted on, changed by a reload, bounded."""

import json

import pytest

from tests.integration.harness import append, wait_until
from tests.integration.test_changed_sources import change_live, configure, whole

pytestmark = pytest.mark.measured

TILL = (
    r"^(?P<timestamp>\S+ \S+) \[(?P<severity>\w+)\] till (?P<till>\d+) (?P<service>\w+)/(?P<trace_id>\w+): "
    r"(?P<message>.*)"
)
ENDLESS = "^(?P<message>(?:(?:x|xx)+)+)$"
POISON = b"x" * 60 + b"!\n"


def line(number, level="error", message="drawer stuck"):
    return f"2026-11-22 05:39:26 [{level}] till {number} shop/4bf9: {message} {number}\n".encode()


def test_what_a_pattern_finds_is_found(box):
    configure(box, ("till", ["app.log"], {"format": {"pattern": TILL}}))
    append(box.log, line(1) + line(2, "info", "opened") + b"no till here\n" + line(3))
    box.once()
    (row,) = box.query("till=1")
    assert (row["body"], row["severity_text"], row["trace_id"]) == ("drawer stuck 1", "ERROR", "4bf9")
    assert row["attributes"] == {"till": "1", "service": "shop"}
    assert row["resource"]["service.name"] == "shop"
    assert row["timestamp"].startswith("2026-11-22T05:39:26.")
    assert len(box.query("till>=2")) == 2
    assert len(box.query("service=shop", "-p", "error")) == 2
    assert [row["body"] for row in box.query("no till")] == ["no till here"]
    assert box.query("no till")[0]["parse_error"] == "no pattern fits"
    (group,) = json.loads(box.run("errors", "list", "--json").stdout)
    assert (group["count"], group["title"][:12]) == (2, "drawer stuck")
    rows = json.loads(box.run("sql", "--json", "SELECT service, trace_id FROM logs WHERE severity_number >= 17").stdout)
    assert all(list(row.values() if isinstance(row, dict) else row) == ["shop", "4bf9"] for row in rows)
    whole(box)


def test_a_reload_brings_another_pattern_for_what_is_read_from_then_on(box):
    configure(box, ("till", ["app.log"], {"format": {"include": "redis"}}))
    append(box.log, line(1))
    box.start()
    box.wait_count(1)
    change_live(box, ("till", ["app.log"], {"format": [{"include": "redis"}, {"pattern": TILL}]}))
    append(box.log, line(2))
    box.wait_count(2)
    first, second = sorted(box.query(), key=lambda row: row["offset"])
    assert (first["parse_error"], first["attributes"]) == ("no pattern fits", {})
    assert second["attributes"]["till"] == "2"
    assert box.stop() == 0
    whole(box)


def test_a_catastrophic_pattern_costs_only_its_source(box):
    other = box.logs / "other.log"
    configure(
        box,
        ("bad", ["app.log"], {"format": [{"pattern": ENDLESS}, {"pattern": TILL}]}),
        ("good", ["other.log"], {"format": {"pattern": TILL}}),
    )
    append(box.log, POISON * 500 + line(1))
    append(other, line(2))
    box.start()
    box.wait_count(502)
    (condition,) = wait_until(lambda: [e for e in box.status()["errors"] if e["code"] == "SL310" and e["active"]])
    assert condition["subject"] == "bad"
    assert str(box.log) in condition["message"]
    assert len(box.query("till=1")) == len(box.query("till=2")) == 1
    poisoned = box.query("-n", "1", "source=bad", "!drawer")
    assert poisoned[0]["parse_error"] == "no pattern fits: not done in time"
    assert box.stop() == 0
    whole(box)
    found = json.loads(box.run("check", "--json").stdout)["findings"]
    assert [(one["code"], one["place"]) for one in found if one["code"] == "SL310"] == [
        ("SL310", "sources[0].format[0].pattern")
    ]


def test_an_archive_is_read_by_the_patterns_that_it_was_made_with(box):
    archive = {"directory": str(box.root / "archive"), "quiet": "0s", "delete_source": True}
    configure(box, ("till", ["app.log"], {"format": {"pattern": TILL}}), archive=archive)
    append(box.log, line(1) + line(2))
    box.once()
    box.log.rename(box.logs / "app.log.1")
    append(box.log, line(3))
    box.once()
    configure(box, ("till", ["app.log"], {"format": "text"}), archive=archive)
    found = box.query("--archives", "till>=1")
    assert [row["attributes"]["till"] for row in found] == ["1", "2"]
    assert {row["trace_id"] for row in found} == {"4bf9"}
