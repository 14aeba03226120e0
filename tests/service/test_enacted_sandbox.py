"""What `agent.service.sandbox` tells of a unit's files, beside the same settings mounted for real (`enacting.py`)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.service import unit
from agent.service.sandbox import Sandbox, written
from tests.needs import needs

pytestmark = needs("root", "util-linux", "mount")

ENACTING = Path(__file__).with_name("enacting.py")
TOPS = ("/home", "/root", "/run/user", "/srv", "/tmp", "/var/tmp", "/opt", "/media")
BELOW = ("", "/sub", "/sub/deep", "/other one")
PLACES = [top + below for top in TOPS for below in BELOW]
PROBE = 'for d; do test -e "$d/a.log" && printf e; test -w "$d" && printf w; test -x "$d/run" && printf x; echo; done'
WORDS = {
    "ProtectSystem": ["strict", "full", "yes"],
    "ProtectHome": ["yes", "read-only", "tmpfs"],
    "PrivateTmp": ["yes"],
    "PrivateDevices": ["yes"],
}
LISTS = (
    "InaccessiblePaths",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "TemporaryFileSystem",
    "BindPaths",
    "BindReadOnlyPaths",
)


def made(tmp_path, lines):
    file = tmp_path / "sidelog.service"
    file.write_text("\n".join(("[Service]", *lines, "")))
    return unit.find(str(file))


def enacted(tmp_path, lines):
    """(seen, writable, can be run) of each place, as the user nobody finds it."""
    made(tmp_path, lines)
    command = [
        sys.executable,
        ENACTING,
        "--fresh",
        tmp_path / "sidelog.service",
        "nobody",
        "/bin/sh",
        "-c",
        PROBE,
        "sh",
        *PLACES,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, (lines, done.stderr)
    return dict(zip(PLACES, (("e" in one, "w" in one, "x" in one) for one in done.stdout.split("\n")), strict=False))


def told(tmp_path, lines):
    """The same by the settings; what cannot be seen is not asked for more."""
    sandbox = Sandbox(made(tmp_path, lines))
    found = {}
    for place in PLACES:
        seen = sandbox.hides(f"{place}/a.log") is None
        runs = sandbox.forbids_execution(f"{place}/run") is None
        found[place] = (seen, seen and sandbox.protects(place) is None, seen and runs)
    return found


def some_lines(rng):
    lines = [f"{key}={rng.choice(words)}" for key, words in WORDS.items() if rng.random() < 0.5]
    for _ in range(rng.randint(1, 5)):
        named = [f"-{place}" for place in rng.sample(PLACES, rng.randint(1, 2))]
        key = rng.choice(LISTS)
        named = [word[1:] for word in named] if key == "TemporaryFileSystem" else named
        lines.append(f"{key}={' '.join(written(word) for word in named)}")
    return lines


@pytest.mark.parametrize("seed", range(24))
def test_what_is_told_of_files_is_what_is_found(tmp_path, seed):
    lines = some_lines(random.Random(seed))
    real = enacted(tmp_path, lines)
    found = told(tmp_path, lines)
    differs = {
        place: (real[place], found[place])
        for place in PLACES
        if real[place][0] != found[place][0] or (real[place][0] and real[place][1] != found[place][1])
    }
    assert differs == {}, lines


@pytest.mark.parametrize("seed", range(12))
def test_what_the_cure_says_opens_it_for_real(tmp_path, seed):
    """As `check --fix --yes` does it: again, while something else stands in the way."""
    rng = random.Random(seed)
    lines, place = some_lines(rng), rng.choice(PLACES)
    for _ in range(5):
        sandbox = Sandbox(made(tmp_path, lines))
        barrier = sandbox.hides(f"{place}/a.log") or sandbox.protects(place)
        if barrier is None:
            break
        lines += barrier.cure
    assert enacted(tmp_path, lines)[place][:2] == (True, True), lines


@pytest.mark.parametrize(
    "lines",
    [
        ["NoExecPaths=/opt /srv/sub", "ExecPaths=/opt/sub", "NoExecPaths=/opt/sub/deep"],
        ["NoExecPaths=/", "ExecPaths=/usr /bin /lib /lib64 /srv", "NoExecPaths=/srv"],
        ['NoExecPaths="/opt/other one" /opt/sub', "ExecPaths=/opt/sub"],
    ],
)
def test_what_cannot_be_run_and_the_cure_of_that(tmp_path, lines):
    real = enacted(tmp_path, lines)
    assert {place: row[2] for place, row in told(tmp_path, lines).items()} == {
        place: row[2] for place, row in real.items()
    }
    for place in [place for place in PLACES if not real[place][2]]:
        barrier = Sandbox(made(tmp_path, lines)).forbids_execution(f"{place}/run")
        assert Sandbox(made(tmp_path, [*lines, *barrier.cure])).forbids_execution(f"{place}/run") is None
    place = "/opt/sub" if "/opt/sub" in str(lines) else "/opt"
    barrier = Sandbox(made(tmp_path, lines)).forbids_execution(f"{place}/run")
    assert enacted(tmp_path, [*lines, *(barrier.cure if barrier else ())])[place][2]


@needs("acl")
def test_a_service_is_healed_by_what_is_printed_and_does_all_its_work():
    """Logs in homes, in /tmp, behind closed directories and closed themselves; archives, deletion, hooks."""
    healing = ["unshare", "--mount", "--propagation", "private", sys.executable, ENACTING.with_name("healing.py")]
    done = subprocess.run(healing, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["codes"] == ["SL112", "SL117", "SL118", "SL140", "SL144", "SL147"]
    before, after = report["before"], report["after"]
    assert (before["code"], before["archives"], before["rotated"], before["paged"]) == (1, 0, True, False)
    assert (report["ok"], report["rounds"] <= 3) == (True, True), report
    assert (after["code"], after["stored"]) == (0, {f"s{number}": 1 for number in range(5)}), report
    assert (after["archives"], after["rotated"], after["paged"]) == (5, False, True)
    assert [code for code in after["said"] if not code.startswith("SL7")] == [], "of hooks: nobody is at 192.0.2.7"
