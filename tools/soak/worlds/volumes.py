"""Somebody who makes volumes, as a CSI provisioner would: without it no Pod with a claim would ever run."""

from contextlib import suppress

from pybernetes.api.errors import AlreadyExists, Conflict, NotFound
from pybernetes.api.types import core_v1, storage_v1
from tools.soak.worlds.ledger import Obj
from tools.soak.worlds.pods import is_going
from tools.soak.worlds.world import World

NAME = "volumes.soak.example"
CLASS = "soak"
ASKED = "volume.kubernetes.io/storage-provisioner"
NODE = "volume.kubernetes.io/selected-node"
LOOK = 2.0
"""Seconds between two looks."""


async def provide(w: World) -> None:
    """Makes a volume for each claim that asks for one, and removes those that are released; for ever."""
    mode = w.rng.choice(("Immediate", "WaitForFirstConsumer"))
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    made = {"metadata": {"name": CLASS, "annotations": default}, "provisioner": NAME, "volumeBindingMode": mode}
    await w.make(storage_v1.StorageClass, made, "")
    while True:
        for claim in w.ledger.all("PersistentVolumeClaim"):
            with suppress(AlreadyExists, Conflict, NotFound, ConnectionError):
                await _make(w, claim, waits=mode != "Immediate")
        for volume in w.ledger.all("PersistentVolume"):
            if volume.get("status", {}).get("phase") == "Released" and not is_going(volume):
                with suppress(AlreadyExists, Conflict, NotFound, ConnectionError):
                    await w.remove(core_v1.PersistentVolume, volume["metadata"]["name"], "")
        await w.clock.sleep(LOOK)


async def _make(w: World, claim: Obj, *, waits: bool) -> None:
    meta, spec = claim["metadata"], claim["spec"]
    said = meta.get("annotations") or {}
    name = f"pvc-{meta['uid']}"
    if said.get(ASKED) != NAME or spec.get("volumeName") or is_going(claim) or (waits and NODE not in said):
        return
    if w.ledger.find("PersistentVolume", "", name) is None:
        ref = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": meta["namespace"],
            "name": meta["name"],
        }
        volume = {
            "capacity": spec["resources"]["requests"], "accessModes": spec["accessModes"], "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Delete", "claimRef": {**ref, "uid": meta["uid"]},
            "csi": {"driver": NAME, "volumeHandle": name},
        }  # fmt: skip
        made = {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": NAME}}
        await w.make(core_v1.PersistentVolume, {"metadata": made, "spec": volume}, "")
