"""Service controller: load balancers for Services of type LoadBalancer, made by whichever provider is installed.

The finalizer comes before the load balancer and goes after it, so that none is left behind. Without a provider for a
Service's class nothing is done (_load_balancers.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._finalizers import with_finalizer, without_finalizer
from pybernetes.controllers._load_balancers import (
    LoadBalancerError,
    LoadBalancers,
    Provider,
    installed_providers,
)
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.backoff import exponential
from pybernetes.wire.metrics import Counter, Distribution
from pybernetes.wire.metrics import exponential as bounds

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
TYPE = "LoadBalancer"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
LEAVING = "ToBeDeletedByClusterAutoscaler"
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})
"""What Go's ParseBool takes for no."""
_NAMED = 20
"""So many Nodes are named in an event."""
FAILURES = (LoadBalancerError, ApiError, OSError)
RETRY = (5.0, 300.0)
"""Seconds before a provider is asked again, the first time and at most."""


class _FailedError(Exception):
    """A provider could not; its event is recorded."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A Service as its load balancer was made for it, and the Nodes behind it."""

    service: core_v1.Service
    nodes: tuple[tuple[str, str], ...]
    """Their names, and what their clouds call them."""
    provider: str


class _Balanced:
    """Who makes load balancers, and for which Services they were made since the start."""

    def __init__(self) -> None:
        self.known: dict[Key, _Known] = {}
        self.failures: dict[Key, int] = {}
        self._providers: Mapping[str, Provider] | None = None
        self._made: dict[str, LoadBalancers] = {}

    def providers(self, ctx: Context) -> Mapping[str, Provider]:
        """By class."""
        if self._providers is None:
            given = ctx.config.load_balancers
            self._providers = installed_providers() if given is None else {p.load_balancer_class: p for p in given}
        return self._providers

    def of(self, name: str, ctx: Context) -> LoadBalancers:
        """Those of a class that has a provider."""
        if name not in self._made:
            self._made[name] = self.providers(ctx)[name].make(ctx.client)
        return self._made[name]


def _class(service: core_v1.Service) -> str:
    return service.spec.loadBalancerClass or ""


def _of_service(service: core_v1.Service, ctx: Context) -> Iterable[Key]:
    state = ctx.state(_Balanced)
    key = key_of(service)
    if state.providers(ctx) and (
        service.spec.type == TYPE or FINALIZER in service.metadata.finalizers or key in state.known
    ):
        yield key


