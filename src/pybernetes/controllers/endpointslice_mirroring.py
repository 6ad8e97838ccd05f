"""EndpointSlice mirroring: Endpoints that a user keeps for a Service without selector, as slices, which proxies read."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._endpoints import TRIGGERED
from pybernetes.controllers._expectations import PATIENCE, Expectations
from pybernetes.controllers._slice_metrics import MirrorMetrics
from pybernetes.controllers._slices import MANAGED_BY, SERVICE_NAME, Ports, Slice, SliceWriter, by_service, of_slice
from pybernetes.controllers._subsets import entries, repacked
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow

OURS = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LEFT_OUT = frozenset({"kubectl.kubernetes.io/last-applied-configuration", TRIGGERED})


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """The mirror of one Endpoints."""
    begin, figures = ctx.clock.monotonic(), ctx.metrics(MirrorMetrics)
    try:
        return await _mirror(key, ctx)
    finally:
        figures.seconds.observe(ctx.clock.monotonic() - begin)


async def _mirror(key: Key, ctx: Context) -> Outcome:
    expectations, figures = ctx.state(Expectations), ctx.metrics(MirrorMetrics)
    if not expectations.met(key, ctx.informer(Slice), ctx.clock.now()):
        return Again(PATIENCE)
    there = [s for s in ctx.cache(Slice).by(OURS, str(key)) if s.metadata.deletionTimestamp is None]
    found = ctx.cache(core_v1.Endpoints).get(key)
    service = ctx.cache(core_v1.Service).get(key)
    if found is None:
        expectations.forget(key)
        figures.gone(key)
        await _delete(there, ctx)
        return Done()
    labels = {**found.metadata.labels, SERVICE_NAME: key.name, MANAGED_BY: OURS}
    annotations = {name: text for name, text in found.metadata.annotations.items() if name not in LEFT_OUT}
    most = ctx.config.mirrored_per_subset
    writer = SliceWriter(ctx, found, labels, annotations, most=most)
    if service is None or service.spec.selector or not _wanted(found):
        await writer.run(there, {})
        figures.wrote(writer.written)
        figures.gone(key)
        return Done()
    mirror = mirrored(found, most)
    _tell(found, mirror, most, ctx)
    await writer.run(there, mirror.endpoints)
    figures.synced(
        key, skipped=mirror.invalid + mirror.beyond, there=there, wanted=mirror.endpoints, written=writer.written, most=most
    )  # fmt: skip
    return Done()


async def _delete(there: Iterable[Slice], ctx: Context) -> None:
    """Before the garbage collector comes to them."""
    for found in there:
        with suppress(NotFound):
            await ctx.api(Slice).delete(key_of(found), uid=found.metadata.uid)
            ctx.metrics(MirrorMetrics).wrote({"delete": 1})


def _wanted(found: core_v1.Endpoints) -> bool:
    return found.metadata.labels.get(SKIP) != "true" and LEADER not in found.metadata.annotations


def _tell(found: core_v1.Endpoints, mirror: "Mirror", most: int, ctx: Context) -> None:
    if mirror.invalid:
        text = f"Skipped {mirror.invalid} invalid IP addresses when mirroring to EndpointSlices"
        ctx.events.event(found, "Warning", "InvalidIPAddress", text)
    if mirror.beyond:
        text = (
            f"A max of {most} addresses can be mirrored to EndpointSlices per Endpoints subset."
            f" {mirror.invalid + mirror.beyond} addresses were skipped"
        )
        ctx.events.event(found, "Warning", "TooManyAddressesToMirror", text)


@dataclass(slots=True)
class Mirror:
    """What an Endpoints says as endpoints, and what of it was left out."""

    endpoints: dict[str, dict[Ports, list[discovery_v1.Endpoint]]] = field(default_factory=dict)
    """By family and ports."""
    invalid: int = 0
    """Addresses that are none."""
    beyond: int = 0
    """Addresses that are too many for their subset."""


def mirrored(found: core_v1.Endpoints, most: int) -> Mirror:
    """The subsets in their canonical form as endpoints; so many addresses of each subset at most, ready ones first."""
    mirror = Mirror()
    for subset in repacked(entries(found.subsets)):
        ports = tuple(
            discovery_v1.EndpointPort(
                name=port.name, port=port.port, protocol=port.protocol or "TCP", appProtocol=port.appProtocol
            )
            for port in subset.ports
        )
        added = 0
        for at, ready in [*((a, True) for a in subset.addresses), *((a, False) for a in subset.notReadyAddresses)]:
            if added == most:
                mirror.beyond += 1
            elif (ip := canonical(at.ip)) is None:
                mirror.invalid += 1
            else:
                added += 1
                by_ports = mirror.endpoints.setdefault("IPv6" if ":" in ip else "IPv4", {})
                by_ports.setdefault(ports, []).append(_endpoint(at, ip, ready=ready))
    return mirror


def _endpoint(at: core_v1.EndpointAddress, ip: str, *, ready: bool) -> discovery_v1.Endpoint:
    return discovery_v1.Endpoint(
        addresses=(ip,),
        conditions=discovery_v1.EndpointConditions(ready=ready),
        hostname=at.hostname or None,
        nodeName=at.nodeName,
        targetRef=at.targetRef,
    )


def canonical(text: str) -> str | None:
    """An address as slices must have it; Endpoints of old have leading zeros and IPv4 addresses in IPv6 form. None: it is none."""
    try:
        if text.isascii() and text.replace(".", "").isdigit():
            text = ".".join(str(int(part)) for part in text.split("."))
        found = ip_address(text)
    except ValueError:
        return None
    inner = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(inner or found)


def _of_service(service: core_v1.Service, ctx: Context) -> Iterable[Key]:
    key = key_of(service)
    return (key,) if ctx.cache(core_v1.Endpoints).get(key) is not None else ()


CONTROLLER = Controller(
    name="endpointslice-mirroring-controller",
    component="endpoint-slice-mirroring-controller",
    queue="endpoint_slice_mirroring",
    account="endpointslicemirroring-controller",
    watches=(
        Watch(kind=core_v1.Endpoints),
        Watch(kind=core_v1.Service, keys=_of_service),
        Watch(
            kind=Slice,
            keys=of_slice(OURS),
            indexes={OURS: by_service(OURS)},
            delay=lambda config: config.mirror_batch_period,
        ),
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
