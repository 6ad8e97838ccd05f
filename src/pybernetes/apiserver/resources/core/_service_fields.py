"""The fields of a Service: what may stand in them, together and after what stood there before."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resources._columns import spec, status
from pybernetes.apiserver.validation.addresses import (
    address_warning,
    cidr,
    cidr_warning,
    ip_address,
    remote_address,
    sloppy,
)
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of, optional_one_of
from pybernetes.apiserver.validation.internal import internal
from pybernetes.apiserver.validation.meta import labels
from pybernetes.apiserver.validation.pod.probes import port as any_port

Spec = Mapping[str, Any]

WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
HEADLESS = "None"
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_STAYS = "may not change once set"
_DAY = 86400


def has_address(service: Spec) -> bool:
    """Every type but ExternalName; `None` counts as an address."""
    return service.get("type") != "ExternalName"


def is_headless(service: Spec) -> bool:
    """Has no address of its own."""
    return list(service.get("clusterIPs") or ()) == [HEADLESS]


def externally_accessible(service: Spec) -> bool:
    """Whether traffic comes from outside the cluster."""
    kind = service.get("type")
    return kind in WITH_NODE_PORTS or (kind == "ClusterIP" and bool(service.get("externalIPs")))


def checks_health(service: Spec) -> bool:
    """Whether nodes tell a load balancer if they have endpoints."""
    return service.get("type") == "LoadBalancer" and service.get("externalTrafficPolicy") == "Local"


def validate(obj: Object) -> FieldErrors:
    """All faults of a Service. What allocation gives afterwards may be missing."""
    service = spec(obj)
    kind = service.get("type")
    yield from _topology(obj)
    if not service.get("ports") and not is_headless(service) and kind != "ExternalName":
        yield required("spec.ports")
    if kind in WITH_NODE_PORTS and is_headless(service):
        yield invalid_value("spec.clusterIPs[0]", HEADLESS, f"may not be set to 'None' for {kind} services")
    elif kind == "ExternalName":
        yield from _external_name(service)
    yield from _ports(service)
    yield from labels(service.get("selector") or {}, "spec.selector")
    yield from one_of("spec.sessionAffinity", service.get("sessionAffinity"), ("ClientIP", "None"))
    if service.get("sessionAffinity") == "ClientIP":
        yield from _affinity(service)
    if kind != "ExternalName":
        yield from _addresses(service)
    for index, address in enumerate(service.get("externalIPs") or ()):
        yield from check(f"spec.externalIPs[{index}]", address, remote_address(address))
    yield from one_of("spec.type", kind, _TYPES)
    yield from _port_clashes(service)
    yield from _source_ranges(obj)
    yield from _balancer(service)
    yield from _policies(service)


def _topology(obj: Object) -> FieldErrors:
    notes = obj["metadata"].get("annotations") or {}
    if _HINTS in notes and _MODE in notes and notes[_HINTS] != notes[_MODE]:
        why = f"must match annotations[{_HINTS}] when both are specified"
        yield invalid_value(f"metadata.annotations[{_MODE}]", notes[_MODE], why)


def _external_name(service: Spec) -> FieldErrors:
    for field in ("clusterIPs", "ipFamilies"):
        if service.get(field):
            yield field_forbidden(f"spec.{field}", "may not be set for ExternalName services")
    if service.get("ipFamilyPolicy") is not None:
        yield field_forbidden("spec.ipFamilyPolicy", "may not be set for ExternalName services")
    name = (service.get("externalName") or "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    else:
        yield from check("spec.externalName", name, names.dns1123_subdomain(name))


def _ports(service: Spec) -> FieldErrors:
    ports = service.get("ports") or ()
    seen: set[str] = set()
    for at, port in each(service, "ports", "spec"):
        name, number, protocol = port.get("name") or "", port.get("port") or 0, port.get("appProtocol")
        if name:
            yield from check(f"{at}.name", name, names.dns1123_label(name))
            if name in seen:
                yield duplicate(f"{at}.name", name)
            seen.add(name)
        elif len(ports) > 1:
            yield required(f"{at}.name")
        yield from check(f"{at}.port", number, names.port_number(number))
        yield from one_of(f"{at}.protocol", port.get("protocol"), _PROTOCOLS)
        yield from any_port(port.get("targetPort"), f"{at}.targetPort")
        if protocol is not None:
            yield from check(f"{at}.appProtocol", protocol, names.qualified_name(protocol))


def _port_clashes(service: Spec) -> FieldErrors:
    if service.get("type") == "ClusterIP":
        for at, port in each(service, "ports", "spec"):
            if port.get("nodePort"):
                yield field_forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'")
    seen: set[tuple[str, int]] = set()
    for at, port in each(service, "ports", "spec"):
        key = (port.get("protocol") or "", port.get("nodePort") or 0)
        if key[1] and key in seen:
            yield duplicate(f"{at}.nodePort", key[1])
        seen.add(key)
    seen = set()
    for at, port in each(service, "ports", "spec"):
        key = (port.get("protocol") or "", port.get("port") or 0)
        if key in seen:
            shown = internal({"protocol": key[0], "port": key[1]}, "io.k8s.api.core.v1.ServicePort")
            yield duplicate(at, shown)
        seen.add(key)


def _affinity(service: Spec) -> FieldErrors:
    seconds = ((service.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    at = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    if seconds is None:
        yield required(at, "when session affinity type is ClientIP")
    elif not 0 < seconds <= _DAY:
        yield invalid_value(at, seconds, f"must be greater than 0 and less than {_DAY}")


def _addresses(service: Spec) -> FieldErrors:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, which are about one thing."""
    many = service.get("clusterIPs") or []
    yield from _first(service.get("clusterIP") or "", many)
    families = service.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            yield not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
    yield from optional_one_of("spec.ipFamilyPolicy", service.get("ipFamilyPolicy"), _POLICIES)
    wrong = list(_address_forms(many))
    yield from wrong
    if len(many) > 2:
        yield invalid_value("spec.clusterIPs", many, "may only hold up to 2 values")
    if wrong:
        return
    versions = [family_of(address) for address in many]
    if len(many) > 1 and sorted(versions) != list(_FAMILIES):
        yield invalid_value("spec.clusterIPs", many, "may specify no more than one IP for each IP family")
    if not is_headless(service):
        for index, (address, version, family) in enumerate(zip(many, versions, families, strict=False)):
            if family in _FAMILIES and family != version:
                why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
                yield invalid_value(f"spec.clusterIPs[{index}]", address, why)


