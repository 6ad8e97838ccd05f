"""Binding (the scheduler's verdict) of Pods. pods.py and bindings.py use it; eviction is in _pod_eviction.py."""

from typing import Any

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import conflict, invalid, not_supported, required
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.resources._columns import status

PODS = GroupResource("", "pods")
_NODES = GroupResource("", "nodes")
_BINDING = GroupResource("", "pods/binding")
_TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
"""Labels that a bound Pod has from its Node (KEP-4742)."""

SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def bind(call: Call, body: Object) -> Object:
    """POST pods/{name}/binding: puts an unbound Pod on a Node (v1 Binding)."""
    name = call.name or (body.get("metadata") or {}).get("name") or ""
    target = body.get("target") or {}
    errors = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(required("target.name"))
    if errors:
        raise invalid("", "Binding", name, errors)
    meta = body.get("metadata") or {}
    node = call.registry.look(_NODES, "", target["name"]) or {}
    of_node = (node.get("metadata") or {}).get("labels") or {}
    given = {
        "annotations": meta.get("annotations") or {},
        "labels": {**(meta.get("labels") or {}), **{key: of_node[key] for key in _TOPOLOGY if key in of_node}},
    }
    moment = rfc3339(call.registry.clock.now())

    def change(pod: Object) -> Object:
        _refuse_unbindable(pod, name, meta)
        pod["spec"]["nodeName"] = target["name"]
        for field, values in given.items():
            if values:
                pod["metadata"][field] = {**(pod["metadata"].get(field) or {}), **values}
        set_condition(pod, {"type": "PodScheduled", "status": "True"}, moment)
        pod["status"].pop("nominatedNodeName", None)
        return pod

    if call.dry_run:
        change(await call.registry.get(PODS, call.namespace, name))
    else:
        await call.registry.update(PODS, call.namespace, name, change)
    return dict(SUCCESS)


def _refuse_unbindable(pod: Object, name: str, meta: Object) -> None:
    check_preconditions(PODS, pod, meta)
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict(_BINDING, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise conflict(_BINDING, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
    if pod["spec"].get("schedulingGates"):
        raise conflict(_BINDING, name, f"pod {name} has non-empty .spec.schedulingGates")


def check_preconditions(resource: GroupResource, obj: Object, wanted: Object) -> None:
    """Raises Conflict where `wanted` names another uid or resourceVersion than the object has."""
    meta: dict[str, Any] = obj["metadata"]
    for field, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != meta.get(field):
            why = f"Precondition failed: {shown} in precondition: {wanted[field]}, {shown} in object meta: "
            raise conflict(resource, meta["name"], why + str(meta.get(field) or ""))


def set_condition(pod: Object, condition: Object, moment: str) -> None:
    """Adds or replaces a condition; its transition time moves only when its status does."""
    conditions = list(status(pod).get("conditions") or ())
    old = next((c for c in conditions if c.get("type") == condition["type"]), None)
    changed = old is None or old.get("status") != condition["status"]
    fresh = {**condition, "lastTransitionTime": moment if changed or old is None else old.get("lastTransitionTime")}
    generation = pod["metadata"].get("generation")
    if generation:
        fresh["observedGeneration"] = generation
    pod["status"] = {
        **status(pod),
        "conditions": [fresh if c is old else c for c in conditions] if old is not None else [*conditions, fresh],
    }
