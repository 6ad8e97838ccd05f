"""Pod garbage collector: removes Pods nobody else will: ended ones beyond a number, orphans of nodes that are gone.

Also Pods deleted before they were scheduled, and Pods stuck on nodes that an admin declared out of service.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._nodes import ON_NODE, by_node, pods_on
from pybernetes.controllers.runtime import Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import disrupted, is_finished, node_is_ready
from pybernetes.rules.taints import OUT_OF_SERVICE
from pybernetes.wire.metrics import Counter

FINISHED = "finished"
THRESHOLD = Key("", "finished Pods")
"""The key that looks at the number of ended Pods."""
QUARANTINE = 40.0
"""Seconds a Node must be gone before its Pods are orphans: it may just be registering anew."""


class _Missing:
    """Since when a Node is not there."""

    def __init__(self) -> None:
        self.since: dict[str, float] = {}


def _by_end(pod: core_v1.Pod) -> Iterable[str]:
    return ("",) if is_finished(pod) else ()


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    return (key_of(pod), THRESHOLD) if is_finished(pod) else (key_of(pod),)


def _pod_matters(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return _facts(old) != _facts(new)


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    return (pod.spec.nodeName, is_finished(pod), pod.metadata.deletionTimestamp, pod.metadata.uid)


def _node_matters(old: core_v1.Node, new: core_v1.Node) -> bool:
    return (_out_of_service(old), node_is_ready(old)) != (_out_of_service(new), node_is_ready(new))


def _out_of_service(node: core_v1.Node) -> bool:
    return any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Pod, or the number of ended ones."""
    if key == THRESHOLD:
        await _over_threshold(ctx)
        return Done()
    pod = ctx.cache(core_v1.Pod).get(key)
    if pod is None:
        return Done()
    if not pod.spec.nodeName:
        if pod.metadata.deletionTimestamp:
            await _remove(pod, ctx, "unscheduled")
        return Done()
    node = ctx.cache(core_v1.Node).get(Key("", pod.spec.nodeName))
    if node is None:
        return await _orphan(pod, ctx)
    ctx.state(_Missing).since.pop(pod.spec.nodeName, None)
    if pod.metadata.deletionTimestamp and _out_of_service(node) and not node_is_ready(node):
        await _remove(pod, ctx, "out-of-service")
    return Done()


async def _orphan(pod: core_v1.Pod, ctx: Context) -> Outcome:
    now = ctx.clock.monotonic()
    since = ctx.state(_Missing).since.setdefault(pod.spec.nodeName, now)
    if now < since + QUARANTINE:
        return Again(since + QUARANTINE - now)
    try:
        await ctx.api(core_v1.Node).get(Key("", pod.spec.nodeName))
    except NotFound:
        await _remove(pod, ctx, "orphaned", why="PodGC: node no longer exists")
        return Done()
    return Again(QUARANTINE)


async def _over_threshold(ctx: Context) -> None:
    most = ctx.config.terminated_pod_gc_threshold
    ended = ctx.cache(core_v1.Pod).by(FINISHED, "")
    if most <= 0 or len(ended) <= most:
        return
    # What only waits for its finalizers counts, and need not be told again.
    evicted_first = sorted((pod for pod in ended if not _waits_for_finalizers(pod)), key=_order)
    for pod in evicted_first[: len(ended) - most]:
        await _remove(pod, ctx, "terminated")


def _order(pod: core_v1.Pod) -> tuple[bool, str, str]:
    evicted = pod.status.phase == "Failed" and pod.status.reason == "Evicted"
    return not evicted, pod.metadata.creationTimestamp or "", pod.metadata.name


def _waits_for_finalizers(pod: core_v1.Pod) -> bool:
    meta = pod.metadata
    told = meta.deletionTimestamp is not None and meta.deletionGracePeriodSeconds == 0
    return told and bool(meta.finalizers) and is_finished(pod)


async def _fail(pod: core_v1.Pod, ctx: Context, why: str) -> None:
    """Owners must see that it failed, and why if it was disrupted, before it is gone."""
    if is_finished(pod):
        return
    told = disrupted(pod, "DeletionByPodGC", why, rfc3339(ctx.clock.now())) if why else pod
    changed = replace(told, status=replace(told.status, phase="Failed"))
    await ctx.api(core_v1.Pod).patch(pod, changed, subresource="status")


class Figures:
    """Upstream's metrics; the reason is terminated, out-of-service, orphaned or unscheduled."""

    def __init__(self) -> None:
        self.removed = Counter(
            "pod_gc_collector_force_delete_pods_total",
            "Number of pods that are being forcefully deleted since the Pod GC Controller started.",
            "namespace reason",
        )
        self.errors = Counter(
            "pod_gc_collector_force_delete_pod_errors_total",
            "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started.",
            "namespace reason",
        )


async def _remove(pod: core_v1.Pod, ctx: Context, reason: str, *, why: str = "") -> None:
    """Marks it as failed and takes it away at once; `why`: the message of its condition DisruptionTarget."""
    if _waits_for_finalizers(pod):
        return
    figures, labels = ctx.metrics(Figures), (pod.metadata.namespace, reason)
    try:
        await _fail(pod, ctx, why)
        await ctx.api(core_v1.Pod).delete(key_of(pod), grace=0, uid=pod.metadata.uid)
    except NotFound:
        return
    except ApiError:
        figures.errors.add(*labels)
        figures.removed.add(*labels)
        raise
    figures.removed.add(*labels)


CONTROLLER = Controller(
    name="pod-garbage-collector-controller",
    queue="orphaned_pods_nodes",
    account="pod-garbage-collector",
    watches=(
        Watch(kind=core_v1.Pod, keys=_of_pod, changed=_pod_matters, indexes={ON_NODE: by_node, FINISHED: _by_end}),
        Watch(kind=core_v1.Node, keys=pods_on, changed=_node_matters),
    ),
    reconcile=reconcile,
    rules=(
        allow("list watch delete", "pods"),
        allow("patch", "pods/status"),
        allow("get list watch", "nodes"),
    ),
)
