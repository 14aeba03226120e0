"""The page of logs in a real browser: each thing that can be done on it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.http.browser import BROWSER, audit, expect, picture
from tests.http.samples import HOSTILE
from tests.integration.harness import append, event, wait_until

pytestmark = BROWSER


def asked(page) -> dict[str, str]:
    """The parameters of the page's address."""
    return {name: texts[0] for name, texts in parse_qs(urlsplit(page.url).query).items()}


def messages(page) -> list[str]:
    return page.locator("#rows .event > summary > .message").all_text_contents()


def total(page):
    return page.locator("#total")


@pytest.fixture
def logs(page):
    page.goto("/logs")
    expect(total(page)).to_have_text("306 events")
    return page


# ---------------------------------------------------------------- searching


def test_controls_have_their_names(logs):
    expect(logs.get_by_role("combobox", name="search")).to_be_visible()
    expect(logs.get_by_role("button", name="Live tail")).to_be_visible()
    expect(logs.get_by_role("link", name="permalink")).to_be_visible()
    expect(logs.get_by_role("link", name="download")).to_be_visible()
    logs.locator(".event").first.click()
    expect(logs.get_by_role("link", name="context")).to_be_visible()


def test_a_search_is_answered_while_it_is_typed_without_a_flood(logs):
    requests = []
    logs.on("request", lambda request: requests.append(request.url) if "/logs?" in request.url else None)
    logs.get_by_label("search").first.press_sequentially("card declined", delay=20)
    expect(total(logs)).to_have_text("60 events")
    assert asked(logs)["q"] == "card declined"
    assert len(requests) < len("card declined") / 2
    assert set(messages(logs)) == {"card declined"}


def test_what_was_found_stays_while_a_search_cannot_be_read(logs):
    box = logs.get_by_label("search").first
    top = logs.locator("#chart").bounding_box()["y"]
    box.fill('"unclosed')
    expect(logs.get_by_role("alert").filter(has_text="SL511")).to_be_visible()
    logs.visit.forgive("status of 400")
    assert len(messages(logs)) == 100
    for part in (".over-time", ".split"):  # all that is no answer to it is dim, and nothing has moved
        expect(logs.locator(f"#found > {part}")).to_have_css("opacity", "0.6")
    assert logs.locator("#chart").bounding_box()["y"] == top
    picture(logs, "logs-unclosed")
    box.fill("duration_ms>=290")
    expect(total(logs)).to_have_text("10 events")
    expect(logs.locator("#fault")).to_be_empty()


def test_nothing_is_searched_while_a_term_is_completed(logs):
    requests = []
    logs.on("request", lambda request: requests.append(request.url) if "/logs?" in request.url else None)
    box = logs.get_by_label("search").first
    options = logs.locator("#completion [role=option]")
    box.press_sequentially("sev")
    expect(options.first).to_have_text("severity>=field")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("severity>=")
    expect(options.first).to_have_text("severity>=trace")
    logs.wait_for_timeout(600)  # twice as long as typing may pause
    box.press("Escape")
    logs.wait_for_timeout(600)  # it still ends in an operator
    assert requests == []
    box.press_sequentially("err")
    expect(options).to_have_text(["severity>=error"])
    logs.wait_for_timeout(600)
    assert requests == []
    box.press("ArrowDown")
    box.press("Enter")
    expect(total(logs)).to_have_text("60 events")
    assert len(requests) == 1


