"""What alerts keep in the store: states and deliveries. A leaf that the engine, the store and the hooks share."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

Phase = Literal["ok", "pending", "firing"]
NEVER = 2**63 - 1  # an instant (Unix ns)


class SavedBucket(NamedTuple):
    """One bucket of a window: its events, all events beside them (for a ratio), the id of the last. A negative one is
    bucket -1 - `bucket` of the last day (for a spike).
    """

    bucket: int
    events: int
    total: int
    event_id: int


class SavedState(msgspec.Struct):
    """A state of a rule as the store remembers it; `rows` are its buckets: when saving those that have
    changed, or with `whole` all that the store is to have.
    """

    rule: str
    key: str  # JSON object
    phase: Phase = "ok"
    since: int = 0
    started_at: int = 0
    value: float = 0.0
    notified: bool = False
    repeat_at: int = NEVER
    repeats: int = 0
    quiet: str = ""
    rows: list[SavedBucket] = []
    whole: bool = False


class Delivery(msgspec.Struct):
    """One hook to be told of one change."""

    delivery_id: str
    rule: str
    hook: str
    key: str | None  # None: it speaks for several keys, and keeps its place among all of its rule
    change: str  # firing | repeat | resolved
    created: int
    document: str  # JSON, what the hook gets
    id: int = 0  # of its row: the order in which it was made
    attempts: int = 0  # that ended
    next_attempt: int = 0  # not before this, Unix ns


class DeliveryOutcome(msgspec.Struct):
    """How one attempt at a delivery ended."""

    id: int
    state: str  # waiting | delivered | dead
    attempts: int
    next_attempt: int
    at: int
    result: str  # `exit 1`, `timeout`, `HTTP 503`
    output: str


class HistoryRow(NamedTuple):
    """A row of `alert_history`."""

    rule: str
    key: str
    state: str
    time: int
    value: float
    threshold: float
    quiet: str


class AlertWrites(msgspec.Struct):
    """Everything about alerts that one transaction stores."""

    saved: list[SavedState] = []
    gone: list[tuple[str, str]] = []  # rule and key of states given up
    history: list[HistoryRow] = []
    deliveries: list[Delivery] = []
    outcomes: list[DeliveryOutcome] = []
    hooks: dict[str, str] = {}  # name -> JSON: circuit and last error
    evicted: dict[str, int] = {}  # rule -> states given up so far
    expired: list[tuple[str, int, int]] = []  # rule, first and last bucket of what is over

    def __bool__(self) -> bool:
        return any((self.saved, self.gone, self.history, self.deliveries, self.outcomes, self.hooks, self.expired))
