"""local-path: volumes that are directories of the Node that the first Pod of the claim goes to (decision 8).

As the well known local-path-provisioner makes them, whose name it bears in classes: a helper Pod on that Node makes the
directory, and another one removes it. The helper that makes it carries the whole PersistentVolume, so that nothing is
left behind where the claim, or this process, goes meanwhile. Provisioner and class do nothing in a cluster without the class.
"""

import re
from collections.abc import Iterable

import msgspec

from pybernetes import KUBERNETES_VERSION
from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.client.rest import key_of
from pybernetes.controllers._provisioning import (
    BY,
    MANAGER,
    ProvisionError,
    Wish,
    claim_step,
    is_ours,
    publish,
    volume_of,
    volume_step,
)
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow, nothing
from pybernetes.rules import volumebinding as rule

NAME = "rancher.io/local-path"
NAMESPACE = "kube-system"
IMAGE = f"docker.io/pybernetes/node:{KUBERNETES_VERSION}"
"""Of the helpers: an image that every node has anyhow, with a busybox."""
ROOT = "/opt/local-path-provisioner"
"""Below it lie the directories, unless the class's parameter nodePath says where."""
HOSTNAME = "kubernetes.io/hostname"
PATIENCE = 120.0
"""Seconds that a helper may take to make a directory; then another Node may be chosen."""
_VOLUME = "pybernetes.io/volume"
"""Label of helpers: the volume's name. Annotation of those that make one: all of the volume."""
_PODS = "pod:"
"""The namespace of keys of helpers, to tell them from claims."""
_FOLDER = re.compile(r"/(?:[^/]+/)*[^/]+")

STORAGE_CLASS = StorageClass(
    metadata=meta_v1.ObjectMeta(name="local-path", annotations={rule.DEFAULT_CLASS[0]: "true", BY: MANAGER}),
    provisioner=NAME,
    reclaimPolicy="Delete",
    volumeBindingMode=rule.WAITS,
)
"""Whoever wants it creates it; `pybernetes up` does."""


class LocalPath:
    """A _provisioning.Provisioner."""

    name = NAME

    async def provision(self, wish: Wish, ctx: Context) -> core_v1.PersistentVolumeSpec | None:
        """By a helper; the directory is everybody's (0777), since Pods run as anybody."""
        spec = self._spec(wish)
        assert spec.local is not None
        assert wish.node is not None
        pod = ctx.cache(core_v1.Pod).get(_helper("create", wish.name))
        if pod is None or (pod.status.phase != "Succeeded" and pod.spec.nodeName != wish.node.metadata.name):
            if pod is not None:
                await _remove(pod, ctx)
            volume = volume_of(wish, spec, NAME)
            made = helper("create", volume, wish.node.metadata.name, ("mkdir", "-m", "0777", "-p"))
            if await _create(made, ctx):
                where = f"{wish.claim.metadata.namespace}/{wish.claim.metadata.name}"
                text = f'External provisioner is provisioning volume for claim "{where}"'
                ctx.events.event(wish.claim, "Normal", "Provisioning", text)
            return None
        if pod.status.phase == "Succeeded":
            return msgspec.json.decode(pod.metadata.annotations[_VOLUME], type=core_v1.PersistentVolume).spec
        late = ctx.clock.now() - parse_time(pod.metadata.creationTimestamp or "") >= PATIENCE
        if pod.status.phase != "Failed" and not late:
            return None
        await _remove(pod, ctx)
        if late:
            raise ProvisionError(
                f"failed to create volume {wish.name}: create process timeout after 120 seconds", elsewhere=True
            )
        raise ProvisionError(f"failed to create volume {wish.name}: {_said(pod)}")

    def _spec(self, wish: Wish) -> core_v1.PersistentVolumeSpec:
        claim, root = wish.claim, wish.storage_class.parameters.get("nodePath", ROOT)
        if not set(claim.spec.accessModes) <= {"ReadWriteOnce", "ReadWriteOncePod"}:
            raise ProvisionError("NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes")
        if wish.node is None:
            raise ProvisionError("configuration error, no node was specified")
        if not _FOLDER.fullmatch(root) or ".." in root.split("/"):
            raise ProvisionError(f"config path {root} is not a folder below /")
        folder = f"{wish.name}_{claim.metadata.namespace}_{claim.metadata.name}"
        host = wish.node.metadata.labels.get(HOSTNAME, wish.node.metadata.name)
        requirement = core_v1.NodeSelectorRequirement(key=HOSTNAME, operator="In", values=(host,))
        terms = (core_v1.NodeSelectorTerm(matchExpressions=(requirement,)),)
        return core_v1.PersistentVolumeSpec(
            local=core_v1.LocalVolumeSource(path=f"{root}/{folder}"),
            nodeAffinity=core_v1.VolumeNodeAffinity(required=core_v1.NodeSelector(nodeSelectorTerms=terms)),
        )

    async def delete(self, volume: core_v1.PersistentVolume, ctx: Context) -> bool:
        """By a helper on its Node, whenever that answers. With the Node gone from the cluster its disk is nobody's here."""
        name, local = volume.metadata.name, volume.spec.local
        if local is None or not local.path.rpartition("/")[2].startswith(f"{name}_"):
            raise ProvisionError(
                f'the directory of volume "{name}" is not one that was made for it: nothing is removed'
            )
        pod = ctx.cache(core_v1.Pod).get(_helper("delete", name))
        if pod is not None and pod.status.phase == "Succeeded":
            return True
        nodes = [node for node in ctx.cache(core_v1.Node) if rule.reaches(volume, node.metadata)]
        if not nodes:
            return True
        if pod is None:
            await _create(helper("delete", volume, nodes[0].metadata.name, ("rm", "-rf")), ctx)
        elif pod.status.phase == "Failed":
            await _remove(pod, ctx)
            raise ProvisionError(f"failed to delete volume {name}: {_said(pod)}")
        return False


