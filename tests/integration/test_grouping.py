"""Groups of a real agent: what it learnt of messages is known over restarts, and states follow the events."""

import json

from agent.group import fingerprint
from tests.integration.harness import append, event, wait_until
from tests.integration.oracle import change_store


def messages(box, *runs):
    """Store an error per name, each run's by an agent of its own; the group of each error so far."""
    for names in runs:
        append(box.log, b"".join(event(1, "error", f"cannot load the plug-in {name} twice") for name in names.split()))
        assert box.once().returncode == 0
    return [group for (group,) in box.sql("SELECT group_id FROM events ORDER BY id")]


def test_a_column_that_holds_many_words_is_recognised_over_restarts(box):
    first, second = "anchor basket candle dragon engine", "forest garden hammer island"
    assert messages(box, first, second, "jungle", "kettle") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1]
    assert box.sql("SELECT template, count FROM error_groups WHERE id = 1") == [
        ("message\n\ncannot load the plug-in <word> twice", 3)
    ]
    assert messages(box, "basket lantern")[-2:] == [2, 1]


def test_errors_of_an_older_version_keep_their_groups(box):
    """A store without templates: a new message finds the group whose fingerprint is that of its text."""
    assert messages(box, "anchor") == [1]
    change_store(box, "UPDATE error_groups SET template = NULL, fingerprint_version = 1")
    assert messages(box, "anchor basket") == [1, 1, 2]


# ------------------------------------------------------------ states


def error(number):
    return event(number, "error", f"cannot reach the till {number}")


def state(box):
    """State of the one group, and how many events it has."""
    found = box.sql("SELECT state, count FROM error_groups")
    assert len(found) == 1
    return found[0]


def come(box, start, count, total):
    """Append errors one by one to a running agent, each stored before the next; the states after each."""
    states = []
    for number in range(start, start + count):
        append(box.log, error(number))
        wait_until(lambda wanted=total + number - start + 1: state(box)[1] == wanted, what="the count of the group")
        states.append(state(box)[0])
    return states


def test_an_ignored_group_comes_back_with_the_nth_event_over_restarts(box):
    append(box.log, error(0) + error(1))
    box.start()
    box.wait_count(2)
    said = box.run("errors", "ignore", "1", "--until-count", "5")
    assert (said.returncode, said.stderr.decode().strip()) == (0, "group 1 is ignored until 5 more events have come")
    assert come(box, 2, 2, 2) == ["ignored", "ignored"]
    assert box.stop() == 0
    append(box.log, error(4))
    box.once()
    assert state(box) == ("ignored", 5)
    box.start()
    box.kill()
    box.start()
    assert come(box, 5, 2, 5) == ["ignored", "regressed"]
    assert box.sql("SELECT ignored_until, ignored_until_count FROM error_groups") == [(None, None)]
    shown = box.run("errors", "show", "1")
    assert "group 1, regressed" in shown.stdout.decode()


def test_the_nth_event_is_in_the_transaction_that_brings_the_group_back(box):
    """However the agent dies: whoever reads sees the state and the events of one moment."""
    append(box.log, error(0))
    box.once()
    assert box.run("errors", "ignore", "1", "--until-count", "300").returncode == 0
    box.start()
    append(box.log, b"".join(map(error, range(1, 200))))
    wait_until(lambda: box.count() > 1, what="the first of them")
    box.kill()
    append(box.log, b"".join(map(error, range(200, 400))))
    box.start()
    seen = set()

    def done():
        row = box.sql("SELECT state, count, (SELECT count(*) FROM events WHERE group_id = 1) FROM error_groups")[0]
        seen.add(row)
        return row[1] == 400

    wait_until(done, what="all events")
    assert all(count == stored for _, count, stored in seen)
    assert all((name == "regressed") == (count >= 301) for name, count, _ in seen)


def test_an_ignored_group_stays_ignored_until_its_time_is_over_and_it_comes_back(box):
    append(box.log, error(0))
    box.start()
    box.wait_count(1)
    assert box.run("errors", "ignore", "1", "--for", "1h").returncode == 0
    assert come(box, 1, 2, 1) == ["ignored", "ignored"]
    change_store(
        box, "UPDATE error_groups SET ignored_until = ignored_until - 3600000000000"
    )  # as if an hour had passed
    assert state(box) == ("ignored", 3), "it has not come back yet"
    assert come(box, 3, 1, 3) == ["regressed"]
    assert box.run("errors", "ignore", "1").returncode == 0
    assert come(box, 4, 2, 4) == ["ignored", "ignored"]