def test_nothing_is_searched_before_a_slow_completion(logs):
    requests, held = [], []
    logs.on("request", lambda request: requests.append(request.url) if "/logs?" in request.url else None)
    logs.route("**/api/v1/fields*", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks handlers, which a method cannot be
    box = logs.get_by_label("search").first
    box.press_sequentially("sev")
    logs.wait_for_timeout(600)  # twice as long as typing may pause
    assert held
    assert requests == []
    held[0].continue_()
    expect(logs.locator("#completion [role=option]").first).to_have_text("severity>=field")
    logs.wait_for_timeout(600)
    assert requests == []


def test_a_completion_that_never_comes_hinders_no_search(logs):
    logs.route("**/api/v1/fields*", lambda route: None)
    logs.get_by_label("search").first.press_sequentially("nothing_like_it")
    expect(logs.locator(".results .empty")).to_contain_text("Take a longer time")


def test_what_can_match_nothing_is_said_as_the_command_line_says_it(logs):
    box = logs.get_by_label("search").first
    box.fill("sevrity=error")
    box.press("Enter")
    expect(logs.locator(".results .reason")).to_contain_text("; did you mean 'severity'?")
    expect(logs.locator(".results .empty")).not_to_contain_text("Take a longer time")
    box.fill("nothing_like_it")
    expect(logs.locator(".results .empty")).to_contain_text("Take a longer time")
    expect(logs.locator(".results .reason")).to_have_count(0)
    box.fill('"<b>x</b>"=1')
    expect(logs.locator(".results .reason")).to_contain_text("<b>x</b>")


def test_fields_are_folded_where_they_would_push_the_lines_down(logs):
    expect(logs.locator("#fields")).to_have_attribute("open", "")
    logs.set_viewport_size({"width": 375, "height": 900})
    expect(logs.locator("#fields")).not_to_have_attribute("open", "")
    assert logs.locator("#rows .event").first.bounding_box()["y"] < 700
    logs.get_by_role("heading", name="Fields").click()
    expect(facet(logs, "service", "shop")).to_be_visible()


def test_fields_values_and_levels_are_completed(logs):
    box = logs.get_by_label("search").first
    options = logs.locator("#completion [role=option]")
    box.press_sequentially("http.st")
    expect(options).to_have_count(1)
    box.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    expect(options.first).to_have_attribute("aria-selected", "true")
    box.press("Enter")
    expect(box).to_have_value("http.status=")
    expect(options).to_have_count(2)
    options.filter(has_text="500").click()
    expect(box).to_have_value("http.status=500 ")
    expect(total(logs)).to_have_text("60 events")
    box.press_sequentially("severity>=e")
    expect(options.first).to_have_text("severity>=error")
    box.press("ArrowUp")
    box.press("ArrowDown")
    box.press("Tab")
    expect(box).to_have_value("http.status=500 severity>=error ")
    box.press_sequentially("warn")
    expect(options.first).to_contain_text("severity>=warn")
    audit(logs)
    picture(logs, "logs-completion")
    box.press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")
    expect(logs.get_by_role("listbox")).to_be_hidden()


def test_a_value_with_odd_characters_is_completed_in_quotes(visit, box):
    append(box.log, event(1, who='a "b" (c)'))
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/logs")
    field = page.get_by_label("search").first
    field.press_sequentially("who=a")
    page.locator("#completion [role=option]").click()
    expect(field).to_have_value('who="a \\"b\\" (c)" ')
    expect(total(page)).to_have_text("1 event")


# ---------------------------------------------------------------- the chart


def test_the_chart_zooms_by_pointer_and_out_again(logs):
    bars = logs.locator("#chart .bar")
    first, last = bars.nth(-3), bars.nth(-2)
    since, until = first.get_attribute("data-since"), last.get_attribute("data-until")
    start, end = first.locator(".hit").bounding_box(), last.locator(".hit").bounding_box()
    logs.mouse.move(start["x"] + 3, start["y"] + 20)
    logs.mouse.down()
    logs.mouse.move(end["x"] + 3, end["y"] + 30)
    expect(logs.locator("#chart .chosen")).to_have_count(2)
    expect(logs.get_by_role("link", name="zoom out")).to_be_hidden()  # nothing is zoomed
    logs.mouse.up()
    logs.wait_for_url(re.compile("since="))
    assert asked(logs) == {"since": since, "until": until}
    inside = json.loads(
        logs.evaluate("JSON.stringify([...document.querySelectorAll('#rows time')].map(t => t.dateTime))")
    )
    assert inside
    start, end = map(datetime.fromisoformat, (since, until))
    assert all(start <= datetime.fromisoformat(time) < end for time in inside)
    logs.get_by_role("link", name="zoom out").click()
    expect(logs.locator("#chart .bar").first).not_to_have_attribute("data-since", since)
    assert asked(logs)["since"] < since
    assert asked(logs)["until"] > until
    logs.go_back()
    logs.go_back()
    expect(total(logs)).to_have_text("306 events")


def test_the_chart_zooms_by_keyboard(logs):
    chart = logs.locator("#chart")
    chart.focus()
    chart.press("Home")
    expect(logs.locator("#chart .bar").first).to_have_class("bar chosen")
    chart.press("End")
    chart.press("Shift+ArrowLeft")
    chart.press("Shift+ArrowLeft")
    expect(logs.locator("#chart .chosen")).to_have_count(3)
    expect(logs.locator("#stretch")).to_contain_text("3 steps")
    chart.press("Escape")
    expect(logs.locator("#chart .chosen")).to_have_count(0)
    chart.press("ArrowLeft")
    since = logs.locator("#chart .chosen").get_attribute("data-since")
    chart.press("Enter")
    logs.wait_for_url(re.compile("since="))
    assert asked(logs)["since"] == since
    expect(logs.locator("#chart")).to_be_focused()
    logs.keyboard.press("-")
    expect(logs.locator("#chart .bar").first).not_to_have_attribute("data-since", since)
    assert asked(logs)["since"] < since


def test_the_chart_says_times_of_the_reader(visit, served):
    page = visit(served, timezone_id="Asia/Tokyo")
    page.goto("/logs")
    page.locator("#chart").focus()
    page.keyboard.press("Home")
    since = datetime.fromisoformat(page.locator("#chart .bar").first.get_attribute("data-since"))
    there = since.astimezone(timezone(timedelta(hours=9))).strftime("%Y-%m-%d %H:%M:%S")
    expect(page.locator("#stretch")).to_contain_text(there)


# ---------------------------------------------------------------- fields


def facet(page, name: str, value: str):
    field = page.locator(".facets details details").filter(has=page.locator(f"summary:text-is('{name}')"))
    return field.locator("li").filter(has=page.locator(f"a.facet > span:text-is('{value}')"))


def test_a_value_filters_and_excludes_by_pointer_and_keyboard(logs):
    box = logs.get_by_label("search").first
    assert "Commonest values. Choose" in logs.locator("#fields").inner_text()  # of all of them
    expect(facet(logs, "service", "shop")).to_contain_text(re.compile(r"100\s*33"))
    facet(logs, "service", "shop").locator(".facet").click()
    expect(total(logs)).to_have_text("100 events")
    expect(box).to_have_value("service=shop")
    facet(logs, "severity", "ERROR").locator(".facet").click(modifiers=["Shift"])
    expect(total(logs)).to_have_text("80 events")
    expect(box).to_have_value("service=shop severity!=ERROR")
    facet(logs, "service", "shop").locator(".facet").focus()
    logs.keyboard.press("Enter")  # what is filtered by is taken back
    expect(box).to_have_value("severity!=ERROR")
    expect(total(logs)).to_have_text("246 events")
    facet(logs, "service", "auth").locator(".facet").focus()
    logs.keyboard.press("Shift+Enter")
    expect(box).to_have_value("severity!=ERROR service!=auth")
    expect(total(logs)).to_have_text("166 events")
    logs.go_back()
    expect(box).to_have_value("severity!=ERROR")


def test_a_filter_holds_for_both_branches_of_a_search(logs):
    logs.goto("/logs?q=duration_ms%3D4+OR+duration_ms%3D5")
    facet(logs, "service", "billing").locator(".facet").click()
    expect(logs.get_by_label("search").first).to_have_value("(duration_ms=4 OR duration_ms=5) service=billing")
    expect(total(logs)).to_have_text("1 event")


def follow(page, control) -> None:
    """Click what leads to another page, and wait for all of that."""
    with page.expect_navigation():
        control.click()


def test_the_keyboard_stays_where_it_was(logs):
    value = facet(logs, "service", "shop").locator(".facet")
    value.focus()
    logs.keyboard.press("Enter")
    expect(total(logs)).to_have_text("100 events")
    expect(value).to_be_focused()
    logs.keyboard.press("Enter")
    expect(total(logs)).to_have_text("306 events")


def test_a_stack_trace_unfolds_whole(visit, box):
    trace = "Traceback (most recent call last):\n" + "".join(
        f'  File "/srv/m{n}.py", line {n}, in f\n' for n in range(60)
    )
    append(box.log, event(0, message="deep", exc_info=trace + "Bad: the end", long="x" * 5_000))
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/logs")
    for script in (True, False):  # drawn by the page, and by the server
        row = page.locator("#rows .event").filter(has_text="deep")
        row.locator("> summary").click()
        expect(row.locator(".fields")).to_contain_text("Bad: the end")
        assert row.locator(".fields dd", has_text="xxx").inner_text().endswith("x…")
        if script:
            page = visit(box, java_script_enabled=False)
            page.goto("/logs")


def test_deep_json_scrolls_within_itself(visit, box):
    nested = {}
    for number in range(60):
        nested = {f"level{number}": nested, "list": [1, {"a": None}], "long": "y" * 40}
    append(box.log, event(0, message="deep", nested=nested))
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/logs?view=json")
    expect(page.locator(".tree .branch").nth(100)).to_be_attached()
    picture(page, "logs-deep")


def test_links_do_the_same_without_javascript(visit, served):
    page = visit(served, java_script_enabled=False)
    page.goto("/logs")
    follow(page, facet(page, "service", "shop").locator(".facet"))
    assert asked(page)["q"] == "service=shop"
    assert page.locator("#total").inner_text() == "100 events"
    follow(page, facet(page, "severity", "ERROR").get_by_label("exclude severity ERROR"))
    assert page.locator("#total").inner_text() == "80 events"
    page.locator("summary", has_text="duration_ms").click()
    follow(page, page.get_by_role("link", name="show as a column duration_ms"))
    assert page.locator("#rows .event").first.locator(".cell").count() == 1
    page.locator("select[name=order]").select_option("oldest")
    follow(page, page.get_by_role("button", name="Search"))
    assert asked(page) == {
        "q": "service=shop severity!=ERROR",
        "since": "1h",
        "order": "oldest",
        "columns": "duration_ms",
    }
    page.locator("#rows .event > summary").first.click()
    follow(page, page.get_by_role("link", name="context").first)
    assert page.locator(".event.marked").count() == 1
    assert page.locator(".event").count() > 10


def test_older_events_are_a_link_without_javascript(visit, served):
    page = visit(served, java_script_enabled=False)
    page.goto("/logs?order=newest")
    found = set(page.locator("#rows .event").evaluate_all("rows => rows.map(row => row.dataset.id)"))
    for _ in range(10):
        more = page.get_by_role("link", name="older events")
        if not more.count():
            break
        follow(page, more)
        found |= set(page.locator("#rows .event").evaluate_all("rows => rows.map(row => row.dataset.id)"))
    assert len(found) == 306


def test_columns_are_chosen_and_removed(logs):
    logs.get_by_role("link", name="show as a column http.status").click()
    expect(logs.locator("#rows .event").nth(6).locator(".cell")).to_have_text(["500"])
    logs.get_by_role("link", name="show as a column http.path").click()
    expect(logs.locator("#rows .event").nth(6).locator(".cell")).to_have_text(["500", "/orders/3"])
    assert asked(logs)["columns"] == "http.status,http.path"
    logs.get_by_role("link", name="remove the column http.status").first.click()
    expect(logs.locator("#rows .event").nth(6).locator(".cell")).to_have_text(["/orders/3"])
    logs.locator("#more").scroll_into_view_if_needed()  # rows that come later have them too
    expect(logs.locator("#rows .event").nth(150).locator(".cell")).to_have_text(re.compile("/orders/"))


# ---------------------------------------------------------------- rows


def test_views_show_all_of_an_event_and_fold(logs):
    logs.get_by_label("view", exact=True).select_option("wide text")
    expect(logs.locator("#rows .event").nth(7).locator(".message")).to_contain_text("http.status=200")
    logs.get_by_label("view", exact=True).select_option("JSON")
    seventh = logs.locator("#rows .event").nth(7)
    expect(seventh.locator(".tree")).to_be_visible()
    leaf = seventh.locator(".leaf", has_text='"status": 200')
    expect(leaf).to_be_visible()
    seventh.locator(".branch > summary", has_text='"http"').click()
    expect(leaf).to_be_hidden()
    assert asked(logs)["view"] == "json"
    picture(logs, "logs-json")
    logs.get_by_label("view", exact=True).select_option("wide text")
    expect(logs.locator("#rows .event").nth(7).locator(".pair").first).to_be_visible()
    picture(logs, "logs-text")


def test_nothing_is_wrong_with_unfolded_json(page):
    page.goto("/logs?q=duration_ms%3C3&view=json")
    expect(page.locator(".tree")).to_have_count(3)
    audit(page)


def test_the_lines_around_a_line_and_those_of_its_trace(logs):
    row = logs.locator("#rows .event").nth(20)
    row.locator("summary").first.click()
    row.get_by_role("link", name="context").click()
    around = row.get_by_label("Lines around it")
    expect(around.locator(".event")).to_have_count(17)
    expect(around.locator(".event.marked .message")).to_have_text(row.locator(".message").first.inner_text())
    audit(logs)
    picture(logs, "logs-context")
    row.get_by_role("link", name="context").click()
    expect(around).to_have_count(0)
    row.get_by_role("link", name="same trace").click()
    logs.wait_for_url("**/trace/*")
    assert logs.locator(".event").count() > 20


def test_json_is_copied_as_it_is(visit, served):
    page = visit(served, permissions=["clipboard-read", "clipboard-write"])
    page.goto("/logs?q=esrever")
    page.locator("#rows .event > summary").click()
    page.locator("details.json > summary").click()
    expect(page.locator(".tree")).to_be_visible()
    page.get_by_role("button", name="copy JSON").click()
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied)["body"] == HOSTILE[1]
    assert not re.search(r"[\x1b\u202e]", copied)


