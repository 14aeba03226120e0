"""`errors show`, `alerts test` and `query` say the same when events have left the store for the archives."""

import json
import subprocess

import pytest

from tests.needs import needs
from tests.query.tiers import OBSERVED, Tiers, small_frames

MINUTE = 60 * 10**9
SPAN = ("--since", f"@{(OBSERVED - 90 * MINUTE) // 10**9}", "--until", f"@{(OBSERVED + MINUTE) // 10**9}")
TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 7, in add\n    x\nValueError: no item\n'
RULES = {
    "count": {"when": {"count": 4}},
    "rate": {"when": {"rate": "2/m"}, "per": ["service"]},
    "text": {"when": {"count": 2}, "match": "severity>=error broke", "per": ["service"]},
    "group": {"when": {"count": 2}, "match": "group=2"},
    "category": {"when": {"count": 1}, "match": "category=validation", "per": ["group"]},
    "state": {"when": {"count": 1}, "match": "state=regressed", "per": ["state"]},
    "ratio": {"when": {"ratio": "30%", "min": 5}},
    "ratio-per": {"when": {"ratio": "30%", "min": 3}, "match": "source=app severity>=error", "per": ["service"]},
    "spike": {"when": {"spike": "2x", "min": 3}},
    "new": {"when": {"new_group": True}},
    "regressed": {"when": {"regressed": True}, "per": ["service"]},
    "absent": {"when": {"absent": True}, "match": "pulse"},
}


@pytest.fixture(autouse=True)
def _small_frames(monkeypatch):
    small_frames(monkeypatch, 900)


def line(minutes_ago: float, message: str, level="info", **fields) -> bytes:
    at = OBSERVED - round(minutes_ago * MINUTE)
    return json.dumps({"timestamp": at, "level": level, "message": message, **fields}).encode() + b"\n"


def first_log() -> bytes:
    """Two hours: a pulse that pauses, troubles of two services in two bursts, and one from the future."""
    parts = []
    for minute in range(120, 0, -1):
        if not 30 < minute < 45:
            parts.append(line(minute, "pulse"))
        if minute in range(70, 60, -1) or minute in range(20, 14, -1):
            for number in range(3):
                service = "shop" if number % 2 else "pay"
                trace = f"{minute:032x}"
                parts.append(
                    line(minute - 0.2 * number, f"order {minute} broke", "error", service=service, trace_id=trace)
                )
        if minute == 80:
            parts.append(line(minute - 0.5, "no such value", "error", stack_trace=TRACE, service="shop"))
    parts.append(line(-300, "from the future", "error", service="shop"))
    return b"".join(parts)


def configuration(tmp_path):
    file = tmp_path / "c.json"
    rules = [{"name": name, "match": "severity>=error", "window": "5m", **rule} for name, rule in RULES.items()]
    document = {
        "store": {"path": str(tmp_path / "s.db"), "min_free": "1KiB"},
        "sources": [{"name": "app", "include": [str(tmp_path / "*.log")]}],
        "alerts": rules,
    }
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def tiers(tmp_path):
    with Tiers(tmp_path) as made:
        made.store("a.log", first_log())
        made.store("b.log", line(50, "other trouble", "error") + line(12, "other trouble", "error"))
        made.connection.execute(
            "UPDATE error_groups SET state = 'regressed', state_changed = ? WHERE title LIKE 'other%'",
            (OBSERVED - 12 * MINUTE,),
        )
        yield made


def replayed(sidelog, config, rule, code=0):
    said = sidelog("alerts", "test", rule, "--json", *SPAN, "--explain", f"@{OBSERVED // 10**9 - 900}", "-c", config)
    assert said.code == code, said.err
    return json.loads(said.out)


