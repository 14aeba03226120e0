"""The numbers of a running agent, in Prometheus' terms, and the message in which they go to who serves them.

Counters are of one process and never go back, whatever is reloaded or begun anew in it. Each is written by one thread
and read by others, which see the last value or the one before; nothing here waits for a lock.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

# Upper bounds of the buckets, in seconds: a commit takes 1 ms on a fast disk; from 2.5 s on watchdogs look.
COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# How an attempt at a delivery ends: `failed` is tried again, `dead` is not.
RESULTS = ("delivered", "failed", "dead")
# Why bytes are in no event of a running agent; `docs/reliability.md` has what each means.
GAP_REASONS = ("over_long", "hole", "vacuumed", "truncated")


class SourceCounters(msgspec.Struct):
    """What was stored of one source since the agent has begun."""

    events: int = 0
    error_events: int = 0  # of severity ERROR and above
    read_bytes: int = 0
    parse_errors: int = 0
    gap_bytes: dict[str, int] = {}  # by reason


class Durations(msgspec.Struct):
    """A histogram of durations."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(COMMIT_BUCKETS_S) + 1))  # the last: beyond
    sum_s: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(COMMIT_BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


class AgentCounters(msgspec.Struct):
    """All counters of an agent. `sources` and `commits` belong to the writer thread, `deliveries` to the event loop."""

    sources: dict[str, SourceCounters] = {}
    commits: Durations = msgspec.field(default_factory=Durations)
    deliveries: dict[str, dict[str, int]] = {}  # hook -> one of `RESULTS` -> how many
    own_errors: dict[str, int] = {}  # by code

    def of_source(self, name: str) -> SourceCounters:
        """The counters of a source, made where it has none yet."""
        found = self.sources.get(name)
        if found is None:
            found = self.sources[name] = SourceCounters()
        return found

    def count_delivery(self, hook: str, result: str) -> None:
        """Count an attempt at a delivery."""
        results = self.deliveries.setdefault(hook, {})
        results[result] = results.get(result, 0) + 1


# ---------------------------------------------------------------- the message


class SourceLag(msgspec.Struct):
    """How far a source is behind: of all its files, and of the one that has waited longest."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


class SourceArchives(msgspec.Struct, frozen=True):
    """The archives of a source."""

    files: int = 0
    bytes: int = 0


class HealthProblem(msgspec.Struct, frozen=True):
    """A reason to call the agent unhealthy, or with `lasting` a finding that leaves it healthy."""

    code: str
    message: str
    hint: str = ""
    warning: bool = False


class Vitals(msgspec.Struct):
    """An agent at one moment: what it counts, and how it is. One line of JSON, sent about twice a second."""

    time: int  # Unix ns
    pid: int
    version: str
    started_at: int  # Unix ns
    ready: bool = False  # the store is open, and the files that were there are followed
    stopping: bool = False
    problems: list[HealthProblem] = []
    counters: AgentCounters = msgspec.field(default_factory=AgentCounters)
    lag: dict[str, SourceLag] = {}  # of each source of the configuration
    archives: dict[str, SourceArchives] = {}  # of each source that has some
    firing: dict[str, int] = {}  # of each rule the keys for which it fires
    open_circuits: dict[str, bool] = {}  # of each hook
    forward_lag: dict[str, int] = {}  # of each target of `forward` the events that wait

    def to_line(self) -> bytes:
        """The message. Encoded in one call of C, during which no other thread changes what it is made of."""
        return msgspec.json.encode(self) + b"\n"


def read_vitals(line: bytes) -> Vitals:
    """The message of a line.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _DECODER.decode(line)


_DECODER = msgspec.json.Decoder(Vitals)
