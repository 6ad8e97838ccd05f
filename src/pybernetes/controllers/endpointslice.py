"""EndpointSlice controller: the endpoints of each Service with a selector, one set of slices an address family.

_slices.py writes them. What the cache has not shown yet is waited for: else a late cache makes slices twice.
"""

from collections.abc import Callable, Iterable, Sequence

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.controllers._endpoints import (
    address,
    hostname,
    labels_of,
    of_pod,
    pod_matters,
    pod_reference,
    selected,
    target_port,
)
from pybernetes.controllers._expectations import PATIENCE, Expectations
from pybernetes.controllers._slices import MANAGED_BY, SERVICE_NAME, Ports, Slice, SliceWriter, by_service, of_slice
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import is_ready

OURS = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """The slices of one Service."""
    expectations = ctx.state(Expectations)
    service = ctx.cache(core_v1.Service).get(key)
    if service is None:
        expectations.forget(key)
        return Done()  # the owner reference takes the slices along
    if not service.spec.selector or service.spec.type == "ExternalName" or service.metadata.deletionTimestamp:
        return Done()
    if not expectations.met(key, ctx.informer(Slice), ctx.clock.now()):
        return Again(PATIENCE)
    there = [s for s in ctx.cache(Slice).by(OURS, str(key)) if s.metadata.deletionTimestamp is None]
    pods = selected(service, ctx)

    def zone(node: str) -> str | None:
        known = ctx.cache(core_v1.Node).get(Key("", node))
        return known.metadata.labels.get(ZONE) if known else None

    families = service.spec.ipFamilies or ("IPv4",)
    labels = labels_of(service, {SERVICE_NAME: key.name, MANAGED_BY: OURS})
    wanted = {family: endpoints(service, pods, family, zone) for family in families}
    await SliceWriter(ctx, service, labels, {}).run(there, wanted)
    return Done()


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


def _nothing(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    return ()


CONTROLLER = Controller(
    name="endpointslice-controller",
    component="endpoint-slice-controller",
    queue="endpoint_slice",
    watches=(
        Watch(kind=core_v1.Service),
        Watch(kind=core_v1.Pod, keys=of_pod, changed=pod_matters),
        Watch(kind=core_v1.Node, keys=_nothing),
        Watch(kind=Slice, keys=of_slice(OURS), indexes={OURS: by_service(OURS)}),
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