def typed(box, command: str) -> list[int]:
    """The ids of the events that a command prints, in a terminal that knows nothing of the server."""
    shell = ["bash", "-c", command.replace(" -n ", " -o json -n ", 1)]
    said = subprocess.run(shell, cwd="/", env=box.env, capture_output=True, check=False)
    assert said.returncode == 0, said.stderr.decode()
    return [json.loads(line)["id"] for line in said.stdout.splitlines()]


@pytest.mark.parametrize(
    "q",
    ["card declined", "http.status>=500 OR duration_ms<3", '"card declined" service=shop', "-1", "declined(", ""],
)
def test_the_command_finds_the_same(visit, served, q):
    page = visit(served, permissions=["clipboard-read", "clipboard-write"])
    page.goto("/logs?q=" + re.sub(r"[^\w]", lambda found: f"%{ord(found[0]):02x}", q))
    page.get_by_role("button", name="copy command").click()
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    ids = page.locator("#rows .event").evaluate_all("rows => rows.map(row => Number(row.dataset.id))")
    assert typed(served, command) == ids
    assert ids or q in ("-1", "declined(")


def test_the_command_finds_the_oldest_where_they_come_first(visit, served):
    page = visit(served)
    page.goto("/logs?order=oldest")
    command = page.locator("#command").inner_text()
    assert command.endswith(" | head -n 100")
    assert len(ids := typed(served, command)) == 100
    assert ids == page.locator("#rows .event").evaluate_all("rows => rows.map(row => Number(row.dataset.id))")


