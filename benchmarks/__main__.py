"""The table of docs/benchmarks.md: `make bench`, or `python -m benchmarks [PART…]`.

At the default sizes it takes about 8 minutes on two cores, 2 of them for building the store of 10 M events the first
time. `--quick` takes about one minute and says less.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks import (
    alerting,
    archive,
    common,
    forwarding,
    grouping,
    http,
    idle,
    ingest,
    ingest_formats,
    latency,
    peers,
    query,
    questions,
    restart,
    scale,
    survey_formats,
    trickle,
)

MODULES = (
    ingest,
    ingest_formats,
    idle,
    trickle,
    restart,
    latency,
    alerting,
    query,
    questions,
    peers,
    grouping,
    survey_formats,
    archive,
    http,
    scale,
    forwarding,
)
PARTS = {part.__name__.rpartition(".")[2].replace("_", "-"): part for part in MODULES}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--events", type=int, default=1_000_000, help="lines to take in (default: 1,000,000)")
    parser.add_argument("--sizes", default="1000000,10000000", help="events in the stores that are asked")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--seconds", type=float, default=30, help="how long to watch an agent that has little to do")
    parser.add_argument("--trials", type=int, default=30, help="lone lines and bursts to time")
    parser.add_argument("--loghub", metavar="FOLDER", help="LogHub's sets of 2,000 lines (default: $LOGHUB)")
    parser.add_argument("--logs", nargs="*", metavar="FOLDER", help="with lnav's and LogHub's logs (default: $LOGS)")
    parser.add_argument("--fresh", action="store_true", help="build the stores to ask anew")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if options.quick:
        options.events, options.sizes, options.repeat, options.seconds, options.trials = 100_000, "100000", 1, 5, 5
    print(f"{common.machine()}\n\n{common.HEADER}", flush=True)
    missed = 0
    for name in options.parts or PARTS:
        began = time.monotonic()
        print(f"{name} …", file=sys.stderr, end="", flush=True)
        rows = PARTS[name].measure(options)
        print(f"\r{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        print(*(row.markdown() for row in rows), sep="\n", flush=True)
        missed += sum(row.met is False for row in rows)
    print(f"\n{missed} of the goals missed (in bold)" if missed else "\nall goals reached")


if __name__ == "__main__":
    main()
