"""EndpointSlice controller: the endpoints of each Service with a selector, one set of slices an address family.

_slices.py writes them, _hints.py says whom each endpoint is for. What the cache has not shown yet is waited for: else a
late cache makes slices twice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from pybernetes.api.errors import ApiError, Conflict
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._endpoints import (
    Triggers,
    address,
    families,
    has_address,
    hostname,
    labels_of,
    of_pod,
    pod_matters,
    pod_reference,
    selected,
    target_port,
)
from pybernetes.controllers._expectations import PATIENCE, Expectations
from pybernetes.controllers._hints import (
    DISABLED,
    ENABLED,
    ZONE,
    allotted,
    automatic,
    distributed,
    ratios,
)
from pybernetes.controllers._nodes import ON_NODE, by_node
from pybernetes.controllers._slice_metrics import SliceMetrics
from pybernetes.controllers._slices import MANAGED_BY, SERVICE_NAME, Ports, Slice, SliceWriter, by_service, of_slice
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.backoff import exponential
from pybernetes.rules.readiness import is_ready, node_is_ready

OURS = "endpointslice-controller.k8s.io"
FAMILIES = ("IPv4", "IPv6")
RETRY = (1.0, 1000.0)
"""Seconds until a Pod whose Node is not known is looked for again, the first time and at most."""
AUTOMATIC = "topology-mode"
"""Index of Services that ask for hints after the zones' CPUs."""


ByPorts: TypeAlias = Mapping[Ports, Sequence[discovery_v1.Endpoint]]


class _Topology:
    """What hints go by, and what was told of them."""

    def __init__(self) -> None:
        self.revision = ""
        self.parts: Mapping[str, float] = {}
        """The zones' parts of the CPUs, as of that revision of Nodes."""
        self.told: dict[tuple[Key, str], str] = {}
        """By Service and family: why there are no hints, or that there are."""


class _Waiting:
    """Services with Pods on Nodes that nobody knows: how often each was looked at since."""

    def __init__(self) -> None:
        self.times: dict[Key, int] = {}


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """The slices of one Service."""
    expectations, figures = ctx.state(Expectations), ctx.metrics(SliceMetrics)
    service = ctx.cache(core_v1.Service).get(key)
    if service is None:
        expectations.forget(key)
        _forget(key, ctx)
        figures.gone(key)
        ctx.state(Triggers).forget(key)
        ctx.state(_Waiting).times.pop(key, None)
        return Done()  # the owner reference takes the slices along
    if not service.spec.selector or service.spec.type == "ExternalName":
        return Done()
    if not expectations.met(key, ctx.informer(Slice), ctx.clock.now()):
        figures.syncs.add("stale")
        return Again(PATIENCE)
    pods = selected(service, ctx)
    triggered = ctx.state(Triggers).next(service, pods)
    placed, lost = _placed(service, pods, ctx)
    await _write(service, placed, triggered, ctx)
    if not lost:
        figures.syncs.add("success")
        ctx.state(_Waiting).times.pop(key, None)
        return Done()
    figures.syncs.add("error")
    texts = [f"skipping Pod {p.metadata.name} for Service {key}: Node {p.spec.nodeName} Not Found" for p in lost]
    _tell_failure(service, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]", ctx)
    waiting = ctx.state(_Waiting).times
    waiting[key] = waiting.get(key, -1) + 1
    return Again(exponential(waiting[key], *RETRY))


def _placed(
    service: core_v1.Service, pods: Sequence[core_v1.Pod], ctx: Context
) -> tuple[list[core_v1.Pod], list[core_v1.Pod]]:
    """Pods whose Node is known, or that are wanted whatever they are; and the others, which nobody may be sent to."""
    nodes = ctx.cache(core_v1.Node)
    placed: list[core_v1.Pod] = []
    lost = []
    for pod in pods:
        known = service.spec.publishNotReadyAddresses or nodes.get(Key("", pod.spec.nodeName)) is not None
        if known or not has_address(pod):
            placed.append(pod)
        else:
            lost.append(pod)
    return placed, lost


