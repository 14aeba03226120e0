"""Errors in a real browser: the list with its filters, several groups at once, one group with what is behind it."""

from __future__ import annotations

import re

import pytest

from tests.http.browser import BROWSER, audit, expect, picture
from tests.http.release import BROKEN, TRACE, group_of, serve_release
from tests.integration.harness import append, event
from tests.needs import needs

pytestmark = [BROWSER, needs("axe-core")]


@pytest.fixture(scope="module")
def site(release):
    return release


@pytest.fixture
def shop(visit, site):
    """A page of an operator."""
    return visit(site)


@pytest.fixture
def own(box, visit):
    """A box of the test's own, and a page of its operator."""
    serve_release(box)
    return box, visit(box)


def titles(page) -> list[str]:
    return page.locator("table.groups .what > a").all_inner_texts()


def test_groups_have_all_that_tells_them_apart(shop, site):
    shop.goto("/errors")
    row = shop.locator("tr", has_text=BROKEN)
    assert row.locator(".label").all_inner_texts() == ["shop"]
    assert row.locator(".state").inner_text() == "new"
    assert re.search(r"\d+ %", row.locator("[data-name='Share of all']").inner_text().replace("\xa0", " "))
    assert row.locator("svg.trend[role=img]").count() == 1
    assert all(row.locator("time").nth(index).get_attribute("datetime").endswith("Z") for index in range(2))
    picture(shop, "errors-many")
    audit(shop)


def test_filters_and_order_are_in_the_address(shop):
    shop.goto("/errors")
    everything = titles(shop)
    shop.get_by_label("search titles").fill("declined")
    shop.get_by_role("button", name="Show").click()
    assert titles(shop) == [BROKEN]
    assert "grep=declined" in shop.url
    shop.get_by_label("search titles").fill("")
    shop.get_by_label("order").select_option("count")
    shop.get_by_label("service").select_option("billing")  # what is chosen holds at once
    expect(shop.locator("table.groups .what > a").filter(has_text=BROKEN)).to_have_count(0)
    assert "service=billing" in shop.url
    assert "grep" not in shop.url
    assert set(titles(shop)) < set(everything)
    shop.get_by_role("link", name="resolved").click()
    assert "None of" in shop.locator("main").inner_text()
    assert "service=billing" in shop.url
    shop.get_by_role("link", name="Show all groups").click()
    assert set(titles(shop)) == set(everything)
    shop.get_by_label("order").select_option("count")
    expect(shop.locator("table.groups .what > a").first).to_have_text(BROKEN)
    shop.go_back()
    expect(shop.get_by_label("order")).to_have_value("last-seen")


@pytest.mark.parametrize("scripts", [True, False])
def test_several_groups_are_resolved_at_once(box, visit, scripts):
    serve_release(box)
    page = visit(box, java_script_enabled=scripts)
    page.goto("/errors?grep=Bad")
    count = len(titles(page))
    assert count >= 5
    if scripts:
        assert page.get_by_role("button", name="Resolve").is_disabled()
        page.get_by_label("all groups of this page").check()
        assert page.locator("#chosen").inner_text() == f"{count} groups:"
        page.locator("td.choose input").nth(0).uncheck()
    else:
        for index in range(1, count):
            page.locator("td.choose input").nth(index).check()
    page.get_by_role("button", name="Resolve").click()
    assert f"{count - 1} groups were resolved." in page.locator(".done").inner_text()
    assert len(titles(page)) == 1
    assert "grep=Bad" in page.url
    states = box.sql("SELECT count(*) FROM error_groups WHERE state = 'resolved'")
    assert states == [(count - 1,)]


def test_a_group_is_ignored_until_so_many_more_for_a_time_and_reopened(own):
    box, page = own
    number = group_of(box, BROKEN)
    page.goto(f"/errors/{number}")
    page.get_by_label("for how long").select_option("1d")
    page.get_by_label("until so many more events").fill("3")
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator(".summary-of .state")).to_have_text("ignored")
    facts = page.locator(".summary-of").inner_text()
    assert "ignored" in facts
    assert "for 3 more events" in facts
    [[until, count, seen]] = box.sql(
        "SELECT ignored_until, ignored_until_count, count FROM error_groups WHERE id = ?", number
    )
    assert until
    assert count == seen + 3
    page.get_by_role("button", name="Reopen").click()
    expect(page.locator(".summary-of .state")).to_have_text("ongoing")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".summary-of .state")).to_have_text("resolved")
    history = page.locator(".history li").all_inner_texts()
    assert [next(word for word in line.split() if word.isalpha()) for line in history] == [
        "resolved", "reopened", "ignored", "new",
    ]  # fmt: skip


