"""`/metrics`: every number, in both formats, live, and never back."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from agent.core.metrics import COMMIT_BUCKETS_S, GAP_REASONS, RESULTS, AgentCounters, SourceLag, Vitals
from agent.http.exposition import OPENMETRICS, TEXT, AgentCollector, exposition
from tests.http.alone import lone
from tests.http.processes import server_of
from tests.http.scrape import ACCEPTS, Scrape, families, serve_everything, wait_for
from tests.integration.harness import append, event, events, wait_until
from tests.needs import needs

ROOT = Path(__file__).parents[2]
# Family -> type, labels: what other people's alerts rest on.
FAMILIES = {
    "sidelog_events": ("counter", {"source"}),
    "sidelog_error_events": ("counter", {"source"}),
    "sidelog_read_bytes": ("counter", {"source"}),
    "sidelog_parse_errors": ("counter", {"source"}),
    "sidelog_gap_bytes": ("counter", {"source", "reason"}),
    "sidelog_lag_bytes": ("gauge", {"source"}),
    "sidelog_lag_seconds": ("gauge", {"source"}),
    "sidelog_files": ("gauge", {"source"}),
    "sidelog_store_bytes": ("gauge", set()),
    "sidelog_archive_bytes": ("gauge", {"source"}),
    "sidelog_archive_files": ("gauge", {"source"}),
    "sidelog_alerts_firing": ("gauge", {"rule"}),
    "sidelog_deliveries": ("counter", {"hook", "result"}),
    "sidelog_hook_circuit_open": ("gauge", {"hook"}),
    "sidelog_commit_seconds": ("histogram", {"le"}),
    "sidelog_forward_lag_events": ("gauge", None),  # without samples as long as nothing is forwarded
    "sidelog_own_errors": ("counter", {"code"}),
    "sidelog_ready": ("gauge", set()),
    "process_virtual_memory_bytes": ("gauge", set()),
    "process_resident_memory_bytes": ("gauge", set()),
    "process_start_time_seconds": ("gauge", set()),
    "process_cpu_seconds": ("counter", set()),
    "process_open_fds": ("gauge", set()),
    "process_max_fds": ("gauge", set()),
}


@pytest.fixture(scope="module")
def everything(served_box):
    """A running agent with samples in every family, for tests that change nothing."""
    return serve_everything(served_box)


# ---------------------------------------------------------------- what is there


@pytest.mark.parametrize("accept", ACCEPTS)
def test_every_family_is_there_with_its_labels(everything, accept):
    found = families(everything, accept)
    assert {name: family.type for name, family in found.items()} == {name: kind for name, (kind, _) in FAMILIES.items()}
    for name, family in found.items():
        labels = [sample.labels.keys() for sample in family.samples if not sample.name.endswith(("_count", "_sum"))]
        assert ({*labels[0]} if labels else None) == FAMILIES[name][1], name
        assert all(one == labels[0] for one in labels), name
        assert family.documentation.endswith("."), name


def test_the_numbers_are_those_of_the_logs(everything):
    scrape = Scrape(everything)
    assert scrape["sidelog_events_total", "app"] == 31
    assert scrape["sidelog_error_events_total", "app"] == 6
    assert scrape["sidelog_parse_errors_total", "app"] == 1
    assert scrape.by("sidelog_gap_bytes_total") == {
        ("app", reason): {"over_long": 5_001, "hole": 100}.get(reason, 0) for reason in GAP_REASONS
    }
    rest = len(b'{"level": "info", "message": "not ended')
    assert scrape["sidelog_read_bytes_total", "app"] == everything.log.stat().st_size - rest
    assert scrape["sidelog_lag_bytes", "app"] == rest
    assert scrape["sidelog_files", "app"] == 1
    later = scrape["sidelog_lag_seconds", "app"] + 0.5
    wait_until(lambda: Scrape(everything)["sidelog_lag_seconds", "app"] > later, 20, "a lag that grows")
    size = sum(path.stat().st_size for path in everything.store.parent.glob("sidelog.db*") if "-shm" not in path.name)
    assert scrape["sidelog_store_bytes",] == pytest.approx(size, rel=0.5)
    assert scrape["sidelog_ready",] == 1
    assert scrape["process_start_time_seconds",] == pytest.approx(time.time(), abs=180)
    with Path(f"/proc/{everything.process.pid}/statm").open() as statm:
        pages = int(statm.read().split()[1])
    assert scrape["process_resident_memory_bytes",] == pytest.approx(pages * os.sysconf("SC_PAGESIZE"), rel=0.3)


def test_the_numbers_are_those_of_rules_hooks_and_own_errors(everything):
    scrape = Scrape(everything)
    assert scrape.by("sidelog_alerts_firing") == {("many",): 1, ("each",): 6}
    made = scrape.by("sidelog_deliveries_total")
    assert {hook for hook, _ in made} == {"works", "fails"}
    assert {result for _, result in made} == {*RESULTS}
    assert made["works", "delivered"] == 1
    assert made["fails", "dead"] >= 5
    assert scrape.by("sidelog_hook_circuit_open") == {("works",): 0, ("fails",): 1}
    assert scrape["sidelog_own_errors_total", "SL703"] == made["fails", "dead"]
    assert scrape["sidelog_own_errors_total", "SL704"] >= 1


def test_the_histogram_of_commits_is_consistent(everything):
    scrape = Scrape(everything)
    buckets = scrape.by("sidelog_commit_seconds_bucket")
    bounds = [float(bound) for (bound,) in buckets]
    assert bounds == [*COMMIT_BUCKETS_S, float("inf")]
    counts = [*buckets.values()]
    assert counts == sorted(counts)
    assert counts[-1] == scrape["sidelog_commit_seconds_count",] > 0
    least = sum((here - before) * bound for here, before, bound in zip(counts[1:], counts, (0, *bounds), strict=False))
    assert least * 0.1 <= scrape["sidelog_commit_seconds_sum",] < counts[-1] * 10


def test_a_scrape_is_live_within_a_second(box):
    box.serve()
    waits = []
    for number in range(5):
        append(box.log, event(number))
        began = time.monotonic()
        wait_for(box, "sidelog_events_total", "app", value=number + 1)
        waits.append(time.monotonic() - began)
    assert statistics.median(waits) < 1.0, waits


# ---------------------------------------------------------------- the two formats


def test_who_asks_for_openmetrics_has_it_and_all_else_the_older_format(everything):
    for accept, kind in (
        (ACCEPTS[0], OPENMETRICS),
        (ACCEPTS[1], OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain;q=1,application/openmetrics-text;q=0.5", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=none,text/html;;,", OPENMETRICS),
    ):
        answer = httpx.get(f"{everything.base}/metrics", headers={"Accept": accept})
        assert answer.headers["Content-Type"] == kind, accept
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert answer.text.endswith("# EOF\n") == (kind == OPENMETRICS)
        read = read_openmetrics if kind == OPENMETRICS else read_text
        assert {family.name for family in read(answer.text)} == FAMILIES.keys()


@needs("prometheus")
def test_promtool_finds_nothing(everything):
    text = httpx.get(f"{everything.base}/metrics").content
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_value_of_a_label_comes_back():
    """Names in a configuration are plain; what another version or a journal has as a name may not be."""
    names = ['say "hi"', "back\\slash", "two\nlines", "\\n", "{a='b'}", "größe", "a,b", "#", " "]
    vitals = Vitals(
        time=0, pid=os.getpid(), version="1", started_at=0, lag={name: SourceLag(files=1) for name in names}
    )
    for accept, read in ((ACCEPTS[0], read_openmetrics), ("", read_text)):
        text, _ = exposition(AgentCollector(vitals, 0), accept)
        files = next(family for family in read(text.decode()) if family.name == "sidelog_files")
        assert [sample.labels["source"] for sample in files.samples] == names


def test_a_family_without_samples_is_declared():
    vitals = Vitals(time=0, pid=os.getpid(), version="1", started_at=0, counters=AgentCounters())
    for accept in (ACCEPTS[0], ""):
        text, _ = exposition(AgentCollector(vitals, 0), accept)
        declared = {*re.findall(r"^# TYPE (\S+?)(?:_total)? ", text.decode(), re.MULTILINE)}
        assert declared == FAMILIES.keys()


# ---------------------------------------------------------------- never back


def counters(scrape: Scrape) -> dict[tuple[str, ...], float]:
    return {key: value for key, value in scrape.items() if key[0].endswith(("_total", "_bucket", "_count", "_sum"))}


def held(before: Scrape, after: Scrape) -> None:
    """No counter is gone or has gone back."""
    assert {key: value for key, value in counters(before).items() if after.get(key, -1) < value} == {}


def test_counters_stay_over_reloads_and_another_server(box):
    box.configure(more={"hooks": {"a": {"exec": ["/bin/true"]}}})
    box.log.write_bytes(events(0, 20) + b"no JSON\n")
    box.serve()
    before = wait_for(box, "sidelog_events_total", "app", value=21)
    document = json.loads(box.config.read_text())

    server = server_of(box.process.pid)
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: server_of(box.process.pid) not in (0, server), 30, "another server")
    box.wait_for_server()
    after = wait_for(box, "sidelog_events_total", "app", value=21)
    held(before, after)

    document["sources"][0]["name"] = "shop"  # the source of the old name is no more
    document["hooks"] = {"b": {"exec": ["/bin/true"]}}
    box.config.write_text(json.dumps(document))
    box.process.send_signal(signal.SIGHUP)
    wait_for(box, "sidelog_files", "shop", value=1)
    append(box.log, events(20, 5))
    renamed = wait_for(box, "sidelog_events_total", "shop", value=5)
    held(after, renamed | {key: 0 for key in after if key[:2] == ("sidelog_deliveries_total", "a")})
    assert renamed["sidelog_events_total", "app"] == 21
    assert renamed["sidelog_parse_errors_total", "app"] == 1
    assert ("sidelog_lag_bytes", "app") not in renamed, "a gauge is of what is there now"
    assert renamed.by("sidelog_hook_circuit_open") == {("b",): 0}

    document["sources"][0] |= {"name": "app", "include": [f"{box.logs}/none-*.log"]}
    box.config.write_text(json.dumps(document))
    box.process.send_signal(signal.SIGHUP)
    gone = wait_for(box, "sidelog_files", "app", value=0)
    held(renamed, gone)


def test_archives_are_counted_as_they_come_and_go(box):
    box.configure(more={"archive": {"quiet": "0s", "retention": {"age": "52w"}}})
    box.log.write_bytes(events(0, 5))
    box.serve()
    assert Scrape(box)["sidelog_archive_files", "app"] == 0
    for number in (1, 2):
        (box.logs / f"app.log.{number}").write_bytes(events(100 * number, 50))
        scrape = wait_for(box, "sidelog_archive_files", "app", value=number)
        sizes = [path.stat().st_size for path in (box.root / "state/archive").rglob("*.zst")]
        assert len(sizes) == number
        assert scrape["sidelog_archive_bytes", "app"] == sum(sizes)
    assert box.stop() == 0
    document = json.loads(box.config.read_text())
    del document["archive"]
    box.config.write_text(json.dumps(document))
    box.serve()
    assert Scrape(box).by("sidelog_archive_files") == {("app",): 2}, "of an agent that archives nothing any more"
    box.config.write_text(json.dumps(document | {"archive": {"quiet": "0s", "retention": {"age": "1s"}}}))
    box.process.send_signal(signal.SIGHUP)
    scrape = wait_for(box, "sidelog_archive_files", "app", value=0)
    assert scrape["sidelog_archive_bytes", "app"] == 0


# ---------------------------------------------------------------- where there are none


def test_no_numbers_are_told_of_an_agent_that_is_gone(box):
    """Else `up` would be 1, and every rate 0."""
    box.log.write_bytes(events(0, 3))
    box.serve()
    os.kill(box.process.pid, signal.SIGKILL)
    box.process.wait()
    wait_until(lambda: httpx.get(f"{box.base}/metrics").status_code == 503, 20, "a word of it")
    assert httpx.get(f"{box.base}/metrics").json()["message"] == "the agent has ended: nothing is read"


def test_no_numbers_are_told_of_an_agent_that_hangs(box):
    box.serve()
    before = Scrape(box)
    box.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: httpx.get(f"{box.base}/metrics").status_code == 503, 30, "a word of it")
    assert "has said nothing for" in httpx.get(f"{box.base}/metrics").json()["message"]
    box.process.send_signal(signal.SIGCONT)
    wait_until(lambda: httpx.get(f"{box.base}/metrics", timeout=30).status_code == 200, 30, "numbers again")
    held(before, Scrape(box))


def test_a_server_that_no_agent_has_started_has_none(box):
    box.once()
    with lone(box.store) as server:
        answer = httpx.get(f"{server.base}/metrics")
        assert (answer.status_code, answer.json()["code"]) == (503, "SL903")
        assert "`http` in its configuration" in answer.json()["message"]


def test_a_token_is_asked_for_where_metrics_are_not_public(box):
    box.configure(http={"public": ["health"]})
    box.start()
    wait_until(lambda: box.process.poll() is not None or _answers(box), 30, "the server")
    assert httpx.get(f"{box.base}/metrics").status_code == 401
    with box.client() as client:
        wait_until(lambda: client.get("/metrics").status_code == 200, 10, "numbers")


def _answers(box) -> bool:
    try:
        return httpx.get(f"{box.base}/health").status_code in (200, 503)
    except httpx.HTTPError:
        return False
