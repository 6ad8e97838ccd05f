"""Endpoints: the older form of EndpointSlices, kept for clients that still read it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE
from pybernetes.apiserver.validation.addresses import address_warning, endpoint_rule, sloppy
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of
from pybernetes.wire.http import join_host_port

_SHOWN = 3
_ADDRESSES = ("addresses", "notReadyAddresses")
_NO_PORT = (("port", -1),)

_Port = tuple[tuple[str, Any], ...]


def _default(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _prepare(obj: Object, old: Object | None) -> None:
    # Faults are told of what the client sent, so only what has none is put into its canonical form.
    if obj.get("subsets") and not any(True for _ in _validate(obj)):
        obj["subsets"] = repacked(obj["subsets"])


def repacked(subsets: list[Object]) -> list[Object]:
    """The same addresses and ports in as few subsets as can be, sorted: each address stands in one subset only.

    An address that is ready in one place and not in another is not ready.
    """
    known: dict[tuple[str, str], Object] = {}
    by_port: dict[_Port, dict[tuple[str, str], bool]] = {}
    for subset in subsets:
        for port in [tuple(sorted(port.items())) for port in subset.get("ports") or ()] or [_NO_PORT]:
            ready_at = by_port.setdefault(port, {})
            for field in _ADDRESSES:
                for address in subset.get(field) or ():
                    key = (address.get("ip") or "", (address.get("targetRef") or {}).get("uid") or "")
                    known.setdefault(key, address)
                    ready_at[key] = ready_at.get(key, True) and field == "addresses"
    by_addresses: dict[tuple[tuple[tuple[str, str], bool], ...], list[_Port]] = {}
    for port, ready_at in by_port.items():
        ports = by_addresses.setdefault(tuple(sorted(ready_at.items())), [])
        if port != _NO_PORT:
            ports.append(port)
    return [_subset(keys, ports, known) for keys, ports in sorted(by_addresses.items())]


def _subset(
    keys: tuple[tuple[tuple[str, str], bool], ...], ports: list[_Port], known: Mapping[tuple[str, str], Object]
) -> Object:
    parts = {
        "addresses": [known[key] for key, ready in keys if ready],
        "notReadyAddresses": [known[key] for key, ready in keys if not ready],
        "ports": [dict(port) for port in sorted(ports, key=repr)],
    }
    return {field: items for field, items in parts.items() if items}


def _validate(obj: Object) -> FieldErrors:
    for at, subset in each(obj, "subsets", ""):
        at = at.removeprefix(".")
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(at, "must specify `addresses` or `notReadyAddresses`")
        for field in _ADDRESSES:
            for where, address in each(subset, field, at):
                yield from _address(obj, address, where)
        yield from _ports(subset, at)


def _address(obj: Object, address: Mapping[str, Any], path: str) -> FieldErrors:
    ip, hostname, node = address.get("ip") or "", address.get("hostname"), address.get("nodeName")
    yield from check(f"{path}.ip", ip, endpoint_rule(obj)(ip))
    if hostname:
        yield from check(f"{path}.hostname", hostname, names.dns1123_label(hostname))
    if node is not None:
        yield from check(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    if sloppy(ip) is None:
        yield invalid_value(f"{path}.ip", ip, "must be a valid IP address")


def _ports(subset: Mapping[str, Any], path: str) -> FieldErrors:
    several = len(subset.get("ports") or ()) > 1
    for at, port in each(subset, "ports", path):
        if port.get("name"):
            yield from check(f"{at}.name", port["name"], names.dns1123_label(port["name"]))
        elif several:
            yield required(f"{at}.name")
        yield from check(f"{at}.port", port.get("port") or 0, names.port_number(port.get("port") or 0))
        yield from one_of(f"{at}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        protocol = port.get("appProtocol")
        if protocol is not None:
            yield from check(f"{at}.appProtocol", protocol, names.qualified_name(protocol))


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    for at, subset in each(obj, "subsets", ""):
        for field in _ADDRESSES:
            for where, address in each(subset, field, at.removeprefix(".")):
                yield from address_warning(address.get("ip") or "", f"{where}.ip")


def _shown(obj: Object) -> str:
    if not obj.get("subsets"):
        return NONE
    found: list[str] = []
    for subset in obj["subsets"]:
        addresses = [address.get("ip") or "" for address in subset.get("addresses") or ()]
        if not subset.get("ports"):
            found += addresses
        for port in subset.get("ports") or ():
            found += [join_host_port(address, port.get("port") or 0) for address in addresses]
    more = f" + {len(found) - _SHOWN} more..." if len(found) > _SHOWN else ""
    return ",".join(found[:_SHOWN]) + more


RESOURCE = Resource(
    group="",
    plural="endpoints",
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    warn=_warn,
    generation=False,
    update_creates=True,
    storage_prefix="services/endpoints",
    columns=(Column("Endpoints", _shown, description="Ready addresses with their ports."), AGE),
)