def test_a_permalink_shows_the_same_later(logs):
    logs.get_by_label("search").first.fill("service=shop")
    expect(total(logs)).to_have_text("100 events")
    before = messages(logs)
    logs.get_by_role("link", name="permalink").click()
    logs.wait_for_url(re.compile("until="))
    assert {"q", "since", "until"} <= asked(logs).keys()
    assert all(asked(logs)[name].endswith("Z") for name in ("since", "until"))
    logs.reload()
    assert messages(logs) == before
    expect(logs.get_by_label("search").first).to_have_value("service=shop")


def test_what_was_found_is_downloaded(visit, box):
    lines = [
        event(number, message=text) for number, text in enumerate(["plain", "=1+1", '"quoted", and comma', "@SUM(A1)"])
    ]
    append(box.log, b"".join(lines) + event(9, level="debug", message="left out"))
    box.serve()
    box.stored(5)
    page = visit(box)
    page.goto("/logs?q=severity%3E%3Dinfo&order=oldest")
    with page.expect_download() as started:
        page.get_by_role("link", name="download").click()
    assert started.value.suggested_filename == "events.ndjson"
    bodies = [json.loads(line)["body"] for line in started.value.path().read_text().splitlines()]
    assert bodies == ["plain", "=1+1", '"quoted", and comma', "@SUM(A1)"]
    page.get_by_role("link", name="show as a column n").first.click()
    expect(page.locator(".columns")).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    assert started.value.suggested_filename == "events.csv"
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    assert [row["message"] for row in rows] == ["plain", "'=1+1", '"quoted", and comma', "'@SUM(A1)"]
    assert [row["n"] for row in rows] == ["0", "1", "2", "3"]
    with box.client() as client:
        assert client.get("/logs.csv", params={"limit": "100001"}).status_code == 400
        assert client.get("/logs.csv", params={"q": "("}).json()["code"] == "SL510"