def _helper(action: str, volume: str) -> Key:
    return Key(NAMESPACE, f"helper-pod-{action}-{volume}")


def helper(action: str, volume: core_v1.PersistentVolume, node: str, command: tuple[str, ...]) -> core_v1.Pod:
    """A Pod that does something with a volume's directory on its Node, and nothing else there."""
    assert volume.spec.local is not None
    name = volume.metadata.name
    root, _, folder = volume.spec.local.path.rpartition("/")
    notes = {"simulated.pybernetes.io/run-seconds": "0"}
    if action == "create":
        notes[_VOLUME] = msgspec.json.encode(volume).decode()
    container = core_v1.Container(
        name="helper",
        image=IMAGE,
        imagePullPolicy="IfNotPresent",
        command=("/bin/busybox", *command, f"/volumes/{folder}"),
        volumeMounts=(core_v1.VolumeMount(name="volumes", mountPath="/volumes"),),
        securityContext=core_v1.SecurityContext(runAsUser=0, allowPrivilegeEscalation=False),
    )
    source = core_v1.HostPathVolumeSource(path=root, type="DirectoryOrCreate")
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=_helper(action, name).name, namespace=NAMESPACE, labels={_VOLUME: name}, annotations=notes
        ),
        spec=core_v1.PodSpec(
            nodeName=node,
            restartPolicy="Never",
            hostNetwork=True,
            terminationGracePeriodSeconds=0,
            automountServiceAccountToken=False,
            priorityClassName="system-node-critical",
            tolerations=(core_v1.Toleration(operator="Exists"),),
            containers=(container,),
            volumes=(core_v1.Volume(name="volumes", hostPath=source),),
        ),
    )


def _said(pod: core_v1.Pod) -> str:
    """Why a helper failed."""
    ended = [status.state.terminated for status in pod.status.containerStatuses if status.state.terminated]
    codes = ", ".join(f"exit code {state.exitCode}" for state in ended)
    return f"helper pod {pod.metadata.name} failed: {pod.status.message or codes or pod.status.reason}"


async def _create(pod: core_v1.Pod, ctx: Context) -> bool:
    try:
        await ctx.api(core_v1.Pod).create(pod)
    except AlreadyExists:
        return False
    return True


