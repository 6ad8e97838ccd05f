"""What subresources of Pods may change of the spec: resources (resize) and additional ephemeral containers."""

from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api.errors import field_forbidden, invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.apiserver.validation.meta import keep_metadata
from pybernetes.apiserver.validation.pod.annotations import MIRROR, validate_annotation_updates
from pybernetes.apiserver.validation.pod.qos import qos_class
from pybernetes.apiserver.validation.pod.spec import validate_pod
from pybernetes.apiserver.validation.pod.update import difference, pruned

_KINDS = ("containers", "initContainers")
_RESIZED = ("cpu", "memory")
_ONLY = "only cpu and memory resources are mutable"
_ONLY_INIT = "only cpu and memory resources for init or sidecar containers are mutable"
_NO_RESTART = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"


def _keep_all(obj: Object, old: Object, spec: Mapping[str, Any]) -> None:
    """Everything as stored but this spec."""
    for field in tuple(obj):
        if field not in ("kind", "apiVersion", "metadata"):
            obj.pop(field)
    obj.update({field: value for field, value in old.items() if field not in ("kind", "apiVersion", "metadata")})
    obj["spec"] = dict(spec)
    keep_metadata(obj, old)


def _with(spec: Mapping[str, Any], field: str, value: Any) -> dict[str, Any]:
    kept = {name: held for name, held in spec.items() if name != field}
    return {**kept, field: value} if value else kept


# --- ephemeralcontainers


def keep_but_ephemeral_containers(obj: Object, old: Object) -> None:
    """Of a write to ephemeralcontainers only these count."""
    wanted = (obj.get("spec") or {}).get("ephemeralContainers")
    _keep_all(obj, old, _with(old.get("spec") or {}, "ephemeralContainers", wanted))


