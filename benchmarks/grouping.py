"""How well and how fast errors are grouped.

    python -m benchmarks.grouping [--loghub FOLDER] [--repeat 3]

Quality: the sets `*_2k.log_structured.csv` of LogHub (https://github.com/logpai/loghub; FOLDER, or $LOGHUB), each
`Content` as the message of an error, in the order of the file. A line is right when its group holds exactly the lines
of its true template; the figure is the share of right lines ("group accuracy"). Beside it, in the same run, drain3
(`pip install drain3`), as it comes and with masks for addresses, hexadecimal digits and numbers, which its users are
told to add. Without the sets, or without drain3, that part is left out and said so.

Speed: CPU time of grouping alone, in this process. Lines are 2 % errors, half of them with a stack trace and half with
a message that holds a number; then the messages of the sets; then messages of which no two are alike.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common
from benchmarks.common import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from agent.core.model import ErrorEvent

ENDING = "_2k.log_structured.csv"
ERROR_SHARE = 0.02  # of all lines
GOAL_ACCURACY = 0.93  # and not below drain3
GOAL_EVENT_MICROS = 0.3
GOAL_ERROR_MICROS = 15.0
EVENTS = 20_000
MASKS = {
    "ip": r"(?<!\w)\d{1,3}(\.\d{1,3}){3}(:\d+)?(?!\w)",
    "hex": r"(?<!\w)(0x[0-9a-fA-F]+|(?=[a-f]*\d)[0-9a-f]{8,})(?!\w)",
    "number": r"(?<!\w)[+-]?\d+(\.\d+)?(?!\w)",
}
TRACE = """Traceback (most recent call last):
  File "/srv/shop/web.py", line 217, in handle
    return cart.add(item)
  File "/srv/shop/cart.py", line {line}, in add
    raise ValueError(item)