def _first(one: str, many: list[str]) -> FieldErrors:
    if one and not many:
        yield required("spec.clusterIPs")
    elif one and many[0] != one:
        yield invalid_value("spec.clusterIPs", many, "first value must match `clusterIP`")
    elif many and not one:
        yield invalid_value("spec.clusterIPs", many, "must be empty when `clusterIP` is not specified")


def _address_forms(addresses: list[str]) -> FieldErrors:
    for index, address in enumerate(addresses):
        if index == 0 and address == HEADLESS:
            if len(addresses) > 1:
                yield invalid_value("spec.clusterIPs", addresses, "'None' must be the first and only value")
            continue
        yield from check(f"spec.clusterIPs[{index}]", address, ip_address(address))


def family_of(address: str) -> str:
    """`IPv4` or `IPv6`, empty for what is no address."""
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return ""


def _source_ranges(obj: Object) -> FieldErrors:
    service, ranges = spec(obj), spec(obj).get("loadBalancerSourceRanges") or []
    balanced = service.get("type") == "LoadBalancer"
    noted = (obj["metadata"].get("annotations") or {}).get(_SOURCE_RANGES)
    if ranges:
        at = "spec.LoadBalancerSourceRanges"
        if not balanced:
            yield field_forbidden(at, _ONLY_BALANCED)
        for index, text in enumerate(ranges):
            yield from check(f"{at}[{index}]", text.strip(), cidr(text.strip()))
    elif noted is not None:
        at = f"metadata.annotations[{_SOURCE_RANGES}]"
        if not balanced:
            yield field_forbidden(at, _ONLY_BALANCED)
        for text in noted.strip().split(",") if noted.strip() else ():
            yield from check(at, text.strip(), cidr(text.strip()))


def _balancer(service: Spec) -> FieldErrors:
    balanced, named = service.get("type") == "LoadBalancer", service.get("loadBalancerClass")
    if service.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        yield field_forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED)
    if named is not None and balanced:
        yield from check("spec.loadBalancerClass", named, names.qualified_name(named))
    elif named is not None:
        yield field_forbidden("spec.loadBalancerClass", _ONLY_BALANCED)


