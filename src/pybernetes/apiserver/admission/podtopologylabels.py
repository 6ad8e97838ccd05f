"""PodTopologyLabels: a Pod carries the zone and region of the node it was bound to."""

from pybernetes.apiserver.admission._followed import NODES
from pybernetes.apiserver.extension import Admission, AdmissionRequest

_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


async def _mutate(request: AdmissionRequest) -> None:
    obj = request.object
    if request.call.resource.plural == "bindings" or request.call.subresource == "binding":
        target = obj.get("target") or {}
        name = target.get("name") if target.get("kind") == "Node" else ""
    else:
        name = (obj.get("spec") or {}).get("nodeName")
    node = request.call.registry.look(NODES, "", name) if name else None
    labels = ((node or {}).get("metadata") or {}).get("labels") or {}
    copied = {key: labels[key] for key in _LABELS if key in labels}
    if copied:
        metadata = obj.setdefault("metadata", {})
        metadata["labels"] = {**(metadata.get("labels") or {}), **copied}


ADMISSION = Admission(
    name="PodTopologyLabels",
    order=300,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"pods", "pods/binding", "bindings"}),
    mutate=_mutate,
)
