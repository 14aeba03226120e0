"""`/metrics`: the agent's numbers, in the format that is asked for.

https://prometheus.io/docs/specs/om/open_metrics_spec/, https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.process_collector import ProcessCollector

from agent.core.metrics import COMMIT_BUCKETS_S, GAP_REASONS, RESULTS, SourceArchives, SourceCounters
from agent.http.negotiation import takes_openmetrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from agent.core.metrics import Vitals

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def exposition(collector: AgentCollector, accept: str) -> tuple[bytes, str]:
    """The text of a scrape, and its type: OpenMetrics for who asks for it, as Prometheus does; else the older format,
    which every tool reads.

    Args:
        collector: of the numbers.
        accept: the header of the request.
    """
    if takes_openmetrics(accept):
        return generate_openmetrics(collector), OPENMETRICS  # type: ignore[no-untyped-call]
    return generate_text(collector), TEXT


class AgentCollector:
    """The families of one scrape, for prometheus_client.

    A family is there without a sample too, and what can be named before it has happened has a sample of 0: a counter
    that begins with its first event hides that one from `increase()`.

    Args:
        vitals: how the agent is.
        store_bytes: the store's size with its write-ahead log.
    """

    def __init__(self, vitals: Vitals, store_bytes: int) -> None:
        self._vitals = vitals
        self._store_bytes = store_bytes
        # Sources that have left the configuration keep their counters.
        self._sources = {name: SourceCounters() for name in vitals.lag} | vitals.counters.sources

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from self._of_sources()
        yield from self._of_files()
        yield from self._of_alerts()
        yield self._commits()
        yield _by("sidelog_forward_lag_events", "Events not forwarded yet.", "name", self._vitals.forward_lag)
        own = CounterMetricFamily("sidelog_own_errors", "Errors of the agent itself.", labels=["code"])
        for code, count in self._vitals.counters.own_errors.items():
            own.add_metric([code], count)
        yield own
        ready = int(self._vitals.ready and not self._vitals.stopping)
        yield GaugeMetricFamily("sidelog_ready", "Whether logs are followed and stored, as /ready says.", value=ready)
        yield from ProcessCollector(pid=lambda: self._vitals.pid, registry=None).collect()

    def _of_sources(self) -> Iterator[Metric]:
        counted = {
            "events": "Events stored.",
            "error_events": "Events stored of severity ERROR and above.",
            "read_bytes": "Bytes of logs read and stored.",
            "parse_errors": "Events with a parse error.",
        }
        for key, text in counted.items():
            family = CounterMetricFamily(f"sidelog_{key}", text, labels=["source"])
            for source, counters in self._sources.items():
                family.add_metric([source], getattr(counters, key))
            yield family
        gaps = CounterMetricFamily("sidelog_gap_bytes", "Bytes in no event.", labels=["source", "reason"])
        for source, counters in self._sources.items():
            for reason, count in (dict.fromkeys(GAP_REASONS, 0) | counters.gap_bytes).items():
                gaps.add_metric([source, reason], count)
        yield gaps

    def _of_files(self) -> Iterator[Metric]:
        lag = self._vitals.lag
        yield _by("sidelog_lag_bytes", "Bytes not stored yet.", "source", {k: v.bytes for k, v in lag.items()})
        waits = {k: v.seconds for k, v in lag.items()}
        yield _by("sidelog_lag_seconds", "For how long the oldest of them have waited.", "source", waits)
        yield _by("sidelog_files", "Files followed.", "source", {k: v.files for k, v in lag.items()})
        size = self._store_bytes
        yield GaugeMetricFamily("sidelog_store_bytes", "Size of the store with its write-ahead log.", value=size)
        archives = dict.fromkeys(lag, SourceArchives()) | self._vitals.archives
        sizes = {k: v.bytes for k, v in archives.items()}
        yield _by("sidelog_archive_bytes", "Size of the archives.", "source", sizes)
        yield _by("sidelog_archive_files", "Archives.", "source", {k: v.files for k, v in archives.items()})

    def _of_alerts(self) -> Iterator[Metric]:
        yield _by("sidelog_alerts_firing", "Keys for which a rule fires.", "rule", self._vitals.firing)
        made = CounterMetricFamily("sidelog_deliveries", "Attempts at deliveries.", labels=["hook", "result"])
        known: dict[str, dict[str, int]] = {hook: {} for hook in self._vitals.open_circuits}
        for hook, results in (known | self._vitals.counters.deliveries).items():
            for result, count in (dict.fromkeys(RESULTS, 0) | results).items():
                made.add_metric([hook, result], count)
        yield made
        circuits = {hook: int(is_open) for hook, is_open in self._vitals.open_circuits.items()}
        yield _by("sidelog_hook_circuit_open", "Whether a hook fails all the time and is spared.", "hook", circuits)

    def _commits(self) -> Metric:
        durations, total = self._vitals.counters.commits, 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, COMMIT_BUCKETS_S), "+Inf"), durations.counts, strict=True):
            total += count
            buckets.append((bound, total))
        family = HistogramMetricFamily("sidelog_commit_seconds", "Duration of transactions.")
        family.add_metric([], buckets, durations.sum_s)
        return family


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
