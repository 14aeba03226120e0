"""Hands deliveries to hooks, on the event loop: in order per key, so many at a time, again when they fail.

A delivery ends as `delivered` or `dead`. Until the store knows of its end it may be made again, by this process or
the next, under the same delivery id: at least once.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from agent.core.errors import SidelogError
from agent.core.metrics import AgentCounters
from agent.core.outbox import Delivery, DeliveryOutcome
from agent.hooks import program
from agent.hooks.program import HookResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.config import HookConfig

_LONGEST_NAP_NS = 300 * 10**9
_ASK_AGAIN_NS = 10**9  # whether hooks may run

_NOT_THIS_BODY = ("HTTP 400", "HTTP 415", "HTTP 422")  # what chats answer to a document that is not theirs
_OTHER_FORMATS = "does it want a body of its own, such as `format: slack`?"

log = structlog.get_logger("sidelog")


async def tell(config: HookConfig, document: str) -> HookResult:
    """Run a hook once with a document (JSON text)."""
    body = document.encode("utf-8", "surrogatepass")
    if config.exec:
        return await program.run(config.exec, body, program.environment(json.loads(document)), config.timeout)
    service = config.service
    assert service is not None
    try:
        headers = {name: secret.resolve_header() for name, secret in config.headers.items()}
        url = service.resolve()
        key = "" if service.key is None else service.key.resolve()
    except SidelogError as error:
        return HookResult(ok=False, said=error.message, error="SL110.hook")
    if service.format != "generic":
        from agent.hooks import payloads  # noqa: PLC0415 - for the services alone

        url, body = payloads.request(service.format, json.loads(document), url, key)
    result = await program.post(url, headers, body, config.timeout)
    if service.format == "generic" and result.said in _NOT_THIS_BODY:
        result.said += f" ({_OTHER_FORMATS})"
    return result


class HookDispatcher:
    """All hooks of a running agent.

    Args:
        hooks: by name.
        finished: told how each attempt ended, to store it.
        changed: told a hook's state when it changes.
        report: notes own errors.
        clock: Unix ns.
        backoff: how long what has failed waits.
        metrics: where attempts are counted.
        may_run: whether a hook may be started at this moment; where not, it is asked again after a second.
    """

    def __init__(
        self,
        hooks: Mapping[str, HookConfig],
        *,
        finished: Callable[[DeliveryOutcome], None],
        changed: Callable[[str, Mapping[str, Any]], None],
        report: Callable[[SidelogError, bool], None],
        clock: Callable[[], int] = time.time_ns,
        backoff: Backoff | None = None,
        metrics: AgentCounters | None = None,
        may_run: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_run = may_run
        self._finished = finished
        self._changed = changed
        self._report = report
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._metrics = metrics or AgentCounters()
        self._configs = dict(hooks)
        self._queues: dict[str, _Queue] = {}
        self._known: set[int] = set()
        self._stopped = False

    def use(self, hooks: Mapping[str, HookConfig]) -> None:
        """Go on with these hooks; what waits for one that is gone is dead."""
        self._configs = dict(hooks)
        for queue in self._queues.values():
            self._pump(queue)

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries, in the order in which they were made; those that are here already are ignored."""
        touched = {}
        for delivery in deliveries:
            if delivery.id in self._known:
                continue
            self._known.add(delivery.id)
            queue = self._queues.get(delivery.hook)
            if queue is None:
                queue = self._queues[delivery.hook] = _Queue(delivery.hook, CircuitBreaker(backoff=self._backoff))
            queue.waiting[delivery.id] = delivery
            touched[delivery.hook] = queue
        for queue in touched.values():
            self._pump(queue)

    @property
    def busy(self) -> bool:
        """Whether a delivery waits or runs."""
        return any(queue.waiting for queue in self._queues.values())

    @property
    def has_untried(self) -> bool:
        """Whether a delivery waits or runs for the first time, of a hook that does not fail all the time."""
        return any(
            not delivery.attempts
            for queue in self._queues.values()
            for delivery in queue.waiting.values()
            if not queue.circuit.is_open
        )

    def open_circuits(self) -> dict[str, bool]:
        """Of each hook of the configuration, whether its circuit is open."""
        queues = self._queues
        return {hook: hook in queues and queues[hook].circuit.is_open for hook in self._configs}

    def rests(self, seconds: float) -> bool:
        """Whether nothing runs, and nothing that waits may be tried within so many seconds."""
        now = self._clock()
        return all(
            not queue.running and max(queue.circuit.blocks(now), queue.ready(now)[1]) > seconds * 1e9
            for queue in self._queues.values()
            if queue.waiting
        )

    def left(self) -> dict[str, int]:
        """How many deliveries of each hook are not made yet."""
        return {hook: len(queue.waiting) for hook, queue in self._queues.items() if queue.waiting}

    async def stop(self, patience_s: float) -> None:
        """Start nothing more, wait a little for what runs, then kill it: it is made again at the next start."""
        self._stopped = True
        tasks = [task for queue in self._queues.values() for task in queue.running.values()]
        for queue in self._queues.values():
            if queue.timer is not None:
                queue.timer.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=patience_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ one hook

    def _pump(self, queue: _Queue) -> None:
        """Start what may start, and come back when more may."""
        config = self._configs.get(queue.hook)
        if self._stopped:
            return
        now = self._clock()
        if config is None:
            self._bury(queue, now)
            return
        if queue.timer is not None:
            queue.timer.cancel()
            queue.timer = None
        nap = queue.circuit.blocks(now) if self._may_run() else _ASK_AGAIN_NS
        if not nap:
            room = (1 if queue.circuit.is_open else config.concurrency) - len(queue.running)
            ready, nap = queue.ready(now)
            if queue.circuit.is_open:  # one that fails for its own reasons must not be what always decides
                ready.sort(key=lambda delivery: delivery.attempts)
            for delivery in ready[: max(0, room)]:
                task = asyncio.get_running_loop().create_task(self._attempt(queue, delivery, config))
                queue.running[delivery.id] = task
        if nap:
            delay_s = min(nap, _LONGEST_NAP_NS) / 1e9
            queue.timer = asyncio.get_running_loop().call_later(delay_s, self._pump, queue)

    async def _attempt(self, queue: _Queue, delivery: Delivery, config: HookConfig) -> None:
        try:
            result = await tell(config, delivery.document)
        except asyncio.CancelledError:
            queue.running.pop(delivery.id, None)
            raise
        except Exception as error:
            log.exception("a hook's run failed in the agent", hook=queue.hook)
            result = HookResult(ok=False, said=f"{type(error).__name__}: {error}")
        queue.running.pop(delivery.id, None)
        self._settle(queue, delivery, result, config)
        self._pump(queue)

    def _settle(self, queue: _Queue, delivery: Delivery, result: HookResult, config: HookConfig) -> None:
        now = self._clock()
        delivery.attempts += 1
        if result.ok:
            state = "delivered"
        elif delivery.attempts > config.retries or not result.retryable:
            state = "dead"
        else:
            state = "waiting"
            delivery.next_attempt = now + self._backoff.retry_after_ns(delivery.attempts)
        self._metrics.count_delivery(queue.hook, "failed" if state == "waiting" else state)
        if state != "waiting":
            del queue.waiting[delivery.id]
        self._finished(
            DeliveryOutcome(
                delivery.id, state, delivery.attempts, delivery.next_attempt, now, result.said, result.output
            )
        )
        if state == "dead":
            self._known.discard(delivery.id)  # it may come back
        log.info(
            "hook ran", hook=queue.hook, rule=delivery.rule, change=delivery.change, result=result.said, state=state
        )
        self._judge(queue, delivery, result, state, now)

    def _judge(self, queue: _Queue, delivery: Delivery, result: HookResult, state: str, now: int) -> None:
        """Keep the circuit, and say what a person should know."""
        circuit, hook = queue.circuit, queue.hook
        if result.ok:
            if circuit.succeeded() or queue.faults:
                self._changed(hook, {"circuit": "closed", "failures": 0, "last_error": None})
            for code in queue.faults:
                self._report(SidelogError(code, "run hook", hook, ""), False)  # noqa: FBT003
            queue.faults.clear()
            return
        opened = result.retryable and circuit.failed(now)  # what cannot even begin says nothing of other deliveries
        shown = "open" if circuit.is_open else "closed"
        self._changed(hook, {"circuit": shown, "failures": circuit.failures, "last_error": result.said})
        if result.error:
            self._fault(queue, SidelogError.of(result.error, hook, said=result.said))
        if opened:
            wait_s = (circuit.until - now) // 10**9
            self._fault(
                queue, SidelogError.of("SL704", hook, failures=circuit.failures, said=result.said, wait_s=wait_s)
            )
        if state == "dead":
            facts = {name: getattr(delivery, name) for name in ("rule", "change", "attempts", "delivery_id")}
            self._fault(queue, SidelogError.of("SL703", hook, said=result.said, **facts))

    def _fault(self, queue: _Queue, error: SidelogError) -> None:
        queue.faults.add(error.code)
        self._report(error, True)  # noqa: FBT003

    def _bury(self, queue: _Queue, now: int) -> None:
        for delivery in [one for one in queue.waiting.values() if one.id not in queue.running]:
            del queue.waiting[delivery.id]
            self._known.discard(delivery.id)
            self._metrics.count_delivery(queue.hook, "dead")
            said = f"the configuration has no hook {queue.hook}"
            self._finished(DeliveryOutcome(delivery.id, "dead", delivery.attempts, 0, now, said, ""))


