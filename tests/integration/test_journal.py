"""A journal as a source: each entry once, whatever happens to the agent, to journalctl and to the journal's files."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.harness import wait_until
from tests.journals import Journal, entry, stand_in
from tests.needs import needs

pytestmark = needs("journalctl", "journal-remote")


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def configure(box, journal, selected=None, name="shop", **source):
    given = {"directory": str(journal.directory), **(selected or {})}
    document = {
        "store": {"path": str(box.store), "flush_interval": "50ms", "min_free": "1MiB"},
        "sources": [{"name": name, "journal": given, **source}],
    }
    box.config.write_text(json.dumps(document))


def numbers(box):
    return [int(n) for (n,) in box.sql("SELECT json_extract(record, '$.N') FROM events ORDER BY id") if n is not None]


def gaps(box):
    return [(gap["reason"], gap["bytes"]) for gap in reversed(box.status()["gaps"])]


def children(pid):
    """The journalctl processes of the agent."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        if "(journalctl" in name and int(rest.split()[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def follower(box):
    return wait_until(lambda: children(box.process.pid), what="a journalctl")[0]


def test_each_entry_is_stored_once_over_runs(box, journal):
    configure(box, journal)
    written = journal.numbered(0, 50)
    box.once()
    assert numbers(box) == written
    box.once()
    written += journal.numbered(50, 50)
    box.once()
    assert numbers(box) == written
    assert gaps(box) == []
    assert box.books_balance()


def test_an_entry_is_followed_and_found(box, journal):
    configure(box, journal, labels={"service.name": "shop"})
    box.start()
    journal.write(entry("disk is full", PRIORITY=3, SYSLOG_IDENTIFIER="shop", _PID=4711, _SYSTEMD_UNIT="shop.service"))
    box.wait_count(1)
    [found] = box.query("systemd.unit=shop.service", "process.pid=4711", "-p", "error")
    [shown] = journal.entries()
    assert found["body"] == "disk is full"
    assert found["severity_text"] == "ERROR"
    assert found["timestamp"].startswith(time.strftime("%Y-%m-%dT", time.gmtime()))
    assert found["attributes"]["logger"] == "shop"
    assert found["attributes"]["host.name"] == "web1"
    assert found["resource"]["service.name"] == "shop"
    assert found["path"] == "journal:shop"
    assert json.loads(box.raw()) == shown
    status = box.status()
    assert status["healthy"], status
    assert [(file["path"], file["lag_bytes"]) for file in status["files"]] == [("journal:shop", 0)]
    assert box.stop() == 0


def test_journal_files_come_and_go_while_it_is_followed(box, journal):
    configure(box, journal)
    box.start()
    written = []
    for turn in range(4):
        written += journal.numbered(turn * 20, 20, name=f"file{turn}")
        box.wait_count(len(written))
        if turn:
            journal.vacuum(f"file{turn - 1}")
    assert numbers(box) == written
    assert box.stop() == 0
    assert gaps(box) == []


def test_all_boots_are_read(box, journal):
    """`journalctl --follow` by itself shows the last boot alone."""
    configure(box, journal)
    written = journal.numbered(0, 5, _BOOT_ID=f"{7:032x}") + journal.numbered(5, 5, _BOOT_ID=f"{8:032x}")
    box.start()
    box.wait_count(10)
    written += journal.numbered(10, 5, _BOOT_ID=f"{9:032x}")
    box.wait_count(15)
    assert sorted(numbers(box)) == written


def test_kills_at_any_moment_lose_and_double_nothing(box, journal):
    configure(box, journal)
    written = journal.numbered(0, 3000)
    for turn in range(8):
        box.start()
        before = min(box.count(), len(written) - 1)
        wait_until(lambda before=before: box.count() > before, what="some events")
        orphans = children(box.process.pid)
        box.process.send_signal(signal.SIGKILL)
        box.process.wait()
        wait_until(lambda orphans=orphans: not any(Path(f"/proc/{pid}").exists() for pid in orphans), what="its end")
        written += journal.numbered(3000 + turn * 200, 200)
    box.start()
    box.wait_count(len(written))
    assert box.stop() == 0
    assert numbers(box) == written
    assert gaps(box) == []
    assert box.books_balance()


def test_a_journalctl_that_is_killed_is_begun_again(box, journal):
    configure(box, journal)
    box.start()
    written = []
    for turn in range(3):
        written += journal.numbered(turn * 10, 10)
        box.wait_count(len(written))
        old = follower(box)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda old=old: [pid for pid in children(box.process.pid) if pid != old], what="another one")
    assert numbers(box) == written
    assert "SL214" in box.said()
    wait_until(lambda: box.status()["healthy"], what="the end of the condition")


