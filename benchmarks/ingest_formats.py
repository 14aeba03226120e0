"""Taking in logs of each kind of line: `sidelog run --once`, all kinds in turn in each round.

    python -m benchmarks.ingest_formats [--events 200000] [--repeat 3]

Prints CPU µs per event of the whole process and its ratio to plain JSON in the same rounds, peak memory, and for lines
of container runtimes the size of the store beside that of the lines inside.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import common, generate
from benchmarks.common import MIB, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATHS = ("/", "/api/v1/orders/%d", "/static/app-%d.js", "/login", "/api/v1/users/%d/cart")
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.5.0", "kube-probe/1.30")
_LEVELS = ("INFO",) * 86 + ("DEBUG",) * 9 + ("WARNING",) * 4 + ("ERROR",)
_SAID = "order %d placed for user %d in %d ms, %d items left in stock, route /api/v1/orders/%d answered %d"
_TEXT_EVERY = 7  # line of the mixed log is text
_NS = 10**9
_PATTERN = (  # of lines with eight parts
    r"^(?P<timestamp>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<host__name>\S+) (?P<severity>[A-Z]+) "
    r"(?P<logger>[\w.]+) \[(?P<thread__name>[^\]]+)\] (?P<process__pid>\d+) order=(?P<order>\d+): (?P<message>.*)$"
)


class Moment(NamedTuple):
    """What a line is made of."""

    second: int  # Unix
    nanos: int
    number: int
    draw: random.Random

    def at(self, form: str) -> str:
        """The second, written."""
        return datetime.fromtimestamp(self.second, UTC).strftime(form)

    @property
    def said(self) -> str:
        """A message."""
        number = self.number
        return _SAID % (number, number % 9973, number % 250, number % 17, number, 200 + number % 5)


def docker(moment: Moment, line: str) -> str:
    """A line in Docker's."""
    text = json.dumps(f"{line}\n", ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    time = f"{moment.at('%Y-%m-%dT%H:%M:%S')}.{moment.nanos:09d}".rstrip("0")
    return f'{{"log":{text},"stream":"{_stream(moment)}","time":"{time}Z"}}'


def cri(moment: Moment, line: str) -> str:
    """A line in CRI's."""
    return f"{moment.at('%Y-%m-%dT%H:%M:%S')}.{moment.nanos:09d}Z {_stream(moment)} F {line}"


def _stream(moment: Moment) -> str:
    return "stderr" if moment.number % 3 else "stdout"


def combined(moment: Moment, _: str) -> str:
    """An access log's."""
    draw, number = moment.draw, moment.number
    path = draw.choice(_PATHS).replace("%d", str(number))
    return (
        f"192.0.2.{number % 250} - - [{moment.at('%d/%b/%Y:%H:%M:%S +0000')}] "
        f'"GET {path} HTTP/1.1" {draw.choice((200, 200, 200, 304, 404, 500))} {number % 50_000} '
        f'"https://shop.example/" "{draw.choice(_AGENTS)}"'
    )


def rsyslog(moment: Moment, _: str) -> str:
    """Of rsyslog with instants of ISO 8601."""
    return f"{moment.at('%Y-%m-%dT%H:%M:%S')}.{moment.nanos // 1000:06d}+00:00 web1 shop[663]: {moment.said}"


def syslog5424(moment: Moment, _: str) -> str:
    """Of RFC 5424, with structured data."""
    time = f"{moment.at('%Y-%m-%dT%H:%M:%S')}.{moment.nanos // 1000:06d}Z"
    return f'<134>1 {time} web1 shop 663 ORD [shop@32473 order="{moment.number}" kind="web"] {moment.said}'


def logfmt(moment: Moment, _: str) -> str:
    """Pairs."""
    time = f"{moment.at('%Y-%m-%dT%H:%M:%S')}.{moment.nanos // 1_000_000:03d}Z"
    level, number = moment.draw.choice(_LEVELS).lower(), moment.number
    return (
        f'time={time} level={level} logger=shop.pay msg="{moment.said}" user={number % 9973} order={number} dur=1.5ms'
    )


def text(moment: Moment, _: str) -> str:
    """Python's usual."""
    time = f"{moment.at('%Y-%m-%d %H:%M:%S')},{moment.nanos // 1_000_000:03d}"
    return f"{time} {moment.draw.choice(_LEVELS)} shop.pay: {moment.said}"


def own(moment: Moment, _: str) -> str:
    """A layout that only a pattern of the user's knows."""
    time = f"{moment.at('%Y-%m-%d %H:%M:%S')},{moment.nanos // 1_000_000:03d}"
    level, number = moment.draw.choice(_LEVELS), moment.number
    return f"{time} web{number % 3} {level} shop.pay [worker-{number % 16}] 663 order={number}: {moment.said}"


def mixed(moment: Moment, line: str) -> str:
    """JSON, and a line of text now and then."""
    return line if moment.number % _TEXT_EVERY else text(moment, line)


class Kind(NamedTuple):
    """One kind of lines."""

    name: str
    make: Callable[[Moment, str], str]
    goal: float | None  # times the CPU of plain JSON
    inside: bool = False  # the store is to be compared with that of plain JSON
    pattern: str = ""  # by which its lines are read


KINDS = (
    Kind("plain JSON", lambda _, line: line, None),
    Kind("Docker", docker, 1.5, inside=True),
    Kind("CRI", cri, 1.5, inside=True),
    Kind("combined", combined, 1.8),
    Kind("rsyslog", rsyslog, 1.8),
    Kind("RFC 5424", syslog5424, 1.8),
    Kind("logfmt", logfmt, 1.8),
    Kind("text", text, 1.8),
    Kind("own pattern", own, 1.8, pattern=_PATTERN),
    Kind("mixed", mixed, 1.3),
)


def lines(count: int, make: Callable[[Moment, str], str]) -> Iterator[str]:
    """Seeded lines of one kind; those of the kinds that have JSON inside hold the same objects."""
    draw = random.Random(1)
    instant = generate.DEFAULT_START_NS
    number = 0
    for block in generate.blocks(count):
        for line in block.decode().splitlines():
            instant += draw.randrange(2 * generate.GAP_MICROSECONDS) * 1000 + draw.randrange(1000)
            number += 1
            yield make(Moment(*divmod(instant, _NS), number, draw), line)


def write(path: Path, count: int, kind: Kind) -> None:
    """Write a log of one kind."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines(count, kind.make))


def once(folder: Path, log: Path, kind: Kind, events: int) -> tuple[common.Usage, int]:
    """One run into a fresh store: what it cost, and the store's size."""
    store = folder / "store" / "sidelog.db"
    what: list[str | Path] = [log]
    if kind.pattern:
        config = folder / "sidelog.json"
        source = {"name": "own", "include": [str(log)], "format": {"pattern": kind.pattern}}
        config.write_text(json.dumps({"sources": [source]}))
        what = ["-c", config]
    usage = common.run([common.sidelog(), "run", "--once", *what, "--store", store], cwd=folder)
    count = common.stored(store)
    if count > events:
        sys.exit(f"{count:,} events in the store, {events:,} lines in {log.name}")
    size = store.stat().st_size
    for file in store.parent.iterdir():
        file.unlink()
    return usage, size


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of each kind of line."""
    events = min(options.events, 200_000)
    chosen = [kind for kind in KINDS if not getattr(options, "kinds", None) or kind.name in options.kinds]
    with common.scratch() as folder:
        logs = {kind.name: folder / f"{kind.name}.log".replace(" ", "-") for kind in chosen}
        for kind in chosen:
            write(logs[kind.name], events, kind)
        rounds = [
            {kind.name: once(folder, logs[kind.name], kind, events) for kind in chosen} for _ in range(options.repeat)
        ]
    rows = []
    for kind in chosen:
        usages = [found[kind.name][0] for found in rounds]
        cpu = common.median([usage.cpu_seconds for usage in usages]) / events * 1e6
        base = [found[KINDS[0].name][0].cpu_seconds for found in rounds]
        ratio = common.median([usage.cpu_seconds / one for usage, one in zip(usages, base, strict=True)])
        peak = common.median([usage.peak_bytes for usage in usages]) / MIB
        rows += [
            Row(f"{kind.name}, CPU per event", cpu, "µs"),
            Row(f"{kind.name}, times plain JSON", ratio, "×", kind.goal),
            Row(f"{kind.name}, peak memory", peak, "MB", 64),
        ]
        if kind.inside:
            sizes = [found[name][1] / events for name in (kind.name, KINDS[0].name) for found in rounds[:1]]
            beside = f"{sizes[0]:.0f} bytes per event, the inside {sizes[1]:.0f}"
            rows.append(Row(f"{kind.name}, store, times the inside's", sizes[0] / sizes[1], "×", 1.15, beside=beside))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    names = [kind.name for kind in KINDS]
    parser.add_argument("--kinds", nargs="*", choices=names, help="plain JSON must be among them")
    common.report(measure, parser)


if __name__ == "__main__":
    main()