async def _remove(pod: core_v1.Pod, ctx: Context) -> None:
    try:
        await ctx.api(core_v1.Pod).delete(key_of(pod), grace=0, uid=pod.metadata.uid)
    except NotFound:
        return


_LOCAL = LocalPath()


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One claim, one volume (without namespace), or one helper."""
    if key.namespace == _PODS:
        return await _helper_step(Key(NAMESPACE, key.name), ctx)
    if key.namespace:
        return await claim_step(key, _LOCAL, ctx)
    return await volume_step(key, _LOCAL, ctx)


async def _helper_step(key: Key, ctx: Context) -> Outcome:
    """It goes when its volume is there, or gone, as it was to be. A claim that has gone meanwhile gets its volume, too: so
    the directory is removed."""
    pod = ctx.cache(core_v1.Pod).get(key)
    if pod is None or pod.metadata.deletionTimestamp is not None:
        return Done()
    if _VOLUME not in pod.metadata.annotations:
        if ctx.cache(core_v1.PersistentVolume).get(Key("", pod.metadata.labels[_VOLUME])) is None:
            await _remove(pod, ctx)
        return Done()
    volume = msgspec.json.decode(pod.metadata.annotations[_VOLUME], type=core_v1.PersistentVolume)
    ref = volume.spec.claimRef
    assert ref is not None
    claim_key = Key(ref.namespace, ref.name)
    if ctx.cache(core_v1.PersistentVolume).get(key_of(volume)) is not None:
        await _remove(pod, ctx)
        return Done()
    if pod.status.phase != "Succeeded":
        left = parse_time(pod.metadata.creationTimestamp or "") + PATIENCE - ctx.clock.now()
        if left > 0 and pod.status.phase != "Failed":
            return Again(left)
    try:
        there = (await ctx.api(core_v1.PersistentVolumeClaim).get(claim_key)).metadata.uid == ref.uid
    except NotFound:
        there = False
    if there:
        ctx.queue.add(claim_key)
    elif pod.status.phase == "Succeeded":
        await publish(volume, ctx)
    else:
        await _remove(pod, ctx)
    return Done()


def _of_claim(claim: core_v1.PersistentVolumeClaim, ctx: Context) -> Iterable[Key]:
    return (key_of(claim),) if is_ours(claim.metadata.annotations, NAME) else ()


def _of_volume(volume: core_v1.PersistentVolume, ctx: Context) -> Iterable[Key]:
    if is_ours(volume.metadata.annotations, NAME):
        yield key_of(volume)
        for action in ("create", "delete"):
            yield Key(_PODS, _helper(action, volume.metadata.name).name)


def _of_class(found: StorageClass, ctx: Context) -> Iterable[Key]:
    if found.provisioner != NAME:
        return ()
    claims = ctx.cache(core_v1.PersistentVolumeClaim)
    return [key_of(claim) for claim in claims.by(rule.BINDING, f"class/{found.metadata.name}")]


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    name = pod.metadata.labels.get(_VOLUME)
    if name is not None and pod.metadata.namespace == NAMESPACE:
        yield Key(_PODS, pod.metadata.name)
        yield Key("", name)


CONTROLLER = Controller(
    name="local-path-provisioner-controller",
    component="local-path-provisioner",
    watches=(
        Watch(kind=core_v1.PersistentVolumeClaim, keys=_of_claim, indexes={rule.BINDING: rule.claim_index}),
        Watch(kind=core_v1.PersistentVolume, keys=_of_volume),
        Watch(kind=StorageClass, keys=_of_class),
        Watch(kind=core_v1.Pod, keys=_of_pod),
        Watch(kind=core_v1.Node, keys=nothing),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch create delete patch", "persistentvolumes"),
        allow("get list watch patch", "persistentvolumeclaims"),
        allow("list watch", "storageclasses", "storage.k8s.io"),
        allow("list watch", "nodes"),
        allow("list watch create delete", "pods"),
        EVENTS,
    ),
)
