"""LimitPodHardAntiAffinityTopology: required anti-affinity may only speak of single nodes."""

from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest

_HOSTNAME = "kubernetes.io/hostname"
_FIELD = "requiredDuringSchedulingIgnoredDuringExecution"


async def _validate(request: AdmissionRequest) -> None:
    affinity = (request.object.get("spec") or {}).get("affinity") or {}
    for term in (affinity.get("podAntiAffinity") or {}).get(_FIELD) or ():
        key = term.get("topologyKey", "")
        if key != _HOSTNAME:
            why = f"has TopologyKey {key} but only key {_HOSTNAME} is allowed"
            raise refused(request, f"affinity.PodAntiAffinity.RequiredDuringScheduling {why}")


ADMISSION = Admission(
    name="LimitPodHardAntiAffinityTopology",
    order=50,
    resources=frozenset({"pods"}),
    validate=_validate,
    default_on=False,
)
