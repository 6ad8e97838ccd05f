"""Requests and limits as the kernel wants them: QoS class, CPU shares and quota, memory, OOM score. cgroups.py and
specs/container.py program them. See "Configure Quality of Service for Pods"."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from pybernetes.api.quantity import Quantity, parse
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Resources
from pybernetes.rules.qos import qos_class
from pybernetes.rules.requests import CPU, MEMORY, pod_requests
from pybernetes.rules.requests import pod_limits as limits_of

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_PERIOD = 100_000
_LEAST_SHARES = 2
_LEAST_QUOTA = 1000
_CRITICAL = 2_000_000_000


class Limits(Struct, frozen=True):
    """Of a Pod's cgroup; None where it has no limit of its own."""

    cpu_shares: int
    cpu_quota: int | None = None
    memory: int | None = None


def amount(resources: Mapping[str, str], name: str) -> Quantity:
    """A quantity in a map of them, zero where it is not there."""
    text = resources.get(name)
    return parse(text) if text else Quantity()


def containers_of(pod: core_v1.Pod) -> Iterable[core_v1.Container]:
    """Init and ordinary containers."""
    return (*pod.spec.initContainers, *pod.spec.containers)


def shares(milli: int) -> int:
    """cpu.shares of so many thousandths of a CPU."""
    return max(_LEAST_SHARES, min(262_144, milli * 1024 // 1000))


def quota(milli: int) -> int:
    """cpu.cfs_quota_us in a period of 100 ms."""
    return max(_LEAST_QUOTA, milli * _PERIOD // 1000)


def pod_limits(pod: core_v1.Pod) -> Limits:
    """A limit only where every container has it; else one without could not be held to the sum of the others."""
    own = pod.spec.resources
    together = limits_of(pod)

    def limit(name: str) -> int | None:
        stated = own is not None and bool(amount(own.limits, name))
        everywhere = all(amount(c.resources.limits, name) for c in containers_of(pod))
        return together.get(name) if stated or everywhere else None

    cpu = limit(CPU)
    return Limits(
        cpu_shares=shares(pod_requests(pod).get(CPU, 0)),
        cpu_quota=quota(cpu) if cpu else None,
        memory=limit(MEMORY) or None,
    )


def oom_score(pod: core_v1.Pod, container: core_v1.Container, capacity: int) -> int:
    """Who the kernel kills first when memory is short. `capacity` in bytes."""
    if (pod.spec.priority or 0) >= _CRITICAL:
        return -997
    qos = qos_class(pod)
    if qos == GUARANTEED:
        return -997
    if qos == BEST_EFFORT:
        return 1000
    request = amount(container.resources.requests, "memory").value()
    return min(999, max(3, 1000 - 1000 * request // max(1, capacity)))


def container_resources(pod: core_v1.Pod, container: core_v1.Container, capacity: int) -> Resources:
    """What CRI's LinuxContainerResources wants. `capacity` is the node's memory in bytes."""
    asked = container.resources
    cpu = amount(asked.requests, "cpu") or amount(asked.limits, "cpu")
    limit = amount(asked.limits, "cpu")
    memory = amount(asked.limits, "memory").value()
    return Resources(
        cpu_shares=shares(cpu.milli_value()),
        cpu_quota=quota(limit.milli_value()) if limit else 0,
        cpu_period=_PERIOD,
        memory_limit=memory,
        oom_score_adj=oom_score(pod, container, capacity),
    )
