"""The quality of service class of a Pod: Guaranteed, Burstable or BestEffort."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.quantity import parse

_COUNTED = ("cpu", "memory")


def qos_class(spec: Mapping[str, Any]) -> str:
    """From requests and limits of all containers, or of the Pod itself where it has them."""
    parts = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    if spec.get("resources"):
        parts = [spec]
    asked = False
    guaranteed = bool(parts)
    for part in parts:
        resources = part.get("resources") or {}
        limits, requests = _counted(resources.get("limits")), _counted(resources.get("requests"))
        asked = asked or bool(limits or requests)
        if set(limits) != set(_COUNTED) or any(requests.get(name, limits[name]) != limits[name] for name in limits):
            guaranteed = False
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _counted(amounts: Mapping[str, str] | None) -> dict[str, int]:
    found = {name: parse(text).nanos for name, text in (amounts or {}).items() if name in _COUNTED}
    return {name: nanos for name, nanos in found.items() if nanos > 0}
