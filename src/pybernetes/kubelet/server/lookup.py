"""Lookup: which Pod and which run of a container a path means, and upstream's words where there is none."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from pybernetes.api.errors import BadRequest, InternalError, NotFound
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import Container, PodRef, State
from pybernetes.kubelet.pod_actions import Observed
from pybernetes.kubelet.pod_containers import find_container


class PodHere(Protocol):
    """What is asked of a Pod of this node: worker.PodWorker."""

    @property
    def ref(self) -> PodRef:
        """Which Pod it is."""

    @property
    def pod(self) -> core_v1.Pod | None:
        """None once the API knows it no more."""

    @property
    def observed(self) -> Observed:
        """What there is of it."""

    def status(self) -> core_v1.PodStatus | None: ...


P = TypeVar("P", bound=PodHere)
Find = Callable[[str, str, str], P | None]
"""Namespace, name and uid (empty: any) to the live Pod."""
_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def named(pods: Iterable[P], namespace: str, name: str, uid: str = "") -> P | None:
    """The Pod of that name, and of that uid if one is given; of namesakes the one that a source knows."""
    found = [p for p in pods if (p.ref.namespace, p.ref.name) == (namespace, name) and uid in ("", p.ref.uid)]
    return next((p for p in found if p.pod is not None), found[0] if found else None)


def worker_of(find: Find[P], namespace: str, name: str) -> P:
    """Raises NotFound."""
    worker = find(namespace, name, "")
    if worker is None or worker.pod is None:
        raise NotFound("pod does not exist")
    return worker


def running_container(find: Find[P], rest: list[str]) -> Container:
    """What /<namespace>/<pod>[/<uid>]/<container> means. Raises NotFound, InternalError."""
    namespace, name, uid, container = rest if len(rest) == 4 else (rest[0], rest[1], "", rest[2])
    worker_of(find, namespace, name)
    worker = find(namespace, name, uid)
    runs = machine.by_name(worker.observed).get(container, ()) if worker is not None else ()
    run = next((run for run in runs if run.state == State.RUNNING), None)
    if run is None:
        raise InternalError(f'container not found ("{container}")')
    return run


def run_to_read(find: Find[P], rest: list[str], *, previous: bool) -> tuple[P, Container]:
    """Whose log /<namespace>/<pod>/<container> means. Raises NotFound, BadRequest."""
    namespace, name, container = rest
    worker = find(namespace, name, "")
    if worker is None or worker.pod is None:
        raise NotFound(f'pod "{name}" does not exist')
    if find_container(worker.pod, container) is None:
        raise NotFound(f'container "{container}" not found in pod "{name}"')
    status = worker.status() or core_v1.PodStatus()
    every = (*status.initContainerStatuses, *status.containerStatuses, *status.ephemeralContainerStatuses)
    found = next((one for one in every if one.name == container), None)
    if found is None:
        raise BadRequest(f'container "{container}" in pod "{name}" is not available')
    id = _previous(found, name) if previous else _current(found, name)
    run = next((run for run in worker.observed.containers if run.id == id.partition("://")[2]), None)
    if run is None:
        raise BadRequest(f"unable to retrieve container logs for {id}")
    return worker, run


def _previous(status: core_v1.ContainerStatus, pod: str) -> str:
    ended = status.lastState.terminated
    if ended is None or not ended.containerID:
        raise BadRequest(f'previous terminated container "{status.name}" in pod "{pod}" not found')
    return ended.containerID


def _current(status: core_v1.ContainerStatus, pod: str) -> str:
    """The run that goes on, else the last that has ended."""
    state, last = status.state, status.lastState.terminated
    if state.running is not None:
        return status.containerID
    if state.terminated is not None and state.terminated.containerID:
        return state.terminated.containerID
    if last is not None and last.containerID:
        return last.containerID
    named = f'container "{status.name}" in pod "{pod}"'
    if state.terminated is not None or last is not None:
        raise BadRequest(f"{named} is terminated")
    if state.waiting is None:
        raise BadRequest(f"{named} is waiting to start - no logs yet")
    raise BadRequest(f"{named} is waiting to start: {_WAITING.get(state.waiting.reason, state.waiting.reason)}")