def test_what_was_vacuumed_is_a_gap_and_the_first_entry_behind_it_is_not_lost(box, journal):
    configure(box, journal)
    written = journal.numbered(0, 10, name="a")
    box.once()
    journal.numbered(10, 7, name="a")  # nobody reads these
    written += journal.numbered(20, 5, name="b")
    journal.vacuum("a")
    box.once()
    assert numbers(box) == written
    assert [reason for reason, _ in gaps(box)] == ["vacuumed"]
    box.once()
    written += journal.numbered(30, 5, name="b")
    box.once()
    assert numbers(box) == written
    assert len(gaps(box)) == 1
    assert box.books_balance()


def test_a_vacuumed_journal_without_new_entries_is_told_once(box, journal):
    configure(box, journal, {"identifiers": ["shop"]})
    journal.numbered(0, 3, name="a", SYSLOG_IDENTIFIER="shop")
    box.once()
    journal.numbered(3, 3, name="b", SYSLOG_IDENTIFIER="other")
    journal.vacuum("a")
    for _ in range(2):
        box.once()
    assert [reason for reason, _ in gaps(box)] == ["vacuumed"]
    journal.numbered(6, 3, name="b", SYSLOG_IDENTIFIER="shop")
    box.once()
    assert numbers(box) == [0, 1, 2, 6, 7, 8]
    assert len(gaps(box)) == 1


def test_vacuuming_while_the_agent_is_killed_is_a_gap_when_it_follows_again(box, journal):
    configure(box, journal)
    written = journal.numbered(0, 10, name="a")
    box.start()
    box.wait_count(10)
    box.kill()
    written += journal.numbered(20, 10, name="b")
    journal.vacuum("a")
    box.start()
    box.wait_count(20)
    assert numbers(box) == written
    assert [reason for reason, _ in gaps(box)] == ["vacuumed"]


def test_conditions_are_all_to_hold(box, journal):
    chosen = {"units": ["shop.service", "pay.service"], "identifiers": ["web", "db"], "priority": "warning"}
    configure(box, journal, chosen)
    wanted = Counter()
    rows = []
    for unit in ("shop.service", "pay.service", "other.service"):
        for identifier in ("web", "db", "cron"):
            for priority in (3, 4, 6):
                text = f"{unit} {identifier} {priority}"
                rows.append(entry(text, _SYSTEMD_UNIT=unit, SYSLOG_IDENTIFIER=identifier, PRIORITY=priority))
                if unit != "other.service" and identifier != "cron" and priority <= 4:
                    wanted[text] += 1
    journal.write(*rows)
    box.once()
    assert Counter(row["body"] for row in box.query()) == wanted


@pytest.mark.parametrize("priority", ["err", 3, "3"])
def test_a_priority_is_a_name_or_a_number(box, journal, priority):
    configure(box, journal, {"priority": priority})
    journal.write(entry("a", PRIORITY=2), entry("b", PRIORITY=3), entry("c", PRIORITY=4))
    box.once()
    assert [row["body"] for row in box.query()] == ["a", "b"]


def test_a_new_journal_may_begin_at_its_end(box, journal):
    configure(box, journal, start="end")
    journal.numbered(0, 5)
    box.once()
    assert box.count() == 0
    written = journal.numbered(5, 5)
    box.once()
    assert numbers(box) == written
    assert gaps(box) == []


def test_other_units_go_on_at_the_same_place(box, journal):
    configure(box, journal, {"identifiers": ["a"]})
    journal.write(entry("1", SYSLOG_IDENTIFIER="a"), entry("2", SYSLOG_IDENTIFIER="b"))
    box.start()
    box.wait_count(1)
    configure(box, journal, {"identifiers": ["b"]})
    box.process.send_signal(signal.SIGHUP)
    box.wait_count(2)  # it lies behind the last one that was read
    journal.write(entry("3", SYSLOG_IDENTIFIER="a"), entry("4", SYSLOG_IDENTIFIER="b"))
    box.wait_count(3)
    assert [row["body"] for row in box.query()] == ["1", "2", "4"]
    assert gaps(box) == []
    assert box.stop() == 0


def test_another_name_and_labels_go_on_at_the_same_place(box, journal):
    configure(box, journal)
    journal.write(entry("1"))
    box.start()
    box.wait_count(1)
    configure(box, journal, name="web", labels={"service.name": "web"})
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in box.said())
    journal.write(entry("2"))
    box.wait_count(2)
    configure(box, journal, name="web", labels={"service.name": "pay"})
    box.stop()
    journal.write(entry("3"))
    box.once()
    found = [(row["body"], row["source"], row["resource"].get("service.name")) for row in box.query()]
    assert found == [("1", "shop", None), ("2", "web", "web"), ("3", "web", "pay")]
    assert {row["path"] for row in box.query()} == {"journal:shop"}
    assert box.books_balance()


