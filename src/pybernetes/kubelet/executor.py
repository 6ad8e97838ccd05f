"""Performs the Pod machine's actions: CRI calls, images, volumes, cgroups, hooks, events. worker.py calls it.

Starts are bounded so that a node which comes back does not start a hundred Pods at once; stops never wait for them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, cast

from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1
from pybernetes.client.events import reference
from pybernetes.kubelet import metrics
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.allocation import GROUP, Allocations
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.failures import ActionFailed
from pybernetes.kubelet.hooks import HookFailed, Hooks
from pybernetes.kubelet.images.puller import Puller, Tell
from pybernetes.kubelet.images.references import ERR_PULL, ImageError
from pybernetes.kubelet.log_links import link_of, make_link, remove_logs, remove_run
from pybernetes.kubelet.maker import Maker, Place, message_file
from pybernetes.kubelet.messages import read_message
from pybernetes.kubelet.pod_containers import field_of, find_container
from pybernetes.kubelet.pre_stop import PreStop
from pybernetes.kubelet.probes.prober import Prober, Target, has_probes
from pybernetes.kubelet.resizer import Resizer
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.sources import Sources
from pybernetes.kubelet.specs.names import full_name, log_folder
from pybernetes.kubelet.status.reporter import Reports
from pybernetes.kubelet.turns import Turns
from pybernetes.kubelet.volume import VolumeError, words
from pybernetes.kubelet.volume_manager import Volumes
from pybernetes.kubelet.worker import PodWorker
from pybernetes.rules.goquote import quoted

log = logging.getLogger(__name__)

T = TypeVar("T")
Kind: TypeAlias = Literal["Normal", "Warning"]
_PATIENCE = 5.0
"""Seconds that a start gets to its end when the kubelet ends."""
_START, _CREATE, _SANDBOX = 0, 1, 2
"""Who goes first where starts wait: a Pod that is begun is finished before the next one begins."""
_PULL_FIRST, _PULL_MOST = 10.0, 300.0
_TYPES = {
    "initContainers": "init_container",
    "containers": "container",
    "ephemeralContainers": "ephemeral_container",
}
"""How metrics call the containers of each list."""


class Events(Protocol):
    """Where events go: client.events.EventRecorder."""

    def event(self, about: core_v1.ObjectReference, kind: Kind, reason: str, message: str) -> None: ...


@dataclass(frozen=True)
class Tools:
    """Whom the executor works with."""

    runtime: m.Runtime
    sources: Sources
    puller: Puller
    volumes: Volumes
    cgroups: PodCgroups
    reporter: Reports
    events: Events
    hooks: Hooks
    maker: Maker
    allocations: Allocations
    resizer: Resizer
    network: Callable[[], str]
    """What is wrong with the pod network; empty when nothing is."""


class Executor:
    """One node's performer of actions."""

    def __init__(self, tools: Tools, settings: Settings, clock: Clock) -> None:
        self._tools = tools
        self._settings = settings
        self._clock = clock
        self._began = clock.now()
        self._starts = Turns(settings.max_parallel_starts)
        self._maker = tools.maker
        self._pre_stop = PreStop(tools.hooks, clock, self.tell)
        self._by_action: dict[type[act.Action], Callable[[PodWorker, act.Action], Awaitable[None]]] = {
            act.Prepare: self._prepare,
            act.RunSandbox: self._run_sandbox,
            act.StopSandbox: self._stop_sandbox,
            act.RemoveSandbox: self._remove_sandbox,
            act.PullImage: self._pull,
            act.CreateContainer: self._create,
            act.StartContainer: self._start,
            act.StopContainer: self._stop,
            act.ResizePod: self._resize,
            act.RemoveContainer: self._remove,
            act.TearDown: self._tear_down,
            act.FinalDelete: self._final_delete,
            act.Forget: self._forget,
        }

    async def perform(self, worker: PodWorker, action: act.Action) -> None:
        """Does one thing. Raises ActionFailed, RuntimeUnavailable, RuntimeRefused."""
        with _counted(worker, action):
            await self._by_action[type(action)](worker, action)

    # -- Pod ---------------------------------------------------------------------------------------------------------

    async def _prepare(self, worker: PodWorker, _: act.Action) -> None:
        pod = _pod(worker)
        try:
            await asyncio.to_thread(self._make_folders, pod)
        except OSError as error:
            message = f"error making pod data directories: {words(error, 'mkdir')}"
            raise self._unprepared(worker, "FailedToMakePodDataDirectories", message) from None
        try:
            await asyncio.to_thread(self._tools.cgroups.create, pod)
            await self._tools.resizer.applied(worker, pod, frozenset((GROUP,)))
            await asyncio.to_thread(self._tools.allocations.save, pod.metadata.uid)
        except OSError as error:
            message = f"unable to ensure pod container exists: {words(error)}"
            raise self._unprepared(worker, "FailedCreatePodContainer", message) from None
        try:
            await self._tools.volumes.set_up(pod)
        except VolumeError as error:
            for message in error.messages:
                self.tell(worker, "", "Warning", "FailedMount", message)
            raise ActionFailed("ContainerCreating", "", most=error.most) from None

    def _unprepared(self, worker: PodWorker, reason: str, message: str) -> ActionFailed:
        self.tell(worker, "", "Warning", reason, message)
        return ActionFailed(reason, message)

    async def _resize(self, worker: PodWorker, _: act.Action) -> None:
        await self._tools.resizer.apply(worker, _pod(worker))

    def _make_folders(self, pod: core_v1.Pod) -> None:
        self._tools.volumes.pod_folder(pod.metadata.uid).mkdir(mode=0o750, parents=True, exist_ok=True)
        log_folder(self._settings, pod).mkdir(mode=0o755, parents=True, exist_ok=True)

    async def _run_sandbox(self, worker: PodWorker, action: act.Action) -> None:
        attempt = cast(act.RunSandbox, action).attempt
        pod = _pod(worker)
        wrong = self._tools.network()
        if wrong and not pod.spec.hostNetwork:
            self.tell(worker, "", "Warning", "NetworkNotReady", f"network is not ready: {wrong}")
            raise ActionFailed("NetworkNotReady", wrong, most=2.0)
        if attempt > 0 and worker.observed.sandboxes:
            message = "Pod sandbox changed, it will be killed and re-created."
            self.tell(worker, "", "Normal", "SandboxChanged", message)
        spec = await self._sandbox_spec(worker, pod, attempt)
        async with self._starts.take(_SANDBOX):
            began = self._clock.monotonic()
            try:
                id = await let_finish(self._tools.runtime.run_sandbox(spec))
                metrics.SANDBOX_SECONDS.observe(self._clock.monotonic() - began, spec.runtime_handler)
            except m.RuntimeRefused as refused:
                metrics.SANDBOX_ERRORS.add(spec.runtime_handler)
                raise self._no_sandbox(worker, refused.rpc) from None
        made = m.Sandbox(id, worker.ref, attempt, ready=True, created=self._clock.now())
        with suppress(m.RuntimeRefused, m.RuntimeUnavailable):  # then the worker looks at all there is
            worker.learn(await self._tools.runtime.sandbox(made), id)

    async def _sandbox_spec(self, worker: PodWorker, pod: core_v1.Pod, attempt: int) -> m.SandboxSpec:
        try:
            spec, dns = await self._maker.sandbox(pod, attempt)
        except (ConfigError, OSError) as error:
            raise self._no_sandbox(worker, str(error)) from None
        for warned in dns.warnings:
            self.tell(worker, "", "Warning", warned.reason, warned.message)
            if warned.of_node:
                self._tools.events.event(self._settings.node_reference, "Warning", warned.reason, warned.of_node)
        return spec

    def _no_sandbox(self, worker: PodWorker, why: str) -> ActionFailed:
        message = f"Failed to create pod sandbox: {why}"
        self.tell(worker, "", "Warning", "FailedCreatePodSandBox", message)
        return ActionFailed("FailedCreatePodSandBox", message, most=15.0)

    async def _stop_sandbox(self, worker: PodWorker, action: act.Action) -> None:
        id = cast(act.StopSandbox, action).sandbox
        try:
            await self._tools.runtime.stop_sandbox(id)
        except m.RuntimeRefused as refused:
            raise self._not_killed(worker, "KillPodSandbox", worker.ref.uid, refused) from None
        known = next((s for s in worker.observed.sandboxes if s.id == id), None)
        if known is not None:
            worker.learn(replace(known, ready=False))

    async def _remove_sandbox(self, worker: PodWorker, action: act.Action) -> None:
        id = cast(act.RemoveSandbox, action).sandbox
        await self._tools.runtime.remove_sandbox(id)
        worker.learn(None, id)

    async def _tear_down(self, worker: PodWorker, _: act.Action) -> None:
        uid = worker.ref.uid
        try:
            await self._tools.volumes.tear_down(uid)
        except OSError as error:
            message = f"UnmountVolume.TearDown failed for the volumes of the Pod : {error}"
            self.tell(worker, "", "Warning", "FailedUnMount", message)
            raise ActionFailed("FailedTearDown", str(error)) from None
        try:
            clean = await asyncio.to_thread(self._tools.cgroups.remove, uid)
        except OSError as error:
            raise ActionFailed("FailedTearDown", str(error)) from None
        if not clean:
            raise ActionFailed("FailedTearDown", "a process is left in the Pod's cgroup", first=0.2, most=10.0)

    async def _forget(self, worker: PodWorker, _: act.Action) -> None:
        """The last files: hosts, termination messages, logs. The runtime makes a log's folder, too, so this comes last."""
        uid = worker.ref.uid
        try:
            await self._tools.volumes.forget(uid)
            await asyncio.to_thread(remove_logs, self._settings.logs, uid)
        except OSError as error:
            raise ActionFailed("FailedTearDown", str(error)) from None

    async def _final_delete(self, worker: PodWorker, _: act.Action) -> None:
        pod = _pod(worker)
        await worker.last_words()
        try:
            await self._tools.reporter.delete(pod)
        except (ApiError, OSError) as error:
            raise ActionFailed("FailedDelete", str(error), most=10.0) from None

    # -- containers ----------------------------------------------------------------------------------------------------

    async def _pull(self, worker: PodWorker, action: act.Action) -> None:
        action = cast(act.PullImage, action)
        pod = _pod(worker)
        container = _spec_of(pod, action.container)

        def tell(kind: Kind, reason: str, message: str) -> None:
            self.tell(worker, action.container, kind, reason, message)

        try:
            worker.images[action.key], volumes = await worker.unless_ending(self._all_images(pod, container, tell))
            worker.volume_images |= volumes
        except ImageError as error:
            raise _no_image(error) from None
        except (ApiError, OSError) as error:
            if isinstance(error, m.RuntimeUnavailable):
                raise
            raise ActionFailed(ERR_PULL, str(error), first=_PULL_FIRST, most=_PULL_MOST) from None

    async def _all_images(
        self, pod: core_v1.Pod, container: core_v1.Container, tell: Tell
    ) -> tuple[str, Mapping[str, str]]:
        """The id of a container's own image, and those of its volumes."""
        image = await self._tools.puller.ensure(pod, container, tell)
        return image, await self._tools.volumes.pull(pod, container)

    async def _create(self, worker: PodWorker, action: act.Action) -> None:
        action = cast(act.CreateContainer, action)
        pod = _pod(worker)
        sandbox = next((s for s in worker.observed.sandboxes if s.id == action.sandbox), None)
        if sandbox is None:
            return
        try:
            place = Place(
                worker.images[act.PullImage(action.container, action.attempt).key], sandbox, worker.observed.containers
            )
            spec = await self._maker.container(pod, _spec_of(pod, action.container), action, place)
            pod_spec = await self._maker.same_sandbox(pod, sandbox.attempt)
        except ImageError as error:
            raise _no_image(error) from None
        except (ConfigError, VolumeError, ApiError, OSError) as error:
            message = error.message if isinstance(error, ApiError) else str(error)
            self.tell(worker, action.container, "Warning", "Failed", f"Error: {message}")
            raise ActionFailed("CreateContainerConfigError", message, most=10.0) from None
        worker.took_number(action.container, action.attempt)
        async with self._starts.take(_CREATE):
            try:
                id = await self._tools.runtime.create_container(sandbox.id, spec, pod_spec)
            except m.RuntimeRefused as refused:
                worker.gave_back(action.container, action.attempt)
                self.tell(worker, action.container, "Warning", "Failed", f"Error: {refused.message}")
                raise ActionFailed("CreateContainerError", refused.message, most=10.0) from None
        self.tell(worker, action.container, "Normal", "Created", "Container created")
        worker.learn(self._created(worker, action, id, spec.annotations))
        worker.actual.pop(action.container, None)
        await self._tools.resizer.applied(worker, pod, frozenset((action.container,)))

    def _created(
        self, worker: PodWorker, action: act.CreateContainer, id: str, annotations: Mapping[str, str]
    ) -> m.Container:
        return m.Container(
            id=id,
            sandbox=action.sandbox,
            pod=worker.ref,
            name=action.container,
            attempt=action.attempt,
            state=m.State.CREATED,
            created=self._clock.now(),
            restart_delay=action.delay,
            annotations=annotations,
        )

    async def _look_at(self, worker: PodWorker, id: str) -> None:
        """Asks the runtime for one container that an action has changed."""
        known = next((c for c in worker.observed.containers if c.id == id), None)
        if known is not None:
            with suppress(m.RuntimeRefused, m.RuntimeUnavailable):  # then the worker looks at all there is
                worker.learn(await self._tools.runtime.container(known), id)

    async def _start(self, worker: PodWorker, action: act.Action) -> None:
        action = cast(act.StartContainer, action)
        async with self._starts.take(_START):
            try:
                await let_finish(self._tools.runtime.start_container(action.id))
            except m.RuntimeRefused as refused:
                if "already in starting state" in refused.message:  # begun by the kubelet before this one
                    raise ActionFailed("ContainerCreating", "", first=0.2, most=2.0) from None
                self.tell(worker, action.container, "Warning", "Failed", f"Error: {refused.message}")
                raise ActionFailed("RunContainerError", refused.message, most=10.0) from None
        await self._look_at(worker, action.id)
        self.tell(worker, action.container, "Normal", "Started", "Container started")
        await asyncio.to_thread(self._link_log, worker, action)
        await self._after_start(worker, action)

    async def _after_start(self, worker: PodWorker, action: act.StartContainer) -> None:
        """The postStart hook; a container whose hook fails is stopped. What containers say stays out of events."""
        pod = _pod(worker)
        container = _spec_of(pod, action.container)
        if container.lifecycle is None or container.lifecycle.postStart is None:
            return
        tell = partial(self.tell, worker, action.container, "Warning")
        hook = self._tools.hooks.run(container.lifecycle.postStart, container, action.id, self._ip(worker), tell)
        try:
            await worker.unless_ending(hook)
        except HookFailed as failed:
            tell("FailedPostStartHook", "PostStartHook failed")
            grace = machine.pod_grace(pod)
            await self._stop(worker, act.StopContainer(action.container, action.id, grace, "FailedPostStartHook"))
            why = failed.told(container.name, full_name(pod))
            raise ActionFailed("PostStartHookError", why, most=10.0) from None

    def _link_log(self, worker: PodWorker, action: act.StartContainer) -> None:
        run = next((c for c in worker.observed.containers if c.id == action.id), None)
        if run is None or worker.last is None:
            return
        log_file = log_folder(self._settings, worker.last) / run.name / f"{run.attempt}.log"
        try:
            make_link(link_of(self._settings.container_logs, worker.last, run.name, run.id), log_file)
        except OSError as error:
            log.warning("cannot link log pod=%s container=%s error=%s", worker.ref, run.name, error)

    async def _stop(self, worker: PodWorker, action: act.Action) -> None:
        action = cast(act.StopContainer, action)
        self.tell(worker, action.container, "Normal", "Killing", action.why or f"Stopping container {action.container}")
        async with self._pre_stop.before(worker, action, self._ip(worker)) as grace:
            try:
                await self._tools.runtime.stop_container(action.id, grace)
            except m.RuntimeRefused as refused:
                raise self._not_killed(worker, "KillContainer", action.container, refused) from None
        await self._look_at(worker, action.id)

    def _not_killed(self, worker: PodWorker, what: str, whom: str, refused: m.RuntimeRefused) -> ActionFailed:
        """Told, or nobody would know why a Pod does not end."""
        message = f"failed to {quoted(what)} for {quoted(whom)} with {what}Error: {quoted(refused.rpc)}"
        self.tell(worker, "", "Warning", "FailedKillPod", f"error killing pod: {message}")
        return ActionFailed(f"{what}Error", refused.rpc)

    async def _remove(self, worker: PodWorker, action: act.Action) -> None:
        id = cast(act.RemoveContainer, action).id
        run = next((c for c in worker.observed.containers if c.id == id), None)
        await self._tools.runtime.remove_container(id)
        worker.learn(None, id)
        if run is None or not run.log_path:
            return
        try:
            await asyncio.to_thread(remove_run, self._settings.container_logs, Path(run.log_path), id)
        except OSError as error:
            log.warning("cannot remove log pod=%s container=%s error=%s", worker.ref, run.name, error)

    # -- for the worker ------------------------------------------------------------------------------------------------

    def _ip(self, worker: PodWorker) -> str:
        sandbox = machine.current_sandbox(worker.observed)
        pod = worker.last
        ips = self._settings.node_ips if pod is not None and pod.spec.hostNetwork else sandbox.ips if sandbox else ()
        return ips[0] if ips else ""

    def probes(self, worker: PodWorker, run: m.Container) -> Awaitable[None] | None:
        """The probes of a running container as one piece of work; None where it has none."""
        pod = worker.pod
        container = find_container(pod, run.name)
        if pod is None or container is None or not has_probes(container):
            return None

        def changed(health: act.Health) -> None:
            worker.health[run.id] = health
            worker.wake(look=False)

        tell = partial(self.tell, worker, container.name, "Warning")
        statuses = (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
        old = next((s for s in statuses if s.containerID.endswith(run.id)), None)
        # Probes of what ran before this kubelet did are spread: they would all come at the same moment.
        jitter = self._clock.random.random() if run.started < self._began else 0.0
        target = Target(container, run, self._ip(worker))
        prober = Prober(target, self._tools.hooks, self._clock, jitter)
        worker.health[run.id] = prober.begin(old)
        worker.wake(look=False)
        return prober.run(changed, tell, worker.ending.is_set)

    async def termination_message(self, worker: PodWorker, run: m.Container) -> str:
        """What an ended run left as its message."""
        file = message_file(self._tools.volumes.pod_folder(worker.ref.uid), run.name, run.attempt)
        fallback = run.annotations.get(m.MESSAGE_POLICY) == "FallbackToLogsOnError" and run.exit_code != 0
        said = await asyncio.to_thread(read_message, file, Path(run.log_path) if fallback else None)
        return said or run.message

    def tell(self, worker: PodWorker, container: str, kind: str, reason: str, message: str) -> None:
        """An event about the Pod, or about one container of it."""
        pod = worker.last
        if pod is None:
            return
        about = reference(pod)
        if container:
            about = replace(about, fieldPath=f"spec.{field_of(pod, container)}{{{container}}}")
        self._tools.events.event(about, cast(Kind, kind), reason, message)


async def let_finish(call: Coroutine[Any, Any, T], patience: float = _PATIENCE) -> T:
    """Awaits a call that must not be called off in the middle: containerd would forget a shim that it has just started.

    When the caller is cancelled (the kubelet ends), the call has so many seconds more; the next kubelet finds its work.
    """
    task = asyncio.create_task(call, name="call that must end")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=patience)
        task.cancel()
        if task.done() and not task.cancelled():
            task.exception()  # taken: nobody is left to hear it
        raise


