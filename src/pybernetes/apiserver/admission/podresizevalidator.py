"""PodResizeValidator: a running Pod is not resized to more than its node has, nor where nodes cannot resize."""

from pybernetes.api.quantity import Quantity
from pybernetes.apiserver.admission._followed import NODES, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.rules.podresources import of_pod, quantities

_OS = "kubernetes.io/os"


async def _validate(request: AdmissionRequest) -> None:
    pod, old = request.object, request.old
    name = (pod.get("spec") or {}).get("nodeName")
    if not name or old is None or old.get("spec") == pod.get("spec"):
        return
    node = request.call.registry.look(NODES, "", name)
    if node is None:
        raise refused(request, f'node "{name}" not found')
    has = quantities((node.get("status") or {}).get("allocatable"))
    asked = of_pod(pod, "requests", overhead=True)
    zero = Quantity()
    cpu = (asked.get("cpu", zero).milli_value(), has.get("cpu", zero).milli_value())
    memory = (asked.get("memory", zero).value(), has.get("memory", zero).value())
    faults = [
        f"{what}, requested: {wanted}, allocatable: {there}"
        for what, (wanted, there) in (("cpu", cpu), ("memory", memory))
        if wanted > there
    ]
    if faults:
        raise refused(request, f"node didn't have enough allocatable resources: {'; '.join(faults)}")
    system = (node["metadata"].get("labels") or {}).get(_OS, "")
    if system != "linux":
        raise refused(request, f'pod resize is only supported on linux nodes, node "{name}" is "{system}"')


ADMISSION = Admission(
    name="PodResizeValidator",
    order=320,
    operations=frozenset({"UPDATE"}),
    resources=frozenset({"pods/resize"}),
    validate=_validate,
)