ValueError: no item {number}"""

Set = list[tuple[str, str]]  # message and true template of each line


def read(folder: Path) -> dict[str, Set]:
    """The sets in a folder, by name."""
    sets: dict[str, Set] = {}
    for path in sorted(folder.glob(f"*{ENDING}")):
        with path.open(newline="", encoding="utf-8") as file:
            sets[path.name.removesuffix(ENDING)] = [(row["Content"], row["EventId"]) for row in csv.DictReader(file)]
    return sets


def accuracy(groups: Iterable[Hashable], truth: Iterable[Hashable]) -> float:
    """The share of lines whose group holds exactly the lines of their true template."""
    found, true = defaultdict(set), defaultdict(set)
    for line, (group, template) in enumerate(zip(groups, truth, strict=True)):
        found[group].add(line)
        true[template].add(line)
    right = {frozenset(lines) for lines in true.values()}
    return sum(len(lines) for lines in found.values() if lines in right) / sum(map(len, found.values()))


def errors(messages: Iterable[str]) -> list[ErrorEvent]:
    """Events as the parser makes them of lines that have nothing but a message."""
    from agent.core.model import ErrorEvent

    return [ErrorEvent(index, index * 10**6, 17, message) for index, message in enumerate(messages)]


def ours(messages: Sequence[str]) -> list[int]:
    """The group of each message."""
    from agent.group.grouper import Grouper

    grouper = Grouper()
    return [grouper.assign(error) for error in errors(messages)]


def drain3(messages: Sequence[str], masks: dict[str, str]) -> list[int]:
    """The cluster of each message, with the settings that drain3 has by itself and these masks."""
    from drain3 import TemplateMiner
    from drain3.masking import MaskingInstruction
    from drain3.template_miner_config import TemplateMinerConfig

    config = TemplateMinerConfig()
    config.masking_instructions = [MaskingInstruction(pattern, name) for name, pattern in masks.items()]
    miner = TemplateMiner(config=config)
    return [miner.add_log_message(message)["cluster_id"] for message in messages]


def has_drain3() -> bool:
    """Whether drain3 can be used."""
    import importlib.util

    return importlib.util.find_spec("drain3") is not None


def quality(sets: dict[str, Set]) -> list[Row]:
    """A row per set and one of the average."""
    compared = has_drain3()
    if not compared:
        print("drain3 is not installed: no comparison", file=sys.stderr)
    rows, all_ours, all_plain, all_masked = [], [], [], []
    for name, lines in sets.items():
        messages, truth = [message for message, _ in lines], [template for _, template in lines]
        all_ours.append(accuracy(ours(messages), truth))
        beside = f"{len(set(truth))} templates"
        if compared:
            all_plain.append(accuracy(drain3(messages, {}), truth))
            all_masked.append(accuracy(drain3(messages, MASKS), truth))
            beside += f"; drain3 {all_plain[-1]:.1%}, with masks {all_masked[-1]:.1%}"
        rows.append(Row(f"group accuracy, {name}", all_ours[-1] * 100, "%", beside=beside))
    mean, plain, masked = (sum(shares) / len(sets) for shares in (all_ours, all_plain, all_masked))
    beside = f"drain3 {plain:.1%}, with masks {masked:.1%}" if compared else ""
    name, goal = f"group accuracy, average of {len(sets)} sets", max(GOAL_ACCURACY, plain, masked)
    return [*rows, Row(name, mean * 100, "%", goal * 100, at_least=True, beside=beside)]


def cost(make: Callable[[], list[ErrorEvent]], repeat: int) -> float:
    """Microseconds of CPU per error, the least of several runs from nothing, updates of the groups included."""
    from agent.group.grouper import Grouper

    best = float("inf")
    for _ in range(repeat):
        events, grouper = make(), Grouper()  # new strings each time, as from a file: their hashes are not known yet
        began = time.process_time()
        for start in range(0, len(events), 1_000):
            for error in events[start : start + 1_000]:
                grouper.assign(error)
            grouper.take_updates()
        best = min(best, time.process_time() - began)
    return best / len(events) * 1e6


def mixed() -> list[ErrorEvent]:
    """Errors of a shop: every other one with a stack trace."""
    made = errors(f"cannot charge order {number} of customer c-{number * 7919}: timed out" for number in range(EVENTS))
    for error in made[::2]:
        error.exception_type, error.exception_message = "ValueError", f"no item {error.index}"
        error.stacktrace = TRACE.format(line=10 + error.index % 5, number=error.index)
    return made


def traces() -> list[ErrorEvent]:
    """Nothing but stack traces."""
    return [error for error in mixed() if error.stacktrace]


def unlike() -> list[ErrorEvent]:
    """Messages of five words of which no two have more than one in common."""

    def word(number: int) -> str:
        return "".join(chr(97 + int(digit)) for digit in f"{number:07}")

    return errors(" ".join([word(n), "failed", *(word(n * k) for k in (31, 57, 83))]) for n in range(EVENTS // 4))


def speed(sets: dict[str, Set], repeat: int) -> list[Row]:
    """The rows of CPU time."""
    both = cost(mixed, repeat)
    rows = [
        Row(
            f"grouping at {ERROR_SHARE:.0%} errors, CPU per event",
            both * ERROR_SHARE,
            "µs",
            GOAL_EVENT_MICROS,
            beside=f"{both:.1f} µs per error, every other one with a stack trace",
        ),
        Row("grouping errors with a stack trace", cost(traces, repeat), "µs", beside="per error"),
        Row("grouping messages of which no two are alike", cost(unlike, repeat), "µs", beside="per error"),
    ]
    if sets:
        messages = [message for lines in sets.values() for message, _ in lines]
        micros = cost(lambda: errors(str(message.encode(), "utf-8") for message in messages), repeat)
        rows.append(Row("grouping the messages of all sets", micros, "µs", GOAL_ERROR_MICROS, beside="per error"))
    return rows


def measure(options: argparse.Namespace) -> list[Row]:
    """Quality and speed."""
    folder = options.loghub or os.environ.get("LOGHUB")
    sets = read(Path(folder)) if folder else {}
    if not sets:
        where = f"no *{ENDING} in {folder}" if folder else "no --loghub FOLDER and no $LOGHUB"
        print(f"{where}: no quality", file=sys.stderr)
    return [*(quality(sets) if sets else []), *speed(sets, options.repeat)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loghub", metavar="FOLDER", help="with LogHub's sets of 2,000 lines (default: $LOGHUB)")
    parser.add_argument("--repeat", type=int, default=3)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
