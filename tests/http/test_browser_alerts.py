"""Alerts in a real browser: rules with their values, a threshold that moves, silences, deliveries."""

from __future__ import annotations

import re

import pytest

from tests.http.browser import BROWSER, audit, expect, picture
from tests.http.release import serve_release
from tests.integration.harness import append, event, wait_until
from tests.needs import needs

pytestmark = [BROWSER, needs("axe-core")]


@pytest.fixture
def shop(visit, release):
    """A page of an operator, on the alerts, when a delivery was given up."""
    wait_until(lambda: release.sql("SELECT 1 FROM deliveries WHERE state = 'dead'"), what="a dead delivery")
    page = visit(release)
    page.goto("/alerts")
    return page


def fired(page) -> int:
    return int(re.search(r"would have fired (\d+) time", page.locator("#tested").inner_text())[1])


def test_rules_stand_with_their_value_against_the_threshold(shop):
    row = shop.locator(".rules tr", has_text="many-errors").first
    assert "at least 10 events in 10m" in row.inner_text()
    assert row.locator(".state").inner_text() == "firing"
    assert row.locator("meter").get_attribute("max") == "10.0"
    assert shop.locator(".rules tbody").count() == 5
    picture(shop, "alerts-firing")
    audit(shop)


def test_a_rule_has_its_value_over_time(shop):
    shop.locator(".rules").get_by_role("link", name="many-errors").click()
    shop.wait_for_url("**/alerts?rule=many-errors#rule")
    assert "· runs hook pager" in shop.locator(".rule .facts").inner_text()
    chart = shop.locator("svg.levels")
    assert "threshold 10" in chart.get_attribute("aria-label")
    assert chart.locator("rect.above").count() > 2
    assert chart.locator("rect.below").count() > 5
    assert chart.locator("line.limit").count() == 1
    assert fired(shop) == 1
    shop.get_by_role("link", name="lines", exact=True).click()
    assert "/logs?q=severity" in shop.url


def test_a_threshold_is_moved_and_tested_at_once(shop):
    shop.goto("/alerts?rule=many-errors&since=1h")
    assert fired(shop) == 1
    shop.get_by_role("slider", name="move the threshold").press("End")
    shop.wait_for_url("**threshold=*")
    assert fired(shop) == 0
    assert shop.get_by_label("threshold", exact=True).input_value() != "10"
    assert "(the rule has 10)" in shop.locator("#tested").inner_text()
    shop.get_by_label("threshold", exact=True).fill("10")
    shop.get_by_label("threshold", exact=True).press("Tab")
    shop.locator("#tested", has_text="would have fired 1 time").wait_for()


def test_a_threshold_is_tested_without_javascript(visit, release):
    page = visit(release, java_script_enabled=False)
    page.goto("/alerts?rule=share")
    box = page.get_by_label("threshold", exact=True)
    assert box.input_value() == "90%"
    assert fired(page) == 0
    box.fill("1%")
    page.get_by_role("button", name="Test").click()
    assert fired(page) >= 1
    box.fill("a lot")
    page.get_by_role("button", name="Test").click()
    assert "SL904" in page.locator(".fault").inner_text()


def test_a_rule_without_a_threshold_has_none_to_move(shop):
    shop.goto("/alerts?rule=quiet")
    assert shop.locator("#threshold").count() == 0
    assert "no event for 10m" in shop.locator(".rule").inner_text()
    shop.goto("/alerts?rule=news")
    assert fired(shop) > 1


@pytest.mark.parametrize("scripts", [True, False])
def test_a_rule_is_silenced_for_a_time(box, visit, scripts):
    serve_release(box)
    page = visit(box, java_script_enabled=scripts)
    page.goto("/alerts?rule=many-errors")
    page.get_by_label("for how long").select_option("4h")
    page.get_by_label("because").fill("a deploy")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.locator(".done")).to_have_text("The rule was silenced.")
    assert "a deploy" in page.locator(".rule .bar").first.inner_text()
    [[author, comment]] = box.sql("SELECT author, comment FROM silences")
    assert author.startswith("session ")
    assert comment == "a deploy"
    page.get_by_role("button", name="End silence").click()
    expect(page.locator(".done")).to_have_text("The silence was ended.")
    assert box.sql("SELECT count(*) FROM silences") == [(0,)]


def test_a_dead_delivery_shows_its_output_and_is_tried_again(shop, release):
    row = shop.locator("#deliveries ~ .scroll tr", has_text="dead").first
    row.get_by_text("output").click()
    assert "<b>no way</b>" in row.inner_text()
    runs = release.sql("SELECT count FROM own_errors WHERE code = 'SL703'")[0][0]
    row.get_by_role("button", name="Redeliver").click()
    assert "It will be tried" in shop.locator(".done").inner_text()
    wait_until(lambda: release.sql("SELECT count FROM own_errors WHERE code = 'SL703'")[0][0] > runs, what="a run")


def test_without_rules_it_says_how_to_have_some(box, visit):
    box.log.write_text("")
    box.serve()
    page = visit(box)
    page.goto("/alerts")
    assert "No alert rules" in page.locator("main").inner_text()
    picture(page, "alerts-none")
    audit(page)


def test_rules_and_history_renew_themselves_and_leave_what_is_written(box, visit):
    rule = {"name": "many", "match": "severity>=error", "when": {"count": 3}, "window": "10m"}
    box.configure(more={"alerts": [rule]})
    append(box.log, event(0))
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/alerts")
    expect(page.locator(".rules .state")).to_have_text("ok")
    page.get_by_label("because").fill("a deploy")
    append(box.log, b"".join(event(number, level="error") for number in range(3)))
    expect(page.locator(".rules .state")).to_have_text("firing")
    expect(page.locator("#told .state").first).to_have_text("firing")
    expect(page.get_by_label("because")).to_have_value("a deploy")
    expect(page.get_by_label("because")).to_be_focused()
    box.say("alerts", "silence", "many", "--for", "1h")
    page.get_by_label("because").blur()
    expect(page.locator("#silence")).to_contain_text("Silenced until")
