"""Scale: the subresource `scale` of every resource that has one (autoscaling/v1 Scale): a window on the parent's replicas."""

from typing import Any

from pybernetes.api import errors, selectors
from pybernetes.api.objects import GroupVersionKind, Object
from pybernetes.apiserver.resource import ScalePaths

SCALE = GroupVersionKind("autoscaling", "v1", "Scale")
_UNSET = -(2**31)
"""Stands for the replicas of a parent that says none, while a Scale of it is patched."""
_COPIED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(parent: Object, paths: ScalePaths, *, patched: bool = False) -> Object:
    """The Scale that a parent shows; one that is to be patched need not say replicas yet. Raises InternalError."""
    status: Object = {"replicas": _at(parent, paths.status) or 0}
    text = _selector(_at(parent, paths.selector))
    if text:
        status["selector"] = text
    replicas = _at(parent, paths.spec)
    if replicas is None and patched:
        replicas = _UNSET
    if replicas is None:  # built-in kinds have a default; upstream answers so of custom ones that have none
        raise errors.InternalError(f'Internal error occurred: the spec replicas field ".{paths.spec}" does not exist')
    return {
        "kind": SCALE.kind,
        "apiVersion": SCALE.api_version,
        "metadata": {name: parent["metadata"][name] for name in _COPIED if name in parent["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scaled(parent: Object, scale: Object, paths: ScalePaths) -> Object:
    """The parent with the replicas of a Scale; its resourceVersion is the Scale's. Raises Invalid, BadRequest."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    name = parent["metadata"]["name"]
    if replicas == _UNSET:
        raise errors.BadRequest(f'the spec replicas field ".{paths.spec}" cannot be empty')
    check_replicas(replicas, name)
    *path, last = paths.spec.split(".")
    place: Any = parent
    for part in path:
        if not isinstance(place.get(part), dict):
            place[part] = {}
        place = place[part]
    place[last] = replicas
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        parent["metadata"]["resourceVersion"] = version
    else:
        parent["metadata"].pop("resourceVersion", None)
    return parent


def check_replicas(replicas: int, name: str) -> None:
    """What autoscaling validation says. Raises Invalid."""
    if replicas < 0:
        fault = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid(SCALE.group, SCALE.kind, name, [fault])


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _selector(value: Any) -> str:
    if not value or isinstance(value, str):  # custom kinds give it as text
        return value or ""
    if "matchLabels" in value or "matchExpressions" in value:
        return str(selectors.of_label_selector(value))
    return str(selectors.of_labels(value))
