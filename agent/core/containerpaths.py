"""Which container wrote a log, by its path alone: no configuration, no API, whatever the image is.

    /var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log         the kubelet's, with its rotations
    /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log             the kubelet's links to these
    /var/lib/docker/containers/ID/ID-json.log                      Docker's

https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/helpers.go (BuildContainerLogsDirectory)
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/legacy.go (logSymlink)
https://docs.docker.com/engine/logging/drivers/json-file/

They count below any directory, for a container with the host's file system in it sees them below another one. None of
the names can have an underscore or a slash, so that a path is read in one way only.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

# OpenTelemetry's names: https://opentelemetry.io/docs/specs/semconv/resource/k8s/
POD, NAMESPACE, CONTAINER, UID = "k8s.pod.name", "k8s.namespace.name", "k8s.container.name", "k8s.pod.uid"
RESTARTS, ID = "k8s.container.restart_count", "container.id"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # of RFC 1123, as Kubernetes asks of these names
_SUBDOMAIN = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_ROTATED = r"(?:[.-][\w.:+-]{1,64})?"  # `.20261122-053926`, `.1`, perhaps with `.gz` behind it
_PODS = lazy(
    rf"(?:.*/)?pods/(?P<namespace>{_LABEL})_(?P<pod>{_SUBDOMAIN})_(?P<uid>[0-9A-Za-z-]{{1,64}})"
    rf"/(?P<container>{_LABEL})/(?P<restarts>\d{{1,9}})\.log{_ROTATED}",
    re.ASCII | re.DOTALL,
)
_CONTAINERS = lazy(
    rf"(?:.*/)?containers/(?P<pod>{_SUBDOMAIN})_(?P<namespace>{_LABEL})_(?P<container>{_LABEL})-(?P<id>[0-9a-f]{{64}})"
    rf"\.log{_ROTATED}",
    re.ASCII | re.DOTALL,
)
_DOCKER = lazy(
    rf"(?:.*/)?containers/(?P<id>[0-9a-f]{{64}})/(?P=id)-json\.log{_ROTATED}",
    re.ASCII | re.DOTALL,
)
_NAMES = {"pod": POD, "namespace": NAMESPACE, "container": CONTAINER, "uid": UID, "restarts": RESTARTS, "id": ID}


def container_attributes(*paths: str) -> dict[str, str | int]:
    """The resource attributes of the container whose log lies at some paths, of which the first that knows one counts;
    none where none of them is a container's.
    """
    found: dict[str, str | int] = {}
    for path in paths:
        for pattern in (_PODS, _CONTAINERS, _DOCKER):
            match = pattern.fullmatch(path)
            if match is not None:
                parts = {_NAMES[name]: value for name, value in match.groupdict().items()}
                found = {**parts, **found}
                break
    if RESTARTS in found:
        found[RESTARTS] = int(found[RESTARTS])
    return dict(sorted(found.items()))


@lru_cache(maxsize=4096)
def file_resource(resource: str, *paths: str) -> str:
    """The resource attributes of the events of one file, as a JSON object.

    Args:
        resource: of its source, as a JSON object. What it names counts before what the paths say.
        paths: where the file lies: as it was found, and without symbolic links.
    """
    found = container_attributes(*paths)
    if not found:
        return resource
    own: Mapping[str, object] = msgspec.json.decode(resource)
    return msgspec.json.encode({**found, **own}).decode()