class _Queue:
    """What waits for one hook."""

    def __init__(self, hook: str, circuit: CircuitBreaker) -> None:
        self.hook = hook
        self.waiting: dict[int, Delivery] = {}  # also what runs; by id
        self.running: dict[int, asyncio.Task[None]] = {}
        self.circuit = circuit
        self.faults: set[str] = set()  # codes of the conditions that were reported
        self.timer: asyncio.TimerHandle | None = None

    def ready(self, now: int) -> tuple[list[Delivery], int]:
        """The deliveries that may start, oldest first, and how many ns until another may; 0 when that depends on one
        that runs.

        One waits for all before it that speak for the same key of the same rule, so that "resolved" never overtakes
        "firing"; one that speaks for several keys keeps its place among all of its rule.
        """
        taken: set[tuple[str, str | None]] = set()
        ready, nap = [], 0
        for _, delivery in sorted(self.waiting.items()):
            lane = (delivery.rule, delivery.key)
            whole_rule = (delivery.rule, None)
            any_key = (delivery.rule, "")
            free = not ({lane, whole_rule} & taken) and not (delivery.key is None and any_key in taken)
            taken |= {lane, any_key}
            if not free or delivery.id in self.running:
                continue
            if delivery.next_attempt <= now:
                ready.append(delivery)
            else:
                wait = delivery.next_attempt - now
                nap = wait if not nap else min(nap, wait)
        return ready, nap


