"""Deployment controller: rolls from one ReplicaSet to the next. _rollout.py computes sizes, _deployment_status.py the status.

One step a reconcile: scale up, or scale down, or clean up; the ReplicaSets' changes bring the next. Every write of a
ReplicaSet demands the revision it was computed from, so that a late cache cannot undo a step; and while the cache does not
show what was written last, no step is taken: the others' sizes would be added up wrong.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, core_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers import _deployment_status as statuses
from pybernetes.controllers._batches import of_ending_namespace
from pybernetes.controllers._claim import (
    INDEX,
    Claim,
    by_controller,
    names_kind,
    owned_watch,
    reference_to,
    selector_of,
)
from pybernetes.controllers._expectations import PATIENCE, Expectations, LastWrites
from pybernetes.controllers._rollout import (
    HASH_LABEL,
    REVISION,
    is_complete,
    is_recreate,
    is_scaling,
    last_revision,
    new_annotations,
    new_size,
    old_sizes,
    oldest_first,
    proportional_sizes,
    replicas_of,
    revision,
    rollback_to,
    rolled_back,
    set_name,
    sized,
    split,
    template_hash,
    without_hash,
)
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.ownership import controller_of
from pybernetes.rules.readiness import is_finished

Deployment = apps_v1.Deployment
ReplicaSet = apps_v1.ReplicaSet


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    """Recreate waits for old Pods to be gone: only their end matters."""
    ref = controller_of(pod.metadata)
    if ref is None or not names_kind(ref, ReplicaSet):
        return ()
    rs = ctx.cache(ReplicaSet).get(Key(pod.metadata.namespace, ref.name))
    owner = controller_of(rs.metadata) if rs else None
    d = ctx.cache(Deployment).get(Key(pod.metadata.namespace, owner.name)) if owner else None
    return (key_of(d),) if d is not None and is_recreate(d) else ()


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Deployment."""
    d = ctx.cache(Deployment).get(key)
    if d is None:
        ctx.state(Expectations).forget(key)
        return Done()
    return await Rollout(ctx, d).run()


