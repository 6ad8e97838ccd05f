"""Recycling of released volumes for persistentvolume_binder.py: a Pod empties one (_recyclers.py), then it is free again."""

from contextlib import suppress
from dataclasses import dataclass, field

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._recyclers import CLAIM, PREFIX, key_of_recycler, recycler
from pybernetes.controllers.runtime import Context
from pybernetes.rules import volumebinding as rule
from pybernetes.rules.readiness import is_finished

RETRY = 15.0
"""Seconds until a volume that Pods still use is looked at again."""
PAUSE = 60.0
"""Seconds between a recycler that failed and the next one."""


@dataclass(slots=True)
class Pauses:
    """Volumes whose recycler failed: until when there is no other one."""

    until: dict[Key, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Emptied:
    """Nothing is in it any more."""


@dataclass(frozen=True, slots=True)
class NotEmptied:
    """It failed; the text is upstream's."""

    why: str


@dataclass(frozen=True, slots=True)
class Patience:
    """It is being done, or will be: after so many seconds, or with the next change of its Pod (0)."""

    seconds: float = 0.0


def volume_of(pod: core_v1.Pod) -> str | None:
    """The volume that a recycler empties."""
    name = pod.metadata.name
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


async def recycle(volume: core_v1.PersistentVolume, ctx: Context) -> Emptied | NotEmptied | Patience:
    """The next step. Raises ApiError, OSError."""
    key = key_of(volume)
    left = ctx.state(Pauses).until.get(key, 0.0) - ctx.clock.monotonic()
    if left > 0:
        return Patience(left)
    if not await _is_released(volume, ctx):
        return Patience()
    wanted = recycler(volume, ctx.config.recyclers)
    pod = ctx.cache(core_v1.Pod).get(key_of(wanted))
    if pod is None:
        users = _users(volume, ctx)
        if users:
            text = f"Volume is used by pods: {','.join(users)}"
            ctx.events.event(volume, "Normal", "VolumeFailedRecycle", text)
            return Patience(RETRY)
        with suppress(AlreadyExists):
            await ctx.api(core_v1.Pod).create(wanted)
        return Patience()
    if pod.metadata.annotations.get(CLAIM) != wanted.metadata.annotations[CLAIM]:
        await forget(key, ctx)
        return Patience()
    if not is_finished(pod):
        return Patience()
    if pod.status.phase == "Succeeded":
        return Emptied()  # it goes afterwards: whoever ends in between finds it again
    await forget(key, ctx)
    ctx.state(Pauses).until[key] = ctx.clock.monotonic() + PAUSE
    return NotEmptied(f"Recycle failed: {pod.status.message or 'pod failed, pod.Status.Message unknown'}")


async def forget(key: Key, ctx: Context) -> None:
    """Removes a volume's recycler."""
    ctx.state(Pauses).until.pop(key, None)
    for where in key_of_recycler(key.name, ctx.config.recyclers):
        pod = ctx.cache(core_v1.Pod).get(where)
        if pod is not None:
            try:
                await ctx.api(core_v1.Pod).delete(where, grace=0, uid=pod.metadata.uid)
            except NotFound:
                continue


async def _is_released(volume: core_v1.PersistentVolume, ctx: Context) -> bool:
    """By live reads: what is emptied nothing brings back."""
    try:
        live = await ctx.api(core_v1.PersistentVolume).get(key_of(volume))
    except NotFound:
        return False
    ref = live.spec.claimRef
    if live.spec != volume.spec or ref is None or not ref.uid:
        return False
    try:
        claim = await ctx.api(core_v1.PersistentVolumeClaim).get(Key(ref.namespace, ref.name))
    except NotFound:
        return True
    return claim.metadata.uid != ref.uid or claim.spec.volumeName not in ("", volume.metadata.name)


def _users(volume: core_v1.PersistentVolume, ctx: Context) -> list[str]:
    """Pods that have not ended and use the claim that is gone; with a new claim of that name they use that."""
    ref = volume.spec.claimRef
    if ref is None or ctx.cache(core_v1.PersistentVolumeClaim).get(Key(ref.namespace, ref.name)) is not None:
        return []
    pods = [pod for pod in ctx.cache(core_v1.Pod).of(ref.namespace) if not is_finished(pod)]
    found = [str(key_of(pod)) for pod in pods if any(name == ref.name for name, _ in rule.claims_of_pod(pod))]
    return sorted(found)
