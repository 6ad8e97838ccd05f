"""A Pod's status from what was observed: pure. reporter.py sends it. See "Pod Lifecycle": phase, conditions, states.

The old status is an argument because the API is part of the memory: last states whose containers the runtime has
forgotten, transition times, and conditions that others own.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import Container, State
from pybernetes.kubelet.images.references import BACK_OFF, ERR_PULL
from pybernetes.kubelet.pod_actions import Observed
from pybernetes.kubelet.restarts import is_sidecar, may_restart, may_restart_all, restart_time, rule_for
from pybernetes.kubelet.status import pod_resources
from pybernetes.kubelet.status.at_end import at_end
from pybernetes.kubelet.status.mounts import images_shown, mounts_shown
from pybernetes.kubelet.status.pod_conditions import OURS, conditions, passed
from pybernetes.rules.qos import qos_class

BACK_OFF_NOTICE = 1.0
"""So long a failed pull is ErrImagePull, then ImagePullBackOff until the next try; and so long a failed start is told before
CrashLoopBackOff."""
DEADLINE = act.Verdict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
_UNTOLD = core_v1.ContainerStateTerminated(
    exitCode=0,
    reason="Completed",
    message="Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally",
)
_ALL_MESSAGES = 12 * 1024
"""Bytes of all termination messages of a Pod together."""


class Surroundings(Struct, frozen=True):
    """What of the node and of the runtime a status shows."""

    host_ips: tuple[str, ...]
    runtime: str = "containerd"
    images: Mapping[str, str] = {}
    """Image id to a name with digest: what imageID shows."""
    messages: Mapping[str, str] = {}
    """Container id to its termination message."""
    ended: Mapping[str, Container] = {}
    """By container name the newest run that was seen to have ended, whatever the runtime still knows of it."""
    conditions: Mapping[str, core_v1.PodCondition | None] = {}
    """By type, what other parts of the kubelet say; None takes a condition away."""
    resources: Mapping[str, core_v1.ResourceRequirements] = {}
    """By container name, what they have; the spec's where it is not said."""
    applied: core_v1.Pod | None = None
    """The Pod with what its cgroup was set for, where that may be something else than what it was given."""
    volume_images: Mapping[str, str] = {}
    """By volume, the id of the image that it shows, of those that this process has pulled."""
    most: int = 4096
    """Bytes of one termination message."""


