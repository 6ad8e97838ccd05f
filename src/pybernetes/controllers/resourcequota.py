"""ResourceQuota controller: counts anew what a namespace uses when its quotas change or something goes away.

Admission charges what is made (apiserver/admission/resourcequota.py); here is what brings the numbers down again. It
follows only resources that some quota limits, and counts with live reads: the server knows more than a late cache.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import GroupResource, Key, Object
from pybernetes.api.types import core_v1
from pybernetes.client.discovery import discover
from pybernetes.client.informer import Informer
from pybernetes.client.rest import Target, encode, key_of
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules import quota as rule
from pybernetes.rules.podresources import Quantities, add, quantities

log = logging.getLogger(__name__)

RESYNC = 300.0
"""Seconds after which a quota is counted again even if nothing was seen to change."""
REFRESH = 30.0
"""Seconds between looks at discovery, which has no watch."""
SETTLE = 0.1
"""Seconds that deletions are gathered before they are counted, at least."""
SHARE = 5.0
"""How many times as long as the last count took they are gathered: a full namespace that empties is not counted all the time."""
CONFIRM = 0.25
"""Seconds until less use is believed: what was charged and is on its way to the store must have come there."""
_WHOLE: Mapping[GroupResource, type[Any]] = {
    rule.PODS: core_v1.Pod,
    rule.SERVICES: core_v1.Service,
    rule.CLAIMS: core_v1.PersistentVolumeClaim,
}
"""Resources whose changes, too, may give something back."""


class Followed:
    """What the controller remembers: what is served, and which informers tell it of changes."""

    def __init__(self) -> None:
        self.targets: dict[GroupResource, Target] = {}
        self.informers: dict[GroupResource, Informer[Any]] = {}
        self.lower: dict[Key, tuple[str, float]] = {}
        """Quotas that were seen to use less than they say: their revision then, and when."""
        self.took: dict[Key, float] = {}
        """Seconds of the last count."""


async def _look(ctx: Context) -> bool:
    """Reads discovery; whether something came or went."""
    state = ctx.state(Followed)
    found = await discover(ctx.client)
    targets = {
        GroupResource(one.target.group, one.target.plural): one.target
        for one in found.resources
        if one.target.namespaced and {"list", "watch", "create"} <= one.verbs
    }
    targets = {resource: target for resource, target in targets.items() if resource not in rule.IGNORED}
    if found.stale:
        targets = {**state.targets, **targets}  # a group whose server does not answer is not gone
    changed = targets != state.targets
    state.targets = targets
    return changed


async def refresh(ctx: Context) -> None:
    """Notices kinds that come and go."""
    while True:
        quotas = ctx.cache(core_v1.ResourceQuota)
        if len(quotas) and await _look(ctx):
            for quota in quotas:
                ctx.queue.add(key_of(quota))
        await ctx.clock.sleep(REFRESH)


def _follow(ctx: Context, resource: GroupResource, target: Target) -> None:
    state = ctx.state(Followed)
    kind = _WHOLE.get(resource)
    informer: Informer[Any] = ctx.informers.of(kind) if kind else ctx.informers.metadata(target)
    if state.informers.get(resource) is informer:
        return
    state.informers[resource] = informer

    def on_change(old: Any, new: Any) -> None:
        quotas = ctx.cache(core_v1.ResourceQuota).of(old.metadata.namespace) if old is not None else ()
        if not quotas or (new is not None and not _gives_back(resource, old, new)):
            return
        for quota in quotas:
            if any(rule.concerns(resource, name) for name in quota.spec.hard):
                key = key_of(quota)
                ctx.queue.add_after(key, max(SETTLE, SHARE * state.took.get(key, 0.0)))

    informer.on_change(on_change)


def _gives_back(resource: GroupResource, old: Any, new: Any) -> bool:
    """Whether a change may make less of what is used, or more than was charged."""
    if resource not in _WHOLE:
        return False
    if resource == rule.PODS:
        return bool(_counted(old) != _counted(new) or _amounts(old) != _amounts(new))
    before, after = encode(old), encode(new)
    if resource == rule.CLAIMS and rule.volume_classes(before) != rule.volume_classes(after):
        return True
    return rule.usage(resource, before, 0) != rule.usage(resource, after, 0)


def _counted(pod: core_v1.Pod) -> object:
    return pod.status.phase in ("Succeeded", "Failed"), pod.spec.activeDeadlineSeconds is None


def _amounts(pod: core_v1.Pod) -> object:
    statuses = (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
    specs = (*pod.spec.containers, *pod.spec.initContainers)
    return [one.resources for one in specs], [(one.allocatedResources, one.resources) for one in statuses]


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One quota."""
    state = ctx.state(Followed)
    if not state.targets:
        await _look(ctx)
    try:
        quota = await ctx.api(core_v1.ResourceQuota).get(key)
    except NotFound:
        state.lower.pop(key, None)
        state.took.pop(key, None)
        return Done()
    began = ctx.clock.monotonic()
    used = await _count(ctx, encode(quota), state.targets)
    state.took[key] = ctx.clock.monotonic() - began
    hard, before = quantities(quota.spec.hard), quantities(quota.status.used)
    less = any(value < before[name] for name, value in used.items() if name in before)
    seen, since = state.lower.get(key, ("", 0.0))
    now = ctx.clock.now()
    if less and seen == quota.metadata.resourceVersion and now - since < CONFIRM:
        return Again(since + CONFIRM - now)  # another event came first
    if less and seen != quota.metadata.resourceVersion:
        used = {name: max(value, before.get(name, value)) for name, value in used.items()}
        quota = await _write(ctx, quota, hard, used)
        state.lower[key] = quota.metadata.resourceVersion, now
        return Again(CONFIRM)
    state.lower.pop(key, None)
    await _write(ctx, quota, hard, used)
    return Again(RESYNC)


