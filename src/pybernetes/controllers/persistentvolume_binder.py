"""PersistentVolume binder: gives claims their volumes and volumes their phases. _volume_steps.py decides.

A binding is written in two steps, the volume's claimRef with the claim's uid and then the claim's volumeName, each at the revision
seen: of two claims that want one volume, the second meets a Conflict and looks again. Whatever ends in between is found
half done and finished. A volume is released only after a live read says that its claim is gone.
"""

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec.structs import replace

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.client.rest import key_of
from pybernetes.controllers._csi_migration import driver_of, of_claim
from pybernetes.controllers._recycling import PAUSE, Emptied, NotEmptied, Patience, forget, recycle, volume_of
from pybernetes.controllers._volume_metrics import BinderMetrics, plugin_name
from pybernetes.controllers._volume_steps import (
    Around,
    Bind,
    Ignore,
    Lose,
    Misfit,
    Phase,
    Provision,
    Recycle,
    TakeClass,
    Told,
    Unbind,
    Wait,
    cannot_delete,
    next_for_claim,
    next_for_volume,
    noted_volume,
    status_when_bound,
    status_when_unbound,
)
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules import volumebinding as rule
from pybernetes.rules.readiness import is_finished

REMIND = 1800.0
"""Seconds until a claim that still waits says why once more: Events live for an hour."""

Claim: TypeAlias = core_v1.PersistentVolumeClaim
Volume: TypeAlias = core_v1.PersistentVolume


def _of_claim(claim: Claim, ctx: Context) -> Iterable[Key]:
    key = key_of(claim)
    yield key
    if claim.spec.volumeName:
        yield Key("", claim.spec.volumeName)
    for volume in ctx.cache(Volume).by(rule.BINDING, f"claim/{key.namespace}/{key.name}"):
        yield key_of(volume)


def _of_volume(volume: Volume, ctx: Context) -> Iterable[Key]:
    yield key_of(volume)
    claims, ref = ctx.cache(Claim), volume.spec.claimRef
    if ref is not None:
        yield Key(ref.namespace, ref.name)
    else:
        yield from map(key_of, claims.by(rule.BINDING, f"class/{rule.class_of_volume(volume)}"))
    yield from map(key_of, claims.by(rule.BINDING, f"volume/{volume.metadata.name}"))


def _of_class(found: StorageClass, ctx: Context) -> Iterable[Key]:
    claims = ctx.cache(Claim)
    yield from map(key_of, claims.by(rule.BINDING, f"class/{found.metadata.name}"))
    if rule.default_class((found,)) is not None:
        yield from map(key_of, claims.by(rule.BINDING, "classless"))


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    """Claims that still wait: they tell of the Pods that use them. And the volume that a recycler empties."""
    recycled = volume_of(pod)
    if recycled is not None:
        yield Key("", recycled)
    namespace = pod.metadata.namespace
    for name, _ in rule.claims_of_pod(pod):
        claim = ctx.cache(Claim).get(Key(namespace, name))
        if claim is not None and not claim.spec.volumeName:
            yield Key(namespace, name)


def _facts(pod: core_v1.Pod) -> tuple[str, str]:
    """What matters of a Pod: its Node and, of a recycler, how far it is."""
    return pod.spec.nodeName, pod.status.phase if volume_of(pod) is not None else ""


