"""Provisioning: what every provisioner of volumes does alike, around one that knows how to make and remove them.

A claim that asks for it gets a volume called pvc-<uid>, which is the claim's from its creation on: the binder does the
rest. A released volume goes, with what was in it, where its policy says Delete; a finalizer keeps it until then. As the
provisioner library of sig-storage does it, events and all.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.client.rest import key_of
from pybernetes.controllers._finalizers import without_finalizer
from pybernetes.controllers.runtime import Again, Context, Done, Outcome
from pybernetes.rules import volumebinding as rule
from pybernetes.wire.metrics import Counter, Distribution

BY = "pybernetes.io/provisioned-by"
"""Annotation of classes and volumes that a provisioner in the controller manager serves, with this value. The same class
without it is left to a provisioner that the cluster's owner installs."""
MANAGER = "kube-controller-manager"
RETRY = 15.0
"""Seconds until what could not be made or removed is tried again."""


class Wish(Struct, frozen=True):
    """A volume that is wanted."""

    name: str
    claim: core_v1.PersistentVolumeClaim
    storage_class: StorageClass
    node: core_v1.Node | None
    """Where the first Pod that uses it is to run; None for classes that bind at once."""


class ProvisionError(Exception):
    """It cannot be made, or removed. `elsewhere`: another Node may do."""

    def __init__(self, why: str, *, elsewhere: bool = False) -> None:
        super().__init__(why)
        self.elsewhere = elsewhere


class ProvisionerMetrics:
    """controller_persistentvolume*: the names of sig-storage's library for provisioners."""

    def __init__(self) -> None:
        claim, volume, by = (
            "controller_persistentvolumeclaim_provision",
            "controller_persistentvolume_delete",
            "class source",
        )
        self.made = Counter(f"{claim}_total", "Total number of persistent volumes provisioned successfully.", by)
        self.failed = Counter(
            f"{claim}_failed_total", "Total number of persistent volume provision failed attempts.", by
        )
        self.making = Distribution(
            f"{claim}_duration_seconds", "Latency in seconds to provision persistent volumes.", by
        )
        self.removed = Counter(f"{volume}_total", "Total number of persistent volumes deleted successfully.", "class")
        self.not_removed = Counter(
            f"{volume}_failed_total", "Total number of persistent volume delete failed attempts.", "class"
        )
        self.removing = Distribution(
            f"{volume}_duration_seconds", "Latency in seconds to delete persistent volumes.", "class"
        )
        self.began: dict[Key, float] = {}
        """Claims that wait for a volume and volumes that wait for their end: since when."""


class Provisioner(Protocol):
    """Makes and removes volumes of one kind."""

    name: str
    """As classes name it."""

    async def provision(self, wish: Wish, ctx: Context) -> core_v1.PersistentVolumeSpec | None:
        """Source, node affinity and what else is the kind's own; None while it is being made. Raises ProvisionError.

        Asked again until there is an answer, also by another process: it must find what it has begun.
        """

    async def delete(self, volume: core_v1.PersistentVolume, ctx: Context) -> bool:
        """Whether what is in it is gone; False while it is being removed. Raises ProvisionError.

        The object goes afterwards; what was needed for the work is to stay until then.
        """


def volume_of(wish: Wish, spec: core_v1.PersistentVolumeSpec, provisioner: str) -> core_v1.PersistentVolume:
    """The PersistentVolume of a wish: what every kind has, and the kind's own."""
    claim, found = wish.claim, wish.storage_class
    return core_v1.PersistentVolume(
        metadata=meta_v1.ObjectMeta(
            name=wish.name,
            annotations={rule.PROVISIONED_BY: provisioner, BY: MANAGER},
            finalizers=(rule.PROVISIONER_FINALIZER,),
        ),
        spec=replace(
            spec,
            capacity={"storage": claim.spec.resources.requests.get("storage", "0")},
            accessModes=claim.spec.accessModes,
            volumeMode=claim.spec.volumeMode,
            claimRef=rule.reference_to(claim),
            persistentVolumeReclaimPolicy=found.reclaimPolicy or "Delete",
            storageClassName=found.metadata.name,
            mountOptions=found.mountOptions,
        ),
    )


def is_ours(annotations: Mapping[str, str], provisioner: str) -> bool:
    """Whether a claim's or a volume's annotations name the provisioner."""
    return provisioner in (annotations.get(rule.PROVISIONED_BY), annotations.get(rule.PROVISIONERS[1]))


async def publish(volume: core_v1.PersistentVolume, ctx: Context) -> None:
    """Makes the object; one that is there already is the same."""
    try:
        await ctx.api(core_v1.PersistentVolume).create(volume)
    except AlreadyExists:
        return


