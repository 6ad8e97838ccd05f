"""PV expander: tells who waits for a larger claim that an external resizer is to make it so.

Nothing in the tree can expand a volume any more: drivers do (CSI), by their resizer. Directories of local-path have no size.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.quantity import Quantity, parse
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._csi_migration import driver_of, migrated_plugin
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules import volumebinding as rule

WAITING = "waiting for an external controller to expand this PVC"
RESIZER = "volume.kubernetes.io/storage-resizer"
"""Annotation of a claim: the driver that is to make its volume larger, where the volume is described as one of old."""


@dataclass(slots=True)
class _Told:
    """By claim: its uid and the size that was told of."""

    by_claim: dict[Key, tuple[str, Quantity]] = field(default_factory=dict)


def _grows(claim: core_v1.PersistentVolumeClaim) -> bool:
    held = claim.status.capacity.get("storage")
    if claim.status.phase != "Bound" or not claim.spec.volumeName or held is None:
        return False
    return rule.size_of_claim(claim) > parse(held)


def _of_claim(claim: core_v1.PersistentVolumeClaim, ctx: Context) -> Iterable[Key]:
    return (key_of(claim),) if _grows(claim) or key_of(claim) in ctx.state(_Told).by_claim else ()


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One claim that was, or is, to grow."""
    told = ctx.state(_Told).by_claim
    claim = ctx.cache(core_v1.PersistentVolumeClaim).get(key)
    if claim is None or not _grows(claim):
        told.pop(key, None)
        return Done()
    volume = ctx.cache(core_v1.PersistentVolume).get(Key("", claim.spec.volumeName))
    ref = volume.spec.claimRef if volume is not None else None
    if volume is None or ref is None or ref.uid != claim.metadata.uid:
        return Done()  # its own event brings the claim back
    plugin, now = migrated_plugin(volume), (claim.metadata.uid, rule.size_of_claim(claim))
    if told.get(key) != now:
        told[key] = now
        text = (
            f"CSI migration enabled for {plugin}; waiting for external resizer to expand the pvc" if plugin else WAITING
        )
        ctx.events.event(claim, "Normal", "ExternalExpanding", text)
    if plugin:
        annotations = {**claim.metadata.annotations, RESIZER: driver_of(plugin)}
        noted = replace(claim, metadata=replace(claim.metadata, annotations=annotations))
        await ctx.api(core_v1.PersistentVolumeClaim).patch(claim, noted, lock=True)
    return Done()


def _of_volume(volume: core_v1.PersistentVolume, ctx: Context) -> Iterable[Key]:
    ref = volume.spec.claimRef
    claim = ctx.cache(core_v1.PersistentVolumeClaim).get(Key(ref.namespace, ref.name)) if ref is not None else None
    return _of_claim(claim, ctx) if claim is not None else ()


CONTROLLER = Controller(
    name="persistentvolume-expander-controller",
    queue="volume_expand",
    account="expand-controller",
    component="volume_expand",
    watches=(
        Watch(kind=core_v1.PersistentVolumeClaim, keys=_of_claim),
        Watch(
            kind=core_v1.PersistentVolume,
            keys=_of_volume,
            changed=lambda old, new: old.spec.claimRef != new.spec.claimRef,
        ),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch patch", "persistentvolumeclaims"),
        allow("get list watch", "persistentvolumes"),
        EVENTS,
    ),
)