@dataclass(slots=True)
class _LastTold:
    """What was told of waiting claims, and of volumes that do not fit theirs, last: nothing is told twice for nothing new."""

    by_key: dict[Key, tuple[str, Told, float]] = field(default_factory=dict)

    def news(self, key: Key, uid: str, told: Told, now: float) -> bool:
        """Whether it is not what was told last, or is about to be forgotten; remembers it."""
        before, what, at = self.by_key.get(key, ("", None, 0.0))
        if (before, what) == (uid, told) and now - at < REMIND:
            return False
        self.by_key[key] = (uid, told, now)
        return True

    def forget(self, key: Key) -> None:
        """There is nothing to tell any more."""
        self.by_key.pop(key, None)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One claim or, without namespace, one volume."""
    figures = ctx.metrics(BinderMetrics)
    figures.follow(ctx.cache(Volume), ctx.cache(Claim))
    if key.namespace:
        claim = ctx.cache(Claim).get(key)
        if claim is not None:
            return await _ClaimLook(ctx, claim).run()
        ctx.state(_LastTold).forget(key)
        figures.forget(key)
        return Done()
    volume = ctx.cache(Volume).get(key)
    if volume is not None:
        return await _VolumeLook(ctx, volume).run()
    ctx.state(_LastTold).forget(key)
    figures.done(key, ctx.clock.monotonic())
    await forget(key, ctx)
    return Done()


class _ClaimLook:
    """One look at one claim."""

    def __init__(self, ctx: Context, claim: Claim) -> None:
        self._ctx, self._claim, self._key = ctx, claim, key_of(claim)
        self._figures = ctx.metrics(BinderMetrics)

    async def run(self) -> Outcome:
        await self._note_driver()
        claim = self._claim
        step = next_for_claim(claim, self._around())
        match step:
            case Bind(volume=volume):
                self._ctx.state(_LastTold).forget(self._key)
                await self._counted(self._bind(volume))
                self._figures.done(self._key, self._ctx.clock.monotonic())
            case Lose(told=told):
                await self._lose(told)
            case TakeClass(name=name):
                await self._take_class(name)
            case Provision(provisioner=provisioner, told=told):
                self._figures.begin(self._key, provisioner, "provision", self._ctx.clock.monotonic())
                await self._counted(self._ask(provisioner))
                self._tell(told)
                await self._pending()
                return Again(REMIND)
            case Wait(told=told, pending=pending):
                if told is not None:
                    self._tell(told)
                if pending:
                    await self._pending()
                if told is not None:
                    return Again(REMIND)
        return Done()

    async def _counted(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (ApiError, OSError):
            self._figures.failed(self._key)
            raise

    async def _note_driver(self) -> None:
        """A claim that asked a provisioner of old says which driver does its work."""
        meta = self._claim.metadata
        annotations = of_claim(meta.annotations)
        if annotations is not meta.annotations:
            noted = replace(self._claim, metadata=replace(meta, annotations=annotations))
            self._claim = await self._ctx.api(Claim).patch(self._claim, noted, lock=True)

    async def _ask(self, provisioner: str) -> None:
        meta = self._claim.metadata
        annotations = of_claim({**meta.annotations, **dict.fromkeys(rule.PROVISIONERS, provisioner)})
        noted = replace(self._claim, metadata=replace(meta, annotations=annotations))
        self._claim = await self._ctx.api(Claim).patch(self._claim, noted, lock=True)

    async def _take_class(self, name: str) -> None:
        claim = self._claim
        given = replace(claim, spec=replace(claim.spec, storageClassName=name))
        self._figures.given_classes.add()
        try:
            await self._ctx.api(Claim).patch(claim, given, lock=True)
        except (ApiError, OSError):
            self._figures.failed_classes.add()
            raise

    def _around(self) -> Around:
        ctx, claim = self._ctx, self._claim
        volumes, classes, name = ctx.cache(Volume), ctx.cache(StorageClass), rule.class_of_claim(claim)
        named = volumes.get(Key("", claim.spec.volumeName)) if claim.spec.volumeName else None
        if claim.spec.volumeName:
            return Around(named, (), None, None, tuple)
        free = volumes.by(rule.BINDING, f"class/{name}")
        reserved = volumes.by(rule.BINDING, f"claim/{self._key.namespace}/{self._key.name}")
        found = classes.get(Key("", name)) if name else None
        return Around(None, (*reserved, *free), found, rule.default_class(classes), self._waiting_pods)

    def _waiting_pods(self) -> list[str]:
        pods, own = self._ctx.cache(core_v1.Pod).of(self._key.namespace), self._key.name
        waiting = [pod for pod in pods if not pod.spec.nodeName and not is_finished(pod)]
        return [p.metadata.name for p in waiting if any(name == own for name, _ in rule.claims_of_pod(p))]

    def _tell(self, told: Told) -> None:
        if self._ctx.state(_LastTold).news(self._key, self._claim.metadata.uid, told, self._ctx.clock.monotonic()):
            self._ctx.events.event(self._claim, told.kind, told.reason, told.message)

    async def _pending(self) -> None:
        await self._write_status(status_when_unbound(self._claim, "Pending"))

    async def _write_status(self, status: core_v1.PersistentVolumeClaimStatus) -> None:
        new = replace(self._claim, status=status)
        self._claim = await self._ctx.api(Claim).patch(self._claim, new, subresource="status", lock=True)

    async def _bind(self, volume: Volume) -> None:
        """All that is missing, the volume's side first."""
        ctx, claim = self._ctx, self._claim
        volume = await ctx.api(Volume).patch(volume, rule.bound_to(volume, claim), lock=True)
        await _set_phase(ctx, volume, "Bound", "")
        notes = {rule.BIND_COMPLETED: "yes"}
        if claim.spec.volumeName != volume.metadata.name:
            notes[rule.BOUND_BY_CONTROLLER] = "yes"
        missing = {name: value for name, value in notes.items() if name not in claim.metadata.annotations}
        meta = replace(claim.metadata, annotations={**claim.metadata.annotations, **missing})
        bound = replace(claim, metadata=meta, spec=replace(claim.spec, volumeName=volume.metadata.name))
        self._claim = await ctx.api(Claim).patch(claim, bound, lock=True)
        await self._write_status(status_when_bound(self._claim, volume))

    async def _lose(self, told: Told) -> None:
        """Only after a live read: the cache of volumes may be behind that of claims."""
        claim = self._claim
        if claim.status.phase == "Lost":
            return
        if claim.spec.volumeName:
            try:
                volume = await self._ctx.api(Volume).get(claim.spec.volumeName)
            except NotFound:
                pass
            else:
                ref = volume.spec.claimRef
                if ref is None or ref.uid == claim.metadata.uid:
                    return  # its event is on the way
        await self._write_status(status_when_unbound(claim, "Lost"))
        self._ctx.events.event(claim, told.kind, told.reason, told.message)


