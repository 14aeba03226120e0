"""The dispatcher with real programs and a real HTTP server: order, retries, concurrency, circuit."""

import asyncio
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent.alert.document import example
from agent.config import HookConfig, Secret
from agent.config.schema import WebhookConfig
from agent.core.metrics import AgentCounters
from agent.core.outbox import Delivery
from agent.hooks import dispatch
from agent.hooks.dispatch import OPENS_AFTER, Backoff, CircuitBreaker, HookDispatcher, tell
from tests.hooks.test_program import script

S = 10**9


def delivery(number, *, key="{}", rule="r", hook="page", change="firing", **facts):
    document = {
        "rule": rule, "state": change, "severity": "info", "key": {}, "value": 1, "threshold": 1,
        "delivery_id": f"d{number}",
    }  # fmt: skip
    return Delivery(f"d{number}", rule, hook, key, change, 0, json.dumps(document), id=number, **facts)


class Told:
    """What the dispatcher says to the store."""

    def __init__(self):
        self.outcomes, self.hooks, self.reports = [], [], []

    def states(self):
        return [(outcome.id, outcome.state) for outcome in self.outcomes]


def dispatched(told, hooks, deliveries, clock=None, *, until=None, backoff=None):
    """Run a dispatcher until nothing is left to do, or a condition holds."""

    async def work():
        dispatcher = HookDispatcher(
            hooks,
            finished=told.outcomes.append,
            changed=lambda hook, facts: told.hooks.append((hook, facts["circuit"])),
            report=lambda error, active=True: told.reports.append((error.code, error.subject, active)),
            **({"clock": clock} if clock else {}),
            backoff=backoff,
        )
        dispatcher.add(deliveries)
        dispatcher.add(deliveries)  # once more is nothing
        async with asyncio.timeout(50):
            while dispatcher.busy and not (until is not None and until()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await dispatcher.stop(0.0)
        return dispatcher

    return asyncio.run(work())


QUICK = Backoff(first_retry_ns=2_000_000, first_pause_ns=50_000_000)


def test_deliveries_of_a_key_keep_their_order_also_when_the_first_fails(tmp_path):
    hook = script(
        tmp_path,
        f'echo $SIDELOG_DELIVERY_ID >> {tmp_path}/ran; [ "$(wc -l < {tmp_path}/ran)" -gt 2 ]',
    )
    told = Told()
    made = [delivery(1), delivery(2, change="resolved")]
    dispatched(told, {"page": HookConfig(exec=[hook], concurrency=4)}, made, backoff=QUICK)
    assert (tmp_path / "ran").read_text().split() == ["d1", "d1", "d1", "d2"]
    assert told.states() == [(1, "waiting"), (1, "waiting"), (1, "delivered"), (2, "delivered")]
    assert [outcome.attempts for outcome in told.outcomes] == [1, 2, 3, 1]
    assert told.hooks[-1] == ("page", "closed")


def test_other_keys_do_not_wait_for_one_that_fails_and_a_common_page_waits_for_all(tmp_path):
    hook = script(
        tmp_path,
        f"echo $SIDELOG_DELIVERY_ID >> {tmp_path}/ran; [ $SIDELOG_DELIVERY_ID != d1 ] || [ -e {tmp_path}/mended ]",
    )
    told = Told()
    keys = ["a", "b", None, "c"]
    made = [delivery(number, key=key) for number, key in enumerate(keys, 1)]
    hooks = {"page": HookConfig(exec=[hook], retries=100)}

    def after_two_failures():
        if [one for one in told.states() if one == (1, "waiting")][1:] and (2, "delivered") in told.states():
            (tmp_path / "mended").touch()
        return False

    dispatched(told, hooks, made, until=after_two_failures, backoff=QUICK)
    order = (tmp_path / "ran").read_text().split()
    assert order[0] == "d1"
    assert order.index("d2") < len(order) - 3  # before the run of d1 that goes well
    assert order[-3:] == ["d1", "d3", "d4"]


def test_no_more_run_at_a_time_than_allowed(tmp_path):
    hook = script(
        tmp_path,
        f"cd {tmp_path}; mkdir $$.on; ls -d *.on | wc -l >> together; sleep 0.1; rmdir $$.on",
    )
    told = Told()
    made = [delivery(number, key=str(number)) for number in range(1, 9)]
    dispatched(told, {"page": HookConfig(exec=[hook], concurrency=2)}, made)
    together = [int(line) for line in (tmp_path / "together").read_text().split()]
    assert len(together) == 8
    assert max(together) == 2


def test_one_that_fails_to_the_end_is_dead_and_the_next_goes_on(tmp_path):
    hook = script(tmp_path, "echo no luck; [ $SIDELOG_DELIVERY_ID = d2 ]")
    told = Told()
    dispatched(told, {"page": HookConfig(exec=[hook], retries=1)}, [delivery(1), delivery(2)], backoff=QUICK)
    assert told.states() == [(1, "waiting"), (1, "dead"), (2, "delivered")]
    assert (told.outcomes[1].result, told.outcomes[1].output) == ("exit 1", "no luck\n")
    assert told.reports == [("SL703", "page", True), ("SL703", "page", False)]


def test_a_hook_that_keeps_failing_opens_its_circuit_and_a_success_closes_it(tmp_path):
    hook = script(tmp_path, f"echo x >> {tmp_path}/ran; [ $(wc -l < {tmp_path}/ran) -gt {OPENS_AFTER + 1} ]")
    told = Told()
    dispatched(
        told,
        {"page": HookConfig(exec=[hook], retries=50, concurrency=3)},
        [delivery(1), delivery(2, key="k")],
        backoff=QUICK,
    )
    assert {one for one in told.states() if one[1] != "waiting"} == {(1, "delivered"), (2, "delivered")}
    assert ("page", "open") in told.hooks
    assert told.hooks[-1] == ("page", "closed")
    assert ("SL704", "page", True) in told.reports
    assert told.reports[-1] == ("SL704", "page", False)


def test_what_can_never_start_is_dead_at_once_and_opens_no_circuit():
    told = Told()
    hooks = {"page": HookConfig(exec=["/bin/true", "x" * 200_000], retries=50)}
    many = range(1, 2 * OPENS_AFTER)
    dispatched(told, hooks, [delivery(one, key=f"{one}") for one in many])
    assert told.states() == [(one, "dead") for one in many]
    assert {one.attempts for one in told.outcomes} == {1}
    assert {circuit for _, circuit in told.hooks} == {"closed"}
    assert {code for code, _, _ in told.reports} == {"SL702", "SL703"}


def test_a_program_that_is_replaced_loses_no_delivery(tmp_path):
    """It is gone for a while, then there but not executable yet, then not safe yet."""
    told, hook = Told(), tmp_path / "hook"

    def next_step():
        """Each state stays until it was met, however many attempts there are between two looks."""
        result = told.outcomes[-1].result if told.outcomes else ""
        if not hook.exists():
            if told.outcomes:
                hook.write_text("#!/bin/sh\nexit 0\n")
                hook.chmod(0o600)
        elif "Permission denied" in result:
            hook.chmod(0o722)
        elif "written by others" in result:
            hook.chmod(0o700)
        return False

    hooks = {"page": HookConfig(exec=[str(hook)], retries=50)}
    dispatched(told, hooks, [delivery(1)], until=next_step, backoff=QUICK)
    assert told.states()[-1] == (1, "delivered")
    assert {state for _, state in told.states()[:-1]} == {"waiting"}
    said = " ".join(outcome.result for outcome in told.outcomes)
    assert all(word in said for word in ("No such file", "Permission denied", "written by others"))
    assert {("SL702", "page", True), ("SL702", "page", False)} <= set(told.reports)


def test_an_open_circuit_is_tried_with_what_was_tried_least(tmp_path):
    """One delivery that this hook never takes does not stand before those of other rules."""
    hook = script(tmp_path, f'[ "$SIDELOG_RULE" != poison ] || {{ echo x >> {tmp_path}/ran; exit 1; }}')
    told = Told()
    dispatched(
        told,
        {"page": HookConfig(exec=[hook], retries=OPENS_AFTER + 3)},
        [delivery(1, rule="poison", attempts=OPENS_AFTER - 1), delivery(2, rule="fine")],
        backoff=QUICK,
    )
    assert (2, "delivered") in told.states()
    assert told.states().index((2, "delivered")) <= 2


def test_a_hook_that_is_gone_from_the_configuration_buries_its_deliveries():
    told = Told()
    dispatched(told, {}, [delivery(1, hook="old")])
    assert set(told.states()) == {(1, "dead")}
    assert told.outcomes[0].result == "the configuration has no hook old"


def test_a_reload_takes_a_hook_away_and_stop_kills_what_runs(tmp_path):
    hook = script(tmp_path, f"touch {tmp_path}/on; sleep 600")
    told = Told()
    dispatched(told, {"page": HookConfig(exec=[hook])}, [delivery(1)], until=(tmp_path / "on").exists)
    assert told.outcomes == []  # it is made again at the next start
    metrics = AgentCounters()

    async def work():
        dispatcher = HookDispatcher({"page": HookConfig(exec=[hook])}, finished=told.outcomes.append,
                                changed=lambda *_: None, report=lambda *_: None, metrics=metrics)  # fmt: skip
        dispatcher.add([delivery(1), delivery(2)])
        assert len(asyncio.all_tasks()) == 2  # the first delivery's and this
        dispatcher.use({})
        assert told.states() == [(2, "dead")]
        assert metrics.deliveries == {"page": {"dead": 1}}
        await dispatcher.stop(0.0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(work())


def test_a_fault_of_ours_counts_as_a_failure_of_that_delivery_alone(tmp_path, monkeypatch):
    async def broken(config, document):
        raise ZeroDivisionError(document[:0])

    monkeypatch.setattr(dispatch, "tell", broken)
    told = Told()
    dispatched(told, {"page": HookConfig(exec=["/bin/true"], retries=0)}, [delivery(1)])
    assert told.outcomes[0].result == "ZeroDivisionError: "


def test_the_pause_doubles_up_to_five_minutes():
    for attempts, seconds in ((1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (90, 300)):
        assert 0.8 * seconds * S <= Backoff().retry_after_ns(attempts) <= 1.2 * seconds * S
    one, now = CircuitBreaker(), 0
    pauses = []
    for _ in range(OPENS_AFTER + 5):
        if one.failed(now):
            pauses.append((one.until - now) // S)
            now = one.until
    assert pauses == [30, 60, 120, 240, 300, 300]
    assert one.blocks(-(10**18)) == 300 * S  # the clock was set back
    assert one.succeeded()
    assert not one.is_open


# ------------------------------------------------------------ webhooks


class Receiver(BaseHTTPRequestHandler):
    """Answers with the status that the path names and keeps what came."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        if self.path == "/hang":
            self.server.released.wait(20)
        self.send_response(int(self.path.strip("/") or 200) if self.path != "/hang" else 200)
        if self.path == "/302":
            self.send_header("Location", "/200")
        answer = b"x" * 200_000 if self.path == "/500" else b"thanks"
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.released = [], threading.Event()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def posted(receiver, path, **settings):
    url = f"http://127.0.0.1:{receiver.server_address[1]}{path}"
    return asyncio.run(tell(HookConfig(webhook=Secret(literal=url), **settings), delivery(1).document))


def test_a_webhook_gets_the_document_and_its_headers(receiver, monkeypatch):
    monkeypatch.setenv("CHAT_TOKEN", "Bearer x")
    result = posted(receiver, "/204", headers={"Authorization": Secret(env="CHAT_TOKEN")})
    assert (result.ok, result.said) == (True, "HTTP 204")
    ((_, headers, body),) = receiver.got
    assert headers["Authorization"] == "Bearer x"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("sidelog/")
    assert body.decode() == delivery(1).document


@pytest.mark.parametrize(("path", "said"), [("/500", "HTTP 500"), ("/302", "HTTP 302"), ("/404", "HTTP 404")])
def test_what_is_not_2xx_is_a_failure_and_a_redirection_is_not_followed(receiver, path, said):
    result = posted(receiver, path)
    assert (result.ok, result.said) == (False, said)
    assert len(result.output) <= 65_536
    assert len(receiver.got) == 1


def test_a_chat_that_refuses_the_document_is_said_to_want_a_body_of_its_own(receiver):
    """A server of Slack's kind answers 400 to what has no text."""
    assert posted(receiver, "/400").said == "HTTP 400 (does it want a body of its own, such as `format: slack`?)"
    url = Secret(literal=f"http://127.0.0.1:{receiver.server_address[1]}/400")
    asked = tell(HookConfig(webhook=WebhookConfig(url=url, format="slack")), example("page"))
    assert asyncio.run(asked).said == "HTTP 400"


def test_a_receiver_that_hangs_ends_at_the_timeout(receiver):
    assert posted(receiver, "/hang", timeout=0.3).said == "timeout after 0.3s"


def test_a_receiver_that_is_not_there_and_a_missing_secret_are_said_without_the_url(receiver):
    receiver.server_close()
    port = receiver.server_address[1]
    url = f"http://127.0.0.1:{port}/token-abc"
    result = asyncio.run(tell(HookConfig(webhook=Secret(literal=url)), delivery(1).document))
    assert not result.ok
    assert "token-abc" not in result.said
    result = asyncio.run(tell(HookConfig(webhook=Secret(env="NO_SUCH_VARIABLE")), delivery(1).document))
    assert (result.ok, result.error) == (False, "SL110.hook")


@pytest.mark.parametrize("token", ["Bearer s3cret\nmore", "s3cret\r\nX: y", " s3cret", "s3crét"])
def test_a_secret_that_no_header_can_have_is_never_said(receiver, tmp_path, token):
    """The library that sends it would repeat it in its error, and so would the store, `status` and the log."""
    (tmp_path / "token").write_text(token)
    result = posted(receiver, "/200", headers={"Authorization": Secret(file=tmp_path / "token", place="c: headers.A")})
    assert (result.ok, result.error) == (False, "SL110.hook")
    assert result.said == f"c: headers.A: what <secret file:{tmp_path}/token> holds cannot be the value of a header"
    assert receiver.got == []


@pytest.mark.parametrize(
    "url", ["https://user:s3cret/x@host/", "http://h/s3cret\nx", "s3cret://h", "https://[::s3cret]"]
)
def test_an_address_that_is_none_is_never_said_and_not_tried_again(url):
    result = asyncio.run(tell(HookConfig(webhook=Secret(literal=url)), delivery(1).document))
    assert (result.ok, result.retryable) == (False, False)
    assert "s3cret" not in result.said


def test_what_is_left_is_counted_and_a_hook_that_only_fails_is_not_waited_for(tmp_path):
    """As `run --once` asks: each delivery is tried once, and retries are not what keeps it."""
    hooks = {"good": HookConfig(exec=[script(tmp_path, "exit 0")]), "bad": HookConfig(exec=["/bin/false"])}
    told, seen = Told(), []

    async def work():
        dispatcher = HookDispatcher(
            hooks, finished=told.outcomes.append, changed=lambda *_: None, report=lambda *_: None,
            backoff=Backoff(first_retry_ns=3600 * S),
        )  # fmt: skip
        assert not dispatcher.has_untried
        dispatcher.add([delivery(1, hook="good"), delivery(2, hook="bad"), delivery(3, hook="bad", key="{1}")])
        async with asyncio.timeout(50):
            while dispatcher.has_untried:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        seen.append(dispatcher.busy)
        assert (dispatcher.rests(60.0), dispatcher.rests(7200.0)) == (True, False), "an hour until the next try"
        await dispatcher.stop(0.0)
        return dispatcher.left()

    assert asyncio.run(work()) == {"bad": 2}
    assert seen == [True]
    assert sorted(told.states()) == [(1, "delivered"), (2, "waiting"), (3, "waiting")]


def test_a_hook_whose_circuit_is_open_is_not_waited_for():
    async def work():
        dispatcher = HookDispatcher(
            {"bad": HookConfig(exec=["/bin/false"], concurrency=1)}, finished=lambda _: None,
            changed=lambda *_: None, report=lambda *_: None, backoff=Backoff(first_retry_ns=3600 * S),
        )  # fmt: skip
        assert dispatcher.rests(0.0), "nothing to do"
        dispatcher.add([delivery(number, hook="bad", key=f"{number}") for number in range(1, 20)])
        assert not dispatcher.rests(0.0), "one runs"
        async with asyncio.timeout(50):
            while dispatcher.has_untried:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert dispatcher.rests(10.0), "the circuit is open for half a minute"
        await dispatcher.stop(0.0)
        return dispatcher.left()

    assert asyncio.run(work()) == {"bad": 19}
