"""Regular expressions that take without end on some texts: they cost only themselves, in rules, sources and queries."""

import json

import pytest

from tests.integration.alerting import Alerting, lines
from tests.integration.harness import append, wait_until

pytestmark = pytest.mark.measured

ENDLESS = "^(?:(?:x|xx)+)+$"  # no matcher knows a shortcut for it
POISON = "x" * 60 + "!"
MAIL = r"^invalid address: ([a-z0-9]+)+@example\.net$"  # `re` takes years on a text that the module `regex` is quick on


def conditions(box, code):
    return [one for one in box.status()["errors"] if one["code"] == code and one["active"]]


def test_one_catastrophic_rule_of_ten_costs_only_itself(box):
    rules = [{"name": f"plain{n}", "match": f'message~"took {n}\\d+ ms"', "when": {"count": 1}} for n in range(8)]
    a = Alerting(
        box,
        {"name": "endless", "match": f'message~"{ENDLESS}"', "when": {"count": 1}},
        {"name": "mail", "match": f'message~"{MAIL}"', "when": {"count": 1}},
        *rules,
        concurrency=10,
    )
    box.start()
    a.log(lines(1, message=f"invalid address: {'a' * 40}") + lines(2_000, message=POISON))
    a.log(b"".join(lines(1, message=f"took {n}12 ms") for n in range(8)))
    assert {run["rule"] for run in a.wait(8)} == {rule["name"] for rule in rules}
    box.wait_count(2_010)
    (condition,) = wait_until(lambda: conditions(box, "SL708"))
    assert condition["subject"] == "endless"
    assert str(box.log) in condition["message"]
    a.log(lines(1, message="xxxx"))  # what it can decide, it decides
    assert a.wait(9)[-1]["rule"] == "endless"
    assert box.stop() == 0
    box.start()
    a.log(lines(50, message=POISON) + lines(1, message="invalid address: a@example.net"))
    assert a.wait(10)[-1]["rule"] == "mail"
    box.wait_count(2_062)
    box.process.terminate()
    assert box.process.wait(60) == 0
    assert box.books_balance()


def test_a_catastrophic_multiline_start_costs_only_its_source(box):
    document = json.loads(box.config.read_text())
    other = box.root / "other"
    other.mkdir()
    document["sources"] = [
        {"name": "bad", "include": [str(box.log)], "multiline": {"start": f"{ENDLESS}|^- ", "timeout": "50ms"}},
        {"name": "good", "include": [f"{other}/*.log"], "multiline": {"start": "^- ", "timeout": "50ms"}},
    ]
    box.config.write_text(json.dumps(document))
    append(box.log, b"- one\n two\n")
    append(other / "a.log", b"- one\n two\n- three\n")
    for round_ in range(2):
        append(box.log, f"{POISON}\n".encode() * 300)
        box.start()
        (condition,) = wait_until(lambda: conditions(box, "SL301"))
        assert condition["subject"] == "bad"
        append(box.log, b"- last\n")  # what can be decided is, once they have passed
        box.wait_count(4 + round_)
        assert box.stop() == 0
    assert [row["offset"] for row in box.query("source=good")] == [0, 11]
    events = box.query("source=bad")
    assert [event["body"].split("\n")[0] for event in events] == ["- one", "- last", "- last"]
    assert [event["body"].count(POISON) for event in events] == [300, 300, 0]
    assert box.books_balance()


@pytest.fixture
def poisoned(box):
    document = json.loads(box.config.read_text())
    document["alerts"] = [
        {
            "name": "r",
            "match": f'severity>=error (source=none OR message~"{ENDLESS}")',
            "when": {"count": 1},
            "window": "1m",
        }
    ]
    box.config.write_text(json.dumps(document))
    append(box.log, lines(3, message="xxxx") + lines(1, message=POISON) + lines(1, "info", message="y" * 400_000 + "."))
    box.once()
    return box


@pytest.mark.parametrize(
    "command",
    [
        ("query", "-g", ENDLESS), ("query", "--count", "-g", ENDLESS),
        ("query", "--by", "severity", f"message~{ENDLESS}"),
        ("errors", "list", "-g", ENDLESS), ("alerts", "test", "r", "--since", "1h"),
    ],
)  # fmt: skip
def test_a_search_that_takes_too_long_ends_with_a_code(poisoned, command):
    done = poisoned.run(*command)
    assert done.returncode == 1
    assert b"SL524" in done.stderr
    assert ENDLESS.encode() in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_expression_sees_all_of_a_text_and_other_terms_are_looked_at_first(poisoned):
    assert len(poisoned.query("-g", "[.]$")) == 1
    assert len(poisoned.query("-g", "^y.*[.]$")) == 1
    assert poisoned.query("-g", r"\s+$") == []
    assert len(poisoned.query("xxxx", "!x!", "-g", ENDLESS)) == 3


def test_check_names_what_explodes(poisoned):
    done = poisoned.run("check", "--json")
    found = [one for one in json.loads(done.stdout)["findings"] if one["code"] == "SL708"]
    assert (done.returncode, [one["place"] for one in found]) == (0, ["alerts[0].match"])
    assert ENDLESS in found[0]["sentence"]
    document = json.loads(poisoned.config.read_text())
    document["sources"][0]["multiline"] = {"start": MAIL}
    document["alerts"][0]["match"] = r'message~"^took \d+ms"'
    poisoned.config.write_text(json.dumps(document))
    findings = json.loads(poisoned.run("check", "--json").stdout)["findings"]
    assert [(one["code"], one["place"]) for one in findings if one["level"] == "warning"] == [
        ("SL301", "sources[0].multiline.start")
    ]