def test_times_are_local_or_relative(visit, served):
    page = visit(served, timezone_id="Asia/Kolkata")
    page.goto("/logs?q=request")
    time = page.locator("#rows time").first
    utc = time.get_attribute("datetime")
    hours, minutes = int(utc[11:13]), int(utc[14:16])
    there = (hours * 60 + minutes + 330) % 1440
    expect(time).to_have_text(re.compile(rf" {there // 60:02}:{there % 60:02}:\d\d\.\d\d\d$"))
    page.get_by_role("button", name="relative times").click()
    expect(time).to_have_text(re.compile(r"^\d+ (s|min|h) ago$"))
    page.reload()
    expect(time).to_have_text(re.compile(r"^\d+ (s|min|h) ago$"))
    page.get_by_role("button", name="relative times").click()
    expect(time).to_have_text(re.compile(r"\.\d\d\d$"))


def test_the_oldest_can_come_first(logs):
    logs.get_by_label("order", exact=True).select_option("oldest first")
    expect(logs.locator("#rows .message").first).to_have_text("request 0 served")
    assert asked(logs)["order"] == "oldest"


# ---------------------------------------------------------------- the live tail


def test_lines_arrive_live_and_wait_while_it_is_paused(box, visit):
    append(box.log, event(0, message="wanted before"))
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/logs?q=wanted")
    append(box.log, event(0, message="wanted between"))  # what comes before the tail begins is not left out
    box.stored(2)
    tail = page.get_by_role("button", name="Live tail")
    tail.click()
    expect(tail).to_have_attribute("aria-pressed", "true")
    expect(tail).not_to_have_class(re.compile("waiting"))
    append(box.log, event(1, message="other") + event(2, message="wanted \x1b[31m <b>live</b>"))
    expect(page.locator("#rows .message").first).to_have_text("wanted \\u001b[31m <b>live</b>")
    expect(total(page)).to_have_text("3 events")
    assert messages(page)[1:] == ["wanted between", "wanted before"]
    page.get_by_role("button", name="Pause").click()
    append(box.log, event(3, message="wanted later"))
    expect(page.get_by_role("button", name="Continue")).to_have_text("Continue (1 new)")
    assert len(messages(page)) == 3
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#rows .message").first).to_have_text("wanted later")
    append(box.log, event(4, message="wanted at last"))
    expect(page.locator("#rows .message").first).to_have_text("wanted at last")
    page.get_by_label("search").first.fill("another")  # it goes on with the new search
    expect(total(page)).to_have_text("0 events")
    append(box.log, event(5, message="wanted no more") + event(6, message="another"))
    expect(page.locator("#rows .message")).to_have_text(["another"])
    tail.click()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    picture(page, "logs-live")


