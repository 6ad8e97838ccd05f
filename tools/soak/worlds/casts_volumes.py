"""What users do with volumes: Pods with a claim of their own, and Pods that share disks which come to their node."""

from contextlib import suppress

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.types import core_v1
from tools.soak.worlds.actions import OUT_OF_SERVICE, template
from tools.soak.worlds.ledger import Obj, controller_of
from tools.soak.worlds.rules_volumes import SCRATCH
from tools.soak.worlds.world import NODES, World

DISKS = ("z0", "z1")
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


async def _make_pod(w: World, name: str, volume: Obj) -> None:
    made = template(name, "one")
    made["spec"]["volumes"] = [{"name": SCRATCH, **volume}]
    await w.make(core_v1.Pod, {"metadata": {"name": name, "labels": {"app": name}}, "spec": made["spec"]})


async def _delete_pod(w: World, letter: str) -> str:
    """Its name, if it is to come again at once."""
    pod = w.pick("Pod", lambda pod: str(pod["metadata"]["name"]).startswith(letter))
    if pod is None:
        return ""
    name = str(pod["metadata"]["name"])
    force: Obj = {} if w.rng.random() < 0.4 else {"gracePeriodSeconds": 0}
    await w.remove(core_v1.Pod, name, **force)
    return name if force and w.rng.random() < 0.6 else ""


# --- Pods with a claim of their own


async def create_scratch(w: World) -> None:
    await _make_pod(w, w.rng.choice(("x0", "x1", "x2")), {"ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}})


async def delete_scratch(w: World) -> None:
    """Another one of its name may come before its claim is gone."""
    name = await _delete_pod(w, "x")
    if name:
        await w.clock.sleep(w.rng.choice((0.0, 0.0, 1.0)))
        await _make_pod(w, name, {"ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}})


async def create_foreign_claim(w: World) -> None:
    """A claim that is called as a Pod's own would be."""
    name = f"{w.rng.choice(('x0', 'x1', 'x2'))}-{SCRATCH}"
    await w.make(core_v1.PersistentVolumeClaim, {"metadata": {"name": name}, "spec": CLAIM})


async def delete_claim(w: World) -> None:
    """Of this cast or of the disks; perhaps of a disk that somebody has just begun to use."""
    if w.rng.random() < 0.4:
        with suppress(ApiError):
            await create_user_of_disk(w)
            await w.clock.sleep(w.rng.choice((0.5, 2.0)))
    claim = w.pick("PersistentVolumeClaim", lambda claim: str(claim["metadata"]["name"])[0] in "xz")
    if claim:
        await w.remove(core_v1.PersistentVolumeClaim, claim["metadata"]["name"])


# --- disks


async def create_user_of_disk(w: World) -> None:
    disk = w.rng.choice(DISKS)
    if w.ledger.find("PersistentVolumeClaim", "default", disk) is None:
        await w.make(core_v1.PersistentVolumeClaim, {"metadata": {"name": disk}, "spec": CLAIM})
    await _make_pod(w, w.rng.choice(("y0", "y1", "y2")), {"persistentVolumeClaim": {"claimName": disk}})


async def delete_user_of_disk(w: World) -> None:
    """Another one may take the disk at once, on another node perhaps."""
    name = await _delete_pod(w, "y")
    if name:
        with suppress(ApiError):
            await create_user_of_disk(w)


async def restore_claims(w: World) -> None:
    """No claim is called as a Pod's own and is not, and no Pod waits for a claim that has gone."""
    for claim in w.ledger.all("PersistentVolumeClaim"):
        if not controller_of(claim) and claim["metadata"]["name"].startswith("x"):
            await w.remove(core_v1.PersistentVolumeClaim, claim["metadata"]["name"])
    for pod in w.ledger.all("Pod"):
        if pod["metadata"]["name"].startswith("y") and not pod["spec"].get("nodeName"):
            with suppress(NotFound):  # what waits for a claim that has gone waits for ever
                await w.remove(core_v1.Pod, pod["metadata"]["name"], gracePeriodSeconds=0)


async def put_node_out_of_service(w: World) -> None:
    """Says of a node without power that nothing runs there."""
    name = w.rng.choice(NODES)
    node = w.ledger.find("Node", "", name)
    if node is None or w.running(name):
        return
    taints = [one for one in node.obj["spec"].get("taints") or () if one["key"] != OUT_OF_SERVICE]
    taints.append({"key": OUT_OF_SERVICE, "value": "now", "effect": "NoExecute"})
    await w.change(core_v1.Node, name, {"spec": {"taints": taints}}, "")
