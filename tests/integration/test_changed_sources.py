"""Sources that change: a file goes on at its offset for the source that matches it now, and history stays as it was."""

import contextlib
import gzip
import json
import signal
import sqlite3
import subprocess
from collections import Counter

import pytest

from agent.store.maintenance import Retention
from agent.store.opening import open_store
from tests.integration.archiving import age
from tests.integration.harness import SIDELOG, append, event, wait_until

SECRET = "hunter2"


def configure(box, *sources, **more):
    """Write a configuration with these sources: (name, patterns, and whatever else)."""
    document = {
        "store": {"path": str(box.store), "flush_interval": "50ms", "min_free": "1MiB"},
        "sources": [
            {"name": name, "include": [f"{box.logs}/{pattern}" for pattern in patterns], **rest}
            for name, patterns, rest in sources
        ],
        **more,
    }
    box.config.write_text(json.dumps(document))


def story(box, *arguments):
    """Number, source and team of every event that a query finds, by number."""
    return sorted((row["attributes"]["n"], row["source"], row["resource"].get("team")) for row in box.query(*arguments))


def change_live(box, *sources, **more):
    """Let a running agent take another configuration, and wait until it says so."""
    before = box.said().count("configuration reloaded")
    configure(box, *sources, **more)
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: box.said().count("configuration reloaded") > before, what="the reload")


def whole(box):
    """Nothing is lost, doubled or wrong."""
    assert box.books_balance(), box.run("audit").stdout.decode()
    assert "SL999" not in box.said()


