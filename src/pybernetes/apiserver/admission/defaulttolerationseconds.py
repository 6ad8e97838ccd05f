"""DefaultTolerationSeconds: a Pod stays five minutes on a node that fell silent, unless it says otherwise.

Configuration, from flags of their own: `notReadySeconds`, `unreachableSeconds`.
"""

from pybernetes.api.objects import Object
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry

SECONDS = 300


def _start(registry: Registry, configuration: Object) -> Hooks:
    taints = {
        f"node.kubernetes.io/{taint}": configuration.get(field, SECONDS)
        for taint, field in (("not-ready", "notReadySeconds"), ("unreachable", "unreachableSeconds"))
    }

    async def mutate(request: AdmissionRequest) -> None:
        spec = request.object.get("spec")
        if spec is None:
            return
        tolerations = list(spec.get("tolerations") or ())
        missing = [
            {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
            for taint, seconds in taints.items()
            if not any(
                (one.get("key") or taint) == taint and (one.get("effect") or "NoExecute") == "NoExecute"
                for one in tolerations
            )
        ]
        if missing:
            spec["tolerations"] = tolerations + missing

    return Hooks(mutate=mutate)


ADMISSION = Admission(name="DefaultTolerationSeconds", order=150, resources=frozenset({"pods"}), start=_start)
