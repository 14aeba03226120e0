"""Instants that lines do not say in full: of old files, in the store and in the archive alike."""

import os
from datetime import UTC, datetime

import pytest

from tests.integration.archiving import configure, run
from tests.needs import needs

pytestmark = needs("zstd")

WRITTEN = datetime(2021, 1, 2, 10, 0, 1, tzinfo=UTC)
LINES = """\
Dec 31 23:59:59 web1 cron[7]: the old year
Jan  1 00:00:01 web1 cron[7]: the new year
W0101 09:00:00.000000       1 server.go:72] warned
{"time":"2021-01-02 10:00:00 CET","level":"error","msg":"it broke"}
{"time":"2021-01-02 10:00:00 IST","level":"error","msg":"it broke elsewhere"}
{"time":"2121-01-02T10:00:00Z","level":"error","msg":"it will break"}
"""
WANTED = ["2020-12-31T23:59:59", "2021-01-01T00:00:01", "2021-01-01T09:00:00", "2021-01-02T09:00:00"]
REASONS = ["time zone cannot be told: 2021-01-02 10:00:00 IST", "timestamp is ahead: 2121-01-02T10:00:00Z"]


def check(rows: list[dict]) -> None:
    rows = sorted(rows, key=lambda row: row["offset"])
    assert [row["timestamp"][:19] for row in rows[: len(WANTED)]] == WANTED
    assert [row.get("parse_error") for row in rows] == [None] * len(WANTED) + REASONS


@pytest.fixture
def box(quick_box):
    configure(quick_box)
    return quick_box


@pytest.mark.parametrize("is_stored", [True, False])
def test_an_old_log_has_its_own_years_in_the_store_and_in_the_archive(box, is_stored):
    log = box.log if is_stored else box.logs / "app.log.1"
    box.log.touch()
    log.write_text(LINES)
    os.utime(log, (WRITTEN.timestamp(), WRITTEN.timestamp()))
    if is_stored:
        box.once()
        check(box.query("--hot"))
        log.rename(box.logs / "app.log.1")
    assert run(box)["archived"] == 1
    check(box.query("--archives"))
    assert box.run("archive", "verify").returncode == 0
    for path in box.store.parent.glob(f"{box.store.name}*"):
        path.unlink()
    assert box.run("archive", "run", "--reindex").returncode == 0
    check(box.query("--archives"))