async def _write(service: core_v1.Service, pods: Sequence[core_v1.Pod], triggered: str, ctx: Context) -> None:
    key, figures = key_of(service), ctx.metrics(SliceMetrics)
    there = [s for s in ctx.cache(Slice).by(OURS, str(key)) if s.metadata.deletionTimestamp is None]

    def zone(node: str) -> str | None:
        known = ctx.cache(core_v1.Node).get(Key("", node))
        return known.metadata.labels.get(ZONE) if known else None

    labels = labels_of(service, {SERVICE_NAME: key.name, MANAGED_BY: OURS})
    wanted = {
        family: _hinted(service, family, endpoints(service, pods, family, zone), there, ctx)
        for family in families(service)
    }
    writer = SliceWriter(ctx, service, labels, most=ctx.config.endpoints_per_slice)
    writer.triggered = triggered
    try:
        await writer.run(there, wanted)
    except (ApiError, OSError) as error:
        figures.syncs.add("error")
        if not isinstance(error, Conflict):
            _tell_failure(service, f"failed to {writer.doing}: {error}", ctx)
        raise
    figures.synced(service, automatic=automatic(service), there=there, wanted=wanted, written=writer.written,
                   most=ctx.config.endpoints_per_slice)  # fmt: skip


def _tell_failure(service: core_v1.Service, why: str, ctx: Context) -> None:
    text = f"Error updating Endpoint Slices for Service {key_of(service)}: {why}"
    ctx.events.event(service, "Warning", "FailedToUpdateEndpointSlices", text)


def _hinted(service: core_v1.Service, family: str, wanted: ByPorts, there: Sequence[Slice], ctx: Context) -> ByPorts:
    """With hints, and events where topology aware ones come or go."""
    if not automatic(service):
        if ctx.state(_Topology).told.get((key_of(service), family)) == ENABLED:
            _tell(service, family, DISABLED, ctx)
        _forget(key_of(service), ctx)
        return {ports: distributed(listed, service.spec.trafficDistribution) for ports, listed in wanted.items()}
    before = {
        endpoint.addresses[0]: endpoint.hints.forZones[0].name
        for found in there
        if found.addressType == family
        for endpoint in found.endpoints
        if endpoint.hints is not None and endpoint.hints.forZones
    }
    every = [endpoint for listed in wanted.values() for endpoint in listed]
    found = allotted(every, before, _parts(ctx))
    if isinstance(found, str):
        _tell(service, family, found, ctx)
        return wanted
    _tell(service, family, ENABLED, ctx)
    hinted = iter(found)
    return {ports: [next(hinted) for _ in listed] for ports, listed in wanted.items()}


def _parts(ctx: Context) -> Mapping[str, float]:
    """Computed once a change of Nodes, and only where a Service asks for it."""
    topology, informer = ctx.state(_Topology), ctx.informer(core_v1.Node)
    if topology.revision != informer.revision:
        topology.revision, topology.parts = informer.revision, ratios(informer.cache)
    return topology.parts


def _tell(service: core_v1.Service, family: str, text: str, ctx: Context) -> None:
    """Once, until something else is to be told. That there are hints, or none any more, is said of one family for all."""
    told, key = ctx.state(_Topology).told, key_of(service)
    if told.get((key, family)) == text:
        return
    said = {told.get((key, other)) for other in FAMILIES}
    told[key, family] = text
    if text in (ENABLED, DISABLED) and text in said:
        return
    kind: Literal["Normal", "Warning"] = "Normal" if text == ENABLED else "Warning"
    reason = "TopologyAwareHintsEnabled" if text == ENABLED else "TopologyAwareHintsDisabled"
    ctx.events.event(service, kind, reason, f"{text}, addressType: {family}")


