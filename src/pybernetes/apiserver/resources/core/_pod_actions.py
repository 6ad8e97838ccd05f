"""Binding (the scheduler's verdict) and eviction of Pods. pods.py and bindings.py use them."""

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import BadRequest, conflict, invalid, not_supported, required
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.resources._columns import status

PODS = GroupResource("", "pods")
_BINDING = GroupResource("", "pods/binding")

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
    moment = rfc3339(call.registry.clock.now())

    def change(pod: Object) -> Object:
        _refuse_unbindable(pod, name, meta)
        pod["spec"]["nodeName"] = target["name"]
        for field in ("annotations", "labels"):
            if meta.get(field):
                pod["metadata"][field] = {**(pod["metadata"].get(field) or {}), **meta[field]}
        set_condition(pod, {"type": "PodScheduled", "status": "True"}, moment)
        return pod

    if call.dry_run:
        change(await call.registry.get(PODS, call.namespace, name))
    else:
        await call.registry.update(PODS, call.namespace, name, change)
    return dict(SUCCESS)


def _refuse_unbindable(pod: Object, name: str, meta: Object) -> None:
    for field in ("uid", "resourceVersion"):
        if meta.get(field) and meta[field] != pod["metadata"].get(field):
            shown = "UID" if field == "uid" else "ResourceVersion"
            why = f"Precondition failed: {shown} in precondition: {meta[field]}, {shown} in object meta: "
            raise conflict(_BINDING, name, why + str(pod["metadata"].get(field)))
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict(_BINDING, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise conflict(_BINDING, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
    if pod["spec"].get("schedulingGates"):
        raise conflict(_BINDING, name, f"pod {name} has non-empty .spec.schedulingGates")


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


async def evict(call: Call, body: Object) -> Object:
    """POST pods/{name}/eviction (policy/v1): a deletion that leaves a reason. There are no disruption budgets yet."""
    name = (body.get("metadata") or {}).get("name") or call.name
    if name != call.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    options = body.get("deleteOptions") or {}
    preconditions = options.get("preconditions") or {}
    pod = await call.registry.get(PODS, call.namespace, call.name)
    uid = pod["metadata"]["uid"]
    if preconditions.get("uid") and preconditions["uid"] != uid:
        why = f"Precondition failed: UID in precondition: {preconditions['uid']}, UID in object meta: {uid}"
        raise conflict(PODS, call.name, why)
    if call.dry_run:
        return dict(SUCCESS)
    grace = call.resource.grace
    seconds = grace(pod, options.get("gracePeriodSeconds")) if grace is not None else 0
    if not seconds:
        await call.registry.delete(PODS, call.namespace, call.name)
        return dict(SUCCESS)
    now = call.registry.clock.now()

    def change(obj: Object) -> Object | None:
        meta = obj["metadata"]
        if meta["uid"] != uid or (
            meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds", 0) <= seconds
        ):
            return None
        message = "Eviction API: evicting"
        set_condition(
            obj,
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": message},
            rfc3339(now),
        )
        if not meta.get("deletionTimestamp"):
            meta["generation"] = (meta.get("generation") or 0) + 1
        meta["deletionTimestamp"] = rfc3339(now + seconds)
        meta["deletionGracePeriodSeconds"] = seconds
        return obj

    await call.registry.update(PODS, call.namespace, call.name, change)
    return dict(SUCCESS)
