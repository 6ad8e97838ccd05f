"""Which Pod goes first when something is short, and what it is told: pure. See "Pod selection for kubelet eviction"."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from pybernetes.api.quantity import BINARY, DECIMAL, of_int
from pybernetes.api.types import core_v1
from pybernetes.kubelet.eviction.signals import INODES, PIDS, Observations, resource
from pybernetes.kubelet.resources import amount
from pybernetes.kubelet.thresholds import Threshold
from pybernetes.rules.requests import EPHEMERAL_STORAGE, MEMORY, pod_requests

REASON = "Evicted"


class Space(Struct, frozen=True):
    """What lies on a disk."""

    size: int = 0
    inodes: int = 0

    def __add__(self, other: "Space") -> "Space":
        return Space(self.size + other.size, self.inodes + other.inodes)


class ContainerUse(Struct, frozen=True):
    """What one running container uses; `memory` is its working set."""

    memory: int = 0
    root: Space = Space()
    """What it has written into its own file system."""
    logs: Space = Space()


class PodUsage(Struct, frozen=True):
    """What one Pod uses, as far as it was measured."""

    memory: int = 0
    processes: int = 0
    containers: Mapping[str, ContainerUse] = {}
    volumes: Mapping[str, Space] = {}
    """Of emptyDir volumes on disk, by name."""

    def disk(self, *, root: bool = True, local: bool = True) -> Space:
        """Containers' own file systems, and what lies on the node's: logs and volumes."""
        total = Space()
        for use in self.containers.values():
            total += (use.root if root else Space()) + (use.logs if local else Space())
        return sum(self.volumes.values(), total) if local else total


def order(
    pods: Sequence[core_v1.Pod], uses: Mapping[str, PodUsage], threshold: Threshold, *, dedicated: bool
) -> list[core_v1.Pod]:
    """The first one goes first. `uses` by uid. Pods of which nothing is known go before all others."""
    short = resource(threshold.signal)
    on_images = not threshold.signal.startswith("nodefs.")

    def used(pod: core_v1.Pod) -> int:
        use = uses[pod.metadata.uid]
        if short == MEMORY:
            return use.memory
        if short == PIDS:
            return use.processes
        # With a file system for images, one holds what containers write and the other logs and volumes.
        space = use.disk(root=not dedicated or on_images, local=not dedicated or not on_images)
        return space.inodes if short == INODES else space.size

    def place(pod: core_v1.Pod) -> tuple[bool, bool, int, int]:
        priority = pod.spec.priority or 0
        if pod.metadata.uid not in uses:
            return False, False, priority, 0
        if short == PIDS:
            return True, False, priority, -used(pod)
        excess = used(pod) - pod_requests(pod).get(short, 0)
        return True, excess <= 0, priority, -excess

    return sorted(pods, key=place)


def message(
    pod: core_v1.Pod, use: PodUsage | None, met: Sequence[Threshold], observed: Observations, short: str
) -> tuple[str, dict[str, str]]:
    """What the Pod's status says, and the annotations of the event."""
    text = f"The node was low on resource: {short}. "
    first = next((t for t in met if resource(t.signal) == short and t.signal in observed), None)
    if first is not None:
        seen = observed[first.signal]
        text += (
            f"Threshold quantity: {_shown(first.amount.of(seen.capacity), short)},"
            f" available: {_shown(seen.available, short)}. "
        )
    if use is None:
        return text, {}
    notes = {}
    own = pod.spec.resources
    if short == MEMORY and own is not None and own.requests.get(MEMORY):
        text += _exceeds("Pod", pod.metadata.name, _shown(use.memory, short), own.requests[MEMORY], short)
        notes = {"offending_pod": pod.metadata.name, "offending_pod_usage": _shown(use.memory, short)}
    offending = {}
    for container in (*pod.spec.containers, *pod.spec.initContainers):
        one = use.containers.get(container.name)
        if one is None or short not in (MEMORY, EPHEMERAL_STORAGE):
            continue
        used = one.memory if short == MEMORY else (one.root + one.logs).size
        request = amount(container.resources.requests, short)
        if used > request.value():
            text += _exceeds("Container", container.name, _shown(used, short), str(request), short)
            offending[container.name] = _shown(used, short)
    notes["offending_containers"] = ",".join(offending)
    notes["offending_containers_usage"] = ",".join(offending.values())
    notes["starved_resource"] = short
    return text, notes


def _exceeds(what: str, name: str, used: str, request: str, short: str) -> str:
    return f"{what} {name} was using {used}, request is {request}, has larger consumption of {short}. "


def _shown(number: int, short: str) -> str:
    return str(of_int(number, BINARY if short in (MEMORY, EPHEMERAL_STORAGE) else DECIMAL))
