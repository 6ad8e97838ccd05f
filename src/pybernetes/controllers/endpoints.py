"""Endpoints controller: the ready addresses of each Service with a selector, in the old form (v1 Endpoints)."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._endpoints import (
    TRIGGERED,
    Triggers,
    address,
    families,
    hostname,
    labels_of,
    of_pod,
    pod_matters,
    pod_reference,
    selected,
    target_port,
)
from pybernetes.controllers._namespaces import is_ending
from pybernetes.controllers._subsets import Entry, repacked, truncated
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import is_ready

MANAGED_BY = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
"""Annotation: more addresses were found than are listed."""


def _of_endpoints(found: core_v1.Endpoints, ctx: Context) -> Iterable[Key]:
    """What a user keeps before there is a Service of its name is the user's."""
    ours = MANAGED_BY.items() <= found.metadata.labels.items()
    key = key_of(found)
    return (key,) if ours or ctx.cache(core_v1.Service).get(key) is not None else ()


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """The Endpoints of one Service."""
    service = ctx.cache(core_v1.Service).get(key)
    there = ctx.cache(core_v1.Endpoints).get(key)
    api = ctx.api(core_v1.Endpoints)
    if service is None:
        ctx.state(Triggers).forget(key)
        if there is not None:
            try:
                await api.delete(key, uid=there.metadata.uid)
            except NotFound:
                return Done()
        return Done()
    if not service.spec.selector or service.spec.type == "ExternalName":
        return Done()  # the user keeps these
    pods = selected(service, ctx)
    found = subsets(service, pods)
    fitting = truncated(found)
    triggered = ctx.state(Triggers).next(service, pods)
    labels = labels_of(service, MANAGED_BY)
    old = there.metadata if there else meta_v1.ObjectMeta(name=key.name, namespace=key.namespace)
    annotations = {name: value for name, value in old.annotations.items() if name != OVER_CAPACITY}
    if fitting is not None:
        found, annotations[OVER_CAPACITY] = fitting, "truncated"
    wanted = core_v1.Endpoints(metadata=replace(old, labels=labels, annotations=annotations), subsets=found)
    try:
        if there is None:
            await api.create(_triggered(wanted, triggered))
        elif (there.metadata, there.subsets) != (wanted.metadata, found):
            await api.patch(there, _triggered(wanted, triggered), lock=True)
    except AlreadyExists as error:
        raise Conflict(error.message) from error
    except ApiError as error:
        if there is None and is_ending(error):
            return Done()
        if not isinstance(error, Conflict):
            _tell(wanted, created=there is None, error=error, ctx=ctx)
        raise
    return Done()


def _tell(endpoints: core_v1.Endpoints, *, created: bool, error: ApiError, ctx: Context) -> None:
    reason, doing = ("FailedToCreateEndpoint", "create endpoint for service") if created else (
        "FailedToUpdateEndpoint", "update endpoint")  # fmt: skip
    ctx.events.event(endpoints, "Warning", reason, f"Failed to {doing} {key_of(endpoints)}: {error}")


def _triggered(endpoints: core_v1.Endpoints, time: str) -> core_v1.Endpoints:
    others = {name: value for name, value in endpoints.metadata.annotations.items() if name != TRIGGERED}
    annotations = {**others, TRIGGERED: time} if time else others
    return replace(endpoints, metadata=replace(endpoints.metadata, annotations=annotations))


def subsets(service: core_v1.Service, pods: Sequence[core_v1.Pod]) -> tuple[core_v1.EndpointSubset, ...]:
    """The subsets of a Service, canonical."""
    return repacked(_entries(service, pods))


def _entries(service: core_v1.Service, pods: Sequence[core_v1.Pod]) -> Iterable[Entry]:
    family = families(service)[0]
    tolerant = service.spec.publishNotReadyAddresses
    for pod in pods:
        ip = address(pod, family)
        if not ip or (pod.metadata.deletionTimestamp and not tolerant):
            continue
        ports = _ports(service, pod)
        if service.spec.ports and not ports:
            continue
        at = core_v1.EndpointAddress(
            ip=ip,
            hostname=hostname(pod, service),
            nodeName=pod.spec.nodeName or None,
            targetRef=pod_reference(pod),
        )
        yield ports, at, tolerant or is_ready(pod)


def _ports(service: core_v1.Service, pod: core_v1.Pod) -> list[core_v1.EndpointPort]:
    """The ports of the Service that this Pod has."""
    return [
        core_v1.EndpointPort(name=port.name, port=number, protocol=port.protocol or "TCP", appProtocol=port.appProtocol)
        for port in service.spec.ports
        if (number := target_port(port, pod)) is not None
    ]


CONTROLLER = Controller(
    name="endpoints-controller",
    component="endpoint-controller",
    queue="endpoint",
    account="endpoint-controller",
    watches=(
        Watch(kind=core_v1.Service),
        Watch(kind=core_v1.Pod, keys=of_pod, changed=pod_matters, delay=lambda config: config.endpoint_batch_period),
        Watch(kind=core_v1.Endpoints, keys=_of_endpoints),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "pods services"),
        allow("create delete get list patch update watch", "endpoints"),
        allow("create", "endpoints/restricted"),
        EVENTS,
    ),
)
