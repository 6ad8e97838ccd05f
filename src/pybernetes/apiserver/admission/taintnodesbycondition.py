"""TaintNodesByCondition: a new Node takes no Pods until its first report says it is ready."""

from pybernetes.apiserver.extension import Admission, AdmissionRequest

NOT_READY = "node.kubernetes.io/not-ready"


async def _mutate(request: AdmissionRequest) -> None:
    spec = request.object["spec"] = request.object.get("spec") or {}
    taints = list(spec.get("taints") or ())
    if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]


ADMISSION = Admission(
    name="TaintNodesByCondition",
    order=90,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"nodes"}),
    mutate=_mutate,
)
