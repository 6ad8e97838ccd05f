"""Simulated nodes: kubelets that live in memory and run Pods by the kubelet's own rules, without root, containerd or a process.

For tests, for clusters that anybody can start, and for huge ones. Everything says so: nodes carry the label
`pybernetes.io/simulated=true` and report the container runtime `simulated://`. One watch serves all nodes. Next stops: node.py
(a node), table.py (its Pods), pod.py (a Pod), behaviour.py (what containers do). docs/internals/simulated-nodes.md.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pybernetes.aio.pause import Pause
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.addresses import SharedRange
from pybernetes.assembly.simulated.description import SimulatedNode, described
from pybernetes.assembly.simulated.node import RENEW, NodeAgent
from pybernetes.assembly.simulated.pod import SimulatedPod
from pybernetes.assembly.simulated.reports import Reports
from pybernetes.assembly.simulated.table import Shared
from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client

_EVENTS = 100_000
"""Events of all nodes that may wait to be sent."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How simulated nodes are played."""

    client_of: Callable[[str], Client] | None = None
    """As whom the kubelet of a node writes; None: as everybody's."""
    first_address: str = "198.18.0.1"
    """Of the first node; the others have those after it."""
    needs_range: bool = False
    """Pods wait until a controller has given their Node a podCIDR."""
    quiet: bool = False
    """No events but of what is wrong; the others (Pulled, Created, Started, Killing) are most of what a Pod costs."""
    renew: float = RENEW
    """Seconds between renewals of a Lease."""
    pause: Pause = field(default_factory=Pause)
    """Holds up what they report."""


class SimulatedNodes:
    """These nodes, kept alive by run() until it is cancelled. `client` may do everything.

    Raises ValueError for what no node can be.
    """

    def __init__(self, client: Client, nodes: Sequence[str | SimulatedNode], config: Config | None = None) -> None:
        config = config or Config()
        self.agents: dict[str, NodeAgent] = {}
        """By name."""
        self.informers = Informers(client)
        """Through which they see the cluster."""
        self._recorder = EventRecorder(client, "kubelet", queue=_EVENTS)
        self._group: asyncio.TaskGroup | None = None
        self._held = False
        self._news = asyncio.Event()
        as_node = config.client_of or (lambda name: client)
        self._reports = Reports(as_node, self._moved, config.pause)
        shared = Shared(
            client=client,
            client_of=as_node,
            recorder=self._recorder,
            reports=self._reports,
            range=SharedRange(_PODS),
            needs_range=config.needs_range,
            quiet=config.quiet,
            renew=config.renew,
            moved=self._moved,
            later=self._later,
        )
        first = ipaddress.IPv4Address(config.first_address)
        for number, spec in enumerate(described(nodes)):
            if spec.name in self.agents:
                raise ValueError(f"two simulated nodes are called {spec.name!r}")
            self.agents[spec.name] = NodeAgent(spec, str(first + number), shared)

    async def run(self) -> None:
        """Registers the nodes and plays kubelet for each."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.informers.of(core_v1.Node).on_change(self._node_changed)
            self.informers.of(core_v1.Pod).on_change(self._pod_changed)
            group.create_task(self.informers.run(), name="simulated.informers")
            group.create_task(self._recorder.run(), name="simulated.events")
            group.create_task(self._reports.run(), name="simulated.reports")
            for number, agent in enumerate(self.agents.values()):
                agent.begin(1.0 - number / len(self.agents))

    def _later(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        assert self._group is not None
        return self._group.create_task(work, name=name)

    def _node_changed(self, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        node = new or old
        agent = self.agents.get(node.metadata.name) if node is not None else None
        if agent is not None:
            agent.changed(new)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Meanwhile nothing happens to Pods whatever the API says. Afterwards they are what their statuses say, without a word.

        For those who put back an earlier state of the whole cluster.
        """
        self._held = True
        for agent in self.agents.values():
            agent.table.freeze()
        try:
            yield
        finally:
            self._held = False
            found: dict[str, list[core_v1.Pod]] = {}
            for pod in self.informers.of(core_v1.Pod).cache:
                found.setdefault(pod.spec.nodeName, []).append(pod)
            for name, agent in self.agents.items():
                agent.table.begin_anew(found.get(name, ()))
            self._moved()

    def _pod_changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if self._held:
            return
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            agent = self.agents.get(old.spec.nodeName)
            if agent is not None:
                agent.table.removed(old.metadata.uid)
        agent = self.agents.get(new.spec.nodeName) if new is not None else None
        if new is not None and agent is not None:
            agent.table.changed(new, old)
        self._moved()

    # -- for those who give orders -------------------------------------------------------------------------------------

    def at(self, address: str) -> NodeAgent | None:
        """The node that has an address, or one of whose Pods has it."""
        agents = self.agents.values()
        return next((a for a in agents if a.address == address or a.table.addresses.has(address)), None)

    def seen(self, key: Key) -> core_v1.Pod | None:
        """A Pod of the cluster, as the nodes' watch has it."""
        return self.informers.of(core_v1.Pod).cache.get(key)

    def pod(self, node: str, uid: str) -> SimulatedPod | None:
        """A Pod as the kubelet of a node knows it; None where it does not yet, or no more."""
        agent = self.agents.get(node)
        return agent.table.pods.get(uid) if agent is not None else None

    def _moved(self) -> None:
        self._news.set()  # wakes those who wait
        self._news.clear()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds that the nodes' Pods, or what is known of them, bring about."""
        while not holds():
            await self._news.wait()


_PODS = "100.64.0.0/10"
"""Addresses of Pods on nodes without a range: what is nobody's own (RFC 6598), and enough for millions of Pods."""