CHANGES = {
    "renamed": [("shop", ["app.log"], {})],
    "merged": [("shop", ["*.log"], {})],
    "narrow removed": [("shop", ["*.log*"], {})],
    "relabelled": [("app", ["app.log"], {"labels": {"team": "b"}}), ("other", ["other.log"], {})],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("live", [False, True], ids=["restart", "reload"])
def test_a_file_goes_on_for_the_source_that_matches_it_now(box, change, live):
    first = [("app", ["app.log"], {"labels": {"team": "a"}}), ("other", ["other.log"], {})]
    then = CHANGES[change]
    name, _, facts = then[0]
    team = facts.get("labels", {}).get("team")
    other = box.logs / "other.log"
    configure(box, *first)
    append(box.log, event(1) + event(2))
    append(other, event(101))
    box.start()
    box.wait_count(3)
    if live:
        change_live(box, *then)
    else:
        assert box.stop() == 0
        configure(box, *then)
        append(box.log, event(3))
        box.start()
    if live:
        append(box.log, event(3))
    append(other, event(102))
    keeps = change == "renamed"  # nobody matches the other one any more
    box.wait_count(4 if keeps else 5)
    assert [row for row in story(box) if row[0] < 100] == [(1, "app", "a"), (2, "app", "a"), (3, name, team)]
    assert box.stop() == 0
    whole(box)
    box.log.rename(box.logs / "app.log.1")
    append(box.log, event(4))
    box.start()
    box.wait_count(5 if keeps else 6)
    assert [row for row in story(box) if row[0] < 100][3:] == [(4, name, team)]
    assert [row[0] for row in story(box, "-s", name) if row[0] < 100] == ([1, 2, 3, 4] if name == "app" else [3, 4])
    whole(box)


def test_the_rest_of_a_log_that_was_compressed_meanwhile_is_for_the_new_source(box):
    configure(box, ("app", ["app.log"], {}))
    append(box.log, event(1))
    box.once()
    append(box.log, event(2))
    with gzip.open(box.logs / "app.log.1.gz", "wb") as file:
        file.write(box.log.read_bytes())
    box.log.unlink()
    append(box.log, event(3))
    configure(box, ("shop", ["app.log"], {}))
    box.once()
    box.once()
    assert story(box) == [(1, "app", None), (2, "shop", None), (3, "shop", None)]
    whole(box)


def test_a_pattern_on_the_command_line_and_a_configuration_later(box):
    append(box.log, event(1))
    command = [*SIDELOG, "run", "--once", f"{box.logs}/*.log", "--set", f"store.path={box.store}"]
    done = subprocess.run(command, cwd=box.root, env=box.env, capture_output=True, check=False, timeout=40)
    assert done.returncode == 0, done.stderr.decode()
    assert box.count() == 1
    configure(box, ("shop", ["*.log"], {"labels": {"team": "b"}}))
    append(box.log, event(2))
    box.once()
    [first, second] = story(box)
    assert first[1:] != ("shop", "b")
    assert second == (2, "shop", "b")
    whole(box)


def test_another_host_name_leaves_history_alone(box):
    """A machine that is renamed, or a container that is made anew."""
    append(box.log, event(1))
    box.once()
    old = box.query()[0]["resource"]
    append(box.log, event(2))
    script = 'hostname elsewhere && exec "$@"'
    done = subprocess.run(
        ["unshare", "-ru", "sh", "-c", script, "sh", *SIDELOG, "run", "--once", "-c", str(box.config)],
        cwd=box.root,
        env=box.env,
        capture_output=True,
        check=False,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert [row["resource"] for row in box.query()] == [old, {**old, "host.name": "elsewhere"}]
    whole(box)


def test_changes_before_anything_is_read_leave_one_row(box):
    for name in ("app", "shop", "till"):
        configure(box, (name, ["*.log"], {}))
        append(box.log, b"")
        box.once()
    append(box.log, event(1))
    box.once()
    assert story(box) == [(1, "till", None)]
    assert box.sql("SELECT source, state FROM files") == [("till", "active")]
    whole(box)


@pytest.mark.parametrize("name", ["app", "shop"])
@pytest.mark.parametrize("live", [False, True], ids=["restart", "reload"])
def test_a_secret_that_is_read_after_the_change_is_redacted(box, name, live):
    configure(box, ("app", ["*.log"], {}))
    append(box.log, event(1))
    box.start()
    box.wait_count(1)
    redacted = (name, ["*.log"], {"redact": ["password"], "max_line": "1KiB"})
    secrets = event(2, password=SECRET, long="x" * 2000) + event(3, password=SECRET)
    if live:
        change_live(box, redacted)
        append(box.log, secrets)
    else:
        assert box.stop() == 0
        append(box.log, secrets)
        configure(box, redacted)
        box.start()
    box.wait_count(2)
    assert box.stop() == 0
    assert story(box) == [(1, "app", None), (3, name, None)]
    assert box.sql("SELECT reason FROM gaps") == [("over_long",)]
    for path in box.store.parent.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    whole(box)


def expire(box, events):
    """As retention does: the first so many events leave the store."""
    opened = open_store(box.store, min_free_bytes=0)
    with opened.writer.connection:
        Retention(opened.writer, age_ns=None, size_bytes=None)._delete_through(events)
    opened.close()


@pytest.mark.parametrize(
    ("then", "source", "team"),
    [(("shop", ["app.log"], {}), "shop", None), (("app", ["app.log"], {"labels": {"team": "b"}}), "app", "b")],
    ids=["renamed", "relabelled"],
)
def test_an_archive_of_a_log_of_two_sources_doubles_and_loses_nothing(box, then, source, team):
    """While both parts are in the store, once a part of them is not, and once nothing is."""
    archive = {"archive": {"quiet": "0s"}}
    configure(box, ("app", ["app.log"], {"labels": {"team": "a"}}), **archive)
    append(box.log, event(1) + event(2))
    box.once()
    configure(box, then, **archive)
    append(box.log, event(3) + event(4))
    box.once()
    rotated = box.logs / "app.log.1"
    box.log.rename(rotated)
    age(rotated)
    append(box.log, event(5))
    box.once()
    assert not rotated.exists(), box.run("archive", "run", "--json").stdout
    expected = [(1, "app", "a"), (2, "app", "a"), *((n, source, team) for n in (3, 4, 5))]
    later = [row for row in expected if row[1] == source]
    assert story(box, "--archives") == expected[:4]
    for expired in (0, 1, 2, 3, 4):
        if expired:
            expire(box, expired)
        if expired == 2:
            assert box.run("archive", "run", "--reindex").returncode == 0
        assert story(box) == expected, expired
        assert story(box, "-s", source) == later, expired
        counted = {row["source"]: row["count"] for row in box.query("--by", "source")}
        assert counted == Counter(row[1] for row in expected), expired
    assert box.run("archive", "verify").returncode == 0
    whole(box)


def test_a_log_is_rotated_without_an_agent_for_the_source_that_matches_it_now(box):
    """Before any line of it was read for that source, and behind such lines."""
    configure(box, ("app", ["app.log"], {}))
    append(box.log, event(1))
    box.once()
    configure(box, ("shop", ["app.log"], {"rotate": {"size": "1B"}}))
    done = box.run("archive", "run", "--dry-run", "--json")
    assert [row["action"] for row in json.loads(done.stdout)] == ["rotate"]
    assert json.loads(box.run("archive", "run", "--json").stdout)["rotated"] == 1
    append(box.log, event(2))
    box.once()
    configure(box, ("till", ["app.log"], {"rotate": {"size": "1B"}}))
    append(box.log, event(3))
    box.once()
    assert json.loads(box.run("archive", "run", "--json").stdout)["rotated"] == 1
    assert sorted(path.name for path in box.logs.iterdir()) == ["app.log.1", "app.log.2"]
    append(box.log, event(4))
    box.once()
    assert story(box) == [(1, "app", None), (2, "shop", None), (3, "till", None), (4, "till", None)]
    whole(box)


def test_a_log_that_was_rotated_before_the_change_is_archived_as_what_it_was_read_as(box):
    configure(box, ("app", ["app.log"], {"labels": {"team": "a"}}))
    append(box.log, event(1))
    box.once()
    box.log.rename(box.logs / "app.log.1")
    append(box.log, event(2))
    box.once()
    configure(box, ("shop", ["app.log"], {}), archive={"quiet": "0s"})
    age(box.logs / "app.log.1")
    box.once()
    assert not (box.logs / "app.log.1").exists()
    expected = [(1, "app", "a"), (2, "app", "a")]
    assert story(box) == expected
    expire(box, 1)
    assert story(box) == expected
    whole(box)


def test_two_sources_that_change_names_while_the_store_is_locked(box):
    """What was read before the change waits for its commit, and is stored by the settings that it was read under."""
    other = box.logs / "other.log"
    secretive = {"redact": ["password"]}
    configure(box, ("app", ["app.log"], secretive), ("other", ["other.log"], {}))
    append(box.log, event(1))
    append(other, event(101))
    box.start()
    box.wait_count(2)
    with contextlib.closing(sqlite3.connect(box.store, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        append(box.log, event(2))
        wait_until(lambda: "SL408" in box.said(), what="a commit that cannot succeed")
        append(box.log, event(3, password=SECRET))
        wait_until(lambda: box.place_of(box.log) == box.log.stat().st_size, what="its reading")
        change_live(box, ("other", ["app.log"], secretive), ("app", ["other.log"], {}))
        append(box.log, event(4, password=SECRET))
        append(other, event(102))
        connection.execute("ROLLBACK")
    box.wait_count(6)
    assert box.stop() == 0
    assert story(box) == [
        *((n, "app", None) for n in (1, 2, 3)),
        (4, "other", None),
        (101, "other", None),
        (102, "app", None),
    ]
    for path in box.store.parent.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    whole(box)


def test_a_log_of_which_nothing_is_read_after_the_change_is_archived_as_what_it_was_read_as(box):
    """It was rotated just before, and is followed for a while, should its writer not be done with it."""
    configure(box, ("app", ["app.log"], {"labels": {"team": "a"}}))
    append(box.log, event(1))
    box.start()
    box.wait_count(1)
    rotated = box.log.rename(box.logs / "app.log.1")
    append(box.log, event(2))
    box.wait_count(2)
    change_live(box, ("shop", ["app.log"], {}))
    append(box.log, event(3))
    box.wait_count(3)
    age(rotated)
    change_live(box, ("shop", ["app.log"], {}), archive={"quiet": "0s"})
    wait_until(lambda: not rotated.exists(), what="the archive")
    assert box.stop() == 0
    assert box.sql("SELECT source, resource LIKE '%team%' FROM archives") == [("app", 1)]
    assert story(box) == [(1, "app", "a"), (2, "app", "a"), (3, "shop", None)]
    whole(box)
