"""Service CIDRs: a range is ready once it is protected, and goes when no address would be left without a range.

The API server takes addresses from ready ranges only, so nobody gets one from a range that is being deleted.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec.structs import replace

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import meta_v1
from pybernetes.api.types.networking_v1 import IPAddress, ServiceCIDR
from pybernetes.client.rest import key_of
from pybernetes.controllers._finalizers import protect
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.conditions import find, put

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = "Ready"
GRACE = 10.0
"""Seconds in which all API servers are to have seen that a range goes, before it does."""
MANAGED_BY, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"

Network = IPv4Network | IPv6Network


def networks(cidr: ServiceCIDR) -> list[Network]:
    """Its ranges; none of them where one is no range."""
    try:
        return [ip_network(text) for text in cidr.spec.cidrs]
    except ValueError:
        return []


def _contains(cidr: ServiceCIDR, address: IPv4Address | IPv6Address) -> bool:
    return any(_holds(network, address) for network in networks(cidr))


def _holds(network: Network, address: IPv4Address | IPv6Address) -> bool:
    """Its first address is nobody's, and the last one of IPv4 neither: who has them has them from elsewhere."""
    if address not in network or address == network.network_address:
        return False
    return address.version == 6 or address != network.broadcast_address


def _address(ip: IPAddress) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(ip.metadata.name)
    except ValueError:
        return None


def _overlapping(cidr: ServiceCIDR, ctx: Context) -> Iterable[Key]:
    """Itself, and those that are waiting for another range to take their addresses."""
    yield key_of(cidr)
    yield from (key_of(other) for other in ctx.cache(ServiceCIDR) if other.metadata.deletionTimestamp)


def _waiting(ip: IPAddress, ctx: Context) -> Iterable[Key]:
    going = [cidr for cidr in ctx.cache(ServiceCIDR) if cidr.metadata.deletionTimestamp]
    address = _address(ip) if going else None
    return [key_of(cidr) for cidr in going if address is not None and _contains(cidr, address)]


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One range."""
    cidr = ctx.cache(ServiceCIDR).get(key)
    if cidr is None:
        return Done()
    if cidr.metadata.deletionTimestamp is None:
        await protect(cidr, FINALIZER, True, ctx)
        try:
            await _say(cidr, "True", "", "Kubernetes Service CIDR is ready", ctx)
        except (Conflict, NotFound):
            raise
        except ApiError:
            text = "The ServiceCIDR Status can not be set to Ready=True"
            ctx.events.event(cidr, "Warning", "KubernetesServiceCIDRError", text)
            raise
        return Done()
    if FINALIZER not in cidr.metadata.finalizers:
        return Done()
    if not _may_go(cidr, ctx):
        await _say(cidr, "False", "Terminating", IN_USE, ctx)
        return Done()
    left = parse_time(cidr.metadata.deletionTimestamp) + GRACE - ctx.clock.now()
    if left > 0:
        return Again(left)
    await protect(cidr, FINALIZER, False, ctx)
    return Done()


async def _say(cidr: ServiceCIDR, status: str, reason: str, message: str, ctx: Context) -> None:
    """The API server itself says that its own range is ready; that is not said again."""
    old = find(cidr.status.conditions, READY)
    if old is not None and old.status == status:
        return
    made = meta_v1.Condition(
        type=READY, status=status, reason=reason, message=message, lastTransitionTime=rfc3339(ctx.clock.now())
    )
    changed = replace(cidr, status=replace(cidr.status, conditions=put(cidr.status.conditions, made)))
    await ctx.api(ServiceCIDR).patch(cidr, changed, subresource="status")


def _may_go(cidr: ServiceCIDR, ctx: Context) -> bool:
    """Other ranges hold it whole, or every address of a Service in it."""
    others = [
        network
        for other in ctx.cache(ServiceCIDR)
        if other.metadata.name != cidr.metadata.name
        for network in networks(other)
    ]
    if all(any(_within(own, other) for other in others) for own in networks(cidr)):
        return True
    for ip in ctx.cache(IPAddress):
        address = _address(ip) if ip.metadata.labels.get(MANAGED_BY) == ALLOCATOR else None
        if address is not None and _contains(cidr, address) and not any(_holds(other, address) for other in others):
            return False
    return True


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


CONTROLLER = Controller(
    name="service-cidrs-controller",
    watches=(
        Watch(kind=ServiceCIDR, keys=_overlapping),
        Watch(kind=IPAddress, keys=_waiting, changed=lambda old, new: False),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch patch update", "servicecidrs", "networking.k8s.io"),
        allow("patch update", "servicecidrs/finalizers servicecidrs/status", "networking.k8s.io"),
        allow("get list watch", "ipaddresses", "networking.k8s.io"),
        EVENTS,
    ),
)
