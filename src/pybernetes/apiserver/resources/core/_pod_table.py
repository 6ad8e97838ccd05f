"""The table of Pods: Ready, Status and Restarts as kubectl users know them. pods.py shows it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, since
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status

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


class _Summary:
    """A Pod's containers in one pass: what the first three columns show."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self.sidecars = {c.get("name") for c in spec(obj).get("initContainers") or () if _is_sidecar(c)}
        self.total = len(spec(obj).get("containers") or ()) + sum(
            map(_is_sidecar, spec(obj).get("initContainers") or ())
        )
        self.ready = 0
        self.restarts = _Restarts()
        self.reason = status(obj).get("reason") or status(obj).get("phase") or ""
        if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in _conditions(obj)):
            self.reason = "SchedulingGated"
        of_sidecars = _Restarts()
        if not self._initializing(of_sidecars) or _holds(obj, "Initialized"):
            self.restarts = of_sidecars
            self._running()
        if obj["metadata"].get("deletionTimestamp"):
            if status(obj).get("reason") == "NodeLost":
                self.reason = "Unknown"
            elif status(obj).get("phase") not in ("Succeeded", "Failed"):
                self.reason = "Terminating"

    def _initializing(self, of_sidecars: _Restarts) -> bool:
        """Whether init containers have work to do; the first that does gives the reason."""
        total = len(spec(self.obj).get("initContainers") or ())
        for index, container in enumerate(status(self.obj).get("initContainerStatuses") or ()):
            sidecar = container.get("name") in self.sidecars
            self.restarts.add(container)
            if sidecar:
                of_sidecars.add(container)
            state = container.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting")
            if terminated is not None and not terminated.get("exitCode"):
                continue
            if sidecar and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            if terminated is not None:
                self.reason = _ended(terminated, "Init:")
            elif waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{index}/{total}"
            return True
        return False

    def _running(self) -> None:
        """App containers; the first one that has something to say gives the reason."""
        running = False
        for container in reversed(status(self.obj).get("containerStatuses") or ()):
            self.restarts.add(container)
            state = container.get("state") or {}
            waiting, terminated = state.get("waiting"), state.get("terminated")
            if waiting and waiting.get("reason"):
                self.reason = waiting["reason"]
            elif terminated is not None:
                self.reason = _ended(terminated, "")
            elif container.get("ready") and state.get("running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if _holds(self.obj, "Ready") else "NotReady"


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _ended(terminated: Mapping[str, Any], prefix: str) -> str:
    if terminated.get("reason"):
        return f"{prefix}{terminated['reason']}"
    if terminated.get("signal"):
        return f"{prefix}Signal:{terminated['signal']}"
    return f"{prefix}ExitCode:{terminated.get('exitCode') or 0}"


def _conditions(obj: Object) -> Iterator[Mapping[str, Any]]:
    yield from status(obj).get("conditions") or ()


def _holds(obj: Object, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in _conditions(obj))


def pod_status(obj: Object) -> str:
    """What kubectl shows as STATUS."""
    return str(_Summary(obj).reason)


def _ready(found: _Summary) -> str:
    return f"{found.ready}/{found.total}"


def _restarts(summary: _Summary) -> object:
    found = summary.restarts
    if not found.count or not found.last:
        return str(found.count)
    return since(found.last, f"{found.count} (", " ago)")


def _gates(obj: Object) -> str:
    gates = spec(obj).get("readinessGates") or ()
    if not gates:
        return NONE
    return f"{sum(_holds(obj, gate.get('conditionType', '')) for gate in gates)}/{len(gates)}"


def _address(obj: Object) -> str:
    addresses = status(obj).get("podIPs") or ()
    return (addresses[0].get("ip") if addresses else status(obj).get("podIP")) or NONE


COLUMNS = (
    Column(
        "Ready",
        _ready,
        description="The aggregate readiness state of this pod for accepting traffic.",
        of=_Summary,
    ),
    Column(
        "Status",
        lambda found: found.reason,
        description="The aggregate status of the containers in this pod.",
        of=_Summary,
    ),
    Column(
        "Restarts",
        _restarts,
        description="The number of times the containers in this pod have been restarted and when the last one did.",
        of=_Summary,
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
