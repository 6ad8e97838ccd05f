"""Who attaches disks, as a CSI driver's attacher does, and who mounts them, as kubelets do: the truth that no API object has.

A kubelet says first that it uses a volume, and mounts it once the API says that it is attached; it unmounts what no Pod of its
node needs, and then says so. A node without power has nothing mounted.
"""

from contextlib import suppress

from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1, storage_v1
from tools.soak.worlds.ledger import Obj
from tools.soak.worlds.pods import condition, is_ended, is_going
from tools.soak.worlds.world import NODES, World

FINALIZER = "external-attacher/volumes-soak-example"
MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
LOOK = 1.0
"""Seconds between two looks of each."""


async def attach(w: World) -> None:
    """Fulfils VolumeAttachments, and lets those go that are deleted; for ever."""
    while True:
        for wish in w.ledger.all("VolumeAttachment"):
            with suppress(ApiError, ConnectionError):
                await _serve(w, wish)
        await w.clock.sleep(LOOK)


async def _serve(w: World, wish: Obj) -> None:
    meta, attached = wish["metadata"], bool(wish.get("status", {}).get("attached"))
    name, kind, volume = meta["name"], storage_v1.VolumeAttachment, wish["spec"]["source"]["persistentVolumeName"]
    if is_going(wish):
        if attached:
            await w.change(kind, name, {"status": {"attached": False}}, "", "status", w.attacher)
        await w.change(kind, name, {"metadata": {"finalizers": None}}, "", "", w.attacher)
        await _hold(w, volume, [])
    elif not attached:
        if FINALIZER not in meta.get("finalizers", ()):
            await w.change(kind, name, {"metadata": {"finalizers": [FINALIZER]}}, "", "", w.attacher)
        await _hold(w, volume, [FINALIZER])
        status: Obj = {"attached": True, "attachError": None}
        if w.rng.random() < w.trouble.fail:
            status = {"attached": False, "attachError": {"message": "by chance"}}
        await w.change(kind, name, {"status": status}, "", "status", w.attacher)


async def _hold(w: World, volume: str, wanted: list[str]) -> None:
    """A volume stays until it is nowhere attached."""
    life = w.ledger.find("PersistentVolume", "", volume)
    if life is None or any(_is_of(wish, volume) for wish in w.ledger.all("VolumeAttachment")) > bool(wanted):
        return
    there = life.obj["metadata"].get("finalizers", [])
    kept = [name for name in there if name != FINALIZER] + wanted
    if kept != there:
        change = {"metadata": {"finalizers": kept or None, "resourceVersion": str(life.versions[-1].revision)}}
        await w.change(core_v1.PersistentVolume, volume, change, "", "", w.attacher)


def _is_of(wish: Obj, volume: str) -> bool:
    return bool(wish["spec"]["source"]["persistentVolumeName"] == volume)


async def mount(w: World) -> None:
    """The kubelets' part, on all nodes; for ever."""
    while True:
        for name in NODES:
            with suppress(ApiError, ConnectionError):
                await _look(w, name)
        await w.clock.sleep(LOOK)


def volume_of(w: World, namespace: str, claim: str) -> str:
    """The name of the claim's volume; empty without one."""
    found = w.ledger.find("PersistentVolumeClaim", namespace, claim)
    return str(found.obj["spec"].get("volumeName", "")) if found is not None else ""


def volumes_of(w: World, node: str) -> set[str]:
    """The names of volumes that Pods of a node use."""
    return {
        volume
        for pod in w.ledger.all("Pod")
        if pod["spec"].get("nodeName") == node and not is_ended(pod)
        for one in pod["spec"].get("volumes") or ()
        if (claim := (one.get("persistentVolumeClaim") or {}).get("claimName", _own(pod, one)))
        and (volume := volume_of(w, pod["metadata"]["namespace"], claim))
    }


def _own(pod: Obj, volume: Obj) -> str:
    return f"{pod['metadata']['name']}-{volume['name']}" if "ephemeral" in volume else ""


def unique_name(volume: str) -> str:
    """As nodes call a volume of volumes.py."""
    return f"kubernetes.io/csi/volumes.soak.example^{volume}"


async def _look(w: World, name: str) -> None:
    here = {volume for node, volume in w.mounted if node == name}
    life = w.ledger.find("Node", "", name)
    if not w.running(name):
        w.mounted -= {(name, volume) for volume in here}
        return
    if life is None:
        return
    node = life.obj
    if MANAGED not in (node["metadata"].get("annotations") or {}):
        node = await w.change(core_v1.Node, name, {"metadata": {"annotations": {MANAGED: "true"}}}, "", "", w.kubelets)
    wanted = volumes_of(w, name)
    w.mounted -= {(name, volume) for volume in here - wanted}
    told = sorted(map(unique_name, wanted))
    if (node.get("status", {}).get("volumesInUse") or []) != told:
        node = await w.change(core_v1.Node, name, {"status": {"volumesInUse": told or None}}, "", "status", w.kubelets)
    if not w.running(name) or condition(node, "Ready").get("status") != "True":
        return
    noted = {one["name"] for one in node["status"].get("volumesAttached") or ()}
    w.mounted |= {(name, volume) for volume in wanted if unique_name(volume) in noted}
