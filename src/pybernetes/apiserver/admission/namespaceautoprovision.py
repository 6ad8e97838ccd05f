"""NamespaceAutoProvision: a namespace comes into being with the first object in it."""

from contextlib import suppress

from pybernetes.api.errors import AlreadyExists
from pybernetes.apiserver.admission._followed import NAMESPACES
from pybernetes.apiserver.extension import Admission, AdmissionRequest


async def _mutate(request: AdmissionRequest) -> None:
    call = request.call
    if call.dry_run or not call.namespace or call.registry.look(NAMESPACES, "", call.namespace) is not None:
        return
    with suppress(AlreadyExists):
        await call.registry.create(NAMESPACES, {"metadata": {"name": call.namespace}})


ADMISSION = Admission(
    name="NamespaceAutoProvision", order=20, operations=frozenset({"CREATE"}), mutate=_mutate, default_on=False
)
