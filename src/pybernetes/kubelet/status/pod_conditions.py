"""A Pod's conditions: what is true of it as a whole, with upstream's reasons and texts. pod_status.py puts them into the status."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import Container, State
from pybernetes.kubelet.pod_actions import Observed
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.restarts import is_sidecar, may_restart_all
from pybernetes.rules.readiness import DISRUPTION_TARGET

READY_TO_START, INITIALIZED, CONTAINERS_READY, READY, SCHEDULED = (
    "PodReadyToStartContainers",
    "Initialized",
    "ContainersReady",
    "Ready",
    "PodScheduled",
)
RESTARTING_ALL = "AllContainersRestarting"
OURS = (READY_TO_START, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED, RESTARTING_ALL)


def conditions(
    pod: core_v1.Pod,
    status: core_v1.PodStatus,
    observed: Observed,
    others: Mapping[str, core_v1.PodCondition | None],
) -> tuple[core_v1.PodCondition, ...]:
    """Ours computed, those of `others` in the kubelet put in (None takes one away), those of everybody else kept."""
    now = rfc3339(observed.now)
    seen = machine.by_name(observed)
    network = machine.current_sandbox(observed) is not None and not machine.terminating(pod, observed)
    wanted = [
        _condition(READY_TO_START, network),
        _initialized_condition(pod, status, seen, observed),
        _ready_condition(pod, status, gates=True),
        _ready_condition(pod, status, gates=False),
        _condition(SCHEDULED, True),
        *_restarting_all_condition(pod, status, observed),
    ]
    told = {kind: condition for kind, condition in others.items() if condition is not None}
    if observed.verdict is not None and observed.verdict.disruption:
        why = observed.verdict.disruption
        told[DISRUPTION_TARGET] = _condition(DISRUPTION_TARGET, True, "TerminationByKubelet", why)
    wanted += told.values()
    old = {c.type: c for c in pod.status.conditions}
    found = []
    for condition in wanted:
        before = old.get(condition.type)
        same = before is not None and before.status == condition.status
        since = before.lastTransitionTime if same and before else now
        generation = condition.observedGeneration or pod.metadata.generation
        found.append(replace(condition, lastTransitionTime=since, observedGeneration=generation))
    written = {*OURS, *others, *told}
    return (*found, *(c for c in pod.status.conditions if c.type not in written))


def _restarting_all_condition(
    pod: core_v1.Pod, status: core_v1.PodStatus, observed: Observed
) -> Iterable[core_v1.PodCondition]:
    """Only of Pods with a rule that could make it true (KEP-5532)."""
    if not may_restart_all(pod):
        return
    if status.phase in ("Succeeded", "Failed"):
        yield _condition(RESTARTING_ALL, False, "PodCompleted" if status.phase == "Succeeded" else "PodFailed")
    elif machine.restarting_all(pod, observed) and not machine.terminating(pod, observed):
        reason = "RestartAllContainersStarted"
        yield _condition(RESTARTING_ALL, True, reason, "container exited with restart policy rule")
    else:
        yield _condition(RESTARTING_ALL, False)


def _condition(kind: str, status: bool, reason: str = "", message: str = "") -> core_v1.PodCondition:
    return core_v1.PodCondition(type=kind, status="True" if status else "False", reason=reason, message=message)


def _initialized_condition(
    pod: core_v1.Pod, status: core_v1.PodStatus, seen: Mapping[str, Sequence[Container]], observed: Observed
) -> core_v1.PodCondition:
    if status.phase == "Succeeded":
        return _condition(INITIALIZED, True, "PodCompleted")
    left = _incomplete(pod, seen, observed)
    before = {c.type: c.status for c in pod.status.conditions}
    again = any(c.type == RESTARTING_ALL for c in pod.status.conditions) and before.get(INITIALIZED) == "True"
    if left and not again:
        message = f"containers with incomplete status: [{' '.join(left)}]"
        return _condition(INITIALIZED, False, "ContainersNotInitialized", message)
    return _condition(INITIALIZED, True)


def _ready_condition(pod: core_v1.Pod, status: core_v1.PodStatus, *, gates: bool) -> core_v1.PodCondition:
    kind = READY if gates else CONTAINERS_READY
    if status.phase == "Succeeded":
        return _condition(kind, False, "PodCompleted")
    if status.phase == "Failed":
        return _condition(kind, False, "PodFailed")
    ready = {s.name for s in (*status.initContainerStatuses, *status.containerStatuses) if s.ready}
    counted = (*(c for c in pod.spec.initContainers if is_sidecar(c)), *pod.spec.containers)
    unready = [c.name for c in counted if c.name not in ready]
    if unready:
        return _condition(kind, False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    if gates:
        held = {c.type: c.status for c in pod.status.conditions}
        missing = [g.conditionType for g in pod.spec.readinessGates if held.get(g.conditionType) != "True"]
        if missing:
            shown = ", ".join(
                f'the status of pod readiness gate "{g}" is not "True", but {held[g]}'
                if g in held
                else f'corresponding condition of pod readiness gate "{g}" does not exist.'
                for g in missing
            )
            return _condition(kind, False, "ReadinessGatesNotReady", shown)
    return _condition(kind, True)


def _incomplete(pod: core_v1.Pod, seen: Mapping[str, Sequence[Container]], observed: Observed) -> list[str]:
    """Init containers that still stand in the way."""
    began = any(c.name in seen for c in pod.spec.containers)
    left = []
    for container in pod.spec.initContainers:
        run = next(iter(seen.get(container.name, ())), None)
        if is_sidecar(container):
            done = began or (run is not None and run.state == State.RUNNING and machine.health(observed, run).started)
        else:
            ended = run is not None and run.state == State.EXITED and run.exit_code == 0
            done = ended or (run is None and passed(pod, container.name, seen))
        if not done:
            left.append(container.name)
    return left


def passed(pod: core_v1.Pod, name: str, seen: Mapping[str, Sequence[Container]]) -> bool:
    """Whether something that starts after an init container has begun."""
    names = [c.name for c in containers_of(pod)]
    return any(later in seen for later in names[names.index(name) + 1 :])
