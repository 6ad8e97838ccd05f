"""VolumeBinding: a Pod goes where its volumes can be reached, and only once its claims are bound.

Claims of a class with volumeBindingMode WaitForFirstConsumer are bound here: the Node that is chosen decides which free volume
they get, or where the provisioner makes one (annotation volume.kubernetes.io/selected-node). Before the Pod's own binding
that is written, and waited for. What is followed beside Pods and Nodes is followed from the first Pod with a claim on.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.quantity import Quantity, parse
from pybernetes.api.selectors import of_label_selector
from pybernetes.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from pybernetes.api.types.storage_v1 import CSIDriver, CSIStorageCapacity, StorageClass
from pybernetes.rules import volumebinding as rule
from pybernetes.scheduler.framework import ClusterEvent, Cycle, Handle, Happening, Plugin, PreBindError, Rejected
from pybernetes.scheduler.node_terms import selector_mask
from pybernetes.scheduler.snapshot import Mask, PodInfo, Snapshot

PATIENCE = 600.0
"""Seconds for which a Pod waits for its volumes before it is tried again (bindTimeoutSeconds)."""
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NOT_THERE = "node(s) didn't match PersistentVolume's node affinity"
NONE_FREE = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
_KINDS = (PersistentVolume, PersistentVolumeClaim, StorageClass, CSIDriver, CSIStorageCapacity)


class _Plan(Struct, frozen=True):
    """What is to be written before a Pod is bound to its Node."""

    bindings: tuple[tuple[PersistentVolume, PersistentVolumeClaim], ...]
    provisions: tuple[PersistentVolumeClaim, ...]


class _Claims(Struct, frozen=True):
    """The claims of a Pod in a cycle: both lists empty means that nothing is to be looked at."""

    bound: tuple[PersistentVolumeClaim, ...]
    delayed: tuple[PersistentVolumeClaim, ...]


class _VolumeBinding(Plugin):
    """As every scheduler has it; only that of one scheduler, with caches, sees claims."""

    name = "VolumeBinding"
    order = 95
    unblocked_by = frozenset(
        {
            Happening.NODE_ADDED,
            Happening.NODE_LABELS,
            Happening.CLAIM,
            Happening.VOLUME,
            Happening.STORAGE_CLASS,
            Happening.STORAGE_CAPACITY,
        }
    )

    def for_scheduler(self, handle: Handle) -> Plugin:
        return _Following(handle)

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        return ()

    def concerns(self, info: PodInfo) -> bool:
        return bool(info.claims)


class _Following(_VolumeBinding):
    """Of one scheduler."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._known = self._followed = False
        self._plans: dict[Key, _Plan] = {}
        self._taken: dict[str, Key] = {}
        """Volumes that are promised to a claim, by name."""
        self._selected: dict[Key, str] = {}
        """Claims whose Node is chosen, and not written yet."""

    # What is followed.

    def pre_enqueue(self, pod: Pod) -> str | None:
        if self._known or not rule.claims_of_pod(pod):
            return None
        self._known = self._handle.follow(*_KINDS)
        if not self._followed:
            self._followed = True
            self._handle.cache(PersistentVolume).add_index(rule.BINDING, rule.volume_index)
            self._handle.on_change(PersistentVolume, self._volume_changed)
            self._handle.on_change(PersistentVolumeClaim, self._claim_changed)
            self._handle.on_change(Pod, self._pod_changed)
            self._handle.on_change(StorageClass, lambda old, new: self._happened(Happening.STORAGE_CLASS))
            for kind in (CSIDriver, CSIStorageCapacity):
                self._handle.on_change(kind, lambda old, new: self._happened(Happening.STORAGE_CAPACITY))
        return None if self._known else "claims and volumes are not known yet"

    def _happened(self, what: Happening, claim: PersistentVolumeClaim | None = None) -> None:
        if self._known:
            self._handle.happened(ClusterEvent(what, claim=claim))

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new or old
        if volume is not None and volume.spec.claimRef is not None:
            self._handle.wake(Key(volume.spec.claimRef.namespace, volume.spec.claimRef.name))
        if new is not None:
            self._happened(Happening.VOLUME)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        claim = new or old
        if claim is not None:
            self._handle.wake(_key(claim))
        if new is not None:
            self._happened(Happening.CLAIM, new)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None:
            self._handle.wake(_key(old))

    def hint(self, event: ClusterEvent, info: PodInfo) -> bool:
        """Of claims only the Pod's own matter."""
        if event.claim is None:
            return True
        meta = event.claim.metadata
        return meta.namespace == info.key.namespace and any(name == meta.name for name, _ in info.claims)

    def _class(self, claim: PersistentVolumeClaim) -> StorageClass | None:
        return self._handle.cache(StorageClass).get(Key("", rule.class_of_claim(claim)))

    # A cycle.

    def pre_filter(self, cycle: Cycle) -> str | None:
        if not cycle.info.claims:
            return None
        found = self._claims(cycle.info)
        if isinstance(found, str):
            return found
        cycle.state[self.name] = found
        return None

    def _claims(self, info: PodInfo) -> _Claims | str:
        """The claims as they are bound, or why the Pod fits nowhere."""
        bound: list[PersistentVolumeClaim] = []
        delayed: list[PersistentVolumeClaim] = []
        for name, ephemeral in info.claims:
            claim = self._handle.cache(PersistentVolumeClaim).get(Key(info.key.namespace, name))
            if claim is None and ephemeral:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim.status.phase == "Lost":
                volume = claim.spec.volumeName
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
            if claim.metadata.deletionTimestamp is not None:
                return f'persistentvolumeclaim "{name}" is being deleted'
            if ephemeral and (why := rule.not_of_pod(claim, info.pod)):
                return why
            if rule.is_bound(claim):
                bound.append(claim)
            elif rule.waits_for_consumer(self._class(claim)) and not claim.spec.volumeName:
                delayed.append(claim)
            else:
                return UNBOUND
        delayed.sort(key=rule.size_of_claim)
        return _Claims(tuple(bound), tuple(delayed))

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        claims: _Claims = cycle.state[self.name]
        yield from self._reachable(claims.bound, cycle)
        if not claims.delayed:
            return
        masks: dict[str, Mask] = {}
        for row in np.flatnonzero(cycle.feasible).tolist():
            found = self._plan(claims.delayed, cycle.snapshot.name_at[row], cycle.snapshot)
            if isinstance(found, str):
                masks.setdefault(found, np.zeros(cycle.snapshot.size, np.bool_))[row] = True
        for reason, mask in masks.items():
            yield Rejected(reason, mask)

    def _reachable(self, bound: Iterable[PersistentVolumeClaim], cycle: Cycle) -> Iterable[Rejected]:
        for claim in bound:
            volume = self._handle.cache(PersistentVolume).get(Key("", claim.spec.volumeName))
            if volume is None:
                yield Rejected(NO_VOLUME, cycle.snapshot.present.copy(), final=True)
                return
            affinity = volume.spec.nodeAffinity
            if affinity is not None and affinity.required is not None:
                yield Rejected(NOT_THERE, ~selector_mask(cycle.snapshot, affinity.required), final=True)

    def _plan(self, claims: Iterable[PersistentVolumeClaim], node: str, snapshot: Snapshot) -> _Plan | str:
        """What would be written for the Node, or why it does not do."""
        bindings: list[tuple[PersistentVolume, PersistentVolumeClaim]] = []
        provisions: list[PersistentVolumeClaim] = []
        meta = snapshot.nodes[node].metadata
        taken = set(self._taken)
        for claim in claims:
            key = _key(claim)
            chosen = self._selected.get(key) or claim.metadata.annotations.get(rule.SELECTED_NODE)
            if chosen is not None and chosen != node:
                return NONE_FREE
            volume = None
            if chosen is None:
                mine = {name for name, owner in self._taken.items() if owner == key}
                known = self._handle.cache(PersistentVolume)
                volumes = (
                    *known.by(rule.BINDING, f"claim/{key.namespace}/{key.name}"),
                    *known.by(rule.BINDING, f"class/{rule.class_of_claim(claim)}"),
                )
                volume = rule.best_match(claim, volumes, node=meta, taken=taken - mine)
            if volume is not None:
                taken.add(volume.metadata.name)
                bindings.append((volume, claim))
                continue
            why = self._provisionable(claim, meta.labels)
            if why:
                return why
            provisions.append(claim)
        return _Plan(tuple(bindings), tuple(provisions))

    def _provisionable(self, claim: PersistentVolumeClaim, labels: Mapping[str, str]) -> str:
        """Why no volume can be made for the claim where a Node has those labels; empty where it can."""
        found = self._class(claim)
        if found is None or not found.provisioner or found.provisioner == rule.NO_PROVISIONER:
            return NONE_FREE
        terms = found.allowedTopologies
        if terms and not any(
            all(labels.get(wanted.key) in wanted.values for wanted in term.matchLabelExpressions) for term in terms
        ):
            return NONE_FREE
        driver = self._handle.cache(CSIDriver).get(Key("", found.provisioner))
        if driver is None or not driver.spec.storageCapacity:
            return ""
        size, name = rule.size_of_claim(claim), found.metadata.name
        for capacity in self._handle.cache(CSIStorageCapacity):
            if capacity.storageClassName == name and _suffices(capacity, size, labels):
                return ""
        return NO_SPACE

    def reserve(self, cycle: Cycle, node: str) -> str | None:
        info = cycle.info
        if not info.claims:
            return None
        claims = self._claims(info)
        if isinstance(claims, str):
            return claims
        if not claims.delayed:
            return None
        plan = self._plan(claims.delayed, node, cycle.snapshot)
        if isinstance(plan, str):
            return plan
        self._plans[info.key] = plan
        for volume, claim in plan.bindings:
            self._taken[volume.metadata.name] = _key(claim)
        for claim in plan.provisions:
            self._selected[_key(claim)] = node
        return None

    def unreserve(self, info: PodInfo, node: str) -> None:
        plan = self._plans.pop(info.key, None)
        if plan is not None:
            for volume, _ in plan.bindings:
                self._taken.pop(volume.metadata.name, None)
            for claim in plan.provisions:
                self._selected.pop(_key(claim), None)

    def post_bind(self, info: PodInfo, node: str) -> None:
        self.unreserve(info, node)

    # Before the binding.

    async def pre_bind(self, info: PodInfo, node: str) -> None:
        plan = self._plans.get(info.key)
        if plan is None:
            return
        written: list[PersistentVolumeClaim] = [claim for _, claim in plan.bindings]
        for volume, claim in plan.bindings:
            await self._handle.patch(volume, rule.bound_to(volume, claim))
        for claim in plan.provisions:
            notes = {**claim.metadata.annotations, rule.SELECTED_NODE: node}
            written.append(
                await self._handle.patch(claim, replace(claim, metadata=replace(claim.metadata, annotations=notes)))
            )
        keys = [info.key, *map(_key, written)]
        if not await self._handle.until(
            lambda: all([self._is_bound(info, claim, node) for claim in written]), keys, PATIENCE
        ):
            raise _failed("timed out waiting for the condition")

    def _is_bound(self, info: PodInfo, claim: PersistentVolumeClaim, node: str) -> bool:
        """By the caches. Raises PreBindError where it will not come to that."""
        pod = self._handle.cache(Pod).get(info.key)
        if pod is None or pod.metadata.uid != info.pod.metadata.uid:
            raise _failed("pod does not exist any more")
        name = claim.metadata.name
        now = self._handle.cache(PersistentVolumeClaim).get(_key(claim))
        if now is None or now.metadata.uid != claim.metadata.uid:
            raise _failed(f'failed to check provisioning pvc: could not find v1.PersistentVolumeClaim "{name}"')
        if int(now.metadata.resourceVersion) < int(claim.metadata.resourceVersion):
            return False
        wanted = claim.metadata.annotations.get(rule.SELECTED_NODE)
        if wanted is not None and now.metadata.annotations.get(rule.SELECTED_NODE) != node:
            raise _failed(f'provisioning failed for PVC "{name}"')
        if not rule.is_bound(now):
            return False
        volume = self._handle.cache(PersistentVolume).get(Key("", now.spec.volumeName))
        if volume is None:
            return False
        there = self._handle.cache(Node).get(Key("", node))
        if there is not None and not rule.reaches(volume, there.metadata):
            raise _failed(f'pv "{volume.metadata.name}" node affinity doesn\'t match node "{node}"')
        return True


def _key(obj: PersistentVolumeClaim | Pod) -> Key:
    return Key(obj.metadata.namespace, obj.metadata.name)


def _failed(why: str) -> PreBindError:
    return PreBindError(f'running PreBind plugin "VolumeBinding": binding volumes: {why}')


def _suffices(capacity: CSIStorageCapacity, size: Quantity, labels: Mapping[str, str]) -> bool:
    limit = capacity.maximumVolumeSize or capacity.capacity
    if limit is None or capacity.nodeTopology is None or parse(limit) < size:
        return False
    return of_label_selector(capacity.nodeTopology).matches(labels)


PLUGIN = _VolumeBinding()