def _policies(service: Spec) -> FieldErrors:
    external, internal = service.get("externalTrafficPolicy"), service.get("internalTrafficPolicy")
    if externally_accessible(service):
        yield from one_of("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    elif external:
        why = "may only be set for externally-accessible services"
        yield invalid_value("spec.externalTrafficPolicy", external, why)
    health = service.get("healthCheckNodePort") or 0
    if checks_health(service):
        if health:
            yield from check("spec.healthCheckNodePort", health, names.port_number(health))
    elif health:
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid_value("spec.healthCheckNodePort", health, why)
    yield from optional_one_of("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    yield from optional_one_of("spec.trafficDistribution", service.get("trafficDistribution"), _DISTRIBUTIONS)


def validate_update(obj: Object, old: Object) -> FieldErrors:
    """What may not change. Who leaves dual stack must say so: _service_allocation asks for that."""
    new, before = spec(obj), spec(old)
    if has_address(new) and has_address(before) and not (is_headless(new) and is_headless(before)):
        yield from _same_addresses(new.get("clusterIPs") or [], before.get("clusterIPs") or [])
        if not is_headless(new) and not is_headless(before):
            yield from _same_families(new.get("ipFamilies") or [], before.get("ipFamilies") or [])
    balanced = new.get("type") == before.get("type") == "LoadBalancer"
    if balanced and new.get("loadBalancerClass") != before.get("loadBalancerClass"):
        yield invalid_value("spec.loadBalancerClass", new.get("loadBalancerClass"), _STAYS)
    held = before.get("healthCheckNodePort") or 0
    if checks_health(new) and checks_health(before) and (new.get("healthCheckNodePort") or 0) != held:
        yield field_forbidden("spec.healthCheckNodePort", "field is immutable")


def _same_addresses(new: list[str], before: list[str]) -> FieldErrors:
    if before and not new:
        yield invalid_value("spec.clusterIPs[0]", new, "primary clusterIP can not be unset")
    compared = len(before) if len(before) == len(new) else 1
    for index, (address, held) in enumerate(zip(new[:compared], before[:compared], strict=False)):
        if address != held:
            yield invalid_value(f"spec.clusterIPs[{index}]", new, _STAYS)


def _same_families(new: list[str], before: list[str]) -> FieldErrors:
    """Those left out are filled in again."""
    compared = len(before) if len(before) == len(new) else 1
    for family, held in zip(new[:compared], before[:compared], strict=False):
        if family != held:
            yield invalid_value("spec.ipFamilies[0]", new, _STAYS)


def validate_status(obj: Object, old: Object) -> FieldErrors:
    """status.loadBalancer."""
    balancer, at = status(obj).get("loadBalancer") or {}, "status.loadBalancer.ingress"
    if spec(obj).get("type") != "LoadBalancer" and balancer.get("ingress"):
        yield field_forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for where, point in each(balancer, "ingress", "status.loadBalancer"):
        ip, mode, host = point.get("ip") or "", point.get("ipMode"), point.get("hostname") or ""
        if ip:
            yield from check(f"{where}.ip", ip, ip_address(ip))
            if mode is None:
                yield required(f"{where}.ipMode", "must be specified when `ip` is set")
        elif mode is not None:
            yield field_forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set")
        if ip:
            yield from optional_one_of(f"{where}.ipMode", mode, ("Proxy", "VIP"))
        if host:
            yield from check(f"{where}.hostname", host, names.dns1123_subdomain(host))
            if sloppy(host) is not None:
                yield invalid_value(f"{where}.hostname", host, "must be a DNS name, not an IP address")


def warn(obj: Object, old: Object | None) -> Iterator[str]:
    """What a Service says to no effect, or in a deprecated way."""
    service = spec(obj)
    if _HINTS in (obj["metadata"].get("annotations") or {}):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    if is_headless(service) and service.get("type") == "ClusterIP":
        for field in ("loadBalancerIP", "externalIPs"):
            if service.get(field):
                yield f"spec.{field} is ignored for headless services"
        if service.get("sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for field in ("clusterIPs", "externalIPs"):
        for index, address in enumerate(service.get(field) or ()):
            yield from address_warning(address, f"spec.{field}[{index}]")
    yield from address_warning(service.get("loadBalancerIP") or "", "spec.loadBalancerIP")
    for index, text in enumerate(service.get("loadBalancerSourceRanges") or ()):
        yield from cidr_warning(text.strip(), f"spec.loadBalancerSourceRanges[{index}]")
    if service.get("type") == "ExternalName" and service.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if service.get("type") != "ExternalName" and service.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if service.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'
