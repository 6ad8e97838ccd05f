"""EndpointSlice controller: the endpoints of each Service with a selector, in slices of 100, one set an address family.

Slices are filled up rather than made anew, so that a change of one Pod changes one slice. What the cache has not shown
yet is waited for: else a late cache makes slices twice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, discovery_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._claim import reference_to
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
from pybernetes.controllers._namespaces import is_ending
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import is_ready

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
OURS = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
MOST = 100
"""Endpoints in a slice."""
INDEX = "service"

Slice = discovery_v1.EndpointSlice
Ports: TypeAlias = tuple[discovery_v1.EndpointPort, ...]


def _of_slice(found: Slice, ctx: Context) -> Iterable[Key]:
    name = found.metadata.labels.get(SERVICE_NAME)
    ours = found.metadata.labels.get(MANAGED_BY) == OURS
    return (Key(found.metadata.namespace, name),) if name and ours else ()


def _by_service(found: Slice) -> Iterable[str]:
    ours = found.metadata.labels.get(MANAGED_BY) == OURS
    return (f"{found.metadata.namespace}/{found.metadata.labels.get(SERVICE_NAME, '')}",) if ours else ()


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
    there = [s for s in ctx.cache(Slice).by(INDEX, str(key)) if s.metadata.deletionTimestamp is None]
    await _Writer(ctx, service).run(there)
    return Done()


class _Writer:
    """Brings the slices of one Service to what its Pods are."""

    def __init__(self, ctx: Context, service: core_v1.Service) -> None:
        self._ctx, self._service = ctx, service
        self._key = key_of(service)
        self._api = ctx.api(Slice)

    async def run(self, there: Sequence[Slice]) -> None:
        families = self._service.spec.ipFamilies or ("IPv4",)
        for found in there:
            if found.addressType not in families:
                await self._delete(found)
        pods = selected(self._service, self._ctx)
        for family in families:
            await self._family(family, pods, sorted((s for s in there if s.addressType == family), key=key_of))

    async def _family(self, family: str, pods: Sequence[core_v1.Pod], there: Sequence[Slice]) -> None:
        wanted = endpoints(self._service, pods, family, self._zone)
        mine = {ports: [s for s in there if _same(s.ports, ports)] for ports in wanted}
        kept = {key_of(s) for group in mine.values() for s in group}
        spare = [s for s in there if key_of(s) not in kept]
        for ports, listed in wanted.items():
            for found, content in filled(mine[ports], listed):
                if found is None and spare:
                    found = spare.pop(0)  # an update of an old one is cheaper for all watchers than delete and create
                await self._write(found, family, ports, content)
        for found in spare:
            await self._delete(found)

    async def _write(
        self, found: Slice | None, family: str, ports: Ports, content: tuple[discovery_v1.Endpoint, ...] | None
    ) -> None:
        if content is None:
            assert found is not None
            await self._delete(found)
            return
        labels = labels_of(self._service, {SERVICE_NAME: self._service.metadata.name, MANAGED_BY: OURS})
        if found is not None:
            changed = replace(found, metadata=replace(found.metadata, labels=labels), ports=ports, endpoints=content)
            await self._api.patch(found, changed, lock=True)
            return
        meta = meta_v1.ObjectMeta(
            namespace=self._key.namespace,
            generateName=f"{self._key.name}-",
            labels=labels,
            ownerReferences=(reference_to(core_v1.Service, self._service.metadata),),
        )
        try:
            made = await self._api.create(Slice(metadata=meta, addressType=family, ports=ports, endpoints=content))
        except ApiError as error:
            if not is_ending(error):
                raise
            return
        self._ctx.state(Expectations).created(self._key, made, self._ctx.clock.now())

    async def _delete(self, found: Slice) -> None:
        try:
            await self._api.delete(key_of(found), uid=found.metadata.uid)
        except NotFound:
            return
        self._ctx.state(Expectations).deleted(self._key, found, self._ctx.clock.now())

    def _zone(self, node: str) -> str | None:
        known = self._ctx.cache(core_v1.Node).get(Key("", node))
        return known.metadata.labels.get(ZONE) if known else None


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


def _same(first: Ports, second: Ports) -> bool:
    return set(first) == set(second)


def filled(
    there: Sequence[Slice], wanted: Sequence[discovery_v1.Endpoint]
) -> list[tuple[Slice | None, tuple[discovery_v1.Endpoint, ...] | None]]:
    """Each slice with its new content (None: delete it), then new slices (None) with theirs.

    Endpoints stay in the slice they are in; new ones fill up the fullest slice that has room. One slice stays even
    when it is empty.
    """
    left: Mapping[str, discovery_v1.Endpoint] = {_identity(e): e for e in wanted}
    rest = dict(left)
    contents: list[tuple[Slice, list[discovery_v1.Endpoint]]] = []
    for found in there:
        kept = [rest.pop(_identity(e)) for e in found.endpoints if _identity(e) in rest]
        contents.append((found, kept))
    for _, content in sorted(contents, key=lambda pair: -len(pair[1])):
        while rest and len(content) < MOST:
            content.append(rest.pop(next(iter(rest))))
    result: list[tuple[Slice | None, tuple[discovery_v1.Endpoint, ...] | None]] = []
    full = [pair for pair in contents if pair[1]]
    empty = [pair for pair in contents if not pair[1]]
    placeholder = not full and not rest
    result += [(found, tuple(content)) for found, content in full]
    result += [(found, () if placeholder and not n else None) for n, (found, _) in enumerate(empty)]
    new = list(rest.values())
    result += [(None, tuple(new[i : i + MOST])) for i in range(0, len(new), MOST)]
    if placeholder and not empty:
        result.append((None, ()))
    return result


def _identity(endpoint: discovery_v1.Endpoint) -> str:
    return endpoint.targetRef.uid if endpoint.targetRef else ",".join(endpoint.addresses)


def _nothing(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    return ()


CONTROLLER = Controller(
    name="endpointslice-controller",
    component="endpoint-slice-controller",
    watches=(
        Watch(kind=core_v1.Service),
        Watch(kind=core_v1.Pod, keys=of_pod, changed=pod_matters),
        Watch(kind=core_v1.Node, keys=_nothing),
        Watch(kind=Slice, keys=_of_slice, indexes={INDEX: _by_service}),
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
