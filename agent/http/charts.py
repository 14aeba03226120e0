"""Charts as SVG, drawn on the server: bars over time by severity, and the line of a trend.

Colours are those of the style sheet, by class. Every chart has a title and, for who cannot see it, a table beside it or
numbers in its words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from agent.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

BANDS = ("fatal", "error", "warn", "info", "debug", "trace", "none")  # from the bottom upwards
_WIDTH, _HEIGHT = 1_000, 90
_GAP = 0.12  # of a bar's width
_LEVELS_HEIGHT = 140
_SEAM = 0.5  # neighbours overlap, or rounding to pixels leaves gaps
_LANE_HEIGHT = 20
_TREND_WIDTH, _TREND_HEIGHT = 96, 20


def band_of(severity: str) -> str:
    """The band of a level such as `ERROR` or `ERROR2`."""
    name = severity.rstrip("0123456789").lower()
    return name if name in BANDS else "none"


class ChartBar(NamedTuple):
    """One bucket of time: where it begins, in words and for a link, and its events by band."""

    start: str
    since: str
    until: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """All events of it."""
        return sum(self.counts.values())


def histogram(bars: Sequence[ChartBar], label: str) -> Markup:
    """Bars over time, each divided by severity.

    Args:
        bars: in the order of time, empty ones too.
        label: what a screen reader says of the chart.
    """
    highest = max((bar.total for bar in bars), default=0) or 1
    step = _WIDTH / max(1, len(bars))
    parts = [
        Markup(
            '<svg class="histogram" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}"'
            ' data-buckets="{}">'
        ).format(_WIDTH, _HEIGHT, label, len(bars))
    ]
    for index, bar in enumerate(bars):
        parts.append(
            Markup('<g class="bar" data-since="{}" data-until="{}"><title>{}: {}</title>').format(
                bar.since, bar.until, bar.start, _words(bar)
            )
        )
        left, width = index * step, step * (1 - _GAP)
        parts.append(
            Markup('<rect class="hit" x="{:.2f}" y="0" width="{:.2f}" height="{}"/>').format(left, step, _HEIGHT)
        )
        top = float(_HEIGHT)
        for band in BANDS:
            if count := bar.counts.get(band, 0):
                height = max(1.0, count / highest * (_HEIGHT - 2))
                top -= height
                parts.append(
                    Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
                        band, left, max(0.0, top), width, height
                    )
                )
        parts.append(Markup("</g>"))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


class LinkedBar(NamedTuple):
    """One bar that leads somewhere: what it stands for in words, how high it is, and its address."""

    words: str
    events: int
    address: str


def linked_bars(bars: Sequence[LinkedBar], label: str) -> Markup:
    """Bars of which each that has a height is a link.

    Args:
        bars: from left to right.
        label: what a screen reader says of the chart.
    """
    highest = max((bar.events for bar in bars), default=0) or 1
    step = _WIDTH / max(1, len(bars))
    parts = [
        Markup('<svg class="histogram linked" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-label="{}">').format(
            _WIDTH, _HEIGHT, label
        )
    ]
    for index, bar in enumerate(bars):
        words = f"{bar.words}: {counted(bar.events, 'event')}"
        height = max(2.0, bar.events / highest * (_HEIGHT - 2)) if bar.events else 0.0
        left, width = index * step, step * (1 - _GAP)
        drawn = Markup(
            '<title>{}</title><rect class="hit" x="{:.2f}" y="0" width="{:.2f}" height="{}"/>'
            '<rect class="error" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>'
        ).format(words, left, step, _HEIGHT, left, _HEIGHT - height, width, height)
        link = Markup('<a class="bar" href="{}" aria-label="{}">{}</a>')
        empty = Markup('<g class="bar">{}</g>')
        parts.append(link.format(bar.address, words, drawn) if bar.events else empty.format(drawn))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


class Level(NamedTuple):
    """The value of something at an instant, and when that is in words."""

    words: str
    value: float


def against_threshold(levels: Sequence[Level], threshold: float, label: str) -> Markup:
    """A value over time as steps, the threshold as a line across, and what lies above it filled.

    Args:
        levels: evenly spread, the oldest first.
        threshold: what they are measured against.
        label: what a screen reader says of the chart.
    """
    top = max([threshold, *(level.value for level in levels)]) * 1.08 or 1
    step = _WIDTH / max(1, len(levels))

    def place(value: float) -> float:
        return _LEVELS_HEIGHT * (1 - min(value, top) / top)

    parts = [
        Markup('<svg class="levels" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">').format(
            _WIDTH, _LEVELS_HEIGHT, label
        )
    ]
    for index, level in enumerate(levels):
        y = place(level.value)
        kind = "above" if level.value >= threshold else "below"
        parts.append(
            Markup(
                '<g class="bar"><title>{}: {:g}</title><rect class="hit" x="{:.2f}" y="0" width="{:.2f}" height="{}"/>'
                '<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/></g>'
            ).format(
                level.words, level.value, index * step, step, _LEVELS_HEIGHT,
                kind, index * step, y, step + _SEAM, _LEVELS_HEIGHT - y,
            )
        )  # fmt: skip
    limit = place(threshold)
    parts.append(
        Markup('<line class="limit" x1="0" x2="{}" y1="{:.2f}" y2="{:.2f}"/></svg>').format(_WIDTH, limit, limit)
    )
    return Markup("").join(parts)


class Mark(NamedTuple):
    """An event on a lane: its instant (Unix ns), the lane, the lane's colour, its severity's band, and its words."""

    instant: int
    lane: int
    color: int
    band: str
    words: str


def lanes(marks: Sequence[Mark], names: Sequence[str], label: str) -> Markup:
    """Events over time, those of each service on a lane of its own; severe ones are larger.

    Args:
        marks: in the order of time.
        names: of the lanes, from above.
        label: what a screen reader says of the chart.
    """
    if not marks:
        return Markup("")
    begin, length = marks[0].instant, max(1, marks[-1].instant - marks[0].instant)
    parts = [
        Markup(
            '<svg class="lanes" viewBox="0 0 {0} {1}" height="{1}" preserveAspectRatio="none" role="img"'
            ' aria-label="{2}">'
        ).format(_WIDTH, _LANE_HEIGHT * len(names), label)
    ]

    def place(instant: int) -> float:
        return 4 + (instant - begin) / length * (_WIDTH - 8)

    for number in range(len(names)):
        own = [mark for mark in marks if mark.lane == number]
        first, last = place(own[0].instant), place(own[-1].instant)
        parts.append(
            Markup('<rect class="lane-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="2"/>').format(
                own[0].color, first, (number + 0.5) * _LANE_HEIGHT - 1, max(1.0, last - first)
            )
        )
    for mark in marks:
        severe = mark.band in ("error", "fatal")
        height = _LANE_HEIGHT * (0.8 if severe else 0.5)
        parts.append(
            Markup('<g><title>{}</title><rect class="{}" x="{:.1f}" y="{:.1f}" width="4" height="{:.1f}"/></g>').format(
                mark.words,
                mark.band if severe else f"lane-{mark.color}",
                place(mark.instant) - 2,
                (mark.lane + 0.5) * _LANE_HEIGHT - height / 2,
                height,
            )
        )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def trend(counts: Sequence[int], label: str) -> Markup:
    """A small line of bars."""
    highest = max(counts, default=0) or 1
    step = _TREND_WIDTH / max(1, len(counts))
    bars = [
        Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
            index * step, _TREND_HEIGHT - height, max(0.8, step * 0.8), height
        )
        for index, count in enumerate(counts)
        if (height := (max(1.5, count / highest * _TREND_HEIGHT) if count else 0.0))
    ]
    return Markup('<svg class="trend" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _TREND_WIDTH, _TREND_HEIGHT, label, Markup("").join(bars)
    )


def _words(bar: ChartBar) -> str:
    named = [f"{count:,} {band}" for band in BANDS if (count := bar.counts.get(band, 0)) and band != "none"]
    return f"{bar.total:,} events" + (f" ({', '.join(named)})" if named else "")
