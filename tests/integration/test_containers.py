"""Logs of containers where the kubelet and Docker put them: both streams, attributes, rotation, crash and audit."""

from __future__ import annotations

import json

import pytest

from tests.integration.harness import append, wait_until

ID = "3f4a" * 16
UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
POD = f"var/log/pods/prod_shop-7d_{UID}/web"


def cri(text: str, stream: str = "stdout", tag: str = "F") -> bytes:
    return f"2026-11-22T05:39:26.123456789Z {stream} {tag} {text}\n".encode()


TRACE = b"".join(
    [
        cri("Traceback (most recent call last):", "stderr"), cri('{"level":"info","msg":"between"}'),
        cri('  File "shop.py", line 7, in pay', "stderr"), cri('{"level":"info","msg":"again"}'),
        cri("KeyError: 'card'", "stderr"),
    ]
)  # fmt: skip


def rows(box, *arguments):
    done = box.run("query", "-o", "json", "-n", "all", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_pod_and_container_follow_from_the_kubelets_paths(box):
    directory = box.root / POD
    directory.mkdir(parents=True)
    links = box.root / "var/log/containers"
    links.mkdir()
    (directory / "0.log").write_bytes(TRACE)
    (links / f"shop-7d_prod_web-{ID}.log").symlink_to(directory / "0.log")
    docker = box.root / f"var/lib/docker/containers/{ID}"
    docker.mkdir(parents=True)
    (docker / f"{ID}-json.log").write_bytes(b'{"log":"x\\n","stream":"stdout","time":"2026-11-22T05:39:26Z"}\n')
    sources = [
        {"name": "pods", "include": [f"{links}/*.log"], "labels": {"k8s.namespace.name": "mine", "team": "a"}},
        {"name": "docker", "include": [f"{docker.parent}/*/*-json.log"]},
    ]
    box.config.write_text(json.dumps({**json.loads(box.config.read_text()), "sources": sources}))
    box.once()
    found = rows(box, "-s", "pods")
    assert [row["body"] for row in found] == ["KeyError: 'card'", "between", "again"]
    del found[0]["resource"]["host.name"]
    assert found[0]["resource"] == {
        "container.id": ID, "k8s.container.name": "web", "k8s.container.restart_count": 0, "k8s.pod.uid": UID,
        "k8s.namespace.name": "mine", "k8s.pod.name": "shop-7d", "team": "a",
    }  # fmt: skip
    assert [row["body"] for row in rows(box, f"container.id={ID}", "-s", "docker")] == ["x"]
    assert len(rows(box, "k8s.pod.name=shop-7d")) == 3
    assert box.run("audit").returncode == 0


@pytest.mark.parametrize("archived", [False, True])
def test_a_rotated_log_keeps_its_container(box, archived):
    """The kubelet renames; the same file is read on, and its archive has the same attributes."""
    directory = box.root / POD
    directory.mkdir(parents=True)
    log = directory / "1.log"
    document = json.loads(box.config.read_text())
    document["sources"] = [{"name": "pods", "include": [f"{directory}/*.log"]}]
    if archived:
        document["archive"] = {"directory": str(box.root / "archive"), "quiet": "0s"}
    box.config.write_text(json.dumps(document))
    log.write_bytes(TRACE)
    box.once()
    append(log, cri("late"))
    log.rename(directory / "1.log.20261122-053926")
    log.write_bytes(cri("new"))
    box.once()
    found = rows(box, "k8s.container.restart_count=1")
    assert sorted(row["body"] for row in found) == sorted(["KeyError: 'card'", "between", "again", "late", "new"])
    assert {row["resource"]["k8s.pod.uid"] for row in found} == {UID}
    assert len(box.sql("SELECT id FROM files")) == 2
    if archived:
        assert len(rows(box, "k8s.pod.name=shop-7d", "--archives")) == 4
    assert box.run("audit").returncode == 0


def test_a_kill_while_an_event_is_open_neither_loses_nor_doubles(box):
    """What lies behind the beginning of an open event is read again, the other stream's events included."""
    box.configure(multiline={"start": "^Traceback", "timeout": "10m"})
    box.start()
    lines = TRACE.splitlines(keepends=True)
    first = cri('{"level":"info","msg":"first"}')
    append(box.log, first + b"".join(lines[:4]))
    wait_until(lambda: box.sql('SELECT "offset" FROM files') == [(len(first),)])
    assert box.count() == 1
    box.kill()
    append(box.log, lines[4])
    box.once()
    found = rows(box)
    assert [row["body"][:9] for row in found] == ["first", "Traceback", "between", "again"]
    assert [row["offset"] for row in found[1:3]] == [len(first), len(first + lines[0])]
    raw = box.run("query", "-o", "raw", "-n", "all").stdout
    assert raw == first + lines[0] + lines[2] + lines[4] + lines[1] + lines[3]
    assert box.run("audit").returncode == 0


def test_a_line_that_rotation_split_is_an_event_in_each_file(box):
    log = box.logs / "0.log"
    log.write_bytes(cri("one ", tag="P"))
    box.once()
    log.rename(box.logs / "0.log.20261122-053926")
    log.write_bytes(cri("two") + cri("three"))
    box.once()
    assert [row["body"] for row in rows(box)] == ["one ", "two", "three"]
    assert box.run("audit").returncode == 0
