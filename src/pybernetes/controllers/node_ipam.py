"""Node IPAM: gives each Node a range of Pod addresses (spec.podCIDR) out of the cluster's. One worker: no range twice."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

from msgspec.structs import replace

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

Network: TypeAlias = IPv4Network | IPv6Network


class _Ranges:
    """Who has which range, kept up to date node by node, since thousands of nodes join at once."""

    def __init__(self) -> None:
        self.of: dict[str, tuple[str, ...]] = {}
        self.taken: dict[str, tuple[str, Network]] = {}
        """By range: the node that has it."""
        self.next: dict[str, int] = {}
        """Where to look first, by cluster range: behind the last one given, so that freed ranges rest a while."""

    def set(self, node: str, ranges: tuple[str, ...]) -> None:
        """Notes what a node has; empty frees."""
        for text in self.of.pop(node, ()):
            owner = self.taken.get(text)
            if owner is not None and owner[0] == node:  # another may have it by now
                del self.taken[text]
        if ranges:
            self.of[node] = ranges
            self.taken |= {text: (node, ip_network(text)) for text in ranges}

    def free(self, cluster: str, size: int) -> str | None:
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
            return text
        return None


def _overlap(first: Network, second: Network) -> bool:
    low, high = int(second.network_address), int(second.broadcast_address)
    return int(first.network_address) <= high and low <= int(first.broadcast_address)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One node."""
    ranges = ctx.state(_Ranges)
    if not ranges.of:
        ranges.set("", ctx.config.service_cidrs)  # no Node's name: taken by Services
        for known in ctx.cache(core_v1.Node):
            ranges.set(known.metadata.name, _has(known))
    node = ctx.cache(core_v1.Node).get(key)
    if node is None:
        ranges.set(key.name, ())
        return Done()
    if _has(node):
        ranges.set(key.name, _has(node))
        return Done()
    if not ctx.config.allocate_node_cidrs or not ctx.config.cluster_cidrs:
        return Done()
    if key.name not in ranges.of:
        free = [ranges.free(cluster, _size(ctx.config, cluster)) for cluster in ctx.config.cluster_cidrs]
        if None in free:
            ctx.events.event(node, "Normal", "CIDRNotAvailable", f"Node {key.name} status is now: CIDRNotAvailable")
            return Again(RETRY_MOST)
        ranges.set(key.name, tuple(one for one in free if one is not None))
    chosen = ranges.of[key.name]
    changed = replace(node, spec=replace(node.spec, podCIDR=chosen[0], podCIDRs=chosen))
    await ctx.api(core_v1.Node).patch(node, changed, lock=True)
    return Done()


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
