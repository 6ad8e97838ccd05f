"""Status of ValidatingAdmissionPolicies: which generation of a policy has been looked at.

Expressions are not compiled here, so nothing is said of their types: a policy without `typeChecking` was not checked.
"""

from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.types.admissionregistration_v1 import ValidatingAdmissionPolicy
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow

_GROUP = "admissionregistration.k8s.io"


def _matters(old: ValidatingAdmissionPolicy, new: ValidatingAdmissionPolicy) -> bool:
    return (old.metadata.uid, old.metadata.generation) != (new.metadata.uid, new.metadata.generation)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One policy."""
    policy = ctx.cache(ValidatingAdmissionPolicy).get(key)
    if policy is None:
        return Done()
    generation = policy.metadata.generation or 0
    if policy.status.observedGeneration != generation:
        status = replace(policy.status, observedGeneration=generation)
        await ctx.api(ValidatingAdmissionPolicy).patch(policy, replace(policy, status=status), subresource="status")
    return Done()


CONTROLLER = Controller(
    name="validatingadmissionpolicy-status-controller",
    watches=(Watch(kind=ValidatingAdmissionPolicy, changed=_matters),),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "validatingadmissionpolicies", _GROUP),
        allow("get patch update", "validatingadmissionpolicies/status", _GROUP),
        EVENTS,
    ),
)
