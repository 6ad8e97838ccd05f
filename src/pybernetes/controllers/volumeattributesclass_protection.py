"""VolumeAttributesClass protection: a class stays for as long as a claim or volume has it, or is to get it."""

from collections.abc import Iterable

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, storage_v1
from pybernetes.controllers._finalizers import protect
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow

FINALIZER = "kubernetes.io/vac-protection"
_USERS = "attributes classes"


def _of_claim(claim: core_v1.PersistentVolumeClaim) -> tuple[str, ...]:
    status = claim.status
    target = status.modifyVolumeStatus.targetVolumeAttributesClassName if status.modifyVolumeStatus else ""
    names = {claim.spec.volumeAttributesClassName, status.currentVolumeAttributesClassName, target}
    return tuple(sorted(name for name in names if name))


def _of_volume(volume: core_v1.PersistentVolume) -> tuple[str, ...]:
    name = volume.spec.volumeAttributesClassName
    return (name,) if name else ()


def _keys_of_claim(claim: core_v1.PersistentVolumeClaim, ctx: Context) -> Iterable[Key]:
    return [Key("", name) for name in _of_claim(claim)]


def _keys_of_volume(volume: core_v1.PersistentVolume, ctx: Context) -> Iterable[Key]:
    return [Key("", name) for name in _of_volume(volume)]


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One class."""
    known = ctx.cache(storage_v1.VolumeAttributesClass).get(key)
    if known is None:
        return Done()
    claims = ctx.cache(core_v1.PersistentVolumeClaim).by(_USERS, key.name)
    volumes = ctx.cache(core_v1.PersistentVolume).by(_USERS, key.name)
    await protect(known, FINALIZER, bool(claims or volumes), ctx)
    return Done()


CONTROLLER = Controller(
    name="volumeattributesclass-protection-controller",
    queue="vacprotection",
    watches=(
        Watch(kind=storage_v1.VolumeAttributesClass),
        Watch(kind=core_v1.PersistentVolumeClaim, keys=_keys_of_claim, indexes={_USERS: _of_claim}),
        Watch(kind=core_v1.PersistentVolume, keys=_keys_of_volume, indexes={_USERS: _of_volume}),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update patch", "volumeattributesclasses", "storage.k8s.io"),
        allow("get list watch", "persistentvolumeclaims persistentvolumes"),
        EVENTS,
    ),
)
