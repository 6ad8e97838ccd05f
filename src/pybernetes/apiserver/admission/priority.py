"""Priority: a Pod's class becomes a number. The two classes of the system are known; other ones come with PriorityClass."""

from pybernetes.api.errors import forbidden
from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.extension import Admission, AdmissionRequest

PODS = GroupResource("", "pods")
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_PREEMPTS = "PreemptLowerPriority"


async def _mutate(request: AdmissionRequest) -> None:
    call, spec = request.call, request.object.get("spec")
    if call.resource.group_resource != PODS or call.subresource or spec is None:
        return
    if request.old is not None:
        for field in ("priority", "preemptionPolicy"):
            kept = (request.old.get("spec") or {}).get(field)
            if spec.get(field) is None and kept is not None:
                spec[field] = kept
        return
    name = spec.get("priorityClassName") or ""
    if name and name not in SYSTEM_CLASSES:
        raise forbidden(PODS, call.name, f"no PriorityClass with name {name} was found")
    computed = SYSTEM_CLASSES.get(name, 0)
    asked = spec.get("priority")
    if asked is not None and asked != computed:
        raise forbidden(
            PODS,
            call.name,
            f"the integer value of priority ({asked}) must not be provided in pod spec; priority admission controller "
            f"computed {computed} from the given PriorityClass name",
        )
    policy = spec.get("preemptionPolicy")
    if policy is not None and policy != _PREEMPTS:
        raise forbidden(
            PODS,
            call.name,
            f"the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; priority admission "
            f"controller computed {_PREEMPTS} from the given PriorityClass name",
        )
    spec["priority"], spec["preemptionPolicy"] = computed, _PREEMPTS


ADMISSION = Admission(name="Priority", order=140, mutate=_mutate)
