"""Device taint eviction: deletes Pods that use devices with NoExecute taints, each when what it tolerates is over (KEP-5055).

A key is a Pod, or a DeviceTaintRule (which has no namespace), whose condition EvictionInProgress says how far it is. When a
Pod has to go is computed anew at every look, by _device_taints.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.resource_v1 import DeviceTaintRule, ResourceClaim, ResourceSlice
from pybernetes.client.rest import key_of
from pybernetes.controllers._device_taints import (
    NO_EXECUTE,
    Eviction,
    devices_of,
    executing,
    of_claim,
    pool_of,
    results_selected,
    selects,
)
from pybernetes.controllers._resource_claims import is_of, is_pod, names_of
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.conditions import find, put
from pybernetes.rules.readiness import disrupted, is_finished
from pybernetes.wire.metrics import Counter, Distribution

REASON = "DeviceTaintManagerEviction"
MESSAGE = "Device Taint manager: deleting due to NoExecute taint"
IN_PROGRESS = "EvictionInProgress"
PERIOD = 10.0
"""Seconds between two writes of a rule's condition at least."""
_GROUP = "resource.k8s.io"
_IN_POOL, _FROM_POOL = "device-pool", "devices-from-pool"


@dataclass(slots=True)
class _Memory:
    """Of this process: what it means to do, and what it has done."""

    waiting: dict[Key, tuple[str, Eviction]] = field(default_factory=dict)
    """Pods that are to go, with their uids."""
    evicted: dict[str, int] = field(default_factory=dict)
    """How many Pods have gone, by the uid of a rule."""


class Figures:
    """Upstream's metrics."""

    def __init__(self) -> None:
        name = "device_taint_eviction_controller_pod_deletion"
        self.deletions = Counter(
            f"{name}s_total", "Total number of Pods deleted by DeviceTaintEvictionController since its start."
        )
        self.seconds = Distribution(
            f"{name}_duration_seconds",
            "Latency, in seconds, between the time when a device taint effect has been activated and a Pod's deletion via"
            " DeviceTaintEvictionController.",
            bounds=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
        )


# --- what concerns which key


def _in_pool(slice_: ResourceSlice) -> Iterable[str]:
    return (pool_of(slice_.spec.driver, slice_.spec.pool.name),)


def _from_pool(claim: ResourceClaim) -> Iterable[str]:
    allocation = claim.status.allocation
    results = allocation.devices.results if allocation is not None else ()
    return {pool_of(one.driver, one.pool): None for one in results}


def _users(claim: ResourceClaim, ctx: Context) -> list[Key]:
    return [Key(claim.metadata.namespace, user.name) for user in claim.status.reservedFor if is_pod(user)]


def _of_slice(slice_: ResourceSlice, ctx: Context) -> Iterable[Key]:
    (pool,) = _in_pool(slice_)
    return [key for claim in ctx.cache(ResourceClaim).by(_FROM_POOL, pool) for key in _users(claim, ctx)]


def _of_rule(rule: DeviceTaintRule, ctx: Context) -> Iterable[Key]:
    yield key_of(rule)
    for claim in ctx.cache(ResourceClaim):
        if results_selected(rule, claim):
            yield from _users(claim, ctx)


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    return (key_of(pod),) if pod.spec.resourceClaims else ()


