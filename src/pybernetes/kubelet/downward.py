"""The downward API: fields and resources of a Pod as text, for environments and files.

See "Downward API": what a container may know of itself without asking the API server.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from pybernetes.api.quantity import parse
from pybernetes.api.types import core_v1
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.rules.goquote import quoted

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class Facts(Struct, frozen=True):
    """What of the node a container may see: addresses and what it may use at most (quantities)."""

    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = {}


def field_value(pod: core_v1.Pod, path: str, ips: tuple[str, ...], node: Facts) -> str:
    """The value of a fieldRef's fieldPath. Raises ValueError for a path that is no downward field."""
    meta = pod.metadata
    found = _SUBSCRIPT.fullmatch(path)
    if found:
        values = meta.labels if found.group(1) == "labels" else meta.annotations
        return values.get(found.group(2), "")
    if path in ("metadata.labels", "metadata.annotations"):
        values = meta.labels if path == "metadata.labels" else meta.annotations
        return "\n".join(f"{name}={quoted(value)}" for name, value in sorted(values.items()))
    plain = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.nodeName,
        "spec.serviceAccountName": pod.spec.serviceAccountName,
        "status.hostIP": next(iter(node.host_ips), ""),
        "status.hostIPs": ",".join(node.host_ips),
        "status.podIP": next(iter(ips), ""),
        "status.podIPs": ",".join(ips),
    }
    if path not in plain:
        raise ValueError(f"unsupported fieldPath: {path}")
    return plain[path]


def resource_value(
    pod: core_v1.Pod, selector: core_v1.ResourceFieldSelector, container: core_v1.Container | None, node: Facts
) -> str:
    """The value of a resourceFieldRef, in units of its divisor, rounded up. Raises ValueError."""
    if selector.containerName:
        container = next((c for c in containers_of(pod) if c.name == selector.containerName), None)
    if container is None:
        raise ValueError(f"container {selector.containerName} not found")
    kind, _, name = selector.resource.partition(".")
    if kind not in ("limits", "requests") or not name:
        raise ValueError(f"unsupported container resource : {selector.resource}")
    limits, requests = container.resources.limits, container.resources.requests
    text = limits.get(name, "") if kind == "limits" else requests.get(name, "")
    if not text and kind == "limits":
        # Without a limit of its own a container may use what its Pod may (KEP-2837), else what the node has.
        whole = pod.spec.resources.limits if pod.spec.resources is not None else {}
        text = whole.get(name) or node.allocatable.get(name, "0")
    quantity = parse(text or "0")
    divisor = parse(selector.divisor or "0") or parse("1")
    return str(-(-quantity.nanos // divisor.nanos))
