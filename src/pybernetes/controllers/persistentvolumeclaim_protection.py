"""PVC protection: a claim that Pods use stays until the last of them is gone."""

from collections.abc import Iterable

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers._finalizers import protect
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules import volumebinding as rule

FINALIZER = "kubernetes.io/pvc-protection"
CLAIMS = "claims"
"""Index of Pods by claims_of()."""


def claims_of(pod: core_v1.Pod) -> tuple[str, ...]:
    """Namespace/name of the claims of a Pod that a kubelet may have seen: others can no longer start."""
    if not pod.spec.nodeName:
        return ()
    meta = pod.metadata
    over = meta.deletionTimestamp is not None and meta.deletionGracePeriodSeconds == 0
    named = [v.persistentVolumeClaim.claimName for v in pod.spec.volumes if v.persistentVolumeClaim]
    made = [f"{meta.name}-{v.name}" for v in pod.spec.volumes if v.ephemeral and not over]
    return tuple(f"{meta.namespace}/{name}" for name in (*named, *made))


def _claims(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    return [Key(*claim.split("/")) for claim in claims_of(pod)]


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One claim."""
    claim = ctx.cache(core_v1.PersistentVolumeClaim).get(key)
    if claim is None:
        return Done()
    used = any(_uses(pod, claim) for pod in ctx.cache(core_v1.Pod).by(CLAIMS, f"{key.namespace}/{key.name}"))
    if claim.metadata.deletionTimestamp is not None and not used:  # The cache may be late: a user may just have begun.
        used = any(_uses(pod, claim) for pod in (await ctx.api(core_v1.Pod).list(key.namespace)).items)
    await protect(claim, FINALIZER, used, ctx)
    return Done()


def _uses(pod: core_v1.Pod, claim: core_v1.PersistentVolumeClaim) -> bool:
    """What has the name that a Pod's own claim is to have, and is not its own, is of no use to it."""
    name = claim.metadata.name
    if f"{claim.metadata.namespace}/{name}" not in claims_of(pod):
        return False
    found = [own for used, own in rule.claims_of_pod(pod) if used == name]
    return not all(found) or not rule.not_of_pod(claim, pod)


CONTROLLER = Controller(
    name="persistentvolumeclaim-protection-controller",
    component="pvc-protection-controller",
    queue="pvcprotection",
    account="pvc-protection-controller",
    watches=(
        Watch(kind=core_v1.PersistentVolumeClaim),
        Watch(
            kind=core_v1.Pod,
            keys=_claims,
            changed=lambda old, new: claims_of(old) != claims_of(new),
            indexes={CLAIMS: claims_of},
        ),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update patch", "persistentvolumeclaims"),
        allow("get list watch", "pods"),
        EVENTS,
    ),
)
