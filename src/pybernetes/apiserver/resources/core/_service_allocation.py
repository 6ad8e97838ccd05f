"""Gives a Service its IP families, ClusterIPs and node ports before it is stored. What is free: service_addresses.py."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api.errors import FieldError, InternalError, invalid, invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.service_addresses import ServiceAddresses, holdings

_SINGLE, _PREFER, _REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


async def allocate(call: Call, obj: Object, old: Object | None) -> None:
    """A before_write hook. Raises Invalid for what is taken or out of range; then nothing stays promised."""
    addresses = call.registry.service_addresses
    before = holdings(old) if old is not None else frozenset()
    try:
        faults = list(_allocate(obj["spec"], addresses, before))
    except InternalError:
        addresses.forget(obj)
        raise
    if faults:
        addresses.forget(obj)
        raise invalid("", "Service", obj["metadata"].get("name", ""), faults)


def _allocate(spec: Object, addresses: ServiceAddresses, before: frozenset[str | int]) -> Iterator[FieldError]:
    if spec["type"] != "ExternalName":
        faults = list(_families(spec, addresses))
        yield from faults
        if not faults and spec.get("clusterIP") != "None":
            yield from _cluster_ips(spec, addresses, before)
    if spec["type"] in ("NodePort", "LoadBalancer"):
        yield from _node_ports(spec, addresses, before)


def _families(spec: Object, addresses: ServiceAddresses) -> Iterator[FieldError]:
    """ipFamilyPolicy and ipFamilies, from what was asked and what the cluster has (KEP-563)."""
    configured = [f"IPv{network.version}" for network in addresses.networks]
    given = [ip for ip in spec.get("clusterIPs") or () if ip != "None"]
    headless = spec.get("clusterIP") == "None"
    families = list(spec.get("ipFamilies") or [f"IPv{ipaddress.ip_address(ip).version}" for ip in given])
    selectorless = headless and not spec.get("selector")
    policy = spec.get("ipFamilyPolicy")
    if not policy:
        two = len(families) == 2 or len(given) == 2
        policy = _REQUIRE if two or (selectorless and not families) else _SINGLE
    for index, family in enumerate(families):
        if family not in configured and not selectorless:
            yield invalid_value(f"spec.ipFamilies[{index}]", families, "not configured on this cluster")
    if policy == _REQUIRE and len(configured) < 2 and not selectorless:
        yield invalid_value("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    families = families or [configured[0]]
    dual = policy == _REQUIRE or (policy == _PREFER and len(configured) > 1)
    if dual and len(families) == 1:
        families.append(_OTHER[families[0]])
    spec["ipFamilyPolicy"], spec["ipFamilies"] = policy, families


def _cluster_ips(spec: Object, addresses: ServiceAddresses, before: frozenset[str | int]) -> Iterator[FieldError]:
    wanted = list(spec.get("clusterIPs") or ())
    for ip in wanted:
        if ip in before:
            continue
        why = ""
        if not addresses.contains(ip):
            ranges = ",".join(str(network) for network in addresses.networks)
            why = f"the provided IP ({ip}) is not in the valid range. The range of valid IPs is {ranges}"
        elif not addresses.is_free(ip):
            why = "provided IP is already allocated"
        if why:
            # Not ours: forget() must not free what another Service was promised.
            spec["clusterIPs"], spec["clusterIP"] = [], ""
            yield invalid_value("spec.clusterIPs", wanted, f"failed to allocate IP {ip}: {why}")
            return
        addresses.promise(ip)
    for family in spec["ipFamilies"][len(wanted) :]:
        ip = addresses.next_address(family)
        if ip is None:
            raise InternalError(f"failed to allocate a serviceIP: range is full for {family}")
        wanted.append(ip)
    spec["clusterIPs"], spec["clusterIP"] = wanted, wanted[0]


def _node_ports(spec: Object, addresses: ServiceAddresses, before: frozenset[str | int]) -> Iterator[FieldError]:
    own: set[int] = set()
    for index, port in enumerate(spec.get("ports") or ()):
        number = port.get("nodePort")
        if not number or number in before or number in own:
            continue
        fault = _taken(number, addresses)
        if fault:
            yield invalid_value(f"spec.ports[{index}].nodePort", number, fault)
            # As with addresses.
            port.pop("nodePort")
            continue
        addresses.promise(number)
        own.add(number)
    if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        return
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            port["nodePort"] = _shared(port, spec) or _next(addresses)
    if _checks_health(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = _next(addresses)


def _taken(number: int, addresses: ServiceAddresses) -> str:
    ports = addresses.node_ports
    if number not in ports:
        return f"provided port is not in the valid range. The range of valid ports is {ports.start}-{ports.stop - 1}"
    return "" if addresses.is_free(number) else "provided port is already allocated"


def _shared(port: Mapping[str, Any], spec: Mapping[str, Any]) -> int | None:
    """The node port of the same port in another protocol (DNS on TCP and UDP)."""
    for other in spec["ports"]:
        if other.get("port") == port.get("port") and other.get("protocol") != port.get("protocol"):
            number = other.get("nodePort")
            if number:
                return int(number)
    return None


def _next(addresses: ServiceAddresses) -> int:
    number = addresses.next_node_port()
    if number is None:
        raise InternalError("failed to allocate a nodePort: range is full")
    return number


def _checks_health(spec: Mapping[str, Any]) -> bool:
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
