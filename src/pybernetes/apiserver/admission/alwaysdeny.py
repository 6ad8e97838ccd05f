"""AlwaysDeny: refuses every write, for tests of clients."""

from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest


async def _validate(request: AdmissionRequest) -> None:
    raise refused(request, "admission control is denying all modifications")


ADMISSION = Admission(
    name="AlwaysDeny",
    order=410,
    operations=frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"}),
    validate=_validate,
    default_on=False,
)
