"""Claims by what they wait for: the index that the binder and provisioners share."""

from collections.abc import Iterable

from pybernetes.api.types.core_v1 import PersistentVolumeClaim
from pybernetes.rules import volumebinding as rule

INDEX = "binding"


def claim_index(claim: PersistentVolumeClaim) -> Iterable[str]:
    """By the volume that it names, or by the class of which it waits for one."""
    if claim.spec.volumeName:
        return (f"volume/{claim.spec.volumeName}",)
    if claim.spec.storageClassName is None and rule.CLASS not in claim.metadata.annotations:
        return ("class/", "classless")
    return (f"class/{rule.class_of_claim(claim)}",)
