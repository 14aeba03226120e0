"""Events get lost or cannot be had: then everything is looked at, and nothing is missed."""

from pathlib import Path

import pytest

from tests.integration.harness import wait_until
from tests.integration.oracle import Scribe, frozen, nudge, settled
from tests.needs import limited, needs

QUEUED_EVENTS = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
LIMIT = ["unshare", "--user", "--map-root-user", "sh", "-c", 'echo "$2" > "/proc/sys/user/$1"; shift 2; exec "$@"', "-"]


def test_an_overflow_of_the_event_queue_leads_to_a_look_at_everything(box):
    """The queue is full before 300 files are born and 30 grow while the agent stands still: it hears of none."""
    scribe = Scribe()
    for number in range(30):
        scribe.append(box.logs / f"old-{number}.log")
    box.start(rescan_s=3600)  # no regular look comes to its help
    box.wait_count(30)
    with frozen(box):
        # not by lowering the limit, which is the whole machine's: other tests' queues would overflow too
        one, other = box.logs / "one.tmp", box.logs / "other.tmp"
        one.touch()
        for _ in range(QUEUED_EVENTS // 4 + 1):  # four halves of renames a turn
            one.rename(other)
            other.rename(one)
        for number in range(300):
            scribe.append(box.logs / f"new-{number}.log")
        for number in range(30):
            scribe.append(box.logs / f"old-{number}.log")
    settled(box, scribe)
    assert "Inotify queue overflowed" in box.said()


@needs("util-linux")
@pytest.mark.parametrize(
    ("limit", "value", "sysctl"),
    [("max_inotify_instances", 0, "max_user_instances"), ("max_inotify_watches", 3, "max_user_watches")],
)
def test_without_inotify_files_are_polled_and_the_limit_is_named_once(box, limit, value, sysctl):
    scribe = Scribe()
    logs = [box.logs / f"{number}.log" for number in range(8)]
    for log in logs:
        scribe.append(log)
    box.start(*LIMIT, limit, str(value))
    if "agent started" not in box.said():
        limited("user namespaces", box.said()[-200:])
    box.wait_count(8)
    for log in logs:
        nudge(box, scribe, log)
    logs[0].rename(box.logs / "0.log.1")
    nudge(box, scribe, logs[0])
    nudge(box, scribe, box.logs / "new.log")
    settled(box, scribe)
    wait_until(lambda: any(error["code"] == "SL205" for error in box.status()["errors"]), what="the condition")
    assert sysctl in str(box.status()["errors"])
    assert box.said().count("SL205") == 1
