"""What an object charges against a ResourceQuota, and which quotas concern it. Admission charges, the controller recounts.

Pure, on canonical dicts. Pods, claims, Services and ResourceClaims are measured; everything else is counted
(`count/<resource>.<group>`, and four old names).
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pybernetes.api.objects import GroupResource
from pybernetes.api.quantity import Quantity, of_int
from pybernetes.rules.podresources import Quantities, add, of_container, of_pod, quantities
from pybernetes.rules.resourcenames import COMPUTE, HUGE_PAGES, is_extended

PODS = GroupResource("", "pods")
CLAIMS = GroupResource("", "persistentvolumeclaims")
SERVICES = GroupResource("", "services")
DEVICES = GroupResource("resource.k8s.io", "resourceclaims")
IGNORED = frozenset({GroupResource("", "events"), GroupResource("events.k8s.io", "events")})
MEASURED = (PODS, CLAIMS, SERVICES, DEVICES)
"""Resources of which an object may charge more than one."""
OLD_NAMES = frozenset({"configmaps", "secrets", "replicationcontrollers", "resourcequotas"})
"""Core resources that are also counted under their own name."""

NONE = Quantity()
_ONE = of_int(1)
_MUST_BE_SET = frozenset(
    prefix + name for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory")
)  # a mistake of old that clients rely on: who quotas these makes every container say them
_POD_NAMES = {"pods", "count/pods", *(p + n for p in ("", "requests.", "limits.") for n in COMPUTE)}
_CLAIM_NAMES = ("persistentvolumeclaims", "requests.storage")
_BY_CLASS = ".storageclass.storage.k8s.io/"
_SERVICE_NAMES = {"services", "count/services", "services.nodeports", "services.loadbalancers"}
_BY_DEVICE_CLASS = ".deviceclass.resource.k8s.io/devices"
_IMPLICIT = "deviceclass.resource.kubernetes.io/"
_ALL_DEVICES = 32
"""Devices that one claim can be given at most: what a request for all of them may take."""
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def count_name(resource: GroupResource) -> str:
    """`count/deployments.apps`."""
    return f"count/{resource}"


def concerns(resource: GroupResource, name: str) -> bool:
    """Whether objects of the resource charge what a quota calls `name`."""
    if resource == PODS:
        return name in _POD_NAMES or name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}")) or _counts_extended(name)
    if resource == CLAIMS:
        if name == "count/persistentvolumeclaims" or name in _CLAIM_NAMES:
            return True
        return name.endswith(tuple(_BY_CLASS + one for one in _CLAIM_NAMES))
    if resource == SERVICES:
        return name in _SERVICE_NAMES
    if resource == DEVICES:
        return name == count_name(DEVICES) or name.endswith(_BY_DEVICE_CLASS) or _counts_extended(name)
    return name == count_name(resource) or (not resource.group and name == resource.resource and name in OLD_NAMES)


def _counts_extended(name: str) -> bool:
    rest = name.removeprefix("requests.")
    return rest != name and _is_counted(rest)


def _is_counted(name: str) -> bool:
    """A vendor's resource, or the devices of a class under the name that every class has (KEP-5004)."""
    return is_extended(name) or name.startswith(_IMPLICIT)


def usage(
    resource: GroupResource, obj: Mapping[str, Any], now: float, extended: Mapping[str, str] | None = None
) -> Quantities:
    """What one object charges. `extended`: DeviceClasses and the names under which Pods ask for their devices (extended_names)."""
    if resource == PODS:
        return _of_pod(obj, now)
    if resource == CLAIMS:
        return _of_claim(obj)
    if resource == SERVICES:
        return _of_service(obj)
    if resource == DEVICES:
        return _of_device_claim(obj, extended or {})
    found: Quantities = {count_name(resource): _ONE}
    if not resource.group and resource.resource in OLD_NAMES:
        found[resource.resource] = _ONE
    return found