def _pod_matters(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return bool(new.spec.resourceClaims) and _facts(old) != _facts(new)


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    status = pod.status
    return pod.metadata.uid, pod.spec.nodeName, status.resourceClaimStatuses, pod.metadata.deletionTimestamp


def _claim_matters(old: ResourceClaim, new: ResourceClaim) -> bool:
    return (old.metadata.uid, old.status.allocation, old.status.reservedFor) != (
        new.metadata.uid,
        new.status.allocation,
        new.status.reservedFor,
    )


def _slice_matters(old: ResourceSlice, new: ResourceSlice) -> bool:
    return _tainted(old) != _tainted(new)


def _tainted(slice_: ResourceSlice) -> tuple[object, ...]:
    taints = [(device.name, executing(device)) for device in slice_.spec.devices]
    return slice_.spec.pool.generation, [(name, found) for name, found in taints if found]


def _rule_matters(old: DeviceTaintRule, new: DeviceTaintRule) -> bool:
    return (old.metadata.uid, old.spec) != (new.metadata.uid, new.spec)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Pod, or one rule."""
    return await (_look_at_pod(key, ctx) if key.namespace else _look_at_rule(key, ctx))


# --- Pods


def _eviction(pod: core_v1.Pod, ctx: Context, *simulated: DeviceTaintRule) -> Eviction | None:
    """When and why the Pod has to go, if it has to."""
    if not pod.spec.nodeName or pod.metadata.deletionTimestamp or is_finished(pod):
        return None
    claims, names = ctx.cache(ResourceClaim), names_of(pod)
    pools = partial(ctx.cache(ResourceSlice).by, _IN_POOL)
    rules = [*ctx.cache(DeviceTaintRule), *simulated]
    found: Eviction | None = None
    for asked in pod.spec.resourceClaims:
        claim = claims.get(Key(pod.metadata.namespace, names[asked.name] or ""))
        if claim is None or (not asked.resourceClaimName and not is_of(claim, pod)):
            continue
        if any(is_pod(user) and user.uid == pod.metadata.uid for user in claim.status.reservedFor):
            more = of_claim(claim, pools, rules)
            found = found if more is None else more.with_(found)
    return found


async def _look_at_pod(key: Key, ctx: Context) -> Outcome:
    waiting = ctx.state(_Memory).waiting
    pod = ctx.cache(core_v1.Pod).get(key)
    before = waiting.pop(key, None)
    if before is not None and (pod is None or pod.metadata.uid != before[0]):
        _tell_later(before[1], ctx)
        before = None
    found = _eviction(pod, ctx) if pod is not None else None
    if pod is None or found is None:
        if pod is not None and before is not None:
            _tell_later(before[1], ctx)
            if not pod.metadata.deletionTimestamp:
                ctx.events.event(pod, "Normal", REASON, "Cancelling deletion")
        return Done()
    waiting[key] = (pod.metadata.uid or "", found)
    if before is None or before[1] != found:
        for name in found.rules:
            ctx.queue.add(Key("", name))
    left = found.at - ctx.clock.now()
    if left > 0:
        return Again(left)
    if await _evict(pod, ctx):
        _count(found, ctx)
    waiting.pop(key, None)
    return Done()


def _tell_later(eviction: Eviction, ctx: Context) -> None:
    """Rules look again; at once they would see what caches do not know yet."""
    for name in eviction.rules:
        ctx.queue.add_after(Key("", name), PERIOD)


async def _evict(seen: core_v1.Pod, ctx: Context) -> bool:
    """Whether the Pod goes by this; raises ApiError."""
    api = ctx.api(core_v1.Pod)
    try:
        pod = await api.get(key_of(seen))
        if pod.metadata.uid != seen.metadata.uid or pod.metadata.deletionTimestamp:
            return False
        ctx.events.event(pod, "Normal", REASON, "Marking for deletion")
        told = disrupted(pod, "DeletionByDeviceTaintManager", MESSAGE, rfc3339(ctx.clock.now()))
        await api.patch(pod, told, subresource="status")
        await api.delete(key_of(pod), uid=pod.metadata.uid)
    except NotFound:
        return False
    return True


def _count(eviction: Eviction, ctx: Context) -> None:
    figures, evicted = ctx.metrics(Figures), ctx.state(_Memory).evicted
    figures.deletions.add()
    figures.seconds.observe(max(0.0, ctx.clock.now() - eviction.at))
    for name in eviction.rules:
        rule = ctx.cache(DeviceTaintRule).get(Key("", name))
        if rule is not None:
            uid = rule.metadata.uid or ""
            evicted[uid] = evicted.get(uid, 0) + 1
    _tell_later(eviction, ctx)


# --- rules


async def _look_at_rule(key: Key, ctx: Context) -> Outcome:
    rule, evicted = ctx.cache(DeviceTaintRule).get(key), ctx.state(_Memory).evicted
    if rule is None:
        alive = {one.metadata.uid for one in ctx.cache(DeviceTaintRule)}
        for uid in [uid for uid in evicted if uid not in alive]:
            del evicted[uid]
        return Done()
    there = find(rule.status.conditions, IN_PROGRESS)
    if there is not None and there.observedGeneration == (rule.metadata.generation or 0):
        if rule.spec.taint.effect == "None":
            return Done()  # said once, for good
        left = parse_time(there.lastTransitionTime or "") + PERIOD - ctx.clock.now()
        if left > 0:
            return Again(left)
    status, reason, message = _progress(rule, ctx)
    made = meta_v1.Condition(
        type=IN_PROGRESS,
        status=status,
        reason=reason,
        message=message,
        observedGeneration=rule.metadata.generation or 0,
        lastTransitionTime=there.lastTransitionTime if there is not None else "",
    )
    if made != there:
        # The time moves with every change, also of the text alone: it says when the next one may be told.
        made = replace(made, lastTransitionTime=rfc3339(ctx.clock.now()))
        changed = replace(rule, status=replace(rule.status, conditions=put(rule.status.conditions, made)))
        await ctx.api(DeviceTaintRule).patch(rule, changed, subresource="status", lock=True)
    return Done()


def _progress(rule: DeviceTaintRule, ctx: Context) -> tuple[str, str, str]:
    """Status, reason and message of the condition."""
    evicted = ctx.state(_Memory).evicted.get(rule.metadata.uid or "", 0)
    done = f"{_many(evicted, 'pod')} evicted since starting the controller." if evicted else ""
    match rule.spec.taint.effect:
        case "NoExecute":
            pods, spaces = _to_evict(rule, ctx)
            if pods:
                needs = "needs" if pods == 1 else "need"
                text = f"{_many(pods, 'pod')} {needs} to be evicted in {_namespaces(spaces)}."
                return "True", "PodsPendingEviction", f"{text} {done}".rstrip()
            return "False", "Completed" if evicted else "NotStarted", done
        case "None":
            published, allocated = _selected(rule, ctx)
            taint = replace(rule.spec.taint, effect=NO_EXECUTE)
            pods, spaces = _to_evict(replace(rule, spec=replace(rule.spec, taint=taint)), ctx, simulated=True)
            text = (
                f"{_many(published, 'published device')} selected. {_many(allocated, 'allocated device')} selected. "
                f"{_many(pods, 'pod')} would be evicted in {_namespaces(spaces)} if the effect was NoExecute. "
                "This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."
            )
            return "False", "NoEffect", f"{text} {done}".rstrip()
    return "False", "OtherEffect", f"Eviction only happens for the NoExecute effect. {done}".rstrip()


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _namespaces(count: int) -> str:
    return "1 namespace" if count == 1 else f"{count} different namespaces"


def _to_evict(rule: DeviceTaintRule, ctx: Context, *, simulated: bool = False) -> tuple[int, int]:
    """How many Pods have to go because of a rule, and in how many namespaces."""
    more, name = (rule,) if simulated else (), rule.metadata.name
    keys = {key for claim in ctx.cache(ResourceClaim) if results_selected(rule, claim) for key in _users(claim, ctx)}
    pods = [pod for key in keys if (pod := ctx.cache(core_v1.Pod).get(key)) is not None]
    going = [pod for pod in pods if (found := _eviction(pod, ctx, *more)) is not None and name in found.rules]
    return len(going), len({pod.metadata.namespace for pod in going})


def _selected(rule: DeviceTaintRule, ctx: Context) -> tuple[int, int]:
    """How many devices a rule is about: of those that drivers offer, and of those that claims have."""
    slices = ctx.cache(ResourceSlice)
    pools = {(one.spec.driver, one.spec.pool.name) for one in slices}
    published = sum(
        selects(rule, driver, pool, device.name)
        for driver, pool in pools
        for device in devices_of(slices.by(_IN_POOL, pool_of(driver, pool)))
    )
    return published, sum(len(results_selected(rule, claim)) for claim in ctx.cache(ResourceClaim))


CONTROLLER = Controller(
    name="device-taint-eviction-controller",
    queue="device-taint-eviction-controller",
    watches=(
        Watch(kind=core_v1.Pod, keys=_of_pod, changed=_pod_matters),
        Watch(kind=ResourceClaim, keys=_users, changed=_claim_matters, indexes={_FROM_POOL: _from_pool}),
        Watch(kind=ResourceSlice, keys=_of_slice, changed=_slice_matters, indexes={_IN_POOL: _in_pool}),
        Watch(kind=DeviceTaintRule, keys=_of_rule, changed=_rule_matters),
    ),
    reconcile=reconcile,
    workers=10,
    rules=(
        allow("delete get list watch", "pods"),
        allow("patch update", "pods/status"),
        allow("get list watch", "devicetaintrules resourceclaims resourceslices", _GROUP),
        allow("patch update", "devicetaintrules/status", _GROUP),
        EVENTS,
    ),
)
