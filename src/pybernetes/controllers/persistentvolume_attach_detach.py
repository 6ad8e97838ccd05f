"""Attach and detach: a volume of a CSI driver is attached to the Node of a Pod that uses it, and detached when nobody does.

The wish is a VolumeAttachment, which the driver's attacher fulfils; what is attached is noted in Node.status.volumesAttached,
which kubelets wait for. Before a volume is detached the note goes, and the kubelet must have unmounted it: only from a Node that has
been unwell for six minutes, or is declared out of service, it is taken without asking. A key is a Node (as namespace) and a volume.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.api.types.storage_v1 import CSIDriver, VolumeAttachment
from pybernetes.client.rest import key_of
from pybernetes.controllers._attach_metrics import AttachMetrics
from pybernetes.controllers._attachments import (
    MANAGED,
    PLACES,
    attachable,
    attachment,
    by_place,
    is_out_of_service,
    name_of,
    node_facts,
    of_attachment,
    of_claim,
    of_driver,
    of_node,
    of_pod,
    of_volume,
    shareable,
    unique_name,
    used_elsewhere,
    users,
)
from pybernetes.controllers.persistentvolumeclaim_protection import CLAIMS, claims_of
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.readiness import is_finished, node_is_ready

SOON = 5.0
"""Seconds until a volume is looked at again that is on its way to another Node, as far as anybody knows."""
PATIENCE = 360.0
"""Seconds that a Node which is unwell has for unmounting a volume."""
ATTACH, DETACH = "volume_attach", "volume_detach"
"""What metrics call the driver's work."""


@dataclass(slots=True)
class _Memory:
    """What is known of places between looks; after a restart the waiting begins anew."""

    unwanted_since: dict[Key, float] = field(default_factory=dict)
    sent: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By volume that one Node may have: the last Node it was sent to, and the revision of that; empty while it is not known."""
    told: dict[Key, dict[str, str]] = field(default_factory=dict)
    """By place: what its Pods were told last, by their uid."""


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One volume on one Node."""
    ctx.metrics(AttachMetrics).follow(ctx)
    volume = ctx.cache(core_v1.PersistentVolume).get(Key("", key.name))
    if volume is None or volume.spec.csi is None:
        ctx.state(_Memory).sent.pop(key.name, None)
        return Done()  # without the volume nobody knows whether an attachment is ours
    return await _Look(ctx, key, volume).run()