def handles(
    resource: GroupResource, operation: str, subresource: str, obj: Mapping[str, Any], old: Mapping[str, Any] | None
) -> bool:
    """Whether such a request can change what is used."""
    created = operation == "CREATE" and not subresource
    if operation != "UPDATE" or old is None:
        return created
    if resource == PODS:
        return subresource == "resize" or (not subresource and _terminating(obj) != _terminating(old))
    if resource == CLAIMS and subresource == "status":
        return _allocated(obj) != _allocated(old) or volume_classes(obj) != volume_classes(old)
    return resource in (CLAIMS, SERVICES, DEVICES) and not subresource


def selectors(quota: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A quota's scopes, all as selector requirements."""
    spec = quota.get("spec") or {}
    found = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return [*found, *((spec.get("scopeSelector") or {}).get("matchExpressions") or ())]


def in_scope(resource: GroupResource, selector: Mapping[str, Any], obj: Mapping[str, Any]) -> bool:
    """Whether one scope of a quota holds for the object; only Pods and claims have scopes."""
    scope = selector.get("scopeName")
    if resource == CLAIMS and scope == "VolumeAttributesClass":
        return _selected(selector, volume_classes(obj))
    if resource != PODS:
        return False
    spec = obj.get("spec") or {}
    match scope:
        case "Terminating" | "NotTerminating":
            return _terminating(obj) is (scope == "Terminating")
        case "BestEffort" | "NotBestEffort":
            return best_effort(obj) is (scope == "BestEffort")
        case "PriorityClass":
            name = spec.get("priorityClassName")
            return _selected(selector, {name} if name else set())
        case "CrossNamespacePodAffinity":
            return any("namespaceSelector" in term or term.get("namespaces") for term in _affinity_terms(spec))
    return False


def all_in_scope(resource: GroupResource, quota: Mapping[str, Any], obj: Mapping[str, Any]) -> bool:
    """Whether every scope of the quota holds for the object."""
    return all(in_scope(resource, selector, obj) for selector in selectors(quota))


def unset(obj: Mapping[str, Any], names: Iterable[str]) -> str:
    """`must specify limits.cpu for: c; memory for: a,b` for a Pod whose containers leave out what quotas need; or empty."""
    needed = sorted(_MUST_BE_SET.intersection(names))
    missing: dict[str, set[str]] = {}
    spec = obj.get("spec") or {}
    own = spec.get("resources") or {}
    if not needed or own.get("requests") or own.get("limits"):
        return ""
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        given = _charged(of_container(container, "requests"), of_container(container, "limits"))
        for name in needed:
            if name not in given:
                missing.setdefault(name, set()).add(container.get("name", ""))
    if not missing:
        return ""
    return "must specify " + "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def best_effort(pod: Mapping[str, Any]) -> bool:
    """Whether no container asks for or is limited in CPU or memory."""
    known = (pod.get("status") or {}).get("qosClass")
    if known:
        return bool(known == "BestEffort")
    spec = pod.get("spec") or {}
    parts = [spec] if spec.get("resources") else [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return not any(
        value.nanos > 0
        for part in parts
        for which in ("requests", "limits")
        for name, value in quantities((part.get("resources") or {}).get(which)).items()
        if name in ("cpu", "memory")
    )


def counted(pod: Mapping[str, Any], now: float) -> bool:
    """Whether a Pod still counts: it has not ended, and its grace is not long over."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    metadata = pod.get("metadata") or {}
    marked, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    if not marked or grace is None:
        return True
    try:
        return bool(now <= datetime.fromisoformat(marked).timestamp() + grace)
    except ValueError:
        return True


def _of_pod(pod: Mapping[str, Any], now: float) -> Quantities:
    found: Quantities = {"count/pods": _ONE}
    if counted(pod, now):
        requests = of_pod(pod, "requests", overhead=True, actual=True)
        limits = of_pod(pod, "limits", overhead=True, actual=True)
        found.update(_charged(requests, limits))
        found["pods"] = _ONE
    return found


def _charged(requests: Quantities, limits: Quantities) -> Quantities:
    found: Quantities = {}
    for name, value in requests.items():
        if name in COMPUTE or name.startswith(HUGE_PAGES):
            found[name] = found[f"requests.{name}"] = value
        elif _is_counted(name):
            found[f"requests.{name}"] = value
    for name in COMPUTE:
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    return found


def _terminating(pod: Mapping[str, Any]) -> bool:
    seconds = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return bool(seconds is not None and seconds >= 0)


def _affinity_terms(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighted.get("podAffinityTerm") or {}


def _selected(selector: Mapping[str, Any], names: set[str]) -> bool:
    """A selector's operator over the classes that an object names; several are alternatives."""
    values = set(selector.get("values") or ())
    match selector.get("operator"):
        case "Exists":
            return bool(names)
        case "DoesNotExist":
            return not names
        case "In":
            return bool(names & values)
        case "NotIn":
            return not names or bool(names - values)
    return False


def volume_classes(claim: Mapping[str, Any]) -> set[str]:
    """The VolumeAttributesClasses that a claim wants, has, and is being given: it is in the scope of each."""
    status = claim.get("status") or {}
    names = (
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {name for name in names if name}


def _allocated(claim: Mapping[str, Any]) -> Quantity | None:
    return quantities((claim.get("status") or {}).get("allocatedResources")).get("storage")


def storage_class(claim: Mapping[str, Any]) -> str:
    """The StorageClass of a claim; the annotation of old goes first."""
    annotations = (claim.get("metadata") or {}).get("annotations") or {}
    if _CLASS_ANNOTATION in annotations:
        return str(annotations[_CLASS_ANNOTATION])
    return str((claim.get("spec") or {}).get("storageClassName") or "")


def _of_claim(claim: Mapping[str, Any]) -> Quantities:
    found: Quantities = {"persistentvolumeclaims": _ONE, "count/persistentvolumeclaims": _ONE}
    spec = claim.get("spec") or {}
    storage = quantities((spec.get("resources") or {}).get("requests")).get("storage")
    if storage is not None:
        allocated = _allocated(claim)
        storage = max(storage, allocated) if allocated is not None else storage
        found["requests.storage"] = of_int(storage.value(), storage.format)
    name = storage_class(claim)
    if name:
        found.update({f"{name}{_BY_CLASS}{one}": found[one] for one in _CLAIM_NAMES if one in found})
    return found


def _of_service(service: Mapping[str, Any]) -> Quantities:
    spec = service.get("spec") or {}
    ports, kind = spec.get("ports") or (), spec.get("type")
    nodes = 0
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        nodes = sum(bool(port.get("nodePort")) for port in ports)
    elif kind in ("NodePort", "LoadBalancer"):
        nodes = len(ports)
    return {
        "count/services": _ONE,
        "services": _ONE,
        "services.nodeports": of_int(nodes),
        "services.loadbalancers": of_int(int(kind == "LoadBalancer")),
    }


def extended_names(classes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """DeviceClasses by name, and the resource name under which Pods may ask for their devices (KEP-5004)."""
    named = ((one["metadata"]["name"], (one.get("spec") or {}).get("extendedResourceName")) for one in classes)
    return {name: extended for name, extended in named if extended}


def _of_device_claim(claim: Mapping[str, Any], extended: Mapping[str, str]) -> Quantities:
    """Devices count under every name that they may be asked for by, so that no way around a quota is left."""
    found: Quantities = {count_name(DEVICES): _ONE}
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ():
        if request.get("exactly"):
            add(found, _devices(request["exactly"], extended))
        most: Quantities = {}
        for choice in request.get("firstAvailable") or ():
            for name, number in _devices(choice, extended).items():
                most[name] = max(most.get(name, number), number)
        add(found, most)
    return found


def _devices(request: Mapping[str, Any], extended: Mapping[str, str]) -> Quantities:
    mode, name = request.get("allocationMode") or "ExactCount", request.get("deviceClassName", "")
    number = of_int({"ExactCount": request.get("count") or 0, "All": _ALL_DEVICES}.get(mode, 0))
    names = [f"{name}{_BY_DEVICE_CLASS}", f"requests.{_IMPLICIT}{name}"]
    if name in extended:
        names.append(f"requests.{extended[name]}")
    return dict.fromkeys(names, number)


def shown(amounts: Mapping[str, Quantity]) -> str:
    """`cpu=1,pods=2`, as refusals list amounts."""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))