def test_chart_and_fields_move_with_the_tail(box, visit):
    append(box.log, event(0, message="before"))
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/logs")
    page.get_by_role("button", name="Live tail").click()
    expect(page.get_by_role("button", name="Live tail")).not_to_have_class(re.compile("waiting"))
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "fresh=1" in request.url else None)
    for number in range(20):
        append(box.log, event(number, "error", service="shop"))
    expect(page.locator(".legend")).to_have_text(re.compile("20 error.*1 info", re.DOTALL))
    expect(facet(page, "service", "shop")).to_contain_text("20")
    expect(total(page)).to_have_text("21 events")
    assert len(asked) <= 2
    page.locator("#chart").focus()
    page.keyboard.press("End")  # what somebody is about to zoom into stays
    append(box.log, event(21, "error"))
    expect(total(page)).to_have_text("22 events")
    page.wait_for_timeout(5_500)
    expect(page.locator("#chart .chosen")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".legend")).to_contain_text("21 error")
    expect(page.locator("#chart")).to_be_focused()


def test_what_was_there_stays_when_agent_and_connection_go(box, visit):
    append(box.log, event(0, message="kept"))
    box.serve()
    box.stored(1)
    page = visit(box)
    page.goto("/logs")
    tail = page.get_by_role("button", name="Live tail")
    tail.click()
    expect(tail).to_have_attribute("aria-pressed", "true")
    box.process.kill()
    box.process.wait()
    expect(page.locator("#lost, .problems").filter(has_text="agent has ended").first).to_be_visible()
    assert messages(page) == ["kept"]
    picture(page, "logs-no-agent")
    page.context.set_offline(True)
    page.get_by_label("search").first.fill("kep")
    expect(page.get_by_role("alert").filter(has_text="The server does not answer").first).to_be_visible()
    assert messages(page) == ["kept"]
    picture(page, "logs-no-server")
    page.context.set_offline(False)
    expect(page.locator("#fault")).to_be_empty(timeout=20_000)
    assert asked(page)["q"] == "kep"
    box.serve()  # the live tail goes on by itself, with another server
    append(box.log, event(1, message="kept too"))
    expect(page.locator("#rows .message").first).to_have_text("kept too")
    page.visit.forgive("Failed to load resource|ERR_|status of 503")


