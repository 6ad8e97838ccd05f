"""What rules and judges read of objects: plain dicts, as the store has them."""

from typing import Any

from pybernetes.aio.clock import parse_time
from pybernetes.aio.simulation import EPOCH
from pybernetes.rules.workloads import surge_and_unavailable
from tools.soak.worlds.ledger import Obj

ENDED = ("Succeeded", "Failed")


def is_ended(pod: Obj) -> bool:
    """Succeeded or Failed."""
    return pod.get("status", {}).get("phase") in ENDED


def is_going(obj: Obj) -> bool:
    """Its deletion has been asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_active(pod: Obj) -> bool:
    """Neither ended nor going."""
    return not is_ended(pod) and not is_going(pod)


def condition(obj: Obj, kind: str) -> Obj:
    """The condition of a type; empty without it."""
    return next((c for c in obj.get("status", {}).get("conditions", ()) if c["type"] == kind), {})


def is_ready(pod: Obj) -> bool:
    """By its condition, and not going."""
    return not is_going(pod) and condition(pod, "Ready").get("status") == "True"


def is_available(pod: Obj, seconds: int, now: float) -> bool:
    """Ready for so long, at a moment of the world's own clock; conditions know whole seconds only."""
    since = str(condition(pod, "Ready").get("lastTransitionTime"))
    return is_ready(pod) and (not seconds or parse_time(since) - EPOCH + seconds + 1 < now)


def replicas_of(obj: Obj) -> int:
    """spec.replicas; absent is 1."""
    found = obj["spec"].get("replicas")
    return 1 if found is None else int(found)


def selects(owner: Obj, labels: dict[str, str]) -> bool:
    """Whether the owner's selector is for such labels; of all workloads, and Services."""
    selector: dict[str, Any] = owner["spec"].get("selector") or {}
    wanted = selector.get("matchLabels", {}) if "matchLabels" in selector else selector
    return bool(wanted) and wanted.items() <= labels.items()


def labels_of(obj: Obj) -> dict[str, str]:
    """metadata.labels."""
    found: dict[str, str] = obj["metadata"].get("labels") or {}
    return found


def limits(deployment: Obj) -> tuple[int, int]:
    """(most Pods, least available Pods) of a Deployment."""
    wanted = replicas_of(deployment)
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return wanted, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge, missing = surge_and_unavailable(rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"), wanted)
    return wanted + surge, wanted - missing


def is_recreate(deployment: Obj) -> bool:
    """Its strategy is Recreate."""
    return (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"


def finished(job: Obj) -> str:
    """Complete or Failed, once a Job is; else empty."""
    return next((kind for kind in ("Complete", "Failed") if condition(job, kind).get("status") == "True"), "")
