"""DaemonSet controller: one Pod on each Node that should run one. _daemons.py decides, _history.py keeps the revisions.

First Pods come and go with the Nodes; only when nothing of that is left, an update takes its next step.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from msgspec.structs import replace

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.client.rest import key_of
from pybernetes.controllers._batches import of_ending_namespace, slow_start, together
from pybernetes.controllers._claim import Claim, owned_watch, selector_of
from pybernetes.controllers._daemons import DaemonSet, Fleet, Node, Pod, Steps, new_pod, node_of
from pybernetes.controllers._expectations import PATIENCE, Expectations, stale_syncs
from pybernetes.controllers._failures import DaemonFailures
from pybernetes.controllers._history import (
    POD_LABEL,
    Found,
    History,
    Revision,
    Templates,
    behind,
    beyond,
    owner_gone,
)
from pybernetes.controllers._pod_writes import PodWrites
from pybernetes.controllers._replicas import until_available
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import FAILED

BURST = 250
"""Pods made or removed in one go at most."""


def _all(node: Node, ctx: Context) -> Iterable[Key]:
    return [key_of(ds) for ds in ctx.cache(DaemonSet)]


def _node_changed(old: Node, new: Node) -> bool:
    """What should_run() reads; heartbeats are none of it."""
    return (old.metadata.uid, old.metadata.labels, old.spec.taints) != (
        new.metadata.uid,
        new.metadata.labels,
        new.spec.taints,
    )


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One DaemonSet."""
    ds = ctx.cache(DaemonSet).get(key)
    if ds is None:
        ctx.state(Expectations).forget(key)
        ctx.state(DaemonFailures).forget(key)
        owner_gone(ctx, key)
        return Done()
    return await _Look(ctx, ds).run()


class Figures:
    """Upstream's metric."""

    def __init__(self) -> None:
        self.skips = stale_syncs("daemonset", "DaemonSet")


class _Look:
    """One look at one DaemonSet."""

    def __init__(self, ctx: Context, ds: DaemonSet) -> None:
        self._ctx, self._ds = ctx, ds
        self._key = key_of(ds)
        self._writes = PodWrites(ctx, ds)
        self._history = History(ctx, ds, POD_LABEL)
        self._waits: list[float] = []
        """Seconds until something is to be done though nothing changes."""

    async def run(self) -> Outcome:
        """Does what is next, then says what was seen before."""
        ctx, ds = self._ctx, self._ds
        selector = selector_of(ds)
        if selector.empty:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            ctx.events.event(ds, "Warning", "SelectingAll", text)
            return Done()
        if ds.metadata.deletionTimestamp is not None:
            return Done()
        met = ctx.state(Expectations).met(self._key, ctx.informer(Pod), ctx.clock.now())
        found = await self._history.find()
        if found is None or not met:
            ctx.metrics(Figures).skips.add(*behind(found))
            return Again(PATIENCE)
        pods = await self._of_one_name(await Claim(ctx, ds, selector, Pod).run(), found)
        now = ctx.clock.now()
        fleet = Fleet(ds, ctx.cache(Node), pods, _hash(found.newest), now)
        failure = await self._do(fleet, _hash(found.newest))
        status = replace(
            fleet.status(), observedGeneration=ds.metadata.generation, collisionCount=found.collisions or None
        )
        await ctx.api(DaemonSet).patch(ds, replace(ds, status=status), subresource="status", lock=True)
        self._waits += [wait for pod in pods if (wait := until_available(pod, ds.spec.minReadySeconds, now))]
        if failure is not None:
            raise failure
        await self._clean_up(pods, found)
        return Again(min(self._waits)) if self._waits else Done()

    async def _do(self, fleet: Fleet, revision: str) -> ApiError | None:
        """Returns the refusal that stopped it."""
        steps = fleet.placed()
        steps.delete += self._ended(steps.ended)
        if not (steps.create or steps.delete) and self._ds.spec.updateStrategy.type != "OnDelete":
            steps = fleet.updated()
        return await self._write(steps, revision)

    async def _write(self, steps: Steps, revision: str) -> ApiError | None:
        made = [partial(self._writes.make, new_pod(self._ds, node, revision)) for node in steps.create[:BURST]]
        failure = await slow_start(made)
        if failure is not None and of_ending_namespace(failure):
            return None
        removed = [partial(self._writes.remove, pod, as_seen=True) for pod in steps.delete[:BURST]]
        return await together(removed) or failure

    def _ended(self, pods: Sequence[Pod]) -> list[Pod]:
        """Those that go now: a Node that refuses its Pod gets the next one later and later."""
        failures, now = self._ctx.state(DaemonFailures), self._ctx.clock.now()
        if pods:
            failures.look(self._key, self._ds.metadata.generation)
        going = []
        for pod in pods:
            node, name = node_of(pod), f"{pod.metadata.namespace}/{pod.metadata.name}"
            left = failures.left(self._key, node, now)
            if left > 0:
                self._waits.append(left)
                continue
            failures.removed(self._key, node, now)
            if pod.status.phase == FAILED:
                text = f"Found failed daemon pod {name} on node {node}, will try to kill it"
                self._ctx.events.event(self._ds, "Warning", "FailedDaemonPod", text)
            else:
                text = f"Found succeeded daemon pod {name} on node {node}, will try to delete it"
                self._ctx.events.event(self._ds, "Normal", "SucceededDaemonPod", text)
            going.append(pod)
        return going

    async def _of_one_name(self, pods: Sequence[Pod], found: Found) -> list[Pod]:
        """Pods of another revision that keeps the same template get the newest's hash, so that they stay; it goes."""
        newest = _hash(found.newest)
        equal = self._ctx.state(Templates).equal(self._ds.spec.template, found.known)
        twins = [revision for revision in equal if revision.metadata.uid != found.newest.metadata.uid]
        same = {_hash(revision) for revision in twins} - {newest}
        named = []
        for pod in pods:
            if pod.metadata.labels.get(POD_LABEL) in same:
                meta = replace(pod.metadata, labels={**pod.metadata.labels, POD_LABEL: newest})
                try:
                    pod = await self._ctx.api(Pod).patch(pod, replace(pod, metadata=meta))
                except NotFound:
                    continue
            named.append(pod)
        await self._history.forget(twins)
        return named

    async def _clean_up(self, pods: Sequence[Pod], found: Found) -> None:
        hashes = {pod.metadata.labels.get(POD_LABEL) for pod in pods} | {_hash(found.newest)}
        live = {r.metadata.name for r in found.known if _hash(r) in hashes}
        # Old revisions count whether or not Pods are of them: a StatefulSet counts only those without.
        old = len(found.known) - len(self._ctx.state(Templates).equal(self._ds.spec.template, found.known))
        await self._history.forget(beyond(found.known, live, self._ds.spec.revisionHistoryLimit, old))


def _hash(revision: Revision) -> str:
    return revision.metadata.labels.get(POD_LABEL) or revision.metadata.name


CONTROLLER = Controller(
    name="daemonset-controller",
    account="daemon-set-controller",
    watches=(
        Watch(kind=DaemonSet),
        owned_watch(Pod, DaemonSet),
        owned_watch(Revision, DaemonSet),
        Watch(kind=Node, keys=_all, changed=_node_changed),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "daemonsets", "apps"),
        allow("update patch", "daemonsets/status", "apps"),
        allow("update", "daemonsets/finalizers", "apps"),
        allow("list watch", "nodes"),
        allow("create delete list patch watch", "pods"),
        allow("create delete get list patch update watch", "controllerrevisions", "apps"),
        EVENTS,
    ),
)
