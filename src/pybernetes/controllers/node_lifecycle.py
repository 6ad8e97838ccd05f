"""Node lifecycle: notices nodes that fell silent, marks them and their Pods, and keeps the taints that conditions mean.

A kubelet renews its Lease; when neither that nor its status changed for the grace period, on this process's clock, and the
server, asked once more, knows of no renewal either, all its conditions become Unknown. How fast the NoExecute taints come is
_zones.py's to say; eviction itself is taint_eviction.py's. No polling: each node has one timer, and all zones have one.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import coordination_v1, core_v1
from pybernetes.controllers._nodes import ON_NODE, by_node
from pybernetes.controllers._zones import EXCLUDED, Seen, Turn, Zones, zone_of
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow, nothing
from pybernetes.rules import taints
from pybernetes.rules.conditions import put
from pybernetes.rules.readiness import condition, is_finished, node_condition, node_is_ready
from pybernetes.wire.metrics import Counter, Distribution, Gauge, exponential

log = logging.getLogger(__name__)

LEASES = "kube-node-lease"
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
SILENT = "Kubelet stopped posting node status."
NEVER = "Kubelet never posted node status."
ZONES = Key("", "")
"""The key of all zones; no node's."""

_TAINT_OF = {
    ("Ready", "False"): taints.NOT_READY,
    ("Ready", "Unknown"): taints.UNREACHABLE,
    ("MemoryPressure", "True"): taints.MEMORY_PRESSURE,
    ("DiskPressure", "True"): taints.DISK_PRESSURE,
    ("PIDPressure", "True"): taints.PID_PRESSURE,
    ("NetworkUnavailable", "True"): taints.NETWORK_UNAVAILABLE,
}
_MANAGED = frozenset({*_TAINT_OF.values(), taints.UNSCHEDULABLE})
_EXECUTING = (taints.NOT_READY, taints.UNREACHABLE)


@dataclass(slots=True)
class _Sign:
    """The last sign of life: what it was, and when this process saw it first."""

    what: object
    at: float


class _Signs:
    """By node."""

    def __init__(self) -> None:
        self.of: dict[str, _Sign] = {}
        self.marked: set[str] = set()
        """Nodes whose Pods were marked."""
        self.renewed = 0
        """The resourceVersion of a Lease that the server had and the cache lacked: until it is there no silence is believed."""


def _of_lease(lease: coordination_v1.Lease, ctx: Context) -> Iterable[Key]:
    return (Key("", lease.metadata.name),) if lease.metadata.namespace == LEASES else ()


