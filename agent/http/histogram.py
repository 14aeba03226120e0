"""The histogram of events over time by severity, asked for and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.core.times import parse_time
from agent.http import charts, spans

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Histogram:
    """A chart with what it is made of."""

    def __init__(self, bars: list[charts.ChartBar], span: spans.TimeSpan) -> None:
        self.bars = bars
        self.total = sum(bar.total for bar in bars)
        self.label = f"{self.total:,} events over time, in steps of {spans.step_words(span.step)}"

    def levels(self) -> list[tuple[str, int]]:
        """How many events each level has, the worst first."""
        counted = ((band, sum(bar.counts.get(band, 0) for bar in self.bars)) for band in charts.BANDS)
        return [(band, count) for band, count in counted if count]

    def __html__(self) -> str:
        """The chart, for a template."""
        return charts.histogram(self.bars, self.label)


async def severity_histogram(ask: Callable[..., Awaitable[Any]], q: str, span: spans.TimeSpan) -> Histogram:
    """The events of a search over time.

    Args:
        ask: a question of its name and texts.
        q: the search.
        span: of time.

    Raises:
        SidelogError: as the question does.
    """
    found = await ask(
        "counts",
        q=q,
        since=spans.address_time(span.since),
        until=spans.address_time(span.until),
        by="severity",
        every=spans.step_words(span.step),
    )
    counts: dict[int, dict[str, int]] = {start: {} for start in span.starts()}
    for row in found:
        bucket = counts.setdefault(parse_time(row["time"], 0), {})
        band = charts.band_of(row["severity"] or "")
        bucket[band] = bucket.get(band, 0) + row["count"]
    bars = [
        charts.ChartBar(
            spans.bucket_words(start, span.step),
            spans.address_time(start),
            spans.address_time(start + span.step),
            bands,
        )
        for start, bands in sorted(counts.items())
    ]
    return Histogram(bars, span)
