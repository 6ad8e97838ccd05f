"""Node lifecycle: notices nodes that fell silent, marks them and their Pods, and keeps the taints that conditions mean.

A kubelet renews its Lease; when neither that nor its status changed for the grace period, on this process's clock, all
its conditions become Unknown. Eviction itself is taint_eviction.py's. No polling: each node has one timer.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import coordination_v1, core_v1
from pybernetes.controllers._nodes import ON_NODE, by_node
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules import taints
from pybernetes.rules.readiness import condition, is_finished, node_condition, node_is_ready

LEASES = "kube-node-lease"
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
SILENT = "Kubelet stopped posting node status."
NEVER = "Kubelet never posted node status."
"""Index of Pods by node."""

_TAINT_OF = {
    ("Ready", "False"): taints.NOT_READY,
    ("Ready", "Unknown"): taints.UNREACHABLE,
    ("MemoryPressure", "True"): taints.MEMORY_PRESSURE,
    ("DiskPressure", "True"): taints.DISK_PRESSURE,
    ("PIDPressure", "True"): taints.PID_PRESSURE,
    ("NetworkUnavailable", "True"): taints.NETWORK_UNAVAILABLE,
}
_MANAGED = frozenset({*_TAINT_OF.values(), taints.UNSCHEDULABLE})


@dataclass(slots=True)
class _Sign:
    """The last sign of life: what it was, and when this process saw it first."""

    what: object
    at: float


class _Signs:
    """By node."""

    def __init__(self) -> None:
        self.of: dict[str, _Sign] = {}
        self.marked: dict[str, str] = {}
        """The status of Ready for which the node's Pods were marked."""


def _of_lease(lease: coordination_v1.Lease, ctx: Context) -> Iterable[Key]:
    return (Key("", lease.metadata.name),) if lease.metadata.namespace == LEASES else ()


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    """Pods are only looked up: what becomes of one is its kubelet's to say, as soon as it can."""
    return ()


