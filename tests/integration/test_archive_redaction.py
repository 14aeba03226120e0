"""Archives of a source with `redact` hold no secret, and answer as the store did, each event at its place."""

import gzip
import json

import pytest

from agent.store.maintenance import Retention
from agent.store.opening import open_store
from tests.integration.archiving import age, archives, configure, content, run, unpacked
from tests.integration.harness import append

CANARY = "hunter2"
REDACT = {"redact": ["password", "token"]}
TIME = "2026-11-22T03:{:02d}:{:02d}.000Z"


def lines(start: int, count: int) -> bytes:
    """Lines of all kinds, of which most hold a secret; times rise."""
    found = []
    for number in range(start, start + count):
        at, secret = TIME.format(number // 60, number % 60), f"{CANARY}-{number}"
        found.append(
            [
                json.dumps({"timestamp": at, "level": "info", "message": "in", "password": secret, "n": number}),
                f"{at[:-1]} ERROR shop.pay: refused token={secret} for {number}\n  at pay(password='{secret}')",
                json.dumps({"timestamp": at, "level": "warn", "message": "plain", "n": number}),
                json.dumps({"log": f'{{"n":{number},"token":"{secret}"}}\n', "stream": "stdout", "time": at}),
            ][number % 4]
        )
    return "\n".join(found).encode() + b"\n"


@pytest.fixture
def box(quick_box):
    configure(quick_box, REDACT)
    return quick_box


def answer(box, *arguments: str) -> list[dict]:
    """Rows of `query`, without what differs between a store and its archives."""
    done = box.run("query", "-n", "all", "-o", "json", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        for name in ("id", "observed_timestamp", "path", "group"):
            row.pop(name)
    return rows


def expire(box, share: float) -> None:
    """Let retention take the oldest events."""
    opened = open_store(box.store, min_free_bytes=0)
    [[last]] = box.sql("SELECT max(id) FROM events")
    with opened.writer.connection:
        Retention(opened.writer, age_ns=None, size_bytes=None)._delete_through(round(last * share))
    opened.close()


def leaks(box) -> list[str]:
    """Files of the agent that hold the secret, compressed or not."""
    found = [path for path in box.root.rglob("*") if path.is_file() and box.logs not in path.parents]
    return [
        path.name
        for path in found
        if CANARY.encode() in (unpacked(path) if path.suffix == ".zst" else path.read_bytes())
    ]


def test_an_archive_answers_as_the_store_did_and_holds_no_secret(box):
    box.log.write_bytes(lines(0, 120))
    box.once()
    before, raw = answer(box), box.run("query", "-n", "all", "-o", "raw", "!refused", "!token").stdout
    box.log.rename(box.logs / "app.log.1")
    box.log.touch()
    assert run(box)["archived"] == 1
    assert leaks(box) == []
    assert answer(box) == before
    expire(box, 0.4)
    assert answer(box) == before
    expire(box, 1.0)
    assert answer(box) == before == answer(box, "--archives")
    assert box.run("query", "-n", "all", "-o", "raw", "!refused", "!token").stdout == raw
    assert box.run("query", "--count").stdout == b"%d\n" % len(before)
    assert [row["n"] for row in (one["attributes"] for one in answer(box, "n=100"))] == [100]
    assert answer(box, CANARY) == []
    assert box.run("archive", "verify").returncode == 0
    [archive] = archives(box)
    printed = box.run("archive", "cat", archive.name).stdout
    assert (printed, printed.count(b"[redacted]")) == (content(box)[0], 120)
    assert box.run("audit").returncode == 0
    assert box.run("backup", str(box.root / "backup.db")).returncode == 0
    assert leaks(box) == []


def test_the_index_made_again_finds_each_event_once(box):
    box.log.write_bytes(lines(0, 100))
    (box.logs / "app.log.3.gz").write_bytes(gzip.compress(lines(200, 40)))
    age(box.logs / "app.log.3.gz")
    box.once()
    box.log.rename(box.logs / "app.log.1")
    box.log.touch()
    run(box)
    expire(box, 0.5)
    before = answer(box)
    tables = [box.sql(f"SELECT * FROM {name}") for name in ("archives", "archive_frames", "archive_filters")]
    assert box.run("archive", "run", "--reindex").returncode == 0
    assert [box.sql(f"SELECT * FROM {name}") for name in ("archives", "archive_frames", "archive_filters")] == tables
    assert answer(box) == before
    for path in box.store.parent.glob("sidelog.db*"):
        path.unlink()
    assert box.run("archive", "run", "--reindex").returncode == 0
    assert answer(box) == before
    assert box.run("archive", "verify").returncode == 0


def test_a_log_that_grew_is_known_by_what_its_archive_holds(box):
    """Also where the keys have changed since, and where the archive holds the log itself."""
    configure(box, {"redact": []}, delete_source=False)
    log = box.logs / "app.log.1"
    box.log.touch()
    for number, keys in enumerate(([], ["token"], ["password", "token"])):
        configure(box, {"redact": keys}, delete_source=False)
        append(log, lines(number * 10, 10))
        age(log, 100 - number)
        assert run(box)["archived"] == 1
        assert len(archives(box)) == 1
        assert len(answer(box)) == (number + 1) * 10
        assert box.run("archive", "verify").returncode == 0
    assert leaks(box) == []
    offsets = [row["offset"] for row in answer(box)]
    assert offsets == sorted(offsets)
    whole = log.read_bytes()
    assert all(whole[place - 1 : place] in (b"", b"\n") for place in offsets)


@pytest.mark.parametrize("first", [[], ["token"], ["password", "token"]])
def test_a_log_that_is_archived_is_not_archived_again_under_another_name(box, first):
    configure(box, {"redact": first}, delete_source=False)
    log = box.logs / "app.log.1"
    box.log.touch()
    log.write_bytes(lines(0, 20))
    age(log)
    assert run(box)["archived"] == 1
    configure(box, REDACT)
    (box.logs / "app.log.2.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    age(box.logs / "app.log.2.gz")
    summary = run(box)
    assert (summary["archived"], summary["known"], summary["deleted"]) == (0, 1, 1)
    assert len(answer(box)) == 20


@pytest.mark.parametrize("first", [[], ["token"]])
def test_archives_that_were_made_before_are_named_and_made_anew(box, first):
    """Of a followed log, partly stored, and of one that nobody followed and that was kept."""
    configure(box, {"redact": first}, delete_source=False)
    box.log.write_bytes(lines(0, 60))
    (box.logs / "app.log.2").write_bytes(lines(200, 20))
    age(box.logs / "app.log.2", 20)
    box.once()
    box.log.rename(box.logs / "app.log.1")
    box.log.touch()
    run(box)
    expire(box, 1.0)
    before = answer(box)
    configure(box, REDACT, delete_source=False)
    done = box.run("check")
    assert b"SL813" in done.stdout
    assert b"2 archives" in done.stdout
    assert b"archive run --redact" in done.stdout
    old = archives(box)
    done = box.run("archive", "run", "--redact", "--json")
    assert json.loads(done.stdout) == {"redacted": 2, "findings": []}
    assert not any(path.exists() for path in old)
    after = answer(box)
    assert [(row["timestamp"], row["offset"], row["severity_number"]) for row in after] == [
        (row["timestamp"], row["offset"], row["severity_number"]) for row in before
    ]
    assert answer(box, CANARY) == []
    assert box.run("query", "--count").stdout == b"%d\n" % len(before)
    assert box.run("archive", "verify").returncode == 0
    assert b"SL813" not in box.run("check").stdout
    assert run(box)["archived"] == 0, "the kept logs are still known"
    assert box.run("archive", "run", "--reindex").returncode == 0
    assert answer(box) == after
    assert box.run("archive", "verify").returncode == 0
    assert json.loads(box.run("archive", "run", "--redact", "--json").stdout)["redacted"] == 0


def test_a_damaged_archive_is_not_made_anew(box):
    configure(box, {"redact": []})
    box.log.touch()
    for number in (2, 1):
        (box.logs / f"app.log.{number}").write_bytes(lines(number * 20, 20))
        age(box.logs / f"app.log.{number}", number)
    run(box)
    first, _ = archives(box)
    data = first.read_bytes()
    first.write_bytes(data[:50] + b"\0\0\0\0" + data[54:])
    configure(box, REDACT)
    done = box.run("archive", "run", "--redact")
    assert (done.returncode, done.stderr.count(b"error[SL803]")) == (1, 1)
    assert b"1 archive redacted" in done.stderr
    assert first.exists()
    assert len(archives(box)) == 2


def test_damaged_positions_are_noticed(box):
    box.log.touch()
    (box.logs / "app.log.1").write_bytes(lines(0, 20))
    age(box.logs / "app.log.1")
    run(box)
    [path] = archives(box)
    data = path.read_bytes()
    place = data.index(b"\x52\x2a\x4d\x18") + 30
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    done = box.run("archive", "verify")
    assert (done.returncode, b"error[SL803]" in done.stderr) == (1, True)
    done = box.run("query", "--count")
    assert (done.returncode, done.stdout) == (1, b"0\n")
