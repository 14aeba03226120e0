"""What the terms mean, over events in plain Python."""

import json
from types import SimpleNamespace

import pytest

from agent.core.errors import SidelogError
from agent.core.groups import GroupTraits
from agent.core.values import number, pick
from agent.query.language import parse_query, parse_terms
from agent.query.predicate import grep_pattern
from agent.query.searched import decoded_text

RECORD = {
    "message": "Payment failed for order 17",
    "user": "bob",
    "http": {"status": 502, "path": "/pay"},
    "http.method": "GET",
    "big": 9007199254740993,
    "latency": 0.25,
    "ok": False,
    "none": None,
    "tags": ["a", "b"],
    "items": [{"id": 1, "n": {"x": "p"}}, {"id": 2}, 7],
    "text_number": "200",
    "time": "2026-11-22T05:00:00Z",
    "empty": {},
    "id": 77,
}


def event(record=None, **changes):
    fields = RECORD if record is None else record
    settings = {
        "id": 5, "timestamp": 1_790_000_000_000_000_000, "observed_timestamp": 1, "severity_number": 17,
        "source": "shop", "path": "/var/log/shop/app.log", "offset": 9, "group": 3, "record": json.dumps(fields),
        "raw": None, "parse_error": None, "fields": fields, "body": fields.get("message", ""), "logger": "shop.pay",
        "service": "shop-svc", "trace_id": "0af7", "span_id": None, "resource": {"deployment.environment": "prod"},
    }  # fmt: skip
    return SimpleNamespace(**{**settings, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "payment", "Payment", "aymen", '"order 17"', "!payments", "!PAYMENT", "bob", '"/pay"',
        "user=bob", "user!=ann", "!user=ann", "missing!=x", "!missing=x", "user~^b", "user=ann user=bob",
        "http.status=502", "http.status=502.0", "http.status=5.02e2", "http.status>404", "http.status>=502",
        "http.status<503", "http.status<=502", "http.status~^5", "http.path=/pay", "http.method=GET",
        "big=9007199254740993", "big!=9007199254740992", "big>9007199254740992", "latency=0.25", "latency<0.3",
        "ok=false", "none=null", "ok!=true", "tags=a", "tags=b", "tags.1=b", "!tags.2=c", "!tags.0=b",
        "items.id=2", "items.1.id=2", "items.n.x=p", "items=7", "items.2=7",
        "text_number=200", "text_number>100", "text_number~0", "time>2026-11", "time<2026-11-23",
        "severity=error", "severity>=error", "severity>warn", "severity<fatal", "severity<=error", "severity!=fatal",
        "severity~^ERR", "severity=17", "severity>=17", "severity=err", "!severity=info",
        "logger=shop.pay", "service=shop-svc", "source=shop", "source~^sh", "path~/shop/", "group=3", "group>2",
        "trace_id=0af7", "!span_id~.", "category=timeout", "category!=database",
        "state=regressed", "state!=ignored", "state~reg",
        "deployment.environment=prod", "id=77", "offset=9", "body~failed", "severity_number=17",
        "user=b*", "user=*", "user!=x*", "http.status=5*", "http=*", "tags=*", "none=*", "latency=0.2*", "ok=f*",
        "severity=err*", "severity=*", "source=sh*", "path=/var/log/*", "group=*", "message=Pay*", "items.id=*",
        "deployment.environment=p*", "big=90071992547409*", "user=ann user=b*",
        "attributes.user=bob", "attributes.http.status>=500", "attributes.id=77", "attributes.message~^Pay",
        "attributes.path!=/var/log/shop/app.log", "!attributes.deployment.environment=prod",
        "(user=ann OR http.status>500)", "(user=ann OR (tags=a !tags=c))", "(nothing OR failed)",
        "(user=b* severity=*)",
        "severity_text=ERROR", "timestamp~^2026", "observed_timestamp~^1970", "!parse_error~.", "!empty=x",
    ],
)  # fmt: skip
def test_matches(text):
    """Each of these holds for the event, and its negation does not."""
    query = parse_query(text)
    assert query.matches(event(), {3: GroupTraits("timeout", "regressed")})
    if len(query.terms) == 1 and not text.startswith("!"):
        assert not parse_query(f"!{text}").matches(event(), {3: GroupTraits("timeout", "regressed")})


@pytest.mark.parametrize(
    "text",
    [
        "PAYMENT", "nothing", '"17 order"', "user=Bob", "user>5", "user<a", "http.status=500", "http=502",
        "http.status=x", "http.status>x", "big=9007199254740992", "ok=0", "ok>=0", "none=", "none>0", "missing=null",
        "missing>0", "missing~.", "tags=c", "tags.2=a", "items.id=3", "items.5.id=1", "items.id.x=1", "empty~.",
        "severity=fatal", "severity>error", "severity<error", "severity~x", "group=4", "span_id~.", "category=none",
        "state=new", "state!=regressed",
        "user=x*", "user=B*", "missing=*", "empty.x=*", "span_id=*", "http=5*", "group=4*", "severity=warn*", "tags=c*",
        "attributes.source=shop", "attributes.logger=*", "attributes.offset=*", "parse_error=*",
        "(user=ann OR tags=c)", "(user=bob nothing)", "!(user=ann OR user=bob)", "(user=ann user=x) user=bob",
        "text_number=200.0", "user~^B", "message=payment",
    ],
)  # fmt: skip
def test_does_not_match(text):
    """None of these holds for the event."""
    assert not parse_query(text).matches(event(), {3: GroupTraits("timeout", "regressed")})


