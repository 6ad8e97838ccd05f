"""DefaultTolerationSeconds: a Pod stays five minutes on a node that fell silent, unless it says otherwise."""

from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.extension import Admission, AdmissionRequest

PODS = GroupResource("", "pods")
SECONDS = 300
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


async def _mutate(request: AdmissionRequest) -> None:
    call, spec = request.call, request.object.get("spec")
    if call.resource.group_resource != PODS or call.subresource or spec is None:
        return
    tolerations = list(spec.get("tolerations") or ())
    for taint in _TAINTS:
        tolerated = any(
            (toleration.get("key") or taint) == taint and (toleration.get("effect") or "NoExecute") == "NoExecute"
            for toleration in tolerations
        )
        if not tolerated:
            tolerations.append(
                {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
            )
    spec["tolerations"] = tolerations


ADMISSION = Admission(name="DefaultTolerationSeconds", order=150, mutate=_mutate)
