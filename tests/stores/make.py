"""Makes a store for `tests/cli/test_old_stores.py`: run once when a schema version lands, with its number first.

    python -m tests.stores.make 006-one-shape                        # by the code of the working tree
    python -m tests.stores.make 004-words 2f2619e                    # by the code of a commit
    python -m tests.stores.make 005-from-words 2f2619e 509efbc       # by that of one, then migrated by that of another
    python -m tests.stores.make 004-from-expired 238073d 2f2619e     # `expired`: its retention takes events

Each is `NAME.tar.zst`, and a table of `stores.toml` says what it holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stores.world import HERE, MADE_IN, known, pack, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = HERE.parents[1]
FIRST_WRITER = "d1695e1"  # there was a writer, but no agent
FIRST_PROFILE = "c900d4a"  # what that writer already imported came with this
ARCHIVING_FROM = 4  # schema version
ARCHIVED = 31  # events of the log that is rotated first
COUNTED = ("events", "error_groups", "gaps", "archives", "alert_history", "deliveries")
TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 3, in add\nValueError: bad'
TEXT = """\
2026-11-22 08:00:31,000 ERROR it broke
Traceback (most recent call last):
  File "/srv/shop/pay.py", line 7, in pay
    raise KeyError(1)
KeyError: 1
2026-11-22 08:00:32,000 INFO on
"""


def request_id(number: int) -> str:
    """The id of an event, different from all others."""
    return f"7f3ac9d2e41b{number:04}"


def line(number: int, level: str = "info", **fields: object) -> str:
    """One event; its number is its second of that minute. Filters of archives know its id."""
    at = f"2026-11-22T08:00:{number:02}.000Z"
    row = {"timestamp": at, "level": level, "message": f"event {number}", "request_id": request_id(number), **fields}
    return json.dumps(row) + "\n"


def first_lines() -> str:
    """Events, an error with its stack trace, a line that cannot be parsed, a blank one, one that is too long, and one
    in which an escape hides a word.
    """
    error = line(20, "error", message="cart is broken", exception=TRACE)
    later = "".join(map(line, range(21, 30))).replace("event 25", r"\u0061pple pie")
    return "".join(map(line, range(20))) + error + "{broken\n\n" + "x" * 3_000 + "\n" + later


def later_lines() -> str:
    """An event, and an error of now, which rules count."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return line(30) + line(31, "error", message="user 17 not found", timestamp=now)


@contextlib.contextmanager
def tree(commit: str) -> Iterator[Path]:
    """The code of a commit; of the working tree for an empty one."""
    if not commit:
        yield REPOSITORY
        return
    with tempfile.TemporaryDirectory() as place:
        code = Path(place) / "code"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", code, commit], cwd=REPOSITORY, check=True)
        try:
            if commit == FIRST_WRITER:
                found = subprocess.run(
                    ["git", "show", f"{FIRST_PROFILE}:agent/profile.py"],
                    cwd=REPOSITORY, check=True, capture_output=True,
                )  # fmt: skip
                (code / "agent" / "profile.py").write_bytes(found.stdout)
            yield code
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", code], cwd=REPOSITORY, check=True)


def python(code: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the code of a version."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=MADE_IN,
        env=kept | {"PYTHONPATH": str(code), "HOME": str(MADE_IN), "TZ": "UTC", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def version_of(code: Path) -> int:
    """The schema version of some code."""
    found = re.search(r"^VERSION = (\d+)$", (code / "agent" / "store" / "schema.py").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def agent(code: Path, *command: str, age: str | None = None) -> None:
    """Run the agent of a version on the logs; what goes wrong is printed."""
    config = write_config(MADE_IN, version_of(code), age=age)
    done = python(code, "-m", "agent", *command, "-c", str(config))
    if done.returncode:
        print(command, done.returncode, done.stderr)  # noqa: T201 - a script


def live(code: Path, *, expire: bool) -> None:
    """Let an agent follow logs through a rotation; what it cannot do yet, it leaves."""
    (MADE_IN / "logs" / "text.log").write_text(TEXT)
    agent(code, "run", "--once")
    app = MADE_IN / "logs" / "app.log"
    app.rename(app.with_name("app.log.1"))
    app.write_text(later_lines())
    agent(code, "run", "--once")
    if expire:
        time.sleep(2.0)
        with app.open("a") as log:
            log.write(line(32))  # stays
        agent(code, "run", "--once", age="1s")
    elif version_of(code) >= ARCHIVING_FROM:
        archive(code)


def archive(code: Path) -> None:
    """Let the rotated log be archived and deleted: it must have been quiet for a second."""
    rotated = MADE_IN / "logs" / "app.log.1"
    while rotated.exists():
        time.sleep(1.0)
        agent(code, "archive", "run")


def counts(store: Path) -> dict[str, int]:
    """How many rows the tables have that are to be kept."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTED}


def write_facts(facts: dict[str, dict[str, object]]) -> None:
    """Write what all stores hold."""
    blocks = ["# What the stores hold, as `make` has counted it; `found` is how many events a query has to find.\n"]
    for name, values in sorted(facts.items()):
        blocks += [f'["{name}"]\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())]
    (HERE / "stores.toml").write_text("\n".join(blocks))


def main() -> None:
    """Make the store that the command line names."""
    name, *commits = sys.argv[1:]
    shutil.rmtree(MADE_IN, ignore_errors=True)
    (MADE_IN / "logs").mkdir(parents=True)
    (MADE_IN / "logs" / "app.log").write_text(first_lines())
    found = ARCHIVED
    for number, commit in enumerate(commits or [""]):
        with tree(commit) as code:
            if commit == FIRST_WRITER:
                done = python(code, str(HERE / "first_writer.py"), str(MADE_IN))
                assert done.returncode == 0, done.stderr
                found -= 1
            elif number:  # the store is there: this one migrates it
                agent(code, "run", "--once")
                if "expired" in name:
                    archive(code)
            else:
                live(code, expire="expired" in name)
                found += 1 if "expired" in name else 4
    store = MADE_IN / "state" / "sidelog.db"
    pack(MADE_IN, name)
    write_facts({**known(), name: {"commits": commits, "found": found, **counts(store)}})
    print(name, known()[name], (HERE / f"{name}.tar.zst").stat().st_size)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
