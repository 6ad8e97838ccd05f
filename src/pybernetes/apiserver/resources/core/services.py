"""Service: one address for many Pods. The rules of its fields; _service_allocation gives addresses and node ports."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.proxying import proxy_service
from pybernetes.apiserver.resource import Column, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, NONE, labels_text, spec, status
from pybernetes.apiserver.resources.core._service_allocation import allocate
from pybernetes.apiserver.validation.addresses import ip_address, remote_address
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of, optional_one_of
from pybernetes.apiserver.validation.meta import labels
from pybernetes.apiserver.validation.pod.probes import port as any_port

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
_HEADLESS = "None"


def _default(obj: Object) -> None:
    service = obj["spec"] = obj.get("spec") or {}
    for field, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
        if not service.get(field):
            service[field] = value
    if service["sessionAffinity"] == "None":
        service.pop("sessionAffinityConfig", None)
    elif service["sessionAffinity"] == "ClientIP":
        config = service.get("sessionAffinityConfig") or {}
        client = config.get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            service["sessionAffinityConfig"] = {**config, "clientIP": {**client, "timeoutSeconds": 10800}}
    for port in service.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    kind = service["type"]
    if kind in _WITH_NODE_PORTS and not service.get("externalTrafficPolicy"):
        service["externalTrafficPolicy"] = "Cluster"
    if kind != "ExternalName" and not service.get("internalTrafficPolicy"):
        service["internalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer" and service.get("allocateLoadBalancerNodePorts") is None:
        service["allocateLoadBalancerNodePorts"] = True


def _prepare(obj: Object, old: Object | None) -> None:
    service = obj["spec"]
    if old is None:
        obj["status"] = {"loadBalancer": {}}
        if service.get("clusterIP") and not service.get("clusterIPs"):
            service["clusterIPs"] = [service["clusterIP"]]
        return
    obj["status"] = old.get("status") or {"loadBalancer": {}}
    before = spec(old)
    _drop_of_other_type(service, before)
    _keep_allocated(service, before)
    _align_addresses(service, before)


def _drop_of_other_type(service: Object, before: Mapping[str, Any]) -> None:
    """A changed type loses what only the old one had, unless the client changed that too."""
    if before.get("type") == service["type"]:
        return
    gone: tuple[str, ...] = ()
    if service["type"] == "ExternalName":
        gone += ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    if before.get("type") in _WITH_NODE_PORTS and service["type"] not in _WITH_NODE_PORTS:
        held = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in service.get("ports") or ():
            if port.get("nodePort") in held:
                port.pop("nodePort", None)
        gone += ("externalTrafficPolicy", "healthCheckNodePort")
    if before.get("type") == "LoadBalancer":
        gone += ("allocateLoadBalancerNodePorts", "loadBalancerClass", "loadBalancerIP")
    for field in gone:
        if service.get(field) == before.get(field):
            service.pop(field, None)


def _keep_allocated(service: Object, before: Mapping[str, Any]) -> None:
    """A client that leaves out what the server gave keeps it."""
    if service["type"] != "ExternalName" and before.get("type") != "ExternalName":
        if not service.get("clusterIP") and not service.get("clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                if before.get(field):
                    service[field] = before[field]
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if not service.get(field) and before.get(field):
                service[field] = before[field]
    if service["type"] in _WITH_NODE_PORTS and before.get("type") in _WITH_NODE_PORTS:
        held = {port.get("name") or "": port.get("nodePort") for port in before.get("ports") or ()}
        used = {port.get("nodePort") for port in service.get("ports") or ()}
        for port in service.get("ports") or ():
            known = held.get(port.get("name") or "")
            if not port.get("nodePort") and known and known not in used:
                port["nodePort"] = known
        if not service.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
            service["healthCheckNodePort"] = before["healthCheckNodePort"]


def _align_addresses(service: Object, before: Mapping[str, Any]) -> None:
    """clusterIP and clusterIPs are one thing; the one that the client changed leads."""
    one, many = service.get("clusterIP"), service.get("clusterIPs") or []
    if one and not many:
        service["clusterIPs"] = [one]
    elif one != before.get("clusterIP") and many == (before.get("clusterIPs") or []):
        service["clusterIPs"] = [one] if one else []
        if not one:
            service.pop("clusterIPs")


def _validate(obj: Object) -> FieldErrors:
    service = spec(obj)
    kind = service.get("type")
    headless = service.get("clusterIP") == _HEADLESS
    if not service.get("ports") and not headless and kind != "ExternalName":
        yield required("spec.ports")
    if kind == "ExternalName":
        yield from _external_name(service)
    yield from _ports(service)
    yield from labels(service.get("selector") or {}, "spec.selector")
    yield from one_of("spec.sessionAffinity", service.get("sessionAffinity"), ("ClientIP", "None"))
    if service.get("sessionAffinity") == "ClientIP":
        yield from _affinity(service)
    yield from one_of("spec.type", kind, _TYPES)
    for index, address in enumerate(service.get("externalIPs") or ()):
        yield from check(f"spec.externalIPs[{index}]", address, remote_address(address))
    yield from _policies(service)
    yield from _cluster_ips(service)


def _external_name(service: Mapping[str, Any]) -> FieldErrors:
    if service.get("clusterIPs") or service.get("clusterIP"):
        yield field_forbidden("spec.clusterIPs", "may not be set for ExternalName services")
    for field in ("ipFamilies", "ipFamilyPolicy"):
        if service.get(field):
            yield field_forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (service.get("externalName") or "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    else:
        yield from check("spec.externalName", name, names.dns1123_subdomain(name))


def _ports(service: Mapping[str, Any]) -> FieldErrors:
    ports = service.get("ports") or ()
    seen_names: set[str] = set()
    seen: set[tuple[str, int]] = set()
    seen_node: set[tuple[str, int]] = set()
    for at, port in each(service, "ports", "spec"):
        name, protocol = port.get("name") or "", port.get("protocol") or ""
        number, node = port.get("port") or 0, port.get("nodePort") or 0
        if not name:
            if len(ports) > 1:
                yield required(f"{at}.name")
        else:
            yield from check(f"{at}.name", name, names.dns1123_label(name))
            if name in seen_names:
                yield duplicate(f"{at}.name", name)
            seen_names.add(name)
        yield from check(f"{at}.port", number, names.port_number(number))
        yield from one_of(f"{at}.protocol", port.get("protocol"), _PROTOCOLS)
        yield from any_port(port.get("targetPort"), f"{at}.targetPort")
        if port.get("appProtocol"):
            yield from check(f"{at}.appProtocol", port["appProtocol"], names.qualified_name(port["appProtocol"]))
        if node and service.get("type") not in _WITH_NODE_PORTS:
            yield field_forbidden(f"{at}.nodePort", f"may not be used when `type` is '{service.get('type')}'")
        elif node and (protocol, node) in seen_node:
            yield duplicate(f"{at}.nodePort", node)
        seen_node.add((protocol, node))
        if (protocol, number) in seen:
            yield duplicate(at, {"protocol": protocol, "port": number})
        seen.add((protocol, number))


def _affinity(service: Mapping[str, Any]) -> FieldErrors:
    seconds = ((service.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    at = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    if seconds is None:
        yield required(at)
    elif not 0 < seconds <= 86400:
        yield invalid_value(at, seconds, "must be greater than 0 and less than 86400")


def _policies(service: Mapping[str, Any]) -> FieldErrors:
    kind, external = service.get("type"), service.get("externalTrafficPolicy")
    if external:
        if kind not in _WITH_NODE_PORTS and not service.get("externalIPs"):
            yield invalid_value(
                "spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"
            )
        yield from optional_one_of("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    internal = service.get("internalTrafficPolicy")
    if kind != "ExternalName":
        if not internal:
            yield required("spec.internalTrafficPolicy")
        yield from optional_one_of("spec.internalTrafficPolicy", internal or None, ("Cluster", "Local"))
    yield from optional_one_of(
        "spec.ipFamilyPolicy", service.get("ipFamilyPolicy"), ("PreferDualStack", "RequireDualStack", "SingleStack")
    )
    for index, family in enumerate(service.get("ipFamilies") or ()):
        if family not in ("IPv4", "IPv6"):
            yield not_supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))


def _cluster_ips(service: Mapping[str, Any]) -> FieldErrors:
    one, many = service.get("clusterIP") or "", service.get("clusterIPs") or []
    if many and not one:
        yield required("spec.clusterIP", "must be set when `clusterIPs` is specified")
    elif many and many[0] != one:
        yield invalid_value("spec.clusterIPs", many, "first value must match `clusterIP`")
    for index, address in enumerate(many):
        if address != _HEADLESS:
            yield from check(f"spec.clusterIPs[{index}]", address, ip_address(address))
        elif len(many) > 1:
            yield invalid_value(f"spec.clusterIPs[{index}]", many, "'None' must be the first and only value")
    if len(many) > 2:
        yield invalid_value("spec.clusterIPs", many, "may only hold up to 2 values")
    if one == _HEADLESS and service.get("type") in _WITH_NODE_PORTS:
        yield invalid_value("spec.clusterIPs[0]", _HEADLESS, f"may not be set to 'None' for {service['type']} services")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    new, before = spec(obj), spec(old)
    if "ExternalName" in (new.get("type"), before.get("type")):
        return
    held, wanted = before.get("clusterIPs") or [], new.get("clusterIPs") or []
    if held and not wanted:
        yield invalid_value("spec.clusterIPs[0]", wanted, "primary clusterIP can not be unset")
    elif held and held[0] != wanted[0]:
        yield invalid_value("spec.clusterIPs[0]", wanted, "may not change once set")
    families, kept = new.get("ipFamilies") or [], before.get("ipFamilies") or []
    if families and kept and families[0] != kept[0]:
        yield invalid_value("spec.ipFamilies[0]", families, "may not change once set")


def _external(obj: Object) -> str:
    service = spec(obj)
    given = list(service.get("externalIPs") or ())
    if service.get("type") == "ExternalName":
        return service.get("externalName") or NONE
    if service.get("type") == "LoadBalancer":
        ingress = (status(obj).get("loadBalancer") or {}).get("ingress") or ()
        given = [point.get("ip") or point.get("hostname") or "" for point in ingress] + given
        return ",".join(given) or "<pending>"
    return ",".join(given) or NONE


def _port_text(port: Mapping[str, Any]) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


RESOURCE = Resource(
    group="",
    plural="services",
    subresources={"proxy": Subresource(connect=proxy_service)},
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    validate_name=names.dns1123_label,
    before_write=allocate,
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
