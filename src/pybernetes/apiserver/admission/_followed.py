"""What plugins know without asking: the objects of a resource as the watch cache has them, and short words for Pods."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pybernetes.api.errors import Forbidden, forbidden
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.extension import AdmissionRequest
from pybernetes.apiserver.registry import Registry

PODS, NODES, NAMESPACES = GroupResource("", "pods"), GroupResource("", "nodes"), GroupResource("", "namespaces")
MIRROR = "kubernetes.io/config.mirror"


class Followed:
    """Every object of one resource, kept by subscription. The objects are shared: they must not be changed.

    For resources with few objects that are asked for as a whole, or by namespace; single ones are Registry.look's.
    """

    def __init__(self, registry: Registry, resource: GroupResource) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        if resource in registry.resources:
            registry.subscribe(resource, self._note)

    def of(self, namespace: str = "") -> Collection[Object]:
        """Those of a namespace; of a resource without namespaces all."""
        return self._objects.get(namespace, {}).values()

    def get(self, name: str, namespace: str = "") -> Object | None:
        """One of them."""
        return self._objects.get(namespace, {}).get(name)

    def _note(self, change: Literal["ADDED", "MODIFIED", "DELETED"], obj: Object) -> None:
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        if change != "DELETED":
            self._objects.setdefault(namespace, {})[metadata["name"]] = obj
            return
        there = self._objects.get(namespace, {})
        there.pop(metadata["name"], None)
        if not there:
            self._objects.pop(namespace, None)


def refused(request: AdmissionRequest, why: str) -> Forbidden:
    """`pods "web" is forbidden: why`."""
    metadata = request.object.get("metadata") or {}
    name = request.call.name or metadata.get("name") or metadata.get("generateName") or "Unknown"
    return forbidden(request.call.resource.group_resource, name, why)


def annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """metadata.annotations, or none."""
    return (obj.get("metadata") or {}).get("annotations") or {}
