"""Takes up Pods that ran before this process did: what their statuses say is what there is. Nothing is written for it.

The API is all the memory that simulated nodes have: a control plane that is started again, or a state that is restored,
goes on where it was. Pure; pod.py calls it.
"""

import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import seconds_of
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Container, PodRef, Sandbox, State
from pybernetes.kubelet.pod_containers import find_container
from pybernetes.kubelet.restarts import CONTAINER_HASH, container_hash
from pybernetes.kubelet.status.pod_conditions import CONTAINERS_READY, READY_TO_START
from pybernetes.rules.readiness import condition, is_finished

_BACK_OFF = re.compile(r"back-off (?:(\d+)m)?(\d+)s restarting")


class Found(Struct, frozen=True):
    """What there is of a Pod. Containers: of each name the newest run first."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()


def sandbox_id(uid: str, attempt: int) -> str:
    """Of a simulated sandbox."""
    return f"{uid}/{attempt}"


def container_id(uid: str, name: str, attempt: int) -> str:
    """Of a simulated container."""
    return f"{uid}/{name}/{attempt}"


def found(pod: core_v1.Pod, ref: PodRef) -> Found:
    """By its status."""
    status = pod.status
    told = (*status.initContainerStatuses, *status.containerStatuses, *status.ephemeralContainerStatuses)
    sandbox = sandbox_id(ref.uid, 0)
    containers = tuple(run for one in told for run in _runs(pod, one, ref, sandbox))
    has_network = any(c.type == READY_TO_START and c.status == "True" for c in status.conditions)
    if not containers and not has_network:
        return Found()
    ready = not is_finished(pod)
    ips = () if pod.spec.hostNetwork else tuple(ip.ip for ip in status.podIPs)
    started = seconds_of(status.startTime or "")
    return Found((Sandbox(sandbox, ref, 0, ready, started, ips),), containers)


def unready(pod: core_v1.Pod) -> Iterable[str]:
    """Containers that run and were told not to be ready."""
    return (s.name for s in pod.status.containerStatuses if s.state.running is not None and not s.ready)


def unready_since(pod: core_v1.Pod) -> float:
    """When its containers, as a whole, were last ready, or began."""
    found = condition(pod, CONTAINERS_READY)
    return seconds_of(found.lastTransitionTime or "") if found is not None else 0.0


def _runs(pod: core_v1.Pod, status: core_v1.ContainerStatus, ref: PodRef, sandbox: str) -> Iterable[Container]:
    """The newest run and its predecessor, as far as they are known."""
    spec = find_container(pod, status.name)
    if spec is None:
        return
    as_was = replace(spec, image=status.image or spec.image)
    base = Container(
        id=status.containerID.partition("://")[2],
        sandbox=sandbox,
        pod=ref,
        name=status.name,
        attempt=status.restartCount,
        state=State.RUNNING,
        image=status.image,
        annotations={CONTAINER_HASH: container_hash(as_was)},
    )
    before = status.restartCount
    running, ended, last = status.state.running, status.state.terminated, status.lastState.terminated
    if running is not None and base.id:
        started = seconds_of(running.startedAt or "")
        yield replace(base, created=started, started=started)
        before -= 1
    elif ended is not None and ended.containerID:
        yield _ended(base, ended)
        before -= 1
    if last is not None and last.containerID and before >= 0:
        run = replace(_ended(base, last), attempt=before)
        yield replace(run, restart_delay=_delay(status))


def _ended(base: Container, told: core_v1.ContainerStateTerminated) -> Container:
    started = seconds_of(told.startedAt or "")
    return replace(
        base,
        id=told.containerID.partition("://")[2],
        state=State.EXITED,
        created=started,
        started=started,
        finished=seconds_of(told.finishedAt or ""),
        exit_code=told.exitCode,
        reason=told.reason,
        message=told.message,
    )


def _delay(status: core_v1.ContainerStatus) -> float:
    """How long a container that waits for its restart has to wait, which only its message says."""
    waiting = status.state.waiting
    told = _BACK_OFF.match(waiting.message) if waiting is not None else None
    return 60.0 * int(told[1] or 0) + int(told[2]) if told else 0.0