def _no_image(error: ImageError) -> ActionFailed:
    failed = ActionFailed(error.reason, error.message, first=_PULL_FIRST, most=_PULL_MOST)
    failed.image, failed.wait = error.image, error.wait
    return failed


@contextmanager
def _counted(worker: PodWorker, action: act.Action) -> Iterator[None]:
    """Starts, for /metrics."""
    kind = ""
    if isinstance(action, act.StartContainer):
        kind = _TYPES[field_of(worker.last, action.container)] if worker.last is not None else "container"
    if isinstance(action, act.RunSandbox):
        metrics.STARTED_PODS.add()
    elif kind:
        metrics.STARTED_CONTAINERS.add(kind)
    try:
        yield
    except ActionFailed as failed:
        if isinstance(action, act.RunSandbox):
            metrics.STARTED_PODS_ERRORS.add()
        elif kind:
            metrics.STARTED_CONTAINERS_ERRORS.add(kind, failed.reason)
        raise


def _pod(worker: PodWorker) -> core_v1.Pod:
    pod = worker.last
    if pod is None:
        raise ActionFailed("PodGone", "the Pod is gone")
    return pod


def _spec_of(pod: core_v1.Pod, name: str) -> core_v1.Container:
    found = find_container(pod, name)
    if found is None:
        raise ActionFailed("CreateContainerConfigError", f"container {name} is not in the Pod")
    return found
