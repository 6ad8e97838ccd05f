"""Endpoints: the older form of EndpointSlices, kept for clients that still read it."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE
from pybernetes.apiserver.validation.addresses import endpoint_rule
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of

_SHOWN = 3


def _default(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _validate(obj: Object) -> FieldErrors:
    rule = endpoint_rule(obj)
    for at, subset in each(obj, "subsets", ""):
        at = at.removeprefix(".")
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(at, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for where, address in each(subset, field, at):
                yield from check(f"{where}.ip", address.get("ip") or "", rule(address.get("ip") or ""))
                node = address.get("nodeName")
                if node:
                    yield from check(f"{where}.nodeName", node, names.dns1123_subdomain(node))
        yield from _ports(subset, at)


def _ports(subset: Mapping[str, Any], path: str) -> FieldErrors:
    several = len(subset.get("ports") or ()) > 1
    for at, port in each(subset, "ports", path):
        if port.get("name"):
            yield from check(f"{at}.name", port["name"], names.dns1123_label(port["name"]))
        elif several:
            yield required(f"{at}.name")
        yield from check(f"{at}.port", port.get("port") or 0, names.port_number(port.get("port") or 0))
        yield from one_of(f"{at}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _shown(obj: Object) -> str:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = subset.get("addresses") or ()
        if not subset.get("ports"):
            found += [address["ip"] for address in addresses]
        for port in subset.get("ports") or ():
            found += [_joined(address["ip"], port["port"]) for address in addresses]
    if not found:
        return NONE
    more = f" + {len(found) - _SHOWN} more..." if len(found) > _SHOWN else ""
    return ",".join(found[:_SHOWN]) + more


def _joined(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


RESOURCE = Resource(
    group="",
    plural="endpoints",
    default=_default,
    validate=_validate,
    generation=False,
    update_creates=True,
    storage_prefix="services/endpoints",
    columns=(Column("Endpoints", _shown, description="Ready addresses with their ports."), AGE),
)
