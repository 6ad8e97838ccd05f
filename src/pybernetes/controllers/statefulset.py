"""StatefulSet controller: Pods with names and claims that stay. _stateful.py decides, _history.py keeps the revisions.

The name makes sure that there is one Pod of an ordinal at most; every deletion demands the Pod as it was seen, so that a
late cache ends nothing that has become well meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types.apps_v1 import StatefulSetStatus
from pybernetes.api.types.meta_v1 import OwnerReference
from pybernetes.client.rest import key_of
from pybernetes.controllers._batches import of_ending_namespace, slow_start, together
from pybernetes.controllers._claim import Claim, owned_watch, selector_of
from pybernetes.controllers._expectations import PATIENCE, Expectations, stale_syncs
from pybernetes.controllers._failures import Failures
from pybernetes.controllers._history import Found, History, Revision, Templates, behind, beyond, owner_gone
from pybernetes.controllers._replicas import BURST, until_available
from pybernetes.controllers._stateful import (
    PersistentVolumeClaim,
    Pod,
    StatefulSet,
    Steps,
    claims_of,
    is_member,
    is_stale,
    keeps_current,
    mended,
    most_unavailable,
    new_pod,
    next_steps,
    ordinal_of,
    owners_of_claim,
    replicas_of,
    revision_of,
    status_of,
)
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import is_finished
from pybernetes.wire.metrics import Gauge

HASH_LABEL = "controller.kubernetes.io/hash"


def _of_claim(claim: PersistentVolumeClaim, ctx: Context) -> Iterable[Key]:
    """The StatefulSets whose claims are called so."""
    name = claim.metadata.name
    return [
        key_of(s)
        for s in ctx.cache(StatefulSet).of(claim.metadata.namespace)
        if any(name.startswith(f"{t.metadata.name}-{s.metadata.name}-") for t in s.spec.volumeClaimTemplates)
    ]


def _claim_changed(old: PersistentVolumeClaim, new: PersistentVolumeClaim) -> bool:
    """What happens to the volume is others' concern."""
    return replace(old.metadata, resourceVersion="") != replace(new.metadata, resourceVersion="")


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One StatefulSet."""
    s = ctx.cache(StatefulSet).get(key)
    if s is None:
        ctx.state(Expectations).forget(key)
        ctx.state(Failures).forget(key)
        owner_gone(ctx, key)
        ctx.metrics(Figures).gone(key)
        return Done()
    return await _Look(ctx, s).run()


class ClaimGoing(Conflict):
    """A Pod's claim is being deleted. Unlike other conflicts this may last, and users are told."""


class Figures:
    """Upstream's metrics of what an update may take away, and what is away."""

    def __init__(self) -> None:
        name, labels = (
            "statefulset_controller_statefulset",
            "statefulset_namespace statefulset_name pod_management_policy",
        )
        self.most = Gauge(
            f"{name}_max_unavailable",
            "Maximum number of unavailable pods allowed during StatefulSet rolling updates",
            labels,
        )
        self.skips = stale_syncs("statefulset", "StatefulSet")
        self.away = Gauge(f"{name}_unavailable_replicas", "Current number of unavailable pods in StatefulSet", labels)

    def saw(self, s: StatefulSet, available: int) -> None:
        """What a set has."""
        key = (s.metadata.namespace, s.metadata.name, s.spec.podManagementPolicy or "OrderedReady")
        self.most.set(most_unavailable(s), *key)
        self.away.set(max(0, replicas_of(s) - available), *key)

    def gone(self, key: Key) -> None:
        """A set is no more."""
        for policy in ("OrderedReady", "Parallel"):
            self.most.forget(key.namespace, key.name, policy)
            self.away.forget(key.namespace, key.name, policy)


