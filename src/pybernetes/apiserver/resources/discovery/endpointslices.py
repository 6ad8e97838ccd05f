"""EndpointSlice: a part of the addresses behind a Service (KEP-752)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.addresses import address_warning, endpoint_rule
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, immutable, one_of, too_many

_SHOWN = 3
_MOST_ENDPOINTS, _MOST_PORTS, _MOST_ADDRESSES, _MOST_HINTS = 1000, 20000, 100, 8
_HOSTNAME = "kubernetes.io/hostname"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


def _default(obj: Object) -> None:
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if not port.get("protocol"):
            port["protocol"] = "TCP"


def _prepare(obj: Object, old: Object | None) -> None:
    if old is not None:
        _count_labels(obj["metadata"], old["metadata"])
        if obj.get("endpoints") == old.get("endpoints"):
            return
    # What v1beta1 called topology cannot be written any more; a node named there moves to nodeName.
    nodes = {_hostname(endpoint) for endpoint in (old or {}).get("endpoints") or ()} - {""}
    for endpoint in obj.get("endpoints") or ():
        node = _hostname(endpoint)
        if endpoint.get("nodeName") is None and node in nodes and not names.dns1123_subdomain(node):
            endpoint["nodeName"] = node
        endpoint.pop("deprecatedTopology", None)


def _count_labels(meta: Object, before: Mapping[str, Any]) -> None:
    """generation counts labels, too: they say which Service the slice belongs to."""
    if (meta.get("labels") or {}) != (before.get("labels") or {}):
        meta["generation"] = before.get("generation", 0) + 1


def _hostname(endpoint: Mapping[str, Any]) -> str:
    return (endpoint.get("deprecatedTopology") or {}).get(_HOSTNAME) or ""


def _validate(obj: Object) -> FieldErrors:
    kind = obj.get("addressType") or ""
    yield from one_of("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    endpoints, ports = obj.get("endpoints") or (), obj.get("ports") or ()
    if len(endpoints) > _MOST_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), _MOST_ENDPOINTS)
    else:
        for index, endpoint in enumerate(endpoints):
            yield from _endpoint(endpoint, f"endpoints[{index}]", kind, endpoint_rule(obj))
    if len(ports) > _MOST_PORTS:
        yield too_many("ports", len(ports), _MOST_PORTS)
    else:
        yield from _port_faults(ports)


def _port_faults(ports: Sequence[Mapping[str, Any]]) -> FieldErrors:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name, protocol = f"ports[{index}]", port.get("name") or "", port.get("appProtocol")
        if name:
            yield from check(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        yield from one_of(f"{at}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        if protocol is not None:
            yield from check(f"{at}.appProtocol", protocol, names.qualified_name(protocol))


def _endpoint(endpoint: Mapping[str, Any], path: str, kind: str, rule: Callable[[str], Iterator[str]]) -> FieldErrors:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MOST_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), _MOST_ADDRESSES)
    for at, address in each(endpoint, "addresses", path):
        yield from _address(address, at, kind, rule)
    for field, named in (("nodeName", names.dns1123_subdomain), ("hostname", names.dns1123_label)):
        value = endpoint.get(field)
        if value is not None:
            yield from check(f"{path}.{field}", value, named(value))
    hints = endpoint.get("hints") or {}
    yield from _hints(hints, "forZones", f"{path}.hints", names.label_value)
    yield from _hints(hints, "forNodes", f"{path}.hints", names.dns1123_subdomain)


def _address(address: str, path: str, kind: str, rule: Callable[[str], Iterator[str]]) -> FieldErrors:
    if kind == "FQDN":
        yield from _domain(address, path)
    elif kind in ("IPv4", "IPv6"):
        faults = list(check(path, address, rule(address)))
        yield from faults
        if not faults and (":" in address) != (kind == "IPv6"):
            yield invalid_value(path, address, f"must be an {kind} address")


def _domain(address: str, path: str) -> FieldErrors:
    name = address.removesuffix(".")
    faults = names.dns1123_subdomain(name)
    labels = name.split(".")
    if not address:
        yield required(path)
    elif faults:
        yield invalid_value(path, name, ",".join(faults))
    elif len(labels) < 2:
        yield invalid_value(path, name, "should be a domain with at least two segments separated by dots")
    else:
        for label in labels:
            if wrong := names.dns1123_label(label):
                yield invalid_value(path, label, ",".join(wrong))


def _hints(hints: Mapping[str, Any], field: str, path: str, rule: Callable[[str], list[str]]) -> FieldErrors:
    given = hints.get(field) or ()
    if len(given) > _MOST_HINTS:
        yield too_many(f"{path}.{field}", len(given), _MOST_HINTS)
        return
    seen: set[str] = set()
    for at, hint in each(hints, field, path):
        name = hint.get("name") or ""
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        yield from check(f"{at}.name", name, rule(name))


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("addressType", obj.get("addressType"), old.get("addressType"))


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None and obj.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    if (obj["metadata"].get("labels") or {}).get(_MANAGED_BY) in _CONTROLLERS:
        return  # they write addresses well, and often
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        for at, address in each(endpoint, "addresses", f"endpoints[{index}]"):
            yield from address_warning(address, at)


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
    prepare=_prepare,
    warn=_warn,
    validate=_validate,
    validate_update=_validate_update,
    columns=(
        Column("AddressType", lambda obj: obj.get("addressType", ""), description="Type of all addresses in it."),
        Column("Ports", _ports, description="Ports of every endpoint."),
        Column("Endpoints", _addresses, description="Addresses."),
        AGE,
    ),
)