class _Look:
    """One look at one place."""

    def __init__(self, ctx: Context, key: Key, volume: core_v1.PersistentVolume) -> None:
        self._ctx, self._key, self._volume = ctx, key, volume
        self._memory, self._figures = ctx.state(_Memory), ctx.metrics(AttachMetrics)
        self._node = ctx.cache(core_v1.Node).get(Key("", key.namespace))
        self._found = ctx.cache(VolumeAttachment).get(Key("", name_of(volume, key.namespace)))
        self._pods = [pod for pod in users(volume, ctx) if pod.spec.nodeName == key.namespace]

    async def run(self) -> Outcome:
        node = self._node
        managed = node is not None and MANAGED in node.metadata.annotations
        self._forget_seen()
        if self._pods and managed and attachable(self._volume, self._ctx):
            self._memory.unwanted_since.pop(self._key, None)
            return await self._attach()
        return await self._detach()

    # Wanted.

    async def _attach(self) -> Outcome:
        found, name = self._found, self._volume.metadata.name
        if found is None:
            return await self._send()
        if found.metadata.deletionTimestamp is not None:
            return Done()  # it is made anew once it is gone
        if found.status.attached:
            self._done(ATTACH)
            await self._note(attached=True)
            for pod in self._pods:
                text = f'AttachVolume.Attach succeeded for volume "{name}" '
                self._tell(pod, "Normal", "SuccessfulAttachVolume", text)
        elif found.status.attachError is not None:
            why = found.status.attachError.message
            if any(self._is_news(pod, self._failure(why)) for pod in self._pods):
                self._done(ATTACH, well=False)
            for pod in self._pods:
                self._tell(pod, "Warning", "FailedAttachVolume", self._failure(why))
        return Done()

    async def _send(self) -> Outcome:
        """Makes the wish, unless another Node has the volume, or may have: other Nodes' keys have other workers."""
        name, sent, api = self._volume.metadata.name, self._memory.sent, self._ctx.api(VolumeAttachment)
        if not shareable(self._volume):
            if sent.get(name, (self._key.namespace, ""))[0] != self._key.namespace:
                return Again(SOON)
            if self._elsewhere():
                for pod in self._pods:
                    why = used_elsewhere(pod, self._key.namespace, self._volume, self._ctx)
                    self._tell(pod, "Warning", "FailedAttachVolume", f'Multi-Attach error for volume "{name}" {why}')
                return Done()
            sent[name] = (self._key.namespace, "")  # also when it fails: it may have been made
        try:
            made = await api.create(attachment(self._volume, self._key.namespace))
            self._figures.begin(self._key, ATTACH, self._ctx.clock.monotonic())
        except AlreadyExists:
            made = await api.get(name_of(self._volume, self._key.namespace))
        if name in sent:
            sent[name] = (self._key.namespace, made.metadata.resourceVersion or "")
        return Done()

    def _forget_seen(self) -> None:
        """What the cache shows need not be remembered."""
        name = self._volume.metadata.name
        revision = self._memory.sent.get(name, ("", ""))[1]
        if revision and int(revision) <= int(self._ctx.informer(VolumeAttachment).revision or 0):
            del self._memory.sent[name]

    def _elsewhere(self) -> bool:
        there = self._ctx.cache(VolumeAttachment).by(PLACES, f"volume/{self._volume.metadata.name}")
        return any(found.spec.nodeName != self._key.namespace for found in there)

    def _tell(self, pod: core_v1.Pod, kind: Literal["Normal", "Warning"], reason: str, text: str) -> None:
        """Once a Pod and text."""
        if self._is_news(pod, text):
            self._memory.told.setdefault(self._key, {})[pod.metadata.uid] = text
            self._ctx.events.event(pod, kind, reason, text)

    def _is_news(self, pod: core_v1.Pod, text: str) -> bool:
        return self._memory.told.get(self._key, {}).get(pod.metadata.uid) != text

    def _failure(self, why: str) -> str:
        return f'AttachVolume.Attach failed for volume "{self._volume.metadata.name}" : {why}'

    # Not wanted.

    async def _detach(self) -> Outcome:
        found = self._found
        self._memory.told.pop(self._key, None)
        if found is None:
            self._done(DETACH)
            await self._look_for_sent()
        if found is None or found.metadata.deletionTimestamp is not None:
            self._memory.unwanted_since.pop(self._key, None)
            await self._note(attached=False)
            return Done()
        wait = self._wait()
        if wait > 0:
            return Again(wait)
        await self._note(attached=False)
        with suppress(NotFound):
            await self._ctx.api(VolumeAttachment).delete(key_of(found), uid=found.metadata.uid)
            self._figures.begin(self._key, DETACH, self._ctx.clock.monotonic())
            self._count_force()
        self._memory.unwanted_since.pop(self._key, None)
        return Done()

    def _done(self, work: str, *, well: bool = True) -> None:
        self._figures.done(self._key, work, self._volume, self._ctx.clock.monotonic(), well=well)

    def _count_force(self) -> None:
        """The kubelet was not asked, or has not answered."""
        node, forced = self._node, self._figures.forced
        if node is not None and is_out_of_service(node):
            forced.add("out-of-service")
        elif node is not None and unique_name(self._volume) in node.status.volumesInUse:
            forced.add("timeout")

    async def _look_for_sent(self) -> None:
        """Whether the wish was made whose answer was lost."""
        name, sent = self._volume.metadata.name, self._memory.sent
        if sent.get(name) != (self._key.namespace, ""):
            return
        try:
            made = await self._ctx.api(VolumeAttachment).get(name_of(self._volume, self._key.namespace))
        except NotFound:
            del sent[name]
        else:
            sent[name] = (self._key.namespace, made.metadata.resourceVersion or "")

    def _wait(self) -> float:
        """Seconds until it may go; 0: now. Changes of the Node bring the key back before."""
        node, now = self._node, self._ctx.clock.monotonic()
        since = self._memory.unwanted_since.setdefault(self._key, now)
        if node is None or is_out_of_service(node) or unique_name(self._volume) not in node.status.volumesInUse:
            return 0
        if node_is_ready(node) or not self._ctx.config.force_detach:
            return PATIENCE
        return max(0.0, since + PATIENCE - now)

    async def _note(self, *, attached: bool) -> None:
        """What the kubelet may rely on. At the revision seen: another volume's note must not be lost."""
        node = self._node
        if node is None:
            return
        name, there = unique_name(self._volume), node.status.volumesAttached
        if attached == any(one.name == name for one in there):
            return
        kept = tuple(one for one in there if one.name != name)
        noted = (*kept, core_v1.AttachedVolume(name=name)) if attached else kept
        new = replace(node, status=replace(node.status, volumesAttached=noted))
        await self._ctx.api(core_v1.Node).patch(node, new, subresource="status", lock=True)


CONTROLLER = Controller(
    name="persistentvolume-attach-detach-controller",
    component="attachdetach-controller",
    queue="pvcs",
    account="attachdetach-controller",
    watches=(
        Watch(
            kind=core_v1.Pod,
            keys=of_pod,
            changed=lambda old, new: (old.spec.nodeName, is_finished(old)) != (new.spec.nodeName, is_finished(new)),
            indexes={CLAIMS: claims_of},
        ),
        Watch(kind=core_v1.PersistentVolumeClaim, keys=of_claim),
        Watch(kind=core_v1.PersistentVolume, keys=of_volume),
        Watch(kind=core_v1.Node, keys=of_node, changed=lambda old, new: node_facts(old) != node_facts(new)),
        Watch(kind=CSIDriver, keys=of_driver),
        Watch(kind=VolumeAttachment, keys=of_attachment, indexes={PLACES: by_place}),
    ),
    reconcile=reconcile,
    rules=(
        allow("list watch", "pods persistentvolumes persistentvolumeclaims nodes"),
        allow("patch update", "nodes/status"),
        allow("list watch", "csidrivers", "storage.k8s.io"),
        allow("get list watch create delete", "volumeattachments", "storage.k8s.io"),
        EVENTS,
    ),
)
