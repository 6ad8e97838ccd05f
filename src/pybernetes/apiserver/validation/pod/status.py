"""Writes of a Pod's status: what must hold of addresses, conditions, container states, and what no write takes back."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.addresses import ip_address
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.pod.annotations import validate_annotation_updates, validate_annotations

_OWN_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_STATUSES = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_STAYS = "may not be transitioned to non-terminated state"
_FAMILIES = "may specify no more than one IP for each IP family"
_NOT_NEGATIVE = "must be a non-negative integer"
_ID = "must be between 0 and 2147483647, inclusive"
_CLAIM = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
    "'claim:<claimName>' if request is empty"
)


def prepare_pod_status(obj: Object, old: Object) -> None:
    """What a write of status cannot take back: owners, the QoS class, generations that were observed."""
    # Old kubelets sent owner references that they had not understood; upstream keeps the stored ones ever since.
    owners = old["metadata"].get("ownerReferences")
    obj["metadata"].pop("ownerReferences", None)
    if owners:
        obj["metadata"]["ownerReferences"] = owners
    new = obj["status"] = obj.get("status") or {}
    before = old.get("status") or {}
    for field in ("qosClass", "observedGeneration"):
        if before.get(field) and not new.get(field):
            new[field] = before[field]
    observed: dict[str, list[int]] = {}
    for condition in before.get("conditions") or ():
        observed.setdefault(condition.get("type") or "", []).append(condition.get("observedGeneration") or 0)
    for condition in new.get("conditions") or ():
        known = observed.get(condition.get("type") or "")
        generation = known.pop(0) if known else 0
        if generation and not condition.get("observedGeneration"):
            condition["observedGeneration"] = generation


def validate_pod_status(obj: Object, old: Object) -> FieldErrors:
    """Called with (new, old)."""
    new, before = obj.get("status") or {}, old.get("status") or {}
    spec = old.get("spec") or {}
    now, then = obj.get("metadata") or {}, old.get("metadata") or {}
    if now.get("annotations") != then.get("annotations"):
        yield from validate_annotation_updates(now, then)
        yield from validate_annotations(now, spec, "metadata.annotations")
    yield from _conditions(new)
    yield from _node(new, before, spec)
    if (new.get("qosClass") or "") != (before.get("qosClass") or ""):
        yield invalid_value("status.qosClass", new.get("qosClass") or "", "field is immutable")
    for field, kind in _STATUSES.items():
        if before.get(field):
            yield from _transitions(new, before, spec, field, kind)
    yield from _claims(new, spec)
    yield from _addresses(new, "podIPs")
    if new.get("hostIPs"):
        first = new["hostIPs"][0].get("ip") or ""
        if (new.get("hostIP") or "") != first:
            yield invalid_value("status.hostIPs[0].ip", first, "must be equal to `hostIP`")
        yield from _addresses(new, "hostIPs")
    for field, kind in _STATUSES.items():
        for at, state in each(new, field, "status"):
            if state.get("user") is not None:
                yield from _user(state["user"], f"{at}.user.linux", spec)
            if state.get("allocatedResourcesStatus"):
                yield from _allocated(state, at, spec, kind)


def _conditions(status: Mapping[str, Any]) -> FieldErrors:
    for at, condition in each(status, "conditions", "status"):
        if (condition.get("observedGeneration") or 0) < 0:
            yield invalid_value(f"{at}.observedGeneration", condition["observedGeneration"], _NOT_NEGATIVE)
        kind = condition.get("type") or ""
        if kind not in _OWN_CONDITIONS:
            yield from check(f"{at}.Type", kind, names.qualified_name(kind))


def _node(new: Mapping[str, Any], before: Mapping[str, Any], spec: Mapping[str, Any]) -> FieldErrors:
    nominated = new.get("nominatedNodeName") or ""
    if nominated and nominated != (before.get("nominatedNodeName") or ""):
        yield from check("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
        if spec.get("nodeName"):
            why = "may not be set on pods that are already bound to a node"
            yield field_forbidden("status.nominatedNodeName", why)
    if (new.get("observedGeneration") or 0) < 0:
        yield invalid_value("status.observedGeneration", new["observedGeneration"], _NOT_NEGATIVE)


def _transitions(
    new: Mapping[str, Any], before: Mapping[str, Any], spec: Mapping[str, Any], field: str, kind: str
) -> FieldErrors:
    """A container that is not restarted stays terminated."""
    alive = {
        state.get("name") for state in new.get(field) or () if (state.get("state") or {}).get("terminated") is None
    }
    containers = {container.get("name"): container for container in spec.get(kind) or ()}
    for at, state in each(before, field, "status"):
        terminated = (state.get("state") or {}).get("terminated")
        name = state.get("name")
        if terminated is None or name not in alive:
            continue
        container = containers.get(name)
        code = terminated.get("exitCode") or 0
        if kind == "ephemeralContainers" or container is None or not restarts(container, spec, code):
            if container is None and kind != "ephemeralContainers" and spec.get("restartPolicy") == "Always":
                continue
            yield field_forbidden(f"{at}.state", _STAYS)


def restarts(container: Mapping[str, Any], spec: Mapping[str, Any], code: int) -> bool:
    """Whether a container that ended with this code is started again: its rules, its policy, the Pod's."""
    policy = container.get("restartPolicy")
    if policy is not None:
        for rule in container.get("restartPolicyRules") or ():
            codes = rule.get("exitCodes") or {}
            hit = code in (codes.get("values") or ())
            if (codes.get("operator") == "In" and hit) or (codes.get("operator") == "NotIn" and not hit):
                if rule.get("action") in ("Restart", "RestartAllContainers"):
                    return True
                break
    # One container's rule may restart them all.
    if any(
        rule.get("action") == "RestartAllContainers"
        for kind in ("containers", "initContainers")
        for other in spec.get(kind) or ()
        for rule in other.get("restartPolicyRules") or ()
    ):
        return True
    policy = policy or spec.get("restartPolicy")
    return policy not in ("Never", "OnFailure") or (policy == "OnFailure" and code != 0)