def _of_node(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    return tuple(ctx.state(_Balanced).known)


def _node_matters(old: core_v1.Node, new: core_v1.Node) -> bool:
    """A Node that is not ready stays: load balancers look after that themselves, and connections may end well (KEP-3458)."""
    return _node_facts(old) != _node_facts(new)


def _node_facts(node: core_v1.Node) -> object:
    return node.metadata.uid, _excluded(node), node.spec.providerID


def _excluded(node: core_v1.Node) -> bool:
    """By its label, unless that says no."""
    return node.metadata.labels.get(EXCLUDED, "false") not in _FALSE


def _may_balance(node: core_v1.Node) -> bool:
    leaving = any(taint.key == LEAVING for taint in node.spec.taints)
    return node.metadata.deletionTimestamp is None and not leaving and not _excluded(node)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Service."""
    failures = ctx.state(_Balanced).failures
    try:
        await _look_at(key, ctx)
    except _FailedError:
        failures[key] = failures.get(key, -1) + 1
        return Again(exponential(failures[key], *RETRY))
    failures.pop(key, None)
    return Done()


async def _look_at(key: Key, ctx: Context) -> None:
    state = ctx.state(_Balanced)
    service, known = ctx.cache(core_v1.Service).get(key), state.known.get(key)
    if service is None or (known is not None and known.service.metadata.uid != service.metadata.uid):
        if known is not None:  # it went without its finalizer, which somebody took
            await _delete(known.service, [known.provider], ctx, known=True)
            state.known.pop(key, None)
        if service is None:
            return
    if service.spec.type == TYPE and service.metadata.deletionTimestamp is None:
        if _class(service) in state.providers(ctx):
            await _ensure(service, ctx)
        return
    if service.spec.type == TYPE and _class(service) not in state.providers(ctx):
        return  # another's, and so is its finalizer
    if FINALIZER in service.metadata.finalizers:
        await _clean_up(service, ctx)
    state.known.pop(key, None)


async def _ensure(service: core_v1.Service, ctx: Context) -> None:
    state, key = ctx.state(_Balanced), key_of(service)
    nodes = sorted((n for n in ctx.cache(core_v1.Node) if _may_balance(n)), key=key_of)
    names, known = tuple((node.metadata.name, node.spec.providerID) for node in nodes), state.known.get(key)
    balancers = state.of(_class(service), ctx)
    if known is not None and _asked(known.service) == _asked(service) and FINALIZER in service.metadata.finalizers:
        if known.nodes != names:
            await _update(service, nodes, balancers, ctx)
            state.known[key] = _Known(service, names, _class(service))
        return
    ctx.events.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
    service = await ctx.api(core_v1.Service).patch(service, with_finalizer(service, FINALIZER))
    if not nodes:
        text = "There are no available nodes for LoadBalancer"
        ctx.events.event(service, "Warning", "UnAvailableLoadBalancer", text)
    try:
        status = await balancers.ensure(service, nodes)
    except FAILURES as error:
        _failed(service, f"failed to ensure load balancer: {error}", ctx)
        raise _FailedError from error
    ctx.events.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
    service = await _show(service, status, ctx)
    state.known[key] = _Known(service, names, _class(service))


def _asked(service: core_v1.Service) -> object:
    """What a load balancer depends on: a change of anything else is none of the provider's business."""
    spec = service.spec
    return (
        *(service.metadata.uid, service.metadata.annotations, spec.ports, len(spec.ipFamilies)),
        *(spec.sessionAffinity, spec.sessionAffinityConfig, spec.externalTrafficPolicy, spec.healthCheckNodePort),
        *(spec.loadBalancerIP, spec.loadBalancerSourceRanges, spec.externalIPs, spec.loadBalancerClass),
    )


async def _update(service: core_v1.Service, nodes: list[core_v1.Node], balancers: LoadBalancers, ctx: Context) -> None:
    figures, begin = ctx.metrics(Figures), ctx.clock.monotonic()
    figures.synced.add()
    try:
        await balancers.update(service, nodes)
    except FAILURES as error:
        figures.errors.add()
        names = [node.metadata.name for node in nodes[:_NAMED]]
        more = [f"<{len(nodes) - _NAMED} more>"] if len(nodes) > _NAMED else []
        text = (
            f"Error updating load balancer with new hosts [{' '.join(names + more)}]"
            f" [node names limited, total number of nodes: {len(nodes)}], error: {error}"
        )
        ctx.events.event(service, "Warning", "UpdateLoadBalancerFailed", text)
        raise _FailedError from error
    finally:
        seconds = ctx.clock.monotonic() - begin
        figures.hosts.observe(seconds)
        figures.nodes.observe(seconds)
    if nodes:
        ctx.events.event(service, "Normal", "UpdatedLoadBalancer", "Updated load balancer with new hosts")
    else:
        text = "There are no available nodes for LoadBalancer"
        ctx.events.event(service, "Warning", "UnAvailableLoadBalancer", text)


async def _clean_up(service: core_v1.Service, ctx: Context) -> None:
    state = ctx.state(_Balanced)
    known = state.known.get(key_of(service))
    # The class goes with the type.
    others = [known.provider] if known is not None else list(state.providers(ctx))
    owners = [_class(service)] if service.spec.type == TYPE else others
    await _delete(service, owners, ctx)
    try:
        service = await _show(service, core_v1.LoadBalancerStatus(), ctx)
        await ctx.api(core_v1.Service).patch(service, without_finalizer(service, FINALIZER))
    except NotFound:
        return


async def _delete(service: core_v1.Service, providers: Iterable[str], ctx: Context, *, known: bool = False) -> None:
    """`known`: only here, since the Service itself is gone."""
    ctx.events.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
    try:
        for name in providers:
            await ctx.state(_Balanced).of(name, ctx).delete(service)
    except FAILURES as error:
        if known:
            text = f"Error deleting load balancer: {error}"
            ctx.events.event(service, "Warning", "DeleteLoadBalancerFailed", text)
        else:
            _failed(service, f"failed to delete load balancer: {error}", ctx)
        raise _FailedError from error
    ctx.events.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")


def _failed(service: core_v1.Service, why: str, ctx: Context) -> None:
    ctx.events.event(service, "Warning", "SyncLoadBalancerFailed", f"Error syncing load balancer: {why}")


async def _show(service: core_v1.Service, balancer: core_v1.LoadBalancerStatus, ctx: Context) -> core_v1.Service:
    changed = replace(service, status=replace(service.status, loadBalancer=balancer))
    return await ctx.api(core_v1.Service).patch(service, changed, subresource="status")


class Figures:
    """Upstream's metrics."""

    def __init__(self) -> None:
        name, seconds = "service_controller", bounds(1, 2, 15)
        self.synced = Counter(
            f"{name}_loadbalancer_sync_total",
            "A metric counting the amount of times any load balancer has been configured, as an effect of service/node"
            " changes on the cluster",
        )
        self.errors = Counter(
            f"{name}_nodesync_error_total",
            "A metric counting the amount of times any load balancer has been configured and errored, as an effect of node"
            " changes on the cluster",
        )
        self.nodes = Distribution(
            f"{name}_nodesync_latency_seconds",
            "A metric measuring the latency for nodesync which updates loadbalancer hosts on cluster node updates.",
            bounds=seconds,
        )
        self.hosts = Distribution(
            f"{name}_update_loadbalancer_host_latency_seconds",
            "A metric measuring the latency for updating each load balancer hosts.",
            bounds=seconds,
        )


CONTROLLER = Controller(
    name="service-lb-controller",
    queue="service",
    component="service-controller",
    account="service-controller",
    watches=(
        Watch(kind=core_v1.Service, keys=_of_service),
        Watch(kind=core_v1.Node, keys=_of_node, changed=_node_matters),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch patch update", "services"),
        allow("patch update", "services/status"),
        allow("list watch", "nodes"),
        EVENTS,
    ),
)
