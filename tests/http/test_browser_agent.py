"""The overview, the agent, a trace and the frame of all pages in a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from tests.http.browser import BROWSER, audit, expect, picture
from tests.http.release import BROKEN, TRACE_ID
from tests.integration.harness import wait_until
from tests.needs import needs

pytestmark = [BROWSER, needs("axe-core")]


@pytest.fixture
def shop(visit, release):
    """A page of an operator."""
    return visit(release)


@pytest.mark.parametrize(
    ("tile", "address"),
    [
        ("events a second", "/logs?since=15m"),
        ("errors a second", "/logs?q=severity%3E%3Derror&since=15m"),
        ("firing or pending", "/alerts"),
        ("all is read", "/agent#files"),
        ("store,", "/agent#store"),
        ("archived", "/agent#archives"),
        ("own error", "/agent#own"),
    ],
)
def test_each_number_of_the_overview_leads_to_its_lines(shop, release, tile, address):
    shop.goto("/")
    shop.locator(".tile", has_text=tile).click()
    shop.wait_for_url(release.base + address)


def test_the_overview_has_what_fires_and_the_newest_errors(shop):
    shop.goto("/")
    assert "many-errors" in shop.locator("ul.firing").inner_text()
    assert BROKEN in shop.locator("table.groups").inner_text()
    picture(shop, "overview-firing")
    audit(shop)
    shop.locator("ul.firing").get_by_role("link", name="many-errors").click()
    shop.wait_for_url("**/alerts?rule=many-errors")


def test_the_overview_renews_itself(box, visit):
    box.log.write_text("")
    box.serve()
    page = visit(box)
    page.mouse.move(700, 890)
    assert "0 events" in page.locator(".tile", has_text="store,").inner_text()
    picture(page, "overview-nothing")
    box.log.write_text(json.dumps({"message": "one", "level": "error"}) + "\n")
    page.locator(".tile", has_text="store, 1 event").wait_for()
    assert page.locator("table.groups .what > a").all_inner_texts() == ["one"]


def test_the_agent_shows_files_hooks_own_errors_and_what_was_done(shop, release):
    wait_until(lambda: release.sql("SELECT 1 FROM own_errors WHERE code = 'SL703'"), what="an error of its own")
    shop.goto("/agent")
    text = shop.locator("main").inner_text()
    assert "billing.log" in text
    assert "followed" in text
    assert "open session" in text
    assert re.search(r"and [\d.]+ [KM]iB of WAL \(write-ahead log\)", text)
    picture(shop, "agent-hooks")
    audit(shop)
    shop.locator("#own + .scroll").get_by_role("link", name="SL703").first.click()
    assert "What to do" in shop.locator("main").inner_text()
    shop.goto("/agent")
    shop.get_by_role("link", name=str(release.logs / "shop.log")).click()
    assert "/logs?q=path" in shop.url


def test_a_gap_is_told_with_what_it_means(box, visit):
    box.configure(max_line="1KiB")
    box.log.write_text("x" * 5_000 + "\n" + json.dumps({"message": "one"}) + "\n")
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/agent")
    assert "a line was longer than max_line" in page.locator("#gaps ~ .scroll").first.inner_text()


def test_a_trace_goes_over_all_services_in_the_order_of_time(shop):
    shop.goto(f"/trace/{TRACE_ID}")
    assert shop.locator(".step .message").all_inner_texts() == ["step 0", "step 1", "step 2", "step 3"]
    assert shop.locator(".legend li").all_inner_texts() == ["auth 2", "billing 1", "shop 1"]
    lanes = [step.get_attribute("class") for step in shop.locator(".step").all()]
    assert lanes == ["step lane-0", "step lane-1", "step lane-2", "step lane-0"]
    gaps = shop.locator(".gap").all_inner_texts()
    assert gaps == ["+400 ms", "+1,200 ms", "+2,000 ms"]
    assert "in 3,600 ms" in shop.locator(".facts").inner_text()
    assert shop.locator("svg.lanes[role=img]").count() == 1
    picture(shop, "trace-services")
    audit(shop)


@pytest.mark.parametrize("trace", ["none", "a/b", "%22%20OR%20%22", "<script>", "é"])
def test_a_trace_that_there_is_not(shop, trace):
    assert shop.goto(f"/trace/{trace}").status == 200
    assert "No event has this trace id" in shop.locator("main").inner_text()


def test_a_reader_is_told_that_he_may_only_read(visit, release):
    page = visit(release, role="reader")
    role = page.locator("header .role")
    assert role.inner_text() == "read only"
    role.locator("summary").click()
    picture(page, "read-only")
    audit(page)
    command = role.locator(".typed").inner_text()
    assert str(release.config) in command
    shell = ["bash", "-c", command]
    link = subprocess.check_output(shell, text=True, cwd="/", env=release.env).strip()
    assert f"{release.base}/link/operator." in link
    for address in ("/errors", "/errors/1", "/alerts", "/agent"):
        page.goto(address)
        buttons = page.locator("main button:visible").all_inner_texts()
        assert set(buttons) <= {"Show", "Test", "context", "copy JSON"}


def test_times_are_those_of_the_reader(visit, release):
    page = visit(release, timezone_id="Asia/Tokyo")
    page.goto("/errors/1")
    shown = page.locator("time.when").first
    utc = shown.get_attribute("datetime")
    hour = (int(re.search(r"T(\d\d)", utc)[1]) + 9) % 24
    assert f" {hour:02}:" in shown.inner_text()


def test_an_agent_and_a_connection_that_are_gone_are_told(box, visit):
    box.log.write_text("")
    box.serve()
    page = visit(box)
    page.goto("/errors")
    os.kill(box.process.pid, signal.SIGKILL)
    page.locator("#problems", has_text="the agent has ended").wait_for()
    assert page.locator("#health").inner_text() == "needs attention"
    assert "No errors" in page.locator("main").inner_text()  # what was there stays
    box.process.wait()
    page.context.set_offline(True)
    lost = page.locator("#lost", has_text="does not answer")
    lost.wait_for()
    assert re.search(r"What is shown is of \d\d:\d\d:\d\d;", lost.inner_text())
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()
    assert page.locator("#problems").inner_text().endswith("What is shown is what was stored before.")
    page.visit.forgive("ERR_INTERNET_DISCONNECTED")


def test_a_session_that_is_over_is_told(box, visit):
    box.log.write_text("")
    box.serve()
    page = visit(box)
    box.say("token", "rotate-key")
    page.locator("#lost", has_text="The session is over").wait_for()
    page.visit.forgive("status of 401")
