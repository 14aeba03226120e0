"""The names and the ways of writing of usual rotating loggers: each line ends up once in store and archives together,
is found by a query, and what is archived is gone.

Two generations are written before the first run and two after it, so that logs are found that were read to their end,
partly, and not at all.
"""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests.integration.archiving import age, archives, configure, run, unpacked
from tests.integration.harness import Box, append
from tests.integration.oracle import Scribe
from tests.needs import needs

pytestmark = needs("zstd")

LINES = 7
DAYS = ("19", "20", "21", "22")


def renamed(step, folder, scribe, target):
    """app.log is renamed, and begun anew."""
    log = folder / "app.log"
    if step:
        log.rename(folder / target.format(day=DAYS[step - 1]))
    scribe.append(log, LINES)


def chained(step, folder, scribe, first, later):
    """app.log is renamed too, but so are all that were before it: the higher the number, the older."""
    for number in range(step, 1, -1):
        if (before := folder / later.format(number - 1)).exists():  # else it is archived
            before.rename(folder / later.format(number))
    if step:
        (folder / "app.log").rename(folder / first)
    scribe.append(folder / "app.log", LINES)


def copied(step, folder, scribe, target):
    log = folder / "app.log"
    if step:
        shutil.copy2(log, folder / target.format(day=DAYS[step - 1]))
        log.write_bytes(b"")
    scribe.append(log, LINES)


def named_anew(step, folder, scribe, target):
    """Each generation has a name of its own from the beginning, and is never renamed."""
    scribe.append(folder / target.format(day=DAYS[step], number=step or "", ordinal=step + 1), LINES)


def compressed_after(step, folder, scribe, target):
    """The same; the generation before is compressed, and deleted."""
    named_anew(step, folder, scribe, target)
    if step:
        before = folder / target.format(day=DAYS[step - 1])
        before.with_name(before.name + ".gz").write_bytes(gzip.compress(before.read_bytes()))
        before.unlink()
    (folder / ".0f9c-audit.json").write_text(json.dumps({"files": [step], "hashType": "sha256"}))


def linked(step, folder, scribe, target):
    """A symbolic link leads to the one that is written now."""
    named_anew(step, folder, scribe, target)
    (folder / "current.log").unlink(missing_ok=True)
    (folder / "current.log").symlink_to(target.format(ordinal=step + 1, day=""))


# per scheme: the pattern, what each step does, its arguments, and what remains at the end
SCHEMES = {
    "timed-seconds": ("*.log", renamed, ["app.log.2026-11-{day}_15-00-01"], ["app.log"]),
    "timed-midnight": ("*.log*", renamed, ["app.log.2026-11-{day}"], ["app.log"]),
    "dateext-extension": ("*.log", renamed, ["app-202611{day}.log"], ["app.log"]),
    "numbered": ("*.log*", chained, ["app.log.1", "app.log.{}"], ["app.log"]),
    "winston-tailable": ("*.log", chained, ["app1.log", "app{}.log"], ["app.log"]),
    "winston-upwards": ("*.log", named_anew, ["app{number}.log"], ["app3.log"]),
    "winston-daily": ("*.log", named_anew, ["app-2026-11-{day}.log"], ["app-2026-11-22.log"]),
    "winston-zipped": (
        *("*.log", compressed_after, ["app-2026-11-{day}.log"]),
        [".0f9c-audit.json", "app-2026-11-22.log"],
    ),
    "pino-number": ("*.log", named_anew, ["app.{ordinal}.log"], ["app.4.log"]),
    "pino-date": ("*.log", named_anew, ["app.2026-11-{day}.1.log"], ["app.2026-11-22.1.log"]),
    "pino-symlink": ("*.log", linked, ["app.{ordinal}.log"], ["app.4.log", "current.log"]),
    "pino-bare": ("app.*", named_anew, ["app.{ordinal}"], ["app.4"]),
    "copytruncate-globbed": ("*.log", copied, ["app-202611{day}.log"], ["app.log"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """All of them in one box, each a source of its own; and the scribes that wrote them."""
    box = Box(tmp_path_factory.mktemp("schemes"))
    scribes = {name: Scribe(name) for name in SCHEMES}
    document = json.loads(box.config.read_text())
    document["archive"] = {"quiet": "0s", "inactive": "1d"}
    document["sources"] = [
        {"name": name, "include": [f"{box.logs}/{name}/{pattern}"]} for name, (pattern, *_) in SCHEMES.items()
    ]
    box.config.write_text(json.dumps(document))
    for step in range(4):
        for name, (_, write, arguments, _) in SCHEMES.items():
            folder = box.logs / name
            folder.mkdir(exist_ok=True)
            write(step, folder, scribes[name], *arguments)
        if step % 2:
            box.once()
    for folder in box.logs.iterdir():  # the last one alone is written still
        for path in folder.glob("app*"):
            if path.name not in SCHEMES[folder.name][3]:
                age(path, 2 * 86_400)
    box.once()
    return box, scribes


@pytest.fixture(scope="module")
def found(world):
    """The lines that a query finds, by source."""
    lines = {name: [] for name in SCHEMES}
    for line in world[0].raw().splitlines():
        lines[json.loads(line)["stream"]].append(line)
    return lines


def test_each_line_is_found_once(found, world):
    for scheme in SCHEMES:
        assert sorted(found[scheme]) == sorted(world[1][scheme].written), scheme
        assert len(found[scheme]) == 4 * LINES, scheme


def test_what_is_archived_is_gone_and_nothing_else(world):
    box, scribes = world
    for scheme in SCHEMES:
        assert sorted(path.name for path in (box.logs / scheme).iterdir()) == SCHEMES[scheme][3], scheme
        there = b"".join(path.read_bytes() for path in (box.logs / scheme).glob("app*"))
        wanted = sorted(line for line in scribes[scheme].written if line not in there)
        rows = box.sql("SELECT path FROM archives WHERE source = ? ORDER BY id", scheme)
        assert len(rows) == 3, scheme
        assert len(wanted) == 3 * LINES, scheme
        kept = b"".join(unpacked(Path(path)) for [path] in rows)
        assert sorted(kept.splitlines()) == wanted, scheme


def test_the_archives_are_whole(world):
    assert len(archives(world[0])) == 3 * len(SCHEMES)
    assert world[0].run("archive", "verify").returncode == 0


def test_a_log_that_is_still_written_under_the_higher_number_is_not_taken_away(box):
    """Such a logger goes on in app.log.1 when app.log is full; nothing but the times tells."""
    document = json.loads(box.config.read_text())
    document["archive"] = {"quiet": "0s"}
    document["sources"][0]["include"] = [f"{box.logs}/*.log*"]
    box.config.write_text(json.dumps(document))
    scribe = Scribe()
    scribe.append(box.log, 3)
    age(box.log, 60)
    scribe.append(box.logs / "app.log.1", 3)
    box.once()
    assert archives(box) == []
    append(box.log, scribe.lines(1))
    age(box.logs / "app.log.1", 30)
    box.once()
    assert len(archives(box)) == 1
    assert sorted(box.raw().splitlines()) == sorted(scribe.written)


def test_a_rotated_log_that_the_patterns_match_is_stored_before_it_is_archived(quick_box):
    configure(quick_box, {"include": [f"{quick_box.logs}/*.log*"]})
    scribe = Scribe()
    scribe.append(quick_box.logs / "app.log.1", 3)
    scribe.append(quick_box.log, 3)
    summary = run(quick_box)
    assert (summary["archived"], summary["waiting"]) == (0, 1)
    quick_box.once()
    assert quick_box.count() == 6
    assert len(archives(quick_box)) == 1
