"""EndpointSlice mirroring: Endpoints that a user keeps for a Service without selector, as slices, which proxies read."""

from collections.abc import Iterable

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._endpoints import TRIGGERED
from pybernetes.controllers._expectations import PATIENCE, Expectations
from pybernetes.controllers._slices import MANAGED_BY, SERVICE_NAME, Ports, Slice, SliceWriter, by_service, of_slice
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow

OURS = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LEFT_OUT = frozenset({"kubectl.kubernetes.io/last-applied-configuration", TRIGGERED})


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """The mirror of one Endpoints."""
    expectations = ctx.state(Expectations)
    if not expectations.met(key, ctx.informer(Slice), ctx.clock.now()):
        return Again(PATIENCE)
    there = [s for s in ctx.cache(Slice).by(OURS, str(key)) if s.metadata.deletionTimestamp is None]
    found = ctx.cache(core_v1.Endpoints).get(key)
    service = ctx.cache(core_v1.Service).get(key)
    if found is None:
        expectations.forget(key)
        return Done()  # the owner reference takes the slices along
    mirrored = service is not None and not service.spec.selector and _wanted(found)
    labels = {**found.metadata.labels, SERVICE_NAME: key.name, MANAGED_BY: OURS}
    annotations = {name: text for name, text in found.metadata.annotations.items() if name not in LEFT_OUT}
    most = ctx.config.mirrored_per_subset
    writer = SliceWriter(ctx, found, labels, annotations, most=most)
    await writer.run(there, slices(found, most) if mirrored else {})
    return Done()


def _wanted(found: core_v1.Endpoints) -> bool:
    skipped = found.metadata.labels.get(SKIP) == "true" or LEADER in found.metadata.annotations
    return not skipped and found.metadata.deletionTimestamp is None


def slices(found: core_v1.Endpoints, most: int) -> dict[str, dict[Ports, list[discovery_v1.Endpoint]]]:
    """What the subsets are as endpoints, by family and ports; so many addresses of each subset at most."""
    wanted: dict[str, dict[Ports, list[discovery_v1.Endpoint]]] = {}
    for subset in found.subsets:
        ports = tuple(
            discovery_v1.EndpointPort(
                name=port.name, port=port.port, protocol=port.protocol or "TCP", appProtocol=port.appProtocol
            )
            for port in subset.ports
        )
        listed = [(at, True) for at in subset.addresses] + [(at, False) for at in subset.notReadyAddresses]
        for at, ready in listed[:most]:
            family = "IPv6" if ":" in at.ip else "IPv4"
            made = discovery_v1.Endpoint(
                addresses=(at.ip,),
                conditions=discovery_v1.EndpointConditions(ready=ready),
                hostname=at.hostname or None,
                nodeName=at.nodeName,
                targetRef=at.targetRef,
            )
            wanted.setdefault(family, {}).setdefault(ports, []).append(made)
    return wanted


def _of_service(service: core_v1.Service, ctx: Context) -> Iterable[Key]:
    key = key_of(service)
    return (key,) if ctx.cache(core_v1.Endpoints).get(key) is not None else ()


CONTROLLER = Controller(
    name="endpointslice-mirroring-controller",
    queue="endpoint_slice_mirroring",
    account="endpointslicemirroring-controller",
    watches=(
        Watch(kind=core_v1.Endpoints),
        Watch(kind=core_v1.Service, keys=_of_service),
        Watch(kind=Slice, keys=of_slice(OURS), indexes={OURS: by_service(OURS)}),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "endpoints services"),
        allow("update", "services/finalizers endpoints/finalizers"),
        allow("create delete get list patch update watch", "endpointslices", "discovery.k8s.io"),
        allow("create", "endpointslices/restricted", "discovery.k8s.io"),
        EVENTS,
    ),
)
