"""NamespaceExists: nothing is written in a namespace that is not there. NamespaceLifecycle has the same and more."""

from pybernetes.apiserver.admission._followed import NAMESPACES
from pybernetes.apiserver.extension import Admission, AdmissionRequest


async def _validate(request: AdmissionRequest) -> None:
    call = request.call
    if call.namespace and call.registry.look(NAMESPACES, "", call.namespace) is None:
        await call.registry.get(NAMESPACES, "", call.namespace)  # raises NotFound


ADMISSION = Admission(
    name="NamespaceExists",
    order=40,
    operations=frozenset({"CREATE", "UPDATE", "DELETE"}),
    validate=_validate,
    default_on=False,
)
