"""`sidelog errors diff`: what is new, gone or changed, before and after a moment, or with a version."""

import json
import time

import pytest

from agent.group.grouper import Grouper
from tests.cli.stores import error_batch, make, tailed

HOUR = 3_600 * 10**9


@pytest.fixture
def store(tmp_path):
    """Before half an hour ago two of `old` and three of `both`, after it six of `both` and one of `fresh`; of version 1
    in one file, of version 2 in another, in which three quiet events are, too.
    """
    now, grouper, batches, groups = time.time_ns(), Grouper(), [], []
    for number, (version, at, texts) in enumerate(
        (
            ("1", now - HOUR, ["old", "old", "both", "both", "both", "same"]),
            ("2", now - 60 * 10**9, ["both"] * 6 + ["fresh", "same"]),
        ),
        1,
    ):
        lines = [{"message": f"{text} trouble", "logger": text} for text in texts]
        file = tailed(number, resource=json.dumps({"service.name": "shop", "service.version": version}))
        batch, updates = error_batch(lines, file=file, now=at, grouper=grouper)
        if version == "2":
            batch.events.severities[-1:] = [17]
        batches.append(batch)
        groups += updates
    path = tmp_path / "s.db"
    make(path, batches=batches, groups=groups)
    return path


def changes(sidelog, store, *arguments):
    said = sidelog("errors", "diff", "--json", *arguments, "--store", store)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    return found, [
        (row["title"].split()[0], row["change"], row["before"], row["after"], row["ratio"]) for row in found["groups"]
    ]


def test_what_came_and_went_at_a_moment(sidelog, store):
    found, rows = changes(sidelog, store, "--at", "30m", "--before", "2h", "--after", "30m")
    assert [row[:4] for row in rows] == [
        ("fresh", "new", 0, 1), ("both", "changed", 3, 6), ("same", "changed", 1, 1), ("old", "gone", 2, 0),
    ]  # fmt: skip
    assert (found["before"]["errors"], found["after"]["errors"]) == (6, 8)
    assert rows[1][4] == pytest.approx(8, rel=0.01), "twice as many in a quarter of the time"
    assert (rows[0][4], rows[3][4]) == (None, 0)
    assert list(found["groups"][0]) == [
        "id", "title", "culprit", "severity", "state", "service", "first_seen", "change", "before", "after", "ratio",
    ]  # fmt: skip
    assert found["before"]["until"] == found["after"]["since"]


@pytest.mark.parametrize("against", [(), ("--against", "1")])
def test_a_version_is_compared_with_others_by_shares_of_all_events(sidelog, store, against):
    _, rows = changes(sidelog, store, "--label", "service.version=2", "--before", "1d", *against)
    assert rows == [
        ("fresh", "new", 0, 1, None), ("both", "changed", 3, 6, 1.5), ("same", "changed", 1, 1, 0.75),
        ("old", "gone", 2, 0, 0),
    ]  # fmt: skip


def test_people_see_a_line_for_each_group_that_is_not_as_before(sidelog, store):
    said = sidelog("errors", "diff", "--at", "30m", "--before", "30m", "--after", "30m", "--store", store)
    assert said.code == 0
    said = sidelog("errors", "diff", "--label", "service.version=2", "--before", "1d", "--store", store)
    first, *_, last = said.out.splitlines()
    assert first.split() == ["4", "new", "0", ">", "1", "-", "fresh", "trouble", "in", "fresh"]
    assert "gone" in last
    assert "8 errors with service.version=2" in said.err


def test_by_default_it_is_the_last_hour_and_the_one_before(sidelog, store):
    found, _ = changes(sidelog, store)
    assert (found["before"]["errors"], found["after"]["errors"]) == (6, 8)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--at", "+1h"), "SL541"),
        (("--at", "noon"), "SL514"),
        (("--before", "soon"), "SL515"),
        (("--after", "0s"), "SL541"),
        (("--label", "2"), "SL541"),
        (("--label", "version>2"), "SL541"),
        (("--label", "version=2*"), "SL541"),
        (("--against", "2"), "SL541"),
    ],
)
def test_what_cannot_be_compared_is_wrong_usage(sidelog, store, arguments, code):
    said = sidelog("errors", "diff", *arguments, "--store", store)
    assert (said.code, said.out) == (2, "")
    assert f"error[{code}]" in said.err


def test_a_label_that_exists_nowhere_is_said(sidelog, store):
    said = sidelog("errors", "diff", "--label", "service.verson=2", "--store", store)
    assert (said.code, said.out) == (0, "")
    assert "warning[SL519]" in said.err