def test_a_group_shows_what_is_behind_it(shop, site):
    number = group_of(site, BROKEN)
    shop.goto("/errors")
    shop.get_by_role("link", name=BROKEN).click()
    assert shop.url.endswith(f"/errors/{number}")
    stack = shop.get_by_role("region", name="Stack trace")
    assert "gateway.py" in stack.inner_text()
    assert "requests/api.py" not in stack.inner_text()
    stack.get_by_text("2 frames of libraries").click()
    assert "requests/api.py" in stack.inner_text()
    new = shop.locator("ul.traits").inner_text()
    assert "2.4.1" in new
    more = shop.locator("table.traits-table").inner_text().replace("\xa0", " ")
    assert "web-3" in more
    assert "100 %" in more
    assert "By 30 events of the group, and " in shop.inner_text("main")
    picture(shop, "error-group")
    audit(shop)
    shop.locator("ul.traits a", has_text="2.4.1").first.click()
    assert "/logs?q=version" in shop.url


def test_samples_are_chosen_by_time(shop, site):
    number = group_of(site, BROKEN)
    shop.goto(f"/errors/{number}")
    bars = shop.locator("svg.linked a.bar")
    assert bars.count() >= 1
    assert re.fullmatch(r"[\d: -]+: \d+ events?", bars.first.get_attribute("aria-label"))
    bars.last.focus()
    shop.keyboard.press("Enter")
    shop.wait_for_url("**/errors/*?at=*#samples")
    assert shop.locator("#samples ~ .event").count() >= 1
    shop.get_by_role("link", name="of all the time").click()
    shop.wait_for_url(f"**/errors/{number}#samples")


def test_the_same_trace_is_a_step_away(shop, site):
    [[number]] = site.sql("SELECT id FROM error_groups WHERE title = 'step 2'")
    shop.goto(f"/errors/{number}")
    shop.get_by_role("link", name="The whole trace").click()
    assert "step 3" in shop.locator("main").inner_text()


def test_hostile_titles_are_text(shop, site):
    shop.on("dialog", lambda dialog: pytest.fail(f"a title has opened {dialog.message}"))
    shop.goto("/errors")
    assert any("<script>alert(1)</script>" in title for title in titles(shop))
    for [number] in site.sql("SELECT id FROM error_groups WHERE title LIKE 'Bad%'"):
        shop.goto(f"/errors/{number}")
        assert shop.locator("main script, main img").count() == 0
        assert not re.search("[\x1b\u202e]", shop.locator("body").inner_text())
        picture(shop, f"error-hostile-{number}")


def test_without_errors_it_says_so(box, visit):
    box.log.write_text("")
    box.serve()
    page = visit(box)
    page.goto("/errors")
    assert "No errors" in page.locator("main").inner_text()
    picture(page, "errors-none")
    audit(page)


def test_a_page_has_a_word_for_each_error(shop):
    answer = shop.goto("/errors/999999")
    shop.visit.forgive("status of 404")
    assert answer.status == 404
    assert "There is no such thing" in shop.locator("h1").inner_text()
    shop.get_by_role("link", name="What SL540 means").click()
    assert shop.locator("h1").inner_text().startswith("SL540")
    picture(shop, "explain")
    audit(shop)


def test_an_answer_that_comes_late_does_not_replace_a_later_one(visit, site):
    page = visit(site)
    page.goto("/errors")
    before = titles(page)
    held = []
    page.route("**/errors?*sort=count*fresh=1", lambda route: held.append(route) if not held else route.continue_())
    page.get_by_label("order").select_option("count")
    page.get_by_label("service").select_option("billing")
    expect(page.locator("table.groups .what > a").filter(has_text=BROKEN)).to_have_count(0)
    with page.expect_response(lambda answer: "sort=count" in answer.url and "billing" not in answer.url):
        held[0].continue_()
    page.wait_for_timeout(500)
    assert set(titles(page)) < set(before)


