"""One simulated node: its Node and Lease in the API, as the kubelet keeps them. table.py has its Pods, nodes.py all nodes."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from pybernetes import KUBERNETES_VERSION
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.assembly.simulated.description import LABEL, SimulatedNode
from pybernetes.assembly.simulated.pod import revision
from pybernetes.assembly.simulated.reports import RETRY
from pybernetes.assembly.simulated.table import Around, PodTable, Shared
from pybernetes.kubelet.admission import Host
from pybernetes.kubelet.status.conditions import conditions, without_heartbeats
from pybernetes.kubelet.status.lease import NodeLease
from pybernetes.rules.nodefeatures import RESTART_ALL

log = logging.getLogger(__name__)

RENEW = 10.0
"""Seconds between renewals of a node's Lease, as the kubelet's."""
STATUS = 300.0
"""Seconds between heartbeats in the Node's status."""


class NodeAgent:
    """The kubelet of one simulated node."""

    def __init__(self, spec: SimulatedNode, address: str, shared: Shared) -> None:
        self.spec = spec
        self.name = spec.name
        self.address = address
        self.node: core_v1.Node | None = None
        """As the API has it."""
        self.clock = shared.client.clock
        self._shared = shared
        self._client = shared.client_of(spec.name)
        self._lease = NodeLease(self._client, spec.name, self.clock)
        self._recorder = shared.recorder.beside(self._client, spec.name)
        self._boots = 1
        self._told_at = -STATUS
        self._schedulable = True
        self._living: asyncio.Task[None] | None = None
        self._host: tuple[core_v1.Node | None, Host] | None = None
        around = Around(address, self.host, self._fresh_host, self._recorder, shared)
        self.table = PodTable(around)

    @property
    def alive(self) -> bool:
        """False while it has no power."""
        return self.table.powered

    # -- life ----------------------------------------------------------------------------------------------------------

    def begin(self, share: float = 1.0) -> None:
        """Lives from now on. The second heartbeat comes after that share of the usual time, so that not all come at once."""
        self._living = self._shared.later(self._live(share), f"simulated.node {self.name}")

    async def fail(self) -> None:
        """A power cut: nothing runs, nothing is said any more."""
        if not self.alive:
            return
        self.table.power_cut()
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait({self._living})
        self._shared.moved()

    async def recover(self) -> None:
        """Boots again: it reports, then its Pods start anew. Raises ApiError, OSError, and then tries on by itself."""
        if self.alive:
            return
        self._boots += 1
        self._told_at = self.clock.monotonic() - STATUS
        try:
            await self._beat()
        finally:
            self.begin()
            self._event("Normal", "Starting", "Starting kubelet.")
            self._event("Warning", "Rebooted", f"Node {self.name} has been rebooted, boot id: {self._boot_id()}")
            self.table.power_back()
            self._shared.moved()

    async def _live(self, share: float) -> None:
        while True:
            try:
                await self._beat()
                pause, share = self._shared.renew * share, 1.0
            except (ApiError, OSError) as error:
                log.warning("simulated node has no heartbeat node=%s error=%s", self.name, error)
                pause = RETRY
            await self.clock.sleep(pause)

    async def _beat(self) -> None:
        """Its Lease; its status where that is due, or another than the API has. A Node that was deleted is not made again
        before its status is due."""
        due = self.clock.monotonic() - self._told_at >= STATUS
        if self.node is None and not due:
            return
        if due or self._differs():
            await self._report()
        await self._lease.renew()

    async def _report(self) -> None:
        nodes = self._client.of(core_v1.Node)
        node = await self._register() if self.node is None else self.node
        status, events = self._status(node)
        try:
            node = await nodes.patch(node, replace(node, status=status), subresource="status")
        except NotFound:
            self.node = None
            raise
        self.changed(node)
        self._told_at = self.clock.monotonic()
        self._schedulable = not node.spec.unschedulable
        for reason in events:
            self._event("Normal", reason, f"Node {self.name} status is now: {reason}")

    async def _register(self) -> core_v1.Node:
        labels = {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            LABEL: "true",
            **self.spec.labels,
        }
        nodes = self._shared.client.of(core_v1.Node)
        spec = core_v1.NodeSpec(taints=tuple(self.spec.taints))
        try:
            return await nodes.create(
                core_v1.Node(metadata=meta_v1.ObjectMeta(name=self.name, labels=labels), spec=spec)
            )
        except AlreadyExists:
            return await nodes.get(self.name)

    def _differs(self) -> bool:
        node = self.node
        if node is None:
            return False
        return node.spec.unschedulable == self._schedulable or without_heartbeats(
            self._status(node)[0]
        ) != without_heartbeats(node.status)

    def _status(self, node: core_v1.Node) -> tuple[core_v1.NodeStatus, Sequence[str]]:
        """The status now, and the reasons of the events that tell what changed; nothing of how it began."""
        whole, old = self.spec.whole, node.status
        # What clients add to the capacity can be used, too; nothing else could run that asks for it.
        have = {**{name: text for name, text in old.capacity.items() if name not in whole}, **whole}
        changed = conditions(old.conditions, (), (), self.clock.now())
        events = changed.events if old.conditions else ()
        if node.spec.unschedulable == self._schedulable:
            events = (*events, "NodeNotSchedulable" if node.spec.unschedulable else "NodeSchedulable")
        status = replace(
            old,
            capacity=have,
            allocatable=have,
            conditions=changed.conditions,
            addresses=(
                core_v1.NodeAddress(type="InternalIP", address=self.address),
                core_v1.NodeAddress(type="Hostname", address=self.name),
            ),
            nodeInfo=core_v1.NodeSystemInfo(
                machineID=self.name,
                systemUUID=self.name,
                bootID=self._boot_id(),
                kubeletVersion=KUBERNETES_VERSION,
                containerRuntimeVersion="simulated://1",
                operatingSystem="linux",
                architecture="amd64",
                osImage="simulated",
                kernelVersion="simulated",
            ),
            declaredFeatures=(RESTART_ALL,),
        )
        return status, events

    def _boot_id(self) -> str:
        return f"{self.name}-{self._boots}"

    def _event(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        # As the kubelet's: its uid there is its name.
        about = core_v1.ObjectReference(kind="Node", name=self.name, uid=self.name)
        self._recorder.event(about, kind, reason, message)

    # -- the Node in the API -------------------------------------------------------------------------------------------

    def changed(self, node: core_v1.Node | None) -> None:
        """The Node as the API has it now."""
        if node is not None and self.node is not None and revision(node) < revision(self.node):
            return  # the watch is not as far as what we wrote
        self.node = node
        if node is not None:
            self.table.range_changed(node.spec.podCIDRs or ((node.spec.podCIDR,) if node.spec.podCIDR else ()))

    def host(self, node: core_v1.Node | None = None) -> Host:
        """The node as admission sees it."""
        node = node or self.node
        if self._host is None or self._host[0] is not node:
            found = Host(
                name=self.name,
                allocatable=(node.status.allocatable if node is not None else {}) or self.spec.whole,
                labels=node.metadata.labels if node is not None else self.spec.labels,
                taints=node.spec.taints if node is not None else tuple(self.spec.taints),
                huge_pages=True,
                features=(RESTART_ALL,),
            )
            self._host = (node, found)
        return self._host[1]

    async def _fresh_host(self) -> Host:
        try:
            return self.host(await self._client.of(core_v1.Node).get(self.name))
        except (ApiError, OSError) as error:
            log.warning("cannot read the node's labels node=%s error=%s", self.name, error)
            return self.host()
