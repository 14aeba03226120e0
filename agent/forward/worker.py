"""Forwards to one target in a thread of its own: what is read is noted, sent until it is acknowledged, then settled.

A target that is down, hangs or refuses concerns nobody else. Attempts come after 1 s, doubling to 30 s. What holds
between processes stands in the store (`store.forwarding`): whoever comes next sends again what was on its way.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from agent import __version__
from agent.core.errors import SidelogError, StoreError
from agent.forward.claim import AgentClaim
from agent.forward.clickhouse import AgentState, ClickHouseSender
from agent.forward.reading import BatchLimits, BatchReader
from agent.forward.settings import TargetReport
from agent.store import forwarding, outgoing
from agent.store.edit import editing
from agent.store.reader import get_meta, open_reader, reading

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from agent.config import ForwardConfig
    from agent.forward.clickhouse import TokenedPart
    from agent.forward.otlp import OtlpExporter
    from agent.forward.reading import Batch

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_OPEN_AFTER = 5  # failures in a row: the circuit is open
_LOOK_S = 0.25  # the longest that a batch which is due waits
_BESIDE_S = 1.0  # between two times that groups and the agent are sent
_IDLE_S = 30.0  # an agent with nothing to send is heard of so often
_REPEAT_LOG_S = 60.0
# What no password that is read anew and no other look at the tables helps.
_PASSING = frozenset({"SL650", "SL653", "SL654", "SL656"})
_CLAIM_S = 60.0  # between two looks whether another store has this agent's id, too

log = structlog.get_logger("sidelog")


class _Sending(threading.Thread):
    """Sends a batch beside whoever reads the next one."""

    def __init__(self, sender: ClickHouseSender, batch: Batch) -> None:
        super().__init__(name="forward-send", daemon=True)
        self._sender, self._batch = sender, batch
        self.refused: list[TokenedPart] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.refused = self._sender.send(self._batch)
        except Exception as error:  # noqa: BLE001 - it is raised by who waits for this
            self.error = error


class TargetWorker:
    """One target. `run` is the thread; all else may be called from any.

    Args:
        target: of the configuration.
        store: the path of the store.
        tail_wait_s: how long the newest event of a file is waited for.
        once: end as soon as all is forwarded.
    """

    def __init__(self, target: ForwardConfig, store: Path, tail_wait_s: float, *, once: bool = False) -> None:
        self.target = target
        self._store = store
        self._tail_wait_s = 0.0 if once else tail_wait_s
        self._once = once
        self._limits = BatchLimits(target.batch.events, target.batch.bytes)
        self.report = TargetReport(target.name)
        self._ended = threading.Event()
        self._failures = 0
        self._failing_since: float | None = None
        self._logged = ("", 0.0)
        self._connection: sqlite3.Connection | None = None
        self._reader: BatchReader | None = None
        self._sender: ClickHouseSender | OtlpExporter | None = None
        self._beside = -math.inf  # when groups and the agent were sent last; monotonic seconds
        self._beside_state: tuple[int, int] | None = None
        self._claim: AgentClaim | None = None
        self._ahead: tuple[int, int, Batch | None] | None = None  # what comes behind a position and changes
        self._claimed = -math.inf  # when it was looked at last; monotonic seconds

    def end(self) -> None:
        """Come to an end soon."""
        self._ended.set()

    def run(self) -> None:
        """Forward until `end`, or with `once` until all is forwarded."""
        pause_s = 0.0
        while not self._ended.wait(pause_s):
            try:
                pause_s = self.step()
                if self._once and pause_s > 0 and self.report.lag_events == 0:
                    break
            except StoreError as error:  # whatever it is, the agent meets it, too
                self._close()
                self._log(error)
                pause_s = _FIRST_PAUSE_S
            except SidelogError as error:
                self._close(sender=error.code not in _PASSING)
                pause_s = self._failed(error)
            except Exception as error:  # noqa: BLE001 - or this target would stand still, and nobody would know
                self._close()
                facts = {"kind": type(error).__name__, "why": str(error)}
                pause_s = self._failed(SidelogError.of("SL658.own", self.target.name, **facts))
        self._close()

    # ------------------------------------------------------------ one batch

    def step(self) -> float:
        """Send what is due, one batch at most; how many seconds nothing is due.

        Raises:
            SidelogError: it could not be sent.
        """
        if self.target.clickhouse is not None and time.monotonic() >= self._claimed + _CLAIM_S and not self._claim_id():
            return _FIRST_PAUSE_S
        known = self._known()
        if known is None:
            return _FIRST_PAUSE_S
        connection, target, agent = known
        with reading(self._store):
            reader = self._reader_of(agent)
            self._measure(connection, target.position)
            batch = self._batch(reader, target)
        if batch is None or not (batch.ids or self._is_due(batch)):
            return self._idle(connection, agent, target)
        if not batch.ids:
            self._settle(target, batch)
            return 0.0
        if not self._is_due(batch) and target.pending is None:
            return self._idle(connection, agent, target)
        if target.pending is None or target.pending != batch.pending:
            with editing(self._store) as edit:
                forwarding.begin(edit, target.name, batch.pending)
        self._send(batch, reader, target, agent)
        with reading(self._store):
            self._measure(connection, max(target.position, batch.pending.end if batch.pending.kind == "events" else 0))
        self._send_beside(connection, agent, _BESIDE_S)
        return 0.0

    def _known(self) -> tuple[sqlite3.Connection, forwarding.Target, str] | None:
        """The store's connection, and what it knows of the target and of this agent; None: whoever starts this is about
        to write it.
        """
        with reading(self._store):
            connection = self._connected()
            target = forwarding.read_target(connection, self.target.name)
            agent = forwarding.current_agent(connection)
        if target is None or target.removed is not None or agent is None:
            return None
        return connection, target, agent

    def _claim_id(self) -> bool:
        """See at the server, before the first batch and now and then, that no other store forwards under this agent's
        id, which may be another one afterwards; False: the store knows nothing of the target yet.
        """
        known = self._known()
        if known is None:
            return False
        connection, target, agent = known
        self._measure(connection, target.position)
        sender = self._sender_of(agent)
        assert isinstance(sender, ClickHouseSender)
        sender.check()
        if self._claim is None:
            self._claim = AgentClaim(self._store, self.target.name, sender.client)
            renewed = self._claim.take()
        else:
            renewed = self._claim.check()
        if renewed is not None:
            self._log(renewed)
        self._claimed = time.monotonic()
        return True

    def _batch(self, reader: BatchReader, target: forwarding.Target) -> Batch | None:
        pending = target.pending
        ahead, self._ahead = self._ahead, None
        if ahead is not None and pending is None and ahead[:2] == (target.position, target.changed):
            return ahead[2]
        if pending is not None and pending.agent == reader.agent:
            return reader.again(pending, target.position)
        return reader.next(target, self.target.match, self._limits)

    def _is_due(self, batch: Batch) -> bool:
        return self._once or batch.is_full or batch.waited_s >= self.target.batch.interval

    def _settle(self, target: forwarding.Target, batch: Batch) -> None:
        """Nothing of it is for this target."""
        changes = batch.pending.kind == "changes"
        if target.pending is None and batch.pending.end <= (target.changed if changes else target.position):
            return
        with editing(self._store) as edit:
            forwarding.pass_over(
                edit, target.name, 0 if changes else batch.pending.end, batch.pending.end if changes else 0
            )
            if target.pending is not None:
                forwarding.acknowledge(edit, target.name, batch.pending, (), time.time_ns())

    def _send(self, batch: Batch, reader: BatchReader, target: forwarding.Target, agent: str) -> None:
        sender = self._sender_of(agent)
        rejected = 0
        refused: list[tuple[int, str]] = []
        if isinstance(sender, ClickHouseSender):
            parts = self._send_and_read_on(sender, batch, reader, target)
            refused = [(one.event, one.why) for one in sender.sort_out(parts, batch, reader, target.position)]
        else:
            done = sender.send(batch.events)
            rejected = done.rejected
            if rejected:
                said = done.said or "nothing"
                events = len(batch.events)
                self._log(SidelogError.of("SL662.rejected", sender.url, rejected=rejected, events=events, said=said))
        names = {number for number, _ in refused}
        now = time.time_ns()
        with editing(self._store) as edit:
            for number, why in refused:
                at = outgoing.timestamp_of(edit, number)
                forwarding.note_refused(edit, target.name, number, at, detail=why, now=now)
            sent = [one for one in batch.ids if one not in names]
            forwarding.acknowledge(edit, target.name, batch.pending, sent, now, rejected=rejected + len(refused))
        if refused:
            error = SidelogError.of("SL660.refused", target.name, event=refused[-1][0], why=refused[-1][1])
            self.report.refusal = error.message
            self._log(error)
        self._succeeded()

    def _send_and_read_on(
        self, sender: ClickHouseSender, batch: Batch, reader: BatchReader, target: forwarding.Target
    ) -> list[TokenedPart]:
        """Send a batch; where more waits, read and encode the next one meanwhile, which takes as long."""
        if not batch.is_full or batch.pending.kind != "events":
            return sender.send(batch)
        sending = _Sending(sender, batch)
        sending.start()
        try:
            then = msgspec.structs.replace(target, position=batch.pending.end, pending=None)
            with reading(self._store):
                self._ahead = (then.position, then.changed, reader.next(then, self.target.match, self._limits))
        finally:
            sending.join()
        if sending.error is not None:
            self._ahead = None
            raise sending.error
        return sending.refused

    # ------------------------------------------------------------ beside events

    def _idle(self, connection: sqlite3.Connection, agent: str, target: forwarding.Target) -> float:
        """Nothing is to be sent now."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        state = (version, target.position)
        is_news = state != self._beside_state
        if self._send_beside(connection, agent, 0.0 if self._once else _BESIDE_S if is_news else _IDLE_S):
            self._beside_state = state
        if self._failures:
            with editing(self._store) as edit:
                forwarding.recover(edit, target.name)
            self._succeeded()
        return min(_LOOK_S, self.target.batch.interval / 4)

    def _send_beside(self, connection: sqlite3.Connection, agent: str, after_s: float) -> bool:
        """Send groups that have changed and the agent itself, if they have not been sent for so long; whether that was
        done.
        """
        now = time.monotonic()
        if now - self._beside < after_s:
            return False
        sender = self._sender_of(agent)
        if not isinstance(sender, ClickHouseSender):
            self._beside = now
            return True
        sender.check()
        with reading(self._store):
            sender.send_groups(connection)
            started = get_meta(connection, "run").get("started_at")
            target = forwarding.read_target(connection, self.target.name)
        sender.send_agent(
            AgentState(
                os.uname().nodename,
                __version__,
                started if isinstance(started, int) else 0,
                time.time_ns(),
                target.position if target is not None else 0,
                self.report.lag_events,
            )
        )
        self._beside = now + 20 * (time.monotonic() - now)  # what takes long is not done all the time
        return True

    def _measure(self, connection: sqlite3.Connection, position: int) -> None:
        self.report.lag_events = forwarding.lag(connection, position)[0]

    # ------------------------------------------------------------ failures

    def _succeeded(self) -> None:
        if self._failures:
            log.info("forwarding goes on", target=self.target.name)
        self._failures, self._failing_since, self._logged = 0, None, ("", 0.0)
        self.report.code = self.report.message = ""
        self.report.failing_s = 0.0

    def _failed(self, error: SidelogError) -> float:
        """Note a failure; how long to wait before the next attempt."""
        now = time.monotonic()
        self._failures += 1
        self._failing_since = self._failing_since or now
        self.report.code, self.report.message = error.code, error.message
        self.report.failing_s = now - self._failing_since
        self._log(error)
        circuit = "open" if self._failures >= _OPEN_AFTER else "closed"
        with contextlib.suppress(StoreError), editing(self._store) as edit:
            forwarding.fail(edit, self.target.name, error.document(), time.time_ns(), circuit=circuit)
        pause_s: float = min(_FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE_S)
        asked_s: float = getattr(error, "wait_s", None) or 0.0  # by an OTLP receiver
        return max(pause_s * random.uniform(0.75, 1.0), asked_s)  # noqa: S311 - no secret

    def _log(self, error: SidelogError) -> None:
        said, at = self._logged
        if error.message == said and time.monotonic() - at < _REPEAT_LOG_S:
            return
        self._logged = (error.message, time.monotonic())
        log.warning(error.message, code=error.code, target=self.target.name, hint=error.hint)

    # ------------------------------------------------------------ what is open

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_reader(self._store)
        return self._connection

    def _reader_of(self, agent: str) -> BatchReader:
        if self._reader is None or self._reader.agent != agent:
            encoded = self.target.clickhouse is not None
            self._reader = BatchReader(self._connected(), agent, self._tail_wait_s, encoded=encoded)
        return self._reader

    def _sender_of(self, agent: str) -> ClickHouseSender | OtlpExporter:
        if self._sender is None or self._sender.agent != agent:
            self._close_sender()
            self._sender = self._make_sender(agent)
        return self._sender

    def _make_sender(self, agent: str) -> ClickHouseSender | OtlpExporter:
        if self.target.clickhouse is not None:
            return ClickHouseSender(self.target, agent)
        from agent.forward.otlp import OtlpExporter  # noqa: PLC0415 - an extra

        return OtlpExporter(self.target, agent)

    def _close_sender(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = self._claim = None
            self._claimed = -math.inf

    def _close(self, *, sender: bool = True) -> None:
        """Close what is open; what is known of the server stays where it was only out of reach."""
        if sender:
            self._close_sender()
        self._reader = self._ahead = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