async def _write(
    ctx: Context, quota: core_v1.ResourceQuota, hard: Quantities, used: Quantities
) -> core_v1.ResourceQuota:
    """At the revision that was read: a charge in between makes this a conflict, and it is counted again."""
    limits = {name: str(value) for name, value in hard.items()}
    kept = {name: text for name, text in quota.status.used.items() if name in limits}
    fresh = {**kept, **{name: str(value) for name, value in used.items()}}
    if limits == dict(quota.status.hard) and fresh == dict(quota.status.used):
        return quota
    log.info("counted quota=%s/%s", quota.metadata.namespace, quota.metadata.name)
    status = core_v1.ResourceQuotaStatus(hard=limits, used=fresh)
    return await ctx.api(core_v1.ResourceQuota).update(replace(quota, status=status), subresource="status")


async def _count(ctx: Context, quota: Object, targets: Mapping[GroupResource, Target]) -> Quantities:
    """What is used of all that the quota limits."""
    namespace, hard = quota["metadata"]["namespace"], (quota.get("spec") or {}).get("hard") or {}
    total: Quantities = {}
    for resource, target in targets.items():
        names = [name for name in hard if rule.concerns(resource, name)]
        if not names:
            continue
        _follow(ctx, resource, target)
        total.update({name: total.get(name, rule.NONE) for name in names})
        try:
            found = await _used(ctx, quota, resource, target.path(namespace))
        except NotFound:
            continue  # no longer served
        add(total, {name: value for name, value in found.items() if name in names})
    return total


async def _used(ctx: Context, quota: Object, resource: GroupResource, path: str) -> Quantities:
    scoped = bool(rule.selectors(quota))
    if resource not in rule.MEASURED:
        if scoped:
            return {}
        page = await ctx.client.raw("GET", path, query={"limit": "1"})
        number = len(page.get("items") or ()) + ((page.get("metadata") or {}).get("remainingItemCount") or 0)
        return {name: value * number for name, value in rule.usage(resource, {}, 0).items()}
    objects: Iterable[Object] = (await ctx.client.raw("GET", path)).get("items") or ()
    total: Quantities = {}
    now = ctx.clock.now()
    extended = await _extended_names(ctx) if resource == rule.DEVICES and objects else None
    for obj in objects:
        if not scoped or rule.all_in_scope(resource, quota, obj):
            add(total, rule.usage(resource, obj, now, extended))
    return total


async def _extended_names(ctx: Context) -> dict[str, str]:
    found = await ctx.client.raw("GET", "/apis/resource.k8s.io/v1/deviceclasses")
    return rule.extended_names(found.get("items") or ())


def _changed(old: core_v1.ResourceQuota, new: core_v1.ResourceQuota) -> bool:
    """Admission writes status all the time; only what is asked for concerns us."""
    return old.spec != new.spec


CONTROLLER = Controller(
    name="resourcequota-controller",
    queue="resourcequota_primary",
    watches=(Watch(kind=core_v1.ResourceQuota, changed=_changed),),
    reconcile=reconcile,
    background=refresh,
    rules=(allow("get list watch", "*", "*"), allow("update", "resourcequotas/status"), EVENTS),
)
