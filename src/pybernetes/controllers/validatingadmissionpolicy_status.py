"""Status of ValidatingAdmissionPolicies: whether their expressions fit the kinds that they are for.

A warning is no refusal: the policy works as it is written. What is said of each kind, and how, is rules/cel/checker.py's.
"""

from collections.abc import Mapping, Sequence

from pybernetes.api.objects import GroupVersionKind, Key
from pybernetes.api.types.admissionregistration_v1 import ExpressionWarning, ValidatingAdmissionPolicy
from pybernetes.controllers._policy_types import NAMESPACE, matched, of_kind, of_params
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.cel.checker import ANY, Type, check, shown

_NAME = "validatingadmissionpolicy-status-controller"
_GROUP = "admissionregistration.k8s.io"


def _matters(old: ValidatingAdmissionPolicy, new: ValidatingAdmissionPolicy) -> bool:
    return (old.metadata.uid, old.metadata.generation) != (new.metadata.uid, new.metadata.generation)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One policy."""
    policy = ctx.cache(ValidatingAdmissionPolicy).get(key)
    generation = policy.metadata.generation or 0 if policy is not None else 0
    if policy is None or (policy.status.observedGeneration == generation and policy.status.typeChecking is not None):
        return Done()
    warnings = warnings_of(policy, await matched(policy, ctx))
    status = {"observedGeneration": generation, "typeChecking": {"expressionWarnings": warnings}}
    await ctx.api(ValidatingAdmissionPolicy).apply(policy, {"status": status}, _NAME, subresource="status")
    return Done()


def warnings_of(
    policy: ValidatingAdmissionPolicy, kinds: Sequence[tuple[GroupVersionKind, Type]]
) -> list[ExpressionWarning]:
    """Of all validations and their messages."""
    known = [(gvk, _variables(policy, kind)) for gvk, kind in kinds]
    found = []
    for index, validation in enumerate(policy.spec.validations):
        for field in ("expression", "messageExpression"):
            text = getattr(validation, field)
            told = "\n".join(_told(text, gvk, variables) for gvk, variables in known if check(text, variables)[1])
            if text and told:
                found.append(ExpressionWarning(fieldRef=f"spec.validations[{index}].{field}", warning=told))
    return found


def _told(text: str, gvk: GroupVersionKind, variables: Mapping[str, Type]) -> str:
    return f"{gvk.group}/{gvk.version}, Kind={gvk.kind}: {shown(text, check(text, variables)[1])}\n"


def _variables(policy: ValidatingAdmissionPolicy, kind: Type) -> dict[str, Type]:
    """What an expression may use; a policy's own variables use those before them."""
    made: dict[str, Type] = {}
    found = {"object": kind, "oldObject": kind, "request": ANY, "authorizer": ANY}
    found["namespaceObject"] = of_kind(NAMESPACE) or ANY
    found["variables"] = Type("kubernetes.variables", fields=made.get)
    if policy.spec.paramKind is not None:
        found["params"] = of_params(policy.spec.paramKind)
    for variable in policy.spec.variables:
        made[variable.name] = check(variable.expression, found)[0]
    return found


CONTROLLER = Controller(
    name=_NAME,
    watches=(Watch(kind=ValidatingAdmissionPolicy, changed=_matters),),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "validatingadmissionpolicies", _GROUP),
        allow("get patch update", "validatingadmissionpolicies/status", _GROUP),
        allow("get", "customresourcedefinitions", "apiextensions.k8s.io"),
        EVENTS,
    ),
)
