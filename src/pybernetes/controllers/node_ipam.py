"""Node IPAM: gives each Node a range of Pod addresses (spec.podCIDR) out of the cluster's. One worker: no range twice."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

from msgspec.structs import replace

from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers.runtime import (
    EVENTS,
    RETRY_MOST,
    Again,
    Config,
    Context,
    Controller,
    Done,
    Outcome,
    Watch,
    allow,
)
from pybernetes.wire.metrics import Counter, Distribution, Gauge, exponential

Network: TypeAlias = IPv4Network | IPv6Network


class Figures:
    """Upstream's metrics, by the cluster's ranges."""

    def __init__(self) -> None:
        name, label = "node_ipam_controller", "clusterCIDR"
        self.allocated = Counter(
            f"{name}_cidrset_cidrs_allocations_total", "Counter measuring total number of CIDR allocations.", label
        )
        self.released = Counter(
            f"{name}_cidrset_cidrs_releases_total", "Counter measuring total number of CIDR releases.", label
        )
        self.most = Gauge(f"{name}_cirdset_max_cidrs", "Maximum number of CIDRs that can be allocated.", label)
        self.usage = Gauge(f"{name}_cidrset_usage_cidrs", "Gauge measuring percentage of allocated CIDRs.", label)
        self.tries = Distribution(
            f"{name}_cidrset_allocation_tries_per_request",
            "Number of endpoints added on each Service sync",
            label,
            bounds=exponential(1, 5, 5),
        )
        self._used: dict[str, int] = {}

    def count(self, cluster: str, size: int, taken: Network, *, freed: bool) -> None:
        """A range was taken, or is free again; nothing where it is not the cluster range's."""
        network = ip_network(cluster)
        if not isinstance(taken, type(network)) or not _overlap(taken, network):
            return
        most = 1 << max(0, size - network.prefixlen)
        blocks = 1 << max(0, size - max(taken.prefixlen, network.prefixlen))
        (self.released if freed else self.allocated).add(cluster, by=blocks)
        self._used[cluster] = self._used.get(cluster, 0) + (-blocks if freed else blocks)
        self.most.set(most, cluster)
        self.usage.set(self._used[cluster] / most, cluster)


class _Ranges:
    """Who has which range, kept up to date node by node, since thousands of nodes join at once."""

    def __init__(self) -> None:
        self.known = False
        """Whether what is there already was looked at."""
        self.of: dict[str, tuple[str, ...]] = {}
        self.taken: dict[str, tuple[str, Network]] = {}
        """By range: the node that has it."""
        self.next: dict[str, int] = {}
        """Where to look first, by cluster range: behind the last one given, so that freed ranges rest a while."""

    def learn(self, ctx: Context) -> None:
        """What Services and Nodes have."""
        self.known = True
        self.set("", ctx.config.service_cidrs, ctx)  # no Node's name: taken by Services
        for node in ctx.cache(core_v1.Node):
            if node.metadata.deletionTimestamp is None:
                self.set(node.metadata.name, _has(node), ctx)

    def set(self, node: str, ranges: tuple[str, ...], ctx: Context) -> None:
        """Notes what a node has; empty frees."""
        if self.of.get(node, ()) == ranges:
            return
        for network in map(_network, self.of.pop(node, ())):
            owner = self.taken.get(str(network))
            if owner is not None and owner[0] == node:  # another may have it by now
                del self.taken[str(network)]
                _count(network, ctx, freed=True)
        if ranges:
            self.of[node] = ranges
        for network in map(_network, ranges):
            if str(network) not in self.taken:
                _count(network, ctx, freed=False)
            self.taken[str(network)] = node, network

    def free(self, cluster: str, size: int, ctx: Context) -> str | None:
        """The next free range of that prefix length."""
        network = ip_network(cluster)
        odd = [other for _, other in self.taken.values() if other.prefixlen != size]
        count = 1 << max(0, size - network.prefixlen)
        step = 1 << (network.max_prefixlen - size)
        kind = type(network)
        start = self.next.get(cluster, 0)
        for offset in range(count):
            index = (start + offset) % count
            address = type(network.network_address)(int(network.network_address) + index * step)
            text = f"{address}/{size}"
            if text in self.taken or any(isinstance(o, kind) and _overlap(o, ip_network(text)) for o in odd):
                continue
            self.next[cluster] = index + 1
            ctx.metrics(Figures).tries.observe(offset, cluster)
            return text
        return None


def _network(text: str) -> Network:
    """A Node's own range may be written with an address within it."""
    return ip_network(text, strict=False)


def _count(taken: Network, ctx: Context, *, freed: bool) -> None:
    for cluster in ctx.config.cluster_cidrs:
        ctx.metrics(Figures).count(cluster, _size(ctx.config, cluster), taken, freed=freed)


def _overlap(first: Network, second: Network) -> bool:
    low, high = int(second.network_address), int(second.broadcast_address)
    return int(first.network_address) <= high and low <= int(first.broadcast_address)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One node."""
    ranges = ctx.state(_Ranges)
    if not ranges.known:
        ranges.learn(ctx)
    node = ctx.cache(core_v1.Node).get(key)
    if node is None or node.metadata.deletionTimestamp is not None:
        ranges.set(key.name, (), ctx)
        return Done()
    if _has(node):
        ranges.set(key.name, _has(node), ctx)
        return Done()
    if not ctx.config.allocate_node_cidrs or not ctx.config.cluster_cidrs:
        return Done()
    if key.name not in ranges.of:
        free = [ranges.free(cluster, _size(ctx.config, cluster), ctx) for cluster in ctx.config.cluster_cidrs]
        if None in free:
            ctx.events.event(node, "Normal", "CIDRNotAvailable", _now(node, "CIDRNotAvailable"))
            return Again(RETRY_MOST)
        ranges.set(key.name, tuple(one for one in free if one is not None), ctx)
    chosen = ranges.of[key.name]
    changed = replace(node, spec=replace(node.spec, podCIDR=chosen[0], podCIDRs=chosen))
    try:
        await ctx.api(core_v1.Node).patch(node, changed, lock=True)
    except (Conflict, NotFound):
        raise
    except ApiError:
        ctx.events.event(node, "Normal", "CIDRAssignmentFailed", _now(node, "CIDRAssignmentFailed"))
        raise
    return Done()


def _now(node: core_v1.Node, what: str) -> str:
    return f"Node {node.metadata.name} status is now: {what}"


def _size(config: Config, cluster: str) -> int:
    return config.node_cidr_mask_size_ipv6 if ":" in cluster else config.node_cidr_mask_size


def _has(node: core_v1.Node) -> tuple[str, ...]:
    return node.spec.podCIDRs or ((node.spec.podCIDR,) if node.spec.podCIDR else ())


CONTROLLER = Controller(
    name="node-ipam-controller",
    component="cidrAllocator",
    queue="cidrallocator_node",
    account="node-controller",
    watches=(Watch(kind=core_v1.Node),),
    reconcile=reconcile,
    workers=1,
    rules=(allow("get list watch patch update", "nodes"), allow("patch update", "nodes/status"), EVENTS),
)
