"""Hints of endpoints: which zones or nodes should use one. Pure; endpointslice.py puts them into slices.

Two ways, as the API concepts "Topology Aware Routing" and "Traffic distribution" have them: `trafficDistribution` of a Service
gives each endpoint to its own zone or node; the annotation `service.kubernetes.io/topology-mode: Auto`, which comes first,
gives each zone as many as its share of the CPUs, or gives no hints and says why. An endpoint that has a hint keeps it as long
as the shares allow, so that few slices change.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from msgspec.structs import replace

from pybernetes.api.quantity import parse
from pybernetes.api.types import core_v1
from pybernetes.api.types.discovery_v1 import Endpoint, EndpointHints, ForNode, ForZone
from pybernetes.rules.readiness import node_is_ready

ZONE = "topology.kubernetes.io/zone"
MODE, OLD_MODE = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"
_CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")
_OUT = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
"""Labels of Nodes that do not count."""
_OVERLOAD = 0.2
"""So much more than its share an endpoint may have to bear."""

DISABLED = "Topology Aware Hints has been disabled"
ENABLED = "Topology Aware Hints has been enabled"
_NODES = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
_FEW = "Insufficient number of endpoints"
_UNEVEN = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
_NO_ZONE = "One or more endpoints do not have a zone specified"


@dataclass(frozen=True, slots=True)
class Share:
    """Of a zone: endpoints it should have, and has at most."""

    wanted: float
    most: int


def automatic(service: core_v1.Service) -> bool:
    """Whether a Service asks for topology aware hints."""
    notes = service.metadata.annotations
    return notes.get(OLD_MODE, notes.get(MODE)) in ("Auto", "auto")


def distributed(endpoints: Sequence[Endpoint], how: str | None) -> list[Endpoint]:
    """With the hints of `trafficDistribution`, which may be none."""
    return [
        _close(endpoint, how) if how in _CLOSE and endpoint.conditions.ready else endpoint for endpoint in endpoints
    ]


def _close(endpoint: Endpoint, how: str | None) -> Endpoint:
    zones = (ForZone(name=endpoint.zone),) if endpoint.zone else ()
    nodes = (ForNode(name=endpoint.nodeName),) if how == "PreferSameNode" and endpoint.nodeName else ()
    return replace(endpoint, hints=EndpointHints(forZones=zones, forNodes=nodes)) if zones or nodes else endpoint


def ratios(nodes: Iterable[core_v1.Node]) -> Mapping[str, float]:
    """Each zone's part of the CPUs of all ready Nodes; empty where that cannot be said, or there is one zone only."""
    cpus: Counter[str] = Counter()
    for node in nodes:
        if any(label in node.metadata.labels for label in _OUT) or not node_is_ready(node):
            continue
        zone, cpu = node.metadata.labels.get(ZONE), _cpu(node)
        if not zone or not cpu:
            return {}
        cpus[zone] += cpu
    total = cpus.total()
    return {zone: cpu / total for zone, cpu in cpus.items()} if len(cpus) > 1 else {}


def _cpu(node: core_v1.Node) -> int:
    """Thousandths."""
    return parse(node.status.allocatable.get("cpu", "0")).milli_value()


def shares(parts: Mapping[str, float], count: int) -> Mapping[str, Share] | str:
    """What each zone should have of so many endpoints, or why nobody can say."""
    if not parts:
        return _NODES
    told = f"({count} endpoints, {len(parts)} zones)"
    if len(parts) > count:
        return f"{_FEW} {told}"
    least = {zone: ceil(part * count / (1 + _OVERLOAD)) for zone, part in parts.items()}
    spare = count - sum(least.values())
    if spare < 0:
        return f"{_UNEVEN} {told}"
    return {zone: Share(max(part * count, least[zone]), least[zone] + spare) for zone, part in parts.items()}


def allotted(
    endpoints: Sequence[Endpoint], before: Mapping[str, str], parts: Mapping[str, float]
) -> list[Endpoint] | str:
    """With hints after the zones' parts, or why there are none. `before`: the zones that are hinted at now, by address."""
    ready = [endpoint for endpoint in endpoints if endpoint.conditions.ready]
    found = shares(parts, len(ready))
    if isinstance(found, str):
        return found
    if not all(endpoint.zone for endpoint in ready):
        return _NO_ZONE
    zones: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for endpoint in ready:
        zone = before.get(endpoint.addresses[0], "")
        if zone in found and counts[zone] < found[zone].most:
            zones[endpoint.addresses[0]] = zone
            counts[zone] += 1
    fresh = [endpoint for endpoint in ready if endpoint.addresses[0] not in zones]
    for endpoint in fresh:
        zones[endpoint.addresses[0]] = endpoint.zone or ""
        counts[endpoint.zone or ""] += 1
    _balance(zones, counts, found, [*fresh, *(endpoint for endpoint in ready if endpoint not in fresh)])
    return [_for_zone(endpoint, zones.get(endpoint.addresses[0])) for endpoint in endpoints]


def _for_zone(endpoint: Endpoint, zone: str | None) -> Endpoint:
    return replace(endpoint, hints=EndpointHints(forZones=(ForZone(name=zone),))) if zone else endpoint


def _balance(
    zones: dict[str, str], counts: Counter[str], found: Mapping[str, Share], movable: Sequence[Endpoint]
) -> None:
    """Gives endpoints of zones that have too many to those that have too few; those who come first move first."""
    wanted = {zone: share.wanted for zone, share in found.items()} | {zone: 0.0 for zone in counts if zone not in found}
    while True:
        over, giving = max((counts[zone] - target, zone) for zone, target in sorted(wanted.items()))
        under, taking = max((target - counts[zone], zone) for zone, target in sorted(wanted.items()))
        if min(over, under) < 0.5 or max(over, under) < 1:
            return
        moved = next(endpoint for endpoint in movable if zones[endpoint.addresses[0]] == giving)
        zones[moved.addresses[0]] = taking
        counts[giving] -= 1
        counts[taking] += 1
