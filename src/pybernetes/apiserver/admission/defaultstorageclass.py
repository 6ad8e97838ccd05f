"""DefaultStorageClass: a claim that names no class gets the cluster's default one; of several the newest."""

from collections.abc import Collection, Mapping
from typing import Any

from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._followed import Followed, annotations
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry

CLASSES = GroupResource("storage.k8s.io", "storageclasses")
_MARKS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def newest(objects: Collection[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one that was created last; of one second the first by name."""
    by_name = sorted(objects, key=lambda one: str(one["metadata"]["name"]))
    return max(by_name, key=lambda one: str(one["metadata"].get("creationTimestamp") or ""), default=None)


def _start(registry: Registry, configuration: Object) -> Hooks:
    classes = Followed(registry, CLASSES)

    async def mutate(request: AdmissionRequest) -> None:
        spec = request.object.setdefault("spec", {})
        if spec.get("storageClassName") is not None or _OLD_CLASS in annotations(request.object):
            return
        default = newest([one for one in classes.of() if any(annotations(one).get(mark) == "true" for mark in _MARKS)])
        if default is not None:
            spec["storageClassName"] = default["metadata"]["name"]

    return Hooks(mutate=mutate)


ADMISSION = Admission(
    name="DefaultStorageClass",
    order=190,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"persistentvolumeclaims"}),
    start=_start,
)
