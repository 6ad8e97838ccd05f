"""Rules of volumes: a Pod's own claim is nobody else's; a disk is at one place, and goes only when nobody has it mounted."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from tools.soak.worlds.actions import OUT_OF_SERVICE
from tools.soak.worlds.ledger import Attempt, Ledger, Life, Obj, Rule, Write, controller_of
from tools.soak.worlds.pods import condition, is_ended, is_going

EPHEMERAL = "ephemeral-volume-controller"
PROTECTION = "persistentvolumeclaim-protection-controller"
ATTACH_DETACH = "persistentvolume-attach-detach-controller"
PROTECTED = "kubernetes.io/pvc-protection"
SCRATCH = "v"
"""What the volumes of Pods are called."""


def _owns(pod: Life, claim: Obj) -> bool:
    meta = claim["metadata"]
    return controller_of(claim) == pod.uid and meta["name"] == f"{pod.name}-{SCRATCH}"


def claims_of_their_pods(ledger: Ledger, write: Write) -> Iterator[str]:
    """The claim of a Pod's volume is made for a Pod that may be there, and is owned by it alone."""
    by, claim = write.by, write.new
    if write.verb != "create" or by.part != EPHEMERAL or claim is None:
        return
    pod = ledger.lives.get(controller_of(claim))
    if pod is None or pod.kind != "Pod" or not _owns(pod, claim) or len(claim["metadata"]["ownerReferences"]) != 1:
        yield f"made for {pod}"
    elif not by.late and not any(not is_going(obj) and not is_ended(obj) for obj in ledger.recent(pod)):
        yield f"made for {pod}, which is gone"


def no_foreign_claims(ledger: Ledger, write: Write) -> Iterator[str]:
    """No Pod comes to a node with a claim that was never its own."""
    old, new, pod = write.old, write.new, write.life
    if old is None or new is None or old["spec"].get("nodeName") or not new["spec"].get("nodeName"):
        return
    if not any("ephemeral" in volume for volume in new["spec"].get("volumes") or ()):
        return
    claims = [
        life for life in ledger.lives.values()
        if life.kind == "PersistentVolumeClaim" and life.namespace == pod.namespace and _owns(pod, life.obj)
    ]  # fmt: skip
    if not claims:
        yield "placed, and its claim is another's"


def _uses(name: str, pod: Obj) -> bool:
    if not pod["spec"].get("nodeName"):
        return False
    for volume in pod["spec"].get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name:
            return True
        if "ephemeral" in volume and f"{pod['metadata']['name']}-{volume['name']}" == name and not is_going(pod):
            return True
    return False


def used_claims_stay(ledger: Ledger, write: Write) -> Iterator[str]:
    """A claim keeps its protection while a Pod uses it, as far as that can be known."""
    by, old, claim = write.by, write.old, write.life
    if by.part != PROTECTION or by.late or old is None or PROTECTED not in old["metadata"].get("finalizers", ()):
        return
    if write.new is not None and PROTECTED in write.new["metadata"].get("finalizers", ()):
        return
    for pod in ledger.living("Pod"):
        if pod.namespace == claim.namespace and ledger.must_hold(pod, by, lambda obj: _uses(claim.name, obj)):
            yield f"may go, and {pod} uses it"


# --- disks


def _volume(attachment: Obj) -> str:
    return str(attachment["spec"]["source"].get("persistentVolumeName", ""))


def one_place(ledger: Ledger, write: Write) -> Iterator[str]:
    """A disk that one node may have is not sent to a second one by who must know of the first."""
    by, new = write.by, write.new
    if write.verb != "create" or by.part != ATTACH_DETACH or by.late or new is None:
        return
    for other in ledger.living("VolumeAttachment"):
        if other is write.life or _volume(other.obj) != _volume(new):
            continue
        if other.obj["spec"]["nodeName"] != new["spec"]["nodeName"] and _is_known(ledger, other, by):
            yield f"made for {new['spec']['nodeName']}, and {other.obj['spec']['nodeName']} has the volume"


def _is_known(ledger: Ledger, life: Life, by: Attempt) -> bool:
    return ledger.must_hold(life, by, lambda obj: True)


def noted_when_attached(ledger: Ledger, write: Write) -> Iterator[str]:
    """A node hears that a volume is attached only once its driver may be believed to have said so."""
    by, old, new = write.by, write.old, write.new
    if by.part != ATTACH_DETACH or by.late or old is None or new is None:
        return
    before, after = _noted(old), _noted(new)
    for name in after - before:
        volume = name.rpartition("^")[2]
        states = [
            obj for life in ledger.lives.values()
            if life.kind == "VolumeAttachment" and _volume(life.obj) == volume
            and life.obj["spec"]["nodeName"] == write.life.name
            for obj in ledger.recent(life)
        ]  # fmt: skip
        if not any(obj.get("status", {}).get("attached") for obj in states):
            yield f"hears that {name} is attached"


def _noted(node: Obj) -> set[str]:
    return {one["name"] for one in node.get("status", {}).get("volumesAttached") or ()}


class Mounted:
    """Knows what is mounted, and who has power."""

    def __init__(self, mounted: Set[tuple[str, str]], runs: Callable[[str], bool]) -> None:
        self._mounted, self._runs = mounted, runs

    def __call__(self, ledger: Ledger, write: Write) -> Iterator[str]:
        """Nothing is taken from a node that has it mounted, unless that may be believed to be unwell, or out of service."""
        by, old = write.by, write.old
        if by.part != ATTACH_DETACH or by.late or not write.asks_deletion or old is None:
            return
        place = (old["spec"]["nodeName"], _volume(old))
        if place not in self._mounted or not self._runs(place[0]):
            return
        node = ledger.find("Node", "", place[0])
        if node is None or node.versions[0].at > ledger.now() - 30:
            return
        seen = ledger.recent(node)
        if all(_is_well(obj) for obj in seen):
            yield f"detached, and {place[0]} has {place[1]} mounted"


def _is_well(node: Obj) -> bool:
    taints = node["spec"].get("taints") or ()
    return condition(node, "Ready").get("status") == "True" and all(one["key"] != OUT_OF_SERVICE for one in taints)


RULES: Mapping[str, Iterable[Rule]] = {
    "PersistentVolumeClaim": (claims_of_their_pods, used_claims_stay),
    "Pod": (no_foreign_claims,),
    "VolumeAttachment": (one_place,),
    "Node": (noted_when_attached,),
}
