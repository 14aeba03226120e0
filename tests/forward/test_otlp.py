"""OTLP export: what a receiver gets of an event, and what becomes of events that it does not take."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from email.utils import formatdate

import pytest

from agent.config import ForwardConfig, Secret
from agent.core.errors import ConfigError, SidelogError
from agent.core.fields import Profile
from agent.core.stored import FileInfo, StoredEvent
from agent.forward.otlp import OtlpError, OtlpExporter, endpoint
from agent.forward.otlprequest import encode
from tests.forward.otlp_receivers import Answer, Receiver, Rotel, partial, records_of
from tests.needs import needs

AGENT = "0123456789abcdef0123456789abcdef"
NS = 1_796_000_000_123_456_789


def event(number=1, *, record=None, resource=None, path="/var/log/shop/app.log", **more):
    fields = {"message": "order lost", "logger": "shop.db", "level": "error"} if record is None else record
    text = fields if isinstance(fields, str) else json.dumps(fields)
    about = {"host.name": "web1", "service.name": "shop"} if resource is None else resource
    file = FileInfo(7, "shop", path, about, more.pop("profile", Profile()))
    row = {
        "timestamp": NS + number,
        "observed": NS + 9,
        "severity": 17,
        "group": None,
        "raw": None,
        "error": None,
    } | more
    return StoredEvent(
        (
            *(number, row["timestamp"], row["observed"], row["severity"], 7, number * 100),
            *(row["group"], text, row["raw"], row["error"]),
        ),
        file,
    )


def plain(value):
    """A value of OTLP as one of Python."""
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def attributes(record):
    return {pair.key: plain(pair.value) for pair in record.attributes}


@pytest.fixture
def receiver():
    with Receiver() as one:
        yield one


@pytest.fixture
def exporter(receiver):
    one = OtlpExporter(ForwardConfig(name="otel", otlp=receiver.url), AGENT, timeout_s=5)
    yield one
    one.close()


def test_an_event_is_a_log_record_of_the_data_model(receiver, exporter):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    record = {
        "message": "order lost",
        "logger": "shop.db",
        "trace_id": trace,
        "span_id": span,
        "order": {"id": 7, "tags": ["a", 1.5, True, None], "empty": {}},
        "big": 2**63,
        "small": -(2**63),
    }
    done = exporter.send([event(3, record=record, group=12, error="no instant")])
    assert (done.accepted, done.rejected, done.said) == (1, 0, "")
    (logs,) = receiver.requests[0].resource_logs
    assert attributes(logs.resource) == {"host.name": "web1", "service.name": "shop"}
    assert logs.scope_logs[0].scope.name == "shop.db"
    (sent,) = logs.scope_logs[0].log_records
    assert (sent.time_unix_nano, sent.observed_time_unix_nano) == (NS + 3, NS + 9)
    assert (sent.severity_number, sent.severity_text, sent.body.string_value) == (17, "ERROR", "order lost")
    assert (sent.trace_id.hex(), sent.span_id.hex()) == (trace, span)
    assert attributes(sent) == {
        "log.file.path": "/var/log/shop/app.log",
        "log.file.name": "app.log",
        "log.record.uid": f"{AGENT}-3",
        "sidelog.source": "shop",
        "sidelog.offset": 300,
        "sidelog.group": 12,
        "sidelog.parse_error": "no instant",
        "logger": "shop.db",
        "order": {"id": 7, "tags": ["a", 1.5, True, None], "empty": {}},
        "big": str(2**63),
        "small": -(2**63),
    }
    assert receiver.headers[0]["path"] == "/v1/logs"
    assert receiver.headers[0]["Content-Type"] == "application/x-protobuf"
    assert receiver.headers[0]["Content-Encoding"] == "gzip"


def test_events_of_one_resource_and_logger_stand_together_in_their_order(receiver, exporter):
    loggers = ["a", "b", "a", "", "b"]
    records = [{"message": str(n), "logger": name} if name else {"message": str(n)} for n, name in enumerate(loggers)]
    others = [event(9, resource={"host.name": "web2"})]
    exporter.send([event(n, record=record) for n, record in enumerate(records)] + others)
    first, second = receiver.requests[0].resource_logs
    found = {scope.scope.name: [one.body.string_value for one in scope.log_records] for scope in first.scope_logs}
    assert found == {"a": ["0", "2"], "b": ["1", "4"], "": ["3"]}
    assert attributes(second.resource) == {"host.name": "web2"}


@pytest.mark.parametrize(
    "trace", ["abc", "0" * 32, "4bf92f3577b34da6a3ce929d0e0e473g", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"]
)
def test_a_trace_of_another_form_is_an_attribute(receiver, exporter, trace):
    exporter.send([event(record={"message": "m", "trace_id": trace})])
    (sent,) = receiver.records()
    assert sent.trace_id == b""
    assert attributes(sent)["trace_id"] == trace


def test_texts_that_utf8_has_no_form_for_are_sent(receiver, exporter):
    exporter.send([event(record='{"message": "half \\ud83d", "k\\udc00": "a\\u0000b \\ud83d\\ude00"}')])
    (sent,) = receiver.records()
    assert sent.body.string_value == "half \ufffd"
    assert attributes(sent)["k\ufffd"] == "a\0b 😀"


def test_an_instant_before_1970_is_none(receiver, exporter):
    exporter.send([event(timestamp=-5)])
    assert receiver.records()[0].time_unix_nano == 0


def test_events_go_to_v1_logs_below_the_address():
    assert endpoint("http://h:4318") == endpoint("http://h:4318/") == endpoint("http://h:4318/v1/logs")
    assert endpoint("https://h/otlp/") == "https://h/otlp/v1/logs"


def test_headers_carry_secrets(receiver, monkeypatch):
    target = ForwardConfig(name="otel", otlp=receiver.url, headers={"Authorization": Secret(env="OTLP_TOKEN")})
    exporter = OtlpExporter(target, AGENT)
    with pytest.raises(ConfigError, match="OTLP_TOKEN"):
        exporter.send([event()])
    monkeypatch.setenv("OTLP_TOKEN", "Bearer s3cret")
    exporter.send([event()])
    exporter.close()
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_receiver_says_how_long_to_wait(receiver, exporter, status):
    receiver.answers += [
        Answer(status, b"later", (("Retry-After", "7"),)),
        Answer(status, b"", (("Retry-After", formatdate(time.time() + 60, usegmt=True)),)),
        Answer(status, b"", (("Retry-After", "soon"),)),
        Answer(status, b"", (("Retry-After", "86400"),)),
    ]
    waits = []
    for _ in range(4):
        with pytest.raises(OtlpError) as refused:
            exporter.send([event()])
        assert (refused.value.code, refused.value.retryable) == ("SL662", True)
        waits.append(refused.value.wait_s)
    assert (waits[0], waits[2], waits[3]) == (7, None, 300)
    assert 50 < waits[1] <= 60
    assert exporter.send([event()]).accepted == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "headers"), (403, "headers"), (404, "4318"), (405, "4318"), (500, "store"), (302, "store")],
)
def test_what_refuses_for_another_reason_than_the_events_keeps_them(receiver, exporter, status, words):
    receiver.answers.append(Answer(status, b"\x08\x07\x12\x0cno\nsuch user"))
    with pytest.raises(OtlpError) as refused:
        exporter.send([event()])
    assert f"HTTP {status}, no such user" in str(refused.value)
    assert words in refused.value.hint
    assert receiver.records() == []


def test_what_a_partial_success_rejects_is_counted_and_not_sent_again(receiver, exporter):
    receiver.answers.append(partial(2, "timestamps too old"))
    done = exporter.send([event(n) for n in range(5)])
    assert (done.accepted, done.rejected, done.said) == (3, 2, "timestamps too old")
    assert len(receiver.requests) == 1
    receiver.answers.append(partial(0, "please send less"))
    done = exporter.send([event()])
    assert (done.accepted, done.rejected, done.said) == (1, 0, "please send less")


def test_too_large_a_request_is_sent_in_halves(receiver, exporter):
    receiver.decide = lambda request: Answer(413) if len(records_of(request)) > 3 else None
    assert exporter.send([event(n) for n in range(10)]).accepted == 10
    uids = [attributes(record)["log.record.uid"] for record in receiver.records()]
    assert uids == [f"{AGENT}-{n}" for n in range(10)]


def test_events_that_a_receiver_calls_bad_are_found_and_passed_over(receiver, exporter):
    receiver.decide = lambda request: (
        Answer(400, b"bad record") if any(one.body.string_value == "poison" for one in records_of(request)) else None
    )
    events = [event(n, record={"message": "poison" if n in (0, 6) else "good"}) for n in range(10)]
    done = exporter.send(events)
    assert (done.accepted, done.rejected) == (8, 2)
    assert "bad record" in done.said
    assert len(receiver.records()) == 8


def test_a_receiver_that_calls_everything_bad_gets_nothing_passed_over(receiver, exporter):
    receiver.decide = lambda _: Answer(400, b"cannot read protobuf")
    for count in (1, 50):
        with pytest.raises(OtlpError, match="cannot read protobuf"):
            exporter.send([event(n) for n in range(count)])
    assert len(receiver.headers) < 30


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"ok"])
def test_an_answer_that_is_none_of_otlp_keeps_the_events(receiver, exporter, body):
    receiver.answers.append(Answer(200, body, (("Content-Type", "text/html"),)))
    with pytest.raises(OtlpError, match="not as an OTLP receiver"):
        exporter.send([event()])


def test_answers_in_json_are_understood(receiver, exporter):
    json_type = (("Content-Type", "application/json"),)
    receiver.answers += [
        Answer(200, b'{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"no"}}', json_type),
        Answer(200, b'{"status":"ok"}', json_type),
        Answer(200, b"[1", json_type),
    ]
    assert [exporter.send([event()]).rejected for _ in range(3)] == [1, 0, 0]


def test_a_receiver_that_hangs_or_is_not_there_is_named(receiver):
    released = threading.Event()
    receiver.decide = lambda _: released.wait(10) and None
    exporter = OtlpExporter(ForwardConfig(name="otel", otlp=receiver.url), AGENT, timeout_s=0.2)
    with pytest.raises(OtlpError, match="cannot be reached: timed out"):
        exporter.send([event()])
    released.set()
    exporter.close()
    gone = OtlpExporter(ForwardConfig(name="otel", otlp="http://127.0.0.1:1"), AGENT)
    with pytest.raises(OtlpError, match="Connection refused"):
        gone.send([event()])
    gone.close()


def test_no_certificate_file_is_named(tmp_path):
    target = ForwardConfig(name="otel", otlp="https://127.0.0.1:1", ca=tmp_path / "none.pem")
    with pytest.raises(OtlpError, match=r"none\.pem"):
        OtlpExporter(target, AGENT).send([event()])


def test_without_the_extra_it_says_how_to_get_it(tmp_path):
    """In an environment that has all of sidelog's libraries but those of the extra."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from agent.config import ForwardConfig\nfrom agent.forward.otlp import OtlpExporter\n"
        "OtlpExporter(ForwardConfig(name='o', otlp='http://127.0.0.1:1'), 'a')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs the Python package opentelemetry-proto" in done.stderr
    error = SidelogError.of("SL662.extra", "opentelemetry-proto")
    assert (error.hint, error.retryable) == ("pip install 'sidelog[otlp]'", False)


@needs("rotel")
def test_a_real_collector_passes_on_what_it_was_sent(tmp_path, receiver):
    events = [event(n, record={"message": f"m {n}", "nested": {"n": [n, {"deep": True}]}}) for n in range(500)]
    with Rotel(tmp_path, receiver.url) as rotel:
        exporter = OtlpExporter(ForwardConfig(name="otel", otlp=rotel.url), AGENT)
        assert exporter.send(events).accepted == 500
        exporter.close()
        came = receiver.wait_for(500)
    ours = [records_of(type(receiver.requests[0]).FromString(encode([one], AGENT)))[0] for one in events]
    key = lambda record: record.time_unix_nano  # noqa: E731
    assert [(one.body, list(one.attributes), one.severity_number) for one in sorted(came, key=key)] == [
        (one.body, list(one.attributes), one.severity_number) for one in sorted(ours, key=key)
    ]