def _lease_matters(old: coordination_v1.Lease, new: coordination_v1.Lease) -> bool:
    return old.spec.renewTime != new.spec.renewTime


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One node, or all zones."""
    figures, begin = ctx.metrics(Figures), ctx.clock.monotonic()
    if key == ZONES:
        outcome = _look_at_zones(ctx)
        figures.all_nodes.observe(ctx.clock.monotonic() - begin)
    else:
        outcome = await _look_at(key, ctx)
        figures.one_node.observe(ctx.clock.monotonic() - begin)
    return outcome


async def _look_at(key: Key, ctx: Context) -> Outcome:
    signs, zones = ctx.state(_Signs), ctx.state(Zones)
    node = ctx.cache(core_v1.Node).get(key)
    if node is None:
        signs.of.pop(key.name, None)
        signs.marked.discard(key.name)
        _forget(key.name, ctx)
        return Done()
    left = _time_left(node, ctx, signs)
    silent = left <= 0 and (_is_unknown(node) or not await _hears_late(node, ctx, signs))
    _tell_zones(node, ctx, silent=silent)
    if silent:
        node = await _mark_silent(node, ctx)
    execute = not zones.stopped and (key.name in zones.granted or _executes(node))
    wanted, labels = wanted_taints(node, rfc3339(ctx.clock.now()), execute=execute), wanted_labels(node)
    if wanted != node.spec.taints or labels != node.metadata.labels:
        spec, meta = replace(node.spec, taints=wanted), replace(node.metadata, labels=labels)
        node = await ctx.api(core_v1.Node).patch(node, replace(node, spec=spec, metadata=meta), lock=True)
    if key.name in zones.granted and _executes(node):
        zones.emptied(key.name)
        ctx.metrics(Figures).evictions.add(zone_of(node.metadata.labels))
    await _mark_once(node, ctx, signs)
    if left <= 0:
        return Again(ctx.config.node_monitor_grace_period if silent else ctx.config.node_monitor_period)
    return Again(left)


def _tell_zones(node: core_v1.Node, ctx: Context, *, silent: bool) -> None:
    """Before anything is written. Who falls silent in the same moment counts with it: the zones give no leave that soon."""
    zones, name = ctx.state(Zones), node.metadata.name
    ready, told = node_is_ready(node) and not silent, silent or node_condition(node, "Ready") is not None
    seen = Seen(
        uid=node.metadata.uid,
        zone=zone_of(node.metadata.labels),
        ready=ready,
        counts=EXCLUDED not in node.metadata.labels,
        empties=told and not ready and not _executes(node),
    )
    if name not in zones.nodes:
        _tell(name, seen.uid, "Normal", "RegisteredNode", f"Registered Node {name} in Controller", ctx)
    if zones.saw(name, seen, ctx.clock.monotonic()):
        ctx.queue.add(ZONES)


def _forget(name: str, ctx: Context) -> None:
    seen = ctx.state(Zones).gone(name)
    if seen is not None:
        _tell(name, seen.uid, "Normal", "RemovingNode", f"Removing Node {name} from Controller", ctx)
        ctx.queue.add(ZONES)


def _tell(name: str, uid: str, kind: Literal["Normal", "Warning"], reason: str, text: str, ctx: Context) -> None:
    about = core_v1.ObjectReference(apiVersion="v1", kind="Node", name=name, uid=uid)
    ctx.events.event(about, kind, reason, f"Node {name} event: {text}")


def _look_at_zones(ctx: Context) -> Outcome:
    """Gives leave to taint; the nodes' own turns do it."""
    zones, now, patience = ctx.state(Zones), ctx.clock.monotonic(), ctx.config.node_monitor_period
    turn = zones.judge(now, ctx.config.rates)
    concerned = zones.grant(now, patience) if turn is Turn.NONE else tuple(zones.nodes)
    if turn is Turn.STOPPED:
        log.info("no node is ready: nobody is evicted, and the taints that evict are taken away")
    elif turn is Turn.RESUMED:
        log.info("some nodes are ready: evictions go on")
        for sign in ctx.state(_Signs).of.values():
            sign.at = now
    for name in concerned:
        ctx.queue.add(Key("", name))
    ctx.metrics(Figures).show(zones)
    wait = zones.wait(now, patience)
    return Done() if wait == inf else Again(wait)


class Figures:
    """Upstream's metrics of zones."""

    def __init__(self) -> None:
        self.health = Gauge(
            "node_collector_zone_health", "Gauge measuring percentage of healthy nodes per zone.", "zone"
        )
        self.size = Gauge("node_collector_zone_size", "Gauge measuring number of registered Nodes per zones.", "zone")
        self.unhealthy = Gauge(
            "node_collector_unhealthy_nodes_in_zone",
            "Gauge measuring number of not Ready Nodes per zones.",
            "zone",
        )
        self.evictions = Counter(
            "node_collector_evictions_total",
            "Number of Node evictions that happened since current instance of NodeController started.",
            "zone",
            "STABLE",
        )
        self.one_node = Distribution(
            "node_collector_update_node_health_duration_seconds",
            "Duration in seconds for NodeController to update the health of a single node.",
            bounds=exponential(0.001, 4, 8),
        )
        self.all_nodes = Distribution(
            "node_collector_update_all_nodes_health_duration_seconds",
            "Duration in seconds for NodeController to update the health of all nodes.",
            bounds=exponential(0.01, 4, 8),
        )

    def show(self, zones: Zones) -> None:
        """What they are now."""
        for name, zone in zones.zones.items():
            self.size.set(zone.size, name)
            self.unhealthy.set(zone.unhealthy, name)
            self.health.set(100 * (zone.size - zone.unhealthy) / zone.size if zone.size else 100, name)