def _forget(key: Key, ctx: Context) -> None:
    told = ctx.state(_Topology).told
    for family in FAMILIES:
        told.pop((key, family), None)


def endpoints(
    service: core_v1.Service, pods: Sequence[core_v1.Pod], family: str, zone: Callable[[str], str | None]
) -> dict[Ports, list[discovery_v1.Endpoint]]:
    """Endpoints by their ports, since named ports differ between Pods. With none at all: one empty set."""
    found: dict[Ports, list[discovery_v1.Endpoint]] = {}
    for pod in pods:
        ip = address(pod, family)
        if not ip:
            continue
        terminating = pod.metadata.deletionTimestamp is not None
        serving = is_ready(pod)
        made = discovery_v1.Endpoint(
            addresses=(ip,),
            conditions=discovery_v1.EndpointConditions(
                ready=service.spec.publishNotReadyAddresses or (serving and not terminating),
                serving=serving,
                terminating=terminating,
            ),
            hostname=hostname(pod, service) or None,
            nodeName=pod.spec.nodeName or None,
            targetRef=pod_reference(pod),
            zone=zone(pod.spec.nodeName) if pod.spec.nodeName else None,
        )
        found.setdefault(_ports(service, pod), []).append(made)
    return found or {_ports(service, None): []}


def _ports(service: core_v1.Service, pod: core_v1.Pod | None) -> Ports:
    """Port name "" is written, not left out."""
    return tuple(
        discovery_v1.EndpointPort(
            name=port.name, protocol=port.protocol or "TCP", port=number, appProtocol=port.appProtocol
        )
        for port in service.spec.ports
        if pod is not None and (number := target_port(port, pod)) is not None
    )


def _by_mode(service: core_v1.Service) -> Iterable[str]:
    return ("Auto",) if automatic(service) else ()


def _of_node(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    """Services whose hints go by the Nodes."""
    return [key_of(service) for service in ctx.cache(core_v1.Service).by(AUTOMATIC, "Auto")]


def _node_matters(old: core_v1.Node, new: core_v1.Node) -> bool:
    return _node_facts(old) != _node_facts(new)


def _node_facts(node: core_v1.Node) -> tuple[object, ...]:
    return node.metadata.labels, node_is_ready(node), node.status.allocatable.get("cpu")


def _on_node(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    """Services with endpoints there: their zone is in the slices, or they wait for the Node."""
    if ZONE not in node.metadata.labels:
        yield from tuple(ctx.state(_Waiting).times)
        return
    for pod in ctx.cache(core_v1.Pod).by(ON_NODE, node.metadata.name):
        yield from of_pod(pod, ctx)


def _zone_changed(old: core_v1.Node, new: core_v1.Node) -> bool:
    return old.metadata.labels.get(ZONE) != new.metadata.labels.get(ZONE)


CONTROLLER = Controller(
    name="endpointslice-controller",
    component="endpoint-slice-controller",
    queue="endpoint_slice",
    watches=(
        Watch(kind=core_v1.Service, indexes={AUTOMATIC: _by_mode}),
        Watch(
            kind=core_v1.Pod,
            keys=of_pod,
            changed=pod_matters,
            indexes={ON_NODE: by_node},
            delay=lambda config: config.slice_batch_period,
        ),
        Watch(kind=core_v1.Node, keys=_of_node, changed=_node_matters),
        Watch(kind=core_v1.Node, keys=_on_node, changed=_zone_changed),
        Watch(
            kind=Slice,
            keys=of_slice(OURS),
            indexes={OURS: by_service(OURS)},
            delay=lambda config: config.slice_batch_period,
        ),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "nodes pods services"),
        allow("update", "services/finalizers"),
        allow("create delete get list patch update watch", "endpointslices", "discovery.k8s.io"),
        allow("create", "endpointslices/restricted", "discovery.k8s.io"),
        EVENTS,
    ),
)
