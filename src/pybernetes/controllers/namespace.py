"""Namespace controller: empties namespaces that are being deleted, then lets them go. Pods first, all else in parallel.

What is to be deleted comes from discovery, custom resources included. Conditions say on every pass how far it is, as
upstream's do; nothing here lasts: a pass may run twice.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.errors import ApiError, MethodNotAllowed, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.discovery import Served, discover
from pybernetes.client.rest import ResourceClient, key_of
from pybernetes.controllers.runtime import Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import is_finished

FINALIZER = "kubernetes"
FINALIZER_SECONDS = 15.0
"""How long somebody else's finalizer is taken to last."""

RETRY_MOST = 30.0
"""Seconds until what cannot be deleted, for no reason that passes by itself, is tried again at most."""


@dataclass(slots=True)
class _Pass:
    """What one pass over the content found."""

    failures: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    remaining: dict[str, int] = field(default_factory=dict)
    finalizers: Counter[str] = field(default_factory=Counter)
    pods: float = 0.0
    """Seconds that Pods may still take to end."""
    wait: float = 0.0
    """Seconds until another look is worth it."""

    @property
    def empty(self) -> bool:
        return not (self.failures or self.stale or self.remaining)


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    """A Pod that goes may have been the last one of a namespace that goes."""
    key = Key("", pod.metadata.namespace)
    namespace = ctx.cache(core_v1.Namespace).get(key)
    return (key,) if namespace is not None and namespace.metadata.deletionTimestamp else ()


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One namespace."""
    namespace = ctx.cache(core_v1.Namespace).get(key)
    if namespace is None or namespace.metadata.deletionTimestamp is None:
        return Done()
    api = ctx.api(core_v1.Namespace)
    try:
        namespace = await api.get(key)
    except NotFound:
        return Done()
    if namespace.metadata.deletionTimestamp is None or FINALIZER not in namespace.spec.finalizers:
        return Done()
    found = await _empty(ctx, namespace)
    now = rfc3339(ctx.clock.now())
    status = replace(namespace.status, phase="Terminating", conditions=_conditions(namespace, found, now))
    namespace = await api.patch(namespace, replace(namespace, status=status), subresource="status")
    if not found.empty:
        elapsed = ctx.clock.now() - parse_time(namespace.metadata.deletionTimestamp or "")
        return Again((found.wait / 2 if found.wait else min(elapsed / 4, RETRY_MOST)) + 1)
    kept = tuple(name for name in namespace.spec.finalizers if name != FINALIZER)
    # finalize knows PUT only; it reads spec.finalizers and nothing else.
    await api.update(replace(namespace, spec=replace(namespace.spec, finalizers=kept)), subresource="finalize")
    return Done()


async def _empty(ctx: Context, namespace: core_v1.Namespace) -> _Pass:
    name, found = namespace.metadata.name, _Pass(pods=_patience(ctx, namespace))
    discovered = await discover(ctx.client)
    found.stale = list(discovered.stale)
    resources = [r for r in discovered.resources if r.target.namespaced and {"list", "delete"} <= r.verbs]
    pods = [r for r in resources if (r.target.group, r.target.plural) == ("", "pods")]
    for step in (pods, [r for r in resources if r not in pods]):
        await asyncio.gather(*(_delete(ctx, name, resource, found) for resource in step))
        if found.remaining:
            # Pods may need their Secrets, volumes and Services until they have ended (KEP-5080).
            break
    return found


def _patience(ctx: Context, namespace: core_v1.Namespace) -> float:
    """Seconds that Pods may still take to end; none once the namespace is being deleted for as long as any of them may take."""
    pods = [pod for pod in ctx.cache(core_v1.Pod).of(namespace.metadata.name) if not is_finished(pod)]
    longest = max((pod.spec.terminationGracePeriodSeconds or 0 for pod in pods), default=0)
    began = parse_time(namespace.metadata.deletionTimestamp or "")
    return float(longest) if ctx.clock.now() < began + longest else 0.0


async def _delete(ctx: Context, name: str, resource: Served, found: _Pass) -> None:
    """Deletes all of one resource and counts what stays."""
    client = ctx.client.metadata(resource.target)
    try:
        listed = await client.list(name)
        if not listed.items:
            return
        if "deletecollection" in resource.verbs:
            await client.delete_collection(name, propagation="Background")
        else:
            for item in listed.items:
                await _delete_one(client, key_of(item))
        left = (await client.list(name)).items
    except (NotFound, MethodNotAllowed):
        return
    except ApiError as error:
        found.failures.append(error.message)
        return
    if not left:
        return
    found.remaining[_shown(resource)] = len(left)
    held = Counter(finalizer for item in left for finalizer in item.metadata.finalizers)
    found.finalizers.update(held)
    patience = found.pods if (resource.target.group, resource.target.plural) == ("", "pods") else 0.0
    if patience or held:
        found.wait = max(found.wait, patience or FINALIZER_SECONDS)
        return
    what = f"{resource.target.group}/{resource.target.version}, Resource={resource.target.plural}"
    found.failures.append(f"unexpected items still remain in namespace: {name} for gvr: {what}")


async def _delete_one(client: ResourceClient[meta_v1.PartialObjectMetadata], key: Key) -> None:
    try:
        await client.delete(key, propagation="Background")
    except NotFound:
        return


def _shown(resource: Served) -> str:
    return f"{resource.target.plural}.{resource.target.group}"


def _conditions(namespace: core_v1.Namespace, found: _Pass, now: str) -> tuple[core_v1.NamespaceCondition, ...]:
    remaining = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(found.remaining.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(found.finalizers.items()))
    stale = ", ".join(f"{group}: stale GroupVersion discovery: {group}" for group in sorted(found.stale))
    facts = (
        ("NamespaceDeletionDiscoveryFailure", "DiscoveryFailed", stale,
         "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: ",
         "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "GroupVersionParsingFailed", "", "",
         "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", "ContentDeletionFailed", ", ".join(sorted(found.failures)),
         "Failed to delete all resource types, {} remaining: ",
         "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", "SomeResourcesRemain", remaining, "Some resources are remaining: ",
         "ContentRemoved", "All content successfully removed"),
        ("NamespaceFinalizersRemaining", "SomeFinalizersRemain", held,
         "Some content in the namespace has finalizers remaining: ",
         "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    )  # fmt: skip
    counts = {"DiscoveryFailed": len(found.stale), "ContentDeletionFailed": len(found.failures)}
    old = {c.type: c for c in namespace.status.conditions}
    made: list[core_v1.NamespaceCondition] = []
    for kind, bad, detail, text, good, fine in facts:
        status, reason = ("True", bad) if detail else ("False", good)
        message = text.format(counts.get(bad, 0)) + detail if detail else fine
        before = old.pop(kind, None)
        since = before.lastTransitionTime if before and before.status == status else now
        made.append(
            core_v1.NamespaceCondition(
                type=kind, status=status, reason=reason, message=message, lastTransitionTime=since
            )
        )
    return (*old.values(), *made)


CONTROLLER = Controller(
    name="namespace-controller",
    watches=(Watch(kind=core_v1.Namespace), Watch(kind=core_v1.Pod, keys=_of_pod)),
    reconcile=reconcile,
    workers=10,
    rules=(
        allow("get list watch delete", "namespaces"),
        allow("update patch", "namespaces/finalize namespaces/status"),
        allow("get list delete deletecollection watch", "*", "*"),
    ),
)
