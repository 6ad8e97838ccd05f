"""Requests and limits as the kernel wants them: QoS class, CPU shares and quota, memory, huge pages, OOM score.

Pure. cgroups.py programs those of Pods, specs/ hands those of containers to the runtime. See "Configure Quality of
Service for Pods" and "Resource Management for Pods and Containers".
"""

import math
from collections.abc import Mapping

from msgspec import Struct

from pybernetes.api.quantity import Quantity, parse
from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import Resources
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.rules.qos import qos_class
from pybernetes.rules.requests import CPU, MEMORY, pod_requests
from pybernetes.rules.requests import pod_limits as limits_of
from pybernetes.rules.resourcenames import HUGE_PAGES

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
CRITICAL_PRIORITY = 2_000_000_000
NODE_CRITICAL = "system-node-critical"
PERIOD = 100_000
LEAST_SHARES = 2
LEAST_QUOTA = 1000
UNLIMITED = -1
_MOST_SHARES = 262_144
_PROTECTED, _BEST_EFFORT_SCORE = -997, 1000
_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


class CpuRules(Struct, frozen=True):
    """cpuCFSQuota and cpuCFSQuotaPeriod (in microseconds)."""

    quota: bool = True
    period: int = PERIOD


def cpu_rules(config: Configuration) -> CpuRules:
    """What the configuration says."""
    return CpuRules(config.cpu_cfs_quota, round(config.cpu_cfs_quota_period * 1_000_000))


class Limits(Struct, frozen=True):
    """Of a Pod's cgroup; None where it has no limit of its own."""

    cpu_shares: int
    cpu_quota: int | None = None
    """Microseconds a period; UNLIMITED where quotas are switched off."""
    memory: int | None = None
    huge_pages: Mapping[str, int] = {}
    """Bytes by page size, as the kernel's files name it: `2MB`."""


class Actual(Struct, frozen=True):
    """What the kernel says of a container's limits; 0 where it has none, or does not say."""

    cpu_shares: int
    """v1 alone: v2's weights are too coarse to be turned back."""
    cpu_quota: int
    cpu_period: int
    memory: int


def amount(resources: Mapping[str, str], name: str) -> Quantity:
    """A quantity in a map of them, zero where it is not there."""
    text = resources.get(name)
    return parse(text) if text else Quantity()


def shares(milli: int) -> int:
    """cpu.shares of so many thousandths of a CPU."""
    return max(LEAST_SHARES, min(_MOST_SHARES, milli * 1024 // 1000))


def weight(cpu_shares: int) -> int:
    """cpu.weight (v2) of v1's shares, so that 1024 shares are 100, as runc and crun convert them since 2025."""
    if cpu_shares <= LEAST_SHARES:
        return 1
    if cpu_shares >= _MOST_SHARES:
        return 10_000
    log = math.log2(cpu_shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def quota(milli: int, rules: CpuRules = CpuRules()) -> int:  # noqa: B008  # a frozen value
    """cpu.cfs_quota_us in one period."""
    return max(LEAST_QUOTA, milli * rules.period // 1000) if rules.quota else UNLIMITED


def huge_pages(amounts: Mapping[str, int]) -> dict[str, int]:
    """Bytes by page size of what is asked for as `hugepages-2Mi`."""
    found = {}
    for name, wanted in amounts.items():
        if name.startswith(HUGE_PAGES):
            found[page_size(parse(name.removeprefix(HUGE_PAGES)).value())] = wanted
    return found


def page_size(size: int) -> str:
    """How the kernel and CRI write a page size: `2MB`, `1GB`."""
    return next((f"{size // unit}{name}" for unit, name in _UNITS if size >= unit), f"{size}B")


def pod_limits(pod: core_v1.Pod, rules: CpuRules = CpuRules()) -> Limits:  # noqa: B008  # a frozen value
    """A limit only where every container has it; else one without could not be held to the sum of the others."""
    own = pod.spec.resources
    together, wanted = limits_of(pod), pod_requests(pod)

    def limit(name: str) -> int | None:
        stated = own is not None and bool(amount(own.limits, name))
        everywhere = all(amount(c.resources.limits, name) for c in containers_of(pod))
        return together.get(name) if stated or everywhere else None

    if qos_class(pod) == BEST_EFFORT:
        return Limits(cpu_shares=LEAST_SHARES, huge_pages=huge_pages(wanted))
    cpu = limit(CPU)
    return Limits(
        cpu_shares=shares(wanted.get(CPU, 0)),
        cpu_quota=quota(cpu, rules) if cpu else None,
        memory=limit(MEMORY) or None,
        huge_pages=huge_pages(wanted),
    )


def is_critical(pod: core_v1.Pod) -> bool:
    """Static Pods, their mirrors, and Pods of the system's priority classes: never evicted, admitted before others."""
    notes = pod.metadata.annotations
    static = notes.get("kubernetes.io/config.source", "api") != "api" or "kubernetes.io/config.mirror" in notes
    return static or (pod.spec.priority or 0) >= CRITICAL_PRIORITY


def oom_score(pod: core_v1.Pod, container: core_v1.Container, capacity: int) -> int:
    """Who the kernel kills first when memory is short. `capacity` in bytes."""
    if is_critical(pod) and pod.spec.priorityClassName == NODE_CRITICAL:
        return _PROTECTED
    qos = qos_class(pod)
    if qos == GUARANTEED:
        return _PROTECTED
    if qos == BEST_EFFORT:
        return _BEST_EFFORT_SCORE
    capacity, request = max(1, capacity), _memory_request(container)
    spare = _unspent(pod)
    score = 1000 - 1000 * (request + spare) // capacity
    if container.restartPolicy == "Always" and any(c.name == container.name for c in pod.spec.initContainers):
        # A sidecar is never killed before the container that it serves.
        least = min(_memory_request(c) for c in pod.spec.containers)
        score = min(score, 1000 - 1000 * (least + spare) // capacity)
    return min(_BEST_EFFORT_SCORE - 1, max(1000 + _PROTECTED, score))


def _memory_request(container: core_v1.Container) -> int:
    return amount(container.resources.requests, MEMORY).value()


def _unspent(pod: core_v1.Pod) -> int:
    """Each container's part of what the Pod as a whole requests beyond what its containers do."""
    own = pod.spec.resources
    if own is None or not own.requests:
        return 0
    everyone = containers_of(pod)
    taken = sum(_memory_request(c) for c in everyone)
    return max(0, amount(own.requests, MEMORY).value() - taken) // len(everyone)


def container_resources(
    pod: core_v1.Pod,
    container: core_v1.Container,
    capacity: int,
    rules: CpuRules = CpuRules(),  # noqa: B008  # a frozen value
) -> Resources:
    """What CRI's LinuxContainerResources wants. `capacity` is the node's memory in bytes.

    A container without a limit of its own has the Pod's, where that says one (KEP-2837).
    """
    asked = container.resources
    whole = pod.spec.resources.limits if pod.spec.resources is not None else {}
    limit = amount(asked.limits, CPU) or amount(whole, CPU)
    cpu = amount(asked.requests, CPU) or amount(asked.limits, CPU)
    memory = (amount(asked.limits, MEMORY) or amount(whole, MEMORY)).value()
    pages = huge_pages({name: parse(text).value() for name, text in asked.limits.items()})
    return Resources(
        cpu_shares=shares(cpu.milli_value()),
        cpu_quota=quota(limit.milli_value(), rules) if limit else 0,
        cpu_period=rules.period,
        memory_limit=memory,
        oom_score_adj=oom_score(pod, container, capacity),
        huge_pages=pages,
    )
