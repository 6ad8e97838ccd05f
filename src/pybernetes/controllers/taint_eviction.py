"""Taint eviction: deletes Pods from nodes whose NoExecute taints they do not tolerate, each when its time is over."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._nodes import ON_NODE, by_node, pods_on
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import POD_SCHEDULED, condition, disrupted
from pybernetes.rules.taints import NO_EXECUTE, eviction_seconds
from pybernetes.wire.metrics import Counter, Distribution

MESSAGE = "Taint manager: deleting due to NoExecute taint"
REASON = "TaintManagerEviction"


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A Pod that is to be evicted. Times are seconds since 1970."""

    uid: str
    since: float
    """When this process first saw it on the tainted node: counts where a taint says no time."""
    due: float = inf
    taints: tuple[core_v1.Taint, ...] = ()
    """Those that it is evicted for."""


class _Seen:
    """By Pod."""

    def __init__(self) -> None:
        self.leaving: dict[Key, _Leaving] = {}


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    """Taints that come later bring all Pods of their node."""
    node = ctx.cache(core_v1.Node).get(Key("", pod.spec.nodeName))
    return (key_of(pod),) if node is not None and _executing(node) else ()


def _taints_changed(old: core_v1.Node, new: core_v1.Node) -> bool:
    return _executing(old) != _executing(new)


def _executing(node: core_v1.Node) -> list[core_v1.Taint]:
    return [taint for taint in node.spec.taints if taint.effect == NO_EXECUTE]


def _pod_matters(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return (old.spec.nodeName, old.spec.tolerations) != (new.spec.nodeName, new.spec.tolerations)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Pod."""
    leaving = ctx.state(_Seen).leaving
    pod, known = ctx.cache(core_v1.Pod).get(key), leaving.get(key)
    if known is not None and (pod is None or pod.metadata.uid != known.uid):
        known = None
        del leaving[key]
        _cancel(key, ctx)
    node = ctx.cache(core_v1.Node).get(Key("", pod.spec.nodeName)) if pod else None
    found = tuple(_executing(node)) if node else ()
    if pod is None:
        return Done()
    allowed = eviction_seconds(found, pod.spec.tolerations) if found else None
    if pod.metadata.deletionTimestamp or allowed is None:
        if leaving.pop(key, None) is not None and not pod.metadata.deletionTimestamp:
            _cancel(key, ctx)
        return Done()
    now = ctx.clock.now()
    since = known.since if known is not None else now
    stamps = [parse_time(taint.timeAdded) for taint in found if taint.timeAdded]
    # A Pod that came to a node which had its taints already has its time in full.
    due = (max(*stamps, _came(pod)) if stamps else since) + allowed
    if known is not None and known.taints == found:
        due = min(due, known.due)  # a toleration that is longer now comes too late
    leaving[key] = _Leaving(pod.metadata.uid, since, due, found)
    if due > now:
        return Again(due - now)
    await _evict(pod, ctx)
    figures = ctx.metrics(Figures)
    figures.deletions.add()
    figures.seconds.observe(max(0.0, ctx.clock.now() - due))
    leaving.pop(key, None)
    return Done()


def _cancel(key: Key, ctx: Context) -> None:
    about = core_v1.ObjectReference(apiVersion="v1", kind="Pod", namespace=key.namespace, name=key.name)
    ctx.events.event(about, "Normal", REASON, f"Cancelling deletion of Pod {key}")


def _came(pod: core_v1.Pod) -> float:
    """When the Pod got its node: its binding, or its creation where it named the node itself."""
    bound = condition(pod, POD_SCHEDULED)
    stamp = bound.lastTransitionTime if bound is not None and bound.status == "True" else None
    stamp = stamp or pod.metadata.creationTimestamp
    return parse_time(stamp) if stamp else 0.0


async def _evict(pod: core_v1.Pod, ctx: Context) -> None:
    api = ctx.api(core_v1.Pod)
    ctx.events.event(pod, "Normal", REASON, f"Marking for deletion Pod {key_of(pod)}")
    told = disrupted(pod, "DeletionByTaintManager", MESSAGE, rfc3339(ctx.clock.now()))
    try:
        await api.patch(pod, told, subresource="status")
        await api.delete(key_of(pod), uid=pod.metadata.uid)
    except NotFound:
        return


class Figures:
    """Upstream's metrics."""

    def __init__(self) -> None:
        name = "taint_eviction_controller_pod_deletion"
        self.deletions = Counter(
            f"{name}s_total", "Total number of Pods deleted by TaintEvictionController since its start."
        )
        self.seconds = Distribution(
            f"{name}_duration_seconds",
            "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via"
            " TaintEvictionController.",
            bounds=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
        )


CONTROLLER = Controller(
    name="taint-eviction-controller",
    queue="noexec_taint_pod",
    account="node-controller",
    watches=(
        Watch(kind=core_v1.Pod, keys=_of_pod, changed=_pod_matters, indexes={ON_NODE: by_node}),
        Watch(kind=core_v1.Node, keys=pods_on, changed=_taints_changed),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "nodes"),
        allow("get list watch delete", "pods"),
        allow("patch", "pods/status"),
        EVENTS,
    ),
)
