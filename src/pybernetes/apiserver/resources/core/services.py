"""Service: one address for many Pods. What becomes of its fields; _service_fields checks them, _service_allocation gives
addresses and node ports.
"""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.objects import Object
from pybernetes.apiserver.proxying import proxy_service
from pybernetes.apiserver.resource import Column, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, NONE, labels_text, spec, status
from pybernetes.apiserver.resources.core import _service_fields as fields
from pybernetes.apiserver.resources.core._service_allocation import allocate, release
from pybernetes.apiserver.resources.core._service_fields import (
    WITH_NODE_PORTS,
    checks_health,
    externally_accessible,
    has_address,
)

_AFFINITY_SECONDS = 10800


def _default(obj: Object) -> None:
    service = obj["spec"] = obj.get("spec") or {}
    for field, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
        if not service.get(field):
            service[field] = value
    _default_affinity(service)
    for port in service.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    if externally_accessible(service) and not service.get("externalTrafficPolicy"):
        service["externalTrafficPolicy"] = "Cluster"
    if service["type"] in ("ClusterIP", *WITH_NODE_PORTS) and service.get("internalTrafficPolicy") is None:
        service["internalTrafficPolicy"] = "Cluster"
    if service["type"] == "LoadBalancer":
        _default_balancer(obj)


def _default_affinity(service: Object) -> None:
    if service["sessionAffinity"] == "None":
        service.pop("sessionAffinityConfig", None)
    elif service["sessionAffinity"] == "ClientIP":
        client = (service.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            service["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}}


def _default_balancer(obj: Object) -> None:
    if obj["spec"].get("allocateLoadBalancerNodePorts") is None:
        obj["spec"]["allocateLoadBalancerNodePorts"] = True
    for point in (status(obj).get("loadBalancer") or {}).get("ingress") or ():
        if point.get("ip") and point.get("ipMode") is None:
            point["ipMode"] = "VIP"


def _prepare(obj: Object, old: Object | None) -> None:
    service = obj["spec"]
    if old is None:
        obj["status"] = {"loadBalancer": {}}
        if service.get("clusterIP") and not service.get("clusterIPs"):
            service["clusterIPs"] = [service["clusterIP"]]
        return
    before = spec(old)
    _keep_allocated(service, before)
    _align_addresses(service, before)
    _drop_of_other_type(service, before)
    obj["status"] = {**status(old)}
    if service["type"] != "LoadBalancer" or not obj["status"].get("loadBalancer"):
        obj["status"]["loadBalancer"] = {}  # its balancer is as good as gone


def _keep_allocated(service: Object, before: Mapping[str, Any]) -> None:
    """A client that leaves out what the server gave keeps it."""
    if has_address(service) and has_address(before):
        for field in ("clusterIP", "clusterIPs"):
            if not service.get(field) and before.get(field):
                service[field] = before[field]
    if service["type"] in WITH_NODE_PORTS and before.get("type") in WITH_NODE_PORTS:
        used = _node_ports(before) & _node_ports(service)
        held = {port.get("name") or "": port.get("nodePort") for port in before.get("ports") or ()}
        for port in service.get("ports") or ():
            known = held.get(port.get("name") or "")
            if not port.get("nodePort") and known and known not in used:
                port["nodePort"] = known
                used.add(known)
    if checks_health(service) and checks_health(before) and not service.get("healthCheckNodePort"):
        service["healthCheckNodePort"] = before.get("healthCheckNodePort") or 0


def _node_ports(service: Mapping[str, Any]) -> set[int]:
    return {port["nodePort"] for port in service.get("ports") or () if port.get("nodePort")}


def _align_addresses(service: Object, before: Mapping[str, Any]) -> None:
    """clusterIP and clusterIPs are one thing; the one that the client changed leads."""
    one, many = service.get("clusterIP") or "", service.get("clusterIPs") or []
    held, all_held = before.get("clusterIP") or "", before.get("clusterIPs") or []
    if all_held and not many and one == held:
        service["clusterIPs"] = many = list(all_held)
    if one != held and many == all_held:
        if held and not one:
            service.pop("clusterIPs", None)
        else:
            service["clusterIPs"] = [one]


def _drop_of_other_type(service: Object, before: Mapping[str, Any]) -> None:
    """What only the old type had goes, unless the client changed that too: then validation refuses it."""
    if has_address(before) and not has_address(service):
        _drop_unchanged(service, before, "clusterIP", "clusterIPs")
        _drop_unchanged(service, before, "ipFamilies")
        _drop_unchanged(service, before, "ipFamilyPolicy")
    was, now = before.get("type"), service["type"]
    if was in WITH_NODE_PORTS and now not in WITH_NODE_PORTS and _node_ports(service) <= _node_ports(before):
        for port in service.get("ports") or ():
            port.pop("nodePort", None)
    if checks_health(before) and not checks_health(service):
        _drop_unchanged(service, before, "healthCheckNodePort")
    if was == "LoadBalancer" != now:
        _drop_unchanged(service, before, "allocateLoadBalancerNodePorts")
        _drop_unchanged(service, before, "loadBalancerClass")
    if externally_accessible(before) and not externally_accessible(service):
        _drop_unchanged(service, before, "externalTrafficPolicy")


def _drop_unchanged(service: Object, before: Mapping[str, Any], *fields: str) -> None:
    if all((service.get(field) or None) == (before.get(field) or None) for field in fields):
        for field in fields:
            service.pop(field, None)


def _external(obj: Object) -> str:
    service = spec(obj)
    given, kind = list(service.get("externalIPs") or ()), service.get("type")
    if kind == "ExternalName":
        return service.get("externalName") or ""
    if kind == "LoadBalancer":
        ingress = (status(obj).get("loadBalancer") or {}).get("ingress") or ()
        points = {point.get("ip") or point.get("hostname") or "" for point in ingress} - {""}
        return ",".join([*sorted(points), *given]) or "<pending>"
    return (",".join(given) or NONE) if kind in ("ClusterIP", "NodePort") else "<unknown>"


def _port_text(port: Mapping[str, Any]) -> str:
    node = f":{port['nodePort']}" if (port.get("nodePort") or 0) > 0 else ""
    return f"{port.get('port') or 0}{node}/{port.get('protocol') or ''}"


RESOURCE = Resource(
    group="",
    plural="services",
    subresources={"proxy": Subresource(connect=proxy_service)},
    default=_default,
    prepare=_prepare,
    validate=fields.validate,
    validate_update=fields.validate_update,
    validate_status=fields.validate_status,
    validate_name=names.dns1123_label,
    warn=fields.warn,
    before_write=allocate,
    after_delete=release,
    update_creates=True,
    generation=False,
    storage_prefix="services/specs",
    columns=(
        Column("Type", lambda obj: spec(obj).get("type", ""), description="How the service is exposed."),
        Column(
            "Cluster-IP",
            lambda obj: (spec(obj).get("clusterIPs") or [NONE])[0],
            description="Address of the service inside the cluster.",
        ),
        Column("External-IP", _external, description="Addresses of the service outside the cluster."),
        Column(
            "Port(s)",
            lambda obj: ",".join(map(_port_text, spec(obj).get("ports") or ())) or NONE,
            description="Ports that the service answers on.",
        ),
        AGE,
        Column("Selector", lambda obj: labels_text(spec(obj).get("selector")), description="Its pods.", priority=1),
    ),
    selectable_fields={
        "spec.clusterIP": lambda obj: spec(obj).get("clusterIP") or "",
        "spec.type": lambda obj: spec(obj).get("type") or "",
    },
)