def pod_status(pod: core_v1.Pod, observed: Observed, around: Surroundings) -> core_v1.PodStatus:
    """The status to report now."""
    old = pod.status
    if not observed.containers and not observed.sandboxes and not old.containerStatuses:
        if observed.verdict is not None:
            return _refused(pod, observed, observed.verdict)
        if old.phase == "Failed":
            return old
    spec = pod.spec
    count = len(spec.initContainers) + len(spec.containers) + len(spec.ephemeralContainers)
    around = replace(around, most=min(around.most, _ALL_MESSAGES // max(1, count)))
    inits = tuple(_container(pod, c, observed, around, old.initContainerStatuses) for c in pod.spec.initContainers)
    mains = tuple(_container(pod, c, observed, around, old.containerStatuses) for c in pod.spec.containers)
    guests = _ephemeral(pod, observed, around)
    if machine.terminating(pod, observed) and not _living(observed):
        inits, mains = at_end(pod, inits, mains)
    phase, reason, message = _phase(pod, observed, inits, mains)
    ips = _pod_ips(pod, observed, around, phase)
    started = old.startTime or (rfc3339(observed.started) if observed.started is not None else None)
    status = replace(
        old,
        observedGeneration=pod.metadata.generation,
        phase=phase,
        reason=reason,
        message=message,
        hostIP=around.host_ips[0] if around.host_ips else "",
        hostIPs=tuple(core_v1.HostIP(ip=ip) for ip in around.host_ips),
        podIP=ips[0] if ips else "",
        podIPs=tuple(core_v1.PodIP(ip=ip) for ip in ips),
        startTime=started,
        initContainerStatuses=inits,
        containerStatuses=tuple(sorted(mains, key=_name)),
        ephemeralContainerStatuses=tuple(sorted(guests, key=_name)),
        qosClass=old.qosClass or qos_class(pod),
        allocatedResources=pod_resources.allocated(pod),
        resources=pod_resources.applied(around.applied or pod),
    )
    return replace(status, conditions=conditions(pod, status, observed, around.conditions))


def remembered(pod: core_v1.Pod, last: core_v1.PodStatus | None) -> core_v1.Pod:
    """The Pod with the status that was sent last, and what others have added to it; an end that they have said stands."""
    if last is None or last is pod.status:
        return pod
    own = tuple(c for c in last.conditions if c.type in OURS)
    foreign = tuple(c for c in pod.status.conditions if c.type not in OURS)
    status = replace(last, conditions=own + foreign)
    said = pod.status
    if said.phase in ("Succeeded", "Failed") and last.phase not in ("Succeeded", "Failed"):
        status = replace(status, phase=said.phase, reason=said.reason, message=said.message)
    return replace(pod, status=status)


def _name(status: core_v1.ContainerStatus) -> str:
    return status.name


def _refused(pod: core_v1.Pod, observed: Observed, verdict: act.Verdict) -> core_v1.PodStatus:
    """Of a Pod that the node did not take: why, and nothing of the node's, not even that it was scheduled, as upstream."""
    return core_v1.PodStatus(
        observedGeneration=pod.metadata.generation,
        phase="Failed",
        reason=verdict.reason,
        message=f"Pod was rejected: {verdict.message}",
        startTime=pod.status.startTime or (rfc3339(observed.started) if observed.started is not None else None),
        qosClass=pod.status.qosClass or qos_class(pod),
        conditions=tuple(c for c in pod.status.conditions if c.type not in OURS),
    )


def _pod_ips(pod: core_v1.Pod, observed: Observed, around: Surroundings, phase: str) -> tuple[str, ...]:
    if pod.spec.hostNetwork:
        return around.host_ips
    sandbox = machine.current_sandbox(observed)
    if sandbox is not None and sandbox.ips:
        return sandbox.ips
    # A Pod that has ended keeps its address in the status.
    return tuple(ip.ip for ip in pod.status.podIPs) if phase in ("Succeeded", "Failed") else ()


def _ephemeral(pod: core_v1.Pod, observed: Observed, around: Surroundings) -> tuple[core_v1.ContainerStatus, ...]:
    as_containers = (
        core_v1.Container(name=c.name, image=c.image, restartPolicy="Never", volumeMounts=c.volumeMounts)
        for c in pod.spec.ephemeralContainers
    )
    old = pod.status.ephemeralContainerStatuses
    found = (_container(pod, c, observed, around, old) for c in as_containers)
    return tuple(replace(one, ready=False, started=None) for one in found)  # probes are not for them


def _container(
    pod: core_v1.Pod,
    spec: core_v1.Container,
    observed: Observed,
    around: Surroundings,
    before: Iterable[core_v1.ContainerStatus],
) -> core_v1.ContainerStatus:
    """One container's status."""
    old = next((s for s in before if s.name == spec.name), core_v1.ContainerStatus())
    runs = machine.by_name(observed).get(spec.name, [])
    run = runs[0] if runs else None
    if run is None:
        return _never_ran(pod, spec, observed, around, old)
    state = _state(pod, spec, run, observed, around)
    ended = next((r for r in runs if r.state == State.EXITED and (r is not run or state.terminated is None)), None)
    if ended is None and spec.name in around.ended and around.ended[spec.name].id != run.id:
        ended = around.ended[spec.name]
    last = core_v1.ContainerState(terminated=_terminated(ended, around)) if ended else _remembered(old, run)
    said = machine.health(observed, run)
    running = state.running is not None
    if state.terminated is None and _ended_for_good(pod, spec, old):
        return replace(old, ready=False, started=False)
    is_init = any(c.name == spec.name for c in pod.spec.initContainers)
    done = is_init and state.terminated is not None and state.terminated.exitCode == 0
    ready = done if is_init and not is_sidecar(spec) else running and said.started and said.ready
    return core_v1.ContainerStatus(
        name=spec.name,
        state=state,
        lastState=last,
        ready=ready,
        restartCount=run.attempt,
        image=run.image or spec.image,
        imageID=around.images.get(run.image_ref, run.image_ref),
        containerID=f"{around.runtime}://{run.id}",
        started=running and said.started,
        resources=around.resources.get(spec.name, spec.resources),  # `{}` where nothing is asked for, as upstream
        allocatedResources=spec.resources.requests,
        volumeMounts=mounts_shown(
            spec, images_shown(pod, around.volume_images, old if old.containerID.endswith(run.id) else None)
        ),
        user=_user(run),
        stopSignal=run.stop_signal or None,
    )


def _ended_for_good(pod: core_v1.Pod, spec: core_v1.Container, old: core_v1.ContainerStatus) -> bool:
    """Whether the API has been told of an end that, by the policy, is the last: it takes no other word any more.

    A run may follow all the same, of a container whose spec has changed.
    """
    ended = old.state.terminated
    if ended is None or rule_for(spec, ended.exitCode) is not None or may_restart_all(pod):
        return False
    policy = spec.restartPolicy or pod.spec.restartPolicy or "Always"
    return policy == "Never" or (policy == "OnFailure" and ended.exitCode == 0)


def _user(run: Container) -> core_v1.ContainerUser | None:
    """Whom it runs as, where the runtime says so (CRI of containerd 2)."""
    if run.user is None:
        return None
    groups = tuple(run.user.groups)
    linux = core_v1.LinuxContainerUser(uid=run.user.uid, gid=run.user.gid, supplementalGroups=groups)
    return core_v1.ContainerUser(linux=linux)


def _never_ran(
    pod: core_v1.Pod,
    spec: core_v1.Container,
    observed: Observed,
    around: Surroundings,
    old: core_v1.ContainerStatus,
) -> core_v1.ContainerStatus:
    """Nothing of it is in the runtime: not yet, or no more (a node whose disk was emptied, a Pod long ended)."""
    base = core_v1.ContainerStatus(name=spec.name, image=spec.image, started=False, volumeMounts=mounts_shown(spec))
    if old.state.terminated is not None and (
        pod.status.phase in ("Succeeded", "Failed") or machine.terminating(pod, observed)
    ):
        return replace(old, ready=False, started=False)
    gone = around.ended.get(spec.name)
    if _initializing_is_over(pod, spec, observed):
        known = old.state.terminated or (_terminated(gone, around) if gone is not None else _UNTOLD)
        over = core_v1.ContainerState(terminated=known)
        return replace(old if old.name else base, state=over, ready=known.exitCode == 0, started=False)
    if gone is not None and not machine.terminating(pod, observed):
        last = core_v1.ContainerState(terminated=_terminated(gone, around))
        base = replace(base, lastState=last, restartCount=gone.attempt)
    elif old.state.running is not None or old.state.terminated is not None:
        ended = old.state.terminated or core_v1.ContainerStateTerminated(
            exitCode=137,
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was deleted.  The container used to be Running"
            if pod.metadata.deletionTimestamp
            else "The container could not be located when the pod was terminated",
            containerID=old.containerID,
        )
        if machine.terminating(pod, observed):
            return replace(old, state=core_v1.ContainerState(terminated=ended), ready=False, started=False)
        base = replace(base, lastState=core_v1.ContainerState(terminated=ended), restartCount=old.restartCount)
    elif old.restartCount:
        base = replace(base, lastState=old.lastState, restartCount=old.restartCount)
    return replace(base, state=core_v1.ContainerState(waiting=_waiting(pod, spec, observed, None)))


def _initializing_is_over(pod: core_v1.Pod, spec: core_v1.Container, observed: Observed) -> bool:
    """Whether it is an init container whose work is done, or what comes after it would not be there."""
    mine = any(c.name == spec.name for c in pod.spec.initContainers) and not is_sidecar(spec)
    return mine and passed(pod, spec.name, machine.by_name(observed))


def _remembered(old: core_v1.ContainerStatus, run: Container) -> core_v1.ContainerState:
    """The last state in the API, of a run that the runtime no longer knows."""
    if old.containerID and not old.containerID.endswith(run.id):
        return core_v1.ContainerState(terminated=old.state.terminated) if old.state.terminated else old.lastState
    return old.lastState


def _state(
    pod: core_v1.Pod, spec: core_v1.Container, run: Container, observed: Observed, around: Surroundings
) -> core_v1.ContainerState:
    if run.state == State.RUNNING and not _in_post_start(spec, run, observed):
        return core_v1.ContainerState(running=core_v1.ContainerStateRunning(startedAt=rfc3339(run.started)))
    if run.state == State.EXITED and not _in_post_start(spec, run, observed):
        waiting = _will_restart(pod, spec, run, observed) or _changing(pod, spec, run, observed)
        if waiting is not None:
            return core_v1.ContainerState(waiting=waiting)
        return core_v1.ContainerState(terminated=_terminated(run, around))
    return core_v1.ContainerState(waiting=_waiting(pod, spec, observed, run))


def _in_post_start(spec: core_v1.Container, run: Container, observed: Observed) -> bool:
    """Whether its postStart hook still runs, or what follows from its failure: until then the container counts neither as
    running nor as ended."""
    hook = spec.lifecycle.postStart if spec.lifecycle is not None else None
    return hook is not None and act.StartContainer(run.name, run.id).key in observed.busy


def _will_restart(
    pod: core_v1.Pod, spec: core_v1.Container, run: Container, observed: Observed
) -> core_v1.ContainerStateWaiting | None:
    """Why an ended container waits for its next run; None when there will be none, or it is due at this moment."""
    if machine.terminating(pod, observed) or machine.finished(pod, observed):
        return None
    attempt = run.attempt + 1
    for key in (act.PullImage(spec.name, attempt).key, f"create/{spec.name}"):
        failure = observed.failures.get(key)
        if failure is not None:
            return _failed(spec, failure, observed.now)
    failure = observed.failures.get(act.StartContainer(run.name, run.id).key)
    if failure is not None and may_restart(pod, spec, run) and observed.now < failure.since + BACK_OFF_NOTICE:
        return _failed(spec, failure, observed.now)
    until, sandbox = restart_time(run, observed.now), machine.current_sandbox(observed)
    here = sandbox is not None and run.sandbox == sandbox.id  # in a new sandbox everything starts without back-off
    if here and may_restart(pod, spec, run) and until > observed.now and until > run.finished:
        seconds = round(until - run.finished)
        shown = f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
        meta = pod.metadata
        where = f"pod={meta.name}_{meta.namespace}({meta.uid})"
        message = f"back-off {shown} restarting failed container={spec.name} {where}"
        return core_v1.ContainerStateWaiting(reason="CrashLoopBackOff", message=message)
    if failure is not None and may_restart(pod, spec, run):
        return _failed(spec, failure, observed.now)
    return None


def _changing(
    pod: core_v1.Pod, spec: core_v1.Container, run: Container, observed: Observed
) -> core_v1.ContainerStateWaiting | None:
    """Of a run that was stopped because its spec has changed: not an end in the sense of the policy."""
    if machine.terminating(pod, observed) or pod.status.phase in ("Succeeded", "Failed"):
        return None
    return core_v1.ContainerStateWaiting(reason="ContainerCreating") if run.replaced else None


def _terminated(run: Container, around: Surroundings) -> core_v1.ContainerStateTerminated:
    reason = run.reason or ("Completed" if run.exit_code == 0 else "Error")
    return core_v1.ContainerStateTerminated(
        exitCode=run.exit_code,
        reason=reason,
        message=_shortened(around.messages.get(run.id, run.message), around.most),
        startedAt=rfc3339(run.started),  # of a run that could not start 1970, as upstream says
        finishedAt=rfc3339(run.finished),
        containerID=f"{around.runtime}://{run.id}",
    )


def _shortened(text: str, most: int) -> str:
    data = text.encode()
    return text if len(data) <= most else data[:most].decode(errors="ignore")


def _waiting(
    pod: core_v1.Pod, spec: core_v1.Container, observed: Observed, run: Container | None
) -> core_v1.ContainerStateWaiting:
    """A waiting container always has a reason."""
    attempt = 1 + max(run.attempt if run else -1, observed.restarts.get(spec.name, -1))
    keys = [act.PullImage(spec.name, attempt).key, f"create/{spec.name}"]
    if run is not None:
        keys.append(f"start/{run.id}")
    for key in keys:
        failure = observed.failures.get(key)
        if failure is not None:
            return _failed(spec, failure, observed.now)
    return core_v1.ContainerStateWaiting(reason="PodInitializing" if pod.spec.initContainers else "ContainerCreating")


def _failed(spec: core_v1.Container, failure: act.Failure, now: float) -> core_v1.ContainerStateWaiting:
    if failure.reason == ERR_PULL and now >= failure.since + BACK_OFF_NOTICE:
        message = f'Back-off pulling image "{failure.image or spec.image}": {ERR_PULL}: {failure.message}'
        return core_v1.ContainerStateWaiting(reason=BACK_OFF, message=message)
    return core_v1.ContainerStateWaiting(reason=failure.reason, message=failure.message)


def _living(observed: Observed) -> bool:
    return machine.starting(observed) or bool(observed.running)


def _phase(
    pod: core_v1.Pod,
    observed: Observed,
    inits: Sequence[core_v1.ContainerStatus],
    mains: Sequence[core_v1.ContainerStatus],
) -> tuple[str, str, str]:
    """Phase, reason and message. Succeeded and Failed are for ever."""
    old = pod.status
    if old.phase in ("Succeeded", "Failed"):
        return old.phase, old.reason, old.message
    living = _living(observed)
    verdict = observed.verdict
    ends = machine.deadline(pod, observed)
    if verdict is None and ends is not None and ends <= observed.now:
        verdict = DEADLINE
    begun = "Pending" if _pending(pod, observed, inits, mains) else "Running"
    if verdict is not None:
        return begun if living else "Failed", verdict.reason, verdict.message
    if machine.finished(pod, observed) and not living:
        regular = (s for s, c in zip(inits, pod.spec.initContainers, strict=True) if not is_sidecar(c))
        failed = any(s.state.terminated and s.state.terminated.exitCode for s in (*mains, *regular))
        return "Failed" if failed else "Succeeded", "", ""
    if pod.metadata.deletionTimestamp is not None and not living:
        return (
            "Failed" if any(s.state.terminated is None or s.state.terminated.exitCode for s in mains) else "Succeeded",
            "",
            "",
        )
    return begun, "", ""


def _pending(
    pod: core_v1.Pod,
    observed: Observed,
    inits: Sequence[core_v1.ContainerStatus],
    mains: Sequence[core_v1.ContainerStatus],
) -> bool:
    """Whether something is still to start for the first time, or the Pod is being initialized: once more, after a reboot."""
    sandbox = machine.current_sandbox(observed)
    names = {c.name for c in pod.spec.containers}
    began = any(
        c.name in names and c.state != State.CREATED and sandbox and c.sandbox == sandbox.id
        for c in observed.containers
    )
    for spec, status in zip(pod.spec.initContainers, inits, strict=True):
        if _new(status) or (status.state.running and not (is_sidecar(spec) and (began or status.started))):
            return True
    return any(_new(status) for status in mains)


def _new(status: core_v1.ContainerStatus) -> bool:
    """Whether a container has never run."""
    return status.state.waiting is not None and status.lastState.terminated is None
