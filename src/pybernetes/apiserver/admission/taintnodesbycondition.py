"""TaintNodesByCondition: a new Node takes no Pods until its first report says it is ready."""

from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.extension import Admission, AdmissionRequest

NODES = GroupResource("", "nodes")
NOT_READY = "node.kubernetes.io/not-ready"


async def _mutate(request: AdmissionRequest) -> None:
    call = request.call
    if call.resource.group_resource != NODES or call.subresource:
        return
    spec = request.object["spec"] = request.object.get("spec") or {}
    taints = list(spec.get("taints") or ())
    if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]


ADMISSION = Admission(name="TaintNodesByCondition", order=90, operations=frozenset({"CREATE"}), mutate=_mutate)
