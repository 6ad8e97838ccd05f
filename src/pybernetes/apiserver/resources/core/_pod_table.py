"""The table of Pods: Ready, Status and Restarts as kubectl users know them. pods.py shows it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.aio.clock import parse_time
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.rules.ages import age

_State = Mapping[str, Any]


class _Restarts:
    """How often containers were restarted, and when last."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, state: _State) -> None:
        self.count += state.get("restartCount") or 0
        ended = ((state.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        # Times are all UTC in one form: they sort as text.
        self.last = max(self.last, ended)


def _sidecars(obj: Object) -> set[str]:
    return {c["name"] for c in spec(obj).get("initContainers") or () if c.get("restartPolicy") == "Always"}


def _ended(terminated: Mapping[str, Any], prefix: str) -> str:
    if terminated.get("reason"):
        return f"{prefix}{terminated['reason']}"
    if terminated.get("signal"):
        return f"{prefix}Signal:{terminated['signal']}"
    return f"{prefix}ExitCode:{terminated.get('exitCode') or 0}"


def _initializing(obj: Object) -> str | None:
    """The status while init containers have work to do, else None."""
    sidecars = _sidecars(obj)
    total = len(spec(obj).get("initContainers") or ())
    for index, container in enumerate(status(obj).get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        if terminated is not None:
            return _ended(terminated, "Init:")
        if waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def _conditions(obj: Object) -> Iterator[Mapping[str, Any]]:
    yield from status(obj).get("conditions") or ()


def _holds(obj: Object, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in _conditions(obj))


def _running(obj: Object, reason: str) -> str:
    """The status from the app containers, the first one that has something to say."""
    running = False
    for container in reversed(status(obj).get("containerStatuses") or ()):
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = _ended(terminated, "")
        elif container.get("ready") and state.get("running") is not None:
            running = True
    if reason == "Completed" and running:
        return "Running" if _holds(obj, "Ready") else "NotReady"
    return reason


def pod_status(obj: Object) -> str:
    """What kubectl shows as STATUS."""
    reason = status(obj).get("reason") or status(obj).get("phase") or ""
    if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in _conditions(obj)):
        reason = "SchedulingGated"
    initializing = _initializing(obj)
    if initializing is not None:
        reason = initializing
    if initializing is None or _holds(obj, "Initialized"):
        reason = _running(obj, reason)
    if obj["metadata"].get("deletionTimestamp"):
        if status(obj).get("reason") == "NodeLost":
            return "Unknown"
        if status(obj).get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return str(reason)


def _ready(obj: Object) -> str:
    sidecars = _sidecars(obj)
    total = len(spec(obj).get("containers") or ()) + len(sidecars)
    ready = sum(
        bool(c.get("ready") and (c.get("state") or {}).get("running") is not None)
        for c in status(obj).get("containerStatuses") or ()
        if _initializing(obj) is None or _holds(obj, "Initialized")
    )
    ready += sum(
        bool(c.get("name") in sidecars and c.get("started") and c.get("ready"))
        for c in status(obj).get("initContainerStatuses") or ()
    )
    return f"{ready}/{total}"


def _restarts(obj: Object) -> _Restarts:
    found, sidecars = _Restarts(), _sidecars(obj)
    initializing = _initializing(obj) is not None and not _holds(obj, "Initialized")
    for container in status(obj).get("initContainerStatuses") or ():
        if initializing or container.get("name") in sidecars:
            found.add(container)
    if not initializing:
        for container in status(obj).get("containerStatuses") or ():
            found.add(container)
    return found


def _restarts_at(obj: Object, now: float) -> object:
    found = _restarts(obj)
    if not found.count or not found.last:
        return str(found.count)
    return f"{found.count} ({age(now - parse_time(found.last))} ago)"


def _gates(obj: Object) -> str:
    gates = spec(obj).get("readinessGates") or ()
    if not gates:
        return NONE
    return f"{sum(_holds(obj, gate.get('conditionType', '')) for gate in gates)}/{len(gates)}"


def _address(obj: Object) -> str:
    addresses = status(obj).get("podIPs") or ()
    return (addresses[0].get("ip") if addresses else status(obj).get("podIP")) or NONE


COLUMNS = (
    Column("Ready", _ready, description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", pod_status, description="The aggregate status of the containers in this pod."),
    Column(
        "Restarts",
        lambda obj: str(_restarts(obj).count),
        description="The number of times the containers in this pod have been restarted and when the last one did.",
        cell_at=_restarts_at,
    ),
    AGE,
    Column("IP", _address, description="Address of the pod.", priority=1),
    Column("Node", lambda obj: spec(obj).get("nodeName") or NONE, description="Where the pod runs.", priority=1),
    Column(
        "Nominated Node",
        lambda obj: status(obj).get("nominatedNodeName") or NONE,
        description="Where the pod will run once others have made room.",
        priority=1,
    ),
    Column("Readiness Gates", _gates, description="Further conditions that must hold, and how many do.", priority=1),
)
