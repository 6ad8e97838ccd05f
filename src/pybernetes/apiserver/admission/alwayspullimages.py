"""AlwaysPullImages: every image is pulled each time, so nobody runs one that they have no credentials for."""

from collections.abc import Mapping
from typing import Any

from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.rules.podcontainers import containers


async def _mutate(request: AdmissionRequest) -> None:
    spec = request.object.get("spec") or {}
    if request.old is not None and _images(spec) <= _images(request.old.get("spec") or {}):
        return
    for container in containers(spec):
        container["imagePullPolicy"] = "Always"
    for volume in spec.get("volumes") or ():
        if volume.get("image"):
            volume["image"]["pullPolicy"] = "Always"


def _images(spec: Mapping[str, Any]) -> set[str]:
    volumes = {(volume.get("image") or {}).get("reference", "") for volume in spec.get("volumes") or ()}
    return volumes | {container.get("image", "") for container in containers(spec)}


ADMISSION = Admission(
    name="AlwaysPullImages",
    order=100,
    resources=frozenset({"pods", "pods/ephemeralcontainers"}),
    mutate=_mutate,
    default_on=False,
)
