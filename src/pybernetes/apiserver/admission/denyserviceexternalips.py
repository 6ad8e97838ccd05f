"""DenyServiceExternalIPs: no Service gets external addresses that it did not have."""

from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest


async def _validate(request: AdmissionRequest) -> None:
    addresses = (request.object.get("spec") or {}).get("externalIPs") or ()
    before = ((request.old or {}).get("spec") or {}).get("externalIPs") or ()
    if set(addresses) - set(before):
        raise refused(request, "Use of external IPs is denied by admission control")


ADMISSION = Admission(
    name="DenyServiceExternalIPs",
    order=290,
    resources=frozenset({"services"}),
    validate=_validate,
    default_on=False,
)