def _time_left(node: core_v1.Node, ctx: Context, signs: _Signs) -> float:
    """Seconds until the node counts as silent."""
    lease = ctx.cache(coordination_v1.Lease).get(Key(LEASES, node.metadata.name))
    ready = node_condition(node, "Ready")
    told = None if ready is None or ready.reason in ("NodeStatusUnknown", "NodeStatusNeverUpdated") else ready
    what = (lease.spec.renewTime if lease else None, told.lastHeartbeatTime if told else None)
    now = ctx.clock.monotonic()
    sign = signs.of.get(node.metadata.name)
    if sign is None or sign.what != what:
        first = sign is None
        sign = signs.of[node.metadata.name] = _Sign(what, now)
        if first and ready is None:
            sign.at += ctx.config.node_startup_grace_period - ctx.config.node_monitor_grace_period
    return sign.at + ctx.config.node_monitor_grace_period - now


def _is_unknown(node: core_v1.Node) -> bool:
    return all(_has(node, kind, "Unknown") for kind in WATCHED)


async def _hears_late(node: core_v1.Node, ctx: Context, signs: _Signs) -> bool:
    """Whether it is us who have not heard: the server has a renewal that the cache of Leases lacks. One question finds that
    out for all nodes; while the cache is behind, nobody asks again."""
    leases = ctx.informer(coordination_v1.Lease)
    if signs.renewed > int(leases.revision or 0):
        return True
    key = Key(LEASES, node.metadata.name)
    seen = leases.cache.get(key)
    try:
        live = await ctx.api(coordination_v1.Lease).get(key)
    except NotFound:
        return False
    if seen is not None and seen.spec.renewTime == live.spec.renewTime:
        return False
    signs.renewed = int(live.metadata.resourceVersion)
    log.warning(
        "the cache of leases is behind, no node is taken for silent until it is not node=%s", node.metadata.name
    )
    return True


async def _mark_silent(node: core_v1.Node, ctx: Context) -> core_v1.Node:
    if _is_unknown(node):
        return node
    now = rfc3339(ctx.clock.now())
    made = [_unknown(node, kind, now) for kind in WATCHED]
    ready = node_condition(node, "Ready")
    if ready is not None and ready.status == "True":
        name = node.metadata.name
        ctx.events.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
    conditions = node.status.conditions
    for one in made:
        conditions = put(conditions, one)
    changed = replace(node, status=replace(node.status, conditions=conditions))
    return await ctx.api(core_v1.Node).patch(node, changed, subresource="status", lock=True)


def _unknown(node: core_v1.Node, kind: str, now: str) -> core_v1.NodeCondition:
    old = node_condition(node, kind)
    if old is None:
        return core_v1.NodeCondition(
            type=kind, status="Unknown", reason="NodeStatusNeverUpdated", message=NEVER,
            lastHeartbeatTime=node.metadata.creationTimestamp, lastTransitionTime=now,
        )  # fmt: skip
    if old.status == "Unknown":
        return old
    return replace(old, status="Unknown", reason="NodeStatusUnknown", message=SILENT, lastTransitionTime=now)