def _claims(status: Mapping[str, Any], spec: Mapping[str, Any]) -> FieldErrors:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for at, claim in each(status, "resourceClaimStatuses", "status"):
        name = claim.get("name") or ""
        if name not in known:
            yield invalid_value(f"{at}.name", name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        if claim.get("resourceClaimName") is not None:
            value = claim["resourceClaimName"]
            yield from check(f"{at}.name", value, names.dns1123_subdomain(value))
    extended = status.get("extendedResourceClaimStatus")
    if extended is not None:
        yield from _extended(extended, spec, "status.extendedResourceClaimStatus")


def _extended(claim: Mapping[str, Any], spec: Mapping[str, Any], path: str) -> FieldErrors:
    containers = {c.get("name"): c for kind in ("initContainers", "containers") for c in spec.get(kind) or ()}
    if not claim.get("requestMappings"):
        yield required(f"{path}.requestMappings", "at least one request mapping is required")
    seen: set[tuple[str, ...]] = set()
    for at, mapping in each(claim, "requestMappings", path):
        fields = ("containerName", "resourceName", "requestName")
        key = tuple(mapping.get(field) or "" for field in fields)
        container = containers.get(key[0])
        if container is None:
            why = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            yield invalid_value(f"{at}.containerName", key[0], why)
        elif key[1] not in ((container.get("resources") or {}).get("requests") or {}):
            why = (
                "must match the extended resource name of an entry in spec.initContainers.resources.requests "
                "or spec.containers.resources.requests"
            )
            yield invalid_value(f"{at}.resourceName", key[1], why)
        yield from check(f"{path}.requestName", key[2], names.dns1123_label(key[2]))
        if key in seen:
            yield from (duplicate(f"{at}.{field}", value) for field, value in zip(fields, key, strict=True))
        seen.add(key)
    name = claim.get("resourceClaimName") or ""
    if not name:
        yield required(f"{path}.resourceClaimName")
    else:
        yield from check(f"{path}.resourceClaimName", name, names.dns1123_subdomain(name))


def _addresses(status: Mapping[str, Any], field: str) -> FieldErrors:
    """podIPs or hostIPs: valid, and two only of two families."""
    entries: Sequence[Mapping[str, Any]] = status.get(field) or ()
    for index, entry in enumerate(entries):
        address = entry.get("ip") or ""
        yield from check(f"status.{field}[{index}]", address, ip_address(address))
    if len(entries) > 1 and (len(entries) > 2 or {_family(entry.get("ip") or "") for entry in entries} != {4, 6}):
        yield invalid_value(f"status.{field}", entries, _FAMILIES)


def _family(address: str) -> int:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def _user(user: Mapping[str, Any], path: str, spec: Mapping[str, Any]) -> FieldErrors:
    linux = user.get("linux")
    if linux is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        yield field_forbidden(path, "cannot be set for a windows pod")
        return
    ids = [(f"{path}.{field}", linux.get(field) or 0) for field in ("uid", "gid")]
    ids += [(f"{path}.supplementalGroups[{i}]", group) for i, group in enumerate(linux.get("supplementalGroups") or ())]
    for at, number in ids:
        if not 0 <= number <= 2**31 - 1:
            yield invalid_value(at, number, _ID)


def _allocated(state: Mapping[str, Any], path: str, spec: Mapping[str, Any], kind: str) -> FieldErrors:
    """Health of devices: of resources that the container has, each device once."""
    if kind == "ephemeralContainers":
        yield field_forbidden(f"{path}.allocatedResourcesStatus", "must not be specified in container status")
        return
    container = next((c for c in spec.get(kind) or () if c.get("name") == state.get("name")), None)
    for at, resource in each(state, "allocatedResourcesStatus", path):
        if container is not None:
            yield from _asked_for(resource.get("name") or "", container, at)
        seen: set[str] = set()
        for position, device in each(resource, "resources", at):
            health, device_id = device.get("health") or "", device.get("resourceID") or ""
            if health not in _HEALTH:
                yield not_supported(f"{position}.health", health, _HEALTH)
            if device_id in seen:
                yield duplicate(f"{position}.resourceID", device_id)
            seen.add(device_id)


def _asked_for(name: str, container: Mapping[str, Any], path: str) -> FieldErrors:
    resources = container.get("resources") or {}
    if name.startswith("claim:"):
        claims = {
            f"claim:{claim.get('name') or ''}" + (f"/{claim['request']}" if claim.get("request") else "")
            for claim in resources.get("claims") or ()
        }
        if name not in claims:
            yield invalid_value(f"{path}.name", name, _CLAIM)
    elif name not in (resources.get("requests") or {}):
        yield invalid_value(f"{path}.name", name, "must match one of the container's resource requests")