def validate_ephemeral_containers(obj: Object, old: Object) -> FieldErrors:
    """Called with (new, old): containers are added, those that are there stay as they are."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        yield field_forbidden("", "static pods do not support ephemeral containers")
        return
    yield from validate_pod(obj)
    yield from validate_annotation_updates(obj["metadata"], old["metadata"])
    at = "spec.ephemeralContainers"
    now = {container.get("name"): container for container in (obj.get("spec") or {}).get("ephemeralContainers") or ()}
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container.get("name") or ""
        if name not in now:
            yield field_forbidden(at, f'existing ephemeral containers "{name}" may not be removed\n')
        elif pruned(now[name]) != pruned(container):
            told = difference("core.EphemeralContainer", container, now[name])
            yield field_forbidden(at, f'existing ephemeral containers "{name}" may not be changed\n{told}')


# --- resize


def keep_but_resources(obj: Object, old: Object) -> None:
    """Of a write to resize only resources and resize policies count; other containers than there are stay to be refused."""
    new, before = obj.get("spec") or {}, old.get("spec") or {}
    if any(len(new.get(kind) or ()) != len(before.get(kind) or ()) for kind in _KINDS):
        return
    spec: Mapping[str, Any] = before
    for kind in _KINDS:
        spec = _with(spec, kind, _resized(new.get(kind) or (), before.get(kind) or ()))
    _keep_all(obj, old, _with(spec, "resources", new.get("resources")))


def _resized(new: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if any(now.get("name") != then.get("name") for now, then in zip(new, old, strict=True)):
        return list(new)
    merged: list[Mapping[str, Any]] = []
    for now, then in zip(new, old, strict=True):
        container = {**then, "resources": now.get("resources") or {}}
        if now.get("resizePolicy"):
            container["resizePolicy"] = now["resizePolicy"]
        else:
            container.pop("resizePolicy", None)
        merged.append(container)
    return merged


def validate_resize(obj: Object, old: Object) -> FieldErrors:
    """Called with (new, old)."""
    new, before = obj.get("spec") or {}, old.get("spec") or {}
    status = old.get("status") or {}
    if MIRROR in (old["metadata"].get("annotations") or {}):
        yield field_forbidden("", "static pods cannot be resized")
        return
    if (before.get("os") or {}).get("name") == "windows":
        yield field_forbidden("", "windows pods cannot be resized")
        return
    yield from validate_pod(obj)
    if (status.get("qosClass") or qos_class(before)) != qos_class(new):
        value = (obj.get("status") or {}).get("qosClass") or ""
        yield invalid_value("spec", value, "Pod QOS Class may not change as a result of resizing")
    if not _supported(status):
        yield field_forbidden("spec", "Pod running on node without support for resize")
    if new.get("resources") or before.get("resources"):
        yield from _pod_level(new, before)
    if status.get("nodeAllocatableResourceClaimStatuses"):
        yield field_forbidden("spec", "pods with node allocatable resource claims cannot be resized")
    moved = [*_order(new, before)]
    yield from moved
    if not moved:
        yield from _containers(new, before)


def _supported(status: Mapping[str, Any]) -> bool:
    """A kubelet that resizes tells what running containers have."""
    for state in status.get("containerStatuses") or ():
        if (state.get("state") or {}).get("running") is not None:
            return state.get("resources") is not None
    return True


def _order(new: Mapping[str, Any], old: Mapping[str, Any]) -> FieldErrors:
    for kind in _KINDS:
        now, then = new.get(kind) or (), old.get(kind) or ()
        if len(now) != len(then):
            yield field_forbidden(f"spec.{kind}", f"{kind} may not be added or removed on resize")
            continue
        for index, (here, there) in enumerate(zip(now, then, strict=True)):
            if here.get("name") != there.get("name"):
                yield field_forbidden(f"spec.{kind}[{index}].name", f"{kind} may not be renamed or reordered on resize")


def _pod_level(new: Mapping[str, Any], old: Mapping[str, Any]) -> FieldErrors:
    now, then = new.get("resources"), old.get("resources")
    if then and now is None:
        yield field_forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    for field in ("requests", "limits"):
        if _removed(now, then, field):
            yield field_forbidden(f"spec.resources.{field}", f"pod-level resource {field} cannot be removed")
    if _rest(now) != _rest(then):
        yield field_forbidden("spec", f"{_ONLY} at pod-level")


def _containers(new: Mapping[str, Any], old: Mapping[str, Any]) -> FieldErrors:
    for kind in reversed(_KINDS):
        for index, (now, then) in enumerate(zip(new.get(kind) or (), old.get(kind) or (), strict=True)):
            for field in ("requests", "limits"):
                if _removed(now.get("resources"), then.get("resources"), field):
                    at = f"spec.{kind}[{index}].resources.{field}"
                    yield field_forbidden(at, f"resource {field} cannot be removed")
    for now, then in zip(new.get("containers") or (), old.get("containers") or (), strict=True):
        if _but_resized(now) != _but_resized(then):
            yield field_forbidden("spec", _ONLY)
    for index, (now, then) in enumerate(
        zip(new.get("initContainers") or (), old.get("initContainers") or (), strict=True)
    ):
        at = f"spec.initContainers[{index}]"
        if _but_resized(now) != _but_resized(then):
            yield field_forbidden(at, _ONLY_INIT)
        restarted = any(rule.get("restartPolicy") == "RestartContainer" for rule in now.get("resizePolicy") or ())
        if restarted and now.get("restartPolicy") != "Always" and pruned(now) != pruned(then):
            yield field_forbidden(at, _NO_RESTART)


def _removed(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None, field: str) -> bool:
    return bool(((old or {}).get(field) or {}).keys() - ((new or {}).get(field) or {}).keys())


def _rest(resources: Mapping[str, Any] | None) -> Any:
    """Resources without the amounts that may change."""
    kept = dict(resources or {})
    for field in ("requests", "limits"):
        kept[field] = {name: text for name, text in (kept.get(field) or {}).items() if name not in _RESIZED}
    return pruned(kept)


def _but_resized(container: Mapping[str, Any]) -> Any:
    return pruned({**container, "resources": _rest(container.get("resources"))})
