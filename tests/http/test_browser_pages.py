"""Every page in a real browser: nothing fails, nothing sticks out, axe-core finds nothing serious."""

from __future__ import annotations

import pytest

from tests.http.browser import BROWSER, audit, expect, picture
from tests.http.samples import HOSTILE

pytestmark = BROWSER
PAGES = {
    "overview": "/",
    "logs": "/logs",
    "logs-filtered": "/logs?q=service%3Dshop&columns=http.status&order=oldest",
    "logs-nothing": "/logs?q=nothing_like_it",
    "logs-fault": "/logs?q=(",
    "context": "/context/1",
    "context-unknown": "/context/999999",
    "errors": "/errors?state=all",
    "error": "/errors/1",
    "error-unknown": "/errors/999",
    "alerts": "/alerts",
    "agent": "/agent",
    "trace": f"/trace/{1:032x}",
}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wrong_with_a_page(page, name):
    answer = page.goto(PAGES[name])
    if answer.status >= 400:
        page.visit.forgive(f"status of {answer.status}")
    page.get_by_role("main").wait_for()
    picture(page, name, whole=not name.startswith("logs"))
    audit(page)


def test_nothing_is_wrong_with_a_page_that_is_refused(visit, served):
    page = visit(served, role=None)
    assert page.goto("/logs").status == 401
    page.visit.forgive("status of 401")
    assert "sidelog token link" in page.inner_text("main")
    picture(page, "refused")
    audit(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_without_javascript(visit, served, name):
    page = visit(served, java_script_enabled=False)
    status = page.goto(PAGES[name]).status
    if status >= 400:
        page.visit.forgive(f"status of {status}")
    assert page.locator("main").inner_text().strip()
    assert page.locator("main button:visible").count() == page.locator("main button[type=submit]:visible").count()


@pytest.mark.parametrize("name", ["overview", "logs", "errors", "trace"])
def test_hostile_lines_do_nothing(page, name):
    page.on("dialog", lambda dialog: pytest.fail(f"a line has opened {dialog.message}"))
    page.goto(PAGES[name])
    assert page.locator("main script, main img").count() == 0
    text = page.locator("body").inner_text()
    assert not any(letter in text for letter in "\x1b\u202e")
    if name == "logs":
        assert HOSTILE[0] in text


def test_who_came_from_another_site_opens_the_page_again(visit, served):
    """A session's cookie is not sent where another site leads here, so that none can use it."""
    page = visit(served)
    other = served.base.replace("127.0.0.1", "localhost")
    page.goto(f"{other}/logs")
    page.evaluate("address => { location.href = address; }", f"{served.base}/errors")
    page.wait_for_url(f"{served.base}/errors")
    page.visit.forgive("status of 401")
    page.get_by_role("link", name="open this page again").click()
    expect(page.locator("h1")).to_have_text("Errors")
