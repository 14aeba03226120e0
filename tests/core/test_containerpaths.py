"""Which container wrote a log follows from its path, whatever lies around it, and from no other path."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.containerpaths import container_attributes, file_resource

ID = "3f4a" * 16
UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
subdomains = st.lists(labels, min_size=1, max_size=3).map(".".join)
uids = st.one_of(st.uuids().map(str), st.from_regex(r"[0-9a-f]{32}", fullmatch=True))
ids = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
roots = st.sampled_from(["/var/log", "/host/var/log", "/srv/with space/ö\n", "/var/log/pods/containers", ""])
rotations = st.sampled_from(["", ".20261122-053926", ".20261122-053926.gz", ".1", ".12.gz", "-20261122", ".1.zst"])


@given(roots, subdomains, labels, labels, uids, st.integers(0, 10**6), rotations)
def test_the_kubelets_directories(root, pod, namespace, container, uid, restarts, rotation):  # noqa: PLR0917
    path = f"{root}/pods/{namespace}_{pod}_{uid}/{container}/{restarts}.log{rotation}"
    assert container_attributes(path) == {
        "k8s.pod.name": pod, "k8s.namespace.name": namespace, "k8s.container.name": container, "k8s.pod.uid": uid,
        "k8s.container.restart_count": restarts,
    }  # fmt: skip


@given(roots, subdomains, labels, labels, ids, rotations)
def test_the_kubelets_links(root, pod, namespace, container, number, rotation):  # noqa: PLR0917
    path = f"{root}/containers/{pod}_{namespace}_{container}-{number}.log{rotation}"
    assert container_attributes(path) == {
        "k8s.pod.name": pod, "k8s.namespace.name": namespace, "k8s.container.name": container, "container.id": number,
    }  # fmt: skip


@given(roots, ids, rotations)
def test_dockers_files(root, number, rotation):
    path = f"{root}/docker/containers/{number}/{number}-json.log{rotation}"
    assert container_attributes(path) == {"container.id": number}


@given(st.text(max_size=200), st.text("/_-.abcpods01container\n", max_size=80))
def test_any_text_is_a_path(text, other):
    for path in (text, other, f"/pods/{other}/c/0.log", f"/containers/{other}.log", f"/pods/a_b_c/{other}/0.log"):
        assert isinstance(container_attributes(path), dict)


@pytest.mark.parametrize(
    "path",
    [
        "/var/log/shop/app.log", "/var/log/pods/a_b_c/app.log", "/var/log/pods/a_b/c/0.log", "/var/log/pods/a_b_c/d/x",
        "/var/log/containers/pod_ns_c-123.log", "/var/log/pods/A_b_c/d/0.log", f"/containers/{ID}/{'0' * 64}-json.log",
        f"/x/containers/{ID}/{ID}-json.txt", "/var/log/mypods/a_b_c/d/0.log", "/var/log/pods/a_b_c/d/0.log/more",
        "pods" + "/pods" * 800, f"/var/log/pods/{'a' * 300}_b_c/d/0.log",
    ],
)  # fmt: skip
def test_other_paths_say_nothing(path):
    assert container_attributes(path) == {}


def test_a_link_and_its_target_are_known_together():
    link = f"/var/log/containers/shop-7d_prod_web-{ID}.log"
    target = f"/var/log/pods/prod_shop-7d_{UID}/web/3.log"
    assert container_attributes(link, target) == {
        "container.id": ID, "k8s.container.name": "web", "k8s.container.restart_count": 3,
        "k8s.namespace.name": "prod", "k8s.pod.name": "shop-7d", "k8s.pod.uid": UID,
    }  # fmt: skip
    docker = f"/var/lib/docker/containers/{ID}/{ID}-json.log"
    assert container_attributes(link, docker)["container.id"] == ID


def test_what_the_configuration_says_counts_before_the_path():
    own = json.dumps({"host.name": "h", "k8s.pod.name": "mine"})
    found = json.loads(file_resource(own, f"/var/log/pods/prod_shop_{UID}/web/0.log"))
    assert (found["k8s.pod.name"], found["k8s.namespace.name"], found["host.name"]) == ("mine", "prod", "h")
    assert file_resource(own, "/var/log/app.log") is own