def test_a_resolved_group_comes_back_and_a_backfill_does_not_bring_it(box):
    append(box.log, error(0))
    box.start()
    box.wait_count(1)
    assert box.run("errors", "resolve", "1").returncode == 0
    append(box.log, error(1).replace(b'"timestamp": "202', b'"timestamp": "201'))
    box.wait_count(2)
    assert state(box) == ("resolved", 2)
    assert come(box, 2, 1, 2) == ["regressed"]


def test_services_are_those_of_the_lines_and_else_the_label(box):
    box.configure(labels={"service.name": "shop"})
    other = event(1, "error", "cannot reach the till 1", **{"service.name": "pos"})
    append(box.log, error(0) + other + error(2))
    box.once()
    assert box.sql("SELECT service, count FROM group_services ORDER BY count") == [("pos", 1), ("shop", 2)]
    assert box.sql("SELECT service FROM error_groups") == [("shop",)]


def test_a_rule_is_told_that_an_ignored_group_has_come_back(box):
    document = json.loads(box.config.read_text())
    told = box.root / "told"
    hook = box.root / "hook.sh"
    hook.write_text(f'#!/bin/sh\ncat > "{told}.new" && mv "{told}.new" "{told}"\n')
    hook.chmod(0o700)
    document["alerts"] = [{"name": "back", "when": {"regressed": True}, "hooks": ["page"]}]
    document["hooks"] = {"page": {"exec": [str(hook)]}}
    box.config.write_text(json.dumps(document))
    append(box.log, error(0))
    box.start()
    box.wait_count(1)
    assert box.run("errors", "ignore", "1", "--until-count", "2").returncode == 0
    assert come(box, 1, 1, 1) == ["ignored"]
    assert not told.exists()
    assert come(box, 2, 1, 2) == ["regressed"]
    wait_until(told.exists, what="the hook")
    assert json.loads(told.read_text())["groups"][0]["id"] == 1


# ------------------------------------------------------------ errors without a type

ZAP = (
    r'{"level":"error","ts":%d,"msg":"%s","error":"%s",'
    r'"stacktrace":"main.pay\n\t/srv/shop/pay.go:%d\nmain.main\n\t/srv/shop/main.go:7"}'
)


def zap(box, *errors):
    """Store errors as Go's zap writes them, all from one place; the group of each error so far."""
    lines = [ZAP % (1_795_325_966 + index, *error, 10 + index) for index, error in enumerate(errors)]
    append(box.log, "".join(line + "\n" for line in lines).encode())
    assert box.once().returncode == 0
    return [group for (group,) in box.sql("SELECT group_id FROM events ORDER BY id")]


def test_go_errors_of_one_place_are_told_apart_by_what_they_say(box):
    assert zap(
        box,
        ("cannot charge order 17", "card declined"),
        ("cannot charge order 18", "card declined"),
        ("cannot charge order 19", "dial tcp 10.0.0.1:443: i/o timeout"),
        ("cannot refund order 17", "card declined"),
    ) == [1, 1, 2, 3]
    assert box.sql("SELECT title, culprit FROM error_groups WHERE id = 1") == [
        ("cannot charge order 17: card declined", "main.pay")
    ]


def test_go_errors_whose_frames_made_a_group_of_an_older_version_stay_ignored(box):
    assert zap(box, ("cannot charge order 17", "card declined")) == [1]
    assert box.run("errors", "ignore", "1").returncode == 0
    older = fingerprint.fingerprint("frames\n\nmain.pay\nmain.main")
    change_store(box, f"UPDATE error_groups SET template = NULL, fingerprint_version = 2, fingerprint = '{older}'")
    assert zap(box, ("cannot charge order 18", "card declined"), ("cannot refund order 1", "no")) == [1, 1, 2]
    assert zap(box, ("cannot refund order 2", "no"), ("cannot charge order 19", "card declined"))[-2:] == [2, 1]
    assert box.sql("SELECT id, state, count, fingerprint_version FROM error_groups") == [
        (1, "ignored", 3, fingerprint.VERSION),
        (2, "new", 2, fingerprint.VERSION),
    ]
