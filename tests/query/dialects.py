"""Lines of JSON that parsing reads otherwise than as one record a line: of libraries with fields of their own, without
a message or a level, of exports of which another record is made, over several lines, and inside of text.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

INSTANT = "2026-11-18T10:02:10.5Z"
_NUMBERS = st.sampled_from([0, 1, 3, 4, 17, 30, 40, 50, 200, 404, 500, 503, 40000, 1.5])
_SEVEN = {"intValue": "7"}
_AROUND = [(b"", b""), (b"", b""), (b"[\n", b"\n]"), (b"[", b","), (b"", b",\n"), (b",", b"]"), (b"\x1e", b"")]
_ENDS = [b"", b"", b" ", b"}"]
_KEYS = ["level", "message", "msg", "timestamp", "logger", "log.prefix", "embedded", "x", "n", "password", "service"]


def _byte_array(text: str) -> list[int]:
    return list(text.encode("utf-8", "replace"))


def _value(text: str) -> dict[str, str]:
    return {"stringValue": text}


def _records(text: str, number: float) -> list[dict[str, Any]]:
    """A record of each library, in which these stand."""
    at = {"time": INSTANT}
    return [
        {"t": {"$date": INSTANT}, "s": "E", "c": "NETWORK", "id": number, "msg": text},
        {"startTime": INSTANT, "categoryName": "cheese", "data": [text, number], "level": {"levelStr": "ERROR"}},
        {"startTime": INSTANT, "categoryName": "cheese", "data": [text], "level": {"level": 40000}},
        {"timestamp": INSTANT, "level": "ERROR", "fields": {"message": text, "n": number}, "target": "shop::pay"},
        {"@timestamp": INSTANT, "@level": "error", "@module": "agent", "@message": text},
        {"reqId": "Xa1", "level": number, **at, "remoteAddr": "", "app": "files", "message": text},
        {"level": number, **at, "pid": 7, "hostname": "web1", "name": text, "msg": text, "v": 1},
        {"level": "\x1b[31merror\x1b[39m", "message": f"\x1b[31m{text}\x1b[39m", "timestamp": INSTANT},
        {"severity": number, "timestamp": INSTANT, "textPayload": text},
        {**at, "method": "GET", "path": text, "status": number},
        {**at, "httpRequest": {"requestMethod": "POST", "requestUrl": "/pay", "status": number}},
        {**at, "error": text, "n": number},
        {**at, "x": text, "n": number, "http": {"status": number, "path": text}},
        {"ts": 1795327330.5, "caller": "a.go:7", "msg": text, "v": number},
        {"ts": 1795327330.5, "caller": "a.go:7", "msg": text, "err": text},
        {"message": "", **at, "level": "error", "x": text},
        {"MESSAGE": _byte_array(text or "x"), "PRIORITY": "3", "__REALTIME_TIMESTAMP": "1795327330000000"},
        {"MESSAGE": text, "PRIORITY": number, "_COMM": _byte_array(text or "x")},
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": [{"key": "service.name", "value": _value("shop")}]},
                    "scopeLogs": [
                        {"logRecords": [{"severityNumber": number, "body": _value(one)} for one in (text, "second")]}
                    ],
                }
            ]
        },
        {
            "resourceLogs": [
                {"scopeLogs": [{"logRecords": [{"body": _value(text), "attributes": [{"key": "x", "value": _SEVEN}]}]}]}
            ]
        },
    ]  # fmt: skip


def _dumped(record: dict[str, Any], ascii_only: bool, indent: int | None = None) -> bytes:  # noqa: FBT001 - drawn
    return json.dumps(record, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")


def records(texts: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Records of libraries, and any others with names that mean something in text."""
    of_libraries = st.builds(
        lambda text, number, which: (found := _records(text, number))[which % len(found)],
        texts, _NUMBERS, st.integers(0, 99),
    )  # fmt: skip
    others = st.dictionaries(st.sampled_from(_KEYS), texts | _NUMBERS | st.just("error") | st.just(INSTANT), max_size=4)
    return of_libraries | of_libraries | others


def dialect_line(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """A record as a line."""
    return st.builds(_dumped, records(texts), st.booleans())


def several_lines(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """A record over several lines, with what may stand around it, and sometimes without its end."""
    return st.builds(
        lambda record, ascii_only, around, cut: (
            around[0] + (whole := _dumped(record, ascii_only, 1))[: len(whole) - cut] + around[1]
        ),
        records(texts),
        st.booleans(),
        st.sampled_from(_AROUND),
        st.sampled_from([0, 0, 0, 1, 2]),
    )  # fmt: skip


def json_in_text(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """A record at the end of a line of text."""
    heads = [
        "2026-11-18 10:01:00 ERROR shop.cart: ",
        "2026-11-18 10:01:00 INFO ",
        "2026-11-18 10:01:30 WARN order {id} took 3 ms ",
        "app: ",
        "password=x ",
        "password: ",
        "ERROR:root:gone ",
        "",
    ]
    return st.builds(
        lambda head, text, record, ascii_only, end: (
            (head + text.replace("\n", " ")).encode("utf-8", "replace") + _dumped(record, ascii_only) + end
        ),
        st.sampled_from(heads), st.just("") | texts, records(texts), st.booleans(), st.sampled_from(_ENDS),
    )  # fmt: skip
