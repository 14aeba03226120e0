"""How right the lines of real logs are read: their instants and their severities, and what is no severity.

    python -m benchmarks.survey_formats FOLDER… [--misses 3]

FOLDER has files of lnav's tests (https://github.com/tstack/lnav, `test/logfile_*`) or LogHub's sets of 2,000 lines
(https://github.com/logpai/loghub, `*_2k.log`, with the levels of `*_2k.log_structured.csv`); `$LOGS` names some, too.
Each file is read as `sidelog parse` reads it, with the default settings. An event's first line is then read a second
way (`benchmarks.readings`), which knows what stands in it and nothing of sidelog. An instant is right where the line
says it; one that no part of the line says is wrong, and so is the time of reading where the line says one. Of a year or
a date that is not written, only that it is not in the future: more than a day after the file was last written.

Lines without a severity are docstrings and comments of Python's standard library, prose that speaks of errors and
warnings, and made lines of access logs, whose severity is that of their status.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common, readings
from benchmarks.common import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.views.parsing import ReadEvent

NAMES = ("logfile_*", "*_2k.log")
DAY_NS = 86_400 * 10**9
PROSE, ACCESS = 80_000, 20_000  # lines
_PROSE = re.compile(r'"""([^"]+)"""|^ *# (.*)', re.MULTILINE)
LONGEST = 400  # characters of a line that is shown
_PATHS = ("/", "/error", "/errors/%d", "/warning?level=error", "/api/info/%d", "/log/ERROR", "/a?b=[error]&c=INFO")
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "-", "error-bot/1.0 (+http://x.org/ERROR)", "WARN: x")


class Tally:
    """What was counted, and the lines that were read otherwise."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.misses: dict[str, list[str]] = {}

    def count(self, what: str, *, right: bool, path: Path, line: str, found: str) -> None:
        """One event more of which this can be said."""
        self.counts[what] += 1
        if right:
            self.counts[f"{what}, right"] += 1
        else:
            self.misses.setdefault(f"{what}, {path.name}", []).append(f"{found:24} {line[:LONGEST]!r}")

    def share(self, what: str) -> float:
        """In percent."""
        return 100 * self.counts[f"{what}, right"] / max(1, self.counts[what])


# ---------------------------------------------------------------- real files


def files(folders: Iterable[str]) -> list[Path]:
    """All that are logs by their names."""
    return sorted({path for folder in folders for name in NAMES for path in Path(folder).rglob(name)})


def modified(path: Path) -> int:
    """When a file was last written, Unix ns: by the repository that it is checked out from, for that sets no times."""
    command = ["git", "-C", str(path.parent), "log", "-1", "--format=%ct", "--", path.name]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        said = ""
    return min(int(said) * 10**9 if said else 1 << 62, path.stat().st_mtime_ns)


def events(path: Path, written: int) -> list[ReadEvent]:
    """The events of a file, as `sidelog parse` gives them."""
    from agent.config.schema import SourceConfig
    from agent.parse.settings import ParseSettings
    from agent.views.parsing import LogReader

    settings = ParseSettings.from_source(SourceConfig(name="survey", include=[]))
    reader = LogReader(settings, "survey", str(path), {}, modified=written)
    with path.open("rb") as file:
        return list(reader.events(iter(lambda: file.read(1 << 17), b"")))


def known_levels(path: Path) -> dict[int, int]:
    """The levels that LogHub names, by the lines' numbers from 0 on."""
    beside = path.with_name(f"{path.name}_structured.csv")
    if not beside.exists():
        return {}
    with beside.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {int(row["LineId"]) - 1: readings.level_of(row.get("Level") or "") for row in rows}
    return {number: level for number, level in found.items() if level is not None}


def survey(path: Path, tally: Tally) -> None:
    """Count what was read of one file."""
    data, written = path.read_bytes(), modified(path)
    levels = known_levels(path)
    for event in events(path, written):
        end = data.find(b"\n", event.offset)
        line = data[event.offset : end if end >= 0 else None].decode("utf-8", "replace").rstrip("\r")
        number = data.count(b"\n", 0, event.offset) if levels else -1
        _count_instant(event, line, written, path, tally)
        level = levels.get(number, readings.level(line) if not levels else None)
        if level is not None:
            right = event.severity > 0 and (event.severity - 1) // 4 == level
            found = f"{event.severity} for {level * 4 + 1}"
            tally.count("severity", right=right, path=path, line=line, found=found)


def _count_instant(event: ReadEvent, line: str, written: int, path: Path, tally: Tally) -> None:
    said = readings.instants(line)
    tally.counts["events"] += 1
    has_own = event.timestamp < written + DAY_NS and not (event.parse_error or "").startswith("no timestamp")
    tally.counts["future"] += event.timestamp > written + DAY_NS and has_own
    if not said and event.parse_error:
        tally.counts["without"] += 1
        return
    right = not event.parse_error and any(one.agrees(event.timestamp) for one in said)
    found = event.parse_error or shown_instant(event.timestamp)
    tally.count("instant", right=right, path=path, line=line, found=found)


def shown_instant(instant: int) -> str:
    """For people."""
    from agent.views import iso

    return iso(instant) or ""


# ---------------------------------------------------------------- lines without a level


def prose(number: int) -> list[str]:
    """So many lines of docstrings and comments that are sentences, some behind an instant."""
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        text = path.read_text("utf-8", "replace")
        pieces = [match[1] or match[2] for match in _PROSE.finditer(text)]
        found += [line for piece in pieces for line in piece.split("\n") if len(line.split()) > 2]
        if len(found) >= number:
            break
    return [f"2026-11-22 05:39:26 {line}" if at % 5 == 0 else line for at, line in enumerate(found[:number])]


def access(number: int) -> Iterator[tuple[str, int]]:
    """So many lines of access logs, and the severities that they have."""
    draw = random.Random(12)
    for at in range(number):
        status, path = draw.choice((200, 200, 301, 404, 500)), draw.choice(_PATHS).replace("%d", str(at))
        agent = draw.choice(_AGENTS)
        line = f'10.0.{at % 250}.1 - - [22/Nov/2026:05:39:{at % 60:02d} +0000] "GET {path} HTTP/1.1" {status} {at} "-"'
        yield f'{line} "{agent}"', 17 if status >= 500 else 13 if status >= 400 else 9


def false_severities(shown: int) -> Row:
    """The share of lines that got a severity which they have not."""
    from agent.parse.formats import line_rules

    find, wrong = line_rules("auto").find_head, list[str]()
    texts = prose(PROSE)
    wrong += [line for line in texts if find(line).severity]
    for line, severity in access(ACCESS):
        if find(line).severity != severity:
            wrong.append(line)
    for line in wrong[:shown]:
        print(f"false severity: {line[:LONGEST]!r}", file=sys.stderr)
    total = len(texts) + ACCESS
    beside = f"{len(wrong):,} of {total:,} lines"
    return Row("false severities, prose and access logs", 100 * len(wrong) / total, "%", 0.1, beside=beside)


def measure(options: argparse.Namespace) -> list[Row]:
    """The figures of all files together."""
    folders = options.logs or os.environ.get("LOGS", "").split()
    tally, paths, shown = Tally(), files(folders), getattr(options, "misses", 0)
    if not paths:
        print(f"no {' or '.join(NAMES)} in {' '.join(folders) or 'no folder: --logs FOLDER'}", file=sys.stderr)
    for path in paths:
        survey(path, tally)
    for what, lines in tally.misses.items():
        for line in lines[:shown]:
            print(f"{what} ({len(lines)}): {line}", file=sys.stderr)
    counts = tally.counts
    rows = []
    if paths:
        wrong = {what: counts[what] - counts[f"{what}, right"] for what in ("instant", "severity")}
        beside = (
            f"{wrong['instant']} not, of {counts['instant']:,} of {counts['events']:,} events in {len(paths)} files"
        )
        rows = [
            Row("real logs, instants right", tally.share("instant"), "%", 98, at_least=True, beside=beside),
            Row("real logs, instants in the future", counts["future"], "events", 0),
            Row(
                "real logs, severity where the line has one",
                tally.share("severity"),
                "%",
                97,
                at_least=True,
                beside=f"{wrong['severity']} not, of {counts['severity']:,} events",
            ),
        ]
    return [*rows, false_severities(shown)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", metavar="FOLDER")
    parser.add_argument("--misses", type=int, default=0, help="lines of each file to show that are read otherwise")
    common.report(measure, parser)


if __name__ == "__main__":
    main()
