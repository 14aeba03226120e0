"""How costs grow, and what that says of sizes that no benchmark reaches: three sizes of each, an exponent, a target.

    python -m benchmarks.scale [--quick]

A cost is measured at sizes an order of magnitude apart; a line through them in log-log gives the exponent. Above 1 a
cost grows faster than what it is for. What is spent in any case (interpreter, imports) hides growth, so the figure at
the target goes on in a straight line through the two largest sizes, unless the last step's exponent is above 1, or the
cost is that of one event or archive: then with this exponent.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from benchmarks import common, scale_archives, scale_following, scale_keys, scale_store
from benchmarks.common import Row, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.scale_points import Cost

FOLLOWED, SOURCES, KEYS = (100, 1_000, 10_000), (10, 100, 1_000), (50, 500, 5_000)
EVENTS, ARCHIVES = (50_000, 500_000, 5_000_000), (10, 100, 1_000)
QUICK = 10  # so many times less


def exponent(points: Mapping[int, float]) -> float:
    """The slope of the line through sizes and costs in log-log, by least squares."""
    xs = [math.log(size) for size in points]
    ys = [math.log(max(cost, 1e-9)) for cost in points.values()]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - middle_x) ** 2 for x in xs)


def row(cost: Cost) -> Row:
    """One line of the table."""
    sizes = sorted(cost.points)
    *smaller, largest = sizes
    last = exponent({size: cost.points[size] for size in sizes[-2:]})
    figure, before = cost.points[largest], cost.points[sizes[-2]]
    if last > 1 or cost.is_of_one:
        at_target = figure * (cost.target / largest) ** last
    else:
        at_target = figure + max(figure - before, 0) * (cost.target - largest) / (largest - sizes[-2])
    parts = [
        ", ".join(f"{size:,}: {number(cost.points[size])}" for size in smaller),
        f"size^{exponent(cost.points):.2f}, last step ^{last:.2f}",
    ]
    if cost.target > largest:
        parts.append(f"at {cost.target:,}: {number(at_target)} {cost.unit}")
    if cost.floor:
        parts.append(cost.floor)
    return Row(f"{cost.name}, {largest:,} {cost.of}", cost.points[largest], cost.unit, beside="; ".join(parts))


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of all costs, those of `--only` alone if that is given."""
    less = QUICK if options.quick else 1
    parts = {
        "files": lambda: scale_following.files([size // less for size in FOLLOWED], FOLLOWED[-1]),
        "sources": lambda: scale_following.sources([max(size // less, 2) for size in SOURCES], SOURCES[-1]),
        "keys": lambda: scale_keys.costs([size // less for size in KEYS], KEYS[-1]),
        "events": lambda: scale_store.costs([size // less for size in EVENTS]),
        "archives": lambda: scale_archives.costs([max(size // less, 2) for size in ARCHIVES]),
    }
    wanted = getattr(options, "only", None) or list(parts)
    return [row(cost) for name in wanted for cost in parts[name]()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=("files", "sources", "keys", "events", "archives"))
    common.report(measure, parser)


if __name__ == "__main__":
    main()
