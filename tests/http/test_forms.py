"""Forms of pages: what they do without JavaScript, and whom they do nothing for; and errors in words, as pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.http.release import BROKEN, group_of, serve_release
from tests.integration.harness import wait_until

if TYPE_CHECKING:
    import httpx


@pytest.fixture(scope="module")
def site(release):
    return release


@pytest.fixture
def operator(site):
    with site.browser("operator") as session:
        session.headers["Origin"] = site.base
        yield session


def token_of(session: httpx.Client) -> str:
    return re.search(r'name="form-token" content="([^"]+)"', session.get("/errors").text)[1]


def state_of(site, group: int) -> str:
    return site.sql("SELECT state FROM error_groups WHERE id = ?", group)[0][0]


# ---------------------------------------------------------------- what they do


def test_several_groups_are_changed_at_once_and_the_list_keeps_its_filters(site, operator):
    numbers = [row[0] for row in site.sql("SELECT id FROM error_groups WHERE title LIKE 'Bad%' ORDER BY id LIMIT 2")]
    form = {
        "form_token": token_of(operator),
        "state": "ignored",
        "for": "1h",
        "until_count": "5",
        "of-state": "all",
        "of-service": "billing",
        "id": [str(number) for number in numbers],
    }
    answer = operator.post("/errors", data=form)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/errors?state=all&service=billing&n=2&done=ignored"
    assert "2 groups were ignored." in operator.get(answer.headers["location"]).text
    for number in numbers:
        assert state_of(site, number) == "ignored"
        detail = site.sql("SELECT detail FROM audit_log WHERE subject = ?", f"group {number}")
        assert detail == [("until 5 more, for 1h",)]
    operator.post("/errors", data=form | {"state": "reopened"})
    assert {state_of(site, number) for number in numbers} == {"ongoing"}


def test_a_group_is_resolved_and_its_history_says_by_whom(site, operator):
    number = group_of(site, BROKEN)
    answer = operator.post(f"/errors/{number}", data={"form_token": token_of(operator), "state": "resolved"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/errors/{number}?done=resolved")
    page = operator.get(answer.headers["location"]).text
    assert "The group was resolved." in page
    history = re.search(r'<ol class="history">(.*?)</ol>', page, re.DOTALL)[1]
    assert "by session " in history
    assert history.index("resolved") < history.index("the first event")
    site.say("errors", "reopen", str(number))
    assert state_of(site, number) == "ongoing"
    [[who]] = site.sql("SELECT who FROM audit_log WHERE action = 'reopened' AND subject = ?", f"group {number}")
    assert who
    assert not who.startswith("session")


def test_a_rule_is_silenced_and_its_silence_ended(site, operator):
    form = {"form_token": token_of(operator), "rule": "many-errors", "for": "2h", "comment": "<deploy>"}
    answer = operator.post("/alerts", data=form | {"action": "silence"})
    assert answer.headers["location"] == "/alerts?rule=many-errors&done=silence"
    page = operator.get(answer.headers["location"]).text
    assert "Silenced until" in page
    assert "&lt;deploy&gt;" in page
    operator.post("/alerts", data=form | {"action": "unsilence"})
    assert site.sql("SELECT count(*) FROM silences") == [(0,)]


def test_a_dead_delivery_is_tried_again(site, operator):
    wait_until(lambda: site.sql("SELECT 1 FROM deliveries WHERE state = 'dead'"), what="a dead delivery")
    [[delivery], *_] = site.sql("SELECT delivery_id FROM deliveries WHERE state = 'dead'")
    [[runs]] = site.sql("SELECT count FROM own_errors WHERE code = 'SL703'")
    page = operator.get("/alerts").text
    assert "&lt;b&gt;no way&lt;/b&gt;" in page
    form = {"form_token": token_of(operator), "action": "redeliver", "delivery": delivery}
    assert operator.post("/alerts", data=form).headers["location"] == "/alerts?done=redeliver#deliveries"
    wait_until(lambda: site.sql("SELECT count FROM own_errors WHERE code = 'SL703'")[0][0] > runs, what="another run")


# ---------------------------------------------------------------- whom they do nothing for


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"form_token": ""}, {}),
        ({"form_token": "x" * 40}, {}),
        ({"form_token": "é"}, {}),
        ({}, {"Origin": "http://evil.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Origin": ""}),
    ],
)
def test_a_form_of_another_page_does_nothing(site, operator, change, headers):
    number = group_of(site, BROKEN)
    before = state_of(site, number)
    form = {"form_token": token_of(operator), "state": "ignored"} | change
    answer = operator.post(f"/errors/{number}", data=form, headers=headers | {"Accept": "text/html"})
    assert answer.status_code == 403
    assert "text/html" in answer.headers["content-type"]
    assert state_of(site, number) == before


def test_the_token_of_one_session_is_none_of_another(site, operator):
    number = group_of(site, BROKEN)
    with site.browser("operator") as other:
        theirs = token_of(other)
    before = state_of(site, number)
    assert operator.post(f"/errors/{number}", data={"form_token": theirs, "state": "ignored"}).status_code == 403
    assert state_of(site, number) == before


def test_a_reader_is_offered_nothing_and_may_do_nothing(site):
    number = group_of(site, BROKEN)
    with site.browser("reader") as reader:
        for address in ("/errors", f"/errors/{number}", "/alerts"):
            page = reader.get(address).text
            assert 'method="post"' not in page
            assert not re.search(r"<button[^>]*>(Resolve|Ignore|Reopen|Silence|End silence|Redeliver)", page)
        for address, form in ((f"/errors/{number}", {"state": "resolved"}), ("/alerts", {"action": "silence"})):
            form["form_token"] = token_of(reader)
            answer = reader.post(address, data=form, headers={"Origin": site.base, "Accept": "text/html"})
            assert answer.status_code == 403
            assert "role operator" in answer.text


@pytest.mark.parametrize(
    ("address", "form", "status", "words"),
    [
        ("/errors", {"state": "resolved"}, 400, "Nothing was chosen"),
        ("/errors", {"state": "odd", "id": "1"}, 400, "odd"),
        ("/errors", {"state": "resolved", "id": "999999"}, 404, "999999"),
        ("/errors", {"state": "ignored", "id": "1", "until_count": "-1"}, 400, "-1"),
        ("/errors", {"state": "ignored", "id": "1", "for": "odd"}, 400, "odd"),
        ("/errors", {"state": "resolved", "id": ["1"] * 1_200}, 400, "cannot be read"),
        ("/errors", {"state": "resolved", "id": "1" * 70_000}, 413, "65,536"),
        ("/errors/999999", {"state": "resolved"}, 404, "999999"),
        ("/alerts", {"action": "silence", "rule": "nobody", "for": "1h"}, 404, "nobody"),
        ("/alerts", {"action": "silence", "rule": "many-errors", "for": "soon"}, 400, "soon"),
        ("/alerts", {"action": "redeliver", "delivery": "none"}, 404, "none"),
        ("/alerts", {"action": "odd"}, 400, "odd"),
    ],
)
def test_what_a_form_cannot_do_is_said_as_a_page(operator, address, form, status, words):
    answer = operator.post(address, data=form | {"form_token": token_of(operator)})
    assert answer.status_code == status
    assert "text/html" in answer.headers["content-type"]
    assert words in answer.text
    assert 'class="top"' in answer.text


# ---------------------------------------------------------------- errors as pages


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/nothing", 404, "SL913"),
        ("/errors/999999", 404, "SL540"),
        ("/errors/odd", 404, "SL913"),
        ("/errors/99999999999999999999999", 404, "SL540"),
        ("/errors?grep=(", 400, "SL513"),
        ("/errors?state=odd", 400, "SL904"),
        ("/explain/SL000", 404, "SL913"),
        ("/explain/..%2fetc", 404, "SL913"),
        ("/errors/1?at=odd", 400, "SL514"),
        ("/trace/x?at=odd", 400, "SL514"),
        ("/?since=odd", 400, "SL514"),
    ],
)
def test_an_error_is_a_page_with_words(operator, address, status, code):
    answer = operator.get(address)
    assert (answer.status_code, code in answer.text) == (status, True)
    assert "text/html" in answer.headers["content-type"]
    assert "<h1>" in answer.text
    assert "sidelog" in answer.text


def test_an_unknown_address_of_the_api_is_a_document(operator):
    answer = operator.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "SL913")
    answer = operator.get("/api/v1/silences")
    assert (answer.status_code, answer.json()["code"]) == (405, "SL913")


def test_many_groups_come_in_pages(box):
    serve_release(box, groups=120)
    with box.browser() as session:
        first = session.get("/errors").text
        assert "page 1 of 2, 122 groups" in first
        second = session.get("/errors?page=2").text
        numbers = [set(re.findall(r'href="/errors/(\d+)"', page)) for page in (first, second)]
        assert [len(found) for found in numbers] == [100, 22]
        assert not numbers[0] & numbers[1]