class Rollout:
    """One look at one Deployment."""

    def __init__(self, ctx: Context, d: Deployment) -> None:
        self._ctx, self._d = ctx, d
        self._stored: Deployment | None = None
        """The Deployment as it is stored, where `_d` has a status and a revision that are still to be written."""
        self._sets = ctx.api(ReplicaSet)
        self._deployments = ctx.api(Deployment)
        self._writes = ctx.state(LastWrites)

    async def run(self) -> Outcome:
        """Does the next step."""
        d, now = self._d, self._ctx.clock.now()
        selector = selector_of(d)
        if selector.empty:
            self._event(
                "Warning", "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required."
            )
            await self._write(replace(d.status, observedGeneration=d.metadata.generation))
            return Done()
        found = await Claim(self._ctx, d, selector, ReplicaSet).run()
        if self._is_late(found):
            return Again(PATIENCE)  # sizes add up only where all are known; the cache's event will come
        if d.metadata.deletionTimestamp is not None:
            new, _ = split(d, found)
            await self._write(statuses.counted(d, new, found, now))
            return Done()
        await self._write(statuses.paused(d, now))
        revision = None if self._d.spec.paused else rollback_to(self._d)
        if revision is not None:
            return await self._roll_back(found, revision)
        if self._d.spec.paused or is_scaling(self._d, found):
            return await self._scale(found)
        return await (self._recreate(found) if is_recreate(self._d) else self._roll(found))

    def _is_late(self, found: Sequence[ReplicaSet]) -> bool:
        """Whether the cache does not show yet what was made or resized last."""
        ctx, now, late = self._ctx, self._ctx.clock.now(), False
        for rs in found:
            if self._writes.behind(rs, now):
                late = True
            else:
                self._writes.forget(key_of(rs))
        return late or not ctx.state(Expectations).met(key_of(self._d), ctx.informer(ReplicaSet), now)

    async def _change(self, rs: ReplicaSet, wanted: ReplicaSet) -> ReplicaSet:
        new = await self._sets.patch(rs, wanted, lock=True)
        self._writes.wrote(new, self._ctx.clock.now())
        return new

    async def _scale(self, found: Sequence[ReplicaSet]) -> Outcome:
        """Paused, or spec.replicas changed: shares, no roll."""
        new, old = await self._sync_new(found, create=False)
        sizes = proportional_sizes(self._d, new, old)
        everything = [*old, *([new] if new else [])]
        for rs in everything:
            if replicas_of(rs) > 0 or rs.metadata.name in sizes:
                await self._resize(rs, sizes.get(rs.metadata.name, replicas_of(rs)), mark=True)
        if self._d.spec.paused and rollback_to(self._d) is None:
            await self._clean_up(old)
        await self._write(statuses.counted(self._d, new, everything, self._ctx.clock.now()))
        return Done()

    async def _roll_back(self, found: Sequence[ReplicaSet], wanted: int) -> Outcome:
        """To that revision, or the last one for 0; then nobody asks for it any more, whatever came of it."""
        waits = is_recreate(self._d)  # what is made for a template in between would run beside the old Pods
        new, old = await self._sync_new(found, create=not waits)
        if new is None and not waits:
            return Done()
        await self._write(self._d.status)
        d, sets = self._d, [*old, *([new] if new else [])]
        wanted = wanted or (last_revision(sets) if new else max((revision(rs) for rs in old), default=0))
        target = next((rs for rs in sets if wanted and revision(rs) == wanted), None)
        changed = rolled_back(d, target)
        same = changed.spec == d.spec
        self._d = await self._deployments.patch(d, rolled_back(d, None) if same else changed, lock=True)
        if target is None:
            text = "Unable to find the revision to rollback to." if wanted else "Unable to find last revision."
            self._event("Warning", "DeploymentRollbackRevisionNotFound", text)
        elif same:
            text = f'The rollback revision contains the same template as current deployment "{d.metadata.name}"'
            self._event("Warning", "DeploymentRollbackTemplateUnchanged", text)
        else:
            text = f'Rolled back deployment "{d.metadata.name}" to revision {wanted}'
            self._event("Normal", "DeploymentRollback", text)
        return Done()

    async def _roll(self, found: Sequence[ReplicaSet]) -> Outcome:
        new, old = await self._sync_new(found, create=True)
        if new is None:
            return Done()
        everything = [*old, new]
        now = replicas_of(new)
        wanted = replicas_of(self._d)
        if now != wanted:
            size = wanted if now > wanted else new_size(self._d, everything, now)
            if await self._resize(new, size):
                return await self._finish(new, everything)
        sizes = old_sizes(self._d, new, old)
        for rs in old:
            if rs.metadata.name in sizes:
                await self._resize(rs, sizes[rs.metadata.name])
        if not sizes and is_complete(self._d, self._d.status):
            await self._clean_up(old)
        return await self._finish(new, everything)

    async def _recreate(self, found: Sequence[ReplicaSet]) -> Outcome:
        new, old = await self._sync_new(found, create=False)
        everything = [*old, *([new] if new else [])]
        shrunk = [await self._resize(rs, 0) for rs in old if replicas_of(rs) > 0]
        if any(shrunk) or self._still_running(old):
            return await self._finish(new, everything)
        if new is None:
            new, old = await self._sync_new(found, create=True)
            if new is None:
                return Done()
        await self._resize(new, replicas_of(self._d))
        if is_complete(self._d, self._d.status):
            await self._clean_up(old)
        return await self._finish(new, [*old, new])

    def _still_running(self, old: Sequence[ReplicaSet]) -> bool:
        """Whether a Pod of an old ReplicaSet has not ended, terminating ones included, or is counted still."""
        pods = self._ctx.cache(core_v1.Pod)
        if any(rs.status.replicas > 0 for rs in old):
            return True
        return any(not is_finished(pod) for rs in old for pod in pods.by(INDEX, rs.metadata.uid))

    async def _finish(self, new: ReplicaSet | None, everything: Sequence[ReplicaSet]) -> Outcome:
        now = self._ctx.clock.now()
        status = statuses.progressed(self._d, new, everything, now)
        await self._write(status)
        left = statuses.deadline_in(self._d, status, now)
        return Done() if left is None else Again(left + 1)

    async def _sync_new(
        self, found: Sequence[ReplicaSet], *, create: bool
    ) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
        """The new ReplicaSet, made if wanted, and the old ones; revisions brought up to date."""
        new, old = split(self._d, found)
        newest = max((revision(rs) for rs in old), default=0) + 1
        if new is not None:
            new = await self._refresh(new, newest)
        elif create:
            new = await self._create(old, newest)
        return new, old

    async def _refresh(self, new: ReplicaSet, newest: int) -> ReplicaSet:
        d = self._d
        annotations = new_annotations(d, new.metadata.annotations, newest, exists=True)
        wanted = replace(
            new,
            metadata=replace(new.metadata, annotations=annotations),
            spec=replace(new.spec, minReadySeconds=d.spec.minReadySeconds),
        )
        if wanted != new:
            new = await self._change(new, wanted)
        self._note_revision(new)
        if statuses.has_deadline(d) and statuses.find(d.status, statuses.PROGRESSING) is None:
            self._note(
                status="True", reason="FoundNewReplicaSet", message=f'Found new replica set "{new.metadata.name}"'
            )
        return new

    async def _create(self, old: Sequence[ReplicaSet], newest: int) -> ReplicaSet | None:
        d = self._d
        wanted = self._replica_set(old, newest)
        try:
            made = await self._sets.create(wanted)
            self._ctx.state(Expectations).created(key_of(d), made, self._ctx.clock.now())
        except AlreadyExists:
            return await self._collided(wanted)
        except ApiError as error:
            if of_ending_namespace(error):
                return None
            message = f'Failed to create new replica set "{wanted.metadata.name}": {error.message}'
            if statuses.has_deadline(d):
                self._note(status="False", reason="ReplicaSetCreateError", message=message)
                await self._write(self._d.status)
            self._event("Warning", "ReplicaSetCreateError", message)
            raise
        if replicas_of(made) > 0:
            self._event(
                "Normal",
                "ScalingReplicaSet",
                f"Scaled up replica set {made.metadata.name} from 0 to {replicas_of(made)}",
            )
        self._note_revision(made)
        if statuses.has_deadline(d):
            self._note(
                status="True", reason="NewReplicaSetCreated", message=f'Created new replica set "{made.metadata.name}"'
            )
        return made

    def _replica_set(self, old: Sequence[ReplicaSet], newest: int) -> ReplicaSet:
        d = self._d
        tag = template_hash(d.spec.template, d.status.collisionCount)
        template = replace(
            d.spec.template,
            metadata=replace(d.spec.template.metadata, labels={**d.spec.template.metadata.labels, HASH_LABEL: tag}),
        )
        selector = d.spec.selector or meta_v1.LabelSelector()
        made = ReplicaSet(
            metadata=meta_v1.ObjectMeta(
                name=set_name(d.metadata.name, tag),
                namespace=d.metadata.namespace,
                labels=template.metadata.labels,
                annotations=new_annotations(d, {}, newest, exists=False),
                ownerReferences=(reference_to(Deployment, d.metadata),),
            ),
            spec=apps_v1.ReplicaSetSpec(
                replicas=0,
                minReadySeconds=d.spec.minReadySeconds,
                selector=replace(selector, matchLabels={**selector.matchLabels, HASH_LABEL: tag}),
                template=template,
            ),
        )
        return sized(d, made, new_size(d, old, 0))

    async def _collided(self, wanted: ReplicaSet) -> ReplicaSet | None:
        """The name is taken: by ourselves (the cache is late), or by another template with the same hash."""
        d = self._d
        there = await self._sets.get(key_of(wanted))
        owner = controller_of(there.metadata)
        ours = owner is not None and owner.uid == d.metadata.uid and there.metadata.deletionTimestamp is None
        if ours and without_hash(there.spec.template) == without_hash(wanted.spec.template):
            return there
        # At the revision seen: a late cache must not count one collision twice.
        seen = self._stored or d
        counted = replace(seen.status, collisionCount=(seen.status.collisionCount or 0) + 1)
        await self._deployments.patch(seen, replace(seen, status=counted), subresource="status", lock=True)
        raise Conflict(f"replica set {wanted.metadata.name} is another's; a new name is tried")

    def _note_revision(self, new: ReplicaSet) -> None:
        """The Deployment carries the revision of its new ReplicaSet. It goes with the next write of the status, which
        raises no generation: annotations do, when they are written otherwise.
        """
        text, meta = new.metadata.annotations.get(REVISION, ""), self._d.metadata
        if meta.annotations.get(REVISION) != text:
            self._know(replace(self._d, metadata=replace(meta, annotations={**meta.annotations, REVISION: text})))

    def _note(self, *, status: str, reason: str, message: str) -> None:
        """It goes with the next write of the status."""
        made = statuses.Condition(type=statuses.PROGRESSING, status=status, reason=reason, message=message)
        self._know(replace(self._d, status=statuses.with_condition(self._d.status, made, self._ctx.clock.now())))

    def _know(self, d: Deployment) -> None:
        self._stored = self._stored or self._d
        self._d = d

    async def _resize(self, rs: ReplicaSet, size: int, *, mark: bool = False) -> bool:
        """Whether the size changed; `mark`: the annotations follow in any case."""
        wanted, before = sized(self._d, rs, size), replicas_of(rs)
        if wanted == rs or (size == before and not mark):
            return False
        await self._change(rs, wanted)
        if size == before:
            return False
        way = "up" if size > before else "down"
        name = rs.metadata.name
        self._event("Normal", "ScalingReplicaSet", f"Scaled {way} replica set {name} from {before} to {size}")
        return True

    async def _clean_up(self, old: Sequence[ReplicaSet]) -> None:
        """Deletes the oldest empty ReplicaSets beyond revisionHistoryLimit."""
        limit = self._d.spec.revisionHistoryLimit
        if limit is None:
            return
        alive = [rs for rs in old if rs.metadata.deletionTimestamp is None]
        ordered = sorted(oldest_first(alive), key=revision)
        for rs in ordered[: max(0, len(ordered) - limit)]:
            idle = rs.status.replicas == 0 and replicas_of(rs) == 0
            if idle and rs.status.observedGeneration >= rs.metadata.generation:
                try:
                    await self._sets.delete(key_of(rs), uid=rs.metadata.uid, propagation="Background")
                except NotFound:
                    continue

    async def _write(self, status: apps_v1.DeploymentStatus) -> None:
        """Writes the status, computed from the Deployment as we know it, and the revision."""
        stored, self._stored = self._stored or self._d, None
        wanted = replace(stored, metadata=self._d.metadata, status=status)
        if wanted != stored:
            self._d = await self._deployments.patch(stored, wanted, subresource="status", lock=True)

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._ctx.events.event(self._d, "Warning" if kind == "Warning" else "Normal", reason, message)


CONTROLLER = Controller(
    name="deployment-controller",
    watches=(
        Watch(kind=Deployment),
        owned_watch(ReplicaSet, Deployment),
        Watch(kind=core_v1.Pod, keys=_of_pod, indexes={INDEX: by_controller}),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update patch", "deployments", "apps"),
        allow("update patch", "deployments/status", "apps"),
        allow("update", "deployments/finalizers", "apps"),
        allow("create delete get list patch update watch", "replicasets", "apps"),
        allow("get list watch", "pods"),
        EVENTS,
    ),
)