# ---------------------------------------------------------------- waiting, nothing, much


def test_there_is_a_picture_of_waiting(logs):
    logs.route("**/logs?*", lambda route: None)  # never answered
    logs.get_by_label("search").first.fill("shop")
    expect(logs.get_by_role("status", name="Searching")).to_be_visible()
    expect(logs.locator("#found")).to_have_attribute("aria-busy", "true")
    assert len(messages(logs)) == 100
    logs.unroute_all(behavior="ignoreErrors")


def test_nothing_is_said_in_words(visit, box):
    box.log.write_text("")
    box.serve()
    page = visit(box)
    page.goto("/logs")
    expect(page.locator(".results .empty")).to_contain_text("Nothing is stored yet")
    picture(page, "logs-empty")
    append(box.log, event(0, message="old", timestamp="2020-02-03T04:05:06Z"))
    box.stored(1)
    page.goto("/logs?q=nobody")
    expect(page.locator(".results .empty")).to_contain_text("No events match in this time")
    page.goto("/logs")
    page.locator(".results .empty").get_by_role("link", name="2020-02-03").click()
    expect(page.locator("#rows .message")).to_have_text(["old"])


def test_a_session_that_is_over_says_so_and_leaves_what_was_there(logs):
    logs.context.clear_cookies()
    logs.get_by_label("search").first.fill("declined")
    expect(logs.get_by_role("alert").filter(has_text="sidelog token link").first).to_be_visible()
    assert len(messages(logs)) == 100
    logs.visit.forgive("status of 401")