def wanted_taints(node: core_v1.Node, now: str, *, execute: bool) -> tuple[core_v1.Taint, ...]:
    """The node's taints after its conditions: NoSchedule for each and, with `execute`, NoExecute for not ready and unreachable.

    Taints of others stay as they are.
    """
    keys = [key for (kind, status), key in _TAINT_OF.items() if _has(node, kind, status)]
    if node.spec.unschedulable:
        keys.append(taints.UNSCHEDULABLE)
    there = {(t.key, t.effect) for t in node.spec.taints}
    wanted = {(key, taints.NO_SCHEDULE) for key in keys}
    if execute:
        wanted |= {(key, taints.NO_EXECUTE) for key in keys if key in _EXECUTING}
    kept = tuple(t for t in node.spec.taints if _is_foreign(t) or (t.key, t.effect) in wanted)
    # timeAdded of a NoSchedule taint is kept, too, as upstream does.
    added = tuple(
        core_v1.Taint(key=key, effect=effect, timeAdded=now) for key, effect in sorted(wanted - there, reverse=True)
    )
    return (*kept, *added)


def wanted_labels(node: core_v1.Node) -> Mapping[str, str]:
    """The Node's labels; the old names of operating system and architecture say what the new ones do."""
    labels = node.metadata.labels
    old = {f"beta.{name}": labels[name] for name in ("kubernetes.io/os", "kubernetes.io/arch") if name in labels}
    return labels if old.items() <= labels.items() else {**labels, **old}


def _executes(node: core_v1.Node) -> bool:
    return any(t.key in _EXECUTING and t.effect == taints.NO_EXECUTE for t in node.spec.taints)


def _is_foreign(taint: core_v1.Taint) -> bool:
    ours = (taint.key in _MANAGED and taint.effect == taints.NO_SCHEDULE) or (
        taint.key in _EXECUTING and taint.effect == taints.NO_EXECUTE
    )
    return not ours


def _has(node: core_v1.Node, kind: str, status: str) -> bool:
    found = node_condition(node, kind)
    return found is not None and found.status == status


async def _mark_once(node: core_v1.Node, ctx: Context, signs: _Signs) -> None:
    """Marks the Pods when Ready has become Unknown, and no second time: a kubelet that is alive says Ready again at once,
    and the two would write against each other for ever. What it says of a node that is not ready is its own to know."""
    ready = node_condition(node, "Ready")
    if ready is None or ready.status != "Unknown":
        signs.marked.discard(node.metadata.name)
    elif node.metadata.name not in signs.marked:
        await _mark_pods(node, ctx)
        signs.marked.add(node.metadata.name)


async def _mark_pods(node: core_v1.Node, ctx: Context) -> None:
    """Pods of a node that is not Ready are not ready: Services leave them at once. Raises Conflict where one is to be marked yet."""
    left: Conflict | None = None
    api = ctx.api(core_v1.Pod)
    now = rfc3339(ctx.clock.now())
    for pod in ctx.cache(core_v1.Pod).by(ON_NODE, node.metadata.name):
        ready = condition(pod, "Ready")
        if ready is None or ready.status != "True" or is_finished(pod):
            continue
        generation = pod.metadata.generation
        made = replace(ready, status="False", lastTransitionTime=now, observedGeneration=generation)
        try:
            changed = replace(pod, status=replace(pod.status, conditions=put(pod.status.conditions, made)))
            await api.patch(pod, changed, subresource="status")
        except NotFound:
            continue
        except Conflict as error:
            left = error
            continue
        ctx.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")
    if left is not None:
        raise left


CONTROLLER = Controller(
    name="node-lifecycle-controller",
    component="node-controller",
    queue="node_lifecycle_controller",
    account="node-controller",
    watches=(
        Watch(kind=core_v1.Node),
        Watch(kind=coordination_v1.Lease, keys=_of_lease, changed=_lease_matters),
        # What becomes of a Pod is its kubelet's to say, as soon as it can.
        Watch(kind=core_v1.Pod, keys=nothing, indexes={ON_NODE: by_node}),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list update delete patch watch", "nodes"),
        allow("patch update", "nodes/status"),
        allow("get list watch delete", "pods"),
        allow("patch update", "pods/status"),
        allow("get list watch", "leases", "coordination.k8s.io"),
        EVENTS,
    ),
)
