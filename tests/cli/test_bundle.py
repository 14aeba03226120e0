"""`sidelog query --bundle FILE.html GROUP|TRACE`: one file to attach to an issue, in which nothing acts."""

import base64
import hashlib
import html
import html.parser
import re
import stat
import time

import pytest

from agent.core.event import REDACTED
from tests.cli.stores import HOSTILE, error_batch, make, tailed

TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 7, in add\n    x\nValueError: no item\n'
MARKUP = "</pre><script>alert(1)</script><img src=x onerror=alert(1)> \" ' &amp; {{x}} " + HOSTILE
SECRET = "tr0ub4dor"


class Elements(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def store(tmp_path):
    """Group 1 has hostile texts in every place; a trace has an error and a line that is none."""
    path = tmp_path / "s.db"
    quiet, _ = error_batch(
        [{"message": f"line {number}", "trace_id": "t-1"} for number in range(40)], now=time.time_ns() - 10**9
    )
    quiet.events.severities, quiet.group_ids = [9] * 40, {}
    lines = [
        {"message": MARKUP, "logger": MARKUP, "service": MARKUP, MARKUP: MARKUP, "trace_id": "t-1",
         "exc_type": "ValueError", "stack_trace": TRACE + MARKUP, "password": SECRET, "note": f"password={SECRET}"},
        {"message": f"failed password={SECRET}", "trace_id": "77", "nested": {"deep": {"password": SECRET}}},
    ]  # fmt: skip
    batch, groups = error_batch(lines, file=tailed(2))
    make(path, batches=[quiet, batch], groups=groups)
    return path


def bundle(sidelog, store, tmp_path, *arguments):
    target = tmp_path / f"{len(list(tmp_path.iterdir()))}.html"
    said = sidelog("query", "--bundle", target, *arguments, "--store", store)
    assert (said.code, said.out) == (0, ""), said.err
    assert str(target) in said.err
    return target, target.read_text(encoding="utf-8")


@pytest.mark.parametrize("subject", ["1", "group=1", "t-1", "trace_id=t-1"])
def test_nothing_that_a_log_says_acts_and_nothing_is_loaded(sidelog, store, tmp_path, subject):
    target, page = bundle(sidelog, store, tmp_path, subject)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    elements = Elements(page)
    tags = {tag for tag, _ in elements.found}
    assert tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "div", "svg", "rect", "line", "text", "pre",
        "table", "tr", "td", "details", "summary", "footer", "p", "code",
    }  # fmt: skip
    for _, attributes in elements.found:
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "href", "style", "action")}
    policy = next(one["content"] for tag, one in elements.found if one.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "url(" not in style
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066]", page)
    assert "<script>alert(1)</script>" in elements.text, "it is text"


def test_a_group_has_its_stack_its_timeline_and_the_lines_around_it(sidelog, store, tmp_path):
    _, page = bundle(sidelog, store, tmp_path, "1")
    elements = Elements(page)
    assert "ValueError" in elements.text
    assert 'File "shop/cart.py", line 7, in add' in elements.text
    assert sum(tag == "svg" for tag, _ in elements.found) == 2
    assert any(tag == "rect" for tag, _ in elements.found)
    assert ("tr", {"class": "here"}) in elements.found
    assert "sidelog query 1" in elements.text
    assert "line 39" in elements.text, "of its trace"


def test_a_trace_has_all_of_its_lines(sidelog, store, tmp_path):
    _, page = bundle(sidelog, store, tmp_path, "t-1")
    text = Elements(page).text
    assert "trace t-1, 41 events, 1 error" in text
    assert all(f"line {number}" in text for number in range(40))
    _, page = bundle(sidelog, store, tmp_path, "77")
    assert "trace 77, 1 event, 1 error" in Elements(page).text, "a number that is no group's"


def test_what_the_configuration_redacts_by_now_is_in_none(sidelog, store, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"store: {{path: {store}}}\nsources: [{{name: other, include: [x], redact: [PASSWORD]}}]\n")
    for subject in ("1", "2", "t-1", "77"):
        target = tmp_path / f"redacted-{subject}.html"
        assert sidelog("query", "--bundle", target, subject, "-c", config).code == 0
        page = target.read_text()
        assert SECRET not in page
        assert html.escape(REDACTED) in page
    _, page = bundle(sidelog, store, tmp_path, "1")
    assert SECRET in page


def test_nothing_is_overwritten_and_no_link_is_followed(sidelog, store, tmp_path):
    target, link = tmp_path / "mine.html", tmp_path / "link.html"
    target.write_text("mine")
    link.symlink_to(tmp_path / "new.html")
    for place in (target, link):
        said = sidelog("query", "--bundle", place, "1", "--store", store)
        assert (said.code, said.out) == (1, "")
        assert "error[SL542]" in said.err
    assert target.read_text() == "mine"
    assert not (tmp_path / "new.html").exists()
    said = sidelog("query", "--bundle", tmp_path / "none" / "x.html", "1", "--store", store)
    assert (said.code, "SL542" in said.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("99",), "SL542", 1),
        (("group=99",), "SL542", 1),
        (("nowhere",), "SL542", 1),
        ((), "SL542", 2),
        (("1", "2"), "SL542", 2),
        (("!1",), "SL542", 2),
        (("service=shop",), "SL542", 2),
        (("1", "--count"), "SL518", 2),
        (("1", "-o", "json"), "SL518", 2),
        (("1", "-f"), "SL518", 2),
        (("1", "-S", "whenever"), "SL514", 2),
    ],
)
def test_what_names_no_one_subject_makes_no_file(  # noqa: PLR0917 - a row of the table
    sidelog, store, tmp_path, arguments, code, exit_code
):
    target = tmp_path / "x.html"
    said = sidelog("query", "--bundle", target, *arguments, "--store", store)
    assert (said.code, said.out) == (exit_code, "")
    assert f"error[{code}]" in said.err
    assert not target.exists()


@pytest.mark.parametrize(
    "option", ["--count", "--context=3", "--output=json", "--source=x", "--lines=0", "--lines=all"]
)
def test_an_option_that_is_refused_is_named_as_it_is_written(sidelog, store, tmp_path, option):
    said = sidelog("query", "--bundle", tmp_path / "x.html", option, "1", "--store", store)
    assert said.code == 2
    assert f"{option.partition('=')[0]} cannot be used with --bundle" in said.err


def test_lines_say_what_broke_where_their_messages_do_not(sidelog, tmp_path):
    lines = [{"message": "unhandled exception", "exc_type": "ValueError", "stack_trace": TRACE}]
    batch, groups = error_batch(lines)
    make(tmp_path / "s.db", batches=[batch], groups=groups)
    _, page = bundle(sidelog, tmp_path / "s.db", tmp_path, "1")
    assert page.count("unhandled exception: ValueError: no item") == 2, "around it, and above its fields"