def test_thousands_of_rows_of_which_only_those_seen_are_drawn(visit, box):
    append(box.log, b"".join(event(number, message=f"line {number}") for number in range(5_000)))
    box.serve()
    box.stored(5_000)
    page = visit(box)
    page.goto("/logs")
    seen = re.compile(r"the newest ([\d,]+) shown")
    assert "Commonest values of the newest 1,000 events." in page.locator("#fields").inner_text()

    def shown() -> int:
        found = seen.search(page.locator("#shown").inner_text())
        return int(found[1].replace(",", "")) if found else 5_000

    def scroll() -> bool:
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        return shown() >= 3_000

    wait_until(scroll, 90, "3,000 rows")
    assert page.locator("#rows .event").count() < 1_500
    first = page.locator("#rows .message").first
    page.evaluate("scrollTo(0, 0)")
    expect(first).to_have_text("line 4999")
    numbers = [int(text.split()[1]) for text in messages(page)]
    assert numbers == list(range(4_999, 4_999 - len(numbers), -1))


def test_rows_that_could_not_be_had_are_asked_for_again(logs):
    logs.route("**/api/v1/query?*", lambda route: route.abort())
    logs.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(logs.get_by_role("button", name="try again")).to_be_visible()
    assert len(messages(logs)) == 100
    logs.unroute_all()
    logs.get_by_role("button", name="try again").click()
    expect(logs.locator("#rows .event")).not_to_have_count(100)
    logs.visit.forgive("ERR_FAILED")


def test_each_event_comes_once_where_many_have_one_instant(visit, box):
    lines = [event(number, message=f"line {number}", timestamp="2026-01-02T03:04:05Z") for number in range(450)]
    append(box.log, b"".join(lines))
    box.serve()
    box.stored(450)
    page = visit(box)
    page.goto("/logs?since=2026-01-01&until=2026-01-03")

    def scroll() -> bool:
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        return page.locator("#more").count() == 0

    wait_until(scroll, 60, "the end")
    expect(page.locator("#shown")).to_be_empty()
    ids = page.evaluate("[...document.querySelectorAll('#rows .event')].map(row => row.dataset.id)")
    assert len(ids) == len(set(ids))


def test_hostile_fields_and_values_are_seen_and_nothing_else(visit, box):
    lines = [event(number, message=text, **{f"f{text[:40]}": text[:100]}) for number, text in enumerate(HOSTILE[:4])]
    append(box.log, b"".join(lines))
    box.serve()
    box.stored(4)
    page = visit(box)
    page.on("dialog", lambda dialog: pytest.fail(f"a line has opened {dialog.message}"))
    for view in ("", "text", "json"):
        page.goto(f"/logs?view={view}&columns=who")
        expect(total(page)).to_have_text("4 events")
        assert page.locator("main script, main img").count() == 0
        assert not re.search(r"[\x1b\u202e]", page.content())
    page.goto("/logs")
    picture(page, "logs-hostile")
    audit(page)
    for link in page.locator(".facets a.facet").evaluate_all("links => links.map(link => link.href)"):
        assert page.goto(link).status == 200, link
        expect(page.locator("#rows .event").first).to_be_visible()
