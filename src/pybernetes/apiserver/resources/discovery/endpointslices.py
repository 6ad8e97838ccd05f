"""EndpointSlice: a part of the addresses behind a Service (KEP-752)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.addresses import endpoint_rule
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, immutable, one_of, too_many

_SHOWN = 3
_MOST_ENDPOINTS, _MOST_PORTS, _MOST_ADDRESSES = 1000, 20000, 100


def _default(obj: Object) -> None:
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if not port.get("protocol"):
            port["protocol"] = "TCP"


def _validate(obj: Object) -> FieldErrors:
    kind = obj.get("addressType") or ""
    yield from one_of("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    endpoints, ports = obj.get("endpoints") or (), obj.get("ports") or ()
    if len(endpoints) > _MOST_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)
    if len(ports) > _MOST_PORTS:
        yield too_many("ports", len(ports), _MOST_PORTS)
    for index, endpoint in enumerate(endpoints):
        yield from _endpoint(endpoint, f"endpoints[{index}]", kind, endpoint_rule(obj))
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"ports[{index}]", port.get("name") or ""
        if name:
            yield from check(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        yield from one_of(f"{at}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        number = port.get("port")
        if number is not None:
            yield from check(f"{at}.port", number, names.port_number(number))


def _endpoint(endpoint: Mapping[str, Any], path: str, kind: str, rule: Callable[[str], Iterator[str]]) -> FieldErrors:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MOST_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES)
    for at, address in each(endpoint, "addresses", path):
        if kind == "FQDN":
            yield from check(at, address, names.dns1123_subdomain(address))
            continue
        faults = list(check(at, address, rule(address)))
        yield from faults
        if not faults and kind in ("IPv4", "IPv6") and (":" in address) != (kind == "IPv6"):
            yield invalid_value(at, address, f"must be an {kind} address")
    for field, named in (("nodeName", names.dns1123_subdomain), ("hostname", names.dns1123_label)):
        value = endpoint.get(field)
        if value:
            yield from check(f"{path}.{field}", value, named(value))


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("addressType", obj.get("addressType"), old.get("addressType"))


def _listed(values: Sequence[str]) -> str:
    if not values:
        return "<unset>"
    more = f" + {len(values) - _SHOWN} more..." if len(values) > _SHOWN else ""
    return ",".join(values[:_SHOWN]) + more


def _ports(obj: Object) -> str:
    return _listed([str(port["port"]) for port in obj.get("ports") or () if port.get("port") is not None])


def _addresses(obj: Object) -> str:
    return _listed([a for endpoint in obj.get("endpoints") or () for a in endpoint.get("addresses") or ()])


RESOURCE = Resource(
    group="discovery.k8s.io",
    plural="endpointslices",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    storage_prefix="endpointslices",
    columns=(
        Column("AddressType", lambda obj: obj.get("addressType", ""), description="Type of all addresses in it."),
        Column("Ports", _ports, description="Ports of every endpoint."),
        Column("Endpoints", _addresses, description="Addresses."),
        AGE,
    ),
)