class _VolumeLook:
    """One look at one volume."""

    def __init__(self, ctx: Context, volume: Volume) -> None:
        self._ctx, self._volume = ctx, volume

    async def run(self) -> Outcome:
        ctx, volume = self._ctx, self._volume
        noted = noted_volume(volume)
        if noted is not volume:
            volume = await ctx.api(Volume).patch(volume, noted, lock=True)
        claim = await self._its_claim()
        step = next_for_volume(volume, claim)
        if not isinstance(step, Misfit):
            ctx.state(_LastTold).forget(key_of(volume))
        if not isinstance(step, Recycle):
            await forget(key_of(volume), ctx)
        match step:
            case Ignore():
                pass
            case Unbind():
                await self._unbind(volume)
            case Misfit() if claim is not None:
                self._tell_both(step, claim)
            case Phase():
                await self._enter(volume, step)
            case Recycle():
                return await self._recycle(volume)
        return Done()

    async def _recycle(self, volume: Volume) -> Outcome:
        match await recycle(volume, self._ctx):
            case Emptied():
                self._ctx.events.event(volume, "Normal", "VolumeRecycled", "Volume recycled")
                await self._unbind(volume)
            case NotEmptied(why=why):
                await self._enter(volume, Phase("Failed", Told("Warning", "VolumeFailedRecycle", why)))
                return Again(PAUSE)
            case Patience(seconds=seconds) if seconds:
                return Again(seconds)
        return Done()

    def _tell_both(self, step: Misfit, claim: Claim) -> None:
        volume, events = self._volume, self._ctx.events
        if self._ctx.state(_LastTold).news(key_of(volume), claim.metadata.uid, step.claim, self._ctx.clock.monotonic()):
            events.event(volume, step.volume.kind, step.volume.reason, step.volume.message)
            events.event(claim, step.claim.kind, step.claim.reason, step.claim.message)

    async def _enter(self, volume: Volume, phase: Phase) -> None:
        ctx, before = self._ctx, volume.status.phase
        figures, key = ctx.metrics(BinderMetrics), key_of(volume)
        if phase.name in ("Released", "Failed") and volume.spec.persistentVolumeReclaimPolicy == "Delete":
            figures.begin(key, self._deleter(volume), "delete", ctx.clock.monotonic())
        else:
            figures.forget(key)
        volume = await _set_phase(ctx, volume, phase.name, phase.told.message if phase.told is not None else "")
        if phase.told is not None and before != phase.name:
            figures.failed(key)
            ctx.events.event(volume, phase.told.kind, phase.told.reason, phase.told.message)

    def _deleter(self, volume: Volume) -> str:
        """By the class: what a volume says of its provisioner may be anything. Empty where nobody can."""
        if cannot_delete(volume):
            return plugin_name(volume) if volume.spec.hostPath is not None else ""
        found = self._ctx.cache(StorageClass).get(Key("", rule.class_of_volume(volume)))
        return driver_of(found.provisioner) if found is not None else ""

    async def _its_claim(self) -> Claim | None:
        """By the cache, and before a volume is released by a live read: the cache may not show the claim yet."""
        ref = self._volume.spec.claimRef
        if ref is None or not ref.uid:
            return None
        key = Key(ref.namespace, ref.name)
        claim = self._ctx.cache(Claim).get(key)
        if claim is not None and claim.metadata.uid == ref.uid:
            return claim
        if self._volume.status.phase in ("Released", "Failed"):
            return None
        try:
            claim = await self._ctx.api(Claim).get(key)
        except NotFound:
            return None
        return claim if claim.metadata.uid == ref.uid else None

    async def _unbind(self, volume: Volume) -> None:
        """What the controller bound is free again; what a user reserved stays reserved."""
        annotations, ref = dict(volume.metadata.annotations), volume.spec.claimRef
        assert ref is not None
        ours = annotations.pop(rule.BOUND_BY_CONTROLLER, None) is not None
        meta = replace(volume.metadata, annotations=annotations)
        spec = replace(volume.spec, claimRef=None if ours else replace(ref, uid=""))
        new = await self._ctx.api(Volume).patch(volume, replace(volume, metadata=meta, spec=spec), lock=True)
        await _set_phase(self._ctx, new, "Available", "")


async def _set_phase(ctx: Context, volume: Volume, phase: str, message: str) -> Volume:
    if volume.status.phase == phase:
        return volume
    new = replace(volume, status=replace(volume.status, phase=phase, message=message))
    return await ctx.api(Volume).patch(volume, new, subresource="status", lock=True)


CONTROLLER = Controller(
    name="persistentvolume-binder-controller",
    component="persistentvolume-controller",
    queue="claims",
    account="persistent-volume-binder",
    watches=(
        Watch(kind=Claim, keys=_of_claim, indexes={rule.BINDING: rule.claim_index}),
        Watch(kind=Volume, keys=_of_volume, indexes={rule.BINDING: rule.volume_index}),
        Watch(kind=StorageClass, keys=_of_class),
        Watch(kind=core_v1.Pod, keys=_of_pod, changed=lambda old, new: _facts(old) != _facts(new)),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update patch", "persistentvolumes persistentvolumeclaims"),
        allow("update patch", "persistentvolumes/status persistentvolumeclaims/status"),
        allow("get list watch create delete", "pods"),
        allow("list watch", "storageclasses", "storage.k8s.io"),
        EVENTS,
    ),
)