# ---------------------------------------------------------------- after failures


OPENS_AFTER = 5  # failures in a row, of whichever deliveries
_JITTER = 0.2  # so that hooks that failed together do not come back together


class Backoff(msgspec.Struct, frozen=True):
    """How long a failed delivery and an open circuit wait, in ns; each doubles up to its longest."""

    first_retry_ns: int = 10**9
    longest_retry_ns: int = 300 * 10**9
    first_pause_ns: int = 30 * 10**9
    longest_pause_ns: int = 300 * 10**9

    def retry_after_ns(self, attempts: int) -> int:
        """How long to wait after so many failed attempts, a fifth more or less."""
        pause = min(self.first_retry_ns << min(attempts - 1, 20), self.longest_retry_ns)
        return round(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  no secret


class CircuitBreaker(msgspec.Struct):
    """`closed`: runs go through. `open`: none do until the pause is over, then one at a time (`half-open`) decides."""

    failures: int = 0  # in a row
    opened: int = 0  # times in a row that it was opened
    until: int = 0  # Unix ns
    backoff: Backoff = Backoff()

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return self.opened > 0

    def blocks(self, now: int) -> int:
        """How long nothing may run, in ns; a clock that was set back does not make it longer than its pause."""
        return min(max(0, self.until - now), self.backoff.longest_pause_ns) if self.is_open else 0

    def failed(self, now: int) -> bool:
        """Note a failure; whether it opened the circuit."""
        self.failures += 1
        if self.failures < OPENS_AFTER:
            return False
        pause = min(self.backoff.first_pause_ns << min(self.opened, 10), self.backoff.longest_pause_ns)
        self.opened += 1
        self.until = now + pause
        return True

    def succeeded(self) -> bool:
        """Note a success; whether anything was wrong before."""
        was = self.failures > 0
        self.failures = self.opened = self.until = 0
        return was