def test_a_replay_is_the_same_wherever_the_events_lie(sidelog, tiers, tmp_path):
    config = configuration(tmp_path)
    wanted = {rule: replayed(sidelog, config, rule) for rule in RULES}
    assert [rule for rule in RULES if not wanted[rule]["firing"]] == []
    data = first_log()
    tiers.archive("a.log", data)
    tiers.archive("b.log", line(50, "other trouble", "error") + line(12, "other trouble", "error"))
    for share in (0.0, 0.4, 1.0):
        tiers.expire(share)
        found = {rule: replayed(sidelog, config, rule) for rule in RULES}
        for rule in RULES:
            assert found[rule] == wanted[rule], f"{rule} with {share:.0%} gone"
    said = sidelog("alerts", "test", "count", *SPAN, "-c", config)
    assert "52 events matched" in said.err


def test_events_that_were_never_stored_count_and_make_no_group(sidelog, tmp_path):
    with Tiers(tmp_path) as tiers:
        config = configuration(tmp_path)
        tiers.archive("never.log", b"".join(line(20, f"order {n} broke", "error") for n in range(9)))
        assert len(replayed(sidelog, config, "count")["firing"]) == 1
        assert replayed(sidelog, config, "new")["firing"] == []


def test_a_missing_archive_is_named_and_the_rest_is_replayed(sidelog, tiers, tmp_path):
    config = configuration(tmp_path)
    row = tiers.archive("b.log", line(50, "other trouble", "error") + line(12, "other trouble", "error"))
    tiers.archive("a.log", first_log())
    tiers.expire()
    (tmp_path / row.path).unlink()
    said = sidelog("alerts", "test", "count", "--json", *SPAN, "-c", config)
    assert said.code == 1
    assert said.err.count("error[SL802]") == 1
    assert row.path in said.err
    assert json.loads(said.out)["firing"]


def test_a_group_is_shown_from_the_archives(sidelog, tiers):
    wanted = json.loads(sidelog("errors", "show", "2", "--json", "--store", tiers.path).out)
    tiers.archive("a.log", first_log())
    row = tiers.archive("b.log", line(50, "other trouble", "error") + line(12, "other trouble", "error"))
    tiers.expire()
    said = sidelog("errors", "show", "2", "--json", "--store", tiers.path)
    assert said.code == 0
    found = json.loads(said.out)
    for shown in (wanted, found):
        assert (len(shown["samples"]), len(shown["trace_events"])) == (5, 3)
        for event in shown["samples"] + shown["trace_events"]:
            del event["id"]
    assert found == wanted
    assert "sample events" in sidelog("errors", "show", "4", "--store", tiers.path).out
    (tiers.root / row.path).write_bytes(b"")
    said = sidelog("errors", "show", "4", "--store", tiers.path)
    assert said.code == 1
    assert "other trouble" in said.out
    assert "error[SL803]" in said.err
    assert sidelog("errors", "show", "99", "--store", tiers.path).code == 1


def test_a_query_for_a_group_is_answered_from_the_archives(sidelog, tiers):
    commands = [
        ["query", "-n", "all", "-o", "json", "--fields", "timestamp,group,category,message", "-p", "error"],
        ["query", "group=2", "-n", "all", "-o", "json", "--fields", "timestamp,message"],
        ["query", "--by", "group"],
        ["query", "--by", "category,severity", "-o", "json"],
        ["query", "--count", "category=validation"],
    ]
    wanted = [sidelog(*command, "--store", tiers.path).out for command in commands]
    tiers.archive("a.log", first_log())
    tiers.expire(0.7)
    assert [sidelog(*command, "--store", tiers.path).out for command in commands] == wanted
    assert wanted[-1] == "1\n"
    assert all(wanted)


@needs("root")
def test_both_tiers_can_be_asked_on_a_disk_that_is_read_only(sidelog, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    try:
        with Tiers(disk / "state") as tiers:
            tiers.store("a.log", first_log())
            tiers.archive("a.log", first_log())
            tiers.expire(0.5)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        said = sidelog("query", "--count", "--store", disk / "state" / "s.db")
        assert (said.code, said.out, said.err) == (0, f"{len(first_log().splitlines())}\n", "")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        (disk / "state" / "s.db-wal").write_bytes(b"x")  # what it may hold is not left out unsaid
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        said = sidelog("query", "--count", "--store", disk / "state" / "s.db")
        assert (said.code, said.out) == (3, "")
        assert "error[SL406]" in said.err
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
