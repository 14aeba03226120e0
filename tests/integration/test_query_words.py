"""The query language with real processes: in a question, in one that follows, in a rule; and why an answer is empty."""

import json
import subprocess

import pytest

from tests.integration.alerting import Alerting
from tests.integration.harness import SIDELOG, append

pytestmark = pytest.mark.measured
EITHER = '("Response Code">=500 OR attributes.path=/pay*) !health*'
ROWS = [
    {"n": 1, "level": "info", "Response Code": 500, "path": "/cart"},
    {"n": 2, "level": "info", "Response Code": 200, "path": "/pay/7"},
    {"n": 3, "level": "info", "Response Code": 200, "path": "/cart"},
    {"n": 4, "level": "info", "Response Code": 503, "path": "/cart", "msg": "health* is found as it stands"},
    {"n": 5, "level": "error", "Response Code": 503, "user": {"name": "Ann Lee"}},
]


def lines(rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_question_what_follows_and_a_rule_mean_the_same(box):
    a = Alerting(box, {"match": EITHER, "when": {"count": 3}})
    box.start()
    with subprocess.Popen(
        [*SIDELOG, "query", "-c", str(box.config), "-n", "all", "-f", "-o", "json", "--fields", "n", EITHER],
        cwd=box.root,
        env=box.env,
        stdout=subprocess.PIPE,
    ) as following:
        append(box.log, lines(ROWS))
        shown = [json.loads(following.stdout.readline())["n"] for _ in range(3)]
        following.terminate()
    assert shown == [1, 2, 5]
    [page] = a.wait(1)
    assert [json.loads(json.dumps(one["attributes"]))["n"] for one in page["events"]] == [1, 2, 5]
    assert box.stop() == 0
    for arguments, wanted in (
        ([EITHER], [1, 2, 5]),
        (["(", '"Response Code">=500', "OR", "attributes.path=/pay*", ")", "!health*"], [1, 2, 5]),
        (["user.name=Ann L*"], [5]),
        (["user=*"], [5]),
        (["!user=*", "n=*"], [1, 2, 3, 4]),
        (["path=/pay*"], []),
    ):
        assert [row["attributes"]["n"] for row in box.query(*arguments)] == wanted, arguments
    done = box.run("query", "--by", '"Response Code",attributes.path', "-o", "json", "n<3")
    assert [json.loads(row) for row in done.stdout.splitlines()] == [
        {"Response Code": 200, "attributes.path": "/pay/7", "count": 1},
        {"Response Code": 500, "attributes.path": "/cart", "count": 1},
    ]


def test_an_empty_answer_names_what_is_nowhere(box):
    """On stderr alone; an answer that is empty for another reason has nothing to say."""
    append(box.log, lines(ROWS))
    box.once()
    done = box.run("query", "-o", "json", "Response_Code>=500")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"warning[SL519]" in done.stderr
    assert b"did you mean 'Response Code'?" in done.stderr
    done = box.run("query", "--count", "-s", "ap")
    assert (done.returncode, done.stdout) == (0, b"0\n")
    assert b"there is no source 'ap'; did you mean 'app'?" in done.stderr
    for arguments in (["n>5"], ["absent"], ["-s", "app", "user.name=Bob"]):
        done = box.run("query", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), arguments
