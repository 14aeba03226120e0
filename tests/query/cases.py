"""Queries and events that are hard to match: escapes, letters that fold in odd ways, labels, templates, keys twice."""

import json

from hypothesis import strategies as st

from agent.query.language import Query
from agent.query.terms import Parentheses, Term
from tests.query.stores import BASE, NUMBERS, SECOND, EventRow, FileRow

FILES = [
    FileRow("app", "/var/log/app/a.log", {"service.name": "app-svc", "env": "prod"}),
    FileRow("app", "/var/log/app/b.log", {"env": "test"}),
    FileRow("web", "/var/log/web/a.log", {}),
]
WORDS = ["ann", "Ann", "bob", "größer", "k", "\u212a", "i", "İ", 'say "x"', "a\\b", "a/b", "500", "5e2", "true", "%",
         "_", "*", "[x]", "?", "null", "\ud800", "app-svc", "prod", "line\nbreak", "!", "x.y",
         "@mt", "{user}", "404"]  # fmt: skip
KEYS = [
    "message",
    "user",
    "http",
    "status",
    "http.status",
    "logger",
    "service",
    "trace_id",
    "tags",
    "env",
    "service.name",
    "ü",
    "@mt",
    "id",
]
SCALARS = st.one_of(st.sampled_from(WORDS), st.sampled_from([500, 500.0, 404, -0.0, True, None, 2**70, 0.1]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2),
    max_leaves=4,
)
RECORDS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)


def _line(record, more, ascii_only, slash, twice):
    """As a JSON line; `twice`: with the members of another object behind its own, so that keys may be there twice."""
    ascii_only = ascii_only or not (_plain(record) and _plain(more))
    line = json.dumps(record, ensure_ascii=ascii_only)
    if twice and record and more:
        line = f"{line[:-1]}, {json.dumps(more, ensure_ascii=ascii_only)[1:]}"
    return line.replace("/", r"\/" if slash else "/")


def _plain(record):
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


# What is kept beside a record: text as it is, JSON as a container runtime writes it, and any bytes.
LINES = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=4).map(lambda words: " ".join(words).encode("utf-8", "replace")),
    st.builds(
        lambda word, ascii_only: json.dumps({"log": word}, ensure_ascii=ascii_only or "\ud800" in word).encode(),
        st.sampled_from(WORDS), st.booleans(),
    ),
    st.lists(
        st.sampled_from([b"ann", b"Ann", b"\0", b"\xff", b"\xc3", b"\x80", b"\\", b"{", "ö".encode(), b"ser"]),
        max_size=4,
    ).map(b"".join),
)  # fmt: skip
ROWS = st.lists(
    st.builds(
        EventRow,
        st.builds(
            _line, RECORDS, RECORDS, st.booleans(), st.booleans(), st.booleans(),
        ),
        timestamp=st.integers(-3, 3).map(lambda n: BASE + n * SECOND),
        severity=st.sampled_from([0, 3, *NUMBERS.values(), 19]),
        file=st.integers(1, 3),
        raw=st.sampled_from([None, None, None, 1, 2]) | LINES,
    ),
    min_size=1, max_size=6,
)  # fmt: skip
FIELDS = st.sampled_from(
    ["user", "http.status", "http", "status", "tags", "tags.0", "env", "ü", "id", "logger", "service", "trace_id",
     "message", "source", "path", "group", "category", "state", "offset", "tags.user", "http.http.status",
     "service.name", "attributes.user", "attributes.http.status", "attributes.message", "attributes.env",
     "attributes.service"]
)  # fmt: skip
TERMS = st.one_of(
    st.builds(Term, st.none(), st.just(""), st.sampled_from([*WORDS, '"user"', ": ", "ser"]), st.booleans()),
    st.builds(Term, FIELDS, st.sampled_from(["=", "=", "!=", ">", ">=", "<", "<=", "~"]),
              st.sampled_from([w for w in WORDS if w not in ("*", "?")]
                              + ["app", "1", "2", "category1", "ongoing", "ignored", ""]),
              st.booleans()),
    st.builds(Term, FIELDS, st.sampled_from(["=", "=", "!="]),
              st.sampled_from(["", "a", "An", "app", "4", "-", "5e", "tr", "nu", "gr", "/var/log/a", "categ",
                               "on", "s"]),
              st.booleans(), st.just(True)),  # noqa: FBT003
    st.builds(Term, st.just("severity"), st.sampled_from(["=", ">=", "<", "!=", ">"]),
              st.sampled_from(["error", "warn", "19", "fatal", "0"]), st.booleans()),
)  # fmt: skip


def parts_of(terms):
    """Terms, and parentheses with more of them."""
    return st.recursive(
        terms,
        lambda inner: st.builds(
            Parentheses,
            st.lists(st.lists(inner, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3).map(tuple),
            st.booleans(),
        ),
        max_leaves=5,
    )


def queries_of(terms, most=3):
    """Queries of so many parts at the most."""
    return st.lists(terms | parts_of(terms), max_size=most).map(lambda parts: Query(tuple(parts)))


QUERIES = queries_of(TERMS)
