"""Services and EndpointSlices to a dataplane table: what a node's service proxy has to program. Pure.

Consumed by the backends of kube-proxy. Headless Services and ExternalName never appear; endpoint ports are matched to
Service ports by name and protocol, because the numbers of named target ports differ from Pod to Pod.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from pybernetes.api.types.core_v1 import Service, ServicePort, ServiceSpec
from pybernetes.api.types.discovery_v1 import Endpoint, EndpointSlice

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
"""A Service that names another proxy is not ours."""
DEFAULT_AFFINITY_SECONDS = 10800


class ServicePortName(Struct, frozen=True, order=True):
    """What names one port of a Service: `default/web:http` (`port` is empty for a lone unnamed port)."""

    namespace: str
    name: str
    port: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" + (f":{self.port}" if self.port else "")


class BackendEndpoint(Struct, frozen=True, order=True):
    """Where a connection can go."""

    ip: str
    port: int
    local: bool = False
    """On the node this table is for."""


class DataplanePort(Struct, frozen=True):
    """One Service port: connections to any of its addresses go to one of `endpoints`, chosen at random.

    No endpoints means: refuse at once. With an affinity, a client address keeps its endpoint for that many seconds.
    """

    name: ServicePortName
    cluster_ips: tuple[str, ...]
    port: int
    protocol: str
    """TCP, UDP or SCTP."""
    node_port: int
    """0 where the Service has none."""
    external_ips: tuple[str, ...]
    """spec.externalIPs and the addresses of its load balancer: on `port`, like cluster IPs."""
    affinity_seconds: int
    """ClientIP affinity; 0 is none."""
    endpoints: tuple[BackendEndpoint, ...]
    """For cluster IPs: ready ones, or those that still serve while terminating when none is ready; local ones alone
    where internalTrafficPolicy is Local."""
    external_endpoints: tuple[BackendEndpoint, ...]
    """For node ports and external IPs: the same, local ones alone where externalTrafficPolicy is Local."""
    external_local: bool
    """externalTrafficPolicy is Local: keep the client's address, and drop (not refuse) without local endpoints."""


class Dataplane(Struct, frozen=True):
    """Everything a node's proxy programs, sorted by name so that equal inputs give equal tables."""

    ports: tuple[DataplanePort, ...]


def dataplane(services: Iterable[Service], slices: Iterable[EndpointSlice], node: str) -> Dataplane:
    """The table for `node`. The order of the inputs does not matter."""
    by_service: dict[tuple[str, str], list[EndpointSlice]] = {}
    for piece in slices:
        owner = piece.metadata.labels.get(SERVICE_NAME_LABEL, "")
        if owner and piece.addressType in ("IPv4", "IPv6"):
            by_service.setdefault((piece.metadata.namespace, owner), []).append(piece)
    ports: list[DataplanePort] = []
    for service in services:
        if not _ours(service):
            continue
        key = (service.metadata.namespace, service.metadata.name)
        ports.extend(_port(service, port, by_service.get(key, ()), node) for port in service.spec.ports)
    return Dataplane(tuple(sorted(ports, key=lambda port: port.name)))


def _ours(service: Service) -> bool:
    spec = service.spec
    if spec.type == "ExternalName" or spec.clusterIP in ("", "None"):
        return False
    return PROXY_NAME_LABEL not in service.metadata.labels


def _port(service: Service, port: ServicePort, slices: Iterable[EndpointSlice], node: str) -> DataplanePort:
    spec = service.spec
    protocol = port.protocol or "TCP"
    endpoints = _endpoints(slices, port.name, protocol, node)
    load_balancer = tuple(i.ip for i in service.status.loadBalancer.ingress if i.ip and i.ipMode != "Proxy")
    external_local = spec.externalTrafficPolicy == "Local"
    return DataplanePort(
        name=ServicePortName(service.metadata.namespace, service.metadata.name, port.name, protocol),
        cluster_ips=spec.clusterIPs or (spec.clusterIP,),
        port=port.port,
        protocol=protocol,
        node_port=port.nodePort,
        external_ips=tuple(dict.fromkeys((*spec.externalIPs, *load_balancer))),
        affinity_seconds=_affinity(spec),
        endpoints=_usable(endpoints, local_only=spec.internalTrafficPolicy == "Local"),
        external_endpoints=_usable(endpoints, local_only=external_local),
        external_local=external_local,
    )


def _affinity(spec: ServiceSpec) -> int:
    if spec.sessionAffinity != "ClientIP":
        return 0
    config = spec.sessionAffinityConfig
    seconds = config.clientIP.timeoutSeconds if config and config.clientIP else None
    return seconds or DEFAULT_AFFINITY_SECONDS


def _endpoints(
    slices: Iterable[EndpointSlice], name: str, protocol: str, node: str
) -> Mapping[BackendEndpoint, Endpoint]:
    """Each address once: while a Pod moves between slices it is in two of them, and the ready one counts."""
    found: dict[BackendEndpoint, Endpoint] = {}
    for piece in slices:
        numbers = [
            p.port for p in piece.ports if (p.name or "") == name and (p.protocol or "TCP") == protocol and p.port
        ]
        for number in numbers:
            for endpoint in piece.endpoints:
                if not endpoint.addresses:
                    continue
                # Only the first address counts: the API reserves the rest.
                key = BackendEndpoint(endpoint.addresses[0], number, endpoint.nodeName == node and bool(node))
                if key not in found or _ready(endpoint):
                    found[key] = endpoint
    return found


def _usable(endpoints: Mapping[BackendEndpoint, Endpoint], *, local_only: bool) -> tuple[BackendEndpoint, ...]:
    eligible = {key: endpoint for key, endpoint in endpoints.items() if key.local or not local_only}
    ready = [key for key, endpoint in eligible.items() if _ready(endpoint)]
    if not ready:
        ready = [key for key, endpoint in eligible.items() if _serving(endpoint) and endpoint.conditions.terminating]
    return tuple(sorted(ready))


def _ready(endpoint: Endpoint) -> bool:
    """An unknown condition counts as true (KEP-1672)."""
    return endpoint.conditions.ready is not False


def _serving(endpoint: Endpoint) -> bool:
    serving = endpoint.conditions.serving
    return _ready(endpoint) if serving is None else serving