async def claim_step(key: Key, provisioner: Provisioner, ctx: Context) -> Outcome:
    """What is next for a claim that may want a volume."""
    claim = ctx.cache(core_v1.PersistentVolumeClaim).get(key)
    if claim is None or claim.spec.volumeName or claim.metadata.deletionTimestamp is not None:
        ctx.metrics(ProvisionerMetrics).began.pop(key, None)
        return Done()
    notes = claim.metadata.annotations
    found = ctx.cache(StorageClass).get(Key("", rule.class_of_claim(claim)))
    if found is None or not is_ours(notes, provisioner.name) or found.provisioner != provisioner.name:
        return Done()
    if found.metadata.annotations.get(BY) != MANAGER:
        return Done()
    chosen, name = notes.get(rule.SELECTED_NODE), f"pvc-{claim.metadata.uid}"
    if rule.waits_for_consumer(found) and not chosen:
        return Done()
    if ctx.cache(core_v1.PersistentVolume).get(Key("", name)) is not None:
        return Done()
    node = ctx.cache(core_v1.Node).get(Key("", chosen)) if chosen else None
    figures = ctx.metrics(ProvisionerMetrics)
    began = figures.began.setdefault(key, ctx.clock.monotonic())
    try:
        if chosen and node is None:
            raise ProvisionError(f'failed to get target node: node "{chosen}" not found', elsewhere=True)
        wish = Wish(name, claim, found, node)
        _check(wish, provisioner)
        spec = await provisioner.provision(wish, ctx)
    except ProvisionError as error:
        figures.failed.add(found.metadata.name, "")
        text = f'failed to provision volume with StorageClass "{found.metadata.name}": {error}'
        ctx.events.event(claim, "Warning", "ProvisioningFailed", text)
        if error.elsewhere and chosen:
            kept = {field: value for field, value in notes.items() if field != rule.SELECTED_NODE}
            freed = replace(claim, metadata=replace(claim.metadata, annotations=kept))
            await ctx.api(core_v1.PersistentVolumeClaim).patch(claim, freed, lock=True)
            return Done()
        return Again(RETRY)
    if spec is not None:
        await publish(volume_of(wish, spec, provisioner.name), ctx)
        figures.made.add(found.metadata.name, "")
        figures.making.observe(ctx.clock.monotonic() - began, found.metadata.name, "")
        figures.began.pop(key, None)
        ctx.events.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
    return Done()


def _check(wish: Wish, provisioner: Provisioner) -> None:
    if wish.claim.spec.volumeMode == "Block":
        raise ProvisionError(f"{provisioner.name} does not support block volume provisioning")
    if wish.claim.spec.dataSource is not None or wish.claim.spec.dataSourceRef is not None:
        raise ProvisionError("claim.Spec.DataSource is not supported")
    if wish.claim.spec.selector is not None:
        raise ProvisionError("claim.Spec.Selector is not supported")


async def volume_step(key: Key, provisioner: Provisioner, ctx: Context) -> Outcome:
    """What is next for a volume that may have to go."""
    volume = ctx.cache(core_v1.PersistentVolume).get(key)
    if volume is None or not _to_be_removed(volume, provisioner):
        ctx.metrics(ProvisionerMetrics).began.pop(key, None)
        return Done()
    # Once the data is gone nothing brings it back: what others wrote meanwhile counts.
    try:
        volume = await ctx.api(core_v1.PersistentVolume).get(key)
    except NotFound:
        return Done()
    if not _to_be_removed(volume, provisioner):
        return Done()
    figures, name = ctx.metrics(ProvisionerMetrics), rule.class_of_volume(volume)
    began = figures.began.setdefault(key, ctx.clock.monotonic())
    try:
        gone = await provisioner.delete(volume, ctx)
    except ProvisionError as error:
        figures.not_removed.add(name)
        ctx.events.event(volume, "Warning", "VolumeFailedDelete", str(error))
        return Again(RETRY)
    if not gone:
        return Done()
    api = ctx.api(core_v1.PersistentVolume)
    try:
        volume = await api.patch(volume, without_finalizer(volume, rule.PROVISIONER_FINALIZER), lock=True)
        await api.delete(key_of(volume), uid=volume.metadata.uid)
    except NotFound:
        pass
    figures.removed.add(name)
    figures.removing.observe(ctx.clock.monotonic() - began, name)
    figures.began.pop(key, None)
    return Done()


def _to_be_removed(volume: core_v1.PersistentVolume, provisioner: Provisioner) -> bool:
    notes = volume.metadata.annotations
    return (
        notes.get(rule.PROVISIONED_BY) == provisioner.name
        and notes.get(BY) == MANAGER
        and volume.status.phase in ("Released", "Failed")
        and volume.spec.persistentVolumeReclaimPolicy == "Delete"
        and volume.spec.claimRef is not None
        and (rule.PROVISIONER_FINALIZER in volume.metadata.finalizers or volume.metadata.deletionTimestamp is None)
    )
