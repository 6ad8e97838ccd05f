"""What the Pod machine's actions do on a simulated node: values change, events are told. The kubelet's executor, in memory."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol, cast

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.addresses import NoAddress, PodAddresses
from pybernetes.assembly.simulated.adoption import container_id, sandbox_id
from pybernetes.assembly.simulated.logs import Logs
from pybernetes.assembly.simulated.pod import Pulled, SimulatedPod
from pybernetes.assembly.simulated.rarities import Stop
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cri.model import Container, Sandbox, State
from pybernetes.kubelet.failures import ActionFailed
from pybernetes.kubelet.images.references import ERR_PULL, ImageError, tagged
from pybernetes.kubelet.pod_containers import find_container
from pybernetes.kubelet.restarts import CONTAINER_HASH, container_hash, next_delay
from pybernetes.rules.durations import text_of

_FIRST_PULL, _MOST_PULL, _MOST_CREATE, _MOST_NETWORK = 10.0, 300.0, 10.0, 2.0
"""Seconds until something is tried again, as the kubelet counts them."""
_LONGEST_DELAY = 300.0
_PREPARED = frozenset((act.Prepare.name,))


class Place(Protocol):
    """The node that the Pods are on: table.PodTable."""

    addresses: PodAddresses
    logs: Logs
    allocations: Allocations | None

    def tell(self, pod: SimulatedPod, container: str, kind: str, reason: str, message: str) -> None: ...

    def no_network(self) -> str:
        """Why no Pod can have an address yet; empty where it can."""

    def resized(self, pod: SimulatedPod) -> None:
        """A resize may be complete."""

    def forget(self, pod: SimulatedPod) -> None:
        """Nothing is left of it."""


class Effects:
    """Those of one node."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._by_action: Mapping[type[act.Action], Callable[[SimulatedPod, act.Action, float], None]] = {
            act.Prepare: self._done,
            act.PullImage: self._pull,
            Pulled: self._pulled,
            act.RunSandbox: self._run_sandbox,
            act.StopSandbox: self._stop_sandbox,
            act.RemoveSandbox: self._remove_sandbox,
            act.CreateContainer: self._create,
            act.StartContainer: self._start,
            act.StopContainer: self._stop,
            act.RemoveContainer: self._remove,
            act.ResizePod: self._resize,
            act.TearDown: self._done,
            act.FinalDelete: self._final_delete,
            act.Forget: self._forget,
        }

    def perform(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        """Does one thing; what does not work is tried again later, as decide() says."""
        try:
            self._by_action[type(action)](pod, action, now)
        except ActionFailed as failed:
            pod.rare.failures.add(action.key, failed)
        else:
            pod.succeeded(action.key)

    def _tell(self, pod: SimulatedPod, container: str, reason: str, message: str) -> None:
        self._place.tell(pod, container, "Normal", reason, message)

    def _warn(self, pod: SimulatedPod, container: str, reason: str, message: str) -> None:
        self._place.tell(pod, container, "Warning", reason, message)

    def _done(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        pod.done |= {action.key}
        if pod.done == _PREPARED:
            pod.done = _PREPARED  # one for all Pods at rest

    # -- sandboxes -----------------------------------------------------------------------------------------------------

    def _run_sandbox(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        attempt = cast(act.RunSandbox, action).attempt
        on_host = pod.api.spec.hostNetwork
        wrong = "" if on_host else self._place.no_network()
        if wrong:
            self._warn(pod, "", "NetworkNotReady", f"network is not ready: {wrong}")
            raise ActionFailed("NetworkNotReady", wrong, most=_MOST_NETWORK)
        if attempt > 0 and pod.sandboxes:
            self._tell(pod, "", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            ips = () if on_host else self._place.addresses.take()
        except NoAddress as error:
            message = f"Failed to create pod sandbox: {error}"
            self._warn(pod, "", "FailedCreatePodSandBox", message)
            raise ActionFailed("FailedCreatePodSandBox", message, most=15.0) from None
        made = Sandbox(sandbox_id(pod.ref.uid, attempt), pod.ref, attempt, True, now, ips)
        pod.sandboxes = (made, *pod.sandboxes)
        pod.done -= {act.TearDown.name}

    def _stop_sandbox(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        self._end_sandbox(pod, cast(act.StopSandbox, action).sandbox)
        pod.done |= {action.key}

    def _remove_sandbox(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        id = cast(act.RemoveSandbox, action).sandbox
        self._end_sandbox(pod, id)
        pod.sandboxes = tuple(s for s in pod.sandboxes if s.id != id)
        for run in [run for run in pod.containers if run.sandbox == id]:
            self._drop(pod, run)

    def _end_sandbox(self, pod: SimulatedPod, id: str) -> None:
        for sandbox in pod.sandboxes:
            if sandbox.id == id:
                self._place.addresses.give_back(sandbox.ips)
        pod.sandboxes = tuple(replace(s, ready=False, ips=()) if s.id == id else s for s in pod.sandboxes)

    # -- containers ----------------------------------------------------------------------------------------------------

    def _pull(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        action = cast(act.PullImage, action)
        name, behaviour = action.container, pod.plan.of(action.container)
        image = _spec(pod, name).image
        try:
            tagged(image)
        except ImageError as error:
            self._warn(pod, name, "InspectFailed", error.message)
            self._warn(pod, name, "Failed", f"Error: {error.reason}")
            raise ActionFailed(error.reason, error.message, first=_FIRST_PULL, most=_MOST_PULL) from None
        if behaviour.pull_error:
            self._tell(pod, name, "Pulling", f'Pulling image "{image}"')
            self._warn(pod, name, "Failed", f'Failed to pull image "{image}": {behaviour.pull_error}')
            self._warn(pod, name, "Failed", f"Error: {ERR_PULL}")
            raise ActionFailed(ERR_PULL, behaviour.pull_error, first=_FIRST_PULL, most=_MOST_PULL)
        if behaviour.start_seconds:
            self._tell(pod, name, "Pulling", f'Pulling image "{image}"')
            pod.rare.pulls[action.key] = (now, now + behaviour.start_seconds)
            return
        there = "already present on machine and can be accessed by the pod"
        self._tell(pod, name, "Pulled", f'Container image "{image}" {there}')
        pod.done |= {action.key}

    def _pulled(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        action = cast(Pulled, action)
        image, took = _spec(pod, action.container).image, text_of(round(action.seconds, 3))
        message = f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: 0 bytes.'
        self._tell(pod, action.container, "Pulled", message)
        pod.done |= {action.key}

    def _create(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        action = cast(act.CreateContainer, action)
        if pod.plan.error:
            self._warn(pod, action.container, "Failed", f"Error: {pod.plan.error}")
            raise ActionFailed("CreateContainerConfigError", pod.plan.error, most=_MOST_CREATE)
        spec = _spec(pod, action.container)
        pod.put(
            Container(
                id=container_id(pod.ref.uid, action.container, action.attempt),
                sandbox=action.sandbox,
                pod=pod.ref,
                name=action.container,
                attempt=action.attempt,
                state=State.CREATED,
                created=now,
                image=spec.image,
                restart_delay=action.delay,
                annotations=_annotations(container_hash(spec)),
            )
        )
        pod.done -= {act.PullImage(action.container, action.attempt).key}
        self._tell(pod, action.container, "Created", "Container created")
        if self._place.allocations is not None:
            self._applied(pod, frozenset((action.container,)))

    def _start(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        action = cast(act.StartContainer, action)
        run = next(run for run in pod.containers if run.id == action.id)
        pod.put(replace(run, state=State.RUNNING, started=now))
        self._tell(pod, action.container, "Started", "Container started")
        text = pod.plan.of(action.container).log
        if text:
            self._place.logs.write(action.id, text)

    def _stop(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        action = cast(act.StopContainer, action)
        message = action.why or f"Stopping container {action.container}"
        self._tell(pod, action.container, "Killing", message)
        if action.replaced:
            run = next(run for run in pod.containers if run.id == action.id)
            pod.put(replace(run, replaced=True))
        hook = _pre_stop(pod, action.container) if action.hook and action.grace > 0 else 0.0
        seconds = hook + pod.plan.of(action.container).stop_seconds
        pod.rare.stops[action.key] = Stop(now, action.grace, seconds, action.after if action.grace > 0 else ())

    def _remove(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        id = cast(act.RemoveContainer, action).id
        self._drop(pod, next(run for run in pod.containers if run.id == id))

    def _drop(self, pod: SimulatedPod, run: Container) -> None:
        """Forgets a container, but for what its Pod has to tell of it."""
        pod.containers = tuple(r for r in pod.containers if r.id != run.id)
        self._place.logs.remove(run.id)
        if not pod.there:
            return
        rare = pod.rare
        if run.name not in rare.ended or rare.ended[run.name].attempt < run.attempt:
            rare.ended[run.name] = run
        if not any(r.name == run.name for r in pod.containers):
            rare.restarts[run.name] = run.attempt
            rare.delays[run.name] = next_delay(run, _LONGEST_DELAY)

    # -- the Pod -------------------------------------------------------------------------------------------------------

    def _resize(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        allocations = self._place.allocations
        assert allocations is not None
        self._applied(pod, allocations.in_place(pod.given()))

    def _applied(self, pod: SimulatedPod, names: frozenset[str]) -> None:
        """Containers, and the Pod as a whole, have what they were given."""
        allocations = self._place.allocations
        assert allocations is not None
        if allocations.applied(pod.given(), names):
            self._place.resized(pod)

    def _final_delete(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        pod.deleting = True

    def _forget(self, pod: SimulatedPod, action: act.Action, now: float) -> None:
        pod.gone = True
        self._place.forget(pod)


def _spec(pod: SimulatedPod, name: str) -> core_v1.Container:
    found = find_container(pod.given(), name)
    if found is None:
        raise ActionFailed("CreateContainerConfigError", f"container {name} is not in the Pod")
    return found


def _pre_stop(pod: SimulatedPod, name: str) -> float:
    """Seconds of a hook that the kubelet itself makes: nothing runs here that another could ask or run."""
    spec = find_container(pod.api, name)
    hook = spec.lifecycle.preStop if spec is not None and spec.lifecycle is not None else None
    return float(hook.sleep.seconds) if hook is not None and hook.sleep is not None else 0.0


@lru_cache(maxsize=4096)
def _annotations(digest: str) -> Mapping[str, str]:
    return {CONTAINER_HASH: digest}
