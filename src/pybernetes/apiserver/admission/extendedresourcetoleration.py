"""ExtendedResourceToleration: a Pod that asks for a device tolerates the nodes that are kept for it."""

from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.rules.podcontainers import containers
from pybernetes.rules.resourcenames import is_extended


async def _mutate(request: AdmissionRequest) -> None:
    spec = request.object.get("spec") or {}
    names = {
        name for c in containers(spec, ephemeral=False) for name in (c.get("resources") or {}).get("requests") or ()
    }
    tolerations = list(spec.get("tolerations") or ())
    wanted = [
        {"key": name, "operator": "Exists", "effect": "NoSchedule"} for name in sorted(names) if is_extended(name)
    ]
    missing = [toleration for toleration in wanted if toleration not in tolerations]
    if missing:
        spec["tolerations"] = tolerations + missing


ADMISSION = Admission(
    name="ExtendedResourceToleration", order=180, resources=frozenset({"pods"}), mutate=_mutate, default_on=False
)