def test_a_source_that_comes_back_goes_on(box, journal):
    configure(box, journal)
    journal.write(entry("1"))
    box.start()
    box.wait_count(1)
    kept = box.config.read_text()
    box.configure()
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not children(box.process.pid), what="the end of journalctl")
    journal.write(entry("2"))
    box.config.write_text(kept)
    box.process.send_signal(signal.SIGHUP)
    box.wait_count(2)
    assert [row["body"] for row in box.query()] == ["1", "2"]


def test_two_sources_read_one_journal(box, journal):
    place = str(journal.directory)
    sources = [
        {"name": name, "journal": {"directory": place, "identifiers": [name]}, "redact": ["password"]} for name in "ab"
    ]
    box.config.write_text(json.dumps({"store": {"path": str(box.store)}, "sources": sources}))
    journal.write(entry("password=1", SYSLOG_IDENTIFIER="a"), entry("password=2", SYSLOG_IDENTIFIER="b"))
    box.once()
    assert Counter((row["source"], row["body"]) for row in box.query()) == {
        ("a", "password=[redacted]"): 1,
        ("b", "password=[redacted]"): 1,
    }
    assert b"password=1" not in box.raw()


def test_a_huge_entry_is_a_gap_and_its_neighbours_are_whole(box, journal):
    configure(box, journal, max_line="64KiB")
    journal.write(entry("1"), entry("x" * 5_000_000), entry("3"), entry("y" * 80_000))
    box.once()
    assert [row["body"] for row in box.query()] == ["1", "3"]
    assert [reason for reason, _ in gaps(box)] == ["over_long", "over_long"]
    box.once()
    assert len(gaps(box)) == 2
    journal.write(entry("4"))
    box.once()
    assert [row["body"] for row in box.query()] == ["1", "3", "4"]
    assert len(gaps(box)) == 2
    assert box.books_balance()


def test_an_old_cursor_that_selects_nothing_moves_on(box, journal):
    """What the journal loses of others is no gap of this source, once nothing of its own came for long."""
    configure(box, journal, {"identifiers": ["shop"]})
    journal.numbered(0, 3, name="a", SYSLOG_IDENTIFIER="shop")
    journal.numbered(3, 3, name="b", SYSLOG_IDENTIFIER="other")
    box.env["PYTHONPATH"] = str(box.root)
    (box.root / "sitecustomize.py").write_text("import agent.tail.journal as one\none._IDLE_S = 0.3\n")
    box.start()
    newest = journal.entries()[-1]["__CURSOR"].encode()
    wait_until(lambda: box.sql("SELECT marker_hash FROM files") == [(newest,)], what="the newest cursor")
    assert box.stop() == 0
    journal.vacuum("a")
    box.once()
    assert gaps(box) == []
    assert numbers(box) == [0, 1, 2]


def test_a_missing_journalctl_is_said_and_waited_for(box, journal):
    configure(box, journal)
    journal.write(entry("1"))
    empty = box.root / "bin"
    empty.mkdir()
    path = box.env["PATH"]
    box.env["PATH"] = str(empty)
    done = box.run("run", "--once")
    assert (done.returncode, b"SL211" in done.stderr) == (1, True), "a part of what was to be read was not"
    assert b"SL211" in box.run("check").stdout
    box.env["PATH"] = path
    box.once()
    assert box.count() == 1


def test_a_journal_that_may_not_be_read_is_said_with_what_heals_it(box, journal):
    configure(box, journal)
    box.env |= stand_in(
        box.root / "bin", "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1"
    )
    done = box.run("run", "--once")
    assert b"SL212" in done.stderr
    assert b"systemd-journal" in done.stderr
    checked = box.run("check")
    assert checked.returncode == 1
    assert b"SL212" in checked.stdout


def test_a_missing_directory_is_said_and_waited_for(box, journal):
    configure(box, journal, {"directory": str(box.root / "later")})
    box.start()
    wait_until(lambda: "SL213" in box.said())
    assert b"SL213" in box.run("check").stdout
    Journal(box.root / "later").write(entry("1"))
    box.wait_count(1)
    wait_until(lambda: box.status()["healthy"], what="the end of the condition")


def test_check_tells_that_a_journal_can_be_read(box, journal):
    configure(box, journal)
    journal.write(entry("1"))
    done = box.run("check")
    assert done.returncode == 0, done.stdout
    assert b"the journal can be read" in done.stdout


def test_a_stored_trace_is_a_group(box, journal):
    trace = 'Traceback (most recent call last):\n  File "/a.py", line 1, in f\n    g()\nValueError: no such order'
    configure(box, journal)
    journal.write(entry(trace, PRIORITY=3), entry(f"unhandled\n{trace}", PRIORITY=3))
    box.once()
    groups = json.loads(box.run("errors", "--json").stdout)
    assert [group["title"] for group in groups] == ["ValueError: no such order"]
    assert groups[0]["count"] == 2
