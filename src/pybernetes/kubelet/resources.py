"""Requests and limits as the kernel wants them: QoS class, CPU shares and quota, memory, OOM score. cgroups.py and
container_spec.py program them. See "Configure Quality of Service for Pods"."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from pybernetes.api.quantity import Quantity, parse
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Resources

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_COMPUTE = ("cpu", "memory")
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


def qos_class(pod: core_v1.Pod) -> str:
    """Guaranteed, Burstable or BestEffort; of the Pod's own resources where it states them (KEP-2837)."""
    asked = [pod.spec.resources] if pod.spec.resources else [c.resources for c in containers_of(pod)]
    if not any(amount(r.requests, n) or amount(r.limits, n) for r in asked for n in _COMPUTE):
        return BEST_EFFORT
    for resources in asked:
        for name in _COMPUTE:
            limit = amount(resources.limits, name)
            if not limit or (name in resources.requests and amount(resources.requests, name) != limit):
                return BURSTABLE
    return GUARANTEED


def pod_requests(pod: core_v1.Pod) -> dict[str, Quantity]:
    """What the scheduler counted: containers and sidecars together, or the largest init container, plus overhead."""
    total: dict[str, Quantity] = {}
    sidecars: dict[str, Quantity] = {}
    largest: dict[str, Quantity] = {}
    for container in pod.spec.initContainers:
        requests = {name: parse(text) for name, text in container.resources.requests.items()}
        if container.restartPolicy == "Always":
            _add(sidecars, requests)
            requests = dict(sidecars)
        else:
            _add(requests, sidecars)
        for name, quantity in requests.items():
            largest[name] = max(largest.get(name, Quantity()), quantity)
    _add(total, sidecars)
    for container in pod.spec.containers:
        _add(total, {name: parse(text) for name, text in container.resources.requests.items()})
    for name, quantity in largest.items():
        total[name] = max(total.get(name, Quantity()), quantity)
    if pod.spec.resources:
        total |= {name: parse(text) for name, text in pod.spec.resources.requests.items()}
    _add(total, {name: parse(text) for name, text in pod.spec.overhead.items()})
    return total


def _add(total: dict[str, Quantity], more: Mapping[str, Quantity]) -> None:
    for name, quantity in more.items():
        total[name] = total.get(name, Quantity()) + quantity


def shares(milli: int) -> int:
    """cpu.shares of so many thousandths of a CPU."""
    return max(_LEAST_SHARES, min(262_144, milli * 1024 // 1000))


def quota(milli: int) -> int:
    """cpu.cfs_quota_us in a period of 100 ms."""
    return max(_LEAST_QUOTA, milli * _PERIOD // 1000)


def pod_limits(pod: core_v1.Pod) -> Limits:
    """A limit only where every container has it; else one without could not be held to the sum of the others."""
    own = pod.spec.resources
    cpu = pod_requests(pod).get("cpu", Quantity()).milli_value()
    limits: dict[str, Quantity | None] = {}
    for name in _COMPUTE:
        if own and amount(own.limits, name):
            limits[name] = amount(own.limits, name)
            continue
        each = [amount(c.resources.limits, name) for c in pod.spec.containers]
        first = [amount(c.resources.limits, name) for c in pod.spec.initContainers]
        whole = all(each) and all(first)
        limits[name] = max(sum(each, Quantity()), *first, Quantity()) if whole else None
    processor, memory = limits["cpu"], limits["memory"]
    return Limits(
        cpu_shares=shares(cpu),
        cpu_quota=quota(processor.milli_value()) if processor else None,
        memory=memory.value() if memory else None,
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