class _Look:
    """One look at one StatefulSet."""

    def __init__(self, ctx: Context, s: StatefulSet) -> None:
        self._ctx, self._s = ctx, s
        self._key = key_of(s)
        self._pods = ctx.api(Pod)
        self._claims = ctx.api(PersistentVolumeClaim)
        self._expectations = ctx.state(Expectations)
        self._history = History(ctx, s, HASH_LABEL)
        self._current = self._update = Revision()
        self._fresh: dict[Key, PersistentVolumeClaim] = {}
        """Claims made in this look, which the cache need not show yet."""
        self._waits: list[float] = []
        """Seconds until something is to be done though nothing changes."""

    async def run(self) -> Outcome:
        """Does what is next, then says what was seen before."""
        s, ctx = self._s, self._ctx
        selector = selector_of(s)
        if selector.empty:
            return Done()
        claim = Claim(ctx, s, selector, Pod, fits=lambda pod: is_member(s, pod))
        if s.metadata.deletionTimestamp is not None:
            status = status_of(s, await claim.run(), s.status.currentRevision, s.status.updateRevision, ctx.clock.now())
            await self._write(status)
            return Done()
        met = self._expectations.met(self._key, ctx.informer(Pod), ctx.clock.now())
        found = await self._history.find()
        if found is None or not met:
            ctx.metrics(Figures).skips.add(*behind(found))
            return Again(PATIENCE)
        self._update = found.newest
        named = [r for r in found.known if r.metadata.name == s.status.currentRevision]
        self._current = named[0] if named else found.newest
        pods = await claim.run()
        now = ctx.clock.now()
        steps = next_steps(s, pods, self._update.metadata.name, now)
        failure = await self._do(steps)
        await self._say(pods, found.collisions, now)
        await self._clean_up(pods, found)
        if failure is not None:
            raise failure
        return Again(min(self._waits)) if self._waits else Done()

    async def _say(self, pods: Sequence[Pod], collisions: int, now: float) -> None:
        """Writes the status; time alone changes it when Pods become available."""
        s = self._s
        status = status_of(s, pods, self._current.metadata.name, self._update.metadata.name, now)
        await self._write(replace(status, collisionCount=collisions))
        self._ctx.metrics(Figures).saw(s, status.availableReplicas)
        self._waits += [wait for pod in pods if (wait := until_available(pod, s.spec.minReadySeconds, now))]

    async def _write(self, status: StatefulSetStatus) -> None:
        s = self._s
        new = replace(s, status=replace(status, observedGeneration=s.metadata.generation))
        await self._ctx.api(StatefulSet).patch(s, new, subresource="status", lock=True)

    async def _clean_up(self, pods: Sequence[Pod], found: Found) -> None:
        live = {revision_of(pod) for pod in pods} | {r.metadata.name for r in (self._current, self._update)}
        await self._history.forget(beyond(found.known, live, self._s.spec.revisionHistoryLimit))

    async def _do(self, steps: Steps) -> ApiError | None:
        """Returns the refusal that stopped it."""
        for pod in steps.supply:
            failure = await self._supply(pod)
            if failure is not None:
                return failure
        failure = await slow_start([partial(self._check, pod) for pod in steps.check if self._is_amiss(pod)])
        failure = failure or await slow_start([partial(self._make, ordinal) for ordinal in steps.create[:BURST]])
        if failure is not None:
            return None if of_ending_namespace(failure) else failure
        failure = await slow_start([partial(self._own_claims, pod) for pod in steps.condemned])
        return failure or await together([partial(self._remove, pod) for pod in steps.delete[:BURST]])

    async def _make(self, ordinal: int) -> ApiError | None:
        s = self._s
        revision = self._current if keeps_current(s, ordinal) else self._update
        template = self._ctx.state(Templates).of(revision) or s.spec.template
        pod = new_pod(s, ordinal, revision.metadata.name, template)
        cache = self._ctx.cache(PersistentVolumeClaim)
        claims = [cache.get(key_of(claim)) for claim in claims_of(s, ordinal).values()]
        if any(claim is not None and is_stale(claim, pod) for claim in claims):
            return None  # it goes with the Pod that had it; its end brings the key again
        try:
            failure = await self._supply(pod)
            if failure is not None:
                raise failure
            made = await self._pods.create(pod)
        except AlreadyExists as error:
            # A late cache, or another's Pod: no news for users, as upstream, but tried again.
            return error if self._ctx.cache(Pod).get(key_of(pod)) else Conflict(error.message)
        except ApiError as error:
            return self._failed("create", pod, error)
        self._expectations.created(self._key, made, self._ctx.clock.now())
        self._event("create", made)
        failure = await self._own_claims(made)
        # Others write to new claims too; those are looked at once more when the Pod is ready.
        return None if isinstance(failure, Conflict) else failure

    async def _supply(self, pod: Pod) -> ApiError | None:
        """Makes the claims that are not there. Returns one refusal that tells of all."""
        refusals: list[ApiError] = []
        for claim in claims_of(self._s, ordinal_of(pod)).values():
            there = self._ctx.cache(PersistentVolumeClaim).get(key_of(claim))
            if there is None:
                refusals += await self._make_claim(claim, pod)
            elif there.metadata.deletionTimestamp is not None:
                refusals.append(ClaimGoing(f"pvc {claim.metadata.name} is being deleted"))
        if len(refusals) < 2:
            return refusals[0] if refusals else None
        text = f"[{', '.join(refusal.message for refusal in refusals)}]"
        worst = next((refusal for refusal in refusals if not isinstance(refusal, Conflict)), refusals[0])
        return type(worst)(text, details=worst.details)

    async def _make_claim(self, claim: PersistentVolumeClaim, pod: Pod) -> list[ApiError]:
        s, what = self._s, f"create Claim {claim.metadata.name}"
        try:
            self._fresh[key_of(claim)] = await self._claims.create(claim)
        except AlreadyExists:
            return []
        except ApiError as error:
            text = f"{what} for Pod {pod.metadata.name} in StatefulSet {s.metadata.name} failed error: {error.message}"
            self._ctx.events.event(s, "Warning", "FailedCreate", text)
            kind = Conflict if isinstance(error, Conflict) else ApiError
            return [kind(f"failed to create PVC {claim.metadata.name}: {error.message}", details=error.details)]
        text = f"{what} Pod {pod.metadata.name} in StatefulSet {s.metadata.name} success"
        self._ctx.events.event(s, "Normal", "SuccessfulCreate", text)
        return []

    def _is_amiss(self, pod: Pod) -> bool:
        """Whether _check() would do anything: of hundreds of Pods that are well none is to cost a task."""
        return mended(self._s, pod) is not pod or any(True for _ in self._owners_to_change(pod))

    async def _check(self, pod: Pod) -> ApiError | None:
        """Mends what is not as the ordinal asks for."""
        failure = await self._own_claims(pod)
        wanted = mended(self._s, pod)
        if failure is not None or wanted == pod:
            return failure
        try:
            if wanted.spec.volumes != pod.spec.volumes:
                failure = await self._supply(pod)
                if failure is not None:
                    raise failure
            await self._pods.patch(pod, wanted, lock=True)
        except ApiError as error:
            return self._failed("update", pod, error)
        self._event("update", pod)
        return None

    def _owners_to_change(self, pod: Pod) -> Iterator[tuple[PersistentVolumeClaim, tuple[OwnerReference, ...]]]:
        """The Pod's claims whose owners are not those that the retention policy asks for, and who should be."""
        if not self._s.spec.volumeClaimTemplates:
            return
        for claim in claims_of(self._s, ordinal_of(pod)).values():
            key = key_of(claim)
            there = self._ctx.cache(PersistentVolumeClaim).get(key) or self._fresh.get(key)
            if there is not None:
                wanted = owners_of_claim(there, self._s, pod)
                if wanted != there.metadata.ownerReferences:
                    yield there, wanted

    async def _own_claims(self, pod: Pod) -> ApiError | None:
        """Gives the Pod's claims the owners that the retention policy asks for."""
        for there, wanted in self._owners_to_change(pod):
            changed = replace(there, metadata=replace(there.metadata, ownerReferences=wanted))
            try:
                await self._claims.patch(there, changed, lock=True)
            except NotFound:
                continue
            except ApiError as error:
                return self._failed("update", pod, error)
        return None

    async def _remove(self, pod: Pod) -> ApiError | None:
        meta, failures, now = pod.metadata, self._ctx.state(Failures), self._ctx.clock.now()
        if is_finished(pod):
            failures.look(self._key, self._s.metadata.generation)
            left = failures.left(self._key, meta.name, now)
            if left > 0:
                self._waits.append(left)
                return None
            failures.removed(self._key, meta.name, now)
        try:
            await self._pods.delete(key_of(pod), uid=meta.uid, revision=meta.resourceVersion)
        except NotFound:
            return None
        except Conflict as error:
            return error  # it is not as it was seen any more
        except ApiError as error:
            return self._failed("delete", pod, error)
        self._expectations.deleted(self._key, pod, now)
        self._event("delete", pod)
        return None

    def _event(self, verb: str, pod: Pod) -> None:
        text = f"{verb} Pod {pod.metadata.name} in StatefulSet {self._s.metadata.name} successful"
        self._ctx.events.event(self._s, "Normal", f"Successful{verb.title()}", text)

    def _failed(self, verb: str, pod: Pod, error: ApiError) -> ApiError:
        if isinstance(error, ClaimGoing) or not isinstance(error, Conflict):
            text = (
                f"{verb} Pod {pod.metadata.name} in StatefulSet {self._s.metadata.name} failed error: {error.message}"
            )
            self._ctx.events.event(self._s, "Warning", f"Failed{verb.title()}", text)
        return error


CONTROLLER = Controller(
    name="statefulset-controller",
    watches=(
        Watch(kind=StatefulSet),
        owned_watch(Pod, StatefulSet),
        owned_watch(Revision, StatefulSet),
        Watch(kind=PersistentVolumeClaim, keys=_of_claim, changed=_claim_changed),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "statefulsets", "apps"),
        allow("update patch", "statefulsets/status", "apps"),
        allow("update", "statefulsets/finalizers", "apps"),
        allow("create delete get list patch update watch", "pods"),
        allow("update", "pods/finalizers"),
        allow("create delete get list patch update watch", "controllerrevisions", "apps"),
        allow("create get list patch update watch", "persistentvolumeclaims"),
        EVENTS,
    ),
)