def _lease_matters(old: coordination_v1.Lease, new: coordination_v1.Lease) -> bool:
    return old.spec.renewTime != new.spec.renewTime


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One node."""
    signs = ctx.state(_Signs)
    node = ctx.cache(core_v1.Node).get(key)
    if node is None:
        signs.of.pop(key.name, None)
        signs.marked.pop(key.name, None)
        return Done()
    left = _time_left(node, ctx, signs)
    if left <= 0:
        node = await _mark_silent(node, ctx)
    wanted = wanted_taints(node, rfc3339(ctx.clock.now()), evict=_somebody_ready(node, ctx, signs))
    if wanted != node.spec.taints:
        changed = replace(node, spec=replace(node.spec, taints=wanted))
        node = await ctx.api(core_v1.Node).patch(node, changed, lock=True)
    await _mark_once(node, ctx, signs)
    return Again(left if left > 0 else ctx.config.node_monitor_grace_period)


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


def _somebody_ready(node: core_v1.Node, ctx: Context, signs: _Signs) -> bool:
    """When no node at all is Ready, it is more likely us who cannot see: nobody is evicted then.

    The cache may not show yet that this one has been marked, nor has the turn of others come that are as silent.
    """
    others = (other for other in ctx.cache(core_v1.Node) if other.metadata.name != node.metadata.name)
    return node_is_ready(node) or any(node_is_ready(other) and _time_left(other, ctx, signs) > 0 for other in others)


async def _mark_silent(node: core_v1.Node, ctx: Context) -> core_v1.Node:
    now = rfc3339(ctx.clock.now())
    kept = [c for c in node.status.conditions if c.type not in WATCHED]
    made = [_unknown(node, kind, now) for kind in WATCHED]
    old = tuple(c for c in node.status.conditions if c.type in WATCHED)
    if old == tuple(made):
        return node
    ready = node_condition(node, "Ready")
    if ready is not None and ready.status != "Unknown":
        name = node.metadata.name
        ctx.events.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
    conditions = _in_order(node, [*kept, *made])
    changed = replace(node, status=replace(node.status, conditions=conditions))
    return await ctx.api(core_v1.Node).patch(node, changed, subresource="status", lock=True)


def _in_order(node: core_v1.Node, conditions: list[core_v1.NodeCondition]) -> tuple[core_v1.NodeCondition, ...]:
    """Conditions where they were, new ones behind."""
    order = {c.type: n for n, c in enumerate(node.status.conditions)}
    return tuple(sorted(conditions, key=lambda c: order.get(c.type, len(order))))


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


def wanted_taints(node: core_v1.Node, now: str, *, evict: bool) -> tuple[core_v1.Taint, ...]:
    """The node's taints after its conditions: NoSchedule for each, NoExecute for not ready and unreachable.

    Without `evict`, no NoExecute taint is added; those there stay. Taints of others stay as they are.
    """
    keys = [key for (kind, status), key in _TAINT_OF.items() if _has(node, kind, status)]
    if node.spec.unschedulable:
        keys.append(taints.UNSCHEDULABLE)
    executes = [key for key in keys if key in (taints.NOT_READY, taints.UNREACHABLE)]
    there = {(t.key, t.effect) for t in node.spec.taints}
    wanted = {(key, taints.NO_SCHEDULE) for key in keys}
    wanted |= {(key, taints.NO_EXECUTE) for key in executes if evict or (key, taints.NO_EXECUTE) in there}
    kept = tuple(t for t in node.spec.taints if _is_foreign(t) or (t.key, t.effect) in wanted)
    # timeAdded of a NoSchedule taint is kept, too, as upstream does.
    added = tuple(
        core_v1.Taint(key=key, effect=effect, timeAdded=now) for key, effect in sorted(wanted - there, reverse=True)
    )
    return (*kept, *added)


def _is_foreign(taint: core_v1.Taint) -> bool:
    ours = (taint.key in _MANAGED and taint.effect == taints.NO_SCHEDULE) or (
        taint.key in (taints.NOT_READY, taints.UNREACHABLE) and taint.effect == taints.NO_EXECUTE
    )
    return not ours


def _has(node: core_v1.Node, kind: str, status: str) -> bool:
    found = node_condition(node, kind)
    return found is not None and found.status == status


async def _mark_once(node: core_v1.Node, ctx: Context, signs: _Signs) -> None:
    """Marks the Pods when Ready has become False or Unknown, and no second time: a kubelet that is alive says Ready
    again at once, and the two would write against each other for ever."""
    ready = node_condition(node, "Ready")
    status = ready.status if ready is not None else "Unknown"
    if status == "True":
        signs.marked.pop(node.metadata.name, None)
    elif signs.marked.get(node.metadata.name) != status:
        await _mark_pods(node, ctx)
        signs.marked[node.metadata.name] = status


async def _mark_pods(node: core_v1.Node, ctx: Context) -> None:
    """Pods of a node that is not Ready are not ready: Services leave them at once."""
    api = ctx.api(core_v1.Pod)
    now = rfc3339(ctx.clock.now())
    for pod in ctx.cache(core_v1.Pod).by(ON_NODE, node.metadata.name):
        ready = condition(pod, "Ready")
        if ready is None or ready.status != "True" or is_finished(pod):
            continue
        made = replace(ready, status="False", lastTransitionTime=now)
        conditions = tuple(made if c.type == "Ready" else c for c in pod.status.conditions)
        try:
            changed = replace(pod, status=replace(pod.status, conditions=conditions))
            await api.patch(pod, changed, subresource="status")
        except (NotFound, Conflict):
            continue
        ctx.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")


CONTROLLER = Controller(
    name="node-lifecycle-controller",
    component="node-controller",
    watches=(
        Watch(kind=core_v1.Node),
        Watch(kind=coordination_v1.Lease, keys=_of_lease, changed=_lease_matters),
        Watch(kind=core_v1.Pod, keys=_of_pod, indexes={ON_NODE: by_node}),
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
