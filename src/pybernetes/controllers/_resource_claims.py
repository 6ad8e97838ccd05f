"""What a Pod has to do with ResourceClaims. The claim controller and eviction by device taints share it; pure."""

from pybernetes.api.types import core_v1
from pybernetes.api.types.meta_v1 import OwnerReference
from pybernetes.api.types.resource_v1 import ResourceClaim, ResourceClaimConsumerReference
from pybernetes.rules.ownership import controller_of


def owning_pod(claim: ResourceClaim) -> OwnerReference | None:
    """The Pod that the claim was made for; None for one that somebody made by hand."""
    ref = controller_of(claim.metadata)
    return ref if ref is not None and (ref.apiVersion, ref.kind) == ("v1", "Pod") else None


def is_of(claim: ResourceClaim, pod: core_v1.Pod) -> bool:
    """The claim was made for this Pod, and not for one of the same name before."""
    ref = owning_pod(claim)
    return ref is not None and ref.uid == pod.metadata.uid


def names_of(pod: core_v1.Pod) -> dict[str, str | None]:
    """The claims of the Pod by its own names for them; "" for one not made yet, None for one that is not needed."""
    if not pod.spec.resourceClaims:
        return {}
    made = {status.name: status.resourceClaimName for status in pod.status.resourceClaimStatuses}
    return {one.name: one.resourceClaimName or made.get(one.name, "") for one in pod.spec.resourceClaims}


def is_pod(user: ResourceClaimConsumerReference) -> bool:
    """Whether a reservation is for a Pod."""
    return (user.apiGroup, user.resource) == ("", "pods")