def test_what_was_done_is_said_once_and_no_longer_than_it_is_true(own):
    box, page = own
    number = group_of(box, BROKEN)
    page.goto(f"/errors/{number}")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".done")).to_have_text("The group was resolved.")
    assert page.url == f"{box.base}/errors/{number}"
    append(box.logs / "shop.log", event(1, "error", "charge failed", service="shop", exc_info=TRACE))
    expect(page.locator(".summary-of .state")).to_have_text("regressed")  # by itself
    expect(page.locator(".done")).to_have_count(0)
    expect(page.locator(".history li").first).to_contain_text("regressed")
    page.goto(f"/errors/{number}?done=resolved")
    expect(page.locator(".done")).to_have_count(0)


def test_the_list_renews_itself_and_keeps_what_is_chosen(own):
    box, page = own
    page.goto("/errors")
    number = group_of(box, BROKEN)
    chosen = page.locator(f"td.choose input[value='{number}']")
    chosen.check()
    page.get_by_label("for how long").select_option("7d")
    page.get_by_label("until so many more events").fill("3")
    page.get_by_label("until so many more events").blur()
    page.get_by_role("link", name=BROKEN).focus()
    append(box.logs / "auth.log", event(1, "error", "a new one", exc_info="New: thing"))
    expect(page.locator("table.groups .what > a").filter(has_text="New: thing")).to_have_count(1)
    expect(chosen).to_be_checked()
    expect(page.locator("#chosen")).to_have_text("1 group:")
    expect(page.get_by_label("for how long")).to_have_value("7d")
    expect(page.get_by_label("until so many more events")).to_have_value("3")
    expect(page.get_by_role("link", name=BROKEN)).to_be_focused()
    expect(page.get_by_role("button", name="Resolve")).to_be_enabled()


def test_a_change_that_cannot_be_made_is_said_on_the_page(own):
    box, page = own
    number = group_of(box, BROKEN)
    page.goto(f"/errors/{number}")
    page.get_by_label("until so many more events").fill("7")
    page.context.set_offline(True)
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator("form .refused")).to_contain_text("The server does not answer")
    expect(page.get_by_label("until so many more events")).to_have_value("7")
    picture(page, "error-refused")
    page.locator("h1").click()  # the focus leaves the form, which would hold it
    with page.expect_response("**/errors/*fresh=1"):
        page.context.set_offline(False)
    page.wait_for_timeout(300)
    expect(page.locator("form .refused")).to_be_visible()  # it outlives what renews itself
    expect(page.get_by_label("until so many more events")).to_have_value("7")
    box.say("token", "rotate-key")
    expect(page.locator("#lost")).to_contain_text("The session is over")
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator("form .refused")).to_contain_text("sidelog token link")
    assert page.url == f"{box.base}/errors/{number}"
    page.visit.forgive("ERR_INTERNET_DISCONNECTED|status of 40")


def test_a_stack_trace_scrolls_within_its_own_box(box, visit):
    marks = (
        "    total = sum(one.price * one.count for one in order.lines_of(customer, since=last_week))\n"
        + " " * 12
        + "~~~^^^^"
    )
    trace = f'Traceback (most recent call last):\n  File "/srv/pay.py", line 8, in pay\n{marks}\nBad: sum'
    append(box.log, event(1, "error", "order failed", exc_info=trace))
    box.serve()
    box.stored(1)
    page = visit(box, viewport={"width": 375, "height": 900})
    page.goto("/errors/1")
    stack = page.get_by_role("region", name="Stack trace")
    assert stack.evaluate("one => one.scrollWidth > one.clientWidth")
    lines = stack.locator("pre").first.evaluate(
        "one => one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight)"
    )
    assert round(lines) == trace.count("\n") + 1  # none is broken
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    picture(page, "error-wide-trace")
    audit(page)


def test_the_list_has_its_labels_on_a_narrow_screen(visit, site):
    page = visit(site, viewport={"width": 375, "height": 900})
    page.goto("/errors")
    expect(page.get_by_text("all groups of this page")).to_be_visible()
    assert page.get_by_text("all groups of this page").bounding_box()["width"] > 100
    bars = page.locator("td[data-name='24 hours']").first
    label = bars.evaluate("one => getComputedStyle(one).alignItems")
    assert label == "center"
