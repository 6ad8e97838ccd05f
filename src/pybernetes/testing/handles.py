"""Handles on simulated Pods and nodes: what a test tells them to do. `cluster.pod("web-0", "shop")`, `cluster.node("node-1")`.

    await cluster.pod("report-x7k").finish(exit_code=1)
    await cluster.node("node-1").fail()

A handle is a name: the Pod is looked up at each order, which waits until it runs where that is what one means, and returns
once the API has been told. What Pods do by themselves is said by annotations (docs/reference/simulated-nodes.md).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.node import NodeAgent
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.assembly.simulated.pod import SimulatedPod
from pybernetes.client.rest import Client
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.restarts import may_restart
from pybernetes.testing.errors import NotInTimeError, OrderError
from pybernetes.testing.objects import SECONDS
from pybernetes.testing.running import Running
from pybernetes.wire.http import read_body

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"

AGENT = "pybernetes-testing"
"""What requests of handles call themselves."""

T = TypeVar("T")
Order: TypeAlias = Callable[[SimulatedPod, str], None]
"""What a container of a Pod is told, where the cluster's parts run."""


class Home(Protocol):
    """The cluster of a handle: cluster.Cluster."""

    @property
    def running(self) -> Running:
        """Raises ClosedClusterError, WrongLoopError."""

    def client(self, *, agent: str) -> Client:
        """The administrator's."""

    async def inside(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs work where the cluster's parts run."""


class Node:
    """A simulated node. Raises OrderError where there is none of that name."""

    def __init__(self, home: Home, name: str) -> None:
        self.name = name
        self._home = home

    def __repr__(self) -> str:
        return f"Node({self.name!r})"

    async def fail(self) -> None:
        """A power cut: no heartbeat any more, nothing runs there, nobody answers. In its time (50 seconds) the node is NotReady,
        and after five minutes more its Pods are evicted."""
        await self._home.inside(self._agent().fail())

    async def recover(self) -> None:
        """Boots it again: it is Ready when this returns, and its Pods start anew."""
        await self._home.inside(self._agent().recover())

    async def cordon(self) -> None:
        """No new Pods are given to it."""
        await self._set_unschedulable(True)

    async def uncordon(self) -> None:
        """It takes Pods again."""
        await self._set_unschedulable(False)

    async def _set_unschedulable(self, value: bool) -> None:
        self._agent()
        await self._home.client(agent=AGENT).of(core_v1.Node).patch_raw(self.name, {"spec": {"unschedulable": value}})

    def _agent(self) -> NodeAgent:
        agents = _nodes(self._home).agents
        if self.name not in agents:
            raise OrderError(f"there is no simulated node {self.name!r}; there are: {', '.join(agents)}")
        return agents[self.name]


class Pod:
    """A Pod on a simulated node. Every order raises OrderError where the Pod is not there, has ended, or is on a node that is
    not simulated, and NotInTimeError where it does not come to run within `seconds` (of the cluster's time; of the
    machine's where that is moved by hand).

    `container` None means every main container of the Pod.
    """

    def __init__(self, home: Home, name: str, namespace: str = "default", seconds: float = SECONDS) -> None:
        self.name = name
        self.namespace = namespace
        self.seconds = seconds
        """How long an order waits."""
        self._home = home

    def __repr__(self) -> str:
        return f"Pod({self.name!r}, {self.namespace!r})"

    async def finish(
        self, exit_code: int = 0, *, container: str | None = None, reason: str = "", message: str = ""
    ) -> None:
        """Ends containers as if they had ended by themselves; what follows is the restart policy's. `message` is the
        termination message. Raises ValueError for an exit code that is none."""
        _check(exit_code)
        await self._order(container, lambda pod, name: pod.end(name, exit_code, reason=reason, message=message))

    async def crash(self, *, times: int = 1, exit_code: int = 1, container: str | None = None) -> None:
        """Ends containers, and each of their next runs as soon as it starts, so many runs together. Raises ValueError."""
        _check(exit_code)
        if times < 1:
            raise ValueError(f"times: {times} is not allowed; allowed: 1 and more")
        await self._order(container, lambda pod, name: pod.crash(name, times, exit_code))

    async def oom(self, *, container: str | None = None) -> None:
        """The kernel kills containers for want of memory: OOMKilled, exit code 137."""
        await self._order(container, lambda pod, name: pod.run_out_of_memory(name))

    async def ready(self, ready: bool = True, *, container: str | None = None) -> None:
        """Whether the readiness probes of containers succeed, whatever they are. It may be said before they run."""
        await self._order(container, lambda pod, name: pod.set_ready(name, ready), running=False)

    async def ignore_stop(self, ignore: bool = True) -> None:
        """It does not heed SIGTERM: its end takes the whole grace, and is a kill."""
        await self._order(None, lambda pod, _: pod.set_stubborn(ignore), running=False)

    async def log(self, text: str, *, container: str | None = None, stream: str = "stdout") -> None:
        """Writes lines to the log of a running container; of several that which `kubectl logs` would take, else it is to be
        named. Raises ValueError for a stream that is none."""
        if stream not in ("stdout", "stderr"):
            raise ValueError(f"stream: {stream!r} is not allowed; allowed: stdout, stderr")

        def write(pod: SimulatedPod, name: str) -> None:
            run = pod.running(name)
            assert run is not None, "it was waited for"
            pod.home.logs.write(run.id, text, stream)

        await self._order(container, write, one=True)

    async def logs(self, *, container: str | None = None, previous: bool = False) -> str:
        """What `kubectl logs` shows. Raises ApiError."""
        query = {"previous": "true"} if previous else {}
        if container is not None:
            query["container"] = container
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/log"
        return (await read_body(await self._home.client(agent=AGENT).send("GET", path, query=query))).decode(
            errors="replace"
        )

    # -- the Pod that is meant -----------------------------------------------------------------------------------------

    async def _order(self, container: str | None, order: Order, *, running: bool = True, one: bool = False) -> None:
        """Gives an order to each container that is meant, once it can be obeyed; until the API has what came of it."""
        nodes = _nodes(self._home)
        try:
            meant = await self._home.client(agent=AGENT).of(core_v1.Pod).get(Key(self.namespace, self.name))
        except NotFound:
            raise OrderError(f"there is no pod {self.namespace}/{self.name}") from None
        names = _containers(meant, container, one=one)
        given = asyncio.Event()

        async def obey() -> None:
            await nodes.until(lambda: _can_obey(nodes, meant, names if running else ()))
            pod = _played(nodes, meant)
            assert pod is not None
            given.set()
            for name in names:
                order(pod, name)
            await nodes.until(lambda: not (pod.queued or pod.sending))

        try:
            async with asyncio.timeout(self.seconds):
                await self._home.inside(obey())
        except TimeoutError:
            seen = nodes.seen(Key(self.namespace, self.name)) or meant
            what = "the API was not told" if given.is_set() else "it does not run" if running else "it is not there"
            said = f"pod {self.namespace}/{self.name}: {what} after {self.seconds:g} s: {_shown(seen)}"
            raise NotInTimeError(said) from None


def _nodes(home: Home) -> SimulatedNodes:
    nodes = home.running.plane.nodes
    if nodes is None:
        raise OrderError("this cluster has no simulated nodes: make it with nodes=1 or more")
    return nodes


def _can_obey(nodes: SimulatedNodes, meant: core_v1.Pod, names: Sequence[str]) -> bool:
    """Whether the Pod is there, and these of its containers run."""
    pod = _played(nodes, meant)
    return pod is not None and all(_runs(pod, name) for name in names)


def _containers(pod: core_v1.Pod, container: str | None, *, one: bool = False) -> Sequence[str]:
    """The names that are meant."""
    where = f"pod {pod.metadata.namespace}/{pod.metadata.name}"
    mains = [c.name for c in pod.spec.containers]
    every = [*(c.name for c in containers_of(pod)), *(c.name for c in pod.spec.ephemeralContainers)]
    if container is not None:
        if container not in every:
            raise OrderError(f"{where} has no container {container!r}; it has: {', '.join(every)}")
        return (container,)
    default = pod.metadata.annotations.get(DEFAULT_CONTAINER, "")
    if one and default in every:
        return (default,)
    if one and len(mains) > 1:
        raise OrderError(f"{where} has several containers: say container=, one of {', '.join(every)}")
    return mains


def _played(nodes: SimulatedNodes, meant: core_v1.Pod) -> SimulatedPod | None:
    """As its node plays it; None while it is on its way there."""
    seen = nodes.seen(Key(meant.metadata.namespace, meant.metadata.name))
    if seen is None or seen.metadata.uid != meant.metadata.uid:
        seen = meant
    where = f"pod {meant.metadata.namespace}/{meant.metadata.name}"
    if not seen.spec.nodeName:
        return None
    agent = nodes.agents.get(seen.spec.nodeName)
    if agent is None:
        raise OrderError(f"{where} is on {seen.spec.nodeName}, which is no simulated node")
    if not agent.alive:
        raise OrderError(f"{where} is on node {agent.name}, which has failed: recover() it first")
    pod = agent.table.pods.get(meant.metadata.uid)
    if pod is not None and pod.has_ended():
        said = pod.verdict.reason if pod.verdict is not None else pod.api.status.phase
        raise OrderError(f"{where} has ended already: {said}")
    return pod


def _runs(pod: SimulatedPod, name: str) -> bool:
    """Whether a container runs. Raises OrderError where it never will again."""
    if pod.running(name) is not None:
        return True
    run = next((run for run in pod.containers if run.name == name), None)
    spec = next((c for c in containers_of(pod.api) if c.name == name), None)
    if run is not None and spec is not None and run.finished and not may_restart(pod.api, spec, run):
        raise OrderError(f"container {name!r} of pod {pod.ref} has ended already, with exit code {run.exit_code}")
    return False


def _shown(pod: core_v1.Pod) -> str:
    """How it was last seen, in a few words."""
    waits = [
        f"{s.name}: {s.state.waiting.reason}"
        for s in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
        if s.state.waiting is not None
    ]
    waits += [c.message for c in pod.status.conditions if c.type == "PodScheduled" and c.status != "True" and c.message]
    why = "; ".join(waits)
    where = f"on {pod.spec.nodeName}" if pod.spec.nodeName else "not scheduled"
    return f"{pod.status.phase or 'Pending'}, {where}" + (f" ({why})" if why else "")


def _check(exit_code: int) -> None:
    if not 0 <= exit_code <= 255:
        raise ValueError(f"exit_code: {exit_code} is not allowed; allowed: 0 to 255")