def test_a_field_of_the_line_is_reached_whatever_its_name():
    """Also where the line has an object of the name that leads to it."""
    found = event({"path": "/pay", "source": 7, "attributes": {"user": "ann", "source": "inner"}})
    for text in ("attributes.path=/pay", "attributes.user=ann", "attributes.attributes.user=ann", "path~^/var"):
        assert parse_query(text).matches(found), text
    assert parse_query("attributes.source=inner").matches(found)
    assert not parse_query("path=/pay").matches(found)
    assert not parse_query("attributes.trace_id=0af7").matches(found)


def test_an_infinite_number_begins_with_no_text():
    """A line has it as 1e999, which no text of Python's is."""
    assert not parse_query("x=i*").matches(event({"x": float("inf")}))
    assert parse_query("x=*").matches(event({"x": float("inf")}))


def test_an_unknown_severity_is_below_nothing():
    """0 is no level: it is neither less nor greater than one, and unequal to all."""
    unknown = event(severity_number=0)
    assert not parse_query("severity<fatal").matches(unknown)
    assert not parse_query("severity<=fatal").matches(unknown)
    assert not parse_query("severity>=trace").matches(unknown)
    assert parse_query("severity!=error").matches(unknown)
    assert parse_query("severity=0").matches(unknown)


def test_an_event_without_a_group_has_no_category():
    """Whatever the categories say."""
    assert not parse_query("category=timeout").matches(event(group=None), {3: GroupTraits("timeout", "regressed")})
    assert parse_query("category!=timeout").matches(event(group=None), {3: GroupTraits("timeout", "regressed")})


def test_escapes_are_decoded_before_text_is_searched():
    """Umlauts, surrogate pairs, quotes and control characters, as the reader of a log thinks of them."""
    record = r'{"message":"gr\u00f6\u00dfer \ud83d\ude00 say \"x\" a\/b\tc \ud800","n":1}'
    assert decoded_text(record) == '{"message":"größer 😀 say "x" a/b\tc \ud800","n":1}'
    found = event(record={"message": "x"})
    found.record = record
    for text in ("größer", "GRößER".lower(), "😀", "a/b", "\ud800"):
        assert parse_terms([text]).matches(found), text
    assert parse_terms(['say "x"']).matches(found)
    assert not parse_terms(["u00f6"]).matches(found)


def test_case_counts_only_with_a_capital():
    """Also outside of ASCII, where the folding is Unicode's; for an ASCII word it is ASCII's alone."""
    found = event(record={"message": "ÄRGER mit STRASSE und 273 \u212a"})
    found.record = json.dumps(found.fields, ensure_ascii=False)
    assert parse_terms(["ärger"]).matches(found)
    assert not parse_terms(["Ärger"]).matches(found)
    assert parse_terms(["straße"]).matches(found)
    assert parse_terms(["strasse"]).matches(found)
    assert not parse_terms(["273 k"]).matches(found)


@pytest.mark.parametrize("size", [10, 70_000, 400_000])
def test_a_regular_expression_sees_all_of_a_text(size):
    found = event(record={"message": "ab " * (size // 3) + "END."})
    for text in ("message~END", "message~^a", r"message~[.]$", r"message~b\s+END", "message~a.*END"):
        assert parse_query(text).matches(found), text
    for text in (r"message~\s+$", "message~END$", "message~^END"):
        assert not parse_query(text).matches(found), text


def test_what_one_expression_cannot_decide_another_term_may():
    """A term that holds decides alternatives, whichever comes first."""
    found = event(record={"message": "x" * 60 + "!", "a": "b"})
    endless = "message~^(?:(?:x|xx)+)+$"
    for text in (f"({endless} OR a=b)", f"(a=b OR {endless})", f"!({endless} a=c)"):
        assert parse_query(text).matches(found), text
    for text in (f"({endless} OR a=c)", f"!{endless}", f"a=b {endless}"):
        with pytest.raises(SidelogError, match="not done with a text of 61 characters"):
            parse_query(text).matches(found)
    for text in (f"a=c {endless}", f"{endless} a=c", f"{endless} nothing"):  # other terms are looked at first
        assert not parse_query(text).matches(found)


def test_grep_ignores_case_unless_there_is_a_capital():
    r"""A capital in an escape such as `\S` does not count."""
    assert grep_pattern("fail") == "(?i:fail)"
    assert grep_pattern(r"\Sail") == r"(?i:\Sail)"
    assert grep_pattern("Fail") == "Fail"


@pytest.mark.parametrize(
    "text", ["9" * 5_000, "1e999", "1e99999999", "-0", "1.50", "0x1", "", "--1", "1.", ".5", "١", "007"]
)
def test_numbers_are_exact_or_none(text):
    """No length and no exponent raises; what JSON would not call a number is none."""
    found = number(text)
    assert (found is None) == (text in ("1e99999999", "0x1", "", "--1", "1.", ".5", "١", "007"))


def test_numbers_beyond_a_double_compare():
    """A literal of thousands of digits, and one that a double cannot hold."""
    found = event(record={"message": "", "huge": 10**400, "over": float("inf")})
    assert parse_query(f"huge={10**400}").matches(found)
    assert parse_query(f"huge>{10**400 - 1}").matches(found)
    assert parse_query("over>1").matches(found)


def test_picking_a_value_keeps_lists():
    """For printing: a list stays a list, an element can be named, a literal key comes first."""
    assert pick(RECORD, ("tags",)) == (True, ["a", "b"])
    assert pick(RECORD, ("tags", "1")) == (True, "b")
    assert pick(RECORD, ("tags", "7")) == (False, None)
    assert pick(RECORD, ("user", "x")) == (False, None)
    assert pick(RECORD, ("items", "id")) == (True, [1, 2])
    assert pick(RECORD, ("http", "method")) == (True, "GET")
    assert pick(RECORD, ("http", "status")) == (True, 502)
    assert pick(RECORD, ("http", "nothing")) == (False, None)
